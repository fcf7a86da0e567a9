"""Regularised evolution (Real et al. 2019, arXiv:1802.01548, Algorithm 1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy, Told
from ogive.trial import Proposal, Trial

__all__ = ["RegularizedEvolution"]


class RegularizedEvolution(Strategy):
    """Mutates the best of a few, drawn from a population in which only the youngest live.

    As in the paper but for three things: it is asynchronous, so a child's parents are drawn from
    what has ended when it is asked for; no network is tried twice; and while the population is
    being filled, trials that a limit rejects are met by mutating one that it did not, as often as
    they come. So a limit that few random architectures meet does not turn the start into a
    search for any at all.

    Args:
        space: What to search.
        population: How many complete trials live (P).
        sample: How many of them compete to be a parent (S).
        start_from: Architectures to try first.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        population: int = 50,
        sample: int = 25,
        start_from: Sequence[Architecture] = (),
    ) -> None:
        if not 1 <= sample <= population:
            raise SettingError(
                f"1 <= sample <= population must hold, but got sample={sample}, "
                f"population={population}."
            )
        self.space = space
        self.population = population
        self.sample = sample
        self.start_from = tuple(start_from)
        self._told = Told(space, self.start_from)
        self._alive: deque[Trial] = deque(
            maxlen=population
        )  # The oldest dies (Algorithm 1, l. 20).
        self._complete = 0
        self._rejected = 0

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        return [Proposal(a) for a in self._told.fresh(n, lambda: self._draw(rng))]

    def _draw(self, rng: Random) -> Architecture:
        if not self._alive:
            return self.space.sample(rng)
        if self._complete < self.population:
            # Of what was tried, the share that a limit let through.
            fitting = self._complete / (self._complete + self._rejected)
            if rng.random() < fitting:
                return self.space.sample(rng)
        candidates = rng.sample(self._alive, min(self.sample, len(self._alive)))
        parent = max(candidates, key=lambda trial: trial.value)
        return self.space.mutate(parent.architecture, rng)

    def tell(self, trial: Trial) -> None:
        self._told.add(trial)
        if trial.state == "complete":
            self._alive.append(trial)
            self._complete += 1
        elif trial.state == "rejected":
            self._rejected += 1
