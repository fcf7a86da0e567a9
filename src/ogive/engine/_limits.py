"""Can the limits be met? Asked before hours are spent on finding out."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from random import Random

from ogive.engine._objectives import exceeded
from ogive.errors import LimitError, SettingError, did_you_mean
from ogive.space import Architecture, SearchSpace

__all__ = ["checked_limits", "smallest_within"]

Costs = Callable[[Architecture], Mapping[str, float]]

_SAMPLES = 64

_PATIENCE = 20.0
"""Seconds that the search for one architecture within the limits may take."""


def checked_limits(limits: Mapping[str, float] | None, costs: Collection[str]) -> dict[str, float]:
    """Returns the limits, having checked their values, and that they are on some of the costs.

    Raises:
        SettingError: If one is no cost, or not positive.
    """
    checked = {}
    for name, most in (limits or {}).items():
        if name not in costs:
            raise SettingError(
                f"A limit is on a cost, but {name!r} is none.{did_you_mean(name, costs)}"
            )
        if not most > 0:
            raise SettingError(f"A limit is a positive number, but {name}={most!r}.")
        checked[name] = float(most)
    return checked


def smallest_within(
    space: SearchSpace,
    limits: Mapping[str, float],
    costs: Costs,
    *,
    rng: Random,
) -> Architecture:
    """Returns an architecture that meets the limits.

    Draws some, and walks from the nearest to its neighbours for as long as that brings it nearer.

    Raises:
        LimitError: If it found none, with the nearest it found.
    """
    end = time.monotonic() + _PATIENCE

    def excess(architecture: Architecture) -> float:
        measured = costs(architecture)
        return max(measured[name] / most for name, most in limits.items())

    best, least = space.sample(rng), float("inf")
    for architecture in (space.sample(rng) for _ in range(_SAMPLES)):
        over = excess(architecture)
        if over < least:
            best, least = architecture, over
        if least <= 1 or time.monotonic() > end:
            break
    nearer = True
    while nearer and least > 1 and time.monotonic() < end:
        nearer = False
        for neighbour in space.neighbours(best, rng):
            over = excess(neighbour)
            if over < least:
                best, least, nearer = neighbour, over, True
            if least <= 1 or time.monotonic() > end:
                break
    if least <= 1:
        return best
    raise LimitError(
        "The limits must be met by some architecture, but none was found: in the nearest, "
        f"{exceeded(costs(best), limits)}. Raise the limit or widen the space. "
        f"The nearest: {dict(best)}"
    )
