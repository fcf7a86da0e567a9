"""BANANAS (White, Neiswanger & Savani 2021, arXiv:1910.11858, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._ensemble import Array
from ogive.strategies._features import SideInformation
from ogive.strategies._model_based import ModelBased
from ogive.strategies._predictor import Predictor
from ogive.strategies._untried import Batch
from ogive.trial import Proposal, Trial

__all__ = ["BANANAS"]

_CHANGES = 3
"""The most decisions in which a candidate differs from its parent."""


class BANANAS(Strategy):
    """Trains a few networks to predict trials, and tries what one draw of them likes best.

    The candidates are mutations of the best trials. Of each, the mean and the deviation of the
    predictions give a normal distribution, from which one value is drawn (independent Thompson
    sampling); the candidate of the largest is proposed. The algorithm of the paper, except that

    * the inputs are decisions and counts of options beside the path encoding, and without it where
      a space has no graph;
    * the targets are ``-log(best - value + margin)``, and the loss is the mean absolute error.
      The paper's loss is that of errors relative to a lower bound, ``|predicted / true - 1|``,
      which is the same for small differences. It needs the bound to be known, and outputs on its
      far side are of no use to it;
    * networks are 3 layers deep instead of 10, and trained in 100 steps, which takes a hundredth of
      a second and ranks as well; and not after every trial: up to a tenth may have come since;
    * the proposals of a batch are drawn one by one. What runs is not proposed again, but nothing
      is believed of it: the draws themselves keep workers apart;
    * failed trials count as the worst; where a limit rejected some, what is like them is avoided.
      Trials of several fidelities are taken for what they promise in full (:meth:`Known.values`).

    Args:
        space: What to search.
        initial: How many architectures are tried before there is a model (t0).
        members: How many networks (M).
        parents: So many of the best trials are mutated.
        candidates: How many mutations are compared (c).
        features: Side information, an input of the networks: numbers known of an architecture
            before any trial.
        start_from: Architectures to try first.

    Raises:
        SettingError: Unless ``initial >= 2``, ``members >= 2``, ``parents >= 1`` and
            ``candidates >= 1``.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        initial: int = 10,
        members: int = 5,
        parents: int = 10,
        candidates: int = 200,
        features: SideInformation | None = None,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if members < 2 or parents < 1 or candidates < 1:
            raise SettingError(
                "members >= 2, parents >= 1 and candidates >= 1 must hold, but got "
                f"members={members}, parents={parents}, candidates={candidates}."
            )
        self.space = space
        self.initial = initial
        self.members = members
        self.parents = parents
        self.candidates = candidates
        self.features = features
        self.start_from = tuple(map(space.validate, start_from))
        self._search = ModelBased(
            space, initial=initial, side=features, graph=False, start_from=self.start_from
        )
        self._predictor = Predictor(space, self._search.known, members=members, side=features)

    def tell(self, trial: Trial) -> None:
        self._search.tell(trial)

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        def promising(batch: Batch) -> Architecture | None:
            parents = self._search.known.best(self.parents)  # line 2 ii
            candidates = batch.mutants(parents, self.candidates, rng, most=_CHANGES)
            predictions = self._predictor(candidates) if candidates else None
            if predictions is None:
                return None
            values = drawn(predictions, rng) + self._search.fits(candidates)
            return candidates[int(np.argmax(values))]  # line 2 iii–iv

        return self._search.ask(n, rng, promising)


def drawn(predictions: Array, rng: Random) -> Array:
    """Returns a draw for each point: independent Thompson sampling (ITS).

    Args:
        predictions: Shape ``(members, points)``.
        rng: Of the draw.
    """
    draws = np.random.default_rng(rng.getrandbits(64))
    values: Array = draws.normal(predictions.mean(0), predictions.std(0, ddof=1))
    return values
