"""Draws the curves of docs/strategies.md from what tables.py recorded: python benchmarks/figures.py

Needs matplotlib (``pip install 'ogive[figures]'``). One picture a suite, ``docs/figures/SUITE.svg``:
the mean over seeds, and a standard error to either side.
"""

import json
from collections import Counter
from pathlib import Path

import matplotlib as mpl
import numpy as np
from _results import RESULTS
from matplotlib import pyplot as plt

FOLDER = Path(__file__).parents[1] / "docs" / "figures"

SUITES = {
    "nb201": ("regret of validation accuracy, points", "trainings"),
    "nb201-c100": ("regret of validation accuracy after 12 epochs, points", "trainings"),
    "nb201-one-seed": ("regret of one noisy training, points", "trainings"),
    "nb201-time": ("regret of validation accuracy after 12 epochs, points", "simulated seconds"),
    "nb201-front": ("hypervolume missing", "trainings"),
    "nb101": ("regret of validation accuracy", "trainings"),
    "nb101-epochs": ("regret of validation accuracy", "full trainings' worth of epochs"),
}

COLOURS = {
    "random": "C0",
    "evolution": "C1",
    "local": "C2",
    "bo": "C3",
    "mobo": "C4",
    "reinforce": "C5",
    "ppo": "C6",
    "nsga2": "C7",
    "asha": "C8",
    "hyperband": "C9",
    "bohb": "navy",
    "optuna": "black",
    "bananas": "gold",
    "npenas": "deeppink",
    "auto": "darkslategray",
    "tpe": "olive",
    "grid": "silver",
}
"""One colour for a strategy in all pictures."""

LINES = ("-", "--", ":", "-.", (0, (1, 3)))
"""One for each setting of a strategy in a picture, in the order of its results."""

FEW = 8
"""Of more strategies the names stand beside the picture."""


def drawn(suite, measure, spent):
    rows = json.loads((RESULTS / f"tables-{suite}.json").read_text())
    many = len(rows) > FEW
    figure, axes = plt.subplots(figsize=(8.4, 5.2) if many else (6.4, 3.8), layout="constrained")
    seen = Counter()
    for row in rows:
        values = np.array([run["signal"] for run in row["seeds"].values()])
        missing = row["goal"] - values
        mean = missing.mean(axis=0)
        error = missing.std(axis=0, ddof=1) / np.sqrt(len(missing))
        label = f"{row['strategy'].replace('c10_', '')} ({len(missing)})"
        name = row["strategy"].partition(":")[0]
        line = LINES[seen[name]]
        seen[name] += 1
        style = {"color": COLOURS[name], "marker": "o", "ms": 3, "capsize": 2, "ls": line}
        below = np.minimum(error, 0.9 * mean)  # A logarithmic axis would go on down to nothing.
        axes.errorbar(row["at"], mean, yerr=(below, error), label=label, **style)
    axes.set(xscale="log", yscale="log", xlabel=spent, ylabel=measure)
    axes.set_xticks(rows[0]["at"], [f"{mark:g}" for mark in rows[0]["at"]], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    beside = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if many else {}
    axes.legend(fontsize=8, frameon=False, title="strategy (seeds)", title_fontsize=8, **beside)
    figure.savefig(FOLDER / f"{suite}.svg", metadata={"Date": None})
    plt.close(figure)


def main():
    mpl.rcParams.update({"svg.hashsalt": "ogive", "svg.fonttype": "none", "font.size": 9})
    FOLDER.mkdir(exist_ok=True)
    for suite, (measure, spent) in SUITES.items():
        if (RESULTS / f"tables-{suite}.json").exists():
            drawn(suite, measure, spent)


if __name__ == "__main__":
    main()
