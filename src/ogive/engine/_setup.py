"""What was asked for, checked and complete: the arguments of a search after the defaults."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ogive import nn as readings
from ogive import spaces, strategies
from ogive import task as tasks
from ogive.engine._budget import Budget
from ogive.engine._limits import checked_limits
from ogive.engine._objectives import Objectives, exceeded
from ogive.engine._prior import Prior, starts, told
from ogive.errors import JournalMismatch, SettingError, TaskError, did_you_mean
from ogive.estimators import (
    Bench,
    Estimator,
    Fidelity,
    Recipe,
    RecipeLike,
    check_fidelities,
    fidelities,
)
from ogive.executors import cores
from ogive.hardware import CHEAP, COSTS, Cost, LatencyPredictor, costs
from ogive.nn import NetworkFunction
from ogive.space import Architecture, SearchSpace
from ogive.strategies import Auto, Strategy
from ogive.task import Task

__all__ = ["Setup", "opening", "references", "set_up"]

_COUNTED = ("params", "macs")
"""Costs that take no more than to build a network and to run it once, both on the meta device."""

_AGAIN = 2
"""Times that a latency is measured once more, where it may be within its limit for all that."""

_NEAR = 1.5
"""How far over the limit, as a multiple, it may have come by what else the machine does."""

REPORTED = ("params", "macs", "memory_mb")
"""Costs that every trial is reported with."""


@dataclass(frozen=True)
class Setup:
    """A search before it begins.

    Attributes:
        network: The network function, or ``None`` for a search that only ever asks an estimator.
        task: What the network is for, or ``None`` likewise.
        space: What the function spans.
        recipe: How networks are trained.
        objectives: What is made large or small.
        limits: What a network may cost at most.
        strategy: Proposes; fresh.
        estimator: A user's own, or ``None`` to train.
        fidelity: What there is less of in a training below fidelity 1.
        budget: What all of it may use.
        seed: Of every draw.
        folder: The run folder.
        stop_below: The probability to end better than the best below which a trial is stopped.
        by_gradient: What is to be known of the search by gradient that it starts from, if any.
        own_costs: A user's own, by name.
        bundle: Whether the winner is exported.
    """

    network: NetworkFunction | None
    task: Task | None
    space: SearchSpace
    recipe: RecipeLike
    objectives: Objectives
    limits: Mapping[str, float]
    strategy: Strategy
    estimator: Estimator | None
    fidelity: tuple[Fidelity, ...]
    budget: Budget
    seed: int
    folder: Path
    stop_below: float | None = None
    by_gradient: Mapping[str, Any] | None = None
    own_costs: Mapping[str, Cost] = field(default_factory=dict)
    bundle: bool = True

    @property
    def trains(self) -> bool:
        """Whether the winner can be trained and handed over, and is not only estimated."""
        return self.network is not None and self.task is not None

    @cached_property
    def bench(self) -> Bench:
        """What workers need; the same object each time, so that a pool can ship it once."""
        return Bench(self.network, self.task, self.recipe, self.estimator, self.fidelity)

    def recipe_of(self, architecture: Architecture) -> Recipe:
        return self.bench.recipe_of(architecture)

    def build(self, architecture: Architecture, device: str = "cpu") -> nn.Module:
        assert self.network is not None and self.task is not None
        with torch.device(device):
            return readings.build(self.network, self.task, architecture)

    # Costs

    @cached_property
    def cost_names(self) -> tuple[str, ...]:
        """The costs that are measured for each trial: cheap ones, and those that were asked for."""
        asked = [*self.limits, *(n for n in self.objectives.names if n in COSTS), *self.own_costs]
        return tuple(dict.fromkeys([*REPORTED, *asked]))

    def costs(
        self, architecture: Architecture, names: Sequence[str] | None = None
    ) -> dict[str, float]:
        """Measures costs of an architecture; the cheap ones of ogive's on the meta device."""
        if not self.trains:
            return {}
        assert self.task is not None
        names = self.cost_names if names is None else names
        cheap = [name for name in names if name in CHEAP and name not in self.own_costs]
        dear = [name for name in names if name not in cheap]
        batch, own = self.recipe_of(architecture).batch_size, self.own_costs
        found = costs(self.build(architecture, "meta"), self.task, cheap, batch_size=batch)
        if dear:
            found |= costs(self.build(architecture), self.task, dear, batch_size=batch, own=own)
        return found

    def costs_within(
        self, architecture: Architecture, names: Sequence[str] | None = None
    ) -> dict[str, float]:
        """Measures in ascending order of price, and no further than the first broken limit.

        A time that is not far over its limit is measured again, for what else the machine does
        makes times longer and never shorter: the least of three counts.
        """
        names = self.cost_names if names is None else names
        cheap = [name for name in names if name in CHEAP]
        found: dict[str, float] = {}
        for some in ([name for name in _COUNTED if name in self.limits], cheap, names):
            missing = [name for name in some if name not in found]
            found |= self.costs(architecture, missing) if missing else {}
            for name in self._near(found, missing):
                for _ in range(_AGAIN):
                    again = self.costs(architecture, [name])[name]
                    found[name] = min(found[name], again)
                    if found[name] <= self.limits[name]:
                        break
            if exceeded(found, self.limits):
                break
        return found

    def _near(self, found: Mapping[str, float], names: Sequence[str]) -> list[str]:
        """Those of ogive's own times that are over their limits, but not by far."""
        return [
            name
            for name in names
            if name in found and name in self.limits
            if name not in CHEAP and name not in self.own_costs
            if self.limits[name] < found[name] <= _NEAR * self.limits[name]
        ]

    # Identity

    def identity(self) -> dict[str, Any]:
        """What must be the same for a search to go on, as JSON."""
        return {
            "space": self.space.to_json(),
            "task": self.task.key if self.task else None,
            "strategy": self.strategy.settings(),
            "estimator": None if self.estimator is None else _name(self.estimator),
            "recipe": self.recipe.to_json() if isinstance(self.recipe, Recipe) else "chosen",
            "limits": dict(self.limits),
            # Nothing for none: journals from before there were any have nothing, too.
            "costs": {name: _name(cost) for name, cost in self.own_costs.items()} or None,
            **self.objectives.to_json(),
            "stop_below": self.stop_below,
            "seed": self.seed,
            # Nothing for the usual: journals from before there was another have nothing, too.
            "fidelity": None if self.fidelity == ("epochs",) else list(self.fidelity),
        }

    def check_same(self, opened: Mapping[str, Any]) -> None:
        """Raises a JournalMismatch, with what differs, for a journal of another search."""
        mine, theirs = self.identity(), opened["identity"]
        different = [
            f"{name}: {theirs.get(name)!r} there, {mine[name]!r} now"
            for name in mine
            if name != "space" and mine[name] != theirs.get(name)
        ]
        there = SearchSpace.from_json(theirs["space"])
        if there.key != self.space.key:
            lines = self.space.difference(there)
            more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
            different.append(f"space: {'; '.join(lines[:3])}{more}")
        if different:
            raise JournalMismatch(
                "A journal goes on only with the search it was written for, but the one in "
                f"{self.folder} differs. {' | '.join(different)}. Give the same arguments, or "
                "another run folder (out=, --out)."
            )


