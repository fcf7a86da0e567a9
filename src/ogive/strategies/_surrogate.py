"""What a process believes of a search: values, limits, and trials that still run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from scipy.special import log_ndtr

from ogive.space import Architecture, SearchSpace
from ogive.strategies._features import Features, SideInformation
from ogive.strategies._gp import Floats, GaussianProcess, Points, Posterior
from ogive.strategies._known import Known

__all__ = ["Belief", "Surrogate", "levelled", "milestone", "warped", "within"]

_MARGIN = 0.1
"""What keeps the logarithm of the best target finite, in interquartile ranges."""

_FAR = 2.0
"""What is worse than the first quartile by so many interquartile ranges is only that: worse."""

_FITTED_ON = 300
"""The most networks that parameters are fitted to."""

_DOUBT = 0.1
"""How far the process of the limits must be from 0 for certainty; that of a trial is at 1."""


def warped(values: Floats) -> Floats:
    """Returns targets of zero mean and unit variance that spread the best apart.

    They are ``-log(best - value + margin)``. What is not finite counts as the worst.
    """
    finite = values[np.isfinite(values)]
    values = np.where(np.isfinite(values), values, finite.min())
    low, high = np.percentile(finite, [25, 75])
    margin = _MARGIN * (high - low or finite.std() or 1.0)
    targets = -np.log(finite.max() - values + margin)
    centred: Floats = targets - targets.mean()
    return centred / (centred.std() or 1.0)


def levelled(values: Floats) -> Floats:
    """Returns targets of zero mean and unit variance, in proportion but for the far worse."""
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [25, 75])
    floor = max(finite.min(), low - _FAR * (high - low or finite.std()))
    targets = np.where(np.isfinite(values), np.maximum(values, floor), floor)
    centred: Floats = targets - targets.mean()
    return centred / (centred.std() or 1.0)


class Surrogate:
    """Gaussian processes over the trials of a search, each fitted as trials come in.

    Args:
        space: Whose architectures.
        known: The trials.
        side: Side information.
        graph: Whether the graph of a space is a term of the kernel.
    """

    def __init__(
        self, space: SearchSpace, known: Known, side: SideInformation | None, *, graph: bool
    ) -> None:
        self._space, self._known = space, known
        self._side, self._graph = side, graph
        self._fitted: dict[str, tuple[list[Architecture], Floats, Floats]] = {}

    @cached_property
    def features(self) -> Features:
        return Features(self._space, self._side, graph=self._graph)

    @cached_property
    def _process(self) -> GaussianProcess:
        return GaussianProcess(self.features.terms)

    def points(self, architectures: Sequence[Architecture]) -> list[Floats]:
        """Returns architectures as the process sees them: equal networks are one point."""
        return self.features([self._space.canonical(a) for a in architectures])

    def values(
        self,
        name: str,
        target: Callable[[Floats], Floats],
        warp: Callable[[Floats], Floats] = warped,
    ) -> Posterior | None:
        """Returns the process after the values of all trials; ``None`` where there are no two.

        Args:
            name: Under which fitted parameters are kept.
            target: Turns ``(networks, objectives)`` into the value of each network.
            warp: Turns values into the targets of the process.
        """
        forms, values = self._known.values()
        finite = values[np.isfinite(values).all(1)]
        if len(finite) < 2 or not np.ptp(target(finite)) > 0:
            return None
        some, their = self._known.values(milestone(len(self._known)))
        if np.isfinite(their).all(1).sum() < 2:
            some, their = forms, values
        chosen = _spread(target(their))
        parameters = self._fit(name, [some[i] for i in chosen], warp(target(their)[chosen]))
        return self._process.posterior(parameters, self.features(forms), warp(target(values)))

    @property
    def limits(self) -> Posterior | None:
        """The process after what was within the limits, as 1, and what was not, as -1."""
        forms, labels = self._known.labels()
        if min(labels, default=1) > 0:
            return None
        fitted = self._fit("limits", *self._known.labels(milestone(len(self._known))))
        return self._process.posterior(fitted, self.features(forms), labels)

    def _fit(self, name: str, forms: Sequence[Architecture], targets: Floats) -> Floats:
        """Returns parameters, fitted anew as trials come in, the less often the more there are.

        They follow from the trials alone, not from those fitted before: a strategy that was asked
        knows no more than one that was only told.
        """
        known = self._fitted.get(name)
        if known is None or known[0] != list(forms) or not np.array_equal(known[1], targets):
            fitted = self._process.fit(self.features(forms), targets)
            self._fitted[name] = list(forms), targets, fitted
        return self._fitted[name][2]


class Belief:
    """Processes of values, one an objective, and of limits, at the time of one question."""

    def __init__(self, surrogate: Surrogate, values: Sequence[Posterior]) -> None:
        self._surrogate = surrogate
        self._limits = surrogate.limits
        self.values = list(values)

    def take_in(self, architecture: Architecture) -> None:
        """Believes that an architecture ends as expected (Ginsbourger et al. 2010)."""
        point = self._surrogate.points([architecture])
        self.values = [process.after(point, process.mean(point)) for process in self.values]

    def fits(self, points: Points) -> Floats | float:
        """The logarithm of the probability that the limits hold."""
        return 0.0 if self._limits is None else within(self._limits, points)


def within(limits: Posterior, points: Points) -> Floats:
    """The logarithm of the probability that limits hold (Gardner et al. 2014, eq. 5)."""
    mean, deviation = limits.predict(points)
    likely: Floats = log_ndtr(mean / np.hypot(deviation, _DOUBT))
    return likely


def milestone(n: int) -> int:
    """The number of trials that parameters are fitted to: a tenth of all may have come since."""
    step: int = 1 << max(0, (n // 10).bit_length() - 1)
    return n - n % step


def _spread(values: Floats) -> list[int]:
    """Returns the places to fit parameters to: of many the best hundred, and others in between."""
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    top = _FITTED_ON // 3
    places = np.linspace(0, max(0, len(order) - top - 1), _FITTED_ON - top).astype(int)
    chosen = order if len(order) <= _FITTED_ON else np.append(order[:top], order[top:][places])
    return sorted(chosen.tolist())
