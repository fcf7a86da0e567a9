"""Finding the untried architecture that a model likes best."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from random import Random

import numpy as np

from ogive.space import Architecture, SearchSpace
from ogive.strategies._gp import Floats, Points
from ogive.strategies._surrogate import Surrogate
from ogive.strategies._untried import LISTED, Batch, Tried

__all__ = ["Score", "Screen"]

Score = Callable[[Points], Floats]
"""How much is to be hoped for at each point; larger is better."""

_DRAWN = 400
_CLIMBERS = 3
_CLIMBS = 10


class Screen:
    """Looks small spaces through whole.

    In large ones candidates are drawn, half of them at random, half by mutation of what is good;
    the best of them then climb from neighbour to neighbour.
    """

    def __init__(self, space: SearchSpace, tried: Tried, surrogate: Surrogate) -> None:
        self._space, self._tried, self._surrogate = space, tried, surrogate

    def best(
        self,
        score: Score,
        batch: Batch,
        parents: Sequence[Architecture],
        rng: Random,
        *,
        climb: bool = True,
    ) -> Architecture | None:
        """Returns the best new architecture, or ``None`` where there is none left.

        Args:
            score: Of points.
            batch: What is new is neither in it nor tried.
            parents: What is good, to be varied.
            rng: Of the draws.
            climb: Whether to go on to neighbours; a score that is drawn anew in each call, such as
                a sample of a process, is no hill.
        """
        if self._space.size <= LISTED:
            return self._best_of_all(score, batch)
        scored: dict[Architecture, float] = {}
        left: list[tuple[float, int, Architecture]] = []  # to climb from, the best first
        fresh = self.draw(batch, parents, rng)
        for _ in range(_CLIMBS):
            before = max(scored.values(), default=-math.inf)
            values = score(self._surrogate.points(fresh)).tolist() if fresh else []
            for architecture, value in zip(fresh, values, strict=True):
                scored[architecture] = value
                heapq.heappush(left, (-value, len(scored), architecture))
            if not climb or not fresh or max(scored.values()) <= before:
                break
            climbers = [heapq.heappop(left)[-1] for _ in range(min(_CLIMBERS, len(left)))]
            around = {a: None for c in climbers for a in self._space.neighbours(c, rng)}
            fresh = [a for a in around if a not in scored and self._new(a, batch)]
        return max(scored, key=scored.__getitem__) if scored else None

    def draw(
        self, batch: Batch, parents: Sequence[Architecture], rng: Random
    ) -> list[Architecture]:
        """New architectures: half of them parents changed in one to three decisions."""
        found: dict[Architecture, None] = {}
        for i in range(_DRAWN):
            if parents and i % 2:
                architecture = rng.choice(parents)
                for _ in range(rng.randint(1, 3)):
                    architecture = self._space.mutate(architecture, rng)
            else:
                architecture = self._space.sample(rng)
            if self._new(architecture, batch):
                found[architecture] = None
        return list(found)

    def _new(self, architecture: Architecture, batch: Batch) -> bool:
        return batch.new(self._space.canonical(architecture))

    def _best_of_all(self, score: Score, batch: Batch) -> Architecture | None:
        values = score(self._points)
        tried = (self._places.get(form) for form in [*self._tried, *batch.forms])
        values[[place for place in tried if place is not None]] = -np.inf
        best = int(np.argmax(values))
        return self._pool[best] if np.isfinite(values[best]) else None

    # What follows from the space alone

    @cached_property
    def _pool(self) -> list[Architecture]:
        return list({self._space.canonical(a): None for a in self._space.enumerate()})

    @cached_property
    def _places(self) -> dict[Architecture, int]:
        return {form: i for i, form in enumerate(self._pool)}

    @cached_property
    def _points(self) -> list[Floats]:
        return self._surrogate.features(self._pool)
