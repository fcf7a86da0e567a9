"""Bayesian optimisation (Jones et al. 1998) with a Gaussian process over architectures."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Any, Literal

import numpy as np
from scipy.special import log_ndtr

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._features import Features, SideInformation
from ogive.strategies._gp import Floats, GaussianProcess, Points, Posterior
from ogive.strategies._known import Known
from ogive.strategies._untried import LISTED, Batch, Tried
from ogive.trial import Proposal, Trial

__all__ = ["BayesianOptimization"]

_MARGIN = 0.1
"""What keeps the logarithm of the best target finite, in interquartile ranges."""

_FITTED_ON = 300
"""The most trials that the kernel's parameters are fitted on."""

_DOUBT = 0.1
"""How far from 0 the process of the limits must be for certainty, the distance of a trial being 1."""

_CANDIDATES = 400
_PARENTS = 20
_CLIMBERS = 3
_CLIMBS = 10

_SAMPLED = 1_000
"""The most candidates among which a sample of the process is drawn at once."""


class BayesianOptimization(Strategy):
    """Models what architectures are worth, and tries the one with the most to hope for.

    The kernel is that of :class:`Features`; its parameters are the most probable given the
    trials, the variance of the noise among them. Values enter as ``-log(best - value + margin)``:
    what distinguishes the best from the good counts as much as what distinguishes the good from
    the bad. Trials that run are believed to end as expected (the kriging believer, Ginsbourger et
    al. 2010), so that several proposals differ. Failed trials count as the worst; where a limit
    rejected some, what is like them is avoided (Gardner et al. 2014).

    Small spaces are looked through whole. In large ones candidates are drawn at random and by
    mutation of the best, and the best of them climb from neighbour to neighbour.

    Args:
        space: What to search.
        initial: How many architectures are tried before there is a model.
        acquisition: ``"ei"`` for the logarithm of the expected improvement (Ament et al. 2023,
            arXiv:2310.20708), ``"ts"`` for Thompson sampling.
        graph: Whether the graph of a space is a term of the kernel, too. On NAS-Bench-201 that was
            no gain.
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
        if initial < 2:
            raise SettingError(f"initial >= 2 must hold, but got initial={initial}.")
        if acquisition not in ("ei", "ts"):
            raise SettingError(f"acquisition is 'ei' or 'ts', but got {acquisition!r}.")
        self.space = space
        self.initial = initial
        self.acquisition = acquisition
        self.graph = graph
        self.features = features
        self.start_from = tuple(map(space.validate, start_from))
        self._tried = Tried(space)
        self._known = Known(space)
        self._fitted: dict[str, tuple[Floats, Floats]] = {}

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
        self._known.tell(trial)

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        batch = Batch(self._tried, n, self.start_from)
        while batch.wanting and self._known.begun + len(batch) < self.initial:
            if not self._offer_start(batch, rng):
                break
        if batch.wanting and self._known.varied:
            self._offer_promising(batch, rng)
        while batch.wanting and batch.sample(rng):
            pass
        return batch.proposals()

    # Before there is a model

    def _offer_start(self, batch: Batch, rng: Random) -> bool:
        if self.features is None:
            return batch.sample(rng)
        pool = self._candidates(batch, [], rng)
        sides = np.array([self.features(a) for a in pool])
        ranks = sides.argsort(0).argsort(0).mean(1)
        return any(batch.offer(pool[i]) for i in np.argsort(-ranks))

    # With one

    def _offer_promising(self, batch: Batch, rng: Random) -> None:
        model = _Model(self._features, self._values, self._limits)
        for architecture in [*self._known.running, *batch.forms]:
            model.believe(architecture)
        while batch.wanting:
            best = self._most_promising(model, batch, rng)
            if best is None or not batch.offer(best):
                return
            model.believe(self.space.canonical(best))

    def _most_promising(self, model: _Model, batch: Batch, rng: Random) -> Architecture | None:
        score = model.improvement if self.acquisition == "ei" else model.sampler(rng)
        if self._small:
            values = score(self._pool_points)
            tried = (self._places.get(form) for form in [*self._tried, *batch.forms])
            values[[place for place in tried if place is not None]] = -np.inf
            best = int(np.argmax(values))
            return self._pool[best] if np.isfinite(values[best]) else None
        scored: dict[Architecture, float] = {}
        fresh = self._candidates(batch, self._known.best(_PARENTS), rng)
        climbed: set[Architecture] = set()
        for _ in range(_CLIMBS):
            before = max(scored.values(), default=-math.inf)
            scored |= zip(fresh, score(self._points(fresh)).tolist(), strict=True)
            left = (a for a in scored if a not in climbed)
            climbers = heapq.nlargest(_CLIMBERS, left, key=scored.__getitem__)
            if not climbers or max(scored.values()) <= before or self.acquisition == "ts":
                break  # One sample of the process is one sample: it is not drawn on elsewhere.
            climbed.update(climbers)
            around = {a: None for c in climbers for a in self.space.neighbours(c, rng)}
            fresh = [a for a in around if a not in scored and batch.new(self.space.canonical(a))]
            if not fresh:
                break
        return max(scored, key=scored.__getitem__) if scored else None

    def _candidates(
        self, batch: Batch, parents: Sequence[Architecture], rng: Random
    ) -> list[Architecture]:
        """New architectures: half of them changed from the best in one to three decisions."""
        found: dict[Architecture, None] = {}
        for i in range(_CANDIDATES):
            if parents and i % 2:
                architecture = rng.choice(parents)
                for _ in range(rng.randint(1, 3)):
                    architecture = self.space.mutate(architecture, rng)
            else:
                architecture = self.space.sample(rng)
            if batch.new(self.space.canonical(architecture)):
                found[architecture] = None
        return list(found)

    def _points(self, architectures: Sequence[Architecture]) -> list[Floats]:
        return self._features([self.space.canonical(a) for a in architectures])

    # What follows from the space and what was told

    @property
    def _small(self) -> bool:
        return self.space.size <= LISTED

    @cached_property
    def _features(self) -> Features:
        return Features(self.space, self.features, graph=self.graph)

    @cached_property
    def _process(self) -> GaussianProcess:
        return GaussianProcess(self._features.terms)

    @cached_property
    def _pool(self) -> list[Architecture]:
        return list({self.space.canonical(a): None for a in self.space.enumerate()})

    @cached_property
    def _places(self) -> dict[Architecture, int]:
        return {form: i for i, form in enumerate(self._pool)}

    @cached_property
    def _pool_points(self) -> list[Floats]:
        return self._features(self._pool)

    @property
    def _values(self) -> Posterior:
        """The process after the values of all trials."""
        fitted = self._fit("values", *_spread(*self._known.values(self._milestone)))
        forms, values = self._known.values()
        return self._process.posterior(fitted, self._points(forms), warped(values))

    @property
    def _limits(self) -> Posterior | None:
        """The process after what was within the limits, as 1, and what was not, as -1."""
        forms, labels = self._known.labels()
        if min(labels, default=1) > 0:
            return None
        fitted = self._fit("limits", *self._known.labels(self._milestone))
        return self._process.posterior(fitted, self._points(forms), labels)

    @property
    def _milestone(self) -> int:
        return _milestone(len(self._known))

    def _fit(self, name: str, forms: Sequence[Architecture], targets: Floats) -> Floats:
        """Returns parameters, fitted anew as trials come in, the less often the more there are.

        They follow from the trials alone, not from those fitted before: a strategy that was asked
        knows no more than one that was only told.
        """
        known = self._fitted.get(name)
        if known is None or not np.array_equal(known[0], targets):
            self._fitted[name] = targets, self._process.fit(self._points(forms), targets)
        return self._fitted[name][1]


class _Model:
    """What is believed of values and limits, pending trials among it."""

    def __init__(self, features: Features, values: Posterior, limits: Posterior | None) -> None:
        self._features, self._values, self._limits = features, values, limits

    def believe(self, form: Architecture) -> None:
        """Takes a canonical form in as if it had ended as expected."""
        point = self._features([form])
        self._values = self._values.after(point, self._values.mean(point))

    def improvement(self, points: Points) -> Floats:
        """The logarithm of the expected improvement over the best, where limits allow it."""
        mean, deviation = self._values.predict(points)
        best = float(self._values.targets.max())
        return log_improvement((mean - best) / deviation) + np.log(deviation) + self._fits(points)

    def sampler(self, rng: Random) -> Any:
        """Returns a function that draws the values of points from the process."""
        draws = np.random.default_rng(rng.getrandbits(64))

        def sample(points: Points) -> Floats:
            mean, deviation = self._values.predict(points)
            # Beyond those with some hope the sample is not worth its cubic price.
            hopeful = np.argsort(-(mean + 3 * deviation))[:_SAMPLED]
            chosen = [part[hopeful] for part in points]
            covariance = self._values.covariance(chosen)
            covariance[np.diag_indices_from(covariance)] += 1e-6
            values = np.full(len(mean), -np.inf)
            noise = np.linalg.cholesky(covariance) @ draws.standard_normal(len(hopeful))
            values[hopeful] = mean[hopeful] + noise + self._fits(chosen)
            return values

        return sample

    def _fits(self, points: Points) -> Floats | float:
        """The logarithm of the probability that the limits hold (Gardner et al. 2014, eq. 5)."""
        if self._limits is None:
            return 0.0
        mean, deviation = self._limits.predict(points)
        likely: Floats = log_ndtr(mean / np.hypot(deviation, _DOUBT))
        return likely


def warped(values: Floats) -> Floats:
    """Returns targets of zero mean and unit variance that spread the best apart.

    What is not finite counts as the worst.
    """
    finite = values[np.isfinite(values)]
    values = np.where(np.isfinite(values), values, finite.min())
    low, high = np.percentile(finite, [25, 75])
    margin = _MARGIN * (high - low or finite.std() or 1.0)
    targets = -np.log(finite.max() - values + margin)
    centred: Floats = targets - targets.mean()
    return centred / (centred.std() or 1.0)


def log_improvement(z: Floats) -> Floats:
    """Returns ``log(phi(z) + z Phi(z))``, also where that is too small for a float (eq. 9)."""
    density = -0.5 * z * z - 0.5 * math.log(2 * math.pi)
    near = np.maximum(z, -1.0)
    direct = np.log(
        np.exp(-0.5 * near * near) / math.sqrt(2 * math.pi) + near * np.exp(log_ndtr(near))
    )
    far = np.minimum(z, -1.0)
    ratio = np.exp(log_ndtr(far) + np.log(-far) + 0.5 * far * far + 0.5 * math.log(2 * math.pi))
    # For z below -1e4 or so 1 - ratio is lost in rounding; its limit is 1 / z^2.
    tail = np.where(far < -1e3, far**-2.0, np.maximum(1 - ratio, 1e-300))
    return np.where(z > -1, direct, density + np.log(tail))


def _milestone(n: int) -> int:
    """The number of trials that the parameters were fitted at last: a tenth of them may be new."""
    step: int = 2 ** max(0, math.floor(math.log2(max(n, 1) / 10)))
    return n - n % step


def _spread(forms: Sequence[Architecture], values: Floats) -> tuple[list[Architecture], Floats]:
    """Returns what to fit parameters to: of many trials the best hundred, and others in between."""
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    top = _FITTED_ON // 3
    places = np.linspace(0, max(0, len(order) - top - 1), _FITTED_ON - top).astype(int)
    chosen = order if len(order) <= _FITTED_ON else np.append(order[:top], order[top:][places])
    chosen = np.sort(chosen)
    return [forms[i] for i in chosen], warped(values[chosen])
