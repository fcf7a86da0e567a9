"""A ladder before a search on NAS-Bench-201, by the clock of the table: many seeds in minutes.

``python benchmarks/ladder_tables.py --seeds 50`` spends a budget of the seconds that the table's
trainings took: the plain searches all of it, the others a quarter on a ladder (zero-cost proxies as
published, then trainings of 12 epochs with their own schedule), whose best five are tried first.
The signal is the validation accuracy on CIFAR-10 after 200 epochs, a mean over trainings; what is
reported is the test accuracy of the best by it. ``results/ladder-tables.json`` has every seed.
"""

from __future__ import annotations

import argparse
import json
from types import SimpleNamespace
from unittest import mock

import numpy as np
from _results import DATA, RESULTS, machine
from rich.console import Console
from rich.progress import track
from rich.table import Table as Printed
from scipy.stats import ttest_1samp

from ogive.bench import read
from ogive.bench._run import Protocol, run
from ogive.estimators import Ladder, Rung
from ogive.strategies import Auto, BayesianOptimization

PART = 0.25
TRIED = 5
PROXY_SECONDS = 0.26
"""synflow and naswot of a cell on one core: ``results/proxies.json``, medians."""

SIGNAL, REPORT = "c10valid_val_acc_200_avg", "c10_test_acc_200_avg"
PROXIES = ("c10_synflow", "c10_nwot")
FILE = RESULTS / "ladder-tables.json"


def climbed(table, seconds, seed):
    """Climbs while the table's clock runs, and says how long it took."""
    clock = SimpleNamespace(now=0.0)
    ranks, signal = table.features(PROXIES), table.signal(SIGNAL)
    short = signal.rungs[0]

    def proxies(architecture, _):
        clock.now += PROXY_SECONDS
        return dict(zip(PROXIES, ranks(architecture), strict=True))

    def train(architecture, _):
        row = table.row(architecture)
        clock.now += float(short.seconds[row])
        return {"accuracy": float(table.columns[short.column][row])}

    ladder = Ladder([Rung("proxies", proxies, PROXIES), Rung("12 epochs", train, "accuracy")])
    its = SimpleNamespace(monotonic=lambda: clock.now)
    with mock.patch("ogive.estimators._ladder.time", its):
        return ladder.climb(table.space, seconds=seconds, seed=seed), clock.now


WAYS = {
    "auto": lambda space, _table, first: Auto(space, fidelities=True, start_from=first),
    "auto, in full": lambda space, _table, first: Auto(space, start_from=first),
    "bo, proxies known": lambda space, table, first: BayesianOptimization(
        space, features=table.features(PROXIES), start_from=first
    ),
}


def one(table, way, laddered, budget, seed):
    found, spent = climbed(table, PART * budget, seed) if laddered else (None, 0.0)
    first = found.best[:TRIED] if found else ()
    protocol = Protocol("time", table.signal(SIGNAL), REPORT, budget - spent)
    trace = run(table, protocol, WAYS[way](table.space, table, first), seed)
    full = [row for row, whole in zip(trace.rows, trace.full, strict=True) if whole]
    row = {"way": way, "ladder": laddered, "budget": budget, "seed": seed, "full": len(full)}
    if found:
        steps = [(step.measured, step.dropped) for step in found.steps]
        agreement = found.steps[0].agreement
        row |= {"spent": round(spent), "steps": steps, "tau": agreement and agreement.tau}
    if full:
        best = max(full, key=lambda place: table.columns[SIGNAL][place])
        row["validation"] = float(table.columns[SIGNAL][best])
        row["test"] = float(table.columns[REPORT][best])
    return row


def show(rows):
    table = Printed("budget", "search", "alone", "after a ladder", "difference", "p")
    for budget in sorted({row["budget"] for row in rows}):
        for way in WAYS:
            values = {
                laddered: {
                    row["seed"]: row.get("test", np.nan)
                    for row in rows
                    if (row["budget"], row["way"], row["ladder"]) == (budget, way, laddered)
                }
                for laddered in (False, True)
            }
            both = [seed for seed in values[False] if seed in values[True]]
            if len(both) < 2:
                continue
            alone, after = (np.array([values[key][s] for s in both]) for key in (False, True))
            gains = after - alone
            said = [f"{v.mean():.3f} ± {v.std(ddof=1):.3f}" for v in (alone, after, gains)]
            table.add_row(f"{budget:g}", way, *said, f"{ttest_1samp(gains, 0).pvalue:.3g}")
    title = "test accuracy in %, mean ± standard deviation over seeds"
    Console(width=120).print(title, table)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--budget", type=float, nargs="+", default=[20_000.0, 60_000.0])
    given = parser.parse_args()
    table = read(DATA / "nb201.npz")
    known = json.loads(FILE.read_text())["rows"] if FILE.exists() else []
    done = {(row["way"], row["ladder"], row["budget"], row["seed"]) for row in known}
    for seed in track(range(given.seeds), "seeds", console=Console(stderr=True)):
        for budget in given.budget:
            for way in WAYS:
                for laddered in (False, True):
                    if (way, laddered, budget, seed) not in done:
                        known.append(one(table, way, laddered, budget, seed))
        lines = ",\n".join(json.dumps(row) for row in known)
        FILE.write_text(f'{{"machine": {json.dumps(machine())}, "rows": [\n{lines}\n]}}\n')
    show(known)


if __name__ == "__main__":
    main()
