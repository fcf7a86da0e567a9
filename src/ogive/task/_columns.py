"""One column of a table: what it holds, and the numbers a network gets for it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ogive.errors import TaskError

__all__ = ["DURATION", "ISO_DATE", "MISSING", "Column", "clean", "find_column", "is_text"]

Floats = npt.NDArray[np.float64]
ColumnType = Literal["number", "boolean", "date", "category"]

MISSING: Final = ("", "?", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NaT", "NULL", "null", "None")
"""Texts that mean that a value is missing."""

ISO_DATE: Final = (
    r"(?=\d{4}\D|\d{8})(?!0000)(\d{4})([-/. ]?)(\d\d?)(?:\2(\d\d?)"
    r"(?:([T ](?:\d\d?(?=:)|\d\d)(?::?\d\d(?::?\d\d(?:\.\d{1,9})?)?)?)(?: ?(Z|[+-]\d\d(?::?[0-5]\d)?))?)?)?"
)
"""A date in the order of ISO 8601: year, mark, month and, where there are, day, time, zone."""
_USUAL_DATE: Final = (
    r"[1-9]\d{3}-\d\d-\d\d"
    r"(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:[0-5]\d)?)?"
)
"""The most usual of them, without looking ahead or back: so a whole column is matched at once."""
DURATION: Final = r"(-?[0-9]+) days(?: \+?([0-9]{2}):([0-9]{2}):([0-9]{2}(?:\.[0-9]{1,9})?))?"
"""A duration as pandas writes it, which is a number of seconds: ``-1 days +23:30:00`` is -1,800."""

UNKNOWN_CODE: Final = 0
"""A category that training did not have (or had too rarely to keep)."""
MISSING_CODE: Final = 1
FIRST_CODE: Final = 2

_CATEGORIES: Final = 254
_RARE: Final = 2
_NUMERIC_SHARE: Final = 0.95
_ID_SHARE: Final = 0.5
_ID_VALUES: Final = 20
_INDEX_NAMES: Final = frozenset({"", "id", "index", "row", "rowid", "row_id", "unnamed: 0"})
_DAYS: Final = ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d %b %Y", "%d %B %Y")
_FORMATS: Final = (
    "ISO8601",
    *(day + time for time in ("", " %H:%M", " %H:%M:%S") for day in _DAYS),
)
_DAY_S: Final = 86_400
_STEPS: Final = 100
"""In so many steps float32 should divide the middle half of a column of numbers."""
_PARTS: Final = ("days", "year", "month", "day", "weekday", "hour", "minute")


@dataclass(frozen=True)
class Column:
    """How one column of a table becomes numbers; JSON says all of it.

    Attributes:
        name: The column's name.
        type: ``number`` (or not a number), ``boolean`` (1 or 0), ``date`` (its parts), or
            ``category`` (a code).
        flag: Whether a further number says that the value is missing (1) or not (0).
        format: How a date is written: ``ISO8601`` (as ``ISO_DATE``) or a ``strptime`` format.
        parts: Of a date: ``days`` (since 1970, with a fraction), ``year``, ``month``, ``day``,
            ``weekday`` (Monday is 0), ``hour``, ``minute``.
        values: Of a category: the text with code 2, 3, ...; 0 is any other, 1 is missing.
    """

    name: str
    type: ColumnType
    flag: bool = False
    format: str | None = None
    parts: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers it becomes."""
        return (len(self.parts) if self.type == "date" else 1) + self.flag

    @property
    def cardinality(self) -> int:
        """How many codes a category has."""
        return FIRST_CODE + len(self.values)

    def read(self, column: pd.Series[Any]) -> Floats:
        """The numbers ``(rows, width)`` of a column; NaN where a number is missing."""
        if self.type == "category":
            return self._codes(column)[:, None]
        if self.type == "date":
            numbers = _date_parts(_to_dates(column, self.format), self.parts)
        else:
            read = _to_booleans if self.type == "boolean" else _to_numbers
            numbers = read(column)[:, None]
        numbers = np.where(np.isfinite(numbers), numbers, np.nan)
        if self.flag:
            numbers = np.column_stack([numbers, np.isnan(numbers[:, 0])])
        return numbers

    def _codes(self, column: pd.Series[Any]) -> Floats:
        texts = _texts(column)
        codes = pd.Index(self.values).get_indexer(pd.Index(texts)) + FIRST_CODE
        codes = np.where(codes < FIRST_CODE, UNKNOWN_CODE, codes)
        return np.where(texts.isna(), MISSING_CODE, codes).astype(np.float64)

    def to_json(self) -> dict[str, Any]:
        """Its fields, without those that say nothing for its type."""
        fields: dict[str, Any] = asdict(self)
        said = {key: value for key, value in fields.items() if value not in (None, (), False)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in said.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Column:
        lists = {key: tuple(data.get(key, ())) for key in ("parts", "values")}
        return cls(**(data | lists))


def is_text(column: pd.Series[Any]) -> bool:
    """Whether a column holds text, or a mixture that can only be read as text."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    return bool(pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column))


def clean(column: pd.Series[Any]) -> pd.Series[Any]:
    """Text without surrounding blanks, and NaN where it means that a value is missing."""
    if not is_text(column):
        return column
    texts = column.astype("str").str.strip()
    return texts.mask(texts.isin(MISSING))


def _texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """What stands for the category of each row; a whole number has no decimals."""
    texts = clean(column.astype("str"))
    return texts.str.replace(r"^(-?\d+)\.0$", r"\1", regex=True)


def find_column(name: str, column: pd.Series[Any]) -> tuple[Column | None, str | None]:
    """Finds out from the training rows what a column holds.

    Returns:
        The column, or None where it should be left out; and what should be said of it.

    Raises:
        TaskError: The column is empty.
    """
    named = isinstance(column.dtype, pd.CategoricalDtype)
    column = _texts(column) if named else clean(column)
    present = column.dropna()
    if present.empty:
        if re.fullmatch(r"(Unnamed: \d+)?", name):
            return None, f"Column {name!r} is empty and has no name; left out."
        raise TaskError(
            f"A column must have some values, but {name!r} is empty in all {len(column)} "
            "training rows. Remove it, or correct how it was written."
        )
    flag = len(present) < len(column)
    if present.nunique() == 1 and not flag:
        return None, f"Column {name!r} is constant ({present.iloc[0]}); left out."
    return _category(name, present) if named else _find_typed(name, present, flag)


def _find_typed(
    name: str, present: pd.Series[Any], flag: bool
) -> tuple[Column | None, str | None]:
    if pd.api.types.is_bool_dtype(present) or _says_boolean(present):
        return Column(name, "boolean", flag), None
    if pd.api.types.is_datetime64_any_dtype(present):
        return _date(name, present, "ISO8601", flag)
    if not is_text(present):
        if _is_index(name, present):
            return None, f"Column {name!r} numbers the rows; left out."
        return _number(name, present, flag)
    numbers = _numbers_in(present)
    if numbers.notna().all():
        return _find_typed(name, numbers, flag)
    if numbers.notna().mean() >= _NUMERIC_SHARE:
        odd = present[numbers.isna()].unique()[:3]
        said = f"Column {name!r} is of numbers; {', '.join(map(repr, odd))} count as missing."
        return Column(name, "number", flag=True), said
    formats = list(_FORMATS)
    for some in (present.iloc[:100], present):
        formats = [each for each in formats if _to_dates(some, each).notna().all()]
    if formats:
        return _date(name, present, formats[0], flag, ambiguous=len(formats) > 1)
    return _category(name, _texts(present))


def _number(name: str, present: pd.Series[Any], flag: bool) -> tuple[Column | None, str | None]:
    numbers = _to_numbers(present)
    unusable = np.isnan(numbers)
    if unusable.all():
        return None, f"Column {name!r} has no finite number; left out."
    if unusable.any():
        said = (
            f"Column {name!r} has numbers that are infinite or beyond float32 "
            f"({unusable.sum():,} of {len(present):,}); they count as missing."
        )
        return Column(name, "number", flag=True), said
    low, median, high = np.quantile(numbers, [0.25, 0.5, 0.75])
    step = np.spacing(np.float32(abs(median)))
    if not step > (high - low) / _STEPS > 0:
        return Column(name, "number", flag), None
    return Column(name, "number", flag), (
        f"Column {name!r} varies by {high - low:.3g} around {median:.9g}, where float32 has steps "
        f"of {step:.3g}; subtract a constant from it."
    )


def _category(name: str, present: pd.Series[Any]) -> tuple[Column | None, str | None]:
    counts = present.value_counts()
    if len(counts) > max(_ID_VALUES, int(_ID_SHARE * len(present))):
        return None, (
            f"Column {name!r} is text with {len(counts):,} distinct values in {len(present):,} "
            "rows, like a name or a number of the row; left out."
        )
    kept = sorted(counts[counts >= _RARE].index[:_CATEGORIES])
    if not kept:
        return None, f"Column {name!r} has a different text in every row; left out."
    said = None
    if rare := len(counts) - len(kept):
        said = f"Column {name!r} has {rare:,} rare categories that count as one."
    return Column(name, "category", values=tuple(kept)), said


def _date(
    name: str, present: pd.Series[Any], form: str, flag: bool, *, ambiguous: bool = False
) -> tuple[Column | None, str | None]:
    numbers = _date_parts(_to_dates(present, form), _PARTS)
    varied = np.ptp(numbers, axis=0) > 0
    parts = tuple(part for part, varies in zip(_PARTS, varied, strict=True) if varies)
    parts = parts or _PARTS[:1]  # One date, where some are missing.
    said = f"Column {name!r} is of dates ({form}) and gives {', '.join(parts)}."
    if ambiguous:
        said += " Day and month could be the other way round; write dates as 2024-12-31 if so."
    return Column(name, "date", flag, format=form, parts=parts), said


def _says_boolean(present: pd.Series[Any]) -> bool:
    return is_text(present) and bool(present.str.lower().isin(["true", "false"]).all())


def _is_index(name: str, present: pd.Series[Any]) -> bool:
    return bool(
        name.strip().lower() in _INDEX_NAMES
        and present.is_unique
        and (present.astype(np.float64) % 1 == 0).all()
    )


def _to_numbers(column: pd.Series[Any]) -> Floats:
    if pd.api.types.is_complex_dtype(column):
        raise TaskError(
            f"A column must hold real numbers, but {column.name!r} holds complex ones. Give real "
            "and imaginary part, or magnitude and phase, a column each."
        )
    if pd.api.types.is_timedelta64_dtype(column):
        column = column.dt.total_seconds()
    numbers = _numbers_in(clean(column)).to_numpy(np.float64, na_value=np.nan)
    # Beyond the largest float32 a number would become infinite.
    limit = float(np.finfo(np.float32).max)
    return np.asarray(np.where(np.abs(numbers) <= limit, numbers, np.nan), np.float64)


def _numbers_in(column: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers, and those of seconds in durations; NaN where there is neither."""
    numbers = pd.to_numeric(column, errors="coerce")
    if not is_text(column) or not column.str.contains(" days", regex=False).any():
        return numbers
    parts = column.where(numbers.isna()).str.extract(f"^{DURATION}$").astype(np.float64)
    seconds = parts.fillna({1: 0, 2: 0, 3: 0}) @ np.array([_DAY_S, 3600, 60, 1])
    return numbers.where(numbers.notna(), seconds)


def _to_booleans(column: pd.Series[Any]) -> Floats:
    texts = column.astype("str").str.strip().str.lower()
    numbers = texts.map({"true": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "0": 0.0, "0.0": 0.0})
    return np.asarray(numbers, np.float64)


def _to_dates(column: pd.Series[Any], form: str | None) -> pd.Series[Any]:
    """Dates without a zone, in UTC where they had one; NaT where unreadable."""
    if not pd.api.types.is_datetime64_any_dtype(column):
        column = clean(column.astype("str"))
        # Any other form ends in a digit; without one pandas would read "now", too.
        usual, written = (_USUAL_DATE, ISO_DATE) if form == "ISO8601" else (r".*\d", r".*\d")
        texts = column.fillna("")
        found = np.array(texts.str.fullmatch(usual), np.bool_)
        found[~found] = [bool(re.fullmatch(written, text)) for text in texts[~found]]
        column = column.where(found)
        # In nanoseconds a date far off would overflow, and with it those of other rows.
        if column.str.contains(".", regex=False).any():
            column = column.str.replace(r"(\.\d{6})\d+", r"\1", regex=True)
    dates = pd.to_datetime(column, format=form, errors="coerce", utc=True)
    return dates.where(dates.dt.year.between(1, 9999)).dt.tz_localize(None)


def _date_parts(dates: pd.Series[Any], parts: tuple[str, ...]) -> Floats:
    days = (dates - pd.Timestamp("1970-01-01")).dt.total_seconds() / _DAY_S
    named = {"weekday": "day_of_week"}
    found = [
        days if part == "days" else getattr(dates.dt, named.get(part, part)) for part in parts
    ]
    return np.column_stack([part.to_numpy(np.float64, na_value=np.nan) for part in found])
