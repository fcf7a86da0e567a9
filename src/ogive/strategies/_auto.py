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
from ogive.strategies._features import SideInformation
from ogive.strategies._multiobjective import MultiObjective
from ogive.strategies._nsga2 import NSGA2
from ogive.trial import Proposal, Trial

__all__ = ["MANY", "MODELLED", "Auto"]

MODELLED = 400
"""Trials after which a model is no longer asked: it thinks for most of a second by then, and longer
with every trial (``benchmarks/thinking.py``), and on NAS-Bench-201 the best is found long before."""

MANY = 1_000
"""A budget of more trials than this is for trials that take no time to speak of."""


class Auto(Strategy):
    """Picks a strategy by what is asked of it; ``docs/strategies.md`` has what it goes by.

    * One objective: Bayesian optimisation, which needs the fewest trials (``tables.py nb201``), and
      after 400 trials regularised evolution, which knows all of them, too, and thinks for less
      than a millisecond. Local search gets further than it where values are exact, but not where
      they are as noisy as those of trainings (``synthetic.py --long --noise 0.01``).
    * Several: Bayesian optimisation of their hypervolume, and after 400 trials NSGA-II.
    * Where there will be many more trials than that, evolution or NSGA-II from the first: trials
      are cheap then, and a model's thinking is not. Side information is for the model in any case.
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
        features: Side information for the model: numbers known of an architecture before any
            trial.
        start_from: Architectures to try first.

    Raises:
        SettingError: Unless ``objectives >= 1``.
    """

    multiobjective = True

    def __init__(
        self,
        space: SearchSpace,
        *,
        objectives: int = 1,
        fidelities: bool = False,
        many: bool = False,
        features: SideInformation | None = None,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if objectives < 1:
            raise SettingError(f"objectives >= 1 must hold, but got objectives={objectives}.")
        self.space = space
        self.objectives = objectives
        self.fidelities = fidelities
        self.many = many
        self.features = features
        self.start_from = tuple(map(space.validate, start_from))
        self.multiobjective = several = objectives > 1
        proposer: Strategy = (NSGA2 if several else RegularizedEvolution)(
            space, start_from=start_from
        )
        if not many or features is not None:
            model = (MultiObjective if several else BayesianOptimization)(
                space, features=features, start_from=start_from
            )
            proposer = _Staged(model, proposer, MODELLED)
        halved = fidelities and not several
        self._chosen = ASHA(space, proposer=proposer) if halved else proposer

    @staticmethod
    def asked(*, objectives: int, fidelities: bool, trials: float | None) -> dict[str, Any]:
        """Its settings for a search.

        Args:
            objectives: How many there are.
            fidelities: Whether trials can be shorter.
            trials: The budget, if it is one of trials.
        """
        many = trials is not None and trials > MANY
        return {"objectives": objectives, "fidelities": fidelities, "many": many}

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        return self._chosen.ask(n, rng)

    def tell(self, trial: Trial) -> None:
        self._chosen.tell(trial)

    def settings(self) -> dict[str, Any]:
        """But for ``many``: a search that goes on with more trials is the same search."""
        return {name: value for name, value in super().settings().items() if name != "many"}


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
        if trial.state == "rejected":  # It was never trained.
            self._numbers.discard(trial.number)
        else:
            self._numbers.add(trial.number)
        self.first.tell(trial)
        self.then.tell(trial)
