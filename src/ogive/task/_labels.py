"""From a column of a user's data to a target: is it classes or a value, and which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from ogive.errors import TaskError, did_you_mean
from ogive.task._columns import MISSING, clean, is_text
from ogive.task._target import Classes, Problem

__all__ = ["find_classes", "to_numbers", "to_values"]

_FEW: Final = 20
_SKEWED: Final = 3.0
_STRONGLY_SKEWED: Final = 5.0


def find_classes(
    column: pd.Series[Any],
    problem: Problem | None,
    names: Sequence[str] | None,
    *,
    numbers_are_classes: bool,
) -> tuple[Classes | None, list[str]]:
    """Decides by the target whether this is a classification, and into what.

    Text and booleans are classes, whole numbers are if they are few, other numbers are not.

    Args:
        column: The training target, one a row.
        problem: What the user says it is, or None.
        names: What the classes 0, 1, ... are called, where the data says so.
        numbers_are_classes: Whole numbers are classes however many there are.

    Returns:
        The classes, or None for a regression; and what should be said.

    Raises:
        TaskError: Missing or infinite targets, one class, or numbers that may mean either.
    """
    _check_kind(column)
    _check_present(column)
    numbers = _as_numbers(column)
    notes: list[str] = []
    if problem == "regression" or (problem is None and numbers is not None and names is None):
        if numbers is None:
            raise TaskError(
                f"A regression needs a target of numbers, but {column.name!r} holds "
                f"{column.iloc[0]!r}. Use problem='classification', or another target."
            )
        if problem == "regression" or not _numbers_as_classes(
            numbers, str(column.name), numbers_are_classes, notes
        ):
            return None, notes
    texts = pd.Series(_as_text(column))
    values = sorted(texts.unique(), key=_natural)
    if len(values) == 1:
        raise TaskError(
            f"A classification needs two classes or more, but all {len(column)} targets are "
            f"{values[0]!r}. Add samples of another class."
        )
    called = _called(values, names)
    metric, said = _imbalance(texts.map(dict(zip(values, called, strict=True))).value_counts())
    classes = Classes(metric=metric, names=called, values=tuple(values))
    return classes, notes + said


def to_numbers(classes: Classes, column: pd.Series[Any]) -> npt.NDArray[np.int64]:
    """The class numbers of a column.

    Raises:
        TaskError: A class that the training data does not have.
    """
    texts = _as_text(column)
    numbers = pd.Index(classes.values).get_indexer(pd.Index(texts))
    if (numbers < 0).any():
        unknown = sorted(set(texts[numbers < 0]))
        raise TaskError(
            "Validation and test data must have the training data's classes, but also have "
            f"{', '.join(map(repr, unknown[:10]))}.{did_you_mean(unknown[0], classes.values[:50])}"
        )
    return numbers.astype(np.int64)


def to_values(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """The column as numbers.

    Raises:
        TaskError: Missing, infinite or other than numbers.
    """
    _check_present(column)
    numbers = _as_numbers(column)
    if numbers is None:
        raise TaskError(
            f"The target {column.name!r} must hold numbers in every split, but not all its "
            "values are. Correct them."
        )
    values = numbers.to_numpy(np.float64)
    if not np.isfinite(values).all():
        rows = np.flatnonzero(~np.isfinite(values))
        raise TaskError(
            f"The target {column.name!r} must be finite, but is not in {len(rows)} of "
            f"{len(values)} rows (first: row {rows[0]}). Correct or remove them."
        )
    if (largest := np.abs(values).max()) > np.finfo(np.float32).max:
        raise TaskError(
            f"Networks compute in float32, up to {np.finfo(np.float32).max:.1e}, but the target "
            f"{column.name!r} reaches {largest:.1e}. Give it in a larger unit, or its logarithm."
        )
    return values


def _numbers_as_classes(
    numbers: pd.Series[Any], name: str, always: bool, notes: list[str]
) -> bool:
    values = numbers.unique()
    few = len(values) <= _FEW and len(values) * 3 <= len(numbers)
    if not pd.api.types.is_integer_dtype(numbers):
        if few and np.all(np.mod(values, 1) == 0):
            shown = ", ".join(f"{value:g}" for value in sorted(values)[:5])
            raise TaskError(
                f"Classes must be whole numbers or text and a quantity must vary, but target "
                f"{name!r} has only {len(values)} distinct floats, all whole ({shown}, ...). Say "
                "which it is: problem='classification' or problem='regression'."
            )
        return False
    if not always:
        taken = "classes" if few else "a quantity"
        other = "regression" if few else "classification"
        notes.append(
            f"Target {name!r} has {len(values)} distinct whole numbers and is taken as {taken}; "
            f"problem={other!r} if not."
        )
    return few or always


def _imbalance(counts: pd.Series[int]) -> tuple[str, list[str]]:
    """The metric that suits the classes, and what should be said of them."""
    ratio = counts.max() / counts.min()
    if ratio < _SKEWED:
        return "accuracy", []
    metric = "balanced_accuracy" if ratio >= _STRONGLY_SKEWED else "accuracy"
    alike = "; with that one, training and probabilities take the classes for equally frequent"
    said = (
        f"Classes are imbalanced: {counts.idxmax()!r} has {counts.max():,} samples, "
        f"{counts.idxmin()!r} has {counts.min():,} ({ratio:.1f} to 1); the objective is "
        f"{metric} unless you name another{alike if metric != 'accuracy' else ''}."
    )
    return metric, [said]


def _called(values: Sequence[str], names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes; where the data numbers them, ``names`` are looked up."""
    if names is None or set(values) <= set(names):
        return tuple(values)
    if not all(value.isdigit() and int(value) < len(names) for value in values):
        raise TaskError(
            f"Class names must stand for the classes 0 to {len(names) - 1}, but there is a "
            f"class {values[-1]!r}. Give one name a class."
        )
    return tuple(str(names[int(value)]) for value in values)


