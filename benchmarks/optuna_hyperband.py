"""Optuna's TPE with its Hyperband pruner on NAS-Bench-101's short trainings, as its users run it.

Run ``python benchmarks/optuna_hyperband.py``; beside ``tables.py nb101-epochs``. A trial reports its
validation accuracy after 4, 12, 36 and 108 epochs and is asked each time whether to go on; what it
trained is spent. Most suggestions are cells that the table does not hold: the nearest that it holds
is trained. What counts is the best of those that were trained in full.
"""

import json
import math
from argparse import ArgumentParser
from random import Random

import numpy as np
import optuna
from _results import DATA, RESULTS, machine
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ogive.bench import read

AT = (5, 20, 50)


def run(table, signal, seed):
    """The regret after as many full trainings' worth of epochs."""
    epochs = [rung.epochs for rung in signal.rungs]
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.HyperbandPruner(
            min_resource=int(epochs[0]), max_resource=int(epochs[-1]), reduction_factor=3
        ),
    )
    rng, spent, best, found = Random(seed), 0.0, -math.inf, []
    top = float(np.nanmax(table.columns[signal.column]))
    while spent < AT[-1] * epochs[-1]:
        trial = study.ask()
        row = table.row(suggested(table.space, trial, rng))
        before = 0.0
        for rung in signal.rungs:
            spent, before = spent + rung.epochs - before, rung.epochs
            value = float(table.columns[rung.column][row])
            trial.report(value, int(rung.epochs))
            if rung is signal.rungs[-1]:
                study.tell(trial, value)
                if spent <= AT[-1] * epochs[-1]:
                    best = max(best, value)
            elif trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        found.append((spent / epochs[-1], best))
    return [top - max((b for s, b in found if s <= at), default=math.nan) for at in AT]


def suggested(space, trial, rng):
    """The cell that is suggested, or the nearest that the table holds."""

    def decide(decision):
        places = range(len(decision.options))
        return decision.options[trial.suggest_categorical(decision.path, places)]

    architecture = space.walk(decide)
    if space.reason_invalid(architecture) is None:
        return architecture
    return next(space.neighbours(architecture, rng))


def main():
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=50)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = read(DATA / "nb101_20k.npz")
    signal = table.signal(table.defaults["signal"])
    seeds = track(range(given.seeds), "seeds", console=Console(stderr=True))
    regrets = np.array([run(table, signal, seed) for seed in seeds])
    row = {"at": AT, "regret": regrets.round(6).tolist(), "machine": machine()}
    (RESULTS / "optuna-hyperband.json").write_text(json.dumps(row))
    printed = Table("", *map(str, AT), title=f"regret, {given.seeds} seeds")
    means, errors = np.nanmean(regrets, axis=0), np.nanstd(regrets, axis=0, ddof=1)
    cells = zip(means, errors / math.sqrt(len(regrets)), strict=True)
    printed.add_row("TPE, Hyperband pruner", *(f"{m:.4f} ± {e:.4f}" for m, e in cells))
    Console().print(printed)


if __name__ == "__main__":
    main()
