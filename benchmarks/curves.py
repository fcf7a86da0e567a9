"""How well the end of a training is foreseen: python benchmarks/curves.py [NAME --seconds 120].

Random architectures are trained epoch by epoch, as a search trains them, for as long as there is
time; what they went through stands in ``results/curves.json``. Then searches are played again, in
many orders: at each epoch of each training, how probable is it that it ends better than the best
of those before it? Stated probabilities are compared with what happened, and so is what a search
would have lost and saved by stopping there. With a name, trainings of that set are recorded anew;
without, all that are recorded are played.

How the end is foreseen was chosen on the first three sets; the others were recorded after that.
"""

import argparse
import json
import math
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from _results import DATA, RESULTS, machine
from sklearn.datasets import load_digits
from torch import nn

from ogive import nn as readings
from ogive import spaces
from ogive import task as tasks
from ogive.estimators import Curve, Recipe, Run, Stopping, Training

BINS = (0.0, 0.05, 0.2, 0.5, 0.8, 1.0)
BELOW = (0.01, 0.05, 0.1, 0.2)
ORDERS = 30


class Set(NamedTuple):
    """What is trained, for how many epochs, and the seed of split and architectures."""

    data: object
    epochs: int
    seed: int


SETS = {
    "digits": Set("digits", 9, 1),
    "digits as a table": Set(load_digits(return_X_y=True), 8, 0),
    "breast cancer": Set("breast_cancer", 20, 1),
    "CIFAR-10": Set(str(DATA / "cifar10_16x16_5k.npz"), 8, 1),
    "diabetes": Set("diabetes", 20, 2),
    "breast cancer, another split": Set("breast_cancer", 20, 2),
}


