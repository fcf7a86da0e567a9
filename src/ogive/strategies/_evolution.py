"""Regularised evolution (Real et al. 2019, arXiv:1802.01548, Algorithm 1)."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._untried import Batch, Tried
from ogive.trial import Proposal, Trial

__all__ = ["RegularizedEvolution"]

_WALK = 50
"""Mutations in a row that lead to tried networks only, after which one is drawn at random."""


class RegularizedEvolution(Strategy):
    """Mutates the best of a few, drawn from a population in which only the youngest live.

    The algorithm of the paper, except that

    * it is asynchronous: parents are drawn from what has ended when a child is asked for;
    * no network is tried twice: a child that was tried is mutated on, until it is new;
    * what failed or was rejected is never a parent, and while the population is being filled,
      the share of trials that a limit rejects is replaced by mutations of those that it let
      through: a limit that few random architectures meet does not turn the start into a search
      for any at all;
    * a network that was trained on, at a higher fidelity, counts as young again and ranks above
      those that were not: shorter trainings are no measure for longer ones.

    The paper's population of 100 is for thousands of trials. Trainings come by the hundred: at
    300 trials 20 do as well as 50, and much better at 50 (on NAS-Bench-201 and on spaces of 10^20
    architectures).

    Args:
        space: What to search.
        population: How many complete trials live (P).
        sample: How many of them compete to be a parent (S), drawn with replacement.
        start_from: Architectures to try first.

    Raises:
        SettingError: Unless ``1 <= sample <= population``.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        population: int = 20,
        sample: int = 10,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if not 1 <= sample <= population:
            raise SettingError(
                f"1 <= sample <= population must hold, but got sample={sample}, "
                f"population={population}."
            )
        self.space = space
        self.population = population
        self.sample = sample
        self.start_from = tuple(map(space.validate, start_from))
        self._tried = Tried(space)
        self._alive: OrderedDict[Architecture, Trial] = OrderedDict()  # the oldest first
        self._running: set[int] = set()
        self._complete = 0
        self._rejected = 0

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        batch = Batch(self._tried, n, self.start_from)
        alive = list(self._alive.values())
        while batch.wanting and (self._offer_child(batch, alive, rng) or batch.sample(rng)):
            pass
        return batch.proposals()

    def _offer_child(self, batch: Batch, alive: Sequence[Trial], rng: Random) -> bool:
        if not alive or (self._filling and rng.random() < self._fitting):
            return False
        candidates = rng.choices(alive, k=self.sample)
        child = max(candidates, key=lambda trial: (trial.fidelity, trial.value)).architecture
        for _ in range(_WALK):
            child = self.space.mutate(child, rng)
            if batch.offer(child):
                return True
        return False

    @property
    def _filling(self) -> bool:
        return self._complete + len(self._running) < self.population

    @property
    def _fitting(self) -> float:
        """The share of what was tried that a limit let through."""
        return self._complete / (self._complete + self._rejected)

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
        first = trial.proposal.parent is None
        if trial.state == "running" and first:
            self._running.add(trial.number)
            return
        self._running.discard(trial.number)
        if trial.state == "complete" and not math.isnan(trial.value):
            self._complete += first
            self._alive.pop(trial.architecture, None)
            self._alive[trial.architecture] = trial
            if len(self._alive) > self.population:
                self._alive.popitem(last=False)  # The oldest dies (Algorithm 1, last line).
        elif trial.state == "failed":
            self._alive.pop(trial.architecture, None)  # It broke when it was trained for longer.
        elif trial.state == "rejected":
            self._rejected += 1
