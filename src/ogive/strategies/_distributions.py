"""How one decision is drawn: a few numbers, ``theta``, to a distribution over its values.

At ``theta = 0`` every value is as likely as :meth:`ogive.space.SearchSpace.sample` draws it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ogive.space import Decision, Value

__all__ = ["Array", "Distribution", "distribution"]

Array = NDArray[np.float64]

_PARTS = 1000
"""A real number counts as the part of its range that it lies in, one of so many."""

_NARROWEST = 0.05
"""The least scale of a number's distribution: about 2 % of its range, so that it never freezes."""

_FAR = 1e3
"""Where the ends of the unit interval lie on the logistic scale, instead of at infinity."""

_LEAST = 1e-300
"""A probability that was rounded to 0 counts as this, so that its log is a number."""


class Distribution(ABC):
    """A family of distributions over the values of a decision.

    Attributes:
        size: How many numbers ``theta`` has.
        features: How many numbers describe a value.
    """

    size: int
    features: int

    @abstractmethod
    def draw(self, theta: Array, rng: Random) -> Value:
        """Draws a value."""

    @abstractmethod
    def log_prob(self, theta: Array, value: Any) -> float:
        """Returns the log of a value's probability."""

    @abstractmethod
    def score(self, theta: Array, value: Any) -> Array:
        """Returns the gradient of :meth:`log_prob` with respect to ``theta``: shape ``(size,)``."""

    @abstractmethod
    def describe(self, value: Any) -> Array:
        """Returns a value as numbers that a network can read: shape ``(features,)``."""


def distribution(decision: Decision) -> Distribution:
    """Returns the family that suits a decision."""
    match decision.kind:
        case "categorical":
            return _Choice(decision)
        case "subset":
            return _Subset(decision)
        case _:
            return _Number(decision)


class _Choice(Distribution):
    """One of the options: a softmax over a number for each."""

    def __init__(self, decision: Decision) -> None:
        self._options = decision.options
        self._place = {option: i for i, option in enumerate(decision.options)}
        self.size = self.features = len(decision.options)

    def draw(self, theta: Array, rng: Random) -> Value:
        shares = np.cumsum(_softmax(theta))
        place = int(np.searchsorted(shares, rng.random(), side="right"))
        return self._options[min(place, self.size - 1)]  # The shares may add up to 1 - 1e-16.

    def log_prob(self, theta: Array, value: Any) -> float:
        top = float(theta.max())
        return float(theta[self._place[value]]) - top - math.log(np.exp(theta - top).sum())

    def score(self, theta: Array, value: Any) -> Array:
        return self.describe(value) - _softmax(theta)

    def describe(self, value: Any) -> Array:
        taken = np.zeros(self.size)
        taken[self._place[value]] = 1.0
        return taken


class _Subset(Distribution):
    """Option by option, taken or left: ``theta`` adds to the log odds of an even draw.

    An even draw takes an option as often as the subsets do that agree with what was taken and left
    so far; it is sure of it where the sizes leave no choice.
    """

    def __init__(self, decision: Decision) -> None:
        self._options = decision.options
        self._sizes = decision.sizes
        self.size = self.features = len(decision.options)

    def draw(self, theta: Array, rng: Random) -> Value:
        value: tuple[Value, ...] = ()
        for place, option in enumerate(self._options):
            if rng.random() < self._chance(theta, place, len(value)):
                value = (*value, option)
        return value

    def log_prob(self, theta: Array, value: Any) -> float:
        taken, chances = self._walk(theta, value)
        return float(np.log(np.maximum(_LEAST, np.where(taken, chances, 1 - chances))).sum())

    def score(self, theta: Array, value: Any) -> Array:
        taken, chances = self._walk(theta, value)
        return taken - chances

    def describe(self, value: Any) -> Array:
        return np.array([float(option in value) for option in self._options])

    def _walk(self, theta: Array, value: tuple[Value, ...]) -> tuple[Array, Array]:
        """Whether each option was taken, and the chance there was of it."""
        taken = self.describe(value)
        before = np.cumsum(taken) - taken
        return taken, np.array(
            [self._chance(theta, place, int(count)) for place, count in enumerate(before)]
        )

    def _chance(self, theta: Array, place: int, taken: int) -> float:
        """The probability that an option is taken after so many others."""
        left = len(self._options) - place - 1
        open_ = [size - taken for size in self._sizes if size >= taken]
        with_it = sum(math.comb(left, count - 1) for count in open_ if count > 0)
        without = sum(math.comb(left, count) for count in open_)
        if not with_it or not without:
            return float(with_it > 0)
        return _sigmoid(float(theta[place]) + math.log(with_it / without))


