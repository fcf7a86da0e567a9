"""What the bookkeeping of a large space costs: recording, drawing, changing and encoding.

Run ``python benchmarks/space.py``; the figures are also written to ``results/space.json``.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from ogive.nn import Chooser, record
from ogive.space import SearchSpace
from ogive.spaces import SPACES, default
from ogive.task import Task, load

RESULTS = Path(__file__).parent / "results" / "space.json"
STAGES, BLOCKS = 12, 6
DRAWN, ENCODED = 2_000, 10_000


def synthetic(choose: Chooser, task: Task) -> nn.Module:
    """A space of 12 stages of up to 6 blocks, each with conditional decisions."""
    width = choose.value("width", (8, 16, 24, 32))

    def block(choose: Chooser, _: int) -> nn.Module:
        return choose.layer(
            "operation",
            {
                "dense": lambda: nn.Conv2d(width, width, choose.value("kernel", (1, 3, 5, 7))),
                "grouped": lambda: nn.Conv2d(
                    width,
                    width,
                    choose.value("kernel", (1, 3, 5, 7)),
                    groups=choose.value("groups", (1, 2, 4, 8)),
                ),
                "dropout": lambda: nn.Dropout(choose.value("share", (0.1, 0.2, 0.3, 0.5))),
                "skip": nn.Identity,
            },
        )

    stages = [
        choose.at(f"stages.{i}").repeat("blocks", range(1, BLOCKS + 1), block)
        for i in range(STAGES)
    ]
    return nn.Sequential(nn.Conv2d(task.channels, width, 3), *stages)


@dataclass(frozen=True)
class Figure:
    """One measurement; ``target`` is what it must stay below."""

    space: str
    what: str
    value: float
    unit: str
    target: float | None = None

    @property
    def met(self) -> bool:
        return self.target is None or self.value < self.target


def best_of(repeats: int, work: Callable[[], object]) -> float:
    """Returns the seconds of the quickest of several runs, the one least disturbed."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(name: str, task: Task) -> Iterable[Figure]:
    network = {"synthetic": synthetic, **SPACES}[name]
    start = time.perf_counter()
    space = record(network, task)
    yield Figure(name, "record, first", time.perf_counter() - start, "s", 2)
    yield Figure(name, "record, again", best_of(3, lambda: record(network, task)), "s", 2)
    yield Figure(name, "decisions", len(space), "")
    yield Figure(name, "architectures", float(space.size), "")
    yield from walking(name, space)
    yield from encoding(name, space)


def walking(name: str, space: SearchSpace) -> Iterable[Figure]:
    rng = Random(0)
    hundreds = len(space) / 100
    parents = [space.sample(rng) for _ in range(DRAWN)]
    unit, target = "ms / 100 decisions", 0.2
    verbs: dict[str, Callable[[], object]] = {
        "sample": lambda: [space.sample(rng) for _ in range(DRAWN)],
        "mutate": lambda: [space.mutate(parent, rng) for parent in parents],
    }
    for verb, work in verbs.items():
        each = best_of(3, work) / DRAWN * 1e3
        yield Figure(name, verb, each / hundreds, unit, target)
    pairs = list(pairwise(parents))
    each = best_of(3, lambda: [space.cross(a, b, rng) for a, b in pairs]) / len(pairs) * 1e3
    yield Figure(name, "cross", each / hundreds, unit)
    each = best_of(3, lambda: [space.validate(parent) for parent in parents]) / DRAWN * 1e3
    yield Figure(name, "validate", each / hundreds, unit)
    keys = best_of(1, lambda: [parent.key for parent in parents]) / DRAWN * 1e3
    yield Figure(name, "key", keys, "ms")


def encoding(name: str, space: SearchSpace) -> Iterable[Figure]:
    rng = Random(1)
    architectures = [space.sample(rng) for _ in range(ENCODED)]
    seconds = best_of(3, lambda: space.encode(architectures))
    yield Figure(name, f"encode {ENCODED:,}", seconds, "s", 1)


def show(figures: Iterable[Figure]) -> None:
    table = Table("space", "what", "measured", "target", title="The bookkeeping of spaces")
    for figure in figures:
        colour = "" if figure.target is None else "[green]" if figure.met else "[red]"
        target = "" if figure.target is None else f"< {figure.target:g}"
        measured = f"{colour}{figure.value:.3g} {figure.unit}"
        table.add_row(figure.space, figure.what, measured, target)
    Console().print(table)


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    photos = load((rng.integers(0, 256, (12, 224, 224, 3), dtype=np.uint8), np.arange(12) % 2))
    flowers = load("wine")
    # Nothing before it, so that it bears what the first recording of a process costs.
    figures = [*measure("synthetic", photos)]
    figures += [f for task in (photos, flowers) for f in measure(default(task).__name__, task)]
    show(figures)
    environment = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    record_of_it = {"environment": environment, "figures": [asdict(f) for f in figures]}
    RESULTS.write_text(json.dumps(record_of_it, indent=1) + "\n")


if __name__ == "__main__":
    main()
