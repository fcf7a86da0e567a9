"""Large arrays: written to one file row by row, memory-mapped, and pickled by path.

A file is a NumPy ``.npy`` with the digest of its rows as the last 16 bytes. It is written under
another name and renamed when whole, so that a file of the right name is a whole file; the digest
finds what happens to it afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ogive.errors import TaskError

__all__ = [
    "BY_VALUE",
    "Kept",
    "Progress",
    "Stored",
    "chunks",
    "digest_rows",
    "keep",
    "keep_array",
    "recall",
]

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]
"""Called with the rows done and the rows in all."""

IN_MEMORY: Final = 1 << 30
"""Bytes that are held in memory where no cache folder is given."""
BY_VALUE: Final = 1 << 20
"""Bytes up to which an array is pickled by value although a cache folder is given."""
_CHUNK: Final = 8 << 20
_DIGEST: Final = 16
_ABANDONED_S: Final = 600.0


class Stored:
    """An array that pickles by path where it lies in a file.

    Attributes:
        array: ``(rows, ...)``, read-only; memory-mapped where there is a path.
        path: The file, or None where the array is in memory (and pickled by value).
    """

    def __init__(self, array: Array, path: Path | None = None) -> None:
        self.array = array
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Stored:
        """Maps a file that is known to be whole.

        Raises:
            TaskError: The file has gone or cannot be read.
        """
        try:
            return cls(np.load(path, mmap_mode="r"), path)
        except (OSError, ValueError, EOFError) as error:
            raise TaskError(
                f"The cached data must stay where it was written, but {path} cannot be read "
                f"({error}). Load the data again to write it anew."
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is not None:
            return Stored.open, (self.path,)
        return Stored, (self.array,)


class Kept(NamedTuple):
    """A stored array, and one digest a row (uint64) by which equal rows are known."""

    stored: Stored
    digests: npt.NDArray[np.uint64]

    @property
    def digest(self) -> str:
        """The digest of all rows in order, 32 hex digits."""
        return _digest_of(self.digests).hex()


def digest_rows(rows: Array) -> npt.NDArray[np.uint64]:
    """One digest a row of ``(rows, ...)``."""
    rows = np.ascontiguousarray(rows)
    digests = (hashlib.blake2b(row, digest_size=8).digest() for row in rows)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def recall(path: Path) -> Kept | None:
    """Opens what ``keep`` wrote, or returns None where it is missing or damaged."""
    try:
        stored = Stored.open(path)
        with path.open("rb") as file:
            file.seek(-_DIGEST, os.SEEK_END)
            expected = file.read()
    except (OSError, TaskError):
        return None
    size = getattr(stored.array, "offset", 0) + stored.array.nbytes + _DIGEST
    if path.stat().st_size != size:
        return None
    digests = [digest_rows(stored.array[part]) for part in chunks(stored.array)]
    kept = Kept(stored, np.concatenate(digests))
    return kept if _digest_of(kept.digests) == expected else None


def keep(
    read: Callable[[slice], Array],
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    path: Path | None = None,
    progress: Progress | None = None,
) -> Kept:
    """Collects an array part by part, so that only one part is ever in memory beside it.

    Args:
        read: Gives the rows of a slice.
        shape: ``(rows, ...)`` of the whole.
        dtype: Of the whole.
        path: The file, named after its content, which is read if it is there and whole, and else
            written; or None to hold the array in memory.
        progress: Told after every part.

    Raises:
        TaskError: Without a path, where the array is too large for memory; with one, where the
            disk is full or cannot be written.
    """
    if path is not None and (kept := recall(path)) is not None:
        return kept
    whole = np.lib.stride_tricks.as_strided(np.zeros((), dtype), shape, (0,) * len(shape))
    if path is None:
        if whole.nbytes > IN_MEMORY:
            raise TaskError(
                f"Up to {IN_MEMORY >> 20} MiB of data are held in memory, but these take "
                f"{whole.nbytes >> 20} MiB. Give cache= a folder to keep them in a file."
            )
        array = np.empty(shape, dtype)
        return _fill(read, whole, progress, array, array.__setitem__)
    with _written(path, whole) as file:
        np.lib.format.write_array_header_1_0(
            file,
            {"descr": whole.dtype.str, "fortran_order": False, "shape": shape},
        )
        digests = _fill(
            read, whole, progress, whole, lambda _, rows: file.write(rows.data)
        ).digests
        file.write(_digest_of(digests))
    return Kept(Stored.open(path), digests)


def keep_array(array: Array, cache: Path | None) -> Stored:
    """Puts an array into a file of the cache folder, where it is large and a folder is given."""
    if cache is None or array.nbytes <= BY_VALUE:
        return Stored(array)
    path = (
        cache
        / f"{hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()}.npy"
    )
    return keep(array.__getitem__, array.shape, array.dtype, path).stored


def chunks(array: Array, size: int | None = None) -> Iterator[slice]:
    """Slices over the rows of an array, each of about ``size`` bytes, by default a few MB."""
    rows = len(array)
    step = max(1, (size or _CHUNK) * rows // max(array.nbytes, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _fill(
    read: Callable[[slice], Array],
    whole: Array,
    progress: Progress | None,
    array: Array,
    put: Callable[[slice, Array], object],
) -> Kept:
    digests = [np.empty(0, np.uint64)]
    for part in chunks(whole):
        rows = np.ascontiguousarray(read(part), dtype=whole.dtype)
        digests.append(digest_rows(rows))
        put(part, rows)
        if progress is not None:
            progress(part.stop, len(whole))
    return Kept(Stored(array), np.concatenate(digests))


@contextlib.contextmanager
def _written(path: Path, whole: Array) -> Iterator[Any]:
    """A file that gets its name only when all is written and on the disk."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        free = shutil.disk_usage(path.parent).free
        if free < whole.nbytes:
            raise TaskError(
                f"The cache folder {path.parent} must have {whole.nbytes >> 20} MiB free for this "
                f"data, but has {free >> 20} MiB. Free some, choose a smaller size=, or give "
                "another folder."
            )
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise TaskError(
            f"The cache folder {path.parent} must be writable and have {whole.nbytes >> 20} MiB "
            f"free, but writing failed ({error}). Free some space or give another folder."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # The first error says more.
            part.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Removes what writers that were killed have left; a living one writes every few seconds."""
    for part in folder.glob("*.part"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink()


def _digest_of(digests: npt.NDArray[np.uint64]) -> bytes:
    return hashlib.blake2b(digests.data, digest_size=_DIGEST).digest()
