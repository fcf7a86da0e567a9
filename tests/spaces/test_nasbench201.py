"""NAS-Bench-201: its networks have the parameters and operations that the benchmark states."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ogive.errors import ArchitectureError
from ogive.hardware import macs, params
from ogive.nn import build, check, record
from ogive.space import Architecture
from ogive.spaces import nasbench201, nasbench201_space
from ogive.spaces._nasbench201_cells import EDGES, OPERATIONS

SPACE = nasbench201_space()
CELLS = st.integers(0, 10**6).map(lambda seed: SPACE.sample(Random(seed)))
WIDTHS, SIDES, CELLS_A_STAGE = (16, 32, 64), (32, 16, 8), 5


def task(*, outputs: int = 10, side: int = 32) -> Any:
    """What a network function and a cost ask of a task of images."""
    return SimpleNamespace(
        channels=3,
        outputs=outputs,
        example=lambda n, device="cpu": torch.zeros(n, 3, side, side, device=device),
    )


def cell(**operations: str) -> Architecture:
    """A cell by its edges, ``none`` where nothing is said: ``cell(e01="skip_connect")``."""
    given = {f"{name[1]}-{name[2]}": value for name, value in operations.items()}
    return Architecture({**dict.fromkeys(EDGES, "none"), **given})


def closed_form(architecture: Architecture, classes: int) -> tuple[int, int]:
    """Parameters and multiply-adds by pencil and paper, at 32 x 32 pixels."""
    count = 3 * 16 * 9 + 2 * 16 + 2 * 64 + 64 * classes + classes  # stem, last norm, head
    work = 3 * 16 * 9 * 32**2 + 64 * classes
    for before, after, side in ((16, 32, 16), (32, 64, 8)):
        weights = 9 * before * after + 9 * after * after + before * after
        count += weights + 4 * after
        work += weights * side**2
    for width, side in zip(WIDTHS, SIDES, strict=True):
        for operation in architecture.values():
            if operation in ("nor_conv_1x1", "nor_conv_3x3"):
                weights = width * width * int(str(operation)[-1]) ** 2
                count += CELLS_A_STAGE * (weights + 2 * width)
                work += CELLS_A_STAGE * weights * side**2
    return count, work


def test_the_space_is_what_recording_gives() -> None:
    recorded = record(nasbench201, task())
    assert recorded.key == SPACE.key
    assert recorded.name == SPACE.name
    assert recorded.size == 15_625
    assert list(recorded.decisions[0].options) == list(OPERATIONS)
    architecture = SPACE.sample(Random(0))
    assert recorded.canonical(architecture) == SPACE.canonical(architecture)
    assert recorded.graph is not None and SPACE.graph is not None
    assert recorded.graph(architecture) == SPACE.graph(architecture)


def test_every_cell_has_the_parameters_and_operations_of_the_table(data: Path) -> None:
    """The benchmark counts the additions of the head's bias among its operations."""
    table = np.load(data / "nb201.npz", allow_pickle=False)
    names = table["op_names"].tolist()
    assert sorted(names) == sorted(OPERATIONS)
    for classes, short in ((10, "c10"), (100, "c100")):
        cells = (
            Architecture(dict(zip(EDGES, (names[o] for o in code), strict=True)))
            for code in table["op_code"].tolist()
        )
        counted = np.array([closed_form(a, classes) for a in cells])
        assert np.allclose(counted[:, 0] / 1e6, table[f"params_m_{short}"], rtol=1e-6)
        assert np.allclose((counted[:, 1] + classes) / 1e6, table[f"flops_m_{short}"], rtol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_networks_have_the_parameters_and_operations_of_the_closed_form(seed: int) -> None:
    architecture, classes = SPACE.sample(Random(seed)), 10 if seed % 2 else 100
    with torch.device("meta"):
        network = build(nasbench201, task(outputs=classes), architecture)
    assert (params(network), macs(network, task())) == closed_form(architecture, classes)


def test_texts_are_those_of_the_table(data: Path) -> None:
    table = np.load(data / "nb201.npz", allow_pickle=False)
    names = table["op_names"].tolist()
    for text, code in zip(table["arch_str"].tolist(), table["op_code"].tolist(), strict=True):
        architecture = nasbench201.architecture_of(text)
        assert list(architecture.values()) == [names[o] for o in code]
        assert nasbench201.to_string(architecture) == text


@pytest.mark.parametrize("side", [8, 32, 33])
def test_a_network_from_a_text_is_the_one_that_is_built(side: int) -> None:
    architecture = SPACE.sample(Random(side))
    network = nasbench201.from_string(nasbench201.to_string(architecture), classes=7)
    built = build(nasbench201, task(outputs=7), architecture)
    built.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, side, side)
    assert torch.equal(network.eval()(images), built.eval()(images))
    assert network(images).shape == (2, 7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "|skip_connect~0|",
        "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~3|",
        "|nor_conv_5x5~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|none~3|",
    ],
)
def test_a_text_that_is_no_cell_is_refused(text: str) -> None:
    with pytest.raises(ArchitectureError, match=r"\|op~0\|\+"):
        nasbench201.from_string(text, classes=10)


