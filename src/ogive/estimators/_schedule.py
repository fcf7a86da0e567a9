"""The learning rate over a training, as a factor of its peak."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ogive.estimators._recipe import Recipe

__all__ = ["Schedule"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate of one training, from the step and the share of the time that is used.

    Attributes:
        recipe: Gives the shape.
        total: Steps of this training.
        full: Steps of the training at fidelity 1; ``total <= full``.

    ``elapsed`` below is the share of the deadline that has passed, 0 without a deadline. Progress
    is ``max(step / total, elapsed)``: a training that is too slow for its time moves faster
    through the schedule, so it always ends with the learning rate decayed.
    """

    recipe: Recipe
    total: int
    full: int

    def progress(self, step: int, elapsed: float = 0.0) -> float:
        """The share of the training that lies behind ``step``, in [0, 1]."""
        return min(1.0, max(step / self.total, elapsed))

    def decaying(self, step: int, elapsed: float = 0.0) -> bool:
        """Whether the part that depends on this training's length has begun."""
        if self.recipe.schedule == "cosine":
            return True
        return self.progress(step, elapsed) > 1 - self.recipe.decay

    def factor(self, step: int, elapsed: float = 0.0) -> float:
        """The learning rate for ``step`` (counted from 0), as a share of ``recipe.lr``."""
        progress = self.progress(step, elapsed)
        if self.recipe.schedule == "cosine":
            return self._warm(step, elapsed) * (1 + math.cos(math.pi * progress)) / 2
        decayed = max(0.0, progress - (1 - self.recipe.decay)) / (self.recipe.decay or 1.0)
        return self._warm(step, elapsed) * (1 - decayed)

    def _warm(self, step: int, elapsed: float) -> float:
        # In steps of the full training, so that trainings of any length begin alike.
        steps = self.recipe.warmup * (
            self.full if self.recipe.schedule == "trapezoid" else self.total
        )
        if steps <= 0:
            return 1.0
        # Time counts as the steps that should have been made in it, and only if they were not.
        return min(1.0, max(step + 1, elapsed * self.total) / (steps + 1))