def _name(function: object) -> str:
    if isinstance(function, LatencyPredictor):
        return f"LatencyPredictor {function.key}"
    return getattr(function, "__qualname__", type(function).__qualname__)


def opening(setup: Setup) -> dict[str, Any]:
    """What the first event of a journal says, so that the journal alone tells the whole story."""
    size = setup.space.size
    return {
        "format": 1,
        "identity": setup.identity(),
        "ogive": _version(),
        "task": setup.task.describe() if setup.task else None,
        "by_gradient": setup.by_gradient,
        "space": {"name": setup.space.name, "size": "inf" if size == math.inf else size},
        "environment": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "platform": platform.platform(),
            "cores": cores(),
        },
        "command": sys.argv,
    }


def _version() -> str:
    try:
        return version("ogive")
    except PackageNotFoundError:  # Run from a source tree that is not installed.
        return "0"


def set_up(
    network: NetworkFunction | SearchSpace | str | None,
    task: object,
    *,
    budget: Budget,
    limits: Mapping[str, float] | None,
    maximize: str | Sequence[str] | None,
    minimize: str | Sequence[str],
    strategy: str | Strategy,
    start_from: Prior,
    estimator: Estimator | None,
    recipe: RecipeLike | None,
    fidelity: Fidelity | Sequence[Fidelity],
    seed: int,
    folder: Path,
    stop_below: float | None = None,
    costs: Mapping[str, Cost | str | Path] | None = None,
    bundle: bool = True,
) -> Setup:
    """Fills in the defaults and checks what can be checked without running anything.

    Raises:
        OgiveError: The first thing that is wrong.
    """
    given = (
        task
        if task is None or isinstance(task, Task)
        else tasks.load(task, cache=folder / "cache", seed=seed)
    )
    if given is not None and (named := _named_metric(maximize, minimize, given)):
        given = replace(given, metric=named)
    if isinstance(network, SearchSpace):
        if estimator is None:
            raise SettingError(
                "A search over a SearchSpace needs an estimator, since there is no network "
                "function to train. Pass estimator=, or the network function instead."
            )
        if limits:
            raise SettingError(
                "A limit is on what a network costs, but a search over a SearchSpace builds none: "
                f"limits={dict(limits)} would not be looked at. Let the estimator raise "
                "TrialFailed for what costs too much, or minimize what it returns of it."
            )
        space, function = network, None
    else:
        if given is None:
            raise SettingError(
                "A search over networks needs a task: pass data as its second argument."
            )
        function = _function(network, given)
        space = None
    if recipe is None and given is not None:
        recipe = Recipe.default(given)
    recipe = recipe or Recipe()
    if space is None:
        assert function is not None and given is not None
        tuned = None if isinstance(recipe, Recipe) else recipe
        space = readings.record(function, given, recipe=tuned)
    objectives = _objectives(maximize, minimize, given)
    own_costs = {name: _cost(cost) for name, cost in (costs or {}).items()}
    known_costs = {*COSTS, *own_costs}
    if estimator is None and given is not None:
        _check_objectives(objectives, given, known_costs)
    if not objectives.names or len(set(objectives.names)) < len(objectives.names):
        raise SettingError(
            "A search has an objective or more, each named once to be made large or small, but "
            f"here maximize={list(objectives.maximize)} and minimize={list(objectives.minimize)}. "
            "Name each in one of them; maximize=() makes none large."
        )
    strategy = _strategy(
        strategy,
        space,
        start_from,
        # What a user's own estimator makes of a fidelity is not known: it may take no notice.
        auto=Auto.asked(
            objectives=len(objectives.names),
            fidelities=estimator is None,
            trials=budget.trials,
        ),
    )
    strategies.check_weighs(strategy, len(objectives.names))
    return Setup(
        network=function,
        task=given,
        space=space,
        recipe=recipe,
        objectives=objectives,
        limits=checked_limits(limits, known_costs),
        strategy=strategy,
        estimator=estimator,
        fidelity=_fidelity(fidelity, given, space),
        budget=budget,
        seed=seed,
        folder=folder,
        by_gradient=told(start_from),
        stop_below=_checked_probability(stop_below, objectives, estimator, known_costs),
        own_costs=own_costs,
        bundle=bundle,
    )


