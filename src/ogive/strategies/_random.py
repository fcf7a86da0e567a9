"""Random search (Bergstra & Bengio 2012): the yardstick of every other strategy."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy, Told
from ogive.trial import Proposal, Trial

__all__ = ["RandomSearch"]


class RandomSearch(Strategy):
    """Draws architectures from the space, each once.

    Args:
        space: What to draw from.
        start_from: Architectures to try first.
    """

    def __init__(self, space: SearchSpace, *, start_from: Sequence[Architecture] = ()) -> None:
        self.space = space
        self.start_from = tuple(start_from)
        self._told = Told(space, self.start_from)

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        return [Proposal(a) for a in self._told.fresh(n, lambda: self.space.sample(rng))]

    def tell(self, trial: Trial) -> None:
        self._told.add(trial)
