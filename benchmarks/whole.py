"""Whole searches at equal wall time: python benchmarks/whole.py mnist --budget 600 --seeds 3

The space of ``supernet.py`` (1,536 small networks, no reference among them) on 20,000 digits of MNIST
and its official test split, on all cores. Every way gets the same seconds, everything included, and ends with one
trained network, for which the test split is opened once:

- ``random``, ``evolution``, ``asha``, ``bo``, ``auto``: ``ogive.search`` with that strategy;
- ``supernet``: shared weights are trained for 40 % of the time by one path a step (SPOS: an epoch of the
  default, ``fairnas``, is four times as long), evolution searches with them for 10 %, and in the rest a
  search begins with the five best of that;
- ``ladder``: 20 % go to proxies and trainings of one epoch, then a search begins with the five best.

What was found stands in ``results/whole.json``; what is there is not run again, and ``print`` sums up.
"""

import argparse
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _results import RESULTS, outcome, record
from ladder import climbed, problem
from rich.console import Console
from rich.table import Table
from supernet import network

import ogive
from ogive.estimators import Run
from ogive.oneshot import Inherited, train_supernet
from oneshot import PRECISION, searched

PATH = RESULTS / "whole.json"
STRATEGIES = ("random", "evolution", "asha", "bo", "auto")
WAYS = (*STRATEGIES, "supernet", "ladder")
TRIED = 5
"""Of what a way prefers, how many the search begins with."""


def by_shared_weights(data, seconds, seed):
    """Trains shared weights for four fifths of the time, and searches with them in the rest."""
    begun, recipe = time.time(), ogive.Recipe.default(data)
    run = Run(seed=seed, threads=os.cpu_count() or 1)
    train = partial(train_supernet, network, data, method="spos", run=run, precision=PRECISION)
    once = time.time()
    train(recipe=recipe.replace(epochs=1))
    epoch = time.time() - once
    epochs = max(1, int((0.8 * seconds - epoch) / epoch))
    supernet = train(recipe=recipe.replace(epochs=epochs))
    left = max(1.0, seconds - (time.time() - begun))
    tried = searched(supernet.space, "evolution", Inherited(supernet, data), left, seed)
    return tried[:TRIED], f"{epochs} epochs shared, {len(tried)} looked at"


def by_ladder(data, seconds, seed):
    found = climbed(network, data, seconds, seed)
    return found.best[:TRIED], f"{[step.measured for step in found.steps]} measured"


def one(way, name, budget, seed, folder):
    data, begun = problem(name), time.time()
    first, note, strategy = [], "", way
    if way not in STRATEGIES:
        share, prepare = (0.5, by_shared_weights) if way == "supernet" else (0.2, by_ladder)
        first, note = prepare(data, share * budget, seed)
        strategy = "auto"
    result = ogive.search(
        network,
        data,
        budget=budget - (time.time() - begun),
        strategy=strategy,
        start_from=first,
        seed=seed,
        out=folder,
    )
    return {
        "data": name,
        "way": way,
        "budget": budget,
        "seed": seed,
        "seconds": round(time.time() - begun, 1),
        "note": note,
        **outcome(result, data.metric),
    }


def known():
    return json.loads(PATH.read_text()) if PATH.exists() else []


def printed():
    table = Table("data", "budget", "way", "seeds", "test", "validation", "trials", "what else")
    cells = {}
    for row in known():
        cells.setdefault((row["data"], row["budget"], row["way"]), []).append(row)
    for (name, budget, way), rows in cells.items():
        figures = [spread([row[key] for row in rows]) for key in ("test", "validation")]
        trials = f"{np.mean([row['trials'] for row in rows]):.0f}"
        table.add_row(name, f"{budget:g}", way, str(len(rows)), *figures, trials, rows[0]["note"])
    console = Console()
    console.width = max(console.width, 130)
    console.print(table)


def spread(values):
    deviation = f" ± {100 * np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.2f}{deviation}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", choices=["digits", "mnist", "print"])
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--budget", type=float, default=600.0, help="seconds")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    for seed in range(given.seeds if given.data != "print" else 0):
        for way in given.way or WAYS:
            cell = (given.data, given.budget, way, seed)
            if cell in [(r["data"], r["budget"], r["way"], r["seed"]) for r in known()]:
                continue
            with tempfile.TemporaryDirectory() as folder:
                row = one(way, given.data, given.budget, seed, Path(folder) / "run")
            record("whole", [row])
            Console(stderr=True).print({k: v for k, v in row.items() if k != "architecture"})
    printed()


if __name__ == "__main__":
    main()
