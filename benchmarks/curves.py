"""How well the end of a learning curve is foreseen: python benchmarks/curves.py [--seconds 200].

Random architectures of the default space of tables are trained on scikit-learn's digits as a table
of 64 columns, epoch by epoch as a search trains them, for as long as there is time; the curves stand in ``results/curves.json``. Then the search is
played again in that order: at each epoch of each training, how probable is it that it ends above
the best of those before it? Stated probabilities are compared with what happened.
"""

import argparse
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import torch
from _results import RESULTS, machine
from sklearn.datasets import load_digits

from ogive import nn, spaces
from ogive import task as tasks
from ogive.estimators import Curve, Recipe, Run, Training, chance_to_beat, final_value

EPOCHS = 8
BINS = (0.0, 0.05, 0.2, 0.5, 0.8, 1.0)
STOP = (0.01, 0.05, 0.1)
"""Probabilities below which a training would have been stopped."""


def recorded(seconds):
    torch.set_num_threads(1)
    task = tasks.load(load_digits(return_X_y=True))
    network = spaces.default(task)
    space, rng, end = nn.record(network, task), Random(0), time.monotonic() + seconds
    training = Training(network, task, Recipe.default(task), epochs=EPOCHS)
    curves = []
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = training(space.sample(rng), Run(seed=len(curves), folder=Path(folder)))
            except RuntimeError as error:
                print("failed:", error)
                continue
            lines = (Path(folder) / "curve.jsonl").read_text().splitlines()
        steps = [json.loads(line) for line in lines]
        points = {step["step"]: -step["log_loss"] for step in steps} | {EPOCHS: -found["log_loss"]}
        curves.append({"epochs": [*points], "values": [round(v, 5) for v in points.values()]})
        print(len(curves), curves[-1]["values"], flush=True)
    return curves


def replayed(curves):
    """Every stated probability of beating the best before it, with what happened."""
    stated, happened, inside, spent = [], [], [], {stop: [0, 0, 0] for stop in STOP}
    for i, curve in enumerate(curves):
        before = curves[:i]
        stopped = {}
        for epoch in curve.epochs[:-1]:
            part = curve.until(epoch)
            final = final_value(part, before)
            if final is None:
                continue
            best = max(c.values[-1] for c in before)
            chance = chance_to_beat(part, before)
            stated.append(chance)
            happened.append(curve.values[-1] > best)
            inside.append(0.1 <= final.above(curve.values[-1]) <= 0.9)
            for stop in STOP:
                if chance < stop:
                    stopped.setdefault(stop, epoch)
        for stop, (saved, wrong, total) in spent.items():
            at = stopped.get(stop)
            spent[stop] = [
                saved + (0 if at is None else EPOCHS - at),
                wrong + (at is not None and happened[-1]),
                total + EPOCHS,
            ]
    stated, happened = np.array(stated), np.array(happened)
    rows = []
    for low, high in pairwise(BINS):
        there = (stated >= low) & ((stated < high) | (high == 1))
        if there.any():
            rows.append(
                {
                    "from": low,
                    "to": high,
                    "predictions": int(there.sum()),
                    "stated": round(float(stated[there].mean()), 4),
                    "happened": round(float(happened[there].mean()), 4),
                }
            )
    brier = float(((stated - happened) ** 2).mean())
    constant = float(((happened.mean() - happened) ** 2).mean())
    return {
        "calibration": rows,
        "brier": round(brier, 4),
        "brier_of_the_mean": round(constant, 4),
        "inside_80_percent": round(float(np.mean(inside)), 3),
        "stopping": {
            str(stop): {"epochs_saved": round(s / t, 3), "best_lost": int(w)}
            for stop, (s, w, t) in spent.items()
        },
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=200, help="0 replays what is recorded")
    given = parser.parse_args()
    path = RESULTS / "curves.json"
    if given.seconds:
        curves = recorded(given.seconds)
        on = machine()
    else:
        known = json.loads(path.read_text())
        curves, on = known["curves"], known["machine"]
    # A loss has a floor at 0 that a regression does not know of; its logarithm has none.
    scales = {"-log_loss": lambda v: v, "-log(log_loss)": lambda v: -np.log(-v)}
    found = {"trainings": len(curves), "machine": on}
    for name, scale in scales.items():
        values = [tuple(scale(np.array(c["values"])).tolist()) for c in curves]
        pairs = zip(curves, values, strict=True)
        found[name] = replayed([Curve(tuple(c["epochs"]), v) for c, v in pairs])
    path.write_text(json.dumps({**found, "curves": curves}) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
