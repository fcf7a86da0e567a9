"""Reading the files that hold whole data sets: tables and ``.npz`` archives."""

from __future__ import annotations

import csv
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from ogive.errors import TaskError, did_you_mean
from ogive.task._columns import MISSING
from ogive.task._split import SPLIT_WORDS, SplitName

__all__ = [
    "TABLE_FILES",
    "Archive",
    "archive_inputs",
    "check_names",
    "read_archive",
    "read_frame",
    "texts",
]

TABLE_FILES: Final = (".csv", ".tsv", ".parquet", ".pq")
_SNIFF: Final = 64 << 10
_ROLES: Final = ("inputs", "targets")
_ROLE_WORDS: Final = {
    **dict.fromkeys(("x", "image", "images", "data", "input", "inputs", "features"), "inputs"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets", "class", "classes"), "targets"),
}


def read_frame(path: Path) -> pd.DataFrame:
    """Reads a table; every cell of a text file stays text, so that no other row changes its type.

    Raises:
        TaskError: The file is missing, of another type, empty, ragged or damaged.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_FILES:
        raise TaskError(
            f"A table must be one of {', '.join(TABLE_FILES)}, but the file is {path.name!r}."
            f"{did_you_mean(suffix, TABLE_FILES)} Convert it."
        )
    try:
        frame = pd.read_parquet(path) if suffix in (".parquet", ".pq") else _read_text(path)
    except FileNotFoundError as error:
        raise TaskError(f"A table must exist, but {path} does not. Correct the path.") from error
    except (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise TaskError(
            f"A table must be readable as {suffix} (UTF-8, one header, as many cells in each "
            f"row), but {path} is not: {str(error).rstrip('.')}. Correct the file or write it again."
        ) from error
    frame.columns = pd.Index([str(name) for name in frame.columns])
    if frame.empty:
        raise TaskError(f"A table must have rows, but {path} has none. Check how it was written.")
    check_names(frame, str(path))
    return frame


def check_names(frame: pd.DataFrame, what: str) -> None:
    """Refuses a table in which a name does not say which column is meant.

    Raises:
        TaskError: Two columns have the same name.
    """
    if doubled := sorted(set(map(str, frame.columns[frame.columns.duplicated()]))):
        raise TaskError(
            f"A table's columns must have different names, but {what} has "
            f"{', '.join(map(repr, doubled))} twice. Rename one."
        )


def read_archive(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Reads all arrays of an ``.npz``.

    Raises:
        TaskError: It is damaged, or holds Python objects.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is no archive, or was cut short")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reason = "it holds Python objects" if "pickle" in str(error) else str(error).rstrip(".")
        raise TaskError(
            f"An .npz must be an archive of plain arrays, but {path} cannot be read: {reason}. "
            "Write it again with numpy.savez."
        ) from error


def _read_text(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.read(_SNIFF)
    if not head.strip():
        raise TaskError(f"A table must have rows, but {path} is empty. Check how it was written.")
    separator = _separator(head)
    first = next(csv.reader(head.splitlines(), delimiter=separator))
    names = _names(first)
    table = arrow_csv.read_csv(
        path,
        # One thread, because only then does an error say which row it is.
        read_options=arrow_csv.ReadOptions(
            column_names=names, use_threads=False, skip_rows=0 if _all_numbers(first) else 1
        ),
        parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=list(MISSING),
            strings_can_be_null=True,
        ),
    )
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _separator(head: str) -> str:
    """The separator that divides the first lines most evenly; a comma where none does."""
    lines = head.splitlines()[:20]
    counts = {mark: [line.count(mark) for line in lines] for mark in (",", ";", "\t", "|")}
    steady = {mark: min(found) for mark, found in counts.items() if min(found) > 0}
    uneven = {mark: sum(a != b for a, b in pairwise(counts[mark])) for mark in steady}
    return min(steady, key=lambda mark: (uneven[mark], -steady[mark]), default=",")


def _names(first: Sequence[str]) -> list[str]:
    if _all_numbers(first):
        return [str(number) for number in range(len(first))]
    return [
        name.strip() or ("" if place == 0 else f"Unnamed: {place}")
        for place, name in enumerate(first)
    ]


def _all_numbers(cells: Sequence[str]) -> bool:
    """Whether a line is of numbers only, so that it is no header."""
    try:
        return bool([float(cell) for cell in cells])
    except ValueError:
        return False


@dataclass(frozen=True)
class Archive:
    """The arrays of an archive, by what their names say.

    Attributes:
        pairs: Inputs and targets of each split; ``train`` is always there.
        names: What the classes 0, 1, ... are called, where an array says so.
    """

    pairs: Mapping[SplitName, tuple[Any, Any]]
    names: tuple[str, ...] | None

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> Archive:
        """Reads names such as ``x_train``, ``train_images``, ``X``, ``labels``, ``class_names``.

        Raises:
            TaskError: Inputs and targets cannot be told by the names.
        """
        found: dict[tuple[SplitName, str], Any] = {}
        for key, array in arrays.items():
            place = _place(key)
            if place in found:
                raise _unclear(arrays, f"two of them are {place[1]} for {place[0]}")
            if place is not None:
                found[place] = array
        splits = {split for split, role in found if role != "names"}
        if not all((split, role) in found for split in {*splits, "train"} for role in _ROLES):
            raise _unclear(arrays, "they leave inputs or targets open")
        names = found.get(("train", "names"))
        return cls(
            {split: (found[split, "inputs"], found[split, "targets"]) for split in splits},
            None if names is None else tuple(map(str, texts(np.asarray(names)))),
        )


def texts(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An array as it is, but bytes as the text they stand for."""
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def archive_inputs(path: Path) -> Any:
    """The inputs alone of an ``.npz``, for prediction.

    Raises:
        TaskError: There are none, or several.
    """
    arrays = read_archive(path)
    inputs = [array for key, array in arrays.items() if (_place(key) or ("", ""))[1] == "inputs"]
    if len(inputs) != 1:
        raise _unclear(arrays, f"{len(inputs)} of them are inputs")
    return inputs[0]


def _place(key: str) -> tuple[SplitName, str] | None:
    """Which split and role the name of an array says, or None where it says nothing."""
    words = re.findall(r"[a-z]+", key.lower())
    if key in ("arr_0", "arr_1"):
        return "train", _ROLES[int(key[-1])]
    if len(words) > 1 and words[-1] == "names":
        return "train", "names"
    splits = [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
    roles = [_ROLE_WORDS[word] for word in words if word in _ROLE_WORDS]
    if len(splits) > 1 or len(roles) != 1 or len(words) != len(splits) + 1:
        return None
    return splits[0] if splits else "train", roles[0]


def _unclear(arrays: Mapping[str, Any], why: str) -> TaskError:
    return TaskError(
        "The arrays of an archive must be named like images and labels, X and y, or x_train, "
        f"y_train, x_test and y_test, but the names are {', '.join(arrays)} ({why}). Rename them."
    )
