"""What a model learns from: each network once, with the value of its longest training."""

from __future__ import annotations

import heapq
import math
from itertools import islice

import numpy as np

from ogive.space import Architecture, SearchSpace
from ogive.strategies._gp import Floats
from ogive.trial import Trial

__all__ = ["Known"]


_LATEST = 300
"""Of more networks the latest tell enough about limits: they lie where it is not clear."""


class Known:
    """The trials of a search as a model sees them, by canonical form: equal networks are one."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._values: dict[Architecture, tuple[float, float]] = {}  # form: fidelity and value
        self._within: dict[Architecture, float] = {}  # form: 1 within the limits, else -1
        self._running: dict[int, Architecture] = {}

    def __len__(self) -> int:
        """How many networks ended or were rejected."""
        return len(self._within)

    def tell(self, trial: Trial) -> None:
        form = self.space.canonical(trial.architecture)
        if trial.state == "running":
            self._running[trial.number] = form
            return
        self._running.pop(trial.number, None)
        self._within[form] = -1.0 if trial.state == "rejected" else 1.0
        if trial.state == "rejected":
            return
        value = trial.value if trial.state == "complete" else math.nan
        known = self._values.get(form)
        if known is None or trial.fidelity >= known[0]:
            self._values[form] = trial.fidelity, value

    @property
    def begun(self) -> int:
        """How many networks were begun, but for those that a limit ruled out."""
        return len(self._values.keys() | set(self._running.values()))

    @property
    def running(self) -> list[Architecture]:
        """What runs and is not known from a shorter training."""
        return [form for form in self._running.values() if form not in self._values]

    @property
    def varied(self) -> bool:
        """Whether there are two different values to learn from."""
        return len({value for _, value in self._values.values() if math.isfinite(value)}) > 1

    def values(self, n: int | None = None) -> tuple[list[Architecture], Floats]:
        """The networks among the first ``n`` that ended, with their values; failed: not a number."""
        forms = [form for form in islice(self._within, n) if form in self._values]
        return forms, np.array([self._values[form][1] for form in forms])

    def labels(self, n: int | None = None) -> tuple[list[Architecture], Floats]:
        """The latest of the first ``n``, with 1 if they were within the limits, else -1."""
        items = list(islice(self._within.items(), n))[-_LATEST:]
        return [form for form, _ in items], np.array([label for _, label in items])

    def best(self, n: int) -> list[Architecture]:
        """The best ``n``, the best first."""
        fine = (f for f, (_, value) in self._values.items() if math.isfinite(value))
        return heapq.nlargest(n, fine, key=lambda form: self._values[form][1])
