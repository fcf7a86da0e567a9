"""NAS-Bench-101: cells are cut and compared as the paper counts them."""

from __future__ import annotations

from itertools import permutations, product
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive.errors import ArchitectureError
from ogive.space import Architecture
from ogive.spaces import nasbench101_cell, nasbench101_space
from ogive.spaces._nasbench101 import EDGES, OPERATIONS

SPACE = nasbench101_space()
CELLS = st.integers(0, 10**6).map(lambda seed: SPACE.sample(Random(seed)))
CONV3, CONV1, POOL = OPERATIONS


def make(*edges: str, **operations: str) -> Architecture:
    """``make("0-1", "1-6", op1=POOL)``; vertices of which nothing is said convolve 3 x 3."""
    inner = [operations.get(f"op{v}", CONV3) for v in range(1, 6)]
    return nasbench101_cell([EDGES[path] for path in edges], inner)


def renumbered(architecture: Architecture, order: tuple[int, ...]) -> Architecture | None:
    """The cell with its vertices at other places, or nothing where an edge would lead back."""
    place = dict(enumerate(order))
    moved = {(place[a], place[b]) for p, (a, b) in EDGES.items() if architecture[p]}
    if any(a > b for a, b in moved):
        return None
    inner = {place[v]: str(architecture[f"op.{v}"]) for v in range(1, 6)}
    return nasbench101_cell(moved, [inner[v] for v in range(1, 6)])


def test_the_space() -> None:
    assert SPACE.size == 2**21 * 3**5
    assert [d.path for d in SPACE.decisions][:3] == ["0-1", "0-2", "0-3"]
    assert [d.path for d in SPACE.decisions][-6:] == ["5-6", *(f"op.{v}" for v in range(1, 6))]


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        (make(), "no way leads"),
        (make("0-1", "2-6"), "no way leads"),
        (make("0-6"), None),
        (make(*list(EDGES)[:6], "1-6", "2-6", "3-6"), None),  # ways of two, and one direct
        (make(*EDGES), "it has 21 edges"),
        # Ten edges, of which one leads nowhere and is not counted.
        (make("0-1", "0-2", "0-3", "0-4", "1-6", "2-6", "3-6", "4-6", "0-6", "1-5"), None),
        (make("0-1", "0-2", "0-3", "0-4", "1-6", "2-6", "3-6", "4-6", "0-6", "1-2"), "10 edges"),
    ],
)
def test_what_is_valid(architecture: Architecture, reason: str | None) -> None:
    found = SPACE.reason_invalid(architecture)
    assert found is None if reason is None else reason in (found or "")


def test_drawing_is_quick_because_most_draws_are_valid() -> None:
    rng = Random(0)
    space = nasbench101_space()
    drawn = [Architecture({d.path: d.sampler()(rng) for d in space.decisions}) for _ in range(500)]
    assert np.mean([space.reason_invalid(a) is None for a in drawn]) > 0.6


@given(CELLS)
def test_the_canonical_form_is_that_of_every_renumbering(architecture: Architecture) -> None:
    form = SPACE.canonical(architecture)
    assert SPACE.canonical(form) == form
    assert SPACE.reason_invalid(form) is None
    for inner in permutations(range(1, 6)):
        other = renumbered(architecture, (0, *inner, 6))
        assert other is None or SPACE.canonical(other) == form


def test_as_many_cells_are_different_as_the_paper_counts() -> None:
    """Of up to five vertices: 1 + 6 + 84 + 2,441 (section 2.2 counts 423,624 up to seven)."""
    paths = [path for path, ends in EDGES.items() if not {4, 5} & set(ends)]
    found: dict[int, set[Architecture]] = {inner: set() for inner in range(4)}
    for present in product((False, True), repeat=len(paths)):
        edges = [path for path, on in zip(paths, present, strict=True) if on]
        if SPACE.reason_invalid(make(*edges)):
            continue
        assert SPACE.graph is not None
        inner = len(SPACE.graph(make(*edges)).operations) - 2
        for operations in product(OPERATIONS, repeat=3):
            named = {f"op{v}": operation for v, operation in enumerate(operations, 1)}
            found[inner].add(SPACE.canonical(make(*edges, **named)))
    assert [len(forms) for forms in found.values()] == [1, 6, 84, 2441]


def test_other_decisions_stay_in_the_canonical_form() -> None:
    architecture = Architecture({**make("0-3", "3-6", op3=POOL), "recipe.lr": 0.1})
    form = SPACE.canonical(architecture)
    assert form == Architecture({**make("0-1", "1-6", op1=POOL), "recipe.lr": 0.1})


def test_a_graph_is_what_is_left_of_a_cell() -> None:
    assert SPACE.graph is not None
    found = SPACE.graph(make("0-1", "1-3", "0-3", "3-6", "2-3", "3-4", op1=POOL, op3=CONV1))
    assert found.operations == ("input", POOL, CONV1, "output")
    assert found.edges == ((0, 1), (0, 2), (1, 2), (2, 3))


def test_a_small_cell_has_its_output_behind_its_operations() -> None:
    assert nasbench101_cell([(0, 1)], []) == make("0-6")
    small = nasbench101_cell([(0, 1), (0, 2), (1, 2), (2, 3)], [POOL, CONV1])
    assert small == make("0-1", "0-2", "1-2", "2-6", op1=POOL, op2=CONV1)


@pytest.mark.parametrize("edges", [[(0, 3)], [(1, 1)], [(2, 1)], [(-1, 1)]])
def test_what_is_no_cell_is_refused(edges: list[tuple[int, int]]) -> None:
    with pytest.raises(ArchitectureError, match=r"up to 5 operations.*got 1 operations"):
        nasbench101_cell(edges, [POOL])
    with pytest.raises(ArchitectureError, match="got 6 operations"):
        nasbench101_cell([], [POOL] * 6)
