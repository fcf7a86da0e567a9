"""BOHB (Falkner, Klein & Hutter 2018, arXiv:1807.01774): Hyperband whose members a model proposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from ogive.space import SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._hyperband import Hyperband
from ogive.strategies._tpe import TPE
from ogive.trial import Proposal, Trial

__all__ = ["BOHB"]


class BOHB(Strategy):
    """:class:`Hyperband` of what :class:`TPE` proposes from the largest fidelity that has data.

    A share of the proposals is drawn from the space, so that a model that a low fidelity misleads
    costs a constant factor at most (section 4.1).

    The algorithm of the paper, with its settings, except that

    * a fidelity has a model after 10 complete trials; in the paper after d + 3 where there are d
      decisions (N_min + 2), which a search among networks may never reach;
    * the best 15 % are the good ones, two of ten; there they are d + 1 at least (Eq. 3). For it
      the prior is one more component of both densities;
    * candidates are drawn from l; there from l with bandwidths three times as wide (b_w);
    * bandwidths follow from the number of trials; there also from how these are spread;
    * a decision that is not active in a trial follows the prior; in the authors' code it takes
      the value that another trial has;
    * what failed, was rejected or is running is one of the bad at every fidelity; in the authors'
      code what failed is, at its own;
    * no network is tried twice.

    Args:
        space: What to search.
        eta: Of so many trials one goes on, to so many times the fidelity.
        min_fidelity: The lowest fidelity is the least ``eta ** -k`` that is no less.
        random_share: The share of random proposals (rho).
        start_from: Architectures to try first.

    Raises:
        SettingError: As :class:`Hyperband` and :class:`TPE` do.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        eta: int = 3,
        min_fidelity: float = 1 / 9,
        random_share: float = 1 / 3,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.space = space
        self.eta = eta
        self.min_fidelity = min_fidelity
        self.random_share = random_share
        self.start_from = tuple(map(space.validate, start_from))
        model = TPE(space, random_share=random_share, start_from=self.start_from)
        self._brackets = Hyperband(space, proposer=model, eta=eta, min_fidelity=min_fidelity)

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        return self._brackets.ask(n, rng)

    def tell(self, trial: Trial) -> None:
        self._brackets.tell(trial)
