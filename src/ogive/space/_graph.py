"""A network as a graph: what graph kernels, path encodings and pictures look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ogive.errors import SpaceError

__all__ = ["Graph"]


@dataclass(frozen=True, slots=True)
class Graph:
    """Operations and what flows between them, in topological order.

    The first node is the input and the last the output. Where a space puts its operations on the
    edges (NAS-Bench-201), each of them becomes a node.

    Attributes:
        operations: The label of each node.
        edges: Pairs ``(from, to)`` of nodes, ``from < to``, each once.

    Raises:
        SpaceError: If an edge does not lead from a node to a later one.
    """

    operations: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        for start, end in self.edges:
            if not 0 <= start < end < len(self.operations):
                raise SpaceError(
                    "An edge of a graph must lead from a node to a later one, but got "
                    f"{(start, end)} among {len(self.operations)} nodes. Give the nodes in "
                    "topological order."
                )

    @classmethod
    def of(cls, operations: Iterable[str], edges: Iterable[tuple[int, int]]) -> Graph:
        """Returns the graph with its edges in order and each once."""
        return cls(tuple(operations), tuple(sorted(set(edges))))
