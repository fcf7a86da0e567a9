"""Which architecture to try next. One file an algorithm, one line in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ogive.errors import SettingError, did_you_mean
from ogive.space import SearchSpace
from ogive.strategies._asha import ASHA
from ogive.strategies._base import Strategy
from ogive.strategies._evolution import RegularizedEvolution
from ogive.strategies._random import RandomSearch

__all__ = [
    "ASHA",
    "STRATEGIES",
    "RandomSearch",
    "RegularizedEvolution",
    "Strategy",
    "by_name",
]

STRATEGIES: Mapping[str, type[Strategy]] = {
    "random": RandomSearch,
    "evolution": RegularizedEvolution,
    "asha": ASHA,
}


def by_name(name: str, space: SearchSpace, **settings: Any) -> Strategy:
    """Returns a strategy for a space.

    Raises:
        SettingError: If there is no strategy of that name.
    """
    if name not in STRATEGIES:
        raise SettingError(f"There is no strategy {name!r}.{did_you_mean(name, STRATEGIES)}")
    kind: Any = STRATEGIES[name]
    strategy: Strategy = kind(space, **settings)
    return strategy
