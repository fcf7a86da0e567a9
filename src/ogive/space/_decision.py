"""One question that a network function asks, and when it is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from math import comb
from random import Random
from typing import Any, Literal

from ogive.errors import ArchitectureError, SpaceError
from ogive.space._architecture import Value, freeze

__all__ = ["Condition", "Decision", "Kind"]

Kind = Literal["categorical", "ordinal", "integer", "real", "subset"]

_STEP = 0.15
"""Standard deviation of a mutation of a number, as a share of its range."""

_FEW = 12
"""Numbers with at most this many values are mutated like categories, and all are neighbours."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds where the decision at ``parent`` took one of ``values`` (of a subset: has one).

    Attributes:
        parent: The path of an earlier decision.
        values: Any of them will do.
        of_subset: Whether the parent is a subset, whose options may be tuples as its values are.
            A space sees to it.
    """

    parent: str
    values: frozenset[Value]
    of_subset: bool = field(default=False, compare=False)

    def holds(self, decided: Mapping[str, Value]) -> bool:
        if self.parent not in decided:
            return False
        value = decided[self.parent]
        if self.of_subset:
            return not self.values.isdisjoint(value)  # type: ignore[arg-type]  # a tuple
        return value in self.values


@dataclass(frozen=True)
class Decision:
    """One question: its domain, and the conditions under which it is asked.

    Attributes:
        path: Its name, with the names of the scopes it stands in: ``blocks.2.op``.
        kind: ``categorical`` (options without order), ``ordinal`` (values in order), ``integer``,
            ``real`` or ``subset`` (some of the options, as a tuple in the order of the options).
        options: The options of the first two kinds and of a subset.
        low: The least number.
        high: The greatest number, included.
        step: The distance of neighbouring integers.
        log: Whether a number is drawn, mutated and encoded on a logarithmic scale.
        sizes: How many options a subset may take.
        conditions: Any of these, each a conjunction, makes the decision active; an empty
            conjunction always holds.
    """

    path: str
    kind: Kind
    options: tuple[Value, ...] = ()
    low: float = 0
    high: float = 0
    step: int = 1
    log: bool = False
    sizes: tuple[int, ...] = ()
    conditions: tuple[tuple[Condition, ...], ...] = ((),)

    def __post_init__(self) -> None:
        if self.kind in ("categorical", "ordinal", "subset"):
            self._check_options()
        else:
            self._check_range()
        if self.kind == "real":  # so that equal values have one name, at the ends too
            object.__setattr__(self, "low", float(self.low))
            object.__setattr__(self, "high", float(self.high))

    def _check_options(self) -> None:
        if not self.options:
            raise SpaceError(f"A decision needs at least one option, but {self.path!r} has none.")
        if len(set(self.options)) < len(self.options):
            raise SpaceError(
                f"The options of a decision must differ, but {self.path!r} has {self.options!r}."
            )
        if self.kind == "subset" and not (
            self.sizes and all(0 <= size <= len(self.options) for size in self.sizes)
        ):
            raise SpaceError(
                f"A subset takes between 0 and all {len(self.options)} of its options, but "
                f"{self.path!r} asks for sizes {self.sizes!r}."
            )
        if len(set(self.sizes)) < len(self.sizes):
            raise SpaceError(
                f"The sizes of a subset must differ, but {self.path!r} has {self.sizes!r}. State "
                "each once."
            )

    def _check_range(self) -> None:
        if not -math.inf < self.low <= self.high < math.inf:
            raise SpaceError(
                f"low <= high must hold between finite numbers, but {self.path!r} has "
                f"low={self.low}, high={self.high}."
            )
        if self.log and self.low <= 0:
            raise SpaceError(
                f"A logarithmic range must be positive, but {self.path!r} has low={self.low}."
            )
        try:
            span = float(self.high / self.low if self.log else self.high - self.low)
        except OverflowError:
            span = math.inf
        if span == math.inf:
            raise SpaceError(
                f"{'high / low' if self.log else 'high - low'} must be a finite float, but "
                f"{self.path!r} has low={self.low}, high={self.high}. Choose a narrower range."
            )
        if self.log and self.step != 1:
            raise SpaceError(
                f"A logarithmic range has steps of 1, but {self.path!r} has step={self.step}."
            )
        if self.kind == "integer" and (self.step < 1 or (self.high - self.low) % self.step):
            raise SpaceError(
                f"The range must be a whole number of steps, but {self.path!r} has "
                f"low={self.low}, high={self.high}, step={self.step}."
            )

    # What it may be

    @cached_property
    def size(self) -> int | float:
        """How many values it has; infinite for a real of more than one."""
        match self.kind:
            case "real":
                return 1 if self.low == self.high else math.inf
            case "integer":
                return int(self.high - self.low) // self.step + 1
            case "subset":
                return sum(comb(len(self.options), size) for size in self.sizes)
            case _:
                return len(self.options)

    def values(self) -> Iterable[Value]:
        """Returns every value, in order.

        Raises:
            SpaceError: If it has infinitely many.
        """
        match self.kind:
            case "real" if self.low < self.high:
                raise SpaceError(f"{self.path!r} is real: its values cannot be listed.")
            case "real":
                return (self.low,)
            case "integer":
                return range(int(self.low), int(self.high) + 1, self.step)
            case "subset":
                return (c for size in self.sizes for c in combinations(self.options, size))
            case _:
                return self.options

    def why_not(self, value: Any) -> str | None:
        """Returns why ``value`` is not in the domain, or ``None`` if it is."""
        match self.kind:
            case "real" | "integer":
                number = isinstance(value, int | float) and not isinstance(value, bool)
                inside = number and self.low <= value <= self.high
                if inside and (self.kind == "real" or not (value - self.low) % self.step):
                    return None
                kind = "a number" if self.kind == "real" else f"an integer in steps of {self.step}"
                return f"must be {kind} from {self.low} to {self.high}, but is {value!r}"
            case "subset":
                chosen = freeze(value)
                if (
                    isinstance(chosen, tuple)
                    and len(chosen) in self.sizes
                    and tuple(o for o in self.options if o in chosen) == chosen
                ):
                    return None
                sizes = " or ".join(map(str, self.sizes))
                return f"must be {sizes} of {self.options!r} in that order, but is {value!r}"
            case _:
                for option in self.options:
                    if option is value:  # as it mostly is
                        return None
                known = value in self.options and any(
                    o == value and isinstance(o, bool) == isinstance(value, bool)
                    for o in self.options
                )
                return None if known else f"must be one of {self.options!r}, but is {value!r}"

    def own(self, value: Any) -> Value:
        """Returns a value of the domain as the domain has it: 8 for 8.0, a tuple for a list."""
        match self.kind:
            case "real":
                return float(value)
            case "integer":
                return int(value)
            case "subset":
                return tuple(option for option in self.options if option in value)
            case _:
                return next(option for option in self.options if option == value)

    def taken(self, value: Any) -> tuple[Value, ...]:
        """Returns the options that a value takes: those of a subset, else itself alone."""
        return tuple(value) if self.kind == "subset" else (value,)

    @property
    def members(self) -> list[str]:
        """A name for each option of a subset, as a question of its own: ``path[option]``."""
        texts = [str(option) for option in self.options]
        if len(set(texts)) < len(texts):  # 1 and "1"
            texts = [repr(option) for option in self.options]
        return [f"{self.path}[{text}]" for text in texts]

    def default(self) -> Value:
        """Its first value."""
        return self.low if self.kind == "real" else next(iter(self.values()))

    # Drawing

    def sampler(self) -> Callable[[Random], Value]:
        """Returns a function that draws a value, uniformly (on the decision's own scale)."""
        match self.kind:
            case "categorical" | "ordinal":
                options, count = self.options, len(self.options)
                # Twice as quick as rng.choice; the bias of the float is below 2^-50.
                return lambda rng: options[int(rng.random() * count)]
            case "subset":
                return self._sample_subset
            case _:
                return lambda rng: self.from_unit(rng.random())

    def _sample_subset(self, rng: Random) -> Value:
        weights = [comb(len(self.options), size) for size in self.sizes]
        size = rng.choices(self.sizes, weights)[0]
        chosen = sorted(rng.sample(range(len(self.options)), size))
        return tuple(self.options[i] for i in chosen)

    def share(self, value: Any) -> float:
        """Returns how probable it is that one of finitely many values is drawn."""
        if not self.log or self.kind == "real":
            return 1 / self.size
        low, high = self._ends
        return math.log((value + 0.5) / (value - 0.5)) / math.log(high / low)

    def another(self, value: Value, rng: Random) -> Value:
        """Draws a value other than ``value`` (or ``value``, if there is no other)."""
        if self.size == 1:
            return value
        if self.kind == "subset":
            return self._another_subset(value, rng)
        if self.kind in ("categorical", "ordinal") or self.size <= _FEW:
            return rng.choice([other for other in self.values() if other != value])
        here = self.to_unit(value)
        while True:
            other = self.from_unit(min(1.0, max(0.0, rng.gauss(here, _STEP))))
            if other != value:
                return other

    def _another_subset(self, value: Value, rng: Random) -> Value:
        """One option swapped, added or dropped, where the sizes admit it; else drawn afresh."""
        nearby = list(self._near_subsets(value))
        while True:
            other = rng.choice(nearby) if nearby else self._sample_subset(rng)
            if other != value:
                return other

    def _near_subsets(self, value: Value) -> Iterable[Value]:
        assert isinstance(value, tuple)
        chosen = set(value)
        left = [o for o in self.options if o not in chosen]
        changes = [chosen - {out} | {new} for out in value for new in left]
        changes += [chosen | {new} for new in left]
        changes += [chosen - {out} for out in value]
        for change in changes:
            if len(change) in self.sizes:
                yield tuple(o for o in self.options if o in change)

    def near(self, value: Any) -> Iterable[Value]:
        """Returns the values one step away: all others of a short list, both sides of a number."""
        if self.kind == "subset":
            return self._near_subsets(value)
        if self.kind in ("categorical", "ordinal") or self.size <= _FEW:
            return (other for other in self.values() if other != value)
        steps = (-_STEP, -_STEP / 10, _STEP / 10, _STEP)
        here = self.to_unit(value)
        moved = {self.from_unit(min(1.0, max(0.0, here + step))) for step in steps}
        if self.kind == "integer":
            moved |= {max(self.low, value - self.step), min(self.high, value + self.step)}
        return sorted(moved - {value})

    # Numbers on the unit interval

    def to_unit(self, value: Any) -> float:
        """Maps a number, or the place of an ordinal value, to [0, 1]."""
        if self.kind == "ordinal":
            return self.options.index(value) / max(1, len(self.options) - 1)
        if self.low == self.high:
            return 0.0
        if self.log:
            low, high = self._ends
            return math.log(value / low) / math.log(high / low)
        return float(value - self.low) / (self.high - self.low)

    def from_unit(self, unit: float) -> int | float:
        """Maps [0, 1] to a number; each integer has an equal share (on its scale)."""
        low, high = self._ends
        value = low * (high / low) ** unit if self.log else low + (high - low) * unit
        if self.kind == "real":
            return min(self.high, max(self.low, value))
        steps = int((value - low) // self.step)
        return int(self.low) + self.step * min(max(0, steps), int(self.size) - 1)

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """Half a step beyond the range of integers, so that its ends are as likely as the rest."""
        half = self.step / 2 if self.kind == "integer" else 0.0
        return self.low - half, self.high + half

    # Narrowing

    def narrowed(self, options: Iterable[Any]) -> Decision:
        """Returns the decision with only these of its values, in its own order.

        Numbers narrow to the range that ``options`` spans, a subset to some of its options.

        Raises:
            ArchitectureError: If one of them is not a value of the decision.
        """
        wanted = tuple(freeze(option) for option in options)
        if not wanted:
            raise ArchitectureError(f"{self.path!r} must keep at least one option, but got none.")
        if self.kind == "subset":
            return self._narrowed_subset(wanted)
        for option in wanted:
            if reason := self.why_not(option):
                raise ArchitectureError(f"{self.path!r} {reason}.")
        if self.kind in ("integer", "real"):
            numbers = [float(option) for option in wanted]  # type: ignore[arg-type]
            low, high = min(numbers), max(numbers)
            if self.kind == "integer":
                low, high = int(low), int(high)
            return replace(self, low=low, high=high)
        return replace(self, options=tuple(o for o in self.options if o in wanted))

    def fixed(self, value: Any) -> Decision:
        """Returns the decision with ``value`` as its only value.

        Raises:
            ArchitectureError: If it is not a value of the decision.
        """
        chosen = freeze(value)
        if reason := self.why_not(chosen):
            raise ArchitectureError(f"{self.path!r} {reason}.")
        if self.kind != "subset":
            return self.narrowed([chosen])
        assert isinstance(chosen, tuple)
        if not chosen:  # A decision has an option, even where it takes none.
            return replace(self, sizes=(0,))
        return replace(self, options=chosen, sizes=(len(chosen),))

    def _narrowed_subset(self, wanted: tuple[Value, ...]) -> Decision:
        if strange := [option for option in wanted if option not in self.options]:
            raise ArchitectureError(
                f"{self.path!r} takes options of {self.options!r}, but got {strange[0]!r}."
            )
        kept = tuple(o for o in self.options if o in wanted)
        return replace(self, options=kept, sizes=tuple(s for s in self.sizes if s <= len(kept)))

    # JSON

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"path": self.path, "kind": self.kind}
        if self.options:
            data["options"] = list(self.options)
        if self.kind in ("integer", "real"):
            data |= {"low": self.low, "high": self.high, "log": self.log}
        if self.kind == "integer":
            data["step"] = self.step
        if self.sizes:
            data["sizes"] = list(self.sizes)
        if () not in self.conditions:
            data["conditions"] = [
                [{"parent": c.parent, "values": sorted(c.values, key=repr)} for c in conjunction]
                for conjunction in self.conditions
            ]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        conditions = tuple(
            tuple(Condition(c["parent"], frozenset(map(freeze, c["values"]))) for c in conjunction)
            for conjunction in data.get("conditions", [[]])
        )
        return cls(
            path=data["path"],
            kind=data["kind"],
            options=tuple(map(freeze, data.get("options", ()))),
            low=data.get("low", 0),
            high=data.get("high", 0),
            step=data.get("step", 1),
            log=data.get("log", False),
            sizes=tuple(data.get("sizes", ())),
            conditions=conditions,
        )
