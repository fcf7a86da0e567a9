"""What a model learns from: each network once, with what it would be worth in full."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice, pairwise

import numpy as np

from ogive.space import Architecture, SearchSpace
from ogive.strategies._gp import Floats
from ogive.strategies._pareto import comparable
from ogive.trial import Trial

__all__ = ["Known"]

_LATEST = 300
"""Of more networks the latest tell enough about limits: they lie where it is not clear."""

_FEW = 3
"""Fewer networks than this say nothing of how two fidelities hang together."""


class Known:
    """The trials of a search as a model sees them, by canonical form: equal networks are one."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._values: dict[Architecture, dict[float, tuple[float, ...]]] = {}  # by fidelity
        self._within: dict[Architecture, float] = {}  # form: 1 within the limits, else -1
        self._running: dict[int, Architecture] = {}

    def __len__(self) -> int:
        """How many networks ended or were rejected."""
        return len(self._within)

    def tell(self, trial: Trial) -> None:
        form = self._space.canonical(trial.architecture)
        if trial.state == "running":
            self._running[trial.number] = form
            return
        self._running.pop(trial.number, None)
        self._within[form] = -1.0 if trial.state == "rejected" else 1.0
        if trial.state != "rejected":
            values = trial.values if comparable(trial) else (math.nan,)
            self._values.setdefault(form, {})[trial.fidelity] = values

    @property
    def fitting(self) -> list[Architecture]:
        """The networks that ended and that no limit ruled out."""
        return [form for form, label in self._within.items() if label > 0]

    @property
    def rejected(self) -> bool:
        """Whether a limit ruled any out."""
        return any(label < 0 for label in self._within.values())

    @property
    def begun(self) -> int:
        """How many networks were begun, but for those that a limit ruled out."""
        return len(self._values.keys() | set(self._running.values()))

    @property
    def running(self) -> list[Architecture]:
        """What runs and is not known from a shorter training."""
        return [form for form in self._running.values() if form not in self._values]

    def values(self, n: int | None = None) -> tuple[list[Architecture], Floats]:
        """Returns networks and what they are worth.

        What a shorter training gave is carried on to the longest by what both gave of the networks
        that had both, as is seen in the trials of a successive halving.

        Args:
            n: Of the first so many that ended or were rejected; of all by default.

        Returns:
            Canonical forms, and ``(networks, objectives)``; not a number where a network failed.
        """
        seen = {
            form: self._values[form] for form in islice(self._within, n) if form in self._values
        }
        width = max((len(v) for by in seen.values() for v in by.values()), default=1)
        table = np.full((len(seen), width), math.nan)
        for objective in range(width):
            curves = [
                {f: v[objective] for f, v in by.items() if not math.isnan(v[0])}
                for by in seen.values()
            ]
            table[:, objective] = _final(curves)
        # One that failed in its longest training is of no use, however well it began.
        failed = [math.isnan(by[max(by)][0]) for by in seen.values()]
        table[failed] = math.nan
        return list(seen), table

    def best(self, n: int) -> list[Architecture]:
        """Returns the networks that are worth the most by their first objective, the best first.

        They are fewer where fewer did not fail.
        """
        forms, values = self.values()
        order = np.argsort(-values[:, 0], kind="stable")  # What is not a number comes last.
        return [forms[i] for i in order[:n] if math.isfinite(values[i, 0])]

    def labels(self, n: int | None = None) -> tuple[list[Architecture], Floats]:
        """The latest of the first ``n``, with 1 if they were within the limits, else -1."""
        items = list(islice(self._within.items(), n))[-_LATEST:]
        return [form for form, _ in items], np.array([label for _, label in items])


def _final(curves: list[dict[float, float]]) -> Floats:
    """Returns the value of each curve at the longest fidelity of any."""
    levels = sorted({fidelity for curve in curves for fidelity in curve})
    steps = {low: _step(curves, low, high) for low, high in pairwise(levels)}
    final = np.full(len(curves), math.nan)
    for i, curve in enumerate(curves):
        if curve:
            last = max(curve)
            final[i] = curve[last]
            for level in levels[levels.index(last) : -1]:
                slope, offset = steps[level]
                final[i] = slope * final[i] + offset
    return final


def _step(curves: Sequence[Mapping[float, float]], low: float, high: float) -> tuple[float, float]:
    """Returns slope and offset of the line from the values of one fidelity to those of the next."""
    below = np.array([curve[low] for curve in curves if low in curve])
    above = np.array([curve[high] for curve in curves if high in curve])
    both = np.array([(c[low], c[high]) for c in curves if low in c and high in c])
    if len(both) >= _FEW and np.ptp(both[:, 0]) > 0:
        slope = float(np.clip(np.polyfit(both[:, 0], both[:, 1], 1)[0], 0.1, 10.0))
        return slope, float(both[:, 1].mean() - slope * both[:, 0].mean())
    if len(both):
        return 1.0, float((both[:, 1] - both[:, 0]).mean())
    # No network had both: then the two distributions are taken to be alike.
    wide = len(below) >= _FEW and len(above) >= _FEW and np.ptp(below) > 0
    slope = float(above.std() / below.std()) if wide else 1.0
    return slope, float(above.mean() - slope * below.mean())
