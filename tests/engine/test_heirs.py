"""Searches in which children inherit their parents' weights."""

import pytest
from torch import nn

from ogive.engine import _loop, search
from ogive.estimators import Recipe, Training
from ogive.executors import SerialExecutor
from ogive.nn import ConvBNAct, Head, record
from ogive.strategies import RegularizedEvolution
from ogive.task import load

QUICK = Recipe(epochs=4, batch_size=64, lr=1e-2)


def network(choose, task):
    width = choose.integer("width", 4, 12)
    return nn.Sequential(
        ConvBNAct(task.channels, width, choose.value("kernel", (3, 5)), stride=2),
        choose.repeat("depth", (1, 2), lambda _, i: ConvBNAct(width, width)),
        Head(width, task.outputs),
    )


class Careless(RegularizedEvolution):
    """Does not say what it needs."""

    def needs(self):
        return set()


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture
def space(digits):
    return record(network, digits)


def evolved(folder, digits, space, kind=RegularizedEvolution, trials=14):
    """A search that only estimates, by training."""
    return search(
        space,
        estimator=Training(network, digits, QUICK),
        maximize="accuracy",
        strategy=kind(space, population=4, sample=2, inherit=0.5),
        executor=SerialExecutor(),
        workers=1,
        trials=trials,
        out=folder,
    ).summary["trials"]


def heirs(trials):
    return [trial for trial in trials if trial["role"] == "search" and trial["parent"] is not None]


def test_the_weights_of_those_that_may_be_parents_are_kept(digits, space, tmp_path, monkeypatch):
    monkeypatch.setattr(_loop, "_KEPT", 1)
    trials = evolved(tmp_path / "run", digits, space)
    assert len(heirs(trials)) >= 8
    assert all(trial["metrics"]["inherited"] > 0 for trial in heirs(trials))
    assert all(trial["metrics"]["epochs"] == 2 for trial in heirs(trials))
    left = {int(folder.name) for folder in (tmp_path / "run" / "trials").iterdir()}
    assert len(left) <= 4 + 2  # the population, and the best of either fidelity


def test_a_child_whose_parent_was_deleted_is_trained_in_full(digits, space, tmp_path, monkeypatch):
    monkeypatch.setattr(_loop, "_KEPT", 0)
    trials = evolved(tmp_path / "run", digits, space, Careless, trials=8)
    assert heirs(trials)
    for trial in heirs(trials):
        assert trial["state"] == "complete"
        assert trial["metrics"]["inherited"] == 0
        assert trial["metrics"]["epochs"] == 4


def test_the_finals_train_from_scratch(digits, space, tried):
    summary = tried(
        network,
        digits,
        recipe=QUICK.replace(epochs=3, patience=3),
        strategy=RegularizedEvolution(space, population=2, sample=2, inherit=True),
        workers=2,
        trials=10,
    )
    trials = {trial["number"]: trial for trial in summary["trials"]}
    assert all(trial["state"] == "complete" for trial in trials.values())
    best = max(heirs(trials.values()), key=lambda trial: trial["values"])
    finalists = [trial for trial in trials.values() if trial["role"] == "finalist"]
    assert best["architecture"] in [trial["architecture"] for trial in finalists]
    for trial in finalists:
        assert trial["parent"] is None
        assert "inherited" not in trial["metrics"]
    last = [trial for trial in trials.values() if trial["role"] == "final"]
    assert last
    assert all("inherited" not in trial["metrics"] for trial in last)
