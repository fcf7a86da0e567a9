import json
from dataclasses import replace
from random import Random

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ogive import spaces
from ogive import task as tasks
from ogive.errors import OgiveError, TrialFailed
from ogive.estimators import (
    Curve,
    Recipe,
    Run,
    Stopping,
    Training,
    size_class,
    train_together,
)
from ogive.estimators import _together as module
from ogive.estimators import _train as train
from ogive.nn import build, record
from ogive.space import Architecture

CLOSE = 1e-4


@pytest.fixture(scope="module")
def diabetes():
    return tasks.load("diabetes")


def sampled(task, recipe, count, widest=32):
    """Architectures of the default space that are stacked with each other."""
    function = spaces.default(task)
    space, rng, found = record(function, task), Random(5), []
    while len(found) < count:
        architecture = space.sample(rng)
        network = build(function, task, architecture)
        if size_class(network, recipe) == widest:
            found.append(architecture)
    return found


def runs_in(folder, count, **settings):
    runs = []
    for number in range(count):
        path = folder / str(number)
        path.mkdir(parents=True)
        runs.append(Run(number=number, seed=40 + number, folder=path, device="cpu", **settings))
    return runs


def weights(run):
    return load_file(run.folder / "model.safetensors")


def assert_same(mine, theirs):
    """Metrics that agree to 1e-4, of 1 or of their size."""
    assert isinstance(mine, dict), mine
    assert mine.keys() == theirs.keys()
    for name in mine.keys() - {"train_seconds"}:
        assert mine[name] == pytest.approx(theirs[name], abs=CLOSE, rel=CLOSE), name


def assert_same_files(mine, theirs):
    """Weights that agree but for a few: of one whose gradient is all rounding AdamW makes much."""
    first, second = weights(mine), weights(theirs)
    assert first.keys() == second.keys()
    differences = []
    for name, value in second.items():
        still = first[name] == value  # what is infinite among it
        differences.append(torch.where(still, 0.0, first[name].float() - value.float()).flatten())
    assert (torch.cat(differences).abs() > CLOSE).float().mean() < 0.01
    curves = [(run.folder / "curve.jsonl").read_text().splitlines() for run in (mine, theirs)]
    assert len(curves[0]) == len(curves[1])
    for line, other in zip(*curves, strict=True):
        assert_same(json.loads(line), json.loads(other))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("diabetes", {"epochs": 3, "lr": 5e-3}),
        (
            "breast_cancer",
            {
                "epochs": 2,
                "ema": 0.5,
                "mixup": 0.2,
                "clip": 1.0,
                "patience": None,
                "schedule": "cosine",
            },
        ),
        (
            "breast_cancer",
            {"epochs": 2, "optimizer": "sgd", "lr": 2e-3, "clip": 1.0, "label_smoothing": 0.1},
        ),
    ],
    ids=["default", "rich", "sgd"],
)
def test_each_network_ends_where_it_does_alone(name, tmp_path, changes):
    task = tasks.load(name)
    recipe = Recipe.default(task).replace(epochs=4, patience=3).replace(**changes)
    training = Training(spaces.default(task), task, recipe)
    architectures = sampled(task, recipe, 5)
    batch = any(a.get("norm") == "batch" for a in architectures)
    assert batch == (recipe.optimizer == "sgd")
    together, alone = runs_in(tmp_path / "together", 5), runs_in(tmp_path / "alone", 5)
    found = train_together(training, architectures, together)
    for architecture, run, other, metrics in zip(
        architectures, together, alone, found, strict=True
    ):
        assert_same(metrics, training(architecture, other))
        assert_same_files(run, other)


def test_what_is_stopped_leaves_the_others(diabetes, tmp_path):
    recipe = Recipe.default(diabetes).replace(epochs=3, patience=None)
    training = Training(spaces.default(diabetes), diabetes, recipe)
    architectures = sampled(diabetes, recipe, 5)
    losses = tuple(Curve.of_losses((1, 3), (0.9 - 0.05 * i, 0.5 - 0.02 * i)) for i in range(8))
    ends = tuple(0.5 + 0.02 * i for i in range(8))
    against = Stopping(0.05, greater=True, step=0.0, losses=losses, ends=ends, best=0.9)
    together = [
        replace(run, stopping=against if run.number % 2 else None) for run in runs_in(tmp_path, 5)
    ]
    found = train_together(training, architectures, together)
    assert ["stopped_at" in metrics for metrics in found] == [False, True, False, True, False]
    for architecture, run, metrics in zip(architectures, together, found, strict=True):
        assert_same(metrics, training(architecture, replace(run, folder=None)))


def test_networks_that_lose_patience_leave_the_others(diabetes, tmp_path):
    recipe = Recipe.default(diabetes).replace(epochs=14, patience=2, lr=1e-2)
    training = Training(spaces.default(diabetes), diabetes, recipe)
    architectures = sampled(diabetes, recipe, 8)
    together = train_together(training, architectures, runs_in(tmp_path, 8))
    alone = [training(a, Run(seed=40 + n, device="cpu")) for n, a in enumerate(architectures)]
    assert len({metrics["epochs"] for metrics in together}) > 3
    for mine, theirs in zip(together, alone, strict=True):
        assert_same(mine, theirs)


