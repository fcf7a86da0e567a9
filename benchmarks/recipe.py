"""How good the default recipe is: one hand-made network, trained and scored without a search.

python benchmarks/recipe.py mnist --epochs 12 [--set lr=0.002 ema=1] [--seeds 0 1] [--test]
    [--params 10000] [--precision fp32]

Settings are compared on validation; --test scores the official test split (digits: the held-out
rows), once a setting is decided. The network is an engineer's: three stages of two convolutions
with 32, 64 and 128 channels (287,000 weights), one thread, bf16; or, with --params, the largest
hand-made one of the ready-made space that has no more weights.
"""

import argparse
import json
import time

import numpy as np
import torch
from _results import DATA, record
from torch import nn

from ogive import nn as nn_readings
from ogive import spaces
from ogive import task as tasks
from ogive.estimators import Recipe, Run, predict, train


def load(name):
    if name == "mnist":
        return tasks.load(
            DATA / "mnist_train_20k.npz", test=DATA / "mnist_t10k.npz", validation=0.1
        )
    if name == "cifar":
        return tasks.load(DATA / "cifar10_16x16_5k.npz")
    return tasks.load(name)


def engineers(task):
    layers, channels = [], task.channels
    for stage, width in enumerate((32, 64, 128)):
        if stage:
            layers.append(nn.MaxPool2d(2))
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, task.outputs)]
    return nn.Sequential(*layers, *head)


def hand_made(task, most):
    network = spaces.default(task)
    space = nn_readings.record(network, task)
    built = (
        nn_readings.build(network, task, space.complete(reference))
        for reference in network.references(task)
    )
    return next(b for b in built if sum(p.numel() for p in b.parameters()) <= most)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=["mnist", "cifar", "digits"])
    parser.add_argument("--epochs", type=float, default=None)
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--params", type=int, default=None)
    parser.add_argument("--precision", default="bf16")
    given = parser.parse_args()
    torch.set_num_threads(1)
    task = load(given.data)
    changes = {name: json.loads(value) for name, value in (s.split("=") for s in given.set)}
    recipe = Recipe.default(task).replace(**changes)
    if given.epochs:
        recipe = recipe.replace(epochs=given.epochs)
    rows = []
    for seed in given.seeds:
        torch.manual_seed(seed)
        network = hand_made(task, given.params) if given.params else engineers(task)
        begun = time.time()
        found = train(network, task, recipe, Run(seed=seed), precision=given.precision)
        row = {
            "data": given.data,
            "seed": seed,
            "seconds": round(time.time() - begun, 1),
            "params": sum(p.numel() for p in network.parameters()),
            "changes": changes,
            "recipe": recipe.to_json(),
            "validation": {"accuracy": found["accuracy"], "log_loss": found["log_loss"]},
        }
        if given.test:
            test = task.unseal()
            scores = task.score(predict(network, task, test), np.asarray(test.targets))
            row["test"] = {"accuracy": scores["accuracy"], "log_loss": scores["log_loss"]}
        print({k: v for k, v in row.items() if k != "recipe"}, flush=True)
        rows.append(row)
    record("recipe", rows)


if __name__ == "__main__":
    main()
