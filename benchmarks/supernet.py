"""Does a supernet rank? python benchmarks/supernet.py alone | proxies | train METHOD | print

CIFAR-10 at 16 x 16 pixels (4,000 training images, of which some validate) and a space of 1,536
small networks. ``alone`` trains 50 of them by themselves, each from two seeds, and for one epoch;
``train`` trains a supernet (``--epochs``, ``--lr``, ``--seed``) and evaluates the same 50 with its
weights; ``proxies`` measures the zero-cost ones of them; ``print`` says how each of these ranks them: Kendall's tau with the mean of the
two trainings, on the validation split. The test split is never opened.
"""

import argparse
import json
import time
from collections import OrderedDict
from random import Random

import numpy as np
import torch
from _results import DATA, RESULTS, machine
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import kendalltau
from torch import nn

from ogive import task
from ogive.estimators import PROXIES, Recipe, Run, Training, ZeroCost
from ogive.hardware import costs
from ogive.nn import ConvBlock, ConvBNAct, Head, InvertedBottleneck, SeparableConv, build, record
from ogive.oneshot import PATHS, Inherited, train_supernet

PATH = RESULTS / "supernet.json"
EPOCHS = 15
"""Of a training alone."""


def network(choose, data):
    width = choose.value("width", (8, 16, 24))
    layers = OrderedDict(stem=ConvBNAct(data.channels, width, 3))
    for i in range(3):
        layers[f"stage{i}"] = stage(
            choose.at(f"stages.{i}"), width * 2 ** max(0, i - 1), width * 2**i, i
        )
    layers["head"] = Head(width * 4, data.outputs)
    return nn.Sequential(layers)


def stage(choose, before, after, i):
    def block(_, place):
        first = place == 0
        settings = {
            "in_channels": before if first else after,
            "out_channels": after,
            "stride": 2 if first and i > 0 else 1,
            "skip": not first,
        }
        return choose.layer(
            "op",
            {
                "conv3": lambda: ConvBlock(**settings),
                "separable5": lambda: SeparableConv(**settings, kernel=5),
                "bottleneck3": lambda: InvertedBottleneck(**settings, expansion=3),
                "pool": lambda: nn.Sequential(
                    nn.AvgPool2d(3, settings["stride"], 1, count_include_pad=False),
                    ConvBNAct(settings["in_channels"], after, 1),
                ),
            },
        )

    return choose.repeat("blocks", (1, 2), block)


def load():
    archive = np.load(DATA / "cifar10_16x16_5k.npz")
    test = (archive["x_test"], archive["y_test"])
    return task.load((archive["x_train"], archive["y_train"]), test=test)


def chosen(space, count=50):
    rng = Random(7)
    found = {}
    while len(found) < count:
        found[space.sample(rng)] = None
    return list(found)


def read():
    return json.loads(PATH.read_text()) if PATH.exists() else {"alone": {}, "supernets": []}


def write(found):
    PATH.write_text(json.dumps(found))


def recipe(data, epochs):
    return Recipe.default(data).replace(epochs=epochs)


def alone(data, space, precision):
    for architecture in track(chosen(space), "alone", console=Console(stderr=True)):
        known = read()["alone"].setdefault(architecture.key, {})
        if "two" in known:
            continue
        training = Training(network, data, recipe(data, EPOCHS), precision=precision)
        row = {"params": costs(build(network, data, architecture), data, ("params",))["params"]}
        begun = time.time()
        for name, seed, share in (("one", 1, 1.0), ("two", 2, 1.0), ("epoch", 3, 1 / EPOCHS)):
            row[name] = training(architecture, Run(seed=seed, fidelity=share))["accuracy"]
        row["seconds"] = time.time() - begun
        found = read()
        found["alone"][architecture.key] = row
        found["machine"] = machine()
        write(found)


def zero_cost(data, space):
    estimate = ZeroCost(network, data, tuple(PROXIES), samples=16)
    values = {a.key: estimate(a, Run(seed=1)) for a in chosen(space)}
    found = read()
    found["proxies"] = {
        name: {key: metrics[name] for key, metrics in values.items()} for name in PROXIES
    }
    write(found)


def one_shot(data, space, given):
    begun = time.time()
    supernet = train_supernet(
        network,
        data,
        method=given.method,
        space=space,
        recipe=recipe(data, given.epochs).replace(**({"lr": given.lr} if given.lr else {})),
        run=Run(seed=given.seed),
        precision=given.precision,
        progress=True,
    )
    trained = time.time() - begun
    for statistics in ("recalibrated", "tracked"):
        estimate = Inherited(supernet, data, statistics=statistics)
        values = {a.key: estimate(a, Run())["accuracy"] for a in chosen(space)}
        found = read()
        row = {**vars(given), "statistics": statistics, "seconds": trained, "machine": machine()}
        found["supernets"].append({**row, "values": values})
        write(found)


def printed():
    found = read()
    rows = found["alone"]
    one, two = ([row[name] for row in rows.values()] for name in ("one", "two"))
    truth = np.array([one, two]).mean(axis=0)
    table = Table("what ranks", "tau", "note", title=f"{len(rows)} architectures")
    table.add_row("seed against seed", f"{kendalltau(one, two)[0]:.3f}", "the noise ceiling")
    for name in ("params", "epoch"):
        values = [row[name] for row in rows.values()]
        table.add_row(name, f"{kendalltau(values, truth)[0]:.3f}")
    ranked = {
        name: kendalltau([values[key] for key in rows], truth)[0]
        for name, values in found.get("proxies", {}).items()
    }
    for name in sorted(ranked, key=ranked.get, reverse=True):
        table.add_row(name, f"{ranked[name]:.3f}", "zero-cost")
    for row in found["supernets"]:
        values = [row["values"][key] for key in rows]
        table.add_row(
            f"{row['method']}, {row['epochs']} epochs, {row['statistics']}",
            f"{kendalltau(values, truth)[0]:.3f}",
            f"seed {row['seed']}, lr {row['lr']}, {row['seconds']:.0f} s, mean accuracy "
            f"{100 * np.mean(values):.1f} % (alone {100 * truth.mean():.1f} %)",
        )
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("do", choices=["alone", "proxies", "train", "print"])
    parser.add_argument("method", nargs="?", choices=list(PATHS), default="fairnas")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="bf16")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.do == "print":
        return printed()
    data = load()
    space = record(network, data)
    assert space.size == 1536, space.size
    if given.do == "alone":
        return alone(data, space, given.precision)
    return zero_cost(data, space) if given.do == "proxies" else one_shot(data, space, given)


if __name__ == "__main__":
    main()