def test_a_promoted_trial_goes_on_from_a_stack_and_into_one(diabetes, tmp_path):
    recipe = Recipe.default(diabetes).replace(epochs=3, patience=None, lr=5e-3, ema=4.0)
    training = Training(spaces.default(diabetes), diabetes, recipe)
    architectures = sampled(diabetes, recipe, 4)
    low = runs_in(tmp_path / "low", 4, fidelity=2 / 3)
    train_together(training, architectures, low)
    parents = [run.folder for run in low]
    full = [
        Run(number=n, seed=40 + n, folder=run.folder, parent=parent, device="cpu")
        for n, (run, parent) in enumerate(zip(runs_in(tmp_path / "full", 4), parents, strict=True))
    ]
    scratch = runs_in(tmp_path / "scratch", 4)
    for number, found in enumerate(train_together(training, architectures, full)):
        alone = training(architectures[number], scratch[number])
        assert found["epochs"] < alone["epochs"] == 3
        assert found["r2"] == pytest.approx(alone["r2"], abs=CLOSE)
        once_more = Run(seed=40 + number, parent=parents[number], device="cpu")
        assert training(architectures[number], once_more)["r2"] == pytest.approx(
            alone["r2"], abs=CLOSE
        )


class Exploding(nn.Linear):
    """Raises when it is built; it stands for a user's own mistake."""

    def __init__(self, *sizes):
        raise RuntimeError("no such layer")


def mixed(choose, task):
    width = choose.value("width", (4, 5, 6, 7, 300))
    kind = choose.value("kind", ("usual", "huge", "broken", "own"))
    if kind == "broken":
        Exploding(1, 1)
    last = nn.Linear(width, task.outputs)
    if kind == "huge":
        nn.init.constant_(last.weight, 1e38)
    own = [nn.Softsign()] if kind == "own" else []
    return nn.Sequential(nn.Linear(len(task.train.inputs[0]), width), nn.ReLU(), *own, last)


def test_what_fails_and_what_is_not_stacked_costs_the_others_nothing(diabetes):
    recipe = Recipe(epochs=6, batch_size=32, lr=1e-2)
    training = Training(mixed, diabetes, recipe)
    kinds = ["usual", "huge", "usual", "broken", "usual", "own", "usual"]
    widths = [4, 5, 6, 4, 7, 4, 300]
    architectures = [
        Architecture({"width": width, "kind": kind})
        for width, kind in zip(widths, kinds, strict=True)
    ]
    runs = [Run(number=n, seed=n, device="cpu") for n in range(7)]
    found = train_together(training, architectures, runs)
    for kind, architecture, run, outcome in zip(kinds, architectures, runs, found, strict=True):
        if kind in ("huge", "broken"):
            with pytest.raises(OgiveError) as alone:
                training(architecture, run)
            assert type(outcome) is type(alone.value)
            assert str(outcome) == str(alone.value)
        else:
            assert_same(outcome, training(architecture, run))
    assert isinstance(found[1], TrialFailed)


def test_a_stack_that_breaks_is_trained_one_by_one(diabetes, tmp_path, monkeypatch):
    recipe = Recipe.default(diabetes).replace(epochs=4, lr=1e-2)
    training = Training(spaces.default(diabetes), diabetes, recipe)
    architectures, runs = sampled(diabetes, recipe, 4), runs_in(tmp_path, 4)

    def broken(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(module._Table, "step", broken)
    found = train_together(training, architectures, runs)
    for architecture, run, metrics in zip(architectures, runs, found, strict=True):
        assert_same(metrics, training(architecture, Run(seed=run.seed, device="cpu")))
        assert len((run.folder / "curve.jsonl").read_text().splitlines()) == 4


def test_a_deadline_holds_for_all_of_a_stack(diabetes, clock):
    recipe = Recipe.default(diabetes).replace(epochs=5000, patience=None, lr=1e-2)
    training = Training(spaces.default(diabetes), diabetes, recipe)
    runs = [Run(number=n, seed=40 + n, device="cpu", deadline=1.5) for n in range(5)]
    clock(train, look=0.001)
    found = train_together(training, sampled(diabetes, recipe, 5), runs)
    assert all(isinstance(metrics, dict) for metrics in found), found
    # None was left to train after the others.
    assert sum(metrics["train_seconds"] for metrics in found) < 1.5
    epochs = [metrics["epochs"] for metrics in found]
    assert min(epochs) > 0.9 * max(epochs)  # They go side by side, to the end of a common time.


def test_those_that_go_on_from_elsewhere_have_their_share_of_the_time(diabetes, tmp_path, clock):
    recipe = Recipe.default(diabetes).replace(epochs=5000, patience=None, lr=1e-2)
    training = Training(spaces.default(diabetes), diabetes, recipe)
    architectures, runs = sampled(diabetes, recipe, 8), []
    for number, first in enumerate(runs_in(tmp_path / "first", 8)):
        run = replace(first, fidelity=(1 if number < 4 else 3) / 5000)
        training(architectures[number], run)
        runs.append(Run(seed=run.seed, parent=run.folder, device="cpu", deadline=3.0))
    clock(train, look=0.001)
    epochs = [metrics["epochs"] for metrics in train_together(training, architectures, runs)]
    assert min(epochs) > 0.8 * max(epochs)


def test_a_stack_that_breaks_leaves_the_same_time_to_its_networks():
    assert module._sharing(Run(deadline=8.0), 4).deadline == 2.0
    assert module._sharing(Run(), 4).deadline is None
