"""Bayesian optimisation (Jones et al. 1998) with a Gaussian process over architectures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal

import numpy as np
from scipy.special import log_ndtr

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._features import SideInformation
from ogive.strategies._gp import Floats, Points
from ogive.strategies._model_based import ModelBased
from ogive.strategies._screen import Score
from ogive.strategies._surrogate import Belief
from ogive.strategies._untried import Batch
from ogive.trial import Proposal, Trial

__all__ = ["BayesianOptimization"]

_PARENTS = 20
"""So many of the best are varied to find candidates."""

_STALE = 15
"""Trials without a new best after which every other one is drawn at random."""

_DRAWS = 20
"""Among which a new one is looked for."""

_SAMPLED = 1_000
"""The most candidates among which a sample of the process is drawn at once."""


class BayesianOptimization(Strategy):
    """Models what architectures are worth, and tries the one with the most to hope for.

    The kernel is that of :class:`Features`; its parameters are the most probable given the
    trials, the variance of the noise among them. Values enter as ``-log(best - value + margin)``:
    what distinguishes the best from the good counts as much as what distinguishes the good from
    the bad. Trials that run are believed to end as expected, so that several proposals differ.
    Failed trials count as the worst; where a limit rejected some, what is like them is avoided.
    While there has been no better one for long, every other architecture is drawn at random.
    Trials of several fidelities are taken for what they promise in full (:meth:`Known.values`).

    Args:
        space: What to search. Up to 100,000 architectures are looked through whole.
        initial: How many architectures are tried before there is a model.
        acquisition: ``"ei"`` for the logarithm of the expected improvement (Ament et al. 2023,
            arXiv:2310.20708), ``"ts"`` for Thompson sampling.
        graph: Whether the graph of a space is a term of the kernel, too. On NAS-Bench-201 that is
            a loss (``tables.py nb201``).
        features: Side information: numbers known of an architecture before any trial. The first
            trials are those whose numbers rank highest on average.
        start_from: Architectures to try first.

    Raises:
        SettingError: Unless ``initial >= 2``, or for an unknown acquisition.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        initial: int = 5,
        acquisition: Literal["ei", "ts"] = "ei",
        graph: bool = False,
        features: SideInformation | None = None,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if acquisition not in ("ei", "ts"):
            raise SettingError(f"acquisition is 'ei' or 'ts', but got {acquisition!r}.")
        self.space = space
        self.initial = initial
        self.acquisition = acquisition
        self.graph = graph
        self.features = features
        self.start_from = tuple(map(space.validate, start_from))
        self._search = ModelBased(
            space, initial=initial, side=features, graph=graph, start_from=self.start_from
        )

    def tell(self, trial: Trial) -> None:
        self._search.tell(trial)

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        def promising(batch: Batch) -> Architecture | None:
            if self._stale(batch) and (drawn := self._drawn(batch, rng)) is not None:
                return drawn
            values = self._search.surrogate.values("value", _first)
            if values is None:
                return None
            belief = self._search.belief([values], batch)
            ei = self.acquisition == "ei"
            score = improvement(belief) if ei else _sampler(belief, rng)
            parents = self._search.known.best(_PARENTS)
            return self._search.screen.best(score, batch, parents, rng, climb=ei)

        return self._search.ask(n, rng, promising)

    def _stale(self, batch: Batch) -> bool:
        """Whether the model has led nowhere for long, and this is a turn to look elsewhere.

        A model knows only what it was led to: one that took against what the best architectures
        have early on never sees them.
        """
        _, values = self._search.known.values()
        if not np.isfinite(values[:, 0]).any():
            return False
        pending = len(self._search.known.running) + len(batch)
        since = len(values) - 1 - int(np.nanargmax(values[:, 0])) + pending
        return since >= _STALE and since % 2 == 1

    def _drawn(self, batch: Batch, rng: Random) -> Architecture | None:
        """A new architecture drawn at random, within the limits as far as is known of them."""
        drawn = [self.space.sample(rng) for _ in range(_DRAWS)]
        new = [a for a in drawn if batch.new(self.space.canonical(a))]
        return next(iter(self._search.likely(new)), None)


def _first(values: Floats) -> Floats:
    return values[:, 0]


def improvement(belief: Belief) -> Score:
    """The logarithm of the expected improvement over the best, where limits allow it."""
    (process,) = belief.values
    best = float(process.targets.max())

    def score(points: Points) -> Floats:
        mean, deviation = process.predict(points)
        gain = log_improvement((mean - best) / deviation) + np.log(deviation)
        return gain + belief.fits(points)

    return score


def _sampler(belief: Belief, rng: Random) -> Score:
    """The values of points in one draw of the process (Thompson sampling)."""
    (process,) = belief.values
    draws = np.random.default_rng(rng.getrandbits(64))

    def score(points: Points) -> Floats:
        mean, deviation = process.predict(points)
        # Beyond those with some hope the sample is not worth its cubic price.
        hopeful = np.argsort(-(mean + 3 * deviation), kind="stable")[:_SAMPLED]
        chosen = [part[hopeful] for part in points]
        covariance = process.covariance(chosen)
        covariance[np.diag_indices_from(covariance)] += 1e-6
        noise = np.linalg.cholesky(covariance) @ draws.standard_normal(len(hopeful))
        values = np.full(len(mean), -1e300)
        values[hopeful] = mean[hopeful] + noise + belief.fits(chosen)
        return values

    return score


def log_improvement(z: Floats) -> Floats:
    """Returns ``log(phi(z) + z Phi(z))``, also where that is too small for a float (eq. 9)."""
    density = -0.5 * z * z - 0.5 * math.log(2 * math.pi)
    near, far = np.maximum(z, -1.0), np.minimum(z, -1.0)
    at_near = np.exp(-0.5 * near * near) / math.sqrt(2 * math.pi) + near * np.exp(log_ndtr(near))
    # The hazard 1 - |z| Phi(z) / phi(z), and 1 / z^2 where that is lost in rounding.
    mills = log_ndtr(far) + 0.5 * far * far + 0.5 * math.log(2 * math.pi)
    hazard = np.maximum(1 - np.exp(mills) * -far, 1e-300)
    at_far = np.where(far < -1e3, far**-2.0, hazard)
    return np.where(z > -1, np.log(at_near), density + np.log(at_far))
