"""What does each one-shot method find in the same time? python benchmarks/oneshot.py --seeds 5

The space and the data of ``supernet.py``. Every method has the same time on the processor, of one
thread, to name one architecture; that is then trained by itself, twice from fresh seeds, and scored on
the test split. Random search trains as many as it has time for and names the best by validation.
Methods that sample paths train shared weights for 60 % of the time and let evolution search with them
in the rest; the others learn what to name.

How long each may train follows from prices that ``--prices`` measures, the least of three: the same
epochs for every seed, so that what else the machine does changes no result, and other processors may
join in. What was found stands in ``results/oneshot.json``; what is there is not run again.
"""

import argparse
import json
import math
import time
from functools import partial
from random import Random

import numpy as np
import torch
from _results import RESULTS, machine
from rich.console import Console
from rich.table import Table
from supernet import EPOCHS, load, network, recipe

from ogive.estimators import Run, Training, predict, train
from ogive.nn import build, record
from ogive.oneshot import (
    PATHS,
    Inherited,
    search_by_controller,
    search_by_gradient,
    train_supernet,
)
from ogive.strategies import by_name
from ogive.testing import ended, running

PATH = RESULTS / "oneshot.json"
SHARED = 0.6
"""Of the time, for which methods that sample paths train."""

PRECISION = "fp32"
"""The same on every processor; where bf16 has no instructions it takes up to twice the time."""

GRADIENTS = {
    "drnas": partial(search_by_gradient, method="drnas", alpha_lr=0.02),
    "darts": partial(search_by_gradient, method="darts", alpha_lr=0.02),
    "darts, no warm-up": partial(search_by_gradient, method="darts", alpha_lr=0.02, warmup=0.0),
    "darts, second order": partial(search_by_gradient, method="darts", order=2, alpha_lr=0.02),
    "gdas": partial(search_by_gradient, method="gdas", alpha_lr=0.02),
    "darts, a quarter of the channels": partial(
        search_by_gradient, method="darts", parts=4, alpha_lr=0.02
    ),
    "enas": search_by_controller,
}
ALONE = ("random", "bo")
METHODS = (*ALONE, *PATHS, *GRADIENTS)


def spent(work):
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


def least(work, times=3):
    return min(spent(work)[0] for _ in range(times))


def trained(method, data, space, epochs, seed):
    """What a method that shares weights learns in so many epochs."""
    settings = {"space": space, "precision": PRECISION, "run": Run(seed=seed)}
    settings["recipe"] = recipe(data, epochs)
    if method in PATHS:
        return train_supernet(network, data, method=method, **settings)
    return GRADIENTS[method](network, data, **settings)


def measured(data, space):
    """Seconds of a training by itself, of a look with shared weights, of first and further epochs."""
    training = Training(network, data, recipe(data, EPOCHS), precision=PRECISION)
    inherited = Inherited(trained("spos", data, space, 1, 0), data)
    some = [space.sample(Random(i)) for i in range(5)]
    prices = {
        name: float(np.mean([spent(partial(estimate, a, Run()))[0] for a in some]))
        for name, estimate in (("training", training), ("look", inherited))
    }
    for method in (*PATHS, *GRADIENTS):
        once, twice = (least(partial(trained, method, data, space, n, 0)) for n in (1, 2))
        prices[method] = [once, twice - once]
    return prices


def length(price, seconds):
    """The epochs that there is time for, from the price of the first and of a further one."""
    first, further = price[0], max(price[1], 1e-3)
    return max(2, math.floor(1 + (seconds - first) / further))


def searched(space, name, estimate, count, seed):
    """The best of so many that a strategy tries."""
    strategy, scores = by_name(name, space), {}
    for number in range(count):
        (proposal,) = strategy.ask(1, Random(f"{seed}:{number}"))
        trial = running(number, proposal)
        strategy.tell(trial)
        value = estimate(trial.architecture, Run(seed=seed))["accuracy"]
        strategy.tell(ended(trial, value))
        scores[trial.architecture] = value
    return max(scores, key=scores.get)


def found_by(method, data, space, prices, seconds, seed):
    if method in ALONE:
        count = max(1, round(seconds / prices["training"]))
        training = Training(network, data, recipe(data, EPOCHS), precision=PRECISION)
        return searched(space, method, training, count, seed), f"{count} trained"
    if method in PATHS:
        epochs = length(prices[method], SHARED * seconds)
        looks = round((1 - SHARED) * seconds / prices["look"])
        shared = Inherited(trained(method, data, space, epochs, seed), data)
        best = searched(space, "evolution", shared, looks, seed)
        return best, f"{epochs} epochs, {looks} looked at"
    epochs = length(prices[method], seconds)
    return trained(method, data, space, epochs, seed).best, f"{epochs} epochs"


def score(data, architecture, seed):
    """The mean test accuracy of two trainings."""
    values = []
    for offset in (1000, 2000):
        torch.manual_seed(seed + offset)
        module = build(network, data, architecture)
        train(module, data, recipe(data, EPOCHS), Run(seed=seed + offset), precision=PRECISION)
        split = data.unseal()
        values.append(data.score(predict(module, data, split), split.targets)["accuracy"])
    return float(np.mean(values))


def read():
    return json.loads(PATH.read_text()) if PATH.exists() else {"found": {}}


def printed():
    table = Table("method", "seeds", "test accuracy", "beside random search", "what it did")
    rows = read()["found"]
    chance = rows.get("random", {})
    for method, found in rows.items():
        scores = np.array([each["test"] for each in found.values()])
        pairs = [found[s]["test"] - chance[s]["test"] for s in found if s in chance]
        table.add_row(
            method, str(len(scores)), spread(scores), spread(np.array(pairs)),
            next(iter(found.values()))["note"],
        )  # fmt: skip
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)


def spread(values):
    if len(values) < 2:
        return f"{100 * values.mean():.1f}" if len(values) else "–"
    return f"{100 * values.mean():+.1f} ± {100 * values.std(ddof=1) / math.sqrt(len(values)):.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--method", action="append", choices=METHODS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--prices", action="store_true", help="measure how long all may train")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = load()
    space = record(network, data)
    if given.prices:
        PATH.write_text(
            json.dumps({"prices": {**measured(data, space), **machine()}, "found": {}})
        )
    prices = read()["prices"]
    for seed in range(given.seeds):
        for method in given.method or METHODS:
            if str(seed) in read()["found"].get(method, {}):
                continue
            work = partial(found_by, method, data, space, prices, given.seconds, seed)
            used, (best, note) = spent(work)
            row = {"architecture": best.to_json(), "note": note, "used": round(used, 1)}
            row |= {"test": score(data, best, seed), "seconds": given.seconds}
            told = read()
            told["found"].setdefault(method, {})[str(seed)] = {**row, "machine": machine()}
            PATH.write_text(json.dumps(told))
            Console(stderr=True).print(seed, method, row["test"], note, f"{used:.0f} s")
    printed()


if __name__ == "__main__":
    main()
