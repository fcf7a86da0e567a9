"""The exact number of architectures of a space, by conditioning and decomposition.

Undecided decisions that no condition joins multiply; a decision that others hang on is summed over
its values, and values that switch the same conditions are counted together. With equal parts
counted once (as in exact model counting), a tree of decisions takes time about linear in its size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations

from ogive.space._architecture import Value
from ogive.space._decision import Condition, Decision

__all__ = ["count"]

Conjunctions = tuple[tuple[Condition, ...], ...]
Open = dict[str, Conjunctions]
"""Path of an undecided decision → what must still hold for it to be active."""


def count(decisions: Sequence[Decision]) -> int | float:
    """Returns how many architectures the decisions admit; infinite with a real among them."""
    if any(decision.size == math.inf for decision in decisions):
        return math.inf
    by_path = {decision.path: decision for decision in decisions}
    return _count({d.path: d.conditions for d in decisions}, by_path, {})


def _count(
    open_: Open, by_path: Mapping[str, Decision], known: dict[frozenset[object], int]
) -> int:
    total = 1
    for part in _parts(open_):
        key = frozenset(part.items())
        if key not in known:
            known[key] = _count_part(part, by_path, known)
        total *= known[key]
    return total


def _count_part(
    part: Open, by_path: Mapping[str, Decision], known: dict[frozenset[object], int]
) -> int:
    """Sums over the values of a decision that is certainly asked and that others hang on."""
    roots = [path for path, conjunctions in part.items() if () in conjunctions]
    if len(part) == 1:
        return int(by_path[roots[0]].size) if roots else 1
    mentions = Counter(c.parent for _, c in _conditions(part))
    root = max(roots, key=partial(_mentioned, mentions))
    watched = sorted({c.values for _, c in _conditions(part) if c.parent == root}, key=repr)
    rest = {path: conjunctions for path, conjunctions in part.items() if path != root}
    decision = by_path[root]
    if decision.kind == "subset" and all(values <= set(decision.options) for values in watched):
        return _count_subset(rest, decision, by_path, known)
    # Values that satisfy the same conditions leave the same rest.
    alike: dict[tuple[bool, ...], list[Value]] = {}
    for value in decision.values():
        switched = tuple(Condition(root, values).holds({root: value}) for values in watched)
        alike.setdefault(switched, []).append(value)
    return sum(
        len(values) * _count(_decide(rest, root, values[0]), by_path, known)
        for values in alike.values()
    )


def _count_subset(
    rest: Open,
    root: Decision,
    by_path: Mapping[str, Decision],
    known: dict[frozenset[object], int],
) -> int:
    """Sums over the sizes of a subset; options that nothing joins multiply, size by size."""
    groups = _groups(rest, root)
    free = len(root.options) - sum(len(options) for options, _ in groups)
    ways = [math.comb(free, size) for size in range(free + 1)]
    for options, open_ in groups:
        inside = [
            sum(
                _count(_decide(open_, root.path, chosen), by_path, known)
                for chosen in combinations(options, size)
            )
            for size in range(len(options) + 1)
        ]
        ways = [
            sum(
                ways[i] * inside[size - i] for i in range(len(ways)) if 0 <= size - i < len(inside)
            )
            for size in range(len(ways) + len(inside) - 1)
        ]
    return sum(ways[size] for size in root.sizes)


def _groups(rest: Open, root: Decision) -> list[tuple[set[Value], Open]]:
    """Options of a subset that conditions join, with the decisions that hang on them."""
    decided = {
        path: tuple(tuple(c for c in conjunction if c.parent != root.path) for conjunction in each)
        for path, each in rest.items()
    }
    groups: list[tuple[set[Value], Open]] = []
    for part in _parts(decided):
        open_ = {path: rest[path] for path in part}
        options = {o for _, c in _conditions(open_) if c.parent == root.path for o in c.values}
        for group in [group for group in groups if group[0] & options]:
            groups.remove(group)
            options, open_ = options | group[0], open_ | group[1]
        groups.append((options, open_))
    return groups


def _mentioned(mentions: Counter[str], path: str) -> int:
    return mentions[path]


def _conditions(part: Open) -> Iterable[tuple[str, Condition]]:
    for path, conjunctions in part.items():
        for conjunction in conjunctions:
            for condition in conjunction:
                yield path, condition


def _decide(open_: Open, root: str, value: Value) -> Open:
    """Returns what is left once ``root`` is decided, without what can no longer be active."""
    left: Open = {}
    for path, conjunctions in open_.items():
        kept = []
        for conjunction in conjunctions:
            here = [c for c in conjunction if c.parent == root]
            if all(c.holds({root: value}) for c in here):
                kept.append(tuple(c for c in conjunction if c.parent != root))
        if kept:
            left[path] = ((),) if () in kept else tuple(dict.fromkeys(kept))
    return _without_orphans(left)


def _without_orphans(open_: Open) -> Open:
    """Drops conditions on decisions that are inactive, and what hangs on nothing else."""
    while True:
        left: Open = {}
        for path, conjunctions in open_.items():
            kept = tuple(c for c in conjunctions if all(part.parent in open_ for part in c))
            if kept:
                left[path] = kept
        if left == open_:
            return left
        open_ = left


def _parts(open_: Open) -> list[Open]:
    """Splits into the parts that no condition joins."""
    leader = {path: path for path in open_}

    def find(path: str) -> str:
        while leader[path] != path:
            leader[path] = path = leader[leader[path]]
        return path

    for path, condition in _conditions(open_):
        leader[find(path)] = find(condition.parent)
    parts: dict[str, Open] = {}
    for path, conjunctions in open_.items():
        parts.setdefault(find(path), {})[path] = conjunctions
    return list(parts.values())
