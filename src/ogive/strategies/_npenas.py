"""NPENAS (Wei et al. 2020, arXiv:2003.12857): evolution whose offspring a predictor picks from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._features import SideInformation
from ogive.strategies._model_based import ModelBased
from ogive.strategies._predictor import Predictor
from ogive.strategies._untried import Batch
from ogive.trial import Proposal, Trial

__all__ = ["NPENAS"]

_CHANGES = 3
"""The most decisions in which a child differs from its parent."""


class NPENAS(Strategy):
    """Mutates one of the best many times, and tries the child that a predictor likes best.

    That is the paper's one-to-many mutation. Except that

    * the predictor is a network of the ensemble of :class:`BANANAS` (inputs, targets, training)
      instead of a graph network; as the paper trains a new one for each generation, another
      member is drawn for each child. The mean of all would be surer, and where it is wrong, it
      would be so again and again;
    * it is asynchronous: each proposal is the best child of one parent, drawn from the best,
      instead of the best few of all children of all parents;
    * what runs is not proposed again. Failed trials, limits and several fidelities are handled as
      :class:`BANANAS` does.

    Args:
        space: What to search.
        initial: How many architectures are tried before there is a predictor.
        members: How many networks there are to draw from.
        parents: So many of the best trials have offspring.
        offspring: How many mutations of its parent a child is picked from.
        features: Side information, an input of the networks: numbers known of an architecture
            before any trial.
        start_from: Architectures to try first.

    Raises:
        SettingError: Unless ``initial >= 2``, ``members >= 1``, ``parents >= 1`` and
            ``offspring >= 1``.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        initial: int = 10,
        members: int = 5,
        parents: int = 5,
        offspring: int = 50,
        features: SideInformation | None = None,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if members < 1 or parents < 1 or offspring < 1:
            raise SettingError(
                "members, parents and offspring must be at least 1, but got "
                f"members={members}, parents={parents}, offspring={offspring}."
            )
        self.space = space
        self.initial = initial
        self.members = members
        self.parents = parents
        self.offspring = offspring
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
            best = self._search.known.best(self.parents)
            # A parent whose children were all tried leaves its turn to another.
            for parent in rng.sample(best, len(best)):
                children = batch.mutants([parent], self.offspring, rng, most=_CHANGES)
                if children:
                    return self._picked(children, rng)
            return None

        return self._search.ask(n, rng, promising)

    def _picked(self, children: Sequence[Architecture], rng: Random) -> Architecture | None:
        predictions = self._predictor(children)
        if predictions is None:
            return None
        values = predictions[rng.randrange(self.members)] + self._search.fits(children)
        return children[int(np.argmax(values))]
