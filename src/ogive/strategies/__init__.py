"""Which architecture to try next. One file an algorithm, one line in the registry."""

from __future__ import annotations

import inspect
from fractions import Fraction
from typing import Any

from ogive.errors import SettingError, did_you_mean
from ogive.space import SearchSpace
from ogive.strategies._asha import ASHA
from ogive.strategies._auto import Auto
from ogive.strategies._bananas import BANANAS
from ogive.strategies._base import Strategy
from ogive.strategies._bayesian import BayesianOptimization
from ogive.strategies._bohb import BOHB
from ogive.strategies._evolution import RegularizedEvolution
from ogive.strategies._features import Features, SideInformation
from ogive.strategies._gp import Additive, GaussianProcess, Posterior
from ogive.strategies._grid import GridSearch
from ogive.strategies._hyperband import Hyperband
from ogive.strategies._local import LocalSearch
from ogive.strategies._multiobjective import MultiObjective
from ogive.strategies._npenas import NPENAS
from ogive.strategies._nsga2 import NSGA2
from ogive.strategies._optuna import OptunaSampler
from ogive.strategies._performance import PerformancePredictor, Ranking
from ogive.strategies._policy import Controller, Independent, Policy
from ogive.strategies._policy_gradient import PolicyGradient, make_policy
from ogive.strategies._ppo import PPO
from ogive.strategies._random import RandomSearch
from ogive.strategies._reinforce import Reinforce
from ogive.strategies._tpe import TPE

__all__ = [
    "ASHA",
    "BANANAS",
    "BOHB",
    "MULTIOBJECTIVE",
    "NPENAS",
    "NSGA2",
    "PPO",
    "STRATEGIES",
    "TPE",
    "Additive",
    "Auto",
    "BayesianOptimization",
    "Controller",
    "Features",
    "GaussianProcess",
    "GridSearch",
    "Hyperband",
    "Independent",
    "LocalSearch",
    "MultiObjective",
    "OptunaSampler",
    "PerformancePredictor",
    "Policy",
    "PolicyGradient",
    "Posterior",
    "RandomSearch",
    "Ranking",
    "RegularizedEvolution",
    "Reinforce",
    "SideInformation",
    "Strategy",
    "by_name",
    "check_weighs",
    "make_policy",
    "value_of",
    "written",
]

STRATEGIES: dict[str, type[Strategy]] = {
    "auto": Auto,
    "random": RandomSearch,
    "grid": GridSearch,
    "local": LocalSearch,
    "evolution": RegularizedEvolution,
    "nsga2": NSGA2,
    "asha": ASHA,
    "bo": BayesianOptimization,
    "bananas": BANANAS,
    "npenas": NPENAS,
    "mobo": MultiObjective,
    "hyperband": Hyperband,
    "reinforce": Reinforce,
    "ppo": PPO,
    "tpe": TPE,
    "bohb": BOHB,
    "optuna": OptunaSampler,
}


MULTIOBJECTIVE = tuple(name for name, kind in STRATEGIES.items() if kind.multiobjective)
"""The names of those that weigh several objectives."""


def check_weighs(strategy: Strategy, objectives: int) -> None:
    """Refuses a strategy that does not weigh so many objectives.

    Raises:
        SettingError: If it looks at the first of several alone, or needs another number of them.
    """
    if isinstance(strategy, MultiObjective):
        strategy.check_weighs(objectives)
    if objectives > 1 and not strategy.multiobjective:
        raise SettingError(
            f"Several objectives need a strategy that weighs them, but {type(strategy).__name__} "
            f"looks at the first alone. Take one of {', '.join(MULTIOBJECTIVE)}, or make a cost a "
            "limit. (A strategy of your own that does weigh them says so: multiobjective = True.)"
        )


def by_name(name: str, space: SearchSpace, **settings: Any) -> Strategy:
    """Returns a strategy for a space.

    Args:
        name: A key of :data:`STRATEGIES`, with settings if you like, as :func:`written` reads them.
        space: What it is to search.
        settings: Arguments of the strategy. A ``proposer`` may be a name too.

    Raises:
        SettingError: If there is no strategy of that name, or it has no such setting.
    """
    name, texts = written(name)
    settings = {setting: value_of(text) for setting, text in texts.items()} | settings
    kind: Any = _kind(name)
    parameters = inspect.signature(kind).parameters
    known = parameters.keys() - {"space"}
    if kind.passes_on is not None:
        others = {setting: settings.pop(setting) for setting in settings.keys() - known}
        settings[kind.passes_on] = {**settings.get(kind.passes_on, {}), **others}
    for setting in settings.keys() - known:
        raise SettingError(
            f"A setting must be one of the strategy's own, but {name!r} has no {setting!r}."
            f"{did_you_mean(setting, known)}"
        )
    if isinstance(settings.get("proposer"), str):
        # New architectures come from it, the first ones, too.
        first = {"start_from": settings.pop("start_from")} if "start_from" in settings else {}
        settings["proposer"] = by_name(settings["proposer"], space, **first)
    for setting, value in settings.items():
        settings[setting] = _taken(setting, value, parameters[setting].annotation)
    try:
        strategy: Strategy = kind(space, **settings)
    except TypeError as error:
        raise SettingError(
            f"A setting must be of the kind that the strategy takes, but {name!r} was given "
            f"{settings}: {error}"
        ) from error
    return strategy


def _taken(setting: str, value: Any, annotation: Any) -> Any:
    """Returns a value as a strategy takes it: what is counted is an integer, also as ``1e3``.

    Raises:
        SettingError: If it is of another kind.
    """
    match annotation:
        case "int" if isinstance(value, float) and value.is_integer():
            return int(value)
        case "int" if not isinstance(value, int) or isinstance(value, bool):
            kind = "an integer"
        case "Strategy | None" if not isinstance(value, Strategy | None):
            kind = "a strategy"
        case "SideInformation | None" if value is not None and not callable(value):
            kind = "a function of an architecture (@COLUMN+COLUMN in a comparison on a table)"
        case _:
            return value
    raise SettingError(f"{setting} must be {kind}, but got {setting}={value!r}.")


def written(text: str) -> tuple[str, dict[str, str]]:
    """Reads ``name:setting=value,…`` and returns the name and the settings, still as text.

    A value without a setting is that of the strategy's first, as in ``optuna:TPESampler``.

    Raises:
        SettingError: If a value stands alone and there is no strategy of that name.
    """
    name, _, rest = text.partition(":")
    settings: dict[str, str] = {}
    for part in filter(None, rest.split(",")):
        setting, equals, value = part.partition("=")
        if not equals:
            setting, value = _first_setting(name), part
        settings[setting.strip()] = value.strip()
    return name, settings


def value_of(text: str) -> Any:
    """A number (``1/27`` is one), ``true``, ``false``, ``none``, or the text itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for read_number in (int, float, lambda word: float(Fraction(word))):
        try:
            return read_number(text)
        except (ValueError, ZeroDivisionError):
            continue
    return text


def _first_setting(name: str) -> str:
    return next(n for n in inspect.signature(_kind(name)).parameters if n != "space")


def _kind(name: str) -> type[Strategy]:
    if name not in STRATEGIES:
        raise SettingError(
            f"A strategy must be a known one, but got {name!r}.{did_you_mean(name, STRATEGIES)}"
        )
    return STRATEGIES[name]
