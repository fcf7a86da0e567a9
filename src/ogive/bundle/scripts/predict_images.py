"""Predicts with onnxruntime, numpy and Pillow alone: python predict.py IMAGE ..."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

HERE = Path(__file__).parent
SPEC = json.loads((HERE / "preprocessing.json").read_text())
SESSION = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])


def read(path):
    wanted = SPEC["inputs"]
    mode = "L" if wanted["channels"] == 1 else "RGB"
    side = 2 * max(wanted["height"], wanted["width"])
    if wanted["channels"] not in (1, 3):
        sys.exit(f"A file gives 1 or 3 channels, but model.onnx takes {wanted['channels']}.")
    image = Image.open(path)
    image.draft(mode, (side, side))  # a large JPEG is read smaller
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F"):
        sys.exit(f"An image must have 8 or 16 bits a channel, but {path} has 32. Convert it.")
    if image.mode.startswith("I;16"):
        values, bits = np.asarray(image), wanted["bits"]
        image = Image.fromarray(np.minimum(values >> (bits - 8), 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, wanted["background"])
        image = Image.alpha_composite(white, image)
    image = image.convert(mode)
    size = wanted["width"], wanted["height"]
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(size[1], size[0], -1).transpose(2, 0, 1)


for name in sys.argv[1:] or sys.exit(__doc__):
    row = SESSION.run(None, {"input": read(name)[None]})[0][0]
    print(name, SPEC["labels"][row.argmax()] if SPEC["labels"] else row[0])
