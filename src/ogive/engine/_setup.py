"""What was asked for, checked and complete: the arguments of a search after the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ogive import nn as readings
from ogive import spaces, strategies
from ogive import task as tasks
from ogive.engine._budget import Budget
from ogive.engine._limits import checked_limits
from ogive.engine._objectives import Objectives
from ogive.errors import JournalMismatch, SettingError
from ogive.estimators import Bench, Estimator, Recipe, RecipeLike
from ogive.hardware import CHEAP, COSTS, costs
from ogive.nn import NetworkFunction
from ogive.space import Architecture, SearchSpace
from ogive.strategies import Strategy
from ogive.task import Task

__all__ = ["Setup", "references", "set_up"]

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
        budget: What all of it may use.
        seed: Of every draw.
        folder: The run folder.
    """

    network: NetworkFunction | None
    task: Task | None
    space: SearchSpace
    recipe: RecipeLike
    objectives: Objectives
    limits: Mapping[str, float]
    strategy: Strategy
    estimator: Estimator | None
    budget: Budget
    seed: int
    folder: Path

    @property
    def trains(self) -> bool:
        """Whether the winner can be trained and handed over, and is not only estimated."""
        return self.network is not None and self.task is not None

    @cached_property
    def bench(self) -> Bench:
        """What workers need; the same object each time, so that a pool can ship it once."""
        return Bench(self.network, self.task, self.recipe, self.estimator)

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
        asked = [*self.limits, *(n for n in self.objectives.names if n in COSTS)]
        return tuple(dict.fromkeys([*REPORTED, *asked]))

    def costs(
        self, architecture: Architecture, names: Sequence[str] | None = None
    ) -> dict[str, float]:
        """Measures costs of an architecture; the cheap ones on the meta device."""
        if not self.trains:
            return {}
        assert self.task is not None
        names = self.cost_names if names is None else names
        cheap = [name for name in names if name in CHEAP]
        dear = [name for name in names if name not in CHEAP]
        batch = self.recipe_of(architecture).batch_size
        found = costs(self.build(architecture, "meta"), self.task, cheap, batch_size=batch)
        if dear:
            found |= costs(self.build(architecture), self.task, dear, batch_size=batch)
        return found

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
            **self.objectives.to_json(),
            "seed": self.seed,
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
    return getattr(function, "__qualname__", type(function).__qualname__)


def set_up(
    network: NetworkFunction | SearchSpace | str | None,
    task: object,
    *,
    budget: Budget,
    limits: Mapping[str, float] | None,
    maximize: str | Sequence[str] | None,
    minimize: str | Sequence[str],
    strategy: str | Strategy,
    estimator: Estimator | None,
    recipe: RecipeLike | None,
    seed: int,
    folder: Path,
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
    if isinstance(network, SearchSpace):
        if estimator is None:
            raise SettingError(
                "A search over a SearchSpace needs an estimator, since there is no network "
                "function to train. Pass estimator=, or the network function instead."
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
    objectives = Objectives(
        _names(maximize) if maximize is not None else ((given.metric,) if given else ("value",)),
        _names(minimize),
    )
    if isinstance(strategy, str):
        strategy = strategies.by_name(strategy, space)
    return Setup(
        network=function,
        task=given,
        space=space,
        recipe=recipe,
        objectives=objectives,
        limits=checked_limits(limits),
        strategy=strategy,
        estimator=estimator,
        budget=budget,
        seed=seed,
        folder=folder,
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
