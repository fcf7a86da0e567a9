"""Strategies on a space of more than 10^20 architectures, with conditions and reals.

Run ``python benchmarks/synthetic.py --strategy bo --strategy local --seeds 50``, and with
``--workers 8`` to see what it costs that eight trials run at once: those that run are not known
when the next is proposed. ``--long`` goes on to 2,000 trials, and ``--noise 0.05`` adds to what is
told, not to what is reported of the best by it. The optimum is known (1), so the figures are
regrets. What was found stands in ``results/synthetic.json``; seeds that are there are not run again.
"""

import json
import math
import time
from argparse import ArgumentParser
from collections import deque
from random import Random

import numpy as np
from _results import RESULTS, machine
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ogive.strategies import by_name
from ogive.testing import ended, running, synthetic
from ogive.trial import Trial

PATH = RESULTS / "synthetic.json"
PROBLEM = synthetic(20)
AT = (25, 50, 100, 200, 300)
LONG = (300, 500, 1000, 2000)


def run(name, seed, workers, noise, at):
    """The regret after each of so many ended trials, and milliseconds a proposal."""
    luck = Random(f"{seed}: noise")
    strategy = by_name(name, PROBLEM.space)
    out: deque[Trial] = deque()
    best, regrets, begun, thinking = (-math.inf, 0.0), [], 0, 0.0
    while len(regrets) < at[-1]:
        clock = time.perf_counter()
        proposals = strategy.ask(workers - len(out), Random(f"{seed}:{begun}"))
        for proposal in proposals:
            out.append(running(begun, proposal))
            strategy.tell(out[-1])
            begun += 1
        thinking += time.perf_counter() - clock
        trial = out.popleft()  # the one that has run for longest
        value = PROBLEM.value(trial.architecture, 1.0)
        told = value + luck.gauss(0, noise) if noise else value
        strategy.tell(ended(trial, told))
        best = max(best, (told, value))
        regrets.append(PROBLEM.optimum - best[1])
    return [round(regrets[trials - 1], 5) for trials in at], round(1e3 * thinking / begun, 3)


def measure(name, seeds, workers, noise, at):
    key = f"{name} x{workers}"
    key += f", noise {noise:g}" if noise else ""
    key += ", long" if at == LONG else ""
    for seed in track(seeds, key, console=Console(stderr=True)):
        if str(seed) in read().get(key, {"regret": {}})["regret"]:
            continue
        regret, ms = run(name, seed, workers, noise, at)
        rows = read()  # Another run may have written meanwhile.
        known = rows.setdefault(key, {"regret": {}, "ms": {}})
        known["regret"][str(seed)], known["ms"][str(seed)] = regret, ms
        known["machine"] = machine()
        PATH.write_text(json.dumps(rows))


def read():
    return json.loads(PATH.read_text()) if PATH.exists() else {}


def printed(at):
    table = Table("strategy", "seeds", *map(str, at), "ms", title="regret after so many trials")
    for name, row in read().items():
        if name.endswith("long") != (at == LONG):
            continue
        regrets = np.array(list(row["regret"].values()))
        errors = regrets.std(axis=0, ddof=1) / math.sqrt(len(regrets))
        cells = [f"{m:.3f} ± {e:.3f}" for m, e in zip(regrets.mean(axis=0), errors, strict=True)]
        table.add_row(
            name, str(len(regrets)), *cells, f"{np.median(list(row['ms'].values())):.2f}"
        )
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)


def main():
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--strategy", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=50, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--noise", type=float, default=0.0, help="the standard deviation")
    parser.add_argument("--long", action="store_true", help="2,000 trials")
    given = parser.parse_args()
    at = LONG if given.long else AT
    for name in given.strategy:
        seeds = range(given.seed, given.seed + given.seeds)
        measure(name, seeds, given.workers, given.noise, at)
    printed(at)


if __name__ == "__main__":
    main()
