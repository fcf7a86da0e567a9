"""Regularised evolution (Real et al. 2019, arXiv:1802.01548, Algorithm 1)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._filling import Filling
from ogive.strategies._pareto import comparable
from ogive.strategies._untried import Batch, Tried
from ogive.trial import Proposal, Trial

__all__ = ["RegularizedEvolution"]


class RegularizedEvolution(Strategy):
    """Mutates the best of a few, drawn from a population in which only the youngest live.

    The algorithm of the paper, except that

    * it is asynchronous: parents are drawn from what has ended when a child is asked for;
    * no network is tried twice: a child that was tried is mutated on, until it is new;
    * what failed or was rejected is never a parent, and while the population is being filled,
      the share of trials that a limit rejects is replaced by mutations of those that it let
      through;
    * a network that was trained on, at a higher fidelity, counts as young again and ranks above
      those that were not: shorter trainings are no measure for longer ones.

    The paper's population of 100 is for thousands of trials. Trainings come by the hundred: at
    300 trials 20 do as well as 50, and much better at 50 (on NAS-Bench-201 and on spaces of 10^20
    architectures).

    With ``inherit`` a child begins with its parent's weights (:func:`ogive.nn.inherit`) and is
    trained for that share of a full training, as in Real et al. 2017 (arXiv:1703.01041).
    Its value is then that of a lineage: it has the training of its parent behind it, that of
    the parent's parent, and so on. Between parent and child it says what the change was worth, and
    the two compete as equals; over many generations it grows by training alone, which favours the
    young, as this algorithm does anyway. So it is no measure beside networks that were trained by
    themselves: a search trains the best once more in full and from scratch before it takes one.

    Args:
        space: What to search.
        population: How many complete trials live (P).
        sample: How many of them compete to be a parent (S), drawn with replacement.
        start_from: Architectures to try first.
        inherit: The share of a full training that a child gets on top of its parent's weights, in
            (0, 1], such as 0.25; ``True`` is a full one. 0 or ``False`` trains it from scratch.

    Raises:
        SettingError: Unless ``1 <= sample <= population`` and ``0 <= inherit <= 1``.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        population: int = 20,
        sample: int = 10,
        start_from: Sequence[Mapping[str, Any]] = (),
        inherit: float = 0.0,
    ) -> None:
        if not 0 <= inherit <= 1:
            raise SettingError(f"0 <= inherit <= 1 must hold, but got inherit={inherit}.")
        if not 1 <= sample <= population:
            raise SettingError(
                f"1 <= sample <= population must hold, but got sample={sample}, "
                f"population={population}."
            )
        self.space = space
        self.population = population
        self.sample = sample
        self.start_from = tuple(map(space.validate, start_from))
        self.inherit = float(inherit)
        self._tried = Tried(space)
        self._alive: OrderedDict[Architecture, Trial] = OrderedDict()  # the oldest first
        self._filling = Filling(population)

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        batch = Batch(self._tried, n, self.start_from)
        alive = list(self._alive.values())
        while batch.wanting and (self._offer_child(batch, alive, rng) or batch.sample(rng)):
            pass
        return batch.proposals()

    def _offer_child(self, batch: Batch, alive: Sequence[Trial], rng: Random) -> bool:
        if not alive or self._filling.draws(rng):
            return False
        candidates = rng.choices(alive, k=self.sample)
        # An heir's short training counts as a full one.
        most = self.inherit or 1.0
        parent = max(candidates, key=lambda trial: (min(trial.fidelity, most), trial.value))
        if not self.inherit:
            return batch.walk(parent.architecture, rng)
        return batch.walk(parent.architecture, rng, self.inherit, parent.number)

    def needs(self) -> set[int]:
        return {trial.number for trial in self._alive.values()} if self.inherit else set()

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
        self._filling.tell(trial)
        if comparable(trial):
            self._alive.pop(trial.architecture, None)
            self._alive[trial.architecture] = trial
            if len(self._alive) > self.population:
                self._alive.popitem(last=False)  # The oldest dies (Algorithm 1, last line).
        elif trial.state in ("failed", "complete"):
            self._alive.pop(trial.architecture, None)  # It broke when it was trained for longer.
