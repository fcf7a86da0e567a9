"""Do our zero-cost proxies rank the cells of NAS-Bench-201 as the published ones do?

``python benchmarks/proxies.py`` measures 300 random cells on real images, one thread a process.
``results/proxies.json`` has what was measured, cell by cell: what is missing is added, and a run
that was stopped goes on. Its figures are a proxy's Spearman correlation with the published column,
with the accuracy (ours and the published), with itself on other weights, and the seconds of the
processor that a cell takes.

The published columns were measured from one seed for all cells, which then share the weights of
their first layers. How much hangs on that seed is told of those that do not rank as published:
40 cells, from each of six seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import combinations
from multiprocessing import get_context

import numpy as np
import torch
from _results import DATA, RESULTS, machine
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from ogive.estimators import PROXIES, Batch, aggregate_ranks, proxies
from ogive.spaces import nasbench201

PUBLISHED = {"macs": "c10_flops", "naswot": "c10_nwot"}
"""Columns that have another name than ``c10_`` and the proxy's."""

JOINED = ("synflow", "naswot", "zico", "macs")
ACCURACY = "c10_test_acc_200_avg"
AGAIN = 60
"""So many cells are measured with other weights, too."""

UNLIKE = ("grasp", "plain")
SHARED_SEEDS, SHARED_CELLS = 6, 40
"""The proxies that do not rank as published; of them, seeds that are the same for all cells."""

FILE = RESULTS / "proxies.json"


def batch(size: int) -> Batch:
    """The first images of CIFAR-10's training half, normalised by their own statistics."""
    file = np.load(DATA / "cifar10_32x32_512.npz", allow_pickle=False)
    images = torch.from_numpy(file["x"]).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (f(images) for f in (_mean, _deviation))
    targets = torch.from_numpy(file["y"].astype(np.int64))
    return Batch(((images - mean) / deviation)[:size], targets[:size])


def _mean(images: torch.Tensor) -> torch.Tensor:
    return images.mean((0, 2, 3), keepdim=True)


def _deviation(images: torch.Tensor) -> torch.Tensor:
    return images.std((0, 2, 3), keepdim=True)


def cell(
    text: str, size: int, seed: int, names: tuple[str, ...] = tuple(PROXIES)
) -> dict[str, tuple[float, float]]:
    """The value of each proxy, and the seconds of the processor that it took."""
    torch.set_num_threads(1)
    network, data, found = nasbench201.from_string(text, classes=10), batch(size), {}
    for name in names:
        begun = time.process_time()
        value = proxies(network, data, [name], seed=seed)[name]
        found[name] = float(f"{value:.7g}"), round(time.process_time() - begun, 4)
    return found


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return round(float(spearmanr(a, b)[0]), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    published = np.load(DATA / "nb201_zc.npz", allow_pickle=False)
    accuracies = np.load(DATA / "nb201.npz", allow_pickle=False)[ACCURACY]
    alive = np.flatnonzero(published["unique_reachable"])
    rows = np.random.default_rng(given.seed).choice(alive, given.cells, replace=False)
    # The row is the seed of its weights; with others it is measured after all of them.
    jobs = {f"{row}": (row, int(row), tuple(PROXIES)) for row in rows}
    jobs |= {f"{row} again": (row, 10**6 + int(row), tuple(PROXIES)) for row in rows[:AGAIN]}
    jobs |= {
        shared(row, seed): (row, seed, UNLIKE)
        for seed in range(SHARED_SEEDS)
        for row in rows[:SHARED_CELLS]
    }
    known = json.loads(FILE.read_text())["cells"] if FILE.exists() else {}
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        running = {
            pool.submit(cell, str(published["arch_str"][row]), given.samples, seed, names): key
            for key, (row, seed, names) in jobs.items()
            if key not in known
        }
        for done, job in enumerate(as_completed(running), 1):
            known[running[job]] = job.result()
            if done % 10 == 0 or done == len(running):
                figures = summary(rows, known, published, accuracies)
                stated = {**vars(given), "machine": machine(), "figures": figures}
                FILE.write_text(json.dumps({**stated, "cells": known}))
    show(summary(rows, known, published, accuracies))


def shared(row: int, seed: int) -> str:
    """The name of what is measured of a cell from a seed that all cells have."""
    return f"{row} from {seed}"


def by_seed(
    name: str,
    rows: np.ndarray,
    known: dict[str, dict[str, tuple[float, float]]],
    theirs: np.ndarray,
) -> dict[str, object]:
    """How seeds that all cells share rank beside each other, and beside the published column."""
    rows = rows[:SHARED_CELLS]
    if any(shared(row, SHARED_SEEDS - 1) not in known for row in rows):
        return {}
    values = [
        np.array([known[shared(row, seed)][name][0] for row in rows])
        for seed in range(SHARED_SEEDS)
    ]
    return {
        "one_seed_with_another": [spearman(a, b) for a, b in combinations(values, 2)],
        "one_seed_with_the_published": [spearman(a, theirs[:SHARED_CELLS]) for a in values],
    }


def summary(
    rows: np.ndarray, known: dict[str, dict[str, tuple[float, float]]], published, accuracies
) -> list[dict[str, object]]:
    """Figures of what is known so far."""
    twice = [row for row in rows if f"{row}" in known and f"{row} again" in known]
    rows = np.array([row for row in rows if f"{row}" in known])
    accuracy = accuracies[rows]
    values = {name: np.array([known[f"{row}"][name][0] for row in rows]) for name in PROXIES}
    figures: list[dict[str, object]] = []
    for name, ours in values.items():
        seconds = np.array([known[f"{row}"][name][1] for row in rows])
        figure: dict[str, object] = {"proxy": name, "cells": len(rows)}
        column = PUBLISHED.get(name, f"c10_{name}")
        if column in published:
            theirs = published[column][rows]
            figure["published"] = spearman(ours, theirs)
            figure["accuracy_published"] = spearman(theirs, accuracy)
            if name in UNLIKE:
                figure |= by_seed(name, rows, known, theirs)
        figure["accuracy"] = spearman(ours, accuracy)
        pairs = [[known[f"{row}{end}"][name][0] for row in twice] for end in ("", " again")]
        if len(twice) > 2:
            figure["other_weights"] = spearman(*map(np.array, pairs))
        figure["seconds_median"] = round(float(np.median(seconds)), 4)
        figure["seconds_95th"] = round(float(np.quantile(seconds, 0.95)), 4)
        figures.append(figure)
    joined = aggregate_ranks({name: values[name] for name in JOINED})
    name = " + ".join(JOINED)
    figures.append({"proxy": name, "cells": len(rows), "accuracy": spearman(joined, accuracy)})
    return figures


def show(figures: list[dict[str, object]]) -> None:
    columns = [
        "proxy", "cells", "published", "accuracy", "accuracy_published", "other_weights",
        "seconds_median", "seconds_95th",
    ]  # fmt: skip
    table = Table(*columns, title="Spearman correlations, and seconds a cell")
    for figure in figures:
        table.add_row(*(str(figure.get(column, "")) for column in columns))
    console = Console(width=120)
    console.print(table)
    for figure in figures:
        for pair in (key for key in figure if key.startswith("one_seed")):
            ranks = np.array(figure[pair])
            console.print(
                f"{figure['proxy']}, {pair.replace('_', ' ')}: {ranks.mean():.2f} "
                f"({ranks.min():.2f} to {ranks.max():.2f})"
            )


if __name__ == "__main__":
    main()
