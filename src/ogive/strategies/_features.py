"""Architectures as the points of a kernel: what makes two of them alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from random import Random
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ogive.errors import SettingError
from ogive.space import Architecture, Decision, Encoding, Graph, SearchSpace
from ogive.strategies._gp import Additive, Floats, Product, Term

__all__ = ["Features", "SideInformation"]

SideInformation = Callable[[Architecture], Sequence[float]]
"""Numbers that are known of an architecture before any trial: zero-cost proxies, for example."""

Groups = NDArray[np.intp]

_ONE_HOT = ("categorical", "subset")

_CENTRES = np.linspace(0, 1, 5)
_WIDTH = 0.2

_ROUNDS = 2
_BUCKETS = 64

_SCALED_ON = 256
"""Architectures drawn to learn the scale of side information."""


class Features:
    """Turns architectures into points of up to five terms of a kernel.

    *Decisions*: a product kernel with a weight each. Two values of a category are alike or not
    (Hamming); numbers are as near as their places in the range; of subsets the share of members
    that differ counts. A decision that is active in one architecture only counts as different, one
    that is inactive in both as the same.

    *Each decision alone*: an additive kernel, a function of each decision added up. In a space of
    many decisions no two architectures are alike in all of them, and this is what is learned first.

    *Counts*: where several decisions have the same domain (the operations of a cell's edges, the
    kernels of all stages), how often each option was taken, wherever that was. Little of a space
    is needed to learn from it that more convolutions are better; the decisions' own term then
    says where.

    *Graph*, where it is asked for and the space gives one: the histogram of Weisfeiler-Lehman labels (Shervashidze et
    al. 2011; Ru et al. 2021, arXiv:2006.07556), hashed into buckets.

    *Side information*, where there is any: a weight for each number. One that is not finite counts
    as the least: a zero-cost proxy does not apply to every network.

    Args:
        space: Whose architectures.
        side: Side information.
        graph: Whether the graph is a term.

    Raises:
        SettingError: If a number of the side information is never finite.
    """

    def __init__(
        self, space: SearchSpace, side: SideInformation | None = None, *, graph: bool = False
    ) -> None:
        self._space, self._side = space, side
        self._graph = space.graph if graph else None
        self._scale, self._shift, self._masks, groups = _own(space)
        self._totals, alike = _alike(space)
        self._numbers = [i for i, c in enumerate(space.columns) if c.kind not in _ONE_HOT]
        blocks: list[tuple[type[Term], Groups, float]] = [
            (Product, groups, 2.0),
            (Additive, self._alone(groups), 1.0),
        ]
        if len(alike):
            blocks.append((Product, alike, 3.0))
        if self._graph is not None:
            blocks.append((Product, np.zeros(_BUCKETS, dtype=np.intp), 3.0))
        if side is not None:
            drawn = np.array([side(space.sample(Random(i))) for i in range(_SCALED_ON)], float)
            self._least = _least(drawn)
            drawn = _finite(drawn, self._least)
            self._middle, self._spread = drawn.mean(0), drawn.std(0) + 1e-12
            blocks.append((Product, np.arange(drawn.shape[1]), 0.3))
        self.terms = tuple(
            kind(groups, weight / (1 + int(groups.max()))) for kind, groups, weight in blocks
        )

    def __call__(self, architectures: Sequence[Architecture]) -> list[Floats]:
        """Returns the points, ``(architectures, columns)`` for each term."""
        encoding = self._space.encode(architectures)
        own = encoding.values * self._scale - self._shift * encoding.mask
        active = encoding.mask[:, self._masks[0]] * self._masks[1]
        points = [np.hstack([own, active]), self._bumps(encoding)]
        if self._totals.shape[1]:
            points.append(np.hstack([encoding.values, encoding.mask]) @ self._totals)
        if self._graph is not None:
            points.append(np.stack([_histogram(self._graph(a)) for a in architectures]))
        if self._side is not None:
            points.append((self._sides(architectures) - self._middle) / self._spread)
        return points

    def _alone(self, groups: Groups) -> Groups:
        columns = groups[: len(self._space.columns)]
        one_hot = np.delete(columns, self._numbers)
        return np.concatenate([one_hot, np.repeat(columns[self._numbers], len(_CENTRES))])

    def _bumps(self, encoding: Encoding) -> Floats:
        """One-hot for categories, and for numbers how near they are to a few places."""
        numbers = encoding.values[:, self._numbers, None]
        near = 0.84 * np.exp(-0.5 * ((numbers - _CENTRES) / _WIDTH) ** 2)  # of length about 1
        near *= encoding.mask[:, self._numbers, None]
        one_hot = np.delete(encoding.values, self._numbers, axis=1)
        return np.hstack([one_hot, near.reshape(len(near), -1)])

    def _sides(self, architectures: Iterable[Architecture]) -> Floats:
        assert self._side is not None
        found = np.array([self._side(a) for a in architectures], dtype=np.float64)
        return _finite(found, self._least)


def _least(sides: Floats) -> Floats:
    """The least finite number of each column.

    Raises:
        SettingError: If a column has none.
    """
    least: Floats = np.min(sides, axis=0, where=np.isfinite(sides), initial=np.inf)
    if np.isinf(least).any():
        raise SettingError(
            f"Side information must be finite numbers, but number {int(np.isinf(least).argmax())} "
            f"was so for none of {len(sides)} architectures. Leave it out."
        )
    return least


def _finite(sides: Floats, least: Floats) -> Floats:
    """A proxy that does not apply, or broke: as bad as the worst."""
    return np.where(np.isfinite(sides), sides, least)


def _own(space: SearchSpace) -> tuple[Floats, Floats, tuple[list[int], Floats], Groups]:
    """Returns how an encoding becomes the first term: scale, shift, masks and groups."""
    place = {decision.path: i for i, decision in enumerate(space.decisions)}
    paths = [column.path for column in space.columns]
    width = Counter(paths)
    scale = np.empty(len(paths))
    shift = np.zeros(len(paths))
    for i, column in enumerate(space.columns):
        # Two different categories are at a squared distance of 1, as are two disjoint halves of
        # a subset and, on average, two numbers.
        squares = {"categorical": 0.5, "subset": 1 / width[column.path]}
        scale[i] = squares.get(column.kind, 6.0) ** 0.5
        shift[i] = 0.0 if column.kind in _ONE_HOT else 0.5 * scale[i]
    conditional = [d for d in space.decisions if () not in d.conditions]
    masks = [paths.index(decision.path) for decision in conditional]
    # To be asked or not is a distance of 1, too, together with what the value itself adds.
    weights = np.full(len(conditional), 0.5**0.5)
    groups = [place[path] for path in paths] + [place[d.path] for d in conditional]
    return scale, shift, (masks, weights), np.array(groups, dtype=np.intp)


def _alike(space: SearchSpace) -> tuple[Floats, Groups]:
    """Returns the matrix that turns an encoding and its mask into counts, and their groups."""
    families: dict[Hashable, list[Decision]] = {}
    for decision in space.decisions:
        families.setdefault(_domain(decision), []).append(decision)
    first: dict[str, int] = {}
    for i, column in enumerate(space.columns):
        first.setdefault(column.path, i)
    paths = [column.path for column in space.columns]
    width, total = Counter(paths), len(paths)
    columns: list[Floats] = []
    groups: list[int] = []
    for family in (f for f in families.values() if len(f) > 1 and f[0].size > 1):
        group = len(set(groups))
        for offset in range(width[family[0].path] + 1):
            weights = np.zeros(2 * total)
            for decision in family:
                start = first[decision.path]
                # The last one counts how many are asked at all.
                at = start + offset if offset < width[decision.path] else total + start
                weights[at] = 1 / len(family)
            columns.append(weights)
            groups.append(group)
    matrix = np.stack(columns, axis=1) if columns else np.empty((2 * total, 0))
    return matrix, np.array(groups, dtype=np.intp)


def _domain(d: Decision) -> Hashable:
    return d.kind, d.options, d.low, d.high, d.step, d.log, d.sizes


def _histogram(graph: Graph) -> Floats:
    """Returns how often each label occurs, of the operations and of their surroundings."""
    comes_from: list[list[int]] = [[] for _ in graph.operations]
    for start, end in graph.edges:
        comes_from[end].append(start)
    labels = list(graph.operations)
    found = np.zeros(_BUCKETS)
    for depth in range(_ROUNDS + 1):
        for label in labels:
            found[crc32(f"{depth}{label}".encode()) % _BUCKETS] += 1 / len(labels)
        labels = [
            f"{label}({','.join(sorted(labels[i] for i in before))})"
            for label, before in zip(labels, comes_from, strict=True)
        ]
    return found
