"""Architectures as rows of numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

from ogive.space._architecture import Architecture, Value
from ogive.space._decision import Decision
from ogive.space._graph import Graph

__all__ = ["Column", "Encoder", "Encoding", "PathEncoder"]

_LISTED = 1024
"""Integers with at most this many values are looked up rather than computed."""

_CELL = np.dtype([("column", np.intp), ("number", np.float64), ("decision", np.intp)])


@dataclass(frozen=True, slots=True)
class Column:
    """What a column stands for: a number (``option`` is None), or that an option was taken."""

    path: str
    kind: str
    option: Value = None


@dataclass(frozen=True, slots=True)
class Encoding:
    """Encoded architectures.

    Attributes:
        values: Shape ``(architectures, columns)``, in [0, 1]; 0 where masked.
        mask: Same shape; true where the column's decision is active.
    """

    values: NDArray[np.float64]
    mask: NDArray[np.bool_]


class Encoder:
    """One-hot for categories and subsets, the unit interval for ordered values and numbers."""

    def __init__(self, decisions: Sequence[Decision]) -> None:
        columns: list[Column] = []
        starts: list[int] = []
        # (path, value) → its place among the cells; most of an encoding is one look in it.
        self._known: dict[tuple[str, Value], int] = {}
        cells: list[tuple[int, float, int]] = []

        def know(decision: Decision, value: Value, number: float) -> None:
            self._known[decision.path, value] = len(cells)
            cells.append((len(columns), number, len(starts) - 1))

        for decision in decisions:
            starts.append(len(columns))
            if decision.kind in ("categorical", "subset"):
                for option in decision.options:
                    # The values of a subset are tuples of its options.
                    if decision.kind == "categorical":
                        know(decision, option, 1.0)
                    columns.append(Column(decision.path, decision.kind, option))
                continue
            if decision.kind == "ordinal" or (
                decision.kind == "integer" and decision.size <= _LISTED
            ):
                for value in decision.values():
                    know(decision, value, decision.to_unit(value))
            columns.append(Column(decision.path, decision.kind))
        self.columns = tuple(columns)
        self._starts = starts
        self._widths = np.diff([*starts, len(columns)])
        self._decisions = {d.path: (d, place) for place, d in enumerate(decisions)}
        # Of each cell its column, the number in it, and the place of its decision.
        self._cells = np.array(cells, dtype=_CELL)

    def __call__(self, architectures: Iterable[Architecture]) -> Encoding:
        architectures = list(architectures)
        lengths = [len(architecture) for architecture in architectures]
        look = self._known.get
        found = (map(look, a.items(), repeat(-1)) for a in architectures)
        places = np.fromiter(chain.from_iterable(found), np.intp, sum(lengths))
        rows = np.repeat(np.arange(len(architectures)), lengths)
        values = np.zeros((len(architectures), len(self.columns)))
        asked = np.zeros((len(architectures), len(self._decisions)), dtype=bool)
        known = places >= 0
        cells = self._cells[places[known]]
        values[rows[known], cells["column"]] = cells["number"]
        asked[rows[known], cells["decision"]] = True
        for row in np.unique(rows[~known]).tolist():
            for path, value in architectures[row].items():
                if (path, value) in self._known:
                    continue
                decision, place = self._decisions[path]
                asked[row, place] = True
                start = self._starts[place]
                if isinstance(value, tuple):
                    for option in value:
                        values[row, start + decision.options.index(option)] = 1.0
                else:
                    values[row, start] = decision.to_unit(value)
        return Encoding(values, np.repeat(asked, self._widths, axis=1))


class PathEncoder:
    """One column a path, 1 where it leads through a graph (White et al. 2021, arXiv:1910.11858).

    The paths are those of some graphs, such as the architectures of a space that were drawn. Of
    many the most frequent are kept, which are the short ones (their truncated path encoding).

    Args:
        graphs: Whose paths become columns.
        most: How many at most.

    Attributes:
        paths: What each column stands for, the most frequent first.
    """

    def __init__(self, graphs: Iterable[Graph], *, most: int = 500) -> None:
        seen = Counter(path for graph in graphs for path in graph.paths())
        order = sorted(seen, key=lambda path: (-seen[path], len(path), path))
        self.paths = tuple(order[:most])
        self._place = {path: place for place, path in enumerate(self.paths)}

    def __call__(self, graphs: Iterable[Graph]) -> NDArray[np.float64]:
        """Returns graphs as rows of zeros and ones, shape ``(graphs, paths)``."""
        places = [[self._place.get(path, -1) for path in graph.paths()] for graph in graphs]
        values = np.zeros((len(places), len(self.paths) + 1))
        for row, columns in zip(values, places, strict=True):
            row[columns] = 1.0
        return values[:, :-1]  # The last column takes the paths that have none of their own.