def _cost(given: Cost | str | Path) -> Cost:
    return LatencyPredictor.load(given) if isinstance(given, str | Path) else given


def _checked_probability(
    given: float | None,
    objectives: Objectives,
    estimator: Estimator | None,
    costs: Collection[str],
) -> float | None:
    if not given:
        return None
    if not 0 < given < 1:
        raise SettingError(
            "stop_below is the probability to end better than the best below which a trial is "
            f"stopped, between 0 and 1, but got {given}. Try 0.05, or 0 to stop none."
        )
    if estimator is not None:
        raise SettingError(
            "stop_below stops the trainings of a search, but this one asks an estimator of its "
            "own. Leave stop_below out."
        )
    if len(objectives.names) > 1 or objectives.names[0] in costs:
        raise SettingError(
            "stop_below needs one metric of which there is a best, but the search is after "
            f"{', '.join(objectives.names)}. Leave stop_below out, or make a cost a limit."
        )
    return given


def _strategy(
    strategy: str | Strategy, space: SearchSpace, start_from: Prior, *, auto: Mapping[str, Any]
) -> Strategy:
    first = starts(start_from, space) if start_from else []
    if isinstance(strategy, str):
        settings: dict[str, Any] = {"start_from": first} if first else {}
        settings |= auto if strategies.written(strategy)[0] == "auto" else {}
        return strategies.by_name(strategy, space, **settings)
    if first:
        raise SettingError(
            "A strategy that is given as an object has its own start_from, but the search was "
            f"given one too. Write: {type(strategy).__name__}(space, start_from=...)"
        )
    return strategy


