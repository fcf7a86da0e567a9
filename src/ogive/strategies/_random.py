"""Random search (Bergstra & Bengio 2012): the yardstick of every other strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from ogive.space import SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._untried import Batch, Tried
from ogive.trial import Proposal, Trial

__all__ = ["RandomSearch"]


class RandomSearch(Strategy):
    """Draws architectures from the space, each once.

    Args:
        space: What to draw from.
        start_from: Architectures to try first.
    """

    multiobjective = True

    def __init__(
        self, space: SearchSpace, *, start_from: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.space = space
        self.start_from = tuple(map(space.validate, start_from))
        self._tried = Tried(space)

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        batch = Batch(self._tried, n, self.start_from)
        while batch.wanting and batch.sample(rng):
            pass
        return batch.proposals()

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
