"""The cells of NAS-Bench-201 (Dong & Yang 2020, arXiv:2001.00326, section 2.1): no torch needed.

Four nodes, an operation on each of the six edges between them. A node is the sum of what comes in
over its edges; the first is the cell's input and the last its output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any

from ogive.errors import ArchitectureError
from ogive.space import Architecture, Decision, Graph, SearchSpace

__all__ = [
    "EDGES",
    "OPERATIONS",
    "architecture_of",
    "canonical",
    "graph",
    "nasbench201_space",
    "to_string",
]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

EDGES = {"0-1": (0, 1), "0-2": (0, 2), "1-2": (1, 2), "0-3": (0, 3), "1-3": (1, 3), "2-3": (2, 3)}
"""The path of each decision, in the benchmark's order, and the nodes that its edge joins."""

_NODES = range(1, 4)
"""Those that something comes in to."""

_ZERO = "#"


def nasbench201_space() -> SearchSpace:
    """Returns the 15,625 cells of NAS-Bench-201, of which 6,466 are different networks.

    It is what recording ``ogive.spaces.nasbench201`` gives, for who needs no network.
    """
    return SearchSpace(
        [Decision(path, "categorical", options=OPERATIONS) for path in EDGES],
        name="nasbench201",
        canonical=canonical,
        graph=graph,
    )


def to_string(architecture: Mapping[str, Any]) -> str:
    """Returns a cell as the benchmark writes it.

    That is ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``: what comes in to each node, and from where.
    """
    nodes = (
        "".join(
            f"{architecture[path]}~{start}|" for path, (start, end) in EDGES.items() if end == n
        )
        for n in _NODES
    )
    return "+".join(f"|{node}" for node in nodes)


def architecture_of(text: str) -> Architecture:
    """Returns the cell of a text such as :func:`to_string` writes.

    Raises:
        ArchitectureError: If it is not one.
    """
    found = re.findall(r"([^|~+]+)~\d", text)
    architecture = dict(zip(EDGES, found, strict=False))
    if (
        len(found) != len(EDGES)
        or not set(found) <= set(OPERATIONS)
        or to_string(architecture) != text
    ):
        raise ArchitectureError(
            "A cell of NAS-Bench-201 reads |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, each op one of "
            f"{', '.join(OPERATIONS)}, but got {text!r}."
        )
    return Architecture(architecture)


def canonical(architecture: Architecture) -> Architecture:
    """Returns the first cell, in the space's order, that is the same network.

    Cells are the same where their formulas are, once the identity is left out and what follows a
    zero is zero. That is the paper's own rule, by which 6,466 are left; it does not see every
    equality, such as that of a sum with and without a zero.
    """
    return architecture.replace(_first_of_its_kind()[_operations(architecture)])


def _operations(architecture: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(architecture[path] for path in EDGES)


@cache
def _first_of_its_kind() -> dict[tuple[Any, ...], dict[str, Any]]:
    """For the operations of every cell those of the first that is the same: 15,625 in 0.2 s."""
    first: dict[str, dict[str, Any]] = {}
    found = {}
    for operations in product(OPERATIONS, repeat=len(EDGES)):
        cell = dict(zip(EDGES, operations, strict=True))
        found[operations] = first.setdefault(_formula(cell), cell)
    return found


def _formula(cell: Mapping[str, str]) -> str:
    """What the last node computes, as the paper's code writes it: the terms of a sum sorted.

    A term that is itself a sum is not taken apart, so another way to write a term would sort, and
    with it merge, a few cells otherwise.
    """
    nodes = ["0"]
    for n in _NODES:
        terms = (
            _term(cell[path], nodes[start]) for path, (start, end) in EDGES.items() if end == n
        )
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def _term(operation: str, node: str) -> str:
    if operation == "none" or node == _ZERO:
        return _ZERO
    return node if operation == "skip_connect" else f"({node})@{operation}"


def graph(architecture: Architecture) -> Graph:
    """Returns the operations as nodes, between an input and an output.

    Left out is what contributes nothing: ``none``, and what hangs on nothing else or leads to
    nothing else. ``skip_connect`` stays a node: it may stand beside another way.
    """
    working = {path: ends for path, ends in EDGES.items() if architecture[path] != "none"}
    fed, wanted = {0}, {max(_NODES)}
    for start, end in working.values():  # in the order of their ends
        if start in fed:
            fed.add(end)
    for start, end in sorted(working.values(), reverse=True):
        if end in wanted:
            wanted.add(start)
    kept = {
        p: (start, end) for p, (start, end) in working.items() if start in fed and end in wanted
    }
    place = {path: number for number, path in enumerate(kept, 1)}
    output = len(kept) + 1
    edges = [(0, place[path]) for path, (start, _) in kept.items() if start == 0]
    edges += [(place[path], output) for path, (_, end) in kept.items() if end == max(_NODES)]
    edges += [
        (place[before], place[after])
        for before, (_, middle) in kept.items()
        for after, (start, _) in kept.items()
        if middle == start
    ]
    labels = (str(architecture[path]) for path in kept)
    return Graph.of(("input", *labels, "output"), edges)
