"""Do our zero-cost proxies rank the cells of NAS-Bench-201 as the published ones do?

``python benchmarks/proxies.py`` measures 300 random cells on real images, one thread a process,
and writes ``results/proxies.json``: a proxy's Spearman correlation with the published column,
with the accuracy (ours and the published), with itself on other weights, and the seconds that a
cell takes on one core.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch
from _results import DATA, record
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
TIMED = 20
"""So many are measured once more, one after the other, for the seconds."""


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


def cell(text: str, size: int, seed: int) -> dict[str, tuple[float, float]]:
    """The value of each proxy, and the seconds of the processor that it took."""
    torch.set_num_threads(1)
    network, data, found = nasbench201.from_string(text, classes=10), batch(size), {}
    for name in PROXIES:
        begun = time.process_time()
        value = proxies(network, data, [name], seed=seed)[name]
        found[name] = value, time.process_time() - begun
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
    texts = [str(published["arch_str"][row]) for row in rows]
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(cell, t, given.samples, int(r)) for t, r in zip(texts, rows)]  # noqa: B905
        others = [
            pool.submit(cell, t, given.samples, 10**6 + i) for i, t in enumerate(texts[:AGAIN])
        ]
        measured, again = ([job.result() for job in part] for part in (jobs, others))
    alone = [cell(text, given.samples, 0) for text in texts[:TIMED]]
    accuracy = accuracies[rows]
    values = {name: np.array([m[name][0] for m in measured]) for name in PROXIES}
    figures = []
    for name, ours in values.items():
        seconds = np.array([m[name][1] for m in alone])
        figure = {
            "proxy": name,
            "accuracy": spearman(ours, accuracy),
            "other_weights": spearman(ours[:AGAIN], np.array([m[name][0] for m in again])),
            "seconds_mean": round(float(seconds.mean()), 4),
            "seconds_max": round(float(seconds.max()), 4),
        }
        column = PUBLISHED.get(name, f"c10_{name}")
        if column in published:
            theirs = published[column][rows]
            figure["published"] = spearman(ours, theirs)
            figure["accuracy_published"] = spearman(theirs, accuracy)
        figures.append(figure)
    joined = aggregate_ranks({name: values[name] for name in JOINED})
    figures.append({"proxy": " + ".join(JOINED), "accuracy": spearman(joined, accuracy)})
    show(figures)
    record("proxies", [{**vars(given), "figures": figures}])


def show(figures: list[dict[str, object]]) -> None:
    columns = [
        "proxy", "published", "accuracy", "accuracy_published", "other_weights",
        "seconds_mean", "seconds_max",
    ]  # fmt: skip
    table = Table(*columns, title="Spearman correlations, and seconds a cell")
    for figure in figures:
        table.add_row(*(str(figure.get(column, "")) for column in columns))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
