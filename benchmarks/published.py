"""The published random search and evolution on NAS-Bench-201, as its paper ran them.

Run ``python benchmarks/published.py``. Ours never train a network twice; the paper's do (Dong & Yang
2020, arXiv:2001.00326, section 4: 12-epoch validation as the signal, 12,000 seconds, mean and standard
deviation of the test accuracy; evolution after Real et al. 2019 with a population of 10 and a sample
of 3). So they are written here as the papers have them, and run in our harness: if it is right, what
comes out is what was published.
"""

import json
from argparse import ArgumentParser
from collections import deque

import numpy as np
from _results import DATA, RESULTS, machine
from rich.console import Console
from rich.table import Table

from ogive.bench import compare, read
from ogive.strategies import RandomSearch, RegularizedEvolution
from ogive.trial import Proposal

PUBLISHED = {"random search": (93.70, 0.36), "evolution": (93.92, 0.30)}


class WithRepeats:
    """Draws at random, equal networks too."""

    def __init__(self, space):
        self.space = space

    def ask(self, n, rng):
        return [Proposal(self.space.sample(rng)) for _ in range(n)]

    def tell(self, trial):
        pass


class AsPublished(WithRepeats):
    """Algorithm 1 of Real et al. 2019, one at a time: the children of the best of a sample."""

    def __init__(self, space, population=10, sample=3):
        super().__init__(space)
        self.sample, self.alive, self.filled = sample, deque(maxlen=population), False

    def ask(self, n, rng):
        if not self.filled:
            return super().ask(n, rng)
        drawn = rng.choices(self.alive, k=self.sample)
        best = max(drawn, key=lambda trial: trial.value)
        return [Proposal(self.space.mutate(best.architecture, rng))]

    def tell(self, trial):
        if trial.state == "complete":
            self.alive.append(trial)
            self.filled = len(self.alive) == self.alive.maxlen


def main():
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=500)
    given = parser.parse_args()
    made = {
        "random search": WithRepeats,
        "evolution": AsPublished,
        "random search, each once": RandomSearch,
        "evolution, each once": RegularizedEvolution,
    }
    found = compare(read(DATA / "nb201.npz"), made, protocol="time", seeds=given.seeds, workers=1)
    rows = []
    table = Table("strategy", "test accuracy", "published", title=f"{given.seeds} seeds, 12,000 s")
    for name in made:
        _, reports = found.curves[name].each(12_000)
        row = {"strategy": name, "mean": float(np.mean(reports)), "sd": float(np.std(reports))}
        rows.append({**row, "seeds": given.seeds, "machine": machine()})
        mean, sd = PUBLISHED.get(name, (None, None))
        published = "–" if mean is None else f"{mean:.2f} ± {sd:.2f}"
        table.add_row(name, f"{row['mean']:.2f} ± {row['sd']:.2f}", published)
    (RESULTS / "published.json").write_text(json.dumps(rows, indent=1))
    Console().print(table)


if __name__ == "__main__":
    main()
