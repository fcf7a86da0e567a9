"""What strategies with a model share: what they know, how they begin, and how a batch is filled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

import numpy as np

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._features import SideInformation
from ogive.strategies._gp import Floats, Posterior
from ogive.strategies._known import Known
from ogive.strategies._screen import Screen
from ogive.strategies._surrogate import Belief, Surrogate, within
from ogive.strategies._untried import Batch, Tried
from ogive.trial import Proposal, Trial

__all__ = ["ModelBased"]


class ModelBased:
    """The trials of a search, a model of them, and the way from one to proposals.

    Args:
        space: What to search.
        initial: How many architectures are tried before there is a model.
        side: Side information. The first trials are those whose numbers rank highest on average.
        graph: Whether the graph of a space is a term of the model's kernel.
        start_from: Architectures to try first.

    Raises:
        SettingError: Unless ``initial >= 2``.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        initial: int,
        side: SideInformation | None,
        graph: bool,
        start_from: Sequence[Architecture],
    ) -> None:
        if initial < 2:
            raise SettingError(f"initial >= 2 must hold, but got initial={initial}.")
        self._initial, self._side, self._start_from = initial, side, start_from
        self._tried = Tried(space)
        self.known = Known(space)
        self.surrogate = Surrogate(space, self.known, side, graph=graph)
        self.screen = Screen(space, self._tried, self.surrogate)

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
        self.known.tell(trial)

    def ask(
        self, n: int, rng: Random, promising: Callable[[Batch], Architecture | None]
    ) -> list[Proposal]:
        """Returns proposals: first to begin with, then what a model finds promising.

        Args:
            n: How many at most.
            rng: Of the draws.
            promising: Returns the next architecture to add to a batch, if the model has one.
        """
        batch = Batch(self._tried, n, self._start_from)
        while batch.wanting and self.known.begun + len(batch) < self._initial:
            if not self._offer_start(batch, rng):
                break
        while batch.wanting and (best := promising(batch)) is not None:
            batch.offer(best)
        while batch.wanting and batch.sample(rng):
            pass
        return batch.proposals()

    def belief(self, values: Sequence[Posterior], batch: Batch) -> Belief:
        """Returns what is believed once what runs, and what is in the batch, ended as expected."""
        belief = Belief(self.surrogate, values)
        for architecture in [*self.known.running, *batch.forms]:
            belief.take_in(architecture)
        return belief

    def fits(self, architectures: Sequence[Architecture]) -> Floats:
        """The logarithm of the probability that the limits hold for each."""
        limits = self.surrogate.limits
        if limits is None or not architectures:
            return np.zeros(len(architectures))
        return within(limits, self.surrogate.points(architectures))

    def likely(self, architectures: Sequence[Architecture]) -> list[Architecture]:
        """Returns those that are likely within the limits, in order; all of them if none is."""
        fits = self.fits(architectures) > math.log(0.5)
        chosen = [a for a, fitting in zip(architectures, fits, strict=True) if fitting]
        return chosen or list(architectures)

    def _offer_start(self, batch: Batch, rng: Random) -> bool:
        """Takes one to begin with: at random, but for what limits and side information say of it.

        A limit that few random architectures meet must not turn the start into a search for any.
        """
        if self._side is None and not self.known.rejected:
            return batch.sample(rng)
        parents = self.known.fitting if self.known.rejected else []
        drawn = self.screen.draw(batch, parents, rng)
        if not drawn:
            return batch.sample(rng)
        fits = self.fits(drawn)
        if (likely := fits > math.log(0.5)).any():
            drawn = [a for a, fitting in zip(drawn, likely, strict=True) if fitting]
        elif self.known.rejected:
            return batch.offer(drawn[int(np.argmax(fits))])
        if self._side is None:
            return batch.offer(rng.choice(drawn))
        sides = np.array([self._side(a) for a in drawn], dtype=np.float64)
        sides[~np.isfinite(sides)] = -np.inf
        ranks = sides.argsort(0).argsort(0).mean(1)
        return batch.offer(drawn[int(np.argmax(ranks))])
