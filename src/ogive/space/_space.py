"""The decisions of a network function, and the ways to walk among its architectures."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from random import Random
from typing import Any

from ogive.errors import ArchitectureError, SpaceError, did_you_mean
from ogive.space._architecture import Architecture, Value
from ogive.space._count import count
from ogive.space._decision import Condition, Decision
from ogive.space._encoding import Column, Encoder, Encoding
from ogive.space._graph import Graph
from ogive.text import size

__all__ = ["SearchSpace"]

_TRIES = 2_000
"""Changes of an architecture in vain, after which it is left as it is."""

_DRAWS = 100_000
"""Architectures drawn in vain before a space is said to have no valid one."""

_FEW = 1000, 10
"""A space of at most ``_LISTED`` is listed if of so many draws fewer than so many are valid."""

_LISTED = 100_000

_PATIENCE = 100
"""Mutations in vain after which one more decision is changed at once."""

_Asked = tuple[Decision, Callable[[Random], Value], Sequence[tuple[Condition, ...]]]
"""A decision, what draws its value, and when it is asked."""


class SearchSpace:
    """A tree of decisions: what may be, apart from any network.

    Args:
        decisions: Each after the decisions that its conditions name.
        name: What to call it in reports.
        valid: Returns why an architecture is not allowed, or ``None``.
        canonical: Returns the one form of all architectures that are the same network: one of
            them, which is its own form.
        graph: Returns an architecture's operations and edges.

    Raises:
        SpaceError: If a path stands twice, or a condition names no earlier decision.
    """

    def __init__(
        self,
        decisions: Iterable[Decision],
        *,
        name: str = "space",
        valid: Callable[[Architecture], str | None] | None = None,
        canonical: Callable[[Architecture], Architecture] | None = None,
        graph: Callable[[Architecture], Graph] | None = None,
    ) -> None:
        self.name = name
        self.graph = graph
        self._valid = valid
        self._canonical = canonical
        self.decisions: tuple[Decision, ...] = _tidied(decisions)
        self._by_path = {decision.path: decision for decision in self.decisions}
        self._plan = [
            (d, d.sampler(), None if () in d.conditions else d.conditions) for d in self.decisions
        ]
        self._dependents = self._depending()
        self._several = {d.path for d in self.decisions if d.size > 1}

    def __reduce__(self) -> tuple[Any, ...]:
        functions: dict[str, Any] = {
            "valid": self._valid,
            "canonical": self._canonical,
            "graph": self.graph,
        }
        return partial(SearchSpace, name=self.name, **functions), (self.decisions,)

    def __repr__(self) -> str:
        return (
            f"SearchSpace({self.name!r}, {len(self)} decisions, {size(self.size)} architectures)"
        )

    def __len__(self) -> int:
        return len(self.decisions)

    def __getitem__(self, path: str) -> Decision:
        if path not in self._by_path:
            known = did_you_mean(path, self._by_path)
            raise ArchitectureError(f"The space {self.name!r} has no decision {path!r}.{known}")
        return self._by_path[path]

    def __contains__(self, path: object) -> bool:
        return path in self._by_path

    @cached_property
    def size(self) -> int | float:
        """The exact number of architectures, before ``valid`` and ``canonical``."""
        return count(self.decisions)

    @cached_property
    def key(self) -> str:
        """A name for its decisions that is the same in every process: 16 hexadecimal digits."""
        text = json.dumps([d.to_json() for d in self.decisions], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    # Checking

    def validate(self, decided: Mapping[str, Any]) -> Architecture:
        """Returns the architecture of a mapping, having checked that it is one of this space.

        Raises:
            ArchitectureError: Naming the first decision that is missing, unknown, inactive or
                outside its domain, or the space's own reason.
        """
        given = decided if isinstance(decided, Architecture) else Architecture(decided)
        for path in given:
            if path not in self._by_path:
                self[path]  # Raises.
        checked = self.walk(partial(self._checked, given))
        if extra := [path for path in given if path not in checked]:
            conditions = _said(self[extra[0]].conditions)
            raise ArchitectureError(
                f"Only active decisions may be decided, but {extra[0]!r} is not active here: "
                f"it is asked where {conditions}. Leave it out."
            )
        if reason := self.reason_invalid(checked):
            raise ArchitectureError(f"The space {self.name!r} rules this out: {reason}.")
        return checked

    @staticmethod
    def _checked(given: Mapping[str, Value], decision: Decision) -> Value:
        if decision.path not in given:
            raise ArchitectureError(
                f"Every active decision must be decided, but {decision.path!r} is missing. "
                "SearchSpace.complete fills in what is left open."
            )
        if reason := decision.why_not(given[decision.path]):
            raise ArchitectureError(f"{decision.path!r} {reason}.")
        return decision.own(given[decision.path])

    def reason_invalid(self, architecture: Architecture) -> str | None:
        """Returns why the space's own rule excludes an architecture, or ``None``."""
        return self._valid(architecture) if self._valid else None

    def canonical(self, architecture: Architecture) -> Architecture:
        """Returns the one form of all architectures that are the same network as this one."""
        return self._canonical(architecture) if self._canonical else architecture

    def complete(self, decided: Mapping[str, Any], rng: Random | None = None) -> Architecture:
        """Returns an architecture with these decisions, the rest at their first value or drawn.

        Decisions that are inactive beside the others are left out.

        Raises:
            ArchitectureError: If a path is unknown, or a value is outside its domain.
        """
        given = Architecture(decided)
        own = {path: self._checked(given, self[path]) for path in given}
        return self.walk(partial(_kept_or_drawn, own, rng))

    # Walking

    def walk(self, decide: Callable[[Decision], Value]) -> Architecture:
        """Asks every active decision in order."""
        decided: dict[str, Value] = {}
        for decision, _, conditions in self._plan:
            if conditions is None or _active(conditions, decided):
                decided[decision.path] = decide(decision)
        return Architecture(decided)

    def sample(self, rng: Random) -> Architecture:
        """Draws an architecture: each active decision uniformly, in its turn.

        What ``valid`` excludes is drawn again, so that the others keep their odds. Where few are
        valid, those of a space of at most 100,000 are listed, once, and drawn from; in a larger
        one a draw takes as many tries as there are architectures to a valid one.

        Raises:
            SpaceError: If none is valid, or, of a larger space, none of 100,000 draws.
        """
        if self._listed is not None:
            architectures, odds = self._listed
            return rng.choices(architectures, odds)[0]
        drawn = self._first_valid(lambda _: self._draw(rng), _DRAWS)
        if drawn is None:
            raise self._none_valid(f"none of {_DRAWS:,} draws is")
        return drawn

    @cached_property
    def _listed(self) -> tuple[list[Architecture], list[float]] | None:
        """The valid architectures and their odds, where they are too few to be found by drawing."""
        rng = Random(0)
        if self._valid is None or self.size > _LISTED:
            return None
        draws, enough = _FEW
        valid = (self._valid(self._draw(rng)) is None for _ in range(draws))
        if sum(islice(filter(None, valid), enough)) == enough:
            return None
        architectures = list(self.enumerate())
        if not architectures:
            raise self._none_valid(f"none of all {self.size:,} is")
        shares = ((self._by_path[path].share(v) for path, v in a.items()) for a in architectures)
        return architectures, [math.prod(each) for each in shares]

    def _none_valid(self, found: str) -> SpaceError:
        assert self._valid is not None
        example = self._draw(Random(0))
        return SpaceError(
            f"Some architectures of a space must be valid, but of {self.name!r} {found}. The first "
            f"is ruled out because: {self._valid(example)}. Narrow the space to the part that is "
            "valid, or let one decision stand for those that the rule joins."
        )

    def _draw(self, rng: Random) -> Architecture:
        decided: dict[str, Value] = {}
        for decision, draw, conditions in self._plan:
            if conditions is None or _active(conditions, decided):
                decided[decision.path] = draw(rng)
        return Architecture(decided, frozen=True)

    def _first_valid(
        self, draw: Callable[[int], Architecture], most: int = _TRIES
    ) -> Architecture | None:
        """Draws up to ``most`` times, told how often that was in vain, until one is valid."""
        if self._valid is None:
            return draw(0)
        return next((a for a in map(draw, range(most)) if self._valid(a) is None), None)

    def mutate(self, architecture: Architecture, rng: Random) -> Architecture:
        """Draws an architecture that differs in one decision, chosen uniformly among the active.

        Decisions that the change makes active are drawn; those that it makes inactive are gone.
        Where a rule excludes all that differ in one, it differs in several; where the few valid
        ones are listed, they are drawn from, the nearer the likelier. The only architecture of a
        space, and one that no valid one is found from, is returned as it is.
        """
        free = [path for path in architecture if path in self._several]
        if not free:
            return architecture

        def mutated(tries: int) -> Architecture:
            child = architecture
            count = min(1 + tries // _PATIENCE, len(free))
            # A choice is what a sample of one is, and a third of the work.
            for path in [rng.choice(free)] if count == 1 else rng.sample(free, count):
                if path in child:
                    changed = self._by_path[path].another(child[path], rng)
                    child = self._with(child, path, changed, rng)
            return child

        # Most rules let one decision be changed, and ask for no list.
        if (child := self._first_valid(mutated, _PATIENCE)) is not None:
            return child
        if self._listed is not None:
            return self._another(architecture, rng)
        return self._first_valid(lambda tries: mutated(tries + _PATIENCE)) or architecture

    def _another(self, architecture: Architecture, rng: Random) -> Architecture:
        """Draws one of the listed: a change more is as many times rarer as there are decisions."""
        assert self._listed is not None
        others = [a for a in self._listed[0] if a != architecture]
        if not others:
            return architecture
        items = set(architecture.items())
        changes = [len(items ^ set(other.items())) / 2 for other in others]
        nearest = min(changes)
        return rng.choices(others, [len(self) ** (nearest - each) for each in changes])[0]

    def _with(self, base: Architecture, path: str, value: Value, rng: Random) -> Architecture:
        """Changes a decision; of those that hang on it, draws the new and drops the inactive."""
        decided = dict(base.items())
        decided[path] = value
        if path not in self._dependents:
            return Architecture(decided, frozen=True)
        for decision, draw, conditions in self._dependents[path]:
            if not _active(conditions, decided):
                decided.pop(decision.path, None)
            elif decision.path not in decided:
                decided[decision.path] = draw(rng)
        in_order = {p: decided[p] for p in self._by_path if p in decided}
        return Architecture(in_order, frozen=True)

    def _depending(self) -> dict[str, list[_Asked]]:
        """The decisions that hang on each, directly or through others, in the space's order."""
        above: dict[str, set[str]] = {}
        depending: dict[str, list[_Asked]] = {}
        for decision, draw, conditions in self._plan:
            parents = {c.parent for conjunction in conditions or () for c in conjunction}
            above[decision.path] = parents.union(*(above[parent] for parent in parents))
            for path in above[decision.path]:
                depending.setdefault(path, []).append((decision, draw, conditions or ()))
        return depending

    def cross(self, a: Architecture, b: Architecture, rng: Random) -> Architecture:
        """Draws a child: each active decision from either parent that has it, else drawn.

        Where no valid one is found, the child is its first parent.
        """

        def inherit(decision: Decision) -> Value:
            parents = [parent for parent in (a, b) if decision.path in parent]
            if not parents:
                return decision.sampler()(rng)
            return rng.choice(parents)[decision.path]

        return self._first_valid(lambda _: self.walk(inherit)) or a

    def neighbours(self, architecture: Architecture, rng: Random) -> Iterator[Architecture]:
        """Yields the valid architectures that differ in one decision, in the space's order.

        Of a number with many values the near ones are taken. ``rng`` decides what a change makes
        active.
        """
        for path, value in architecture.items():
            for other in self._by_path[path].near(value):
                neighbour = self._with(architecture, path, other, rng)
                if self.reason_invalid(neighbour) is None:
                    yield neighbour

    def nearest(self, architecture: Architecture, rng: Random) -> Architecture | None:
        """Returns a valid architecture: this one, else its first neighbour, if it has any.

        ``rng`` decides what a change makes active.
        """
        if self.reason_invalid(architecture) is None:
            return architecture
        return next(self.neighbours(architecture, rng), None)

    def enumerate(self) -> Iterator[Architecture]:
        """Yields every valid architecture once.

        Raises:
            SpaceError: If a decision has infinitely many values.
        """
        if self.size == math.inf:
            real = next(d.path for d in self.decisions if d.size == math.inf)
            raise SpaceError(
                f"Only a finite space can be enumerated, but {real!r} is real. Narrow it, or "
                "offer some values of it with choose.value."
            )
        return self._enumerate()

    def _enumerate(self) -> Iterator[Architecture]:
        decided: dict[str, Value] = {}
        # A stack of decisions still to vary; a depth-first walk without recursion.
        stack: list[tuple[int, Iterator[Value]]] = []
        place = 0
        while True:
            while place < len(self.decisions):
                if _active(self.decisions[place].conditions, decided):
                    values = iter(self.decisions[place].values())
                    decided[self.decisions[place].path] = next(values)
                    stack.append((place, values))
                place += 1
            architecture = Architecture(dict(decided))
            if self.reason_invalid(architecture) is None:
                yield architecture
            while stack:
                place, values = stack[-1]
                path = self.decisions[place].path
                for value in values:
                    decided[path] = value
                    break
                else:
                    del decided[path]
                    stack.pop()
                    continue
                place += 1
                break
            else:
                return

    # Parts of it

    def fix(self, decided: Mapping[str, Any]) -> SearchSpace:
        """Returns the part of the space in which these decisions have these values.

        Raises:
            ArchitectureError: If a path is unknown, or a value is outside its domain.
        """
        return self._restricted({path: self[path].fixed(v) for path, v in decided.items()})

    def narrow(self, options: Mapping[str, Iterable[Any]]) -> SearchSpace:
        """Returns the part of the space in which these decisions keep these options only.

        Raises:
            ArchitectureError: If a path is unknown, or an option is not one of its own.
        """
        return self._restricted(
            {path: self[path].narrowed(kept) for path, kept in options.items()}
        )

    def _restricted(self, changed: Mapping[str, Decision]) -> SearchSpace:
        return SearchSpace(
            [changed.get(d.path, d) for d in self.decisions],
            name=self.name,
            valid=self._valid,
            canonical=self._canonical,
            graph=self.graph,
        )

    # Numbers and JSON

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.decisions)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What each column of an encoding stands for."""
        return self._encoder.columns

    def encode(self, architectures: Iterable[Architecture]) -> Encoding:
        """Returns architectures as rows of numbers in [0, 1], inactive decisions masked."""
        return self._encoder(architectures)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "decisions": [d.to_json() for d in self.decisions]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchSpace:
        return cls(map(Decision.from_json, data["decisions"]), name=data.get("name", "space"))

    def difference(self, other: SearchSpace) -> list[str]:
        """Returns a line for each decision that ``other`` has not, has besides, or has changed."""
        lines = [f"{d.path}: only in this space" for d in self.decisions if d.path not in other]
        lines += [
            f"{d.path}: only in the other space" for d in other.decisions if d.path not in self
        ]
        for decision in self.decisions:
            if decision.path not in other:
                continue
            mine, theirs = decision.to_json(), other[decision.path].to_json()
            lines += [
                f"{decision.path}: {name} {mine.get(name)!r} here, {theirs.get(name)!r} there"
                for name in sorted(mine.keys() | theirs.keys())
                if mine.get(name) != theirs.get(name)
            ]
        return lines


def _kept_or_drawn(given: Mapping[str, Value], rng: Random | None, decision: Decision) -> Value:
    path = decision.path
    if path in given:
        return given[path]
    return decision.default() if rng is None else decision.sampler()(rng)


def _active(conditions: Sequence[tuple[Condition, ...]], decided: Mapping[str, Value]) -> bool:
    for conjunction in conditions:
        for condition in conjunction:
            if not condition.holds(decided):
                break
        else:
            return True
    return False


def _said(conditions: Sequence[tuple[Condition, ...]]) -> str:
    return " or ".join(
        " and ".join(
            f"{c.parent} is {' or '.join(repr(v) for v in sorted(c.values, key=repr))}"
            for c in conjunction
        )
        for conjunction in conditions
    )


def _tidied(decisions: Iterable[Decision]) -> tuple[Decision, ...]:
    """Checks the order, drops what can never be active, and shortens the conditions."""
    known: dict[str, Decision] = {}
    dropped: set[str] = set()
    for decision in decisions:
        if decision.path in known:
            raise SpaceError(f"A path stands for one decision, but {decision.path!r} has two.")
        possible = [
            _possible(conjunction, decision.path, known, dropped)
            for conjunction in decision.conditions
        ]
        if conjunctions := [each for each in possible if each is not None]:
            known[decision.path] = replace(decision, conditions=_settled(conjunctions, known))
        else:
            dropped.add(decision.path)
    return tuple(known.values())


def _settled(
    conjunctions: list[tuple[Condition, ...]], known: Mapping[str, Decision]
) -> tuple[tuple[Condition, ...], ...]:
    """Shortens and joins conjunctions; two that are joined may be shortened again."""
    while True:
        shorter = [_shortened(each, known) for each in conjunctions]
        joined: list[tuple[Condition, ...]] = [()] if () in shorter else list(_merged(shorter))
        if joined == conjunctions:
            return tuple(joined)
        conjunctions = joined


def _possible(
    conjunction: tuple[Condition, ...], path: str, known: Mapping[str, Decision], dropped: set[str]
) -> tuple[Condition, ...] | None:
    """Returns the conjunction with the values that its parents still have, or ``None``."""
    kept = []
    for condition in conjunction:
        if condition.parent in dropped:
            return None
        if condition.parent not in known:
            raise SpaceError(
                f"A condition names an earlier decision, but {path!r} hangs on "
                f"{condition.parent!r}, which does not come before it."
            )
        parent = known[condition.parent]
        values = frozenset(v for v in condition.values if _may_be(parent, v))
        if not values:
            return None
        kept.append(replace(condition, values=values, of_subset=parent.kind == "subset"))
    return tuple(kept)


def _may_be(parent: Decision, value: Value) -> bool:
    return value in parent.options if parent.kind == "subset" else parent.why_not(value) is None


def _shortened(
    conjunction: tuple[Condition, ...], known: Mapping[str, Decision]
) -> tuple[Condition, ...]:
    """Drops the conditions that the last one implies: those under which its parent is asked.

    A parent that is decided is active, so what makes it active need not be asked again. That makes
    the walk through a deep tree one look a decision.
    """
    kept = conjunction
    for condition in reversed(conjunction):
        implied = known[condition.parent].conditions
        if len(implied) == 1:
            kept = tuple(c for c in kept if c == condition or c not in implied[0])
    return tuple(c for c in kept if not _always(c, known))


def _always(condition: Condition, known: Mapping[str, Decision]) -> bool:
    parent = known[condition.parent]
    everything = parent.kind != "subset" and len(condition.values) == parent.size
    return everything and () in parent.conditions


def _merged(conjunctions: Sequence[tuple[Condition, ...]]) -> Iterator[tuple[Condition, ...]]:
    """Joins conjunctions that differ only in the values of one parent."""
    joined: dict[tuple[Any, ...], Condition] = {}
    for *others, last in conjunctions:
        group = (*others, last.parent)
        values = joined.get(group, last).values | last.values
        joined[group] = replace(last, values=values)
    for (*others, _), last in joined.items():
        yield (*others, last)
