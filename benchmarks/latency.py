"""How well latency is predicted: python benchmarks/latency.py devices|machine.

``devices``: 27 devices of the FBNet table (``fbnet_hw.npz``). On each, a predictor learns from 200
measured architectures and is scored on 4,000 others, which nothing was chosen by; 800 more were
for choosing. The parts of the architectures are counted on networks built here from the paper
(Wu et al. 2019, arXiv:1812.03443, table 1); no operation of theirs was measured. What more
measurements would bring is scored on the same 4,000 after 1,000: where that is not better, what is
left is noise of the table.

``machine``: the default space of images, on this machine: architectures measured and predicted.
"""

import argparse
import json
import time
from collections import Counter
from random import Random

import numpy as np
import torch
from _results import DATA, RESULTS, machine
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from torch import nn

from ogive import nn as readings
from ogive import spaces
from ogive import task as tasks
from ogive.hardware import LatencyPredictor, learn_latency, measure_latency, network_parts

MEASURED, MORE, HELD_OUT = 200, 1_000, 4_000
SPEARMAN, RELATIVE = 0.98, 0.05
"""What a device must reach to pass."""

CHANNELS, STRIDES, LAYERS = (
    (16, 24, 32, 64, 112, 184, 352),
    (1, 2, 2, 2, 1, 2, 1),
    (1, 4, 4, 4, 4, 4, 1),
)
SIDE = 112  # of what the first block sees: images of 224 pixels after a stem of stride 2


class Input:
    """A task as far as counting needs one."""

    def __init__(self, shape):
        self.shape = shape

    def example(self, n, device="cpu"):
        return torch.zeros((n, *self.shape), device=device)


def block(operation, incoming, outgoing, stride):
    if operation == "skip":
        if (incoming, stride) == (outgoing, 1):
            return nn.Identity()
        return nn.Sequential(
            nn.Conv2d(incoming, outgoing, 1, stride, bias=False),
            nn.BatchNorm2d(outgoing),
            nn.ReLU(),
        )
    kernel, expansion, *group = operation[1:].replace("e", "").replace("g", "").split("_")
    groups, side, wide = int(group[0]) if group else 1, int(kernel), incoming * int(expansion)
    layers = nn.Sequential(
        nn.Conv2d(incoming, wide, 1, groups=groups, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
        nn.Conv2d(wide, wide, side, stride, side // 2, groups=wide, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
        nn.Conv2d(wide, outgoing, 1, groups=groups, bias=False),
        nn.BatchNorm2d(outgoing),
    )
    return Residual(layers) if (incoming, stride) == (outgoing, 1) else layers


class Residual(nn.Module):
    """A sum of what comes in and of what is made of it."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        return x + self.layers(x)


def fbnet_parts(codes, names):
    """The parts of each architecture: those of its 22 blocks."""
    blocks, incoming, side = [], CHANNELS[0], SIDE
    for outgoing, first_stride, layers in zip(CHANNELS, STRIDES, LAYERS, strict=True):
        for layer in range(layers):
            stride = first_stride if layer == 0 else 1
            with torch.device("meta"):
                made = [block(name, incoming, outgoing, stride) for name in names]
            task = Input((incoming, side, side))
            blocks.append([network_parts(network, task) for network in made])
            incoming, side = outgoing, side // stride
    return [
        sum((blocks[layer][option] for layer, option in enumerate(code)), Counter())
        for code in codes
    ]


def scored(predictor, parts, times):
    predicted = predictor.predict(parts)
    return {
        "spearman": round(float(spearmanr(predicted, times)[0]), 4),
        "relative": round(float(np.abs(predicted / times - 1).mean()), 5),
    }


def devices():
    table = dict(np.load(DATA / "fbnet_hw.npz", allow_pickle=False))
    order = np.random.default_rng(0).permutation(len(table["op_code"]))
    parts = fbnet_parts(table["op_code"][order].tolist(), table["op_names"].tolist())
    measured, more, held_out = slice(MEASURED), slice(MORE), slice(MORE, MORE + HELD_OUT)
    path = RESULTS / "latency.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    rows = known.get("devices", {}).get("devices", {})  # A run that was stopped goes on.
    for name in (name for name in table if name.startswith("lat_ms_")):
        if name.removeprefix("lat_ms_") in rows:
            continue
        times = table[name][order].astype(float)
        predictor = LatencyPredictor().fit(parts[measured], times[measured])
        after = LatencyPredictor().fit(parts[more], times[more])
        row = scored(predictor, parts[held_out], times[held_out])
        rows[name.removeprefix("lat_ms_")] = {
            **row,
            "stated_spearman": round(predictor.error.spearman, 4),
            "stated_relative": round(predictor.error.relative, 5),
            "after_1000": scored(after, parts[held_out], times[held_out]),
            "passes": row["spearman"] >= SPEARMAN and row["relative"] <= RELATIVE,
        }
        print(name, rows[name.removeprefix("lat_ms_")], flush=True)
        save("devices", {"passing": sum(row["passes"] for row in rows.values()), "devices": rows})
    shown = Table("device", "Spearman", "relative", "stated", "", "after 1,000", "", "passes")
    for name, row in rows.items():
        more = row["after_1000"]
        figures = (row["spearman"], row["relative"], row["stated_spearman"])
        figures += (row["stated_relative"], more["spearman"], more["relative"])
        shown.add_row(name, *map(str, figures), "yes" if row["passes"] else "no")
    Console(width=110).print(shown)


def this_machine(learned, tried):
    torch.set_num_threads(1)
    task = tasks.load("digits")
    network = spaces.default(task)
    space, rng = readings.record(network, task), Random(0)
    drawn = list({space.sample(rng): None for _ in range(learned + tried)})
    built = [readings.build(network, task, architecture) for architecture in drawn]
    rows = {}
    again = [measure_latency(module, task).median_ms for module in built[learned:]]
    for table in (False, True):
        begun = time.time()
        predictor = learn_latency(built[:learned], task, table=table)
        seconds = time.time() - begun
        times = np.array([measure_latency(module, task).median_ms for module in built[learned:]])
        predicted = predictor.predict([network_parts(module, task) for module in built[learned:]])
        rows["with operations" if table else "without"] = {
            "spearman": round(float(spearmanr(predicted, times)[0]), 4),
            "relative": round(float(np.abs(predicted / times - 1).mean()), 4),
            "stated_spearman": round(predictor.error.spearman, 4),
            "stated_relative": round(predictor.error.relative, 4),
            "seconds_to_learn": round(seconds, 1),
            "measured_ms": np.round(times, 4).tolist(),
            "predicted_ms": np.round(predicted, 4).tolist(),
        }
    # How far two measurements of the same network lie apart here.
    noise = {"relative": round(float(np.abs(np.array(again) / times - 1).mean()), 4)}
    save("machine", {"learned": learned, "tried": tried, "measured_twice": noise, **rows})
    for name, row in rows.items():
        print(name, {k: v for k, v in row.items() if not k.endswith("_ms")})
    print("measured twice", noise)


def save(part, found):
    path = RESULTS / "latency.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, part: {**found, "machine": machine()}}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["devices", "machine"])
    parser.add_argument("--learned", type=int, default=60, help="architectures measured to learn")
    parser.add_argument("--tried", type=int, default=30, help="architectures measured to compare")
    given = parser.parse_args()
    if given.what == "devices":
        devices()
    else:
        this_machine(given.learned, given.tried)


if __name__ == "__main__":
    main()
