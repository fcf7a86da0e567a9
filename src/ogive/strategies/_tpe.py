"""Tree-structured Parzen estimator (TPE; Bergstra et al. 2011, NeurIPS 24, section 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr

from ogive.errors import SettingError
from ogive.space import Architecture, Decision, Encoding, SearchSpace, Value
from ogive.strategies._base import Strategy
from ogive.strategies._untried import Batch, Tried
from ogive.trial import Proposal, Trial

__all__ = ["TPE"]

Array = NDArray[np.float64]

_WIDTH = 0.1
"""Standard deviation of the kernel of a number around a single centre, as a share of its range."""


class TPE(Strategy):
    """Proposes what the best trials have and the others have not.

    Two densities are estimated, l of the best trials and g of the others. Of some draws from l the
    one with the largest l/g is proposed: the larger the ratio, the larger the expected
    improvement. Where trials have several fidelities, the largest with enough of them is looked
    at, as in BOHB (Falkner, Klein & Hutter 2018, arXiv:1807.01774, Algorithm 2).

    The densities are BOHB's, too (its Appendix D): mixtures of kernels around whole architectures,
    each a product over the decisions, so that what belongs together stays together. The mixtures
    of the first paper stand for a decision each. As there, the prior is one more component, and a
    decision that is not active in a centre follows the prior.

    What failed, what a limit rejected and what is running counts among the others: the first two
    are bad, and workers side by side should not do the same.

    Args:
        space: What to search.
        top: The share of the trials that are the best (gamma; q in BOHB).
        candidates: How many draws from l are compared.
        startup: How many complete trials a fidelity needs for a model.
        random_share: The share of the proposals that are drawn from the space instead.
        start_from: Architectures to try first.

    Raises:
        SettingError: Unless ``0 < top < 1``, ``candidates >= 1``, ``startup >= 1`` and
            ``0 <= random_share < 1``.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        top: float = 0.15,
        candidates: int = 64,
        startup: int = 10,
        random_share: float = 0.0,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if not 0 < top < 1:
            raise SettingError(f"0 < top < 1 must hold, but got top={top}.")
        if candidates < 1 or startup < 1:
            raise SettingError(
                "candidates and startup must be at least 1, but got "
                f"candidates={candidates}, startup={startup}."
            )
        if not 0 <= random_share < 1:
            raise SettingError(
                f"0 <= random_share < 1 must hold, but got random_share={random_share}."
            )
        self.space = space
        self.top = top
        self.candidates = candidates
        self.startup = startup
        self.random_share = random_share
        self.start_from = tuple(map(space.validate, start_from))
        self._tried = Tried(space)
        self._complete: dict[float, dict[Architecture, float]] = {}  # D_b, by fidelity
        self._others: dict[Architecture, None] = {}  # without a value of their own

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        batch = Batch(self._tried, n, self.start_from)
        model = self._model() if batch.wanting else None
        while batch.wanting and (self._offer_likely(batch, model, rng) or batch.sample(rng)):
            pass
        return batch.proposals()

    def _offer_likely(
        self, batch: Batch, model: tuple[_Density, _Density] | None, rng: Random
    ) -> bool:
        """BOHB's Algorithm 2, in which no architecture is proposed twice."""
        if model is None or rng.random() < self.random_share:  # lines 1 and 3
            return False
        good, bad = model
        drawn = [good.draw(rng) for _ in range(self.candidates)]  # line 5
        nearest = (self.space.nearest(a, rng) for a in drawn)
        allowed = [a for a in nearest if a is not None]
        encoding = self.space.encode(allowed)
        ratio = good.log(encoding) - bad.log(encoding)
        return any(batch.offer(allowed[i]) for i in np.argsort(-ratio, kind="stable"))  # line 6

    def _model(self) -> tuple[_Density, _Density] | None:
        """Both densities, l and g, at the largest fidelity with enough trials."""
        enough = [b for b, told in self._complete.items() if len(told) >= self.startup]
        if not enough:
            return None
        values = self._complete[max(enough)]  # line 2
        ranked = [a for a in values if a not in self._others]
        ranked.sort(key=values.__getitem__, reverse=True)
        count = math.ceil(self.top * len(ranked))  # Eq. 3, where a density does with one trial
        good, bad = ranked[:count], [*ranked[count:], *self._others]
        return _Density(self.space, good), _Density(self.space, bad)  # line 4, Eq. 2

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
        if trial.state == "complete" and not math.isnan(trial.value):
            self._others.pop(trial.architecture, None)
            self._complete.setdefault(trial.fidelity, {})[trial.architecture] = trial.value
        elif trial.state != "running" or trial.proposal.parent is None:
            self._others[trial.architecture] = None


