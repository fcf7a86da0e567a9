"""Images: from files, arrays and tensors to uint8 ``(channels, height, width)``."""

from __future__ import annotations

import hashlib
import json
import operator
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor, nn
from torch.nn import functional

from ogive.errors import TaskError
from ogive.task._archives import archive_inputs
from ogive.task._inputs import Divide, Inputs, Options, Prepared
from ogive.task._split import Split
from ogive.task._store import BY_VALUE, chunks, keep

__all__ = ["ImageInputs", "Shrunk", "files_below", "form_of"]

Array = npt.NDArray[Any]
Layout = Literal["hw", "hwc", "chw"]

_LARGEST_SIDE: Final = 64
_MOST_CHANNELS: Final = 16
_NAMED: Final = 100
_SAMPLE: Final = 20_000
_LOOKED_AT: Final = 100
_THREADS: Final = min(8, os.cpu_count() or 1)
_GREY: Final = ("1", "L", "LA", "I;16", "I;16B")
_ORIENTATION: Final = 0x0112
_SIDEWAYS: Final = (5, 6, 7, 8)
_UNREADABLE: Final = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True)
class ImageInputs(Inputs):
    """How images are read.

    A file is opened with Pillow (a JPEG at a reduced scale of at least twice the size, by
    ``draft``), turned as its EXIF says, brought from ``bits`` to 8 where it has 16, laid on white
    where it is transparent, made grey (``L``) or colour (``RGB``) and resized with Pillow's
    bilinear filter. An array is multiplied by ``scale``, rounded and clipped to 0...255, and
    resized likewise if it has another size. Bytes stay as they are where training had bytes, or
    floats of up to 1.

    Attributes:
        channels: 1 is grey, 3 is colour.
        height: In pixels.
        width: In pixels.
        layout: The axes of an array's images, where its shape leaves that open.
        scale: What an array's values are multiplied by to become 0...255.
        bits: How many bits of a grey file of 16 are used: a camera's often are 10, 12 or 14.
    """

    kind: ClassVar[str] = "images"
    channels: int
    height: int
    width: int
    layout: Layout = "hwc"
    scale: float = 1.0
    bits: int = 16

    @property
    def shape(self) -> tuple[int, ...]:
        return self.channels, self.height, self.width

    @property
    def sizes(self) -> Mapping[str, Any]:
        return {"channels": self.channels, "height": self.height, "width": self.width}

    def items(self, data: Any) -> Any:
        """Files from a path, a folder or several of them; or arrays as they are."""
        if isinstance(data, str | Path):
            path = Path(data)
            if path.suffix.lower() == ".npz":
                return archive_inputs(path)
            return files_below(path) if path.is_dir() else [path]
        if isinstance(data, Image.Image):
            return [data]
        return _to_numpy(data)

    @classmethod
    def prepare(cls, items: Any, divide: Divide, options: Options) -> Prepared:
        items = _to_numpy(items)
        broken: dict[str, str] = {}
        of_files = isinstance(items[0], str | Path)
        find = cls._of_files if of_files else cls._of_arrays
        inputs, notes = find(items, options.size, broken)

        def read(part: slice) -> Array:
            rows = inputs.read_into(items[part], broken)
            if part.stop == len(items):
                _refuse(broken)
            return rows

        shape = (len(items), *inputs.shape)
        path = None
        if options.cache is not None and (of_files or np.prod(shape, dtype=np.int64) > BY_VALUE):
            path = options.cache / f"images-{inputs.digest(items)}.npy"
        kept = keep(read, shape, np.uint8, path, options.progress)
        rows, said = divide(kept.digests)
        return Prepared(inputs, kept, rows, notes + said)

    @classmethod
    def _of_files(
        cls, items: Sequence[Path], size: Any, broken: dict[str, str]
    ) -> tuple[ImageInputs, list[str]]:
        """Reads only the heads of the files, and the pixels of some that have 16 bits."""
        heads: dict[Path, _Head] = {}
        for path in items:
            try:
                with Image.open(path) as image:
                    heads[path] = _head(image)
            except TaskError:
                raise
            except _UNREADABLE as error:
                broken[str(path)] = _reason(error)
        if not heads:
            _refuse(broken)
        deep = [path for path, head in heads.items() if head.deep]
        return cls._of_heads([*heads.values()], size, _LARGEST_SIDE, _peak(deep, broken))

    @classmethod
    def _of_heads(
        cls, heads: Sequence[_Head], size: Any, largest: int | None, peak: int
    ) -> tuple[ImageInputs, list[str]]:
        sides = [head.sides for head in heads]
        height, width = _wanted(size) or _median(sides, largest)
        channels = 1 if all(head.grey for head in heads) else 3
        bits = max(8, peak.bit_length()) if peak else 16
        notes = (
            [f"Images of 16 bits reach {peak:,}: {bits} bits are used, what is beyond is white."]
            if bits < 16
            else []
        )
        return cls(channels, height, width, bits=bits), notes + _resizing(sides, height, width)

    @classmethod
    def _of_arrays(
        cls, items: Any, size: Any, broken: dict[str, str]
    ) -> tuple[ImageInputs, list[str]]:
        del broken
        alike = isinstance(items, np.ndarray)
        if not alike and isinstance(items[0], Image.Image):
            heads = [_head(image) for image in items]
            deep = [image for image, head in zip(items, heads, strict=True) if head.deep]
            return cls._of_heads(heads, size, None, _peak(deep, {}))
        layout, channels = _find_layout(np.shape(items[0]))
        shapes = {items.shape[1:]} if alike else {np.shape(each) for each in items}
        if any(0 in shape for shape in shapes):
            raise TaskError(
                f"Images must have a height and a width, but some have the shape "
                f"{next(shape for shape in shapes if 0 in shape)}. Leave them out."
            )
        sides = [_sides(np.shape(each)) for each in (items[:1] if alike else items)]
        height, width = _wanted(size) or _median(sides, None)
        scale, notes = _find_scale([items] if alike else items)
        inputs = cls(channels, height, width, layout, scale)
        return inputs, notes + _resizing(sides, height, width)

    def digest(self, items: Any) -> str:
        """Changes with the reading, with any array, and with any file, its size or its time."""
        digest = hashlib.blake2b(json.dumps(self.to_json()).encode(), digest_size=16)
        if isinstance(items, np.ndarray):
            items = [items[part] for part in chunks(items)]
        for item in items:
            if isinstance(item, str | Path):
                path = Path(item).resolve()
                # A link to nowhere is named with the other broken files, when they are read.
                stat = path.stat() if path.exists() else Path(item).lstat()
                digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
            else:
                digest.update(np.ascontiguousarray(item).data)
        return digest.hexdigest()

    def read(self, items: Any) -> npt.NDArray[np.uint8]:
        """The raw inputs ``(n, channels, height, width)``; every unreadable file is named."""
        broken: dict[str, str] = {}
        rows = self.read_into(items, broken)
        _refuse(broken)
        return rows

    def read_into(self, items: Any, broken: dict[str, str]) -> npt.NDArray[np.uint8]:
        """Reads as ``read`` does, but gathers the unreadable files, whose rows are 0."""
        if isinstance(items, np.ndarray):
            return self._read_array(items)
        rows = np.zeros((len(items), *self.shape), np.uint8)

        def fill(place: int) -> None:
            item = items[place]
            try:
                rows[place] = self._read_one(item)
            except TaskError:
                raise
            except _UNREADABLE as error:
                broken[str(item)] = _reason(error)

        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(fill, range(len(items))))
        return rows

    def _read_one(self, item: Any) -> npt.NDArray[np.uint8]:
        if isinstance(item, str | Path):
            with Image.open(item) as image:
                return self._read_image(image)
        if isinstance(item, Image.Image):
            return self._read_image(item)
        rows: npt.NDArray[np.uint8] = self._read_array(np.asarray(item)[None])[0]
        return rows

    def _read_image(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        _check_bits(image)
        if self.channels not in (1, 3):
            raise TaskError(
                "An image that is not an array is read as grey or colour, but training had "
                f"{self.channels} channels. Give arrays (n, height, width, {self.channels})."
            )
        mode = "L" if self.channels == 1 else "RGB"
        side = 2 * max(self.height, self.width)
        image.draft(mode, (side, side))
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):
            image = Image.fromarray(self._lowered(np.asarray(image)))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert(mode)
        if image.size != (self.width, self.height):
            image = image.resize((self.width, self.height), Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(self.height, self.width, -1).transpose(2, 0, 1)

    def _lowered(self, values: Array) -> npt.NDArray[np.uint8]:
        """The upper 8 of the bits that are used; white where a value is beyond them."""
        upper: npt.NDArray[np.uint8] = np.minimum(values >> (self.bits - 8), 255).astype(np.uint8)
        return upper

    def _read_array(self, images: Array) -> npt.NDArray[np.uint8]:
        images = _channels_first(images, self._layout_of(images.shape))
        self._check_array(images)
        if not self._are_pixels(images):
            scaled = images.astype(np.float32) * np.float32(self.scale)
            images = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
        if images.shape[2:] == (self.height, self.width):
            return np.ascontiguousarray(images)
        size = (self.width, self.height)
        resized = [
            np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))
            for plane in np.ascontiguousarray(images).reshape(-1, *images.shape[2:])
        ]
        return np.stack(resized).reshape(-1, *self.shape)

    def _layout_of(self, shape: tuple[int, ...]) -> Layout:
        """The layout of a batch of arrays, from its shape and the channels that are wanted."""
        if len(shape) == 3 and self.channels == 1:
            return "hw"
        if len(shape) == 4:
            last, first = shape[3] == self.channels, shape[1] == self.channels
            if last and first:
                return self.layout
            if last or first:
                return "hwc" if last else "chw"
        raise TaskError(
            f"Images must have {self.channels} channel{'s' * (self.channels > 1)} and the shape "
            f"(n, {self.channels}, height, width) or (n, height, width, {self.channels}), but "
            f"have {shape}. Convert them."
        )

    def _are_pixels(self, images: Array) -> bool:
        """Whether they are of 0...255 already: bytes are, also after training on floats up to 1."""
        if images.dtype != np.uint8:
            return False
        return self.scale == 1 or (self.scale == 255 and images.max(initial=0) > 1)

    def _check_array(self, images: Array) -> None:
        if 0 in images.shape[1:]:
            raise TaskError(
                f"Images must have a height and a width, but have the shape {images.shape[1:]}. "
                "Leave them out."
            )
        if self._are_pixels(images) or not images.size:
            return
        _check_real(images)
        low, high = images.min(), images.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            raise TaskError(
                "Images must have finite values, but some are not. Replace them (np.nan_to_num)."
            )
        if self.scale == 1 and 0 < high <= 1 and np.issubdtype(images.dtype, np.floating):
            raise TaskError(
                f"Images must have values of 0 to 255, as in training, but reach only {high:g}. "
                "Multiply them by 255."
            )
        largest = 255 / self.scale
        if high > 2 * largest:  # A little beyond is what resizing makes, and is clipped.
            raise TaskError(
                f"Images must have values of 0 to {largest:g}, as in training, but reach {high:g}. "
                "Bring them to that range."
            )

    def normalizer(self, train: Split) -> nn.Module:
        step = max(1, len(train) // _SAMPLE)
        return _Standardise(*_statistics(train.inputs, step))

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "channels": self.channels,
            "height": self.height,
            "width": self.width,
            "layout": self.layout,
            "scale": self.scale,
            "bits": self.bits,
            "resize": "bilinear",
            "background": "white",
            "dtype": "uint8",
            "shape": list(self.shape),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ImageInputs:
        names = ("channels", "height", "width", "layout", "scale")
        return cls(**{name: data[name] for name in names}, bits=data.get("bits", 16))


class _Standardise(nn.Module):
    """Each channel with mean 0 and standard deviation 1 over the training images."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Array, std: Array) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean).float()[None, :, None, None])
        self.register_buffer("std", torch.from_numpy(std).float()[None, :, None, None])

    def forward(self, raw: Tensor) -> Tensor:
        """From uint8 ``(batch, channels, height, width)`` to float32 of the same shape."""
        return (raw.float() - self.mean) / self.std


class Shrunk(nn.Module):
    """What another module makes of images, shrunk to ``(height, width)`` by area."""

    def __init__(self, normalizer: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.normalizer = normalizer
        self.size = size

    def forward(self, raw: Tensor) -> Tensor:
        return functional.interpolate(self.normalizer(raw), size=self.size, mode="area")


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and its subfolders that are not hidden, sorted.

    Links to nowhere are among them, so that they are named and not passed over.
    """
    found = (
        path
        for path in folder.rglob("*")
        if path.is_file() or (path.is_symlink() and not path.exists())
    )
    return sorted(
        path
        for path in found
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def form_of(items: Any) -> str:
    """What the images of all splits must have in common to be read alike."""
    items = _to_numpy(items)
    if isinstance(items[0], str | Path):
        return "files"
    if isinstance(items[0], Image.Image):
        return "Pillow images"
    arrays = [items] if isinstance(items, np.ndarray) else [*map(np.asarray, items)]
    for each in arrays:
        _check_real(each)
    # Where they were resized, those of up to 1 may be a little beyond it.
    small = all(each.dtype != np.uint8 and each.max(initial=0) < 2 for each in arrays)
    return "arrays of up to 1" if small else "arrays of more than 1"


class _Head(NamedTuple):
    """What is known of an image before it is read.

    Attributes:
        sides: Its height and width, once it is turned as its EXIF says.
        grey: Whether it has no colours.
        deep: Whether it has 16 bits.
    """

    sides: tuple[int, int]
    grey: bool
    deep: bool


def _head(image: Image.Image) -> _Head:
    _check_bits(image)
    sides = image.height, image.width
    # Asked of other files, Pillow would read a PNG to its end.
    turned = "exif" in image.info and image.getexif().get(_ORIENTATION) in _SIDEWAYS
    deep = image.mode.startswith("I;16")
    return _Head(sides[::-1] if turned else sides, image.mode in _GREY, deep)


def _peak(items: Sequence[Path | Image.Image], broken: dict[str, str]) -> int:
    """The largest value of images of 16 bits, of which some are looked at; 0 where there are none."""
    peak = 0
    for item in items[:: max(1, len(items) // _LOOKED_AT)]:
        try:
            with nullcontext(item) if isinstance(item, Image.Image) else Image.open(item) as image:
                peak = max(peak, int(np.asarray(image).max()))
        except _UNREADABLE as error:
            broken[str(item)] = _reason(error)
    return peak


def _check_bits(image: Image.Image) -> None:
    if image.mode in ("I", "F"):
        raise TaskError(
            "An image must have 8 or 16 bits a channel, but Pillow opens "
            f"{getattr(image, 'filename', '') or 'one'} with 32 (mode {image.mode}), whose range is "
            "unknown. Convert it, or give arrays of one range."
        )


def _to_numpy(items: Any) -> Any:
    """One array where all images have one shape, else a sequence of images."""
    if isinstance(items, Tensor):
        return items.detach().cpu().numpy()
    if isinstance(items, np.ndarray) and items.ndim and items.dtype != object:
        return items
    try:
        items = list(items)
    except TypeError as error:
        raise TaskError(
            "Images must be files, an array or a sequence of images, but got one "
            f"{type(items).__name__}. Give one of these."
        ) from error
    items = [each.detach().cpu().numpy() if isinstance(each, Tensor) else each for each in items]
    if not items or isinstance(items[0], str | Path | Image.Image):
        return items
    alike = len({np.shape(each) for each in items}) == 1
    return np.stack(items) if alike else items


def _find_layout(shape: tuple[int, ...]) -> tuple[Layout, int]:
    """The layout and channels of one image array; channels come last where both could be."""
    if len(shape) == 2:
        return "hw", 1
    if len(shape) == 3:
        usual = (1, 3, 4)
        last = shape[2] in usual or (shape[0] not in usual and shape[2] <= shape[0])
        channels = shape[2] if last else shape[0]
        if channels <= _MOST_CHANNELS:
            return ("hwc" if last else "chw"), channels
    raise TaskError(
        "Images must have the shape (height, width), (height, width, channels) or (channels, "
        f"height, width) with at most {_MOST_CHANNELS} channels, but have {shape}. Reshape them."
    )


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[1], shape[2]) if _find_layout(shape)[0] == "chw" else (shape[0], shape[1])


def _channels_first(images: Array, layout: Layout) -> Array:
    """A view ``(n, channels, height, width)``."""
    if layout == "hw":
        return images[:, None]
    return images.transpose(0, 3, 1, 2) if layout == "hwc" else images


def _check_real(images: Array) -> None:
    if images.dtype.kind not in "buif":
        raise TaskError(
            f"Images must be arrays of real numbers, but are of type {images.dtype}. Convert them."
        )


def _find_scale(arrays: Sequence[Array]) -> tuple[float, list[str]]:
    """What brings the values to 0...255: whole bytes and floats of up to 1 are usual."""
    if all(each.dtype in (np.uint8, np.bool_) for each in arrays):
        return (255.0 if arrays[0].dtype == np.bool_ else 1.0), []
    for each in arrays:
        _check_real(each)
    low = min(float(each.min()) for each in arrays)
    high = max(float(each.max()) for each in arrays)
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high == 0:
        raise TaskError(
            f"Images must have finite values of 0 to 1 or 0 to 255, but theirs are {low:g} to "
            f"{high:g}. Undo their standardisation; ogive does its own."
        )
    if np.issubdtype(arrays[0].dtype, np.floating) and high <= 1:
        return 255.0, []
    if 127 < high <= 255:
        return 1.0, []
    return 255.0 / high, [f"Image values of 0 to {high:g} are scaled to 0 to 255."]


def _wanted(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    try:
        height, width = map(operator.index, size if isinstance(size, Sequence) else (size, size))
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"size must be whole pixels, but got {size!r}. Give a side, or (height, width)."
        ) from error
    if height < 1 or width < 1:
        raise TaskError(
            f"size must be at least 1 pixel, but got {size!r}. Give a side, or (height, width)."
        )
    return height, width


def _median(sides: Sequence[tuple[int, int]], largest: int | None) -> tuple[int, int]:
    """The median height and width; the longer one at most ``largest``."""
    height, width = np.median(np.asarray(sides), axis=0)
    shrink = min(1.0, largest / max(height, width)) if largest else 1.0
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _resizing(sides: Sequence[tuple[int, int]], height: int, width: int) -> list[str]:
    if all(side == (height, width) for side in sides):
        return []
    found = np.asarray(sides)
    low, high = "x".join(map(str, found.min(axis=0))), "x".join(map(str, found.max(axis=0)))
    return [f"Images of {low} to {high} pixels are resized to {height}x{width}; size= changes it."]


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    return str(error) or type(error).__name__


def _refuse(broken: Mapping[str, str]) -> None:
    if not broken:
        return
    named = [f"  {path}: {broken[path]}" for path in sorted(broken)[:_NAMED]]
    if len(broken) > _NAMED:
        named.append(f"  and {len(broken) - _NAMED:,} more")
    raise TaskError(
        f"Every file must be an image, but {len(broken):,} cannot be read. Remove or replace "
        "them:\n" + "\n".join(named)
    )


def _statistics(images: Any, step: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each channel, exactly, from counts of the byte values."""
    index = np.arange(0, len(images), step)
    channels = images.shape[1]
    counts = np.zeros((channels, 256))
    whole = np.broadcast_to(np.uint8(0), (len(index), *images.shape[1:]))
    for part in chunks(whole, 1 << 20):  # Small, because bincount makes eight bytes of one.
        rows = images[index[part]]
        for channel in range(channels):
            counts[channel] += np.bincount(rows[:, channel].ravel(), minlength=256)
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ np.arange(256.0)
    std = np.sqrt(share @ np.arange(256.0) ** 2 - mean**2)
    return mean, np.where(std > 1e-6, std, 1.0)
