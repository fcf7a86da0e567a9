"""The default: which strategy for which search, in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from ogive.errors import SettingError
from ogive.space import SearchSpace
from ogive.strategies._asha import ASHA
from ogive.strategies._base import Strategy
from ogive.strategies._bayesian import BayesianOptimization
from ogive.strategies._evolution import RegularizedEvolution
from ogive.strategies._multiobjective import MultiObjective
from ogive.strategies._nsga2 import NSGA2
from ogive.trial import Proposal, Trial

__all__ = ["MODELLED", "Auto"]

MODELLED = 400
"""Trials after which a model is no longer asked: it thinks for most of a second by then, and longer
with every trial (``benchmarks/thinking.py``), and on NAS-Bench-201 the best is found long before."""


class Auto(Strategy):
    """Picks a strategy by what is asked of it; ``docs/strategies.md`` has what it goes by.

    * One objective: Bayesian optimisation, which needs the fewest trials (``tables.py nb201``), and
      after 400 trials regularised evolution, which knows all of them, too, and thinks for less
      than a millisecond.
    * Several: Bayesian optimisation of their hypervolume, and after 400 trials NSGA-II.
    * Where there will be many more trials than that, evolution or NSGA-II from the first: trials
      are cheap then, and a model's thinking is not.
    * Where trials can be shorter (they train networks): successive halving (ASHA) of what these
      propose. With several objectives every trial is trained in full: which of two short
      trainings is the better one is not said by one number.
    * Neither the size of the space nor the number of workers decides: the model leads on 15,625
      cells (``tables.py nb201``) as on more than 10^20 architectures, there with one trial at a
      time and with eight (``synthetic.py``).

    Args:
        space: What to search.
        objectives: How many there are.
        fidelities: Whether a trial can be trained for a part of the full length.
        many: Whether there will be many more trials than a model is worth its thinking for.
        start_from: Architectures to try first.

    Raises:
        SettingError: Unless ``objectives >= 1``.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        objectives: int = 1,
        fidelities: bool = False,
        many: bool = False,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if objectives < 1:
            raise SettingError(f"objectives >= 1 must hold, but got objectives={objectives}.")
        self.space = space
        self.objectives = objectives
        self.fidelities = fidelities
        self.many = many
        self.start_from = tuple(map(space.validate, start_from))
        several = objectives > 1
        proposer: Strategy = (NSGA2 if several else RegularizedEvolution)(
            space, start_from=start_from
        )
        if not many:
            model = (MultiObjective if several else BayesianOptimization)(
                space, start_from=start_from
            )
            proposer = _Staged(model, proposer, MODELLED)
        halved = fidelities and not several
        self._chosen = ASHA(space, proposer=proposer) if halved else proposer

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        return self._chosen.ask(n, rng)

    def tell(self, trial: Trial) -> None:
        self._chosen.tell(trial)


class _Staged(Strategy):
    """One strategy for the first trials and another for the others; both know all of them."""

    def __init__(self, first: Strategy, then: Strategy, after: int) -> None:
        self.space = first.space
        self.first, self.then, self.after = first, then, after
        self._numbers: set[int] = set()

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        asked = self.first if len(self._numbers) < self.after else self.then
        return asked.ask(n, rng)

    def tell(self, trial: Trial) -> None:
        self._numbers.add(trial.number)
        self.first.tell(trial)
        self.then.tell(trial)
