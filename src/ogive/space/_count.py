"""The exact number of architectures of a space, by conditioning and decomposition.

Undecided decisions that no condition joins multiply; a decision that others hang on is summed over
its values, and values that switch the same conditions are counted together. With equal parts
counted once (as in exact model counting), a tree of decisions takes time about linear in its size.
Of a subset, only options that conditions join are counted together; the others multiply, too, as
polynomials: the coefficient of x^k counts what there is where k of them are taken.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import TypeVar

from ogive.space._architecture import Value
from ogive.space._decision import Condition, Decision

__all__ = ["count"]

Conjunctions = tuple[tuple[Condition, ...], ...]
Open = dict[str, Conjunctions]
"""Path of an undecided decision → what must still hold for it to be active."""

Known = dict[frozenset[object], int]
"""Parts that were counted."""

Group = frozenset[frozenset[Value]]
"""The options of a subset that satisfy the same conditions, by the values that those name."""

Polynomial = list[int]
"""Its coefficients, that of 1 first."""

Name = TypeVar("Name", bound=Hashable)


def count(decisions: Sequence[Decision]) -> int | float:
    """Returns how many architectures the decisions admit; infinite with a real among them."""
    if any(decision.size == math.inf for decision in decisions):
        return math.inf
    by_path = {decision.path: decision for decision in decisions}
    return _count({d.path: d.conditions for d in decisions}, by_path, {})


def _count(open_: Open, by_path: Mapping[str, Decision], known: Known) -> int:
    total = 1
    for paths in _joined(open_, ((path, c.parent) for path, c in _conditions(open_))):
        part = {path: open_[path] for path in paths}
        key = frozenset(part.items())
        if key not in known:
            known[key] = _count_part(part, by_path, known)
        total *= known[key]
    return total


def _count_part(part: Open, by_path: Mapping[str, Decision], known: Known) -> int:
    """Sums over the values of a decision that is certainly asked and that others hang on."""
    roots = [path for path, conjunctions in part.items() if () in conjunctions]
    if len(part) == 1:
        return int(by_path[roots[0]].size) if roots else 1
    mentions = Counter(c.parent for _, c in _conditions(part))
    root = max(roots, key=partial(_mentioned, mentions))
    rest = {path: conjunctions for path, conjunctions in part.items() if path != root}
    if by_path[root].kind == "subset":
        return _count_subset(by_path[root], rest, by_path, known)
    watched = sorted({c.values for _, c in _conditions(part) if c.parent == root}, key=repr)
    # Values that satisfy the same conditions leave the same rest.
    alike: dict[tuple[bool, ...], list[Value]] = {}
    for value in by_path[root].values():
        switched = tuple(Condition(root, values).holds({root: value}) for values in watched)
        alike.setdefault(switched, []).append(value)
    return sum(
        len(values) * _count(_decide(rest, root, values[0]), by_path, known)
        for values in alike.values()
    )


def _count_subset(
    subset: Decision, rest: Open, by_path: Mapping[str, Decision], known: Known
) -> int:
    """Sums over how many options are taken."""
    watched = {c.values for _, c in _conditions(rest) if c.parent == subset.path}
    # Of what is alike it only matters whether any is taken.
    alike: dict[Group, list[Value]] = {}
    for option in subset.options:
        alike.setdefault(frozenset(v for v in watched if option in v), []).append(option)
    links: list[tuple[str | Group, str | Group]] = []
    for path, c in _conditions(rest):
        if c.parent == subset.path:
            links += [(path, group) for group in alike if c.values in group]
        else:
            links.append((path, c.parent))
    names: list[str | Group] = [*rest, *alike]
    total = [1]
    for part in _joined(names, links):
        groups = [alike[name] for name in part if isinstance(name, frozenset)]
        within = {name: rest[name] for name in part if isinstance(name, str)}
        total = _times(total, _counts_by_size(subset, groups, within, by_path, known))
    return sum(total[size] for size in subset.sizes)


def _counts_by_size(
    subset: Decision,
    groups: Sequence[Sequence[Value]],
    within: Open,
    by_path: Mapping[str, Decision],
    known: Known,
) -> Polynomial:
    """Sums over which groups any option is taken of; a power counts how many are."""
    total = [0] * (1 + sum(map(len, groups)))
    lengths = sorted(map(len, groups), reverse=True)
    beyond = len(subset.options) - sum(lengths)
    for number in range(len(groups) + 1):
        most = sum(lengths[:number]) + beyond
        if not any(number <= size <= most for size in subset.sizes):
            continue
        for taken in combinations(groups, number):
            first = tuple(group[0] for group in taken)
            ways = [_count(_decide(within, subset.path, first), by_path, known)]
            for group in taken:
                some = [math.comb(len(group), size) for size in range(1, len(group) + 1)]
                ways = _times(ways, [0, *some])
            for size, way in enumerate(ways):
                total[size] += way
    return total


def _times(a: Polynomial, b: Polynomial) -> Polynomial:
    product = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] += x * y
    return product


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


def _joined(names: Iterable[Name], links: Iterable[tuple[Name, Name]]) -> list[list[Name]]:
    """Splits into the parts that no link joins."""
    leader = {name: name for name in names}

    def find(name: Name) -> Name:
        while leader[name] != name:
            leader[name] = name = leader[leader[name]]
        return name

    for one, other in links:
        leader[find(one)] = find(other)
    parts: dict[Name, list[Name]] = {}
    for name in leader:
        parts.setdefault(find(name), []).append(name)
    return list(parts.values())
