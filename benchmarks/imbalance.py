"""What training for balanced accuracy is worth where classes are rare: python benchmarks/imbalance.py

The hand-made reference network of the default space, trained once for accuracy and once for balanced
accuracy, which adds the classes' shares to what the loss sees (Menon et al. 2021); same data, recipe
and seeds, scored on the test split. Eight tables of three classes (90, 8 and 2 % of 3,000 rows) and
scikit-learn's digits with ever rarer classes.
"""

import json
from collections.abc import Iterator

import numpy as np
import torch
from _results import RESULTS, machine
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_digits, make_classification

import ogive
from ogive import spaces
from ogive.estimators import Recipe, Run, predict, train

SEEDS = 4
KINDS = ("accuracy", "balanced_accuracy")


def data() -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    for number in range(8):
        yield (
            f"table {number}",
            make_classification(
                3000,
                20,
                n_informative=8,
                n_classes=3,
                weights=[0.9, 0.08, 0.02],
                random_state=number,
            ),
        )
    inputs, targets = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    kept = np.concatenate(
        [
            rng.permutation(np.flatnonzero(targets == digit))[: max(8, int(178 * 0.6**digit))]
            for digit in range(10)
        ]
    )
    yield "digits", (inputs[kept].reshape(-1, 8, 8), targets[kept])


def scored(task: ogive.Task, seed: int) -> dict[str, float]:
    space = ogive.record(spaces.default(task), task)
    reference = space.complete(next(iter(spaces.default(task).references(task))))
    torch.manual_seed(seed)
    network = ogive.build(spaces.default(task), task, reference)
    recipe = Recipe.default(task)
    train(network, task, recipe, Run(seed=seed), precision="fp32")
    split = task.unseal()
    return task.score(predict(network, task, split), split.targets)


def main() -> None:
    torch.set_num_threads(1)
    found = {}
    for name, arrays in track([*data()], console=Console(stderr=True)):
        found[name] = {
            kind: [scored(ogive.load(arrays, metric=kind), seed) for seed in range(SEEDS)]
            for kind in KINDS
        }
    (RESULTS / "imbalance.json").write_text(json.dumps({"found": found, **machine()}))
    table = Table("data", *(f"{m}, trained for {k}" for m in KINDS for k in KINDS))
    for name, kinds in found.items():
        means = (100 * np.mean([run[m] for run in kinds[k]]) for m in KINDS for k in KINDS)
        table.add_row(name, *(f"{mean:.1f}" for mean in means))
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)


if __name__ == "__main__":
    main()
