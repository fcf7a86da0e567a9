"""How a learning curve will end, from those of the same search that have ended.

A search's trials share schedule, data and metric, and a learning rate that falls at the end lifts
every curve there: what no family of saturating curves (Domhan et al. 2015) foresees, the finished
ones have seen. So the final value is regressed on the value after as many epochs, with the
predictive distribution of Bayesian linear regression under the prior that says nothing (Gelman et
al. 2013, Bayesian Data Analysis, section 14.2): Student's t, wide while few have ended.

What a search is after need not be what a curve is of. The loss moves before the accuracy does, but
the network of the lowest loss is often not the most accurate one: where it is the accuracy that
counts, it is the final accuracy that is regressed on the loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from ogive.errors import SettingError

__all__ = ["Curve", "FinalValue", "Judgement", "Stopping", "chance_to_beat", "final_value"]

_FEWEST = 6
"""Finished curves below which nothing is foreseen."""

_TINY = 1e-9
"""The least that a loss can be told from 0."""


@dataclass(frozen=True)
class Curve:
    """Values along a training, larger is better.

    A loss is best given as ``-log(loss)`` (:meth:`of_losses`): close to its floor at 0 a line would
    foresee too much.

    Attributes:
        epochs: Where, ascending.
        values: What was measured there.

    Raises:
        SettingError: If these are of different lengths, none, or not ascending.
    """

    epochs: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.epochs) != len(self.values) or not self.epochs:
            raise SettingError(
                "A curve has a value for each of its epochs and at least one, but got "
                f"{len(self.epochs)} epochs and {len(self.values)} values."
            )
        if (np.diff(self.epochs) <= 0).any():
            raise SettingError(f"The epochs of a curve must ascend, but got {self.epochs}.")

    @classmethod
    def of_losses(
        cls, epochs: Sequence[float], losses: Sequence[float], *, kept: bool = False
    ) -> Curve:
        """Returns the curve of losses, as their negated logarithms.

        Args:
            epochs: Where, ascending.
            losses: What was measured there.
            kept: Whether each is that of the best weights so far, which are kept.
        """
        values = [_logarithm(loss) for loss in losses]
        return cls(tuple(epochs), tuple(accumulate(values, max) if kept else values))

    def at(self, epoch: float) -> float:
        """Returns the value after ``epoch`` epochs, between two of them on a line."""
        return float(np.interp(epoch, self.epochs, self.values))

    def until(self, epoch: float) -> Curve:
        """Returns its beginning, up to and with ``epoch``; its first value at least."""
        kept = max(1, sum(e <= epoch for e in self.epochs))
        return Curve(self.epochs[:kept], self.values[:kept])


@dataclass(frozen=True, slots=True)
class FinalValue:
    """Student's t distribution of the value with which a curve ends.

    Attributes:
        expected: Its centre.
        scale: Its scale, in units of the value.
        degrees: Of freedom.
    """

    expected: float
    scale: float
    degrees: int

    def above(self, value: float) -> float:
        """Returns the probability to end above ``value``."""
        if self.scale == 0:
            return float(self.expected > value)
        from scipy.special import stdtr  # not for workers that foresee nothing

        return float(stdtr(self.degrees, (self.expected - value) / self.scale))


def final_value(
    curve: Curve, finished: Sequence[Curve], ends: Sequence[float] | None = None
) -> FinalValue | None:
    """Returns what a training is expected to end with, or ``None`` where too few have ended.

    Args:
        curve: As far as it is known.
        finished: Curves of trainings of the same length that ran to their end. Those that begin
            after the curve's last epoch say nothing of it and are left out.
        ends: What each of them was worth in the end, where that is something else than its
            curve's last value.
    """
    epoch = curve.epochs[-1]
    ends = [c.values[-1] for c in finished] if ends is None else ends
    pairs = zip(finished, ends, strict=True)
    known = [(c, end) for c, end in pairs if c.epochs[0] <= epoch < c.epochs[-1]]
    now = np.array([c.at(epoch) for c, _ in known])
    end = np.array([end for _, end in known])
    usable = np.isfinite(now) & np.isfinite(end)
    now, end = now[usable], end[usable]
    n = len(now)
    if n < _FEWEST or not math.isfinite(curve.values[-1]):
        return None
    spread = float(((now - now.mean()) ** 2).sum())
    if spread == 0:  # All stood at the same value: it says nothing, and no slope is learned.
        scale = float(end.std(ddof=1)) * math.sqrt(1 + 1 / n)
        return FinalValue(float(end.mean()), scale, n - 1)
    slope = float(((now - now.mean()) * (end - end.mean())).sum()) / spread
    residuals = end - end.mean() - slope * (now - now.mean())
    away = curve.values[-1] - float(now.mean())
    # Eq. 14.8 and 14.9: the noise, and what is not known of offset and slope.
    variance = float(residuals @ residuals) / (n - 2) * (1 + 1 / n + away**2 / spread)
    return FinalValue(float(end.mean()) + slope * away, math.sqrt(variance), n - 2)


def chance_to_beat(curve: Curve, finished: Sequence[Curve], best: float | None = None) -> float:
    """Returns the probability that a curve ends above ``best``; 1 where nothing is foreseen.

    A training may be stopped where this falls below what its user is ready to be wrong by:
    :class:`Stopping`.

    Args:
        curve: As far as it is known.
        finished: Curves of the same search that ran to their end.
        best: The value to beat; that of the best finished curve by default.
    """
    final = final_value(curve, finished)
    if final is None:
        return 1.0
    return final.above(max(c.values[-1] for c in finished) if best is None else best)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is foreseen of a training.

    Attributes:
        chance: The probability that it ends better than the best.
        expected: The goal's metric, as it is expected to end; within what the others reached, for
            a line goes on where no network does.
    """

    chance: float
    expected: float


@dataclass(frozen=True, slots=True)
class Stopping:
    """When a training is stopped, and what it is compared with: plain data, fixed as it begins.

    Both the loss and what the goal's metric lacks of perfection enter by their logarithms: close
    to the floor at 0 a line would foresee too much.

    Attributes:
        below: A training is stopped when the probability that it ends better than the best is
            below this.
        greater: Whether the goal's metric is better when it is large; its best value is 1 then,
            else 0.
        step: How finely it is measured, such as a row's share of an accuracy.
        losses: Of trainings that ran to their end, ``-log(loss)`` on the validation split.
        ends: What each of them reached of the goal.
        best: The best of it so far.
    """

    below: float
    greater: bool
    step: float
    losses: tuple[Curve, ...]
    ends: tuple[float, ...]
    best: float

    def judge(self, epoch: float, loss: float) -> Judgement | None:
        """Returns what is foreseen after an epoch; ``None`` where too few have ended."""
        curve = Curve((epoch,), (_logarithm(loss),))
        final = final_value(curve, self.losses, [self._scaled(end) for end in self.ends])
        if final is None:
            return None
        chance = final.above(self._scaled(self.best))
        expected = self._unscaled(final.expected)
        return Judgement(chance, min(max(expected, min(self.ends)), max(self.ends)))

    def _scaled(self, value: float) -> float:
        return _logarithm((1 - value if self.greater else value) + self.step / 2)

    def _unscaled(self, scaled: float) -> float:
        lacking = max(0.0, math.exp(-scaled) - self.step / 2)
        return 1 - lacking if self.greater else lacking


def _logarithm(loss: float) -> float:
    return -math.log(max(loss, _TINY))
