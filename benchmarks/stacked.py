"""Trials a minute on two cores: one network after the other in each process, and stacked.

python benchmarks/stacked.py [--data breast_cancer diabetes] [--networks 64] [--group 32] [--widest 0 64 32]
    [--search TRIALS]

Architectures are drawn at random from the default space of tables, as it is; besides, only those
that are stacked, with layers of at most so many features. Both ways train all of them from the
same seeds with the default recipe, in two worker processes of one thread. What this makes of the metrics
is compared for each network, by the largest difference relative to 1 or the metric's size: few of
the trainings amplify a rounding until they end elsewhere, and do so alone, too.

With ``--search 132`` searches at random with a budget of so many trials are compared instead, checks and start of the
workers included, with and without ``together=``, over the default space and over one of small networks alone.
"""

import argparse
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median

import torch
from _results import record

import ogive
from ogive import nn, spaces, task
from ogive.estimators import Recipe, Run, Training, size_class, train_together
from ogive.executors import WorkerPool

WORKERS = 2


def alone(training, architectures, runs):
    """As a search without stacks does."""
    found = []
    for architecture, run in zip(architectures, runs, strict=True):
        try:
            found.append(training(architecture, run))
        except RuntimeError as error:
            found.append(error)
    return found


def tasks_of(training, architectures, group):
    """Bundles of numbers: networks of one size together, those for which there is none alone."""
    sizes = {}
    for number, architecture in enumerate(architectures):
        size = size_class(training.built(architecture, 0), training.recipe_of(architecture))
        sizes.setdefault(number if size is None else f"up to {size}", []).append(number)
    bundles = [some[i : i + group] for some in sizes.values() for i in range(0, len(some), group)]
    return sorted(bundles, key=len, reverse=True)


def measure(training, architectures, bundles, how):
    """Seconds of all, and the outcomes by number."""
    runs = [Run(number=i, seed=i, device="cpu") for i in range(len(architectures))]
    with WorkerPool(WORKERS, shared=training) as pool:
        brief = replace(training, epochs=1)
        for each in [pool.submit(how, brief, architectures[:8], runs[:8]) for _ in range(WORKERS)]:
            each.result()  # The processes have started, and have imported what they need.
        begun = time.monotonic()
        futures = [
            pool.submit(how, training, [architectures[i] for i in some], [runs[i] for i in some])
            for some in bundles
        ]
        outcomes = {}
        for some, future in zip(bundles, futures, strict=True):
            outcomes |= zip(some, future.result(), strict=True)
        return time.monotonic() - begun, outcomes


def apart(one, other):
    """For each network the largest relative difference of a metric; failures must be of both."""
    found = []
    for number, mine in one.items():
        theirs = other[number]
        assert isinstance(mine, dict) == isinstance(theirs, dict), (mine, theirs)
        if isinstance(mine, dict):
            names = set(mine) - {"train_seconds"}
            found.append(max(abs(mine[n] - theirs[n]) / max(1.0, abs(mine[n])) for n in names))
    return found


def small(choose, data):
    """Perceptrons of up to 32 features and three hidden layers, as a small table asks for."""
    width = choose.value("width", (8, 12, 16, 24, 32))
    norm = choose.value("norm", ("none", "layer"))

    def block(choose, i):
        activation = choose.value("activation", ("relu", "gelu", "silu"))
        inputs = width if i else data.shape[0]
        return nn.LinearBlock(inputs, width, activation=activation, norm=norm, dropout=0.1)

    hidden = choose.repeat("hidden", (1, 2, 3), block)
    return torch.nn.Sequential(hidden, torch.nn.Linear(width, data.outputs))


class Enough(Exception):
    """The export is the same in both ways."""


def stop(snapshot):
    if snapshot.phase == "handover":
        raise Enough


def search_rows(name, trials, group):
    """Searches with the same seed, until the last of their trials has ended; finals not counted."""
    data = task.load(name)
    for what, function in (("default", spaces.default(data)), ("small", small)):
        row = {"data": name, "space": what, "together": group}
        for together in (1, group):
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                with suppress(Enough):
                    ogive.search(
                        function,
                        data,
                        trials=trials,
                        strategy="random",
                        workers=WORKERS,
                        together=together,
                        out=run,
                        progress=stop,
                    )
                found = ogive.summarize(run)["trials"]
            ending = "" if together == 1 else "_together"
            row["seconds" + ending] = max(t["ended"] for t in found if t["role"] == "search")
        row["times"] = round(row["seconds"] / row["seconds_together"], 2)
        yield row | {"trials": trials}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", type=int, default=64)
    parser.add_argument("--group", type=int, default=32)
    parser.add_argument("--data", nargs="*", default=["breast_cancer", "diabetes"])
    parser.add_argument("--widest", type=int, nargs="*", default=[0, 64, 32])
    parser.add_argument("--search", type=int, help="trials")
    given = parser.parse_args()
    for name in given.data:
        if given.search:
            for row in search_rows(name, given.search, given.group):
                record("stacked", [row])
                print(row, flush=True)
            continue
        data = task.load(name)
        network = spaces.default(data)
        space = nn.record(network, data)
        training = Training(network, data, Recipe.default(data))
        for widest in given.widest:
            rng, drawn = Random(0), []
            while len(drawn) < given.networks:
                architecture = space.sample(rng)
                size = size_class(
                    training.built(architecture, 0), training.recipe_of(architecture)
                )
                if not widest or (size is not None and size <= widest):
                    drawn.append(architecture)
            bundles = tasks_of(training, drawn, given.group)
            single = [[number] for number in range(len(drawn))]
            seconds, outcomes = measure(training, drawn, single, alone)
            together, others = measure(training, drawn, bundles, train_together)
            row = {
                "data": name,
                "networks": given.networks,
                "widest": widest or "any",
                "stacked": sum(len(some) for some in bundles if len(some) > 1),
                "group": given.group,
                "trials_a_minute": round(60 * len(drawn) / seconds, 1),
                "trials_a_minute_stacked": round(60 * len(drawn) / together, 1),
                "times": round(seconds / together, 2),
                "failed": sum(not isinstance(found, dict) for found in outcomes.values()),
                "within_1e-4": sum(difference <= 1e-4 for difference in apart(outcomes, others)),
                "median_apart": median(apart(outcomes, others)),
            }
            record("stacked", [row])
            print(row, flush=True)


if __name__ == "__main__":
    main()