def test_all_networks_run() -> None:
    check(nasbench201, task(), SPACE, samples=8)


def test_6466_cells_are_different() -> None:
    forms = {SPACE.canonical(architecture) for architecture in SPACE.enumerate()}
    assert len(forms) == 6466
    assert all(SPACE.canonical(form) == form for form in forms)


@given(CELLS)
def test_equal_cells_are_equal_networks(architecture: Architecture) -> None:
    """Where every convolution has the same weights, the equal cells compute the same."""
    other = SPACE.canonical(architecture)
    assert np.isclose(_value(architecture), _value(other), rtol=1e-12)


def _value(architecture: Architecture) -> float:
    """A stand-in for the network: different functions of a number on the edges."""
    operations = {
        "none": lambda _: 0.0,
        "skip_connect": lambda x: x,
        "nor_conv_1x1": lambda x: np.sin(3 * x) + 1.7 * x if x else 0.0,
        "nor_conv_3x3": lambda x: np.cos(2 * x) * x,
        "avg_pool_3x3": lambda x: 0.3 * x * x,
    }
    nodes = [0.7, 0.0, 0.0, 0.0]
    for path, (start, end) in EDGES.items():
        nodes[end] += operations[str(architecture[path])](nodes[start])
    return nodes[3]


def test_other_decisions_stay_in_the_canonical_form() -> None:
    architecture = Architecture({**cell(e01="skip_connect"), "recipe.lr": 0.1})
    form = SPACE.canonical(architecture)
    assert form["recipe.lr"] == 0.1
    assert form == SPACE.canonical(form)


def test_a_graph_has_the_operations_as_nodes() -> None:
    assert SPACE.graph is not None
    full = SPACE.graph(Architecture(dict.fromkeys(EDGES, "nor_conv_1x1")))
    assert full.operations == ("input", *["nor_conv_1x1"] * 6, "output")
    assert full.edges == (
        (0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 6), (3, 6), (4, 7), (5, 7), (6, 7),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "operations", "edges"),
    [
        (cell(), (), ()),
        (cell(e01="nor_conv_3x3"), (), ()),  # leads nowhere
        (cell(e13="nor_conv_3x3"), (), ()),  # comes from nowhere
        (cell(e12="skip_connect", e23="nor_conv_3x3"), (), ()),
        (cell(e03="skip_connect"), ("skip_connect",), ((0, 1), (1, 2))),
        (
            cell(e01="nor_conv_3x3", e12="nor_conv_1x1", e23="avg_pool_3x3", e02="none"),
            ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3"),
            ((0, 1), (1, 2), (2, 3), (3, 4)),
        ),
    ],
)
def test_a_graph_leaves_out_what_contributes_nothing(
    architecture: Architecture, operations: tuple[str, ...], edges: tuple[tuple[int, int], ...]
) -> None:
    assert SPACE.graph is not None
    found = SPACE.graph(architecture)
    assert found.operations == ("input", *operations, "output")
    assert found.edges == edges


@given(CELLS)
def test_every_node_of_a_graph_lies_on_a_way_through(architecture: Architecture) -> None:
    assert SPACE.graph is not None
    found = SPACE.graph(architecture)
    inner = range(1, len(found.operations) - 1)
    assert all(any(end == node for _, end in found.edges) for node in inner)
    assert all(any(start == node for start, _ in found.edges) for node in inner)
    # As many ways lead through it as through the cell.
    assert _ways(found.edges, len(found.operations) - 1) == sum(
        all(architecture[f"{a}-{b}"] != "none" for a, b in pairwise(way))
        for way in ((0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3))
    )


def _ways(edges: tuple[tuple[int, int], ...], last: int) -> int:
    ways = [1] + [0] * last
    for start, end in edges:  # sorted by their starts, which is topological order
        ways[end] += ways[start]
    return ways[last]


def test_the_space_needs_no_torch() -> None:
    code = (
        "import sys; from ogive.spaces import nasbench201_space; nasbench201_space(); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
