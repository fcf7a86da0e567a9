"""Which architectures a step of a supernet's training runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any, cast

from ogive.errors import SpaceError
from ogive.nn import largest, largest_value
from ogive.space import Architecture, Decision, SearchSpace

__all__ = ["PATHS", "Paths", "fair", "sandwich", "shrinking", "uniform"]

Paths = Callable[[SearchSpace, Random, float], list[Architecture]]
"""From a space, draws, and the share of the training that is done: what to run in a step.

What comes more than once counts as often."""

_DRAWS = 32
"""Architectures of which the largest is made larger where a rule excludes the largest of all."""


def uniform(space: SearchSpace, rng: Random, _: float) -> list[Architecture]:
    """One architecture, drawn at random (SPOS, Guo et al. 2020, arXiv:1904.00420, section 3.2)."""
    return [space.sample(rng)]


def fair(space: SearchSpace, rng: Random, _: float) -> list[Architecture]:
    """As many architectures as the largest decision has options, each of which one of them takes.

    Strict fairness (FairNAS, Chu et al. 2021, arXiv:1907.01845, algorithm 1): for each decision
    the options are shuffled, and the i-th architecture takes the i-th of them. A decision with
    fewer options goes through them again, so that over many steps they are taken equally often:
    those of a decision that is not always asked, equally often where it is. What several take in
    the same way comes as often.
    """
    decks: dict[str, list[Any]] = {}
    count = 1
    for decision in space.decisions:
        if decision.kind in ("categorical", "ordinal"):
            decks[decision.path] = rng.sample(decision.options, len(decision.options))
            count = max(count, len(decision.options))

    def architecture(i: int) -> Architecture:
        def decide(decision: Decision) -> Any:
            deck = decks.get(decision.path)
            return decision.sampler()(rng) if deck is None else deck[i % len(deck)]

        return space.walk(decide)

    made = (architecture(i) for i in range(count))
    return [a if space.reason_invalid(a) is None else space.sample(rng) for a in made]


def sandwich(space: SearchSpace, rng: Random, _: float) -> list[Architecture]:
    """The largest architecture, two at random, and the smallest.

    The sandwich rule (Yu & Huang 2019, arXiv:1903.05134, section 3.1; BigNAS, Yu et al. 2020,
    arXiv:2003.11142, section 3.1). The first teaches the others. Where a rule excludes the
    largest, it is a draw whose numbers were raised as far as the rule lets them.
    """
    chosen = [_largest(space, rng), space.sample(rng), space.sample(rng), _smallest(space, rng)]
    return list(dict.fromkeys(a for a in chosen if space.reason_invalid(a) is None))


def shrinking(space: SearchSpace, rng: Random, progress: float) -> list[Architecture]:
    """The largest at first; smaller numbers join as the training goes on.

    Progressive shrinking (OFA, Cai et al. 2020, arXiv:1908.09791, section 3.3), except that all
    numbers are opened at once, from the largest down: only the largest in the first fifth of the
    training, all from its middle on; that smaller kernels are the middle of larger ones, without
    a transformation; and that the largest (as :func:`sandwich` has it) is trained all along, and
    the other one by its answers alone.
    """
    share = min(1.0, max(0.0, (progress - 0.2) / 0.3))
    opened = {
        d.path: _upper(d, share) for d in space.decisions if d.kind in ("ordinal", "integer")
    }
    try:
        small = space.narrow(opened) if share < 1 and opened else space
        drawn = small.sample(rng)
    except SpaceError:  # A rule admits nothing so large, or a pool has nothing.
        small, drawn = space, space.sample(rng)
    return list(dict.fromkeys([_largest(small, rng), drawn]))


PATHS: Mapping[str, Paths] = MappingProxyType(
    {"spos": uniform, "fairnas": fair, "sandwich": sandwich, "shrinking": shrinking}
)
"""Ways to train a supernet by sampling paths, by name."""

DISTILLED = frozenset({"sandwich", "shrinking"})
"""Those in which the first architecture of a step teaches the others."""


def _upper(decision: Decision, share: float) -> Sequence[Any]:
    """The largest values, up to a share of all; at least the largest one."""
    if decision.kind == "ordinal":
        return decision.options[-max(1, math.ceil(share * len(decision.options))) :]
    assert decision.low is not None
    assert decision.high is not None
    step = int(decision.step or 1)
    places = (int(decision.high) - int(decision.low)) // step
    low = int(decision.low) + step * (places - math.floor(share * places))
    return low, int(decision.low) + step * places


def _largest(space: SearchSpace, rng: Random) -> Architecture:
    """The largest architecture; where a rule excludes it, as large a one as is soon found.

    That is the largest of some draws, whose numbers are raised as far as the rule lets each.
    """
    found = largest(space, rng)
    if space.reason_invalid(found) is None:
        return found
    found = max((space.sample(rng) for _ in range(_DRAWS)), key=partial(_size, space))
    for path in rng.sample(list(found), len(found)):
        if path in found and space[path].kind in ("ordinal", "integer"):
            found = _raised(space, found, path, rng)
    return found


def _size(space: SearchSpace, architecture: Architecture) -> float:
    numbers = (path for path in architecture if space[path].kind in ("ordinal", "integer", "real"))
    return sum(space[path].to_unit(architecture[path]) for path in numbers)


def _raised(space: SearchSpace, found: Architecture, path: str, rng: Random) -> Architecture:
    """Raises a number as far as the rule lets it, by halves: 2^i, ..., 2, 1 places."""
    values = cast("Sequence[Any]", space[path].values())  # of an ordinal or an integer
    here = values.index(found[path])
    step = 1 << (len(values) - 1 - here).bit_length()
    while step := step // 2:
        if here + step < len(values):
            changed = {**found, path: values[here + step]}
            raised = space.walk(partial(_kept, changed, rng))
            if space.reason_invalid(raised) is None:
                found, here = raised, here + step
    return found


def _kept(known: Mapping[str, Any], rng: Random, decision: Decision) -> Any:
    return known[decision.path] if decision.path in known else largest_value(decision, rng)


def _smallest(space: SearchSpace, rng: Random) -> Architecture:
    def decide(decision: Decision) -> Any:
        if decision.kind == "ordinal":
            return decision.options[0]
        if decision.kind in ("integer", "real"):
            return decision.low
        return decision.sampler()(rng)

    return space.walk(decide)
