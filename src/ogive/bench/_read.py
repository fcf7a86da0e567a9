"""Reading benchmark tables from the files that a user has; ``docs/bench.md`` has their layout."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ogive.bench._table import Column, Rung, Signal, Table
from ogive.errors import TaskError
from ogive.space import Architecture, PoolSpace
from ogive.spaces import nasbench101_cell, nasbench101_space, nasbench201_space

__all__ = ["read"]

_TEST10 = "c10_test_acc_200_avg"

_VERTICES = 7
"""Of the matrices in which the cells of NAS-Bench-101 are written."""

_Arrays = Mapping[str, NDArray[Any]]

_WHERE = (
    "NAS-Bench-201 comes from https://github.com/D-X-Y/NATS-Bench, NAS-Bench-101 from "
    "https://github.com/google-research/nasbench; docs/bench.md says how to lay one out as .npz."
)


def read(path: str | Path) -> Table:
    """Reads a table of NAS-Bench-201 or of NAS-Bench-101, whichever a file holds.

    Columns of ``STEM_hw.npz`` (costs on devices) and ``STEM_zc.npz`` (zero-cost proxies) that
    stand beside ``STEM.npz`` join those of a table of NAS-Bench-201.

    Raises:
        TaskError: If there is no such file, or it is not laid out as a table is.
    """
    path = Path(path)
    arrays = _load(path)
    if {"op_code", "op_names", "adj_triu", "n_vertices"} <= arrays.keys():
        return _nasbench101(path, arrays)
    if {"op_code", "op_names", "arch_str"} <= arrays.keys():
        return _nasbench201(path, arrays)
    raise TaskError(
        "A benchmark table has op_code and op_names, and arch_str (NAS-Bench-201) or adj_triu and "
        f"n_vertices (NAS-Bench-101), but {path} has {', '.join(sorted(arrays)) or 'nothing'}. "
        + _WHERE
    )


def _load(path: Path) -> _Arrays:
    try:
        # A file of ours, since numpy leaves one that it cannot read open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise TaskError(
            f"A benchmark table is a file of yours, but {path} does not exist. {_WHERE}"
        ) from None
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise TaskError(
            f"A benchmark table is an .npz file without pickled objects, but {path} cannot be "
            f"read: {error}. {_WHERE}"
        ) from error


def _nasbench201(path: Path, arrays: _Arrays) -> Table:
    beside = [path.with_name(f"{path.stem}_{part}.npz") for part in ("hw", "zc")]
    for file in beside:
        if file.exists():
            arrays = {**_beside(file, arrays), **arrays}
    columns = _columns(path, arrays)
    signals = _signals201(columns)
    architectures = _decoded(path, arrays, _cells201)
    space = nasbench201_space()
    full = len(architectures) == space.size
    return Table(
        name=path.stem,
        benchmark="NAS-Bench-201",
        space=space if full else PoolSpace(space, architectures),
        architectures=architectures,
        columns=columns,
        signals=signals,
        defaults={
            "signal": "c10valid_val_acc_200_avg",
            "quick": "c10valid_val_acc_12",
            "cost": "hwnas_c10_edgegpu_latency",
        },
        reports={
            "c10_": _TEST10,
            **{f"{data}_": f"{data}_test_acc_200_avg" for data in _data201(columns)},
            "c10valid_": _TEST10,
        },
    )


def _cells201(arrays: _Arrays) -> Iterable[Architecture]:
    names = arrays["op_names"].tolist()
    paths = [decision.path for decision in nasbench201_space().decisions]
    for code in arrays["op_code"].tolist():
        yield Architecture({p: names[o] for p, o in zip(paths, code, strict=True)})


def _data201(columns: Iterable[str]) -> list[str]:
    """The data sets that there are accuracies of, as the columns name them."""
    found = (re.fullmatch(r"(.+)_(?:val|test)_acc_(?:12|200_avg)", name) for name in columns)
    return sorted({match[1] for match in found if match})


def _signals201(columns: Mapping[str, Column]) -> dict[str, Signal]:
    """Accuracies after 12 epochs (a schedule of their own) and after 200, by data set and split.

    A training takes its epochs and one evaluation, as the paper's own code adds them up.
    """
    signals: dict[str, Signal] = {}
    for data in _data201(columns):
        epoch = columns.get(f"{data}_train_sec_per_epoch")
        evaluation = columns.get(f"{data}_eval_sec_per_epoch", 0.0)
        for split in ("val", "test"):
            named = {12: f"{data}_{split}_acc_12", 200: f"{data}_{split}_acc_200_avg"}
            rungs = [
                Rung(epochs, name, None if epoch is None else epochs * epoch + evaluation)
                for epochs, name in named.items()
                if name in columns
            ]
            signals |= {rung.column: Signal((*rungs[:i], rung)) for i, rung in enumerate(rungs)}
    return signals


def _nasbench101(path: Path, arrays: _Arrays) -> Table:
    columns = _columns(path, arrays)
    architectures = _decoded(path, arrays, _cells101)
    return Table(
        name=path.stem,
        benchmark="NAS-Bench-101",
        space=PoolSpace(nasbench101_space(), architectures),
        architectures=architectures,
        columns=columns,
        signals=_signals101(columns),
        defaults={
            "signal": "val_acc_108",
            "quick": "val_acc_12",
            "cost": "params",
        },
        reports={"val_acc": "val_acc_108"},
    )


def _cells101(arrays: _Arrays) -> Iterable[Architecture]:
    names = arrays["op_names"].tolist()
    starts, ends = np.triu_indices(_VERTICES, 1)
    for present, code, vertices in zip(
        arrays["adj_triu"].astype(bool),
        arrays["op_code"].tolist(),
        arrays["n_vertices"].tolist(),
        strict=True,
    ):
        edges = zip(starts[present].tolist(), ends[present].tolist(), strict=True)
        yield nasbench101_cell(edges, [names[o] for o in code[: vertices - 2]])


def _signals101(columns: Mapping[str, Column]) -> dict[str, Signal]:
    """Validation accuracy after 4, 12, 36 and 108 epochs, each a training of its own."""
    full = columns.get("train_time_108_sec")
    rungs: list[Rung] = []
    signals = {}
    for epochs in (4, 12, 36, 108):
        name = f"val_acc_{epochs}"
        if name in columns:
            rungs.append(Rung(epochs, name, None if full is None else full * epochs / 108))
            signals[name] = Signal(tuple(rungs))
    return signals


def _columns(path: Path, arrays: _Arrays) -> dict[str, Column]:
    """The numbers that are one a row."""
    rows = len(arrays["op_code"])
    columns = {
        name: array.astype(np.float64)
        for name, array in arrays.items()
        if array.shape == (rows,) and np.issubdtype(array.dtype, np.number)
    }
    if not rows or not columns:
        raise TaskError(
            f"A benchmark table has rows and columns of numbers, but {path} has {rows} rows and "
            f"{len(columns)} columns. {_WHERE}"
        )
    return columns


def _beside(path: Path, arrays: _Arrays) -> _Arrays:
    found = _load(path)
    if not np.array_equal(found.get("arch_str", ()), arrays["arch_str"]):
        raise TaskError(
            f"A table beside another has the same arch_str, row by row, but {path} has not. Put "
            "its rows in the same order, or move it away."
        )
    return found


def _decoded(
    path: Path, arrays: _Arrays, cells: Callable[[_Arrays], Iterable[Architecture]]
) -> list[Architecture]:
    try:
        return list(cells(arrays))
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise TaskError(
            f"A benchmark table codes a cell in each row, but {path} does not: {error}. {_WHERE}"
        ) from error