def small(choose, task):
    """A few convolutions, the best and the worst of which are far apart."""
    width, kernel = choose.value("width", (4, 8, 16, 24)), choose.value("kernel", (3, 5))
    pool = choose.value("pool", (1, 2, 4))

    def activation():
        return choose.layer("act", {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh})

    def convolution(groups=1, *, norm=True):
        layers = [nn.Conv2d(width, width, 3, padding=1, groups=groups)]
        layers += [nn.BatchNorm2d(width)] if norm else []
        return nn.Sequential(*layers, activation())

    def block(choose, _):
        options = {
            "conv": convolution,
            "plain": lambda: convolution(norm=False),
            "depthwise": lambda: convolution(width),
        }
        return choose.layer("op", options)

    stride = 2 if task.height > 8 else 1
    return nn.Sequential(
        nn.Conv2d(task.channels, width, kernel, stride=stride, padding=kernel // 2),
        nn.ReLU(),
        choose.repeat("blocks", range(4), block),
        nn.AdaptiveAvgPool2d(pool),
        nn.Flatten(),
        nn.Linear(width * pool**2, task.outputs),
    )


def recorded(name, seconds):
    torch.set_num_threads(1)
    data, epochs, seed = SETS[name]
    task = tasks.load(data, seed=seed)
    network = small if task.kind == "images" else spaces.default(task)
    space, rng = readings.record(network, task), Random(seed)
    training = Training(network, task, Recipe.default(task), epochs=epochs)
    goal, found, end = task.metric, [], time.monotonic() + seconds
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            try:
                metrics = training(space.sample(rng), Run(seed=len(found), folder=Path(folder)))
            except RuntimeError as error:
                print("failed:", error)
                continue
            lines = (Path(folder) / "curve.jsonl").read_text().splitlines()
        steps = [json.loads(line) for line in lines]
        found.append(
            {
                "epochs": [step["step"] for step in steps],
                "losses": [round(step["loss"], 5) for step in steps],
                "end": round(metrics[goal], 5),
            }
        )
        print(len(found), found[-1]["losses"], found[-1]["end"], flush=True)
    return {
        "metric": goal,
        "rows": len(task.validation),
        "kept": Recipe.default(task).patience is not None,
        "machine": machine(),
        "trainings": found,
    }


class Trainings:
    """What is recorded of one set, and searches over it that stop early or do not."""

    def __init__(self, known):
        self._greater = tasks.METRICS[known["metric"]].greater_is_better
        self._step = 1 / known["rows"] if self._greater else 0.0
        trainings = known["trainings"]
        self._curves = [
            Curve.of_losses(t["epochs"], t["losses"], kept=known["kept"]) for t in trainings
        ]
        self._ends = [t["end"] for t in trainings]
        self.epochs = [t["epochs"][-1] for t in trainings]
        self.best = self.best_of(range(len(trainings)))

    def best_of(self, some):
        return (max if self._greater else min)(self._ends[n] for n in some)

    def better(self, n, best):
        return self._ends[n] > best if self._greater else self._ends[n] < best

    def stated(self, n, finished):
        """Yields each epoch of a training with the probability that it ends better."""
        against = Stopping(
            below=0.0,
            greater=self._greater,
            step=self._step,
            losses=tuple(self._curves[i] for i in finished),
            ends=tuple(self._ends[i] for i in finished),
            best=self.best_of(finished),
        )
        curve = self._curves[n]
        for epoch, value in zip(curve.epochs[:-1], curve.values, strict=False):
            judged = against.judge(epoch, math.exp(-value))
            if judged is not None:
                yield epoch, judged.chance

    def search(self, order, below, most):
        """Tries in this order until ``most`` epochs are spent, stopping what is hopeless."""
        finished, stopped, wrong, spent = [], 0, 0, 0.0
        for n in order:
            if spent >= most:
                break
            chances = self.stated(n, finished) if finished else ()
            at = next((epoch for epoch, chance in chances if chance < below), None)
            spent += self.epochs[n] if at is None else at
            if at is None:
                finished.append(n)
            else:
                stopped += 1
                wrong += self.better(n, self.best_of(finished))
        return stopped, wrong, spent, abs(self.best - self.best_of(finished))


def calibration(trainings, orders):
    """Stated probabilities beside how often it happened, over all epochs of all trainings."""
    pairs = [
        (chance, trainings.better(n, trainings.best_of(order[:place])))
        for order in orders
        for place, n in enumerate(order[1:], 1)
        for _, chance in trainings.stated(n, order[:place])
    ]
    stated, happened = (np.array(each, dtype=float) for each in zip(*pairs, strict=True))
    rows = []
    for low, high in pairwise(BINS):
        there = (stated >= low) & ((stated < high) | (high == 1))
        if there.any():
            told = {"stated": stated[there].mean(), "happened": happened[there].mean()}
            rows.append(
                {"from": low, "to": high, "share": round(float(there.mean()), 3)}
                | {name: round(float(value), 4) for name, value in told.items()}
            )
    return rows


def replayed(known):
    trainings, rng = Trainings(known), np.random.default_rng(0)
    orders = [rng.permutation(len(trainings.epochs)).tolist() for _ in range(ORDERS)]
    total = sum(trainings.epochs)
    rows = {}
    for below in (0.0, *BELOW):
        whole = np.array([trainings.search(order, below, math.inf) for order in orders])
        half = np.array([trainings.search(order, below, total / 2) for order in orders])
        stopped, wrong, spent, lost = whole.mean(0)
        rows[str(below)] = {
            "stopped": round(stopped / len(trainings.epochs), 3),
            "would_have_been_better": round(wrong / max(stopped, 1e-9), 4),
            "epochs_saved": round(1 - spent / total, 3),
            "lost": round(lost, 5),
            "from_the_best_at_half_the_epochs": round(half[:, 3].mean(), 5),
        }
    return {
        "trainings": len(trainings.epochs),
        "metric": known["metric"],
        "stopping_below": rows,
        "calibration": calibration(trainings, orders[:3]),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", nargs="?", choices=SETS, help="records these trainings anew")
    parser.add_argument("--seconds", type=float, default=120)
    given = parser.parse_args()
    path = RESULTS / "curves.json"
    sets = json.loads(path.read_text())["sets"]
    if given.name:
        sets[given.name] = recorded(given.name, given.seconds)
        found = {}
    else:
        found = {name: replayed(sets[name]) for name in SETS if name in sets}
    path.write_text(json.dumps({"replayed": found, "sets": sets}) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
