"""The largest architectures of a space, and one for each option that draws would miss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from random import Random
from typing import Any

from ogive.space import Architecture, Condition, Decision, SearchSpace

__all__ = ["Option", "largest", "largest_value", "missed", "options_of"]


def largest(space: SearchSpace, rng: Random | None = None) -> Architecture:
    """Returns an architecture with every number at its largest, and the rest drawn.

    Args:
        space: Where it comes from.
        rng: Draws what is no number; without it, that takes its first value.
    """
    return space.walk(lambda decision: largest_value(decision, rng))


def largest_value(decision: Decision, rng: Random | None = None) -> Any:
    """Returns the largest number of a decision; what is no number is drawn, or the first."""
    if decision.kind == "ordinal":
        return decision.options[-1]
    if decision.kind in ("integer", "real"):
        return decision.high
    if decision.kind == "subset":
        size = decision.sizes[-1]
        chosen = rng.sample(decision.options, size) if rng else decision.options[:size]
        return tuple(option for option in decision.options if option in chosen)
    return rng.choice(decision.options) if rng else decision.options[0]


Option = tuple[str, Any, str | None, Any]
"""An option of a decision, under one value of a decision that it hangs on, if it does on any."""


def options_of(space: SearchSpace, architecture: Architecture) -> Iterator[Option]:
    """Yields the options that an architecture has."""
    for path, value in architecture.items():
        decision = space[path]
        if decision.kind not in ("categorical", "subset"):
            continue
        parents = {c.parent for conjunction in decision.conditions for c in conjunction}
        under = [
            (parent, above)
            for parent in parents
            if parent in architecture
            for above in space[parent].taken(architecture[parent])
        ]
        for option in decision.taken(value):
            yield from ((path, option, *each) for each in under)
            if not under:
                yield path, option, None, None


def missed(space: SearchSpace, rng: Random, seen: set[Option]) -> Iterator[Architecture]:
    """Yields architectures with the options that were not seen, numbers at their largest.

    Draws alone miss an option that few of them have.
    """
    for decision in space.decisions:
        if decision.kind not in ("categorical", "subset"):
            continue
        ways: list[tuple[str | None, Any]] = [
            (condition.parent, value)
            for conjunction in decision.conditions
            for condition in conjunction
            for value in sorted(condition.values, key=repr)
        ]
        for parent, above in ways or [(None, None)]:
            for option in decision.options:
                if (decision.path, option, parent, above) not in seen:
                    forced = {decision.path: option}
                    _force(space, decision, forced, parent, above)
                    yield space.walk(partial(_forced, forced, rng))


def _force(
    space: SearchSpace,
    decision: Decision,
    forced: dict[str, Any],
    parent: str | None = None,
    above: Any = None,
) -> None:
    """Decides what a decision hangs on so that it is asked, one of it as it is said."""
    if () in decision.conditions:
        return
    for conjunction in decision.conditions:
        if parent is None or any(c.parent == parent and above in c.values for c in conjunction):
            for condition in conjunction:
                if condition.parent not in forced:
                    wanted = above if condition.parent == parent else _last(space, condition)
                    forced[condition.parent] = wanted
                    _force(space, space[condition.parent], forced)
            return


def _last(space: SearchSpace, condition: Condition) -> Any:
    """The last value of those that a condition admits, which of numbers is the largest."""
    decision = space[condition.parent]
    if not decision.options:
        return max(value for value in condition.values if isinstance(value, int | float))
    return next(option for option in reversed(decision.options) if option in condition.values)


def _forced(forced: Mapping[str, Any], rng: Random, decision: Decision) -> Any:
    if decision.path not in forced:
        return largest_value(decision, rng)
    value = forced[decision.path]
    if decision.kind != "subset":
        return value
    others = [option for option in largest_value(decision, rng) if option != value]
    chosen = [value, *others][: decision.sizes[-1]]
    return tuple(option for option in decision.options if option in chosen)
