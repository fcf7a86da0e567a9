"""Whole searches on images: python benchmarks/images.py mnist --seed 0 [--limit params=50000].

The test split is opened once a search, by the final network and the reference beside it. `half`
as a limit on latency stands for half of what the unlimited reference takes.
"""

import argparse
import time
from pathlib import Path

from _results import DATA, record

from ogive import nn, spaces, task
from ogive.engine import search
from ogive.hardware import measure_latency


def load(name):
    if name == "mnist":
        return task.load(DATA / "mnist_train_20k.npz", test=DATA / "mnist_t10k.npz")
    return task.load(name)


def half_latency(data):
    network = spaces.default(data)
    space = nn.record(network, data)
    largest = space.complete(next(iter(network.references(data))))
    return measure_latency(nn.build(network, data, largest), data).median_ms / 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=["digits", "mnist"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", default=None)
    parser.add_argument("--limit", default=None)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    data = load(given.data)
    budget = given.budget or {"digits": "3min", "mnist": "10min"}[given.data]
    limits = {}
    if given.limit:
        name, most = given.limit.split("=")
        limits[name] = half_latency(data) if most == "half" else float(most)
    out = given.out or Path("runs") / f"{given.data}-{given.limit or 'free'}-{given.seed}"
    begun = time.time()
    result = search(
        None,
        data,
        budget=budget,
        limits=limits,
        seed=given.seed,
        out=out,
        progress=lambda s: s.message and print(f"{s.used:6.1f} {s.message}", flush=True),
    )
    summary, metric = result.summary, data.metric
    row = {
        "data": given.data,
        "seed": given.seed,
        "budget": budget,
        "limits": limits,
        "seconds": round(time.time() - begun, 1),
        "test": round(result.test[metric], 5),
        "interval": summary["test"]["interval"],
        "reference_test": round(summary["reference"]["test"][metric], 5),
        "difference": summary["reference"]["difference"],
        "winner_is_reference": summary["best"]["architecture"]
        == summary["reference"]["architecture"],
        "validation": summary["best"]["metrics"][metric],
        "reference_validation": summary["reference"]["metrics"][metric],
        "costs": summary["best"]["costs"],
        "reference_costs": summary["reference"]["costs"],
        "trials": len(summary["trials"]),
        "plan": summary["plan"],
    }
    record("images", [row])
    print(row)


if __name__ == "__main__":
    main()
