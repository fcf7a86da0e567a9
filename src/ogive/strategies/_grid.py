"""Grid search, spread by a Kronecker sequence (Richtmyer 1951) where the grid is large."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from ogive.errors import SettingError
from ogive.space import Architecture, Decision, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._untried import DRAWS, LISTED, MORE_DRAWS, Batch, Tried
from ogive.trial import Proposal, Trial

__all__ = ["GridSearch"]

_IN_ORDER = 100
"""Grids of at most this size are walked in the space's order; larger ones are spread first."""

_LONG = 100
"""In a space too large to list, integers with more values than this are thinned as reals are."""


class GridSearch(Strategy):
    """Walks every architecture of a grid once, the same way at every seed.

    A space of at most 100,000 architectures is its own grid. In a larger one, reals and integers
    of more than 100 values keep ``points`` of them, evenly spaced on their own scale, the ends
    included; all other decisions keep every value.

    A grid of at most 100 architectures is walked in the space's order: the last decision varies
    first. A larger one is seldom walked to its end, and its first hundred in that order would
    differ in the last few decisions only. So it is spread: wherever the walk is stopped, it has
    seen each value of a decision about equally often, and after the first hundred almost every
    pair of values of two short decisions. What the spread leaves out of a grid of at most 100,000 is walked at the end, in
    the space's order, so that nothing is missing.

    Args:
        space: What to walk.
        points: How many values are kept of a real.
        start_from: Architectures to try first, on the grid or not.

    Raises:
        SettingError: Unless ``points`` is an integer above 1.
        SpaceError: If no point of the grid is valid.
    """

    multiobjective = True

    def __init__(
        self,
        space: SearchSpace,
        *,
        points: int = 5,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if points < 2 or points != int(points):
            raise SettingError(f"points must be an integer above 1, but got points={points!r}.")
        self.space = space
        self.points = points
        self.start_from = tuple(map(space.validate, start_from))
        self._grid = _grid(space, points)
        self._tried = Tried(self._grid)
        self._spread(0)  # Where no point is valid it says so.
        self._place = 0  # Where the spread goes on: everything before was tried.
        if self._grid.size <= _IN_ORDER:
            self._patience = 0
        else:
            self._patience = DRAWS if self._grid.size <= LISTED else MORE_DRAWS

    def ask(self, n: int, rng: Random) -> list[Proposal]:  # noqa: ARG002  # nothing is drawn
        batch = Batch(self._tried, n, self.start_from)
        place, missed = self._place, 0
        while batch.wanting and missed < self._patience:
            missed = 0 if batch.offer(self._spread(place)) else missed + 1
            place += 1
        if batch.wanting and self._grid.size <= LISTED:
            batch.fill(self._tried.rest().values())
        return batch.proposals()

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
        for _ in range(self._patience):
            if self._grid.canonical(self._spread(self._place)) not in self._tried:
                break
            self._place += 1

    def _spread(self, place: int) -> Architecture:
        return self._grid.sample(_Point(place))


def _grid(space: SearchSpace, points: int) -> SearchSpace:
    """The space with ``points`` values for each decision that has too many."""
    if space.size <= LISTED:
        return space
    return SearchSpace(
        [_thinned(decision, points) for decision in space.decisions],
        name=f"the grid of {points} points in {space.name}",
        valid=space.reason_invalid,
        canonical=space.canonical,
        graph=space.graph,
    )


def _thinned(decision: Decision, points: int) -> Decision:
    if decision.kind not in ("real", "integer") or decision.size <= _LONG:
        return decision
    values = dict.fromkeys(decision.from_unit(i / (points - 1)) for i in range(points))
    return replace(decision, kind="ordinal", options=tuple(values))


_RATES = tuple(
    math.sqrt(n) % 1 for n in range(2, 312) if all(n % divisor for divisor in range(2, n))
)
"""The square roots of the first 64 primes, which no integer relation joins."""


class _Point(Random):
    """One point of the sequence, as the numbers that a space draws an architecture from.

    The i-th number of point k is the fractional part of k times the root of the i-th prime. By
    Weyl's theorem these points fill the unit cube evenly. Beyond 64 numbers, and where a space
    rules out what was drawn and draws again, pseudo-random ones follow, fixed by k as well.
    """

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self._coordinates = iter([place * rate % 1 for rate in _RATES])

    def random(self) -> float:
        coordinate = next(self._coordinates, None)
        return super().random() if coordinate is None else coordinate