def _check_kind(column: pd.Series[Any]) -> None:
    types = pd.api.types
    if (
        types.is_datetime64_any_dtype(column)
        or types.is_timedelta64_dtype(column)
        or types.is_complex_dtype(column)
    ):
        raise TaskError(
            f"A target must hold numbers, text or booleans, but {column.name!r} is of type "
            f"{column.dtype}. Turn it into a number, such as the days since a date."
        )


def _check_present(column: pd.Series[Any]) -> None:
    missing = np.flatnonzero(clean(column).isna())
    if len(missing):
        rows = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise TaskError(
            f"Every row needs a target, but {column.name!r} is missing in {len(missing)} of "
            f"{len(column)} rows (rows {rows}, counted from 0). Fill them in or remove the rows; "
            f"{', '.join(MISSING[1:])} mean that it is missing, so rename a class of such a name."
        )


def _as_numbers(column: pd.Series[Any]) -> pd.Series[Any] | None:
    """The column as numbers, or None where it holds anything else."""
    if pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype):
        return None
    if not is_text(column):
        return column if pd.api.types.is_numeric_dtype(column) else None
    numbers = pd.to_numeric(clean(column), errors="coerce")
    return None if numbers.isna().any() else numbers


def _as_text(column: pd.Series[Any]) -> npt.NDArray[np.object_]:
    """What stands for the class of each row; a whole number has no decimals."""
    numbers = _as_numbers(column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype("str").to_numpy(dtype=object)
    if numbers is not None and pd.api.types.is_integer_dtype(numbers):
        column = numbers
    elif numbers is not None and np.all((np.mod(numbers, 1) == 0) & (np.abs(numbers) < 2**53)):
        column = numbers.astype(np.int64)
    return clean(column.astype("str")).to_numpy(dtype=object)


def _natural(value: str) -> tuple[bool, float, str]:
    """Sorts numbers by size and before text."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value
