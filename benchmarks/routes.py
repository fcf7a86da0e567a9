"""Are routes the networks they stand for, and what do they cost? python benchmarks/routes.py

For each ready-made space that trains networks: 200 random architectures, the output of the routed
supernet beside that of the extracted network (equal to the last bit, or it is counted), and the time
of a forward pass of either, side by side, for 20 of them. One thread.
"""

import time
from random import Random

import numpy as np
import torch
from _results import record as put_down
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ogive import spaces, task
from ogive.nn import Supernet, record

COUNT, TIMED, REPEATS = 200, 20, 15
SPACES = {
    "convnet": (spaces.convnet, "digits", 128),
    "mlp": (spaces.mlp, "breast_cancer", 1024),
    "nasbench201": (spaces.nasbench201, "digits", 16),
}


def outputs(module, inputs, seed=0):
    torch.manual_seed(seed)  # of a dropout, should it be on
    with torch.no_grad():
        return module(inputs)


def seconds(module, inputs):
    begun = time.perf_counter()
    outputs(module, inputs)
    return time.perf_counter() - begun


def main():
    torch.set_num_threads(1)
    shown = Table(
        "space", "equal", "largest difference", "routed / extracted: median", "10 to 90 %"
    )
    rows = []
    for name, (network, source, batch) in SPACES.items():
        data = task.load(source)
        space = record(network, data)
        supernet = Supernet(network, data, space)
        inputs = data.normalizer()(data.train.take(slice(0, batch))[0])
        rng, equal, apart, ratios = Random(0), 0, 0.0, []
        for i in track(range(COUNT), name, console=Console(stderr=True)):
            architecture = space.sample(rng)
            route, alone = supernet.route(architecture), supernet.extract(architecture)
            route.network.eval()
            alone.eval()
            routed, extracted = outputs(route, inputs), outputs(alone, inputs)
            equal += bool(torch.equal(routed, extracted))
            apart = max(apart, float((routed - extracted).abs().max()))
            if i < TIMED:
                pairs = [(seconds(route, inputs), seconds(alone, inputs)) for _ in range(REPEATS)]
                first, second = np.median(pairs, axis=0)
                ratios.append(first / second)
        low, middle, high = np.percentile(ratios, (10, 50, 90))
        shown.add_row(
            name, f"{equal}/{COUNT}", f"{apart:.1e}", f"{middle:.2f}", f"{low:.2f}–{high:.2f}"
        )
        row = {"space": name, "equal": equal, "of": COUNT, "difference": apart, "batch": batch}
        rows.append({**row, "ratio": [round(float(x), 3) for x in (low, middle, high)]})
    put_down("routes", rows)
    Console().print(shown)


if __name__ == "__main__":
    main()
