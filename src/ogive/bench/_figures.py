"""What traces show: the best so far by what was spent, and how soon it was good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray

from ogive.bench._run import Protocol, Trace
from ogive.bench._table import Table

__all__ = ["Curves", "Goal", "curves", "goal"]

Array = NDArray[np.float64]

_POINTS = 400
"""Points of a curve at most."""

_TOP = 16


@dataclass(frozen=True)
class Goal:
    """What could be had: for the signal and for what is reported.

    Attributes:
        signal: The best signal of a full training; 1 for a hypervolume.
        top: The signal of the 16th best architecture; NaN for a hypervolume.
        report: The best of the reported column.
    """

    signal: float
    top: float
    report: float


def goal(table: Table, protocol: Protocol) -> Goal:
    """Returns what could be had in a table."""
    if protocol.cost is not None:
        return Goal(1.0, math.nan, 1.0)
    signal = np.sort(table.columns[protocol.signal.column])
    signal = signal[np.isfinite(signal)]
    report = float(np.nanmax(table.columns[protocol.report]))
    return Goal(float(signal[-1]), float(signal[-min(_TOP, len(signal))]), report)


@dataclass(frozen=True)
class Curves:
    """The best so far of each seed, at the same points.

    Attributes:
        at: What was spent, ``(points,)``.
        signal: The best signal of a full training so far, ``(seeds, points)``; NaN where none
            has ended. With two objectives, the hypervolume as a share of the whole front's.
        report: What is reported of the architecture that has it.
    """

    at: Array
    signal: Array
    report: Array

    def each(self, spent: float) -> tuple[Array, Array]:
        """Returns the signal and the report of each seed at the last point up to ``spent``."""
        place = max(0, int(np.searchsorted(self.at, spent * (1 + 1e-9), side="right")) - 1)
        return self.signal[:, place], self.report[:, place]

    def after(self, spent: float) -> dict[str, float]:
        """Returns means, standard errors and the deviation at the last point up to ``spent``."""
        signal, report = self.each(spent)
        return {
            "signal_mean": float(signal.mean()),
            "signal_se": float(standard_error(signal)),
            "report_mean": float(report.mean()),
            "report_se": float(standard_error(report)),
            "report_sd": float(standard_error(report)) * math.sqrt(len(report)),
        }

    def until(self, value: float) -> Array:
        """Returns what each seed had spent when its signal was so good; inf if it never was."""
        reached = self.signal >= value - 1e-9
        return np.where(reached.any(axis=1), self.at[reached.argmax(axis=1)], math.inf)


def standard_error(values: Array, axis: int = 0) -> Any:
    """The standard error of the mean; NaN of a single value."""
    count = values.shape[axis]
    if count < 2:
        return values.mean(axis=axis) * math.nan
    return values.std(axis=axis, ddof=1) / math.sqrt(count)


def curves(table: Table, protocol: Protocol, traces: Sequence[Trace]) -> Curves:
    """Returns the curves of a strategy's traces."""
    at = _points(protocol)
    follow = _best if protocol.cost is None else _dominated
    followed = [follow(table, protocol, trace, at) for trace in traces]
    return Curves(at, np.array([s for s, _ in followed]), np.array([r for _, r in followed]))


def _points(protocol: Protocol) -> Array:
    """Every training where they are few, else evenly spread; the end of the budget is one."""
    budget = protocol.budget
    if protocol.name != "time" and budget <= _POINTS and budget == int(budget):
        return np.arange(1, int(budget) + 1, dtype=np.float64)
    return np.linspace(budget / _POINTS, budget, _POINTS)


def _best(table: Table, protocol: Protocol, trace: Trace, at: Array) -> tuple[Array, Array]:
    full = np.array(trace.full, dtype=bool)
    rows = np.array(trace.rows, dtype=int)[full]
    spent = np.array(trace.spent)[full]
    signal = table.columns[protocol.signal.column][rows]
    signal = np.where(np.isfinite(signal), signal, -math.inf)
    best = np.maximum.accumulate(signal)
    # The trial that is the best so far: the first of equal ones.
    improved = np.r_[True, best[1:] > best[:-1]][: len(best)]
    holder = np.maximum.accumulate(np.where(improved, np.arange(len(best)), 0))
    report = table.columns[protocol.report][rows][holder]
    return _held(best, spent, at), _held(report, spent, at)


def _held(values: Array, spent: Array, at: Array) -> Array:
    """The last value that was there at each point."""
    place = np.searchsorted(spent, at * (1 + 1e-9), side="right") - 1
    return np.where(place >= 0, np.r_[values, math.nan][place], math.nan)


@dataclass(frozen=True)
class Area:
    """What a table has of a column, larger is better, and of a cost, smaller is better.

    Attributes:
        points: A row each, both smaller is better; infinite where a number is missing.
        reference: The largest cost, and the least of the column where that is negative, else 0.
        whole: The hypervolume of all; 0 where nothing is better than the reference in both.
    """

    points: Array
    reference: Array
    whole: float


def area(table: Table, column: str, cost: str) -> Area:
    """Returns what two columns of a table come to."""
    points = np.column_stack([-table.columns[column], table.columns[cost]])
    finite = np.flatnonzero(np.isfinite(points).all(axis=1))
    signal, costs = points[finite].T
    reference = np.array([signal.max(initial=0.0), costs.max(initial=-math.inf)])
    known = np.full_like(points, math.inf)
    known[finite] = points[finite]
    return Area(known, reference, moocore.hypervolume(known, ref=reference))


def _dominated(table: Table, protocol: Protocol, trace: Trace, at: Array) -> tuple[Array, Array]:
    """The hypervolume of what was found as a share of all that there is, for both columns."""
    assert protocol.cost is not None
    found = []
    for column in (protocol.signal.column, protocol.report):
        of_all = area(table, column, protocol.cost)
        tried = of_all.points[np.array(trace.rows, dtype=int)[np.array(trace.full, dtype=bool)]]
        shares = [
            moocore.hypervolume(tried[:count], ref=of_all.reference) / of_all.whole
            for count in range(1, len(tried) + 1)
        ]
        spent = np.array(trace.spent)[np.array(trace.full, dtype=bool)]
        found.append(_held(np.array(shares), spent, at))
    return found[0], found[1]
