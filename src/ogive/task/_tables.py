"""Reading the files that hold tables."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from ogive.errors import TaskError, did_you_mean
from ogive.task._columns import MISSING

__all__ = ["TABLE_FILES", "named", "of_numpy", "read_frame"]

TABLE_FILES: Final = (".csv", ".tsv", ".parquet", ".pq")
_SNIFF: Final = 64 << 10


def read_frame(path: Path, known: Sequence[str] = ()) -> pd.DataFrame:
    """Reads a table; every cell of a text file stays text, so that no other row changes its type.

    Args:
        path: The file.
        known: The names of its columns, where they are known; a header may be of numbers.

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
        frame = pd.read_parquet(path) if suffix in (".parquet", ".pq") else _read_text(path, known)
    except FileNotFoundError as error:
        raise TaskError(f"A table must exist, but {path} does not. Correct the path.") from error
    except (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        raise TaskError(
            f"A table must be readable as {suffix} (UTF-8, one header, as many cells in each "
            f"row), but {path} is not: {str(error).rstrip('.')}. Correct the file or write it again."
        ) from error
    if frame.empty:
        raise TaskError(f"A table must have rows, but {path} has none. Check how it was written.")
    return named(frame, str(path))


def named(frame: pd.DataFrame, what: str = "the table") -> pd.DataFrame:
    """The table with text for the names of its columns, all of them different, and no Arrow types.

    Raises:
        TaskError: Two columns have the same name.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if doubled := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise TaskError(
            f"A table's columns must have different names, but {what} has "
            f"{', '.join(map(repr, doubled))} twice. Rename one."
        )
    types = frame.dtypes
    for name in types.index[[isinstance(each, pd.ArrowDtype | pd.PeriodDtype) for each in types]]:
        frame[name] = of_numpy(frame[name])  # A new frame by now: the caller's keeps its types.
    return frame


def of_numpy(column: pd.Series[Any]) -> pd.Series[Any]:
    """The column in the types of NumPy or pandas, where it is in Arrow's, which can do less.

    A period is the text that a file has of it, where that is a date; else its first day.
    """
    if isinstance(column.dtype, pd.PeriodDtype):
        texts = column.astype("str")
        odd = texts.str.contains("[Q/]").any()  # a quarter, a week
        return column.dt.start_time.dt.strftime("%Y-%m-%d") if odd else texts
    if not isinstance(column.dtype, pd.ArrowDtype):
        return column
    return pd.Series(pa.array(column).to_pandas().array, index=column.index, name=column.name)


def _read_text(path: Path, known: Sequence[str]) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.read(_SNIFF)
    if not head.strip():
        raise TaskError(f"A table must have rows, but {path} is empty. Check how it was written.")
    lines = head.splitlines()
    blank = next(place for place, line in enumerate(lines) if line.strip())
    separator = _separator(lines)
    first = next(csv.reader(lines[blank:], delimiter=separator))
    header = _is_header(first, known)
    names = _names(first) if header else _numbers(first)
    table = arrow_csv.read_csv(
        path,
        # One thread, because only then does an error say which row it is.
        read_options=arrow_csv.ReadOptions(
            column_names=names, use_threads=False, skip_rows=blank + header
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


def _separator(lines: Sequence[str]) -> str:
    """The separator that divides the first lines most evenly; a comma where none does."""
    lines = [line for line in lines if line.strip()][:20]
    counts = {mark: [line.count(mark) for line in lines] for mark in (",", ";", "\t", "|")}
    steady = {mark: min(found) for mark, found in counts.items() if min(found) > 0}
    uneven = {mark: sum(a != b for a, b in pairwise(counts[mark])) for mark in steady}
    return min(steady, key=lambda mark: (uneven[mark], -steady[mark]), default=",")


def _is_header(first: Sequence[str], known: Sequence[str]) -> bool:
    """Numbers are a header where they are the names known, or count three columns or more."""
    names = _names(first)
    if names == _numbers(first):  # Of one or two, 0 and 1 are values as well.
        return len(names) > 2
    return not _all_numbers(first) or names == list(known)


def _numbers(first: Sequence[str]) -> list[str]:
    return [str(number) for number in range(len(first))]


def _names(first: Sequence[str]) -> list[str]:
    return [
        name.strip() or ("" if place == 0 else f"Unnamed: {place}")
        for place, name in enumerate(first)
    ]


def _all_numbers(cells: Sequence[str]) -> bool:
    """Whether a line is of numbers only, so that it is hardly a header."""
    try:
        return bool([float(cell) for cell in cells])
    except ValueError:
        return False
