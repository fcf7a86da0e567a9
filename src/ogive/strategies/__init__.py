"""Which architecture to try next. One file an algorithm, one line in the registry."""

from __future__ import annotations

import inspect
from typing import Any

from ogive.errors import SettingError, did_you_mean
from ogive.space import SearchSpace
from ogive.strategies._asha import ASHA
from ogive.strategies._base import Strategy
from ogive.strategies._bohb import BOHB
from ogive.strategies._evolution import RegularizedEvolution
from ogive.strategies._optuna import OptunaSampler
from ogive.strategies._random import RandomSearch
from ogive.strategies._tpe import TPE

__all__ = [
    "ASHA",
    "BOHB",
    "STRATEGIES",
    "TPE",
    "OptunaSampler",
    "RandomSearch",
    "RegularizedEvolution",
    "Strategy",
    "by_name",
]

STRATEGIES: dict[str, type[Strategy]] = {
    "random": RandomSearch,
    "evolution": RegularizedEvolution,
    "asha": ASHA,
    "tpe": TPE,
    "bohb": BOHB,
    "optuna": OptunaSampler,
}


def by_name(name: str, space: SearchSpace, **settings: Any) -> Strategy:
    """Returns a strategy for a space.

    Args:
        name: A key of :data:`STRATEGIES`.
        space: What it is to search.
        settings: Arguments of the strategy. A ``proposer`` may be a name too.

    Raises:
        SettingError: If there is no strategy of that name, or it has no such setting.
    """
    if name not in STRATEGIES:
        raise SettingError(
            f"A strategy must be a known one, but got {name!r}.{did_you_mean(name, STRATEGIES)}"
        )
    kind: Any = STRATEGIES[name]
    known = inspect.signature(kind).parameters.keys() - {"space"}
    for setting in settings.keys() - known:
        raise SettingError(
            f"A setting must be one of the strategy's own, but {name!r} has no {setting!r}."
            f"{did_you_mean(setting, known)}"
        )
    if isinstance(settings.get("proposer"), str):
        settings["proposer"] = by_name(settings["proposer"], space)
    strategy: Strategy = kind(space, **settings)
    return strategy
