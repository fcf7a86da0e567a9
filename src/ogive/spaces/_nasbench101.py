"""The cells of NAS-Bench-101 (Ying et al. 2019, arXiv:1902.09635, section 2): no torch needed.

Up to seven vertices, the first the input and the last the output, the five between with an
operation each; at most nine edges, each from a vertex to a later one. What does not lie on a way
from the input to the output is cut off before the edges are counted, as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ogive.errors import ArchitectureError
from ogive.space import Architecture, Decision, Graph, SearchSpace

__all__ = ["EDGES", "OPERATIONS", "VERTICES", "nasbench101_cell", "nasbench101_space"]

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
VERTICES = 7
MOST_EDGES = 9

_OUTPUT = VERTICES - 1
_INNER = range(1, _OUTPUT)

EDGES = {
    f"{start}-{end}": (start, end)
    for start in range(VERTICES)
    for end in range(start + 1, VERTICES)
}
"""The path of each edge's decision, row by row of the adjacency matrix, and its two vertices."""


def nasbench101_space() -> SearchSpace:
    """Returns the cells of NAS-Bench-101: 423,624 different ones.

    Twenty-one decisions ``0-1`` to ``5-6`` say whether an edge is there, five ``op.1`` to ``op.5``
    what an inner vertex does; three draws in four are valid cells. Cells are equal where a
    renumbering of the vertices makes them so, exactly.
    """
    decisions = [Decision(path, "categorical", options=(False, True)) for path in EDGES]
    decisions += [Decision(f"op.{v}", "categorical", options=OPERATIONS) for v in _INNER]
    return SearchSpace(
        decisions, name="nasbench101", valid=_reason_invalid, canonical=_canonical, graph=_graph
    )


def nasbench101_cell(edges: Iterable[tuple[int, int]], operations: Sequence[str]) -> Architecture:
    """Returns a cell as an architecture of the space.

    Args:
        edges: Pairs of vertices: 0 is the input, then comes one for each operation, and then the
            output.
        operations: Of the inner vertices, at most five.

    Raises:
        ArchitectureError: If there are more, or an edge does not lead to a later vertex.
    """
    output = len(operations) + 1
    edges = list(edges)
    if output > _OUTPUT or not all(0 <= start < end <= output for start, end in edges):
        raise ArchitectureError(
            f"A cell has up to {len(_INNER)} operations and edges that lead from a vertex to a "
            f"later one, but got {len(operations)} operations and edges {edges}."
        )
    present = {(start, _OUTPUT if end == output else end) for start, end in edges}
    # What the architecture decides for vertices that the cell does not have makes no difference.
    filled = [*operations, *OPERATIONS[:1] * (len(_INNER) - len(operations))]
    decided: dict[str, Any] = {path: ends in present for path, ends in EDGES.items()}
    return Architecture(decided | {f"op.{v}": filled[v - 1] for v in _INNER})


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell without what is cut off.

    Attributes:
        parents: For each vertex that is left, in order, those that lead to it. Input and output
            are always there.
        operations: Of the inner vertices that are left.
    """

    parents: Mapping[int, tuple[int, ...]]
    operations: Mapping[int, str]

    @classmethod
    def of(cls, architecture: Mapping[str, Any]) -> _Cell:
        edges = [ends for path, ends in EDGES.items() if architecture[path]]
        fed, wanted = {0}, {_OUTPUT}
        for start, end in edges:  # by their starts, so that what feeds a start is known
            if start in fed:
                fed.add(end)
        for start, end in reversed(edges):
            if end in wanted:
                wanted.add(start)
        kept = (fed & wanted) | {0, _OUTPUT}
        parents: dict[int, tuple[int, ...]] = dict.fromkeys(sorted(kept), ())
        for start, end in edges:
            if start in kept and end in kept:
                parents[end] += (start,)
        return cls(parents, {v: architecture[f"op.{v}"] for v in parents if v in _INNER})

    @property
    def edges(self) -> int:
        return sum(map(len, self.parents.values()))


def _reason_invalid(architecture: Architecture) -> str | None:
    found = _Cell.of(architecture)
    if not found.parents[_OUTPUT]:
        return "no way leads from the input to the output"
    if found.edges > MOST_EDGES:
        return f"it has {found.edges} edges, and {MOST_EDGES} is the most"
    return None


def _canonical(architecture: Architecture) -> Architecture:
    """The least of all renumberings, by the operation and the parents of one vertex after another.

    Exact: every vertex that could stand next and is the least so far is followed up.
    """
    found = _Cell.of(architecture)
    ways: list[dict[int, int]] = [{0: 0}]  # vertex → new number, for each way still open
    inner: list[tuple[int, int]] = []  # the operation and the parents of each vertex
    for number in range(1, len(found.operations) + 1):
        steps = [
            ((OPERATIONS.index(operation), _bits(found.parents[v], way)), {**way, v: number})
            for way in ways
            for v, operation in found.operations.items()
            if v not in way and way.keys() >= set(found.parents[v])
        ]
        inner.append(min(described for described, _ in steps))
        ways = [way for described, way in steps if described == inner[-1]]
    inner.append((0, min(_bits(found.parents[_OUTPUT], way) for way in ways)))
    edges = (
        (parent, number)
        for number, (_, parents) in enumerate(inner, 1)
        for parent in range(number)
        if parents >> parent & 1
    )
    operations = [OPERATIONS[operation] for operation, _ in inner[:-1]]
    return architecture.replace(nasbench101_cell(edges, operations))


def _bits(vertices: Iterable[int], way: Mapping[int, int]) -> int:
    """The new numbers of some vertices, as the bits of one number."""
    return sum(1 << way[vertex] for vertex in vertices)


def _graph(architecture: Architecture) -> Graph:
    found = _Cell.of(architecture)
    place = {vertex: number for number, vertex in enumerate(found.parents)}
    edges = ((place[p], place[v]) for v, parents in found.parents.items() for p in parents)
    return Graph.of(("input", *found.operations.values(), "output"), edges)
