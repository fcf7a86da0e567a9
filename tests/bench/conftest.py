"""Small tables in the layout of the real ones, with numbers that are made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from ogive.spaces import nasbench201_space
from ogive.spaces._nasbench201_cells import OPERATIONS, to_string

Write = Callable[..., Path]


def arrays201(cells: int = 60, seed: int = 0) -> dict[str, Any]:
    """Some different cells; what they are worth is in the share of convolutions, and noise."""
    rng, numpy_rng = Random(seed), np.random.default_rng(seed)
    space = nasbench201_space()
    forms: dict[Any, Any] = {}
    while len(forms) < cells:
        architecture = space.sample(rng)
        forms.setdefault(space.canonical(architecture), architecture)
    codes = np.array([[OPERATIONS.index(o) for o in a.values()] for a in forms.values()], np.uint8)
    good = (codes >= 2).sum(axis=1) + numpy_rng.normal(0, 0.3, cells)
    return {
        "arch_str": np.array([to_string(a) for a in forms.values()]),
        "op_code": codes,
        "op_names": np.array(OPERATIONS),
        "c10valid_val_acc_200_avg": (80 + good).astype(np.float32),
        "c10valid_val_acc_12": (60 + 2 * good + numpy_rng.normal(0, 1, cells)).astype(np.float32),
        "c10_test_acc_200_avg": (82 + good + numpy_rng.normal(0, 0.2, cells)).astype(np.float32),
        "c10valid_train_sec_per_epoch": np.full(cells, 10, np.float32),
        "c10valid_eval_sec_per_epoch": np.full(cells, 4, np.float32),
    }


def arrays101() -> dict[str, Any]:
    """Four cells of two to seven vertices, the output behind the last inner one, as in the file."""
    triangle = [(a, b) for a in range(7) for b in range(a + 1, 7)]

    def edges(*pairs: tuple[int, int]) -> list[int]:
        return [int(pair in pairs) for pair in triangle]

    return {
        "n_vertices": np.array([2, 3, 4, 7], np.uint8),
        "adj_triu": np.array(
            [
                edges((0, 1)),
                edges((0, 1), (1, 2)),
                edges((0, 1), (1, 2), (2, 3), (0, 3)),
                edges((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)),
            ],
            np.uint8,
        ),
        "op_code": np.array(
            [[255] * 5, [0, 255, 255, 255, 255], [2, 1, 255, 255, 255], [0, 1, 2, 0, 1]], np.uint8
        ),
        "op_names": np.array(["maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu"]),
        "val_acc_4": np.array([0.1, 0.2, 0.3, 0.4]),
        "val_acc_12": np.array([0.2, 0.3, 0.4, 0.5]),
        "val_acc_36": np.array([0.3, 0.5, 0.4, 0.6]),
        "val_acc_108": np.array([0.5, 0.7, 0.6, 0.8]),
        "train_time_108_sec": np.array([108.0, 216.0, 324.0, 432.0]),
        "params": np.array([10, 20, 30, 40]),
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes arrays to a file of some name; returns its path."""

    def write(name: str, arrays: dict[str, Any]) -> Path:
        path = tmp_path / name
        np.savez(path, **arrays)
        return path

    return write


@pytest.fixture
def nb201(write: Write) -> Path:
    return write("nb201.npz", arrays201())


@pytest.fixture
def nb101(write: Write) -> Path:
    return write("nb101.npz", arrays101())
