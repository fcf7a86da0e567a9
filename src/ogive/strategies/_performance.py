"""How good an architecture will be, learned from the trials of a search.

Regression on encodings, on what a graph shows and on zero-cost proxies, as in White et al. 2021
(arXiv:2104.01177, section 3), whose measure of such predictors, the rank correlation on networks
that they have not seen, is measured here by folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._features import Features, SideInformation
from ogive.strategies._gp import GaussianProcess
from ogive.strategies._known import Known
from ogive.strategies._predictor import Inputs, trained
from ogive.trial import Trial

__all__ = ["PerformancePredictor", "Ranking"]

_Floats = NDArray[np.float64]
_Model = Callable[[list[_Floats]], _Floats]

Kind = Literal["gp", "boosting", "ensemble"]

_KINDS = {
    "gp": "A Gaussian process",
    "boosting": "Boosted trees",
    "ensemble": "An ensemble of networks",
}

_MEMBERS = 5
"""Networks of an ensemble, as BANANAS has them."""

_FOLDS = 5
_FEWEST = 10
_FAR = 2.0
"""Interquartile ranges below the first quartile from which on values count alike."""

_CHANCE = 0.01
"""How probable so high a correlation may be where nothing was learned."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well networks were ranked by models that had not seen them.

    Attributes:
        spearman: The rank correlation of predicted and measured values.
        chance: How probable one as high is where predictions and values have nothing to do with
            each other (one-sided).
        networks: How many.
    """

    spearman: float
    chance: float
    networks: int

    @property
    def beats_chance(self) -> bool:
        """Whether chance alone would rank as well in fewer than one of a hundred searches."""
        return self.chance < _CHANCE

    def explain(self) -> str:
        """Says in a sentence how far the predictions can be relied on."""
        if self.chance == 1 and not self.spearman:
            return f"Nothing was learned from {self.networks} networks; nothing is predicted."
        said = (
            f"a rank correlation of {self.spearman:.2f} with what {self.networks} networks were "
            "worth, each predicted by a model that had not seen it"
        )
        if self.beats_chance:
            return f"The predictions have {said}."
        return f"Nothing is predicted: chance may well have {said}."


class PerformancePredictor:
    """Predicts the value of architectures, and says by folds how well it ranks them.

    Args:
        space: Whose architectures.
        kind: ``gp``, a Gaussian process, ``boosting``, boosted trees, or ``ensemble``, five small
            networks whose mean counts.
        side: Numbers known of each architecture, such as zero-cost proxies.
        graph: Whether the space's graph is a feature: its labels, or for an ensemble its paths.

    Attributes:
        ranking: How well it ranks what it has not seen.
        history: The same after 10, 20, 40, … and all networks of the trials that it learned from.

    Raises:
        SettingError: If ``kind`` is none of these.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        kind: Kind = "gp",
        side: SideInformation | None = None,
        graph: bool = False,
    ) -> None:
        if kind not in _KINDS:
            raise SettingError(
                f"A predictor is {' or '.join(map(repr, _KINDS))}, but got kind={kind!r}."
            )
        self._space, self._kind = space, kind
        self._features = Features(space, side, graph=graph)
        self._inputs = Inputs(space, side, paths=graph)
        self._learned: tuple[list[_Floats], _Floats] | None = None
        self._model: _Model | None = None
        self.ranking = Ranking(0.0, 1.0, 0)
        self.history: tuple[Ranking, ...] = ()

    def learn(self, trials: Iterable[Trial]) -> PerformancePredictor:
        """Learns from the trials of a search, by their first objective.

        Each network counts once, with what its longest training promises in full.

        Args:
            trials: As a strategy is told them; those that still run are left out.
        """
        known = Known(self._space)
        for trial in trials:
            known.tell(trial)
        forms, values = known.values()
        worth = values[:, 0].tolist()
        self.history = tuple(self.fit(forms[:n], worth[:n]).ranking for n in _doubled(len(forms)))
        return self

    def fit(
        self, architectures: Sequence[Architecture], values: Sequence[float]
    ) -> PerformancePredictor:
        """Learns from finished trials, and measures ``ranking`` anew.

        Of fewer than 10 different values nothing is learned. Equal networks count once, with
        their mean, so that none is ranked by a model that has seen it.

        Args:
            architectures: What was tried.
            values: What each was worth; those that are not finite are left out.
        """
        groups: dict[Architecture, list[float]] = {}
        for architecture, value in zip(architectures, values, strict=True):
            if np.isfinite(value):
                groups.setdefault(self._space.canonical(architecture), []).append(value)
        targets = np.array([float(np.mean(some)) for some in groups.values()])
        self._learned, self._model = None, None
        self.ranking = Ranking(0.0, 1.0, len(targets))
        if len(set(targets.tolist())) < _FEWEST:
            return self
        points = self._points(list(groups))
        self.ranking = self._by_folds(points, targets)
        self._learned = points, targets
        return self

    def predict(self, architectures: Sequence[Architecture]) -> _Floats | None:
        """Returns the expected values, or ``None`` unless the ranking beats chance."""
        if self._learned is None or not self.ranking.beats_chance:
            return None
        if self._model is None:  # Many only ask how well networks are ranked.
            self._model = self._fitted(*self._learned)
        return self._model(self._points([self._space.canonical(a) for a in architectures]))

    def explain(self) -> str:
        """Says what it is, and how far its predictions can be relied on."""
        return f"{_KINDS[self._kind]}. {self.ranking.explain()}"

    def _points(self, forms: Sequence[Architecture]) -> list[_Floats]:
        if self._kind == "ensemble":
            return [np.asarray(self._inputs(forms), dtype=np.float64)]
        return self._features(forms)

    def _by_folds(self, points: list[_Floats], targets: _Floats) -> Ranking:
        fold = np.random.default_rng(0).permutation(len(targets)) % _FOLDS
        predicted = np.empty(len(targets))
        for held in range(_FOLDS):
            rest, out = fold != held, fold == held
            model = self._fitted([some[rest] for some in points], targets[rest])
            predicted[out] = model([some[out] for some in points])
        # A model that learned nothing predicts the mean of the rest, which is the lower the
        # better what was left out: that errs towards saying that nothing was learned.
        if np.ptp(predicted) == 0:
            return Ranking(0.0, 1.0, len(targets))
        from scipy.stats import spearmanr  # which takes most of a second

        found = spearmanr(predicted, targets, alternative="greater")
        return Ranking(float(found.statistic), float(found.pvalue), len(targets))

    def _fitted(self, points: list[_Floats], targets: _Floats) -> _Model:
        # What is far worse than most is only that: how much worse says nothing of the good ones.
        low, high = np.percentile(targets, [25, 75])
        targets = np.maximum(targets, low - _FAR * (high - low)) if high > low else targets
        mean, spread = float(targets.mean()), float(targets.std()) or 1.0
        scaled = (targets - mean) / spread
        if self._kind == "gp":
            process = GaussianProcess(self._features.terms)
            posterior = process.posterior(process.fit(points, scaled), points, scaled)
            return lambda new: posterior.mean(new) * spread + mean
        if self._kind == "ensemble":
            networks = trained(points[0], scaled, members=_MEMBERS)
            return lambda new: networks(new[0]).mean(0) * spread + mean
        from sklearn.ensemble import HistGradientBoostingRegressor  # which takes most of a second

        trees = HistGradientBoostingRegressor(
            max_iter=100, min_samples_leaf=min(20, max(2, len(targets) // 10)), random_state=0
        ).fit(np.hstack(points), scaled)
        return lambda new: np.asarray(trees.predict(np.hstack(new))) * spread + mean


def _doubled(n: int) -> list[int]:
    """The fewest, twice as many and so on, and all."""
    sizes = [_FEWEST]
    while 2 * sizes[-1] < n:
        sizes.append(2 * sizes[-1])
    return [size for size in sizes if size < n] + [n]
