"""A network as a graph: what graph kernels, path encodings and pictures look at."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ogive.errors import SpaceError

__all__ = ["Graph", "Path"]

Path = tuple[str, ...]
"""The operations along a way from the input to the output, without those two."""


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

    def paths(self, most: int = 1_000) -> frozenset[Path]:
        """Returns the paths from the input to the output (White et al. 2021, arXiv:1910.11858).

        A deep graph may have too many to list. Where there are more than ``most``, the short ones
        are returned: all up to some length, and none that is longer.
        """
        after: list[list[int]] = [[] for _ in self.operations]
        for start, end in self.edges:
            after[start].append(end)
        output = len(self.operations) - 1
        found: list[set[Path]] = [set() for _ in self.operations]  # from each node on
        complete = [math.inf for _ in self.operations]  # up to this length
        found[output].add(())
        for node in reversed(range(output)):
            own = self.operations[node : node + 1] if node else ()
            ways = {(*own, *way) for following in after[node] for way in found[following]}
            longest = min((complete[following] for following in after[node]), default=math.inf)
            longest += len(own)
            while len(kept := {way for way in ways if len(way) <= longest}) > most:
                longest = max(map(len, kept)) - 1
            found[node], complete[node] = kept, longest
        return frozenset(found[0])