def _fidelity(
    fidelity: Fidelity | Sequence[Fidelity], task: Task | None, space: SearchSpace
) -> tuple[Fidelity, ...]:
    names = fidelities(fidelity)
    if task is not None:
        check_fidelities(names, task)
    if "width" in names and not any(map(readings.is_width, space.decisions)):
        raise SettingError(
            f"The fidelity 'width' needs a number whose path is like {readings.WIDTHS!r}, but the "
            f"space has none. Call one so, or search with estimator=Training(..., widths=...)."
        )
    return names


def _named_metric(
    maximize: str | Sequence[str] | None, minimize: str | Sequence[str], task: Task
) -> str | None:
    """The first metric of the task among the objectives: what networks are trained for then."""
    named = (*_names(maximize or ()), *_names(minimize))
    return next((name for name in named if name in task.target.metrics), None)


def _objectives(
    maximize: str | Sequence[str] | None, minimize: str | Sequence[str], task: Task | None
) -> Objectives:
    """The objectives asked for; by default the task's metric, in its own direction."""
    small = _names(minimize)
    if maximize is not None:
        return Objectives(_names(maximize), small)
    if task is None:
        return Objectives(("value",), small)
    if tasks.METRICS[task.metric].greater_is_better:
        return Objectives((task.metric,), small)
    return Objectives((), (task.metric, *(name for name in small if name != task.metric)))


def _check_objectives(objectives: Objectives, task: Task, costs: Collection[str]) -> None:
    known = {*task.target.metrics, *costs}
    for name in objectives.names:
        if name not in known:
            raise SettingError(
                f"An objective is a metric of the task or a cost, but {name!r} is neither."
                f"{did_you_mean(name, known)}"
            )
    for name in objectives.maximize:
        if name in costs or not tasks.METRICS[name].greater_is_better:
            raise SettingError(f"{name!r} is better when it is small: minimize it instead.")
    for name in objectives.minimize:
        if name in task.target.metrics and tasks.METRICS[name].greater_is_better:
            raise SettingError(f"{name!r} is better when it is large: maximize it instead.")
    rows = task.size("validation")
    scores = task.score(np.ones((rows, task.outputs)), task.validation.targets)
    for name in objectives.names:
        if math.isnan(scores.get(name, 0.0)):
            raise TaskError(
                f"An objective must be defined on the validation split, but {name!r} is not (rows: "
                f"{rows}): auc needs each class there, and r2 values that differ. Give more of "
                "them (validation=), or another objective."
            )


def _function(network: NetworkFunction | str | None, task: Task) -> NetworkFunction:
    if network is None:
        return spaces.default(task)
    return spaces.by_name(network) if isinstance(network, str) else network


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def references(setup: Setup) -> list[Architecture]:
    """The hand-made architectures of the space for the task, largest first."""
    family = getattr(setup.network, "references", None)
    if family is None or setup.task is None:
        return []
    return [setup.space.validate(setup.space.complete(member)) for member in family(setup.task)]
