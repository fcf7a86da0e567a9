"""NSGA-II (Deb, Pratap, Agarwal & Meyarivan 2002, IEEE TEC 6(2)), one child at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from random import Random
from typing import Any

import moocore
import numpy as np

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._filling import Filling
from ogive.strategies._pareto import comparable, crowding, objectives
from ogive.strategies._untried import Batch, Tried
from ogive.trial import Proposal, Trial

__all__ = ["NSGA2"]


class NSGA2(Strategy):
    """Breeds from the trials that are dominated by the fewest fronts and have the most room.

    The algorithm of the paper, except that

    * it is asynchronous, a (mu + 1) strategy: parents are drawn from what has ended when a child
      is asked for, and each child competes for a place as soon as it ends. No worker waits for a
      generation;
    * a child takes each decision from either parent and then mutates one (the paper's crossover
      and mutation are for real numbers). No network is tried twice: a child that was tried is
      mutated on, until it is new;
    * limits need no constrained domination: what they reject costs nothing and is no parent, and
      while the population is being filled, the share of trials that they reject is replaced by
      children of those that they let through;
    * a network that was trained on, at a higher fidelity, ranks above those that were not:
      shorter trainings are no measure for longer ones.

    With one objective each value is a front of its own, and what is left is an elitist genetic
    algorithm.

    Args:
        space: What to search.
        population: How many complete trials live (N).
        start_from: Architectures to try first.

    Raises:
        SettingError: Unless ``population`` is at least 2.
    """

    multiobjective = True

    def __init__(
        self,
        space: SearchSpace,
        *,
        population: int = 20,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if population < 2:
            raise SettingError(f"population must be at least 2, but got population={population}.")
        self.space = space
        self.population = population
        self.start_from = tuple(map(space.validate, start_from))
        self._tried = Tried(space)
        self._filling = Filling(population)
        self._alive: list[Trial] = []  # The best first.

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        batch = Batch(self._tried, n, self.start_from)
        while batch.wanting and (self._offer_child(batch, rng) or batch.sample(rng)):
            pass
        return batch.proposals()

    def _offer_child(self, batch: Batch, rng: Random) -> bool:
        if not self._alive or self._filling.draws(rng):
            return False
        child = self.space.cross(self._parent(rng), self._parent(rng), rng)
        return batch.walk(child, rng)

    def _parent(self, rng: Random) -> Architecture:
        """The winner of a binary tournament by crowded comparison (III-B); of equals, the older."""
        places = range(len(self._alive))
        return self._alive[min(rng.choice(places), rng.choice(places))].architecture

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
        self._filling.tell(trial)
        if comparable(trial):
            others = self._without(trial.architecture)
            self._alive = _ranked([*others, trial])[: self.population]  # Section III-C.
        elif trial.state in ("failed", "complete"):
            self._alive = self._without(trial.architecture)  # It broke when trained for longer.

    def _without(self, architecture: Architecture) -> list[Trial]:
        return [trial for trial in self._alive if trial.architecture != architecture]


def _ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Sorts by fidelity, then by front among the trials of the same."""
    longest_first = sorted(trials, key=lambda trial: -trial.fidelity)
    groups = groupby(longest_first, key=lambda trial: trial.fidelity)
    return [trial for _, group in groups for trial in _sorted(list(group))]


def _sorted(trials: Sequence[Trial]) -> list[Trial]:
    """Sorts by front (section III-A), then by room within the front (III-B)."""
    values = objectives(trials)
    fronts = moocore.pareto_rank(values, maximise=True)
    room = np.full(len(trials), np.inf)
    for number in np.flatnonzero(np.bincount(fronts) > 2):  # One or two points are its ends.
        room[fronts == number] = crowding(values[fronts == number])
    return [trials[i] for i in np.lexsort(np.array([-room, fronts]))]
