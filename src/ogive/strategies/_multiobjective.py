"""Bayesian optimisation of several objectives (Emmerich et al. 2011; Knowles 2006)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal

import moocore
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._bayesian import improvement
from ogive.strategies._features import SideInformation
from ogive.strategies._gp import Floats, Points, Posterior
from ogive.strategies._model_based import ModelBased
from ogive.strategies._pareto import crowding
from ogive.strategies._screen import Score
from ogive.strategies._surrogate import Belief, levelled
from ogive.strategies._untried import Batch
from ogive.trial import Proposal, Trial

__all__ = ["MultiObjective"]

Places = NDArray[np.intp]

_RHO = 0.05
"""How much the sum counts beside the worst objective (Knowles 2006, eq. 2)."""

_BEYOND = 0.1
"""How far behind the worst of the front the reference point lies, in extents of the front."""

_STALE = 3
"""Trials without a new member of the front after which neighbours of its members are tried."""


class MultiObjective(Strategy):
    """Models each objective, and tries what promises to push the front out the furthest.

    Processes, limits, fidelities and candidates are those of :class:`BayesianOptimization`. When
    nothing new has joined the front for a while, it is searched like a local search does, until
    something has: by neighbours of the member with the most room around it (the largest crowding
    distance). Late in a search what is left of the front lies there more often than where a model
    sees it.

    Args:
        space: What to search.
        initial: How many architectures are tried before there is a model.
        acquisition: ``"ehvi"``: the expected improvement of the dominated hypervolume, exact for
            two objectives (Emmerich et al. 2011), which is what it needs. ``"parego"``: the
            expected improvement of a weighted sum with the worst objective, its weights drawn anew
            for each proposal (Knowles 2006). By default the first where there are two.
        graph: Whether the graph of a space is a term of the kernel, too.
        features: Side information: numbers known of an architecture before any trial. The first
            trials are those whose numbers rank highest on average.
        start_from: Architectures to try first.

    Raises:
        SettingError: Unless ``initial >= 2``, or for an unknown acquisition.
    """

    multiobjective = True

    def __init__(
        self,
        space: SearchSpace,
        *,
        initial: int = 10,
        acquisition: Literal["ehvi", "parego"] | None = None,
        graph: bool = False,
        features: SideInformation | None = None,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if acquisition not in ("ehvi", "parego", None):
            raise SettingError(f"acquisition is 'ehvi' or 'parego', but got {acquisition!r}.")
        self.space = space
        self.initial = initial
        self.acquisition = acquisition
        self.graph = graph
        self.features = features
        self.start_from = tuple(map(space.validate, start_from))
        self._search = ModelBased(
            space, initial=initial, side=features, graph=graph, start_from=self.start_from
        )

    def check_weighs(self, objectives: int) -> None:
        """Raises a SettingError where the acquisition is not for so many objectives."""
        if self.acquisition == "ehvi" and objectives != 2:
            raise SettingError(
                f"acquisition='ehvi' is for two objectives, but there are {objectives}. "
                "Leave it out, or use 'parego'."
            )

    def tell(self, trial: Trial) -> None:
        self._search.tell(trial)

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        def promising(batch: Batch) -> Architecture | None:
            forms, values = self._search.known.values()
            if not np.isfinite(values).any():
                return None
            front = _front(values)
            if self._stale(len(forms), front, batch):
                roomy = front[np.argsort(-crowding(values[front]), kind="stable")]
                if (near := self._beside([forms[i] for i in roomy], batch, rng)) is not None:
                    return near
            objectives = values.shape[1]
            exact = objectives == 2 if self.acquisition is None else self.acquisition == "ehvi"
            processes = self._processes(objectives, rng, exact=exact)
            known = [process for process in processes if process is not None]
            if len(known) < len(processes):
                return None
            belief = self._search.belief(known, batch)
            score = _hypervolume_improvement(belief) if exact else improvement(belief)
            return self._search.screen.best(score, batch, [forms[i] for i in front], rng)

        return self._search.ask(n, rng, promising)

    def _stale(self, known: int, front: Places, batch: Batch) -> bool:
        """Whether the front has not grown for long."""
        pending = len(self._search.known.running) + len(batch)
        return len(front) > 0 and known - 1 - front[-1] + pending >= _STALE

    def _beside(
        self, members: Sequence[Architecture], batch: Batch, rng: Random
    ) -> Architecture | None:
        """A new neighbour of the first member that has any, within the limits if one likely is."""
        for member in members:
            around = self.space.neighbours(member, rng)
            new = [a for a in around if batch.new(self.space.canonical(a))]
            if new:
                return rng.choice(self._search.likely(new))
        return None

    def _processes(self, objectives: int, rng: Random, *, exact: bool) -> list[Posterior | None]:
        values = self._search.surrogate.values
        if not exact:
            return [values("weighted", _weighted(objectives, rng))]
        self.check_weighs(objectives)
        return [values(f"objective {i}", _column(i), levelled) for i in range(2)]


def _column(i: int) -> Any:
    return lambda values: values[:, i]


def _weighted(objectives: int, rng: Random) -> Any:
    """The augmented Chebyshev function with weights drawn from the simplex (eq. 2)."""
    drawn = np.array([rng.expovariate(1) for _ in range(objectives)])
    weights = drawn / drawn.sum()

    def scalar(values: Floats) -> Floats:
        finite = values[np.isfinite(values).all(1)]
        extent = np.ptp(finite, axis=0)
        behind = weights * (finite.max(0) - values) / np.where(extent > 0, extent, 1)
        worst: Floats = -(behind.max(1) + _RHO * behind.sum(1))
        return worst

    return scalar


def _front(values: Floats) -> Places:
    """The places of what no other dominates, in order."""
    finite = np.flatnonzero(np.isfinite(values).all(1))
    kept = moocore.is_nondominated(values[finite], maximise=True, keep_weakly=True)
    places: Places = finite[kept]
    return places


def _hypervolume_improvement(belief: Belief) -> Score:
    """The logarithm of the expected growth of the area that two objectives dominate."""
    targets = np.stack([process.targets for process in belief.values], axis=1)
    front = targets[moocore.is_nondominated(targets, maximise=True, keep_weakly=False)]
    front = front[np.argsort(front[:, 0], kind="stable")]
    extent = np.maximum(np.ptp(front, axis=0), 1e-9)
    reference = np.minimum(front.min(0) - _BEYOND * extent, targets.min(0))
    # Strips of the first objective: what is not dominated of each begins above the second
    # objective of the next point of the front.
    left = np.append(reference[0], front[:, 0])
    bottom = np.append(front[:, 1], reference[1])

    def score(points: Points) -> Floats:
        (mean, deviation), (other, spread) = (p.predict(points) for p in belief.values)
        # The integral over a strip of P(F1 > u), times that of P(F2 > v) from its bottom on.
        beyond = _beyond(left[None], mean[:, None], deviation[:, None])
        widths = beyond - np.append(beyond[:, 1:], np.zeros((len(mean), 1)), axis=1)
        heights = _beyond(bottom[None], other[:, None], spread[:, None])
        area = (widths * heights).sum(1)
        promise: Floats = np.log(np.maximum(area, 1e-300)) + belief.fits(points)
        return promise

    return score


def _beyond(x: Floats, mean: Floats, deviation: Floats) -> Floats:
    """``E max(F - x, 0)`` of a normal distribution: the integral of ``P(F > u)`` from x on."""
    z = (mean - x) / deviation
    density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    expected: Floats = deviation * (density + z * ndtr(z))
    return expected
