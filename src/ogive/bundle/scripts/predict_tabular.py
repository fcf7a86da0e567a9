"""Predicts the rows of a CSV with onnxruntime and numpy alone: python predict.py TABLE.csv"""

import csv
import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).parent
SPEC = json.loads((HERE / "preprocessing.json").read_text())
SESSION = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])


def numbers(column, text):
    """What one cell becomes: see the columns in preprocessing.json."""
    text, parts = text.strip(), column.get("parts", [])
    missing = text in SPEC["inputs"]["missing"]
    if column["type"] == "category":
        values = column.get("values", [])
        return [1 if missing else values.index(text) + 2 if text in values else 0]
    if missing:
        found = [np.nan] * max(1, len(parts))
    elif column["type"] == "boolean":
        found = [float(text.lower() in ("1", "1.0", "true", "yes", "y", "t"))]
    elif column["type"] == "number":
        found = [float(text)]
    else:
        iso = column["format"] == "ISO8601"
        day = datetime.fromisoformat(text) if iso else datetime.strptime(text, column["format"])
        seconds = day.replace(tzinfo=timezone.utc).timestamp()
        special = {"days": seconds / 86400, "weekday": day.weekday()}
        found = [special[part] if part in special else getattr(day, part) for part in parts]
    return found + [float(np.isnan(found[0]))] * column.get("flag", False)


with open(sys.argv[1], newline="") as file:
    for line in csv.DictReader(file):
        cells = [
            x
            for column in SPEC["inputs"]["columns"]
            for x in numbers(column, line[column["name"]])
        ]
        row = SESSION.run(None, {"input": np.array([cells], np.float32)})[0][0]
        print(SPEC["labels"][row.argmax()] if SPEC["labels"] else row[0])
