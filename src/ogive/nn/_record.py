"""The first reading of a network function: every option once, to learn the space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ogive.errors import OgiveError, SpaceError
from ogive.nn._chooser import Chooser, Factory, NetworkFunction, caller
from ogive.space import Condition, Decision, SearchSpace
from ogive.task import Task

__all__ = ["RECIPE", "record"]

RECIPE = "recipe"
"""The scope of the decisions of a recipe."""

Conjunction = tuple[Condition, ...]


def record(
    network: NetworkFunction,
    task: Task,
    *,
    recipe: Callable[[Chooser], Any] | None = None,
) -> SearchSpace:
    """Returns the search space that a network function spans for a task.

    Every option is made once, on the meta device, so that a space of any size is recorded in the
    time of about one large network. ``value`` answers the largest number meanwhile.

    Args:
        network: The network function.
        task: What it is asked for.
        recipe: A training recipe that asks on the way; its decisions lie below ``recipe.``.

    Raises:
        SpaceError: If the function raises, or asks one path with different options.
    """
    log = _Log()
    with told("recording"), torch.device("meta"):
        made = network(_Recorder(log), task)
        if not isinstance(made, nn.Module):
            raise SpaceError(
                f"A network function returns a torch.nn.Module, but {name_of(network)} returned "
                f"{type(made).__name__}."
            )
        if recipe is not None:
            recipe(_Recorder(log, RECIPE))
    return SearchSpace(
        log.decisions(),
        name=name_of(network),
        valid=getattr(network, "valid", None),
        canonical=getattr(network, "canonical", None),
        graph=getattr(network, "graph", None),
    )


def name_of(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Turns what a user's function raises into one message that says where."""
    try:
        yield
    except OgiveError:
        raise
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        raise SpaceError(
            f"A network function must run for every choice, but while {doing} it raised "
            f"{type(error).__name__}: {error} ({place})."
        ) from error


@dataclass
class _Entry:
    decision: Decision
    place: str
    conditions: dict[Conjunction, None] = field(default_factory=dict)


class _Log:
    """What was asked so far, and the options inside which we are now."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._inside: list[Condition] = []

    def note(self, decision: Decision) -> None:
        entry = self._entries.setdefault(decision.path, _Entry(decision, caller()))
        if entry.decision != decision:
            raise SpaceError(
                "The same path asked twice must have the same options, but "
                f"{decision.path!r} has {_domain(entry.decision)} at {entry.place} and "
                f"{_domain(decision)} at {caller()}. Rename one, or scope it with choose.at(...)."
            )
        entry.conditions[tuple(self._inside)] = None

    @contextmanager
    def inside(self, condition: Condition) -> Iterator[None]:
        if any(outer.parent == condition.parent for outer in self._inside):
            raise SpaceError(
                f"A decision cannot be asked inside one of its own options, but "
                f"{condition.parent!r} is ({caller()}). Scope the inner one with choose.at(...)."
            )
        self._inside.append(condition)
        try:
            yield
        finally:
            self._inside.pop()

    def decisions(self) -> list[Decision]:
        """Returns the decisions as first asked, but each after those that it hangs on."""
        ordered: dict[str, Decision] = {}
        visiting: set[str] = set()

        def visit(path: str) -> None:
            if path in ordered:
                return
            if path in visiting:
                raise SpaceError(
                    f"Decisions must not hang on each other in a circle, but {path!r} does. "
                    "Rename it in one of its places."
                )
            visiting.add(path)
            entry = self._entries[path]
            for conjunction in entry.conditions:
                for condition in conjunction:
                    visit(condition.parent)
            ordered[path] = replace(entry.decision, conditions=tuple(entry.conditions))

        for path in self._entries:
            visit(path)
        return list(ordered.values())


def _domain(decision: Decision) -> str:
    if decision.kind in ("integer", "real"):
        return f"{decision.kind} {decision.low} to {decision.high}"
    return f"{decision.kind} {decision.options!r}"


class _Recorder(Chooser):
    def __init__(self, log: _Log, scope: str = "") -> None:
        super().__init__(scope)
        self._log = log

    def at(self, name: str) -> _Recorder:
        return _Recorder(self._log, self._path(name))

    def _plain(self, decision: Decision) -> Any:
        self._log.note(decision)
        if decision.kind == "integer":
            return int(decision.high)
        return decision.options[-1] if decision.kind == "ordinal" else decision.default()

    def _one(self, decision: Decision, options: Mapping[str, Factory]) -> nn.Module:
        self._log.note(decision)
        return self._each(decision, options)[0]

    def _some(self, decision: Decision, options: Mapping[str, Factory]) -> nn.ModuleDict:
        self._log.note(decision)
        made = self._each(decision, options)
        return nn.ModuleDict(dict(zip(list(options)[: decision.sizes[-1]], made, strict=False)))

    def _each(self, decision: Decision, options: Mapping[str, Factory]) -> list[nn.Module]:
        made = []
        for option, factory in options.items():
            with self._log.inside(Condition(decision.path, frozenset([option]))):
                made.append(self._made(decision, option, factory()))
        return made

    def _stack(
        self, decision: Decision, name: str, make: Callable[[Any, int], nn.Module]
    ) -> nn.Sequential:
        self._log.note(decision)
        stack = nn.Sequential()
        for i in range(decision.options[-1]):  # type: ignore[arg-type]
            deeper = frozenset(depth for depth in decision.options if depth > i)  # type: ignore[operator]
            with self._log.inside(Condition(decision.path, deeper)):
                stack.append(self._made(decision, i, make(self.at(f"{name}.{i}"), i)))
        return stack
