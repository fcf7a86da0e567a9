"""Does a ladder before a search find better networks in the same time?

``python benchmarks/ladder.py digits --budget 75 --seeds 3`` runs, for each seed, the plain search
and one that spends a part of the same time on a ladder (zero-cost proxies, then an epoch), whose
best are tried first. They take turns, and the seed says which begins, so that what else the machine
does falls on both. Both run in this process, on one core, so that no time goes to the start of
workers. ``print`` sums up ``results/ladder.json``: means, spreads, and the paired differences. The
test split is opened once a search, by its final network.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _results import DATA, RESULTS, outcome, record
from rich.console import Console
from rich.table import Table
from scipy.stats import ttest_1samp
from torch import nn

import ogive
from ogive import task
from ogive.estimators import Ladder, Rung, Training, ZeroCost
from ogive.nn import ConvBNAct, Head

PART = 0.3
"""The share of the time that the ladder takes."""

TRIED = 5
"""Of its best, how many the search begins with."""


def network(choose, data):
    """Small convolutional networks, so that a minute is enough for some dozens."""
    width = choose.integer("width", 2, 24)

    def block(choose, i):
        kernel = choose.value("kernel", (1, 3, 5))
        return ConvBNAct(width if i else data.channels, width, kernel, stride=2 if i == 1 else 1)

    return nn.Sequential(choose.repeat("blocks", (1, 2, 3), block), Head(width, data.outputs))


def problem(name):
    if name == "mnist":
        return task.load(DATA / "mnist_train_20k.npz", test=DATA / "mnist_t10k.npz")
    return task.load(name)


def climbed(network, data, seconds, seed):
    recipe = ogive.Recipe.default(data)
    epoch = Training(network, data, recipe, epochs=1)
    proxies = ["synflow", "naswot"]
    ladder = Ladder(
        [
            Rung("proxies", ZeroCost(network, data, proxies), proxies),
            Rung("an epoch", epoch, data.metric),
        ]
    )
    return ladder.climb(ogive.record(network, data), seconds=seconds, seed=seed)


def one(way, name, budget, seed, folder):
    data = problem(name)
    begun = time.time()
    first, row = [], {}
    if way == "ladder":
        found = climbed(network, data, PART * budget, seed)
        first = found.best[:TRIED]
        row = {
            "ladder_seconds": round(time.time() - begun, 1),
            "notes": list(found.notes),
            "steps": [
                {
                    "name": step.name,
                    "seconds": round(step.seconds, 4),
                    "measured": step.measured,
                    "failed": step.failed,
                    "tau": step.agreement and round(step.agreement.tau, 3),
                    "chance": step.agreement and step.agreement.chance,
                    "dropped": step.dropped,
                }
                for step in found.steps
            ],
        }
    left = budget - (time.time() - begun)
    result = ogive.search(
        network,
        data,
        budget=left,
        start_from=first,
        seed=seed,
        out=folder,
        executor=ogive.SerialExecutor(),
        workers=1,
    )
    return {
        "data": name,
        "way": way,
        "budget": budget,
        "seed": seed,
        "seconds": round(time.time() - begun, 1),
        **outcome(result, data.metric),
        **row,
    }


def print_figures():
    rows = json.loads((RESULTS / "ladder.json").read_text())
    table = Table("data", "budget", "way", "seeds", "test", "validation", "trials", "seconds")
    console = Console(width=120)
    for data, budget in sorted({(row["data"], row["budget"]) for row in rows}):
        same = [row for row in rows if (row["data"], row["budget"]) == (data, budget)]
        for way in ("plain", "ladder"):
            some = [row for row in same if row["way"] == way]
            spread = {
                key: f"{np.mean(v):.4f} ± {np.std(v, ddof=1):.4f}" if len(v) > 1 else f"{v[0]:.4f}"
                for key in ("test", "validation")
                if (v := [row[key] for row in some])
            }
            means = [f"{np.mean([row[key] for row in some]):.0f}" for key in ("trials", "seconds")]
            table.add_row(data, str(budget), way, str(len(some)), *spread.values(), *means)
        pairs = {row["seed"]: {} for row in same}
        for row in same:
            pairs[row["seed"]][row["way"]] = row["test"]
        gains = [pair["ladder"] - pair["plain"] for pair in pairs.values() if len(pair) == 2]
        if len(gains) > 1:
            chance = ttest_1samp(gains, 0).pvalue
            spread = np.std(gains, ddof=1)
            console.print(
                f"{data}, {budget} s: ladder - plain on the test split {np.mean(gains):+.4f} ± "
                f"{spread:.4f} over {len(gains)} seeds, p = {chance:.2f}"
            )
    console.print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=["digits", "mnist", "print"])
    parser.add_argument("--budget", type=float, default=75.0, help="seconds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    if given.data != "print":
        torch.set_num_threads(1)
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # or a search takes all cores
        # The first training of a process takes seconds more than the others.
        data = problem(given.data)
        Training(network, data, ogive.Recipe.default(data), epochs=1)(
            ogive.record(network, data).complete({}), ogive.Run()
        )
        for seed in range(given.first, given.first + given.seeds):
            for way in ("plain", "ladder") if seed % 2 else ("ladder", "plain"):
                with tempfile.TemporaryDirectory() as folder:
                    row = one(way, given.data, given.budget, seed, Path(folder) / "run")
                record("ladder", [row])
                Console().print({k: v for k, v in row.items() if k != "architecture"})
    print_figures()


if __name__ == "__main__":
    main()
