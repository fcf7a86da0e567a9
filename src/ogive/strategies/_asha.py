"""Asynchronous successive halving (ASHA; Li et al. 2020, arXiv:1810.05934, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any

from ogive.space import SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._halving import Ladder, proposer_for, rung_fidelities
from ogive.trial import Proposal, Trial

__all__ = ["ASHA"]


class ASHA(Strategy):
    """Tries many architectures cheaply, and goes on with the best 1/eta of each rung.

    New architectures come from another strategy, the proposer. It is told every trial as it is,
    promotions included: a proposer that compares trials takes each architecture at its longest
    training (see :meth:`Strategy.tell`), so it learns from what is known best.

    A failed trial counts as the worst of its rung and is never promoted. A rejected one cost
    nothing and tells nothing about the others: it joins no rung.

    Algorithm 2 ends when the budget does. Here a small space may be finished first: once the
    proposer has nothing left and nothing runs, what was left behind goes on too, from the highest
    rung down and the best first, until every architecture has been trained in full.

    Args:
        space: What to search.
        proposer: A fresh strategy for the same space, for new architectures; regularised
            evolution by default.
        eta: Of so many trials in a rung one is promoted, to so many times the fidelity.
        min_fidelity: The fidelity of the lowest rung is the least ``eta ** -k`` that is no less.
        start_from: Architectures to try first, by the default proposer.

    Raises:
        SettingError: Unless ``eta`` is an integer above 1, ``0 < min_fidelity <= 1``, and the
            proposer is for the same space.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        proposer: Strategy | None = None,
        eta: int = 3,
        min_fidelity: float = 1 / 9,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._ladder = Ladder(rung_fidelities(eta, min_fidelity))
        self.space = space
        self.start_from = tuple(map(space.validate, start_from))
        self.proposer = proposer_for("ASHA", space, proposer, self.start_from)
        self.eta = eta
        self.min_fidelity = min_fidelity

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        # Algorithm 2, get_job: promotions where there are any (lines 12-16), newcomers else (17).
        found = list(islice(self._ladder.promotions(self.eta), n))
        newcomers = self.proposer.ask(n - len(found), rng) if len(found) < n else []
        lowest = self._ladder.rungs[0].fidelity
        found += [Proposal(new.architecture, lowest) for new in newcomers]
        if not found and not self._ladder.running:
            found = list(islice(self._ladder.promotions(1), n))
        return found

    def tell(self, trial: Trial) -> None:
        self._ladder.tell(trial)
        self.proposer.tell(trial)