class _Density:
    """A density over the architectures of a space, as a multiple of that of ``space.sample``.

    A mixture in equal parts: the space's own draws, and a kernel around each of n centres, which
    is a product over the decisions that are active in it and in the architecture. For a number it
    is a Gaussian on the unit interval, by Scott's rule but no narrower than half a step. For one
    of some options it is Aitchison & Aitken's, with n + 1 times the probability of any other for
    the centre's own: from almost the prior it narrows to the centre as n grows. The options of a
    subset are decided one by one, in the same manner.

    The logarithm of a kernel is a constant less a sum, over the columns of the encoding that are
    active in both, of squared differences, each with its cost.
    """

    def __init__(self, space: SearchSpace, centres: Sequence[Architecture]) -> None:
        n = len(centres)
        decisions = [space[column.path] for column in space.columns]
        scott = _WIDTH * max(1, n) ** (-1 / (len(space) + 4))
        self._space = space
        self._centres = centres
        self._widths = {d.path: max(scott, 0.5 / max(1, d.size - 1)) for d in decisions}

        number = np.array([d.kind not in ("categorical", "subset") for d in decisions])
        one_hot = np.array([d.kind == "categorical" for d in decisions])
        options = np.array([len(d.options) if d.kind == "categorical" else 2 for d in decisions])
        width = np.array([self._widths[d.path] for d in decisions])
        encoding = space.encode(centres)
        inside = ndtr((1 - encoding.values) / width) - ndtr(-encoding.values / width)
        # Two columns of a one-hot decision differ at once, and all of them share in its constant.
        own = np.log(options * (n + 1) / (n + options)) / np.where(one_hot, options, 1)
        peak = np.where(number, -np.log(math.sqrt(2 * math.pi) * width * inside), own)
        other = math.log(n + 1) / np.where(one_hot, 2, 1)
        self._cost = np.where(number, 0.5 / width**2, other)
        self._values = encoding.values
        self._active = encoding.mask.astype(float)
        self._constant = self._active * (peak - self._cost * encoding.values**2)

    def log(self, encoding: Encoding) -> Array:
        """Returns the logarithm for each architecture, shape ``(architectures,)``."""
        values, active = encoding.values, encoding.mask.astype(float)
        prior = np.zeros((len(values), 1))
        kernels = (
            active @ self._constant.T
            - (values**2 * self._cost) @ self._active.T
            + 2 * (values * self._cost) @ self._values.T
        )
        found: Array = logsumexp(np.hstack([prior, kernels]), axis=1)
        return found - math.log(len(self._centres) + 1)

    def draw(self, rng: Random) -> Architecture:
        """Draws from it, but that of a subset no more than one option is changed."""
        place = rng.randrange(len(self._centres) + 1)
        if place == len(self._centres):
            return self._space.sample(rng)
        return self._space.walk(partial(self._decide, self._centres[place], rng))

    def _decide(self, centre: Architecture, rng: Random, decision: Decision) -> Value:
        if decision.path not in centre:
            return decision.sampler()(rng)
        value = centre[decision.path]
        if decision.kind in ("categorical", "subset"):
            n = len(self._centres)
            keep = rng.random() * (n + decision.size) < n + 1
            return value if keep else decision.another(value, rng)
        here, width = decision.to_unit(value), self._widths[decision.path]
        while not 0 <= (there := rng.gauss(here, width)) <= 1:
            pass
        if decision.kind == "ordinal":
            return decision.options[round(there * (len(decision.options) - 1))]
        return decision.from_unit(there)