class _Number(Distribution):
    """A logistic variable of some mean and scale, squashed to the unit interval.

    The standard one is uniform when squashed, which no normal one is, and what falls between two
    ends has an elementary probability. Ordinal values are parts of the interval too: what is
    learned of one says something of its neighbours. ``theta`` is the mean, and what a sigmoid
    turns into the scale, between :data:`_NARROWEST` and about 2.
    """

    size = 2
    features = 1

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def draw(self, theta: Array, rng: Random) -> Value:
        unit = _sigmoid(float(theta[0]) + self._scale(theta)[0] * _logit(rng.random()))
        if self._decision.kind != "ordinal":
            return self._decision.from_unit(unit)
        options = self._decision.options
        return options[min(int(unit * len(options)), len(options) - 1)]

    def log_prob(self, theta: Array, value: Any) -> float:
        low, high = self._ends(theta, value)
        # What lies between: the difference of two sigmoids, as a product that does not cancel.
        share = _sigmoid(high) * _sigmoid(-low) * -math.expm1(low - high)
        return math.log(max(_LEAST, share))

    def score(self, theta: Array, value: Any) -> Array:
        low, high = self._ends(theta, value)
        scale, slope = self._scale(theta)
        below, beyond, width = _sigmoid(low), _sigmoid(-high), max(_LEAST, high - low)
        # The derivatives of the three factors' logs by the mean, and by the log of the scale.
        by_mean = (below - beyond) / scale
        by_scale = low * below - high * beyond - width * math.exp(-width) / -math.expm1(-width)
        return np.array([by_mean, by_scale * slope / scale])

    def describe(self, value: Any) -> Array:
        return np.array([sum(self._part(value)) - 1.0])

    @staticmethod
    def _scale(theta: Array) -> tuple[float, float]:
        """The scale, and its derivative by ``theta[1]``."""
        share = _sigmoid(float(theta[1]))
        room = 2 * (1 - _NARROWEST)
        return _NARROWEST + room * share, room * share * (1 - share)

    def _ends(self, theta: Array, value: Any) -> tuple[float, float]:
        """The ends of the value's part, as the standard logistic variable has them."""
        mean, scale = float(theta[0]), self._scale(theta)[0]
        low, high = self._part(value)
        return (_logit(low) - mean) / scale, (_logit(high) - mean) / scale

    def _part(self, value: Any) -> tuple[float, float]:
        """The part of the unit interval that is drawn as the value."""
        d = self._decision
        if d.kind == "ordinal":
            place, count = d.options.index(value), len(d.options)
        elif d.kind == "real":
            place, count = min(int(d.to_unit(value) * _PARTS), _PARTS - 1), _PARTS
        elif d.log:
            # Half a step on either side, as Decision.from_unit has it.
            least, most = d.low - 0.5, d.high + 0.5
            span = math.log(most / least)
            return math.log((value - 0.5) / least) / span, math.log((value + 0.5) / least) / span
        else:
            place, count = int(value - d.low) // d.step, int(d.size)
        return place / count, (place + 1) / count


def _softmax(theta: Array) -> Array:
    weights = np.exp(theta - theta.max())
    shares: Array = weights / weights.sum()
    return shares


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _logit(share: float) -> float:
    if share <= 0:
        return -_FAR
    return math.log(share / (1 - share)) if share < 1 else _FAR
