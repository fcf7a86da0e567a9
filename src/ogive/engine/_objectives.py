"""What a search is after, and what it must keep to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ogive.errors import TrialFailed

__all__ = ["Objectives", "exceeded"]


@dataclass(frozen=True, slots=True)
class Objectives:
    """The metrics and costs that a search makes large or small.

    Attributes:
        maximize: Names of metrics or costs.
        minimize: Likewise.
    """

    maximize: tuple[str, ...]
    minimize: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return self.maximize + self.minimize

    def values(self, measured: Mapping[str, float]) -> tuple[float, ...]:
        """Returns the objectives, each turned so that larger is better.

        Of a trial that was stopped the metric that the search is after is the one expected.

        Raises:
            TrialFailed: If one was not measured, or is no finite number.
        """
        if "stopped_at" in measured:
            measured = {**measured, self.names[0]: measured["expected"]}
        for name in self.names:
            if name not in measured:
                raise TrialFailed(
                    f"The objective {name!r} must be among what was measured, but that was "
                    f"{', '.join(sorted(measured)) or 'nothing'}. Set maximize or minimize to one "
                    "of these (maximize=() minimizes alone), or return it from the estimator."
                )
            value: Any = measured[name]  # of a user's estimator it may be anything
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise TrialFailed(
                    f"The objective {name!r} must be a finite number, but is {value!r}."
                )
        up = tuple(float(measured[name]) for name in self.maximize)
        return up + tuple(-float(measured[name]) for name in self.minimize)

    def to_json(self) -> dict[str, Any]:
        return {"maximize": list(self.maximize), "minimize": list(self.minimize)}


def exceeded(costs: Mapping[str, float], limits: Mapping[str, float]) -> str | None:
    """Returns a sentence for each limit that the costs are over, or ``None``."""
    over = [
        f"{name} is {costs[name]:.6g}, over the limit of {limit:.6g}"
        for name, limit in limits.items()
        if name in costs and not costs[name] <= limit
    ]
    return "; ".join(over) or None
