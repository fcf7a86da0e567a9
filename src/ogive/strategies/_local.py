"""Local search (White, Nolen & Savani 2021, arXiv:2005.02960, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._pareto import comparable, crowding, front, objectives
from ogive.strategies._untried import Batch, Tried
from ogive.trial import Proposal, Trial

__all__ = ["LocalSearch"]


class LocalSearch(Strategy):
    """Climbs from neighbour to better neighbour, and starts afresh at a local optimum.

    The algorithm of the paper, except that

    * a climb starts from the best of several random architectures, and goes on from the first
      neighbour found to be better instead of the best of all (both are settings of the authors'
      own code); neighbours come in random order, and a start that is better than the climb that
      it was tried beside takes its place;
    * it is asynchronous: workers explore the neighbours of one centre side by side, and whatever
      turns out better is the next centre. While the last neighbours are out, free workers try
      starts for the next climb;
    * no network is tried twice: a climb does not go over the ground of an earlier one;
    * with several objectives a climb has a front instead of one best, as in Pareto local search
      (Paquete, Chiarandini & Stützle 2004). What no member dominates joins it, and the neighbours
      of the member with the most room around it (the largest crowding distance) are explored
      next. The climb ends when those of every member are.

    A training that goes on from a shorter one is no step of a climb: it cannot be compared with
    neighbours that were not trained as long. Where some begin with longer trainings than others
    (:class:`Hyperband`), only those of the longest are a climb's best.

    Args:
        space: What to search. A step is one of its ``neighbours``.
        starts: How many random architectures a climb starts from the best of.
        start_from: Architectures to try first, among the starts of the first climb.

    Raises:
        SettingError: Unless ``starts`` is at least 1.
    """

    multiobjective = True

    def __init__(
        self,
        space: SearchSpace,
        *,
        starts: int = 10,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if starts < 1:
            raise SettingError(f"starts must be at least 1, but got starts={starts}.")
        self.space = space
        self.starts = starts
        self.start_from = tuple(map(space.validate, start_from))
        self._tried = Tried(space)
        self._front: list[Trial] = []  # The best of this climb: one, if there is one objective.
        self._explored: set[int] = set()  # Those of them whose neighbours were all tried.
        self._open: dict[Architecture, Architecture] = {}  # The centre's untried neighbours.
        self._out: set[int] = set()  # Neighbours that are running.
        self._started = 0  # Starts of the next climb that ended, however they did,
        self._starts: list[Trial] = []  # and the front of those that can be compared.

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        batch = Batch(self._tried, n, self.start_from)
        batch.fill(_some(self._open.values(), n, rng))
        if batch.wanting:
            for member in self._centres()[1:]:
                batch.fill(_some(self._neighbours(member).values(), n, rng))
        while batch.wanting and batch.sample(rng):
            pass
        return batch.proposals()

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
        neighbour = self._open.pop(self.space.canonical(trial.architecture), None) is not None
        if trial.proposal.parent is not None:
            return
        if trial.state != "running":
            neighbour |= trial.number in self._out
            self._out.discard(trial.number)
            self._take(trial, neighbour=neighbour)
        elif neighbour:
            self._out.add(trial.number)
        self._climb()

    def _take(self, trial: Trial, *, neighbour: bool) -> None:
        self._started += not neighbour
        if not comparable(trial):
            return
        if self._front and (grown := _best([*self._front, trial]))[-1] is trial:
            self._front = grown  # Line 3: an improvement is where the climb goes on.
            self._open = {}
        elif not neighbour:
            self._starts = _best([*self._starts, trial])

    def _climb(self) -> None:
        """Finds the next centre, in the next climb if this one is at a local optimum."""
        while not self._open:
            if centres := self._centres():
                self._open = self._neighbours(centres[0])
                if not self._open:
                    self._explored.add(centres[0].number)
            elif self._starts and self._started >= self.starts and not self._out:
                self._front, self._starts, self._started = self._starts, [], 0
            else:
                return

    def _centres(self) -> list[Trial]:
        """The members with neighbours to explore, that with the most room first."""
        order = np.argsort(-crowding(objectives(self._front)), kind="stable")
        members = [self._front[i] for i in order]
        return [member for member in members if member.number not in self._explored]

    def _neighbours(self, centre: Trial) -> dict[Architecture, Architecture]:
        """Its untried neighbours by canonical form.

        What a step makes active is drawn from a generator of the centre's own: its neighbours are
        the same whenever they are listed, and at a local optimum they come to an end.
        """
        own = Random(centre.architecture.key)
        found = {
            self.space.canonical(a): a for a in self.space.neighbours(centre.architecture, own)
        }
        return {form: a for form, a in found.items() if form not in self._tried}


def _best(trials: Sequence[Trial]) -> list[Trial]:
    """The front of those that were trained the longest: others cannot be compared with them."""
    longest = max(trial.fidelity for trial in trials)
    return front([trial for trial in trials if trial.fidelity == longest])


def _some(architectures: Collection[Architecture], n: int, rng: Random) -> list[Architecture]:
    """Up to ``n`` of them, in random order."""
    return rng.sample(list(architectures), min(n, len(architectures)))
