"""Does a cheaper training rank? python benchmarks/fidelities.py short | inherit | print

The space, the data and the full trainings of benchmarks/supernet.py. ``short`` trains the first
``--networks`` of its architectures at shares of 1/2 and 1/4 of the epochs, the data, the
resolution and the widths; ``inherit`` trains a parent of each in full, one mutation away, and
then the network for 1/4 of the epochs with the weights that it inherits; ``print`` says how each
ranks them (Kendall's tau with the mean of the two full trainings, on the validation split) and
what it cost: seconds of the processor, on one thread, against the parents' full trainings in the
same run. How the parents' own accuracies rank their children says how much of an heir's is
theirs. What was measured is written after each training, and not measured again.
"""

import argparse
import json
import tempfile
import time
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import supernet
import torch
from _results import RESULTS, machine
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import kendalltau

from ogive.estimators import Run, Training
from ogive.nn import record

PATH = RESULTS / "fidelities.json"
FIDELITIES = ("epochs", "data", "resolution", "width")
SHARES = (1 / 4, 1 / 2)
HEIR = "inherited 0.25"
SEED = 4
"""Another than those of the full trainings."""


def read():
    return json.loads(PATH.read_text()) if PATH.exists() else {"networks": {}}


def known(key, name):
    return name in read()["networks"].get(key, {})


def write(key, name, value, seconds, **more):
    found = read()
    row = {"accuracy": value, "seconds": seconds, **more}
    found["networks"].setdefault(key, {})[name] = row
    found["machine"] = machine()
    PATH.write_text(json.dumps(found, indent=1))


def measured(training, architecture, run):
    """The accuracy, and the processor's seconds, which others at work do not lengthen."""
    begun = time.process_time()
    value = training(architecture, run)["accuracy"]
    return value, time.process_time() - begun


def of(data, fidelity="epochs"):
    return Training(
        supernet.network, data, supernet.recipe(data, supernet.EPOCHS), fidelity=fidelity
    )


def short(data, architectures, shares):
    everything = list(product(shares, architectures, FIDELITIES))
    for share, architecture, fidelity in track(everything, "short", console=Console(stderr=True)):
        name = f"{fidelity} {share}"
        if not known(architecture.key, name):
            found = measured(of(data, fidelity), architecture, Run(seed=SEED, fidelity=share))
            write(architecture.key, name, *found)


def inherit(data, space, architectures):
    for architecture in track(architectures, "inherit", console=Console(stderr=True)):
        if known(architecture.key, HEIR):
            continue
        parent = space.mutate(architecture, Random(architecture.key))
        with tempfile.TemporaryDirectory() as folder:
            found = measured(of(data), parent, Run(seed=SEED + 1, folder=Path(folder)))
            write(architecture.key, "parent", *found, architecture=parent.to_json())
            run = Run(seed=SEED, fidelity=1 / 4, parent=Path(folder), inherits=parent)
            begun = time.process_time()
            metrics = of(data)(architecture, run)
            seconds = time.process_time() - begun
        share = {"share": metrics["inherited"]}
        write(architecture.key, HEIR, metrics["accuracy"], seconds, **share)


def names():
    return [f"{fidelity} {share}" for fidelity in FIDELITIES for share in SHARES]


def printed():
    found, truths = read()["networks"], supernet.read()["alone"]
    parents = [row["parent"]["seconds"] for row in found.values() if "parent" in row]
    table = Table("what ranks", "networks", "tau", "p", "cost", "mean accuracy")
    for name in [*names(), HEIR, "parent"]:
        rows = {key: row[name] for key, row in found.items() if name in row}
        if len(rows) < 2:
            continue
        values = [row["accuracy"] for row in rows.values()]
        truth = [np.mean([truths[key]["one"], truths[key]["two"]]) for key in rows]
        cost = np.mean([row["seconds"] for row in rows.values()])
        tau, p = kendalltau(values, truth)
        table.add_row(
            "parent, in full" if name == "parent" else name,
            str(len(rows)),
            f"{tau:.2f}",
            f"{p:.2g}",
            f"{cost / np.mean(parents):.2f}" if parents else f"{cost:.1f} s",
            f"{100 * np.mean(values):.1f} % (in full {100 * np.mean(truth):.1f} %)",
        )
    Console().print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("do", choices=["short", "inherit", "print"])
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--share", type=float, action="append", choices=SHARES)
    given = parser.parse_args()
    if given.do == "print":
        return printed()
    torch.set_num_threads(1)
    data = supernet.load()
    space = record(supernet.network, data)
    alone = supernet.read()["alone"]
    architectures = [a for a in supernet.chosen(space) if a.key in alone][: given.networks]
    if given.do == "inherit":
        return inherit(data, space, architectures)
    return short(data, architectures, given.share or SHARES)


if __name__ == "__main__":
    main()
