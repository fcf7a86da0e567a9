"""What does each one-shot method find in the same time? python benchmarks/oneshot.py --seeds 5

The space and the data of ``supernet.py``. Every method has the same time on the processor, of one
thread, to name one architecture; that is then trained by itself, twice from fresh seeds, and scored on
the test split. Random search trains as many as it has time for and names the best by validation.
Methods that sample paths train shared weights for 60 % of the time and let evolution search with them
in the rest; the others learn what to name. Lengths follow from an epoch that is measured first and not
counted. What was found stands in ``results/oneshot.json``; what is there is not run again.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
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

Method = Callable[..., object]
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
METHODS = ("random", "bo", *PATHS, *GRADIENTS)


def spent(work):
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


def alone(data, space, strategy, seconds, seed):
    """A search that trains each architecture by itself."""
    training = Training(network, data, recipe(data, EPOCHS), precision=PRECISION)
    return searched(space, strategy, training, seconds, seed)


def searched(space, name, estimate, seconds, seed):
    """What a strategy tried in time on the processor, the best first."""
    strategy, begun, scores = by_name(name, space), time.process_time(), {}
    while True:
        number = len(scores)
        (proposal,) = strategy.ask(1, Random(f"{seed}:{number}"))
        trial = running(number, proposal)
        strategy.tell(trial)
        value = estimate(trial.architecture, Run(seed=seed))["accuracy"]
        if time.process_time() - begun > seconds and scores:
            break
        strategy.tell(ended(trial, value))
        scores[trial.architecture] = value
    return sorted(scores, key=scores.get, reverse=True)


def with_shared(data, space, method, seconds, seed):
    train_for = partial(
        train_supernet, network, data, method=method, space=space, precision=PRECISION,
        run=Run(seed=seed),
    )  # fmt: skip
    epochs = length(train_for, data, SHARED * seconds)
    took, supernet = spent(lambda: train_for(recipe=recipe(data, epochs)))
    rest = max(1.0, seconds - took)
    tried = searched(space, "evolution", Inherited(supernet, data), rest, seed)
    return tried[0], f"{epochs} epochs, {len(tried)} looked at"


def learned(data, space, method, seconds, seed):
    search = partial(
        GRADIENTS[method], network, data, space=space, precision=PRECISION, run=Run(seed=seed)
    )
    epochs = length(search, data, seconds)
    found = search(recipe=recipe(data, epochs))
    return found.best, f"{epochs} epochs"


def length(work, data, seconds):
    """The epochs that there is time for, from the price of one and of two."""
    once, _ = spent(lambda: work(recipe=recipe(data, 1)))
    twice, _ = spent(lambda: work(recipe=recipe(data, 2)))
    epoch = max(twice - once, 1e-3)
    return max(2, math.floor(1 + (seconds - once) / epoch))


def found_by(method, data, space, seconds, seed):
    if method in ("random", "bo"):
        tried = alone(data, space, method, seconds, seed)
        return tried[0], f"{len(tried)} trained"
    way = with_shared if method in PATHS else learned
    return way(data, space, method, seconds, seed)


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
    return json.loads(PATH.read_text()) if PATH.exists() else {}


def printed():
    table = Table("method", "seeds", "test accuracy", "beside random search", "what it did")
    rows = read()
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
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = load()
    space = record(network, data)
    for seed in range(given.seeds):
        for method in given.method or METHODS:
            if str(seed) in read().get(method, {}):
                continue
            used, (best, note) = spent(partial(found_by, method, data, space, given.seconds, seed))
            row = {"architecture": best.to_json(), "note": note, "used": round(used, 1)}
            row |= {"test": score(data, best, seed), "seconds": given.seconds}
            rows = read()
            rows.setdefault(method, {})[str(seed)] = {**row, "machine": machine()}
            PATH.write_text(json.dumps(rows))
            Console(stderr=True).print(seed, method, row["test"], note, f"{used:.0f} s")
    printed()


if __name__ == "__main__":
    main()
