"""What each decision was worth, as far as the trials can tell."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ogive.report._records import Row, Search, thin
from ogive.text import number

__all__ = ["ENOUGH", "Decision", "Option", "Worth", "option_label", "worth"]

Array = NDArray[np.float64]

ENOUGH = 20
"""Architectures below which nothing is said of decisions."""

_MOST_ROWS = 1500
_MOST_DECISIONS = 12
_MOST_OPTIONS = 6
_BELIEVABLE = 0.15
"""The share of the variance that the forest must explain before its shares are shown."""


@dataclass(frozen=True, slots=True)
class Option:
    """How the trials that took an option scored, against all trials of the same length.

    ``error`` is the standard error of the mean, 0 for a single trial.
    """

    label: str
    mean: float
    error: float
    count: int


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision, the share of the score's variance that goes with it, and its options."""

    path: str
    share: float | None
    options: Sequence[Option]


@dataclass(frozen=True, slots=True)
class Worth:
    """What was learned of the decisions, or why nothing was.

    Attributes:
        architectures: How many were compared.
        explained: The share of the variance that the forest explains out of its bags.
        decisions: Those that mattered most, first.
        left_out: How many more varied.
    """

    architectures: int
    explained: float = 0.0
    decisions: Sequence[Decision] = ()
    left_out: int = 0

    @property
    def believable(self) -> bool:
        return self.explained >= _BELIEVABLE


def worth(search: Search) -> Worth:
    """Compares the options of each decision over the search's own trials.

    Each architecture counts once, by its shortest training: that is the one look which strategies
    that promote give to all, good and bad. A score is taken relative to the mean of the trials of
    the same length.
    """
    rows = thin(_first_looks(search.tried), _MOST_ROWS)
    if len(rows) < ENOUGH:
        return Worth(len(rows))
    scores = _relative(search, rows)
    columns = _columns(search, rows)
    if not columns or not np.std(scores):
        return Worth(len(rows))
    shares, explained = _shares(np.column_stack(list(columns.values())), scores)
    order = np.argsort(-shares)[:_MOST_DECISIONS]
    paths = list(columns)
    shown = explained >= _BELIEVABLE
    decisions = [
        Decision(
            paths[index],
            float(shares[index]) if shown else None,
            _options([row.architecture.get(paths[index]) for row in rows], scores),
        )
        for index in order
    ]
    return Worth(len(rows), explained, decisions, len(paths) - len(order))


def _first_looks(rows: Sequence[Row]) -> list[Row]:
    first: dict[Hashable, Row] = {}
    for row in rows:
        known = first.get(row.key)
        if known is None or row.fidelity < known.fidelity:
            first[row.key] = row
    return list(first.values())


def _relative(search: Search, rows: Sequence[Row]) -> Array:
    scores = np.array([search.score(row) for row in rows])
    lengths = np.array([round(row.fidelity, 6) for row in rows])
    for length in np.unique(lengths):
        scores[lengths == length] -= scores[lengths == length].mean()
    return scores


def _columns(search: Search, rows: Sequence[Row]) -> dict[str, Array]:
    """One numeric column a decision that varies; NaN where a decision is not active."""
    known = [decision["path"] for decision in search.part("space").get("decisions") or ()]
    seen = dict.fromkeys([*known, *(path for row in rows for path in row.architecture)])
    columns = {}
    for path in seen:
        column = _codes([row.architecture.get(path) for row in rows])
        if len(np.unique(column)) > 1:
            columns[path] = column
    return columns


def _codes(values: Sequence[Any]) -> Array:
    if all(value is None or _is_number(value) for value in values):
        numbers = np.array([math.nan if value is None else float(value) for value in values])
        # Their order is all that trees see; the forest would make float32 of the numbers.
        order = np.searchsorted(np.unique(numbers[~np.isnan(numbers)]), numbers)
        return np.where(np.isnan(numbers), math.nan, order)
    codes = {
        label: code for code, label in enumerate(sorted({option_label(value) for value in values}))
    }
    return np.array(
        [math.nan if value is None else codes[option_label(value)] for value in values]
    )


def _shares(columns: Array, scores: Array) -> tuple[Array, float]:
    """Total Sobol' indices of a random forest over the columns, and what the forest explains.

    The estimator is that of Jansen (1999), ``mean((f(x) - f(x'))²) / 2 var(f)``, where x' has one
    column shuffled among the rows in which its decision is active.
    """
    active = ~np.isnan(columns)
    columns = np.where(active, columns, np.nanmin(columns, axis=0) - 1)
    # Imported here, since it takes a second and most commands draw no report.
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(
        n_estimators=100, min_samples_leaf=3, max_features=0.5, oob_score=True, random_state=0
    )
    forest.fit(columns, scores)
    predicted = forest.predict(columns)
    shares = np.zeros(columns.shape[1])
    if not np.var(predicted):
        return shares, 0.0
    rng = np.random.default_rng(0)
    for index in np.argsort(-forest.feature_importances_)[: 2 * _MOST_DECISIONS]:
        rows, shuffled = active[:, index], np.repeat(columns[None], 3, axis=0)
        for each in shuffled:
            each[rows, index] = rng.permutation(columns[rows, index])
        changed = forest.predict(shuffled.reshape(-1, columns.shape[1])).reshape(3, -1)
        shares[index] = np.mean((predicted - changed) ** 2) / (2 * np.var(predicted))
    return shares, max(0.0, float(forest.oob_score_))


def _options(values: Sequence[Any], scores: Array) -> list[Option]:
    labels = _labels(values)
    options = []
    for label in dict.fromkeys(label for label in labels if label is not None):
        of_option = scores[[other == label for other in labels]]
        n = len(of_option)
        error = float(of_option.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
        options.append(Option(label, float(of_option.mean()), error, n))
    if all(value is None or _is_number(value) for value in values):
        smallest = {label: value for label, value in zip(labels, values, strict=True) if label}
        return sorted(options, key=lambda option: float(smallest[option.label]))
    best_first = sorted(options, key=lambda option: -option.mean)
    return best_first[:_MOST_OPTIONS]


def _labels(values: Sequence[Any]) -> list[str | None]:
    """The option of each value: itself, or the range that it falls in where there are many."""
    present = [value for value in values if value is not None]
    if not all(_is_number(value) for value in present) or len(set(present)) <= _MOST_OPTIONS:
        return [None if value is None else option_label(value) for value in values]
    edges = np.unique(np.quantile(present, (0, 0.25, 0.5, 0.75, 1)))
    ranges = [f"{number(low, 3)} … {number(high, 3)}" for low, high in pairwise(edges)]
    return [
        None if value is None else ranges[int(np.searchsorted(edges[1:-1], value, side="left"))]
        for value in values
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def option_label(value: Any) -> str:
    """An option as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return number(value) if _is_number(value) else str(value)
