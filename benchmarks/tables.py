"""Strategies on benchmark tables, many seeds each.

Run ``python benchmarks/tables.py SUITE --strategy random --strategy evolution --seeds 50``. What
was found stands in ``results/tables-SUITE.json``, a line a strategy, seed by seed: seeds that are
there are not run again, others are added, and a run that was stopped goes on. To measure a
strategy anew after it was changed, ask for other seeds with ``--seed``, or take out its line.
"""

from __future__ import annotations

import json
import math
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import numpy as np
from _results import DATA, RESULTS, machine
from rich.console import Console
from rich.progress import track
from rich.table import Table as Printed

from ogive.bench import Comparison, Table, compare, read

SUITES: dict[str, dict[str, Any]] = {
    # Validation accuracy as the signal, test accuracy reported.
    "nb201": {"table": "nb201", "queries": 300, "at": (25, 50, 100, 200)},
    # CIFAR-100, whose signal is a short training.
    "nb201-c100": {
        "table": "nb201",
        "queries": 300,
        "at": (25, 50, 100, 200),
        "signal": "c100_val_acc_12",
    },
    # A signal as noisy as one training is.
    "nb201-one-seed": {
        "table": "nb201",
        "queries": 300,
        "at": (25, 50, 100, 200),
        "signal": "c10valid_test_acc_200_seed888",
    },
    # The paper's own protocol.
    "nb201-time": {"table": "nb201", "protocol": "time", "seconds": 12_000, "at": (3000, 6000)},
    # Accuracy and the latency of an edge GPU.
    "nb201-front": {
        "table": "nb201",
        "protocol": "objectives",
        "queries": 200,
        "at": (50, 100),
    },
    "nb101": {"table": "nb101_20k", "queries": 300, "at": (25, 50, 100, 200)},
    # Short trainings pay: after 4, 12, 36 and 108 epochs.
    "nb101-epochs": {"table": "nb101_20k", "queries": 50, "at": (5, 20)},
}
BATCH = 10
"""Seeds after which what was found is written down."""


def load(suite: str) -> dict[str, dict[str, Any]]:
    """The lines of a suite by their strategies."""
    path = RESULTS / f"tables-{suite}.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    return {row["strategy"]: row for row in rows}


def save(suite: str, rows: dict[str, dict[str, Any]]) -> None:
    lines = ",\n".join(json.dumps(row) for row in rows.values())
    (RESULTS / f"tables-{suite}.json").write_text(f"[\n{lines}\n]\n")


def add(rows: dict[str, dict[str, Any]], name: str, comparison: Comparison) -> None:
    """Joins the seeds of a comparison to those of its strategy that are known."""
    row = rows.setdefault(name, {"strategy": name, "at": comparison.at, "seeds": {}})
    curves = comparison.curves[name]
    signals, reports = zip(*(curves.each(spent) for spent in comparison.at), strict=True)
    best, top = (curves.until(g) for g in (comparison.goal.signal, comparison.goal.top))
    for place, seed in enumerate(comparison.seeds):
        row["seeds"][str(seed)] = {
            "signal": [rounded(signal[place]) for signal in signals],
            "report": [rounded(report[place]) for report in reports],
            "until": [rounded(top[place]), rounded(best[place])],
            "ms": round(1000 * comparison.traces[name][place].thinking, 3),
        }
    row["goal"] = rounded(comparison.goal.signal)
    row["machine"] = machine()


def rounded(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def measure(
    suite: str, table: Table, strategies: list[str], seeds: range, workers: int | None
) -> None:
    """Runs what is missing, and writes it down after every few seeds."""
    settings = {name: value for name, value in SUITES[suite].items() if name != "table"}
    for name in strategies:
        known = load(suite).get(name, {"seeds": {}})["seeds"]
        missing = [seed for seed in seeds if str(seed) not in known]
        batches = [missing[i : i + BATCH] for i in range(0, len(missing), BATCH)]
        for some in track(batches, name, console=Console(stderr=True)):
            comparison = compare(table, [name], seeds=some, workers=workers, **settings)
            rows = load(suite)  # Another run may have written meanwhile.
            add(rows, name, comparison)
            save(suite, rows)


def printed(suite: str, wanted: range | None = None) -> Printed:
    """Means and standard errors of all that is known of a suite, or of some seeds."""
    rows = load(suite)
    front = SUITES[suite].get("protocol") == "objectives"
    marks = [f"{mark:g}" for mark in next(iter(rows.values()))["at"]] if rows else []
    shown = "hypervolume" if front else "regret"
    heads = ["strategy", "seeds", *(f"{shown} {m}" for m in marks), f"reported {marks[-1]}"]
    table = Printed(*heads, "best 16", "best", "ms", title=suite)
    for row in rows.values():
        runs = [run for seed, run in row["seeds"].items() if wanted is None or int(seed) in wanted]
        if runs:
            table.add_row(row["strategy"], str(len(runs)), *figures(row["goal"], runs, front))
    return table


def figures(goal: float, runs: list[dict[str, Any]], front: bool) -> Iterator[str]:
    signal, report = (np.array([run[k] for run in runs], float) for k in ("signal", "report"))
    for values in (signal if front else goal - signal).T:
        yield mean(values)
    yield mean(report[:, -1])
    until = np.array([run["until"] for run in runs], float)
    for spent in np.median(np.where(np.isnan(until), np.inf, until), axis=0):
        yield f"{spent:.0f}" if math.isfinite(spent) else "–"
    yield f"{np.mean([run['ms'] for run in runs]):.2f}"


def mean(values: np.ndarray) -> str:
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{values.mean():.4f} ± {error:.4f}"


def main() -> None:
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--strategy", action="append", default=[])
    parser.add_argument("--seeds", type=int, default=50, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--workers", type=int)
    asked = parser.parse_args()
    seeds = range(asked.seed, asked.seed + asked.seeds)
    if asked.strategy:
        table = read(DATA / f"{SUITES[asked.suite]['table']}.npz")
        measure(asked.suite, table, asked.strategy, seeds, asked.workers)
    console = Console()
    console.width = max(console.width, 150)  # a table in a file is not squeezed into 80 columns
    console.print(printed(asked.suite, seeds if asked.strategy else None))


if __name__ == "__main__":
    main()
