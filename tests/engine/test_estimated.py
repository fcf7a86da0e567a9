"""Searches that ask an estimator of one's own, and train what it likes best."""

from collections import Counter

import pytest
from torch import nn

from ogive.errors import TrialFailed
from ogive.estimators import Recipe
from ogive.nn import annotate

QUICK = Recipe(epochs=2)


@annotate(references=lambda task: [{"width": 12}])
def narrow(choose, task):
    width = choose.integer("width", 4, 16)
    side = -(-task.height // 2) * -(-task.width // 2)
    return nn.Sequential(
        nn.Conv2d(task.channels, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * side, task.outputs),
    )


@pytest.mark.parametrize("goal", ["guess", "accuracy", "loss_guess"])
def test_the_best_by_an_estimate_are_trained_beside_the_reference(tried, goal):
    """An estimate may be of the name of a metric: it is no training for all that."""

    def guess(architecture, run):
        return {goal: float(architecture["width"])}

    down = goal == "loss_guess"
    goals = {"maximize": (), "minimize": goal} if down else {"maximize": goal}
    summary = tried(
        narrow, "digits", estimator=guess, strategy="random", recipe=QUICK, trials=16, **goals
    )
    trials = summary["trials"]
    roles = Counter(trial["role"] for trial in trials)
    assert roles["reference"] == 1
    assert roles["finalist"] >= 2
    assert roles["final"] >= 1
    trained = [trial for trial in trials if trial["role"] != "search"]
    assert all(trial["state"] == "complete" and trial["metrics"]["epochs"] for trial in trained)
    widths = {t["architecture"]["width"] for t in trained if t["role"] == "finalist"}
    wanted = sorted({t["architecture"]["width"] for t in trials if t["role"] == "search"} - {12})
    assert widths == set(wanted[: len(widths)] if down else wanted[-len(widths) :])
    assert all(t["parent"] is None for t in trained if t["role"] in ("finalist", "reference"))
    best = summary["best"]
    assert best["role"] in ("finalist", "reference", "playoff")
    accuracies = [t["metrics"]["accuracy"] for t in trained if t["role"] != "final"]
    assert best["metrics"]["accuracy"] == max(accuracies)


def test_with_more_of_the_budget_a_search_that_found_nothing_goes_on(tried, tmp_path):
    mended = tmp_path / "mended"

    def guess(architecture, run):
        if not mended.exists():
            raise RuntimeError("no such file")
        return {"guess": 1.0}

    def function(choose, task):
        return narrow(choose, task)  # It has no reference, which would train.

    asked = {"estimator": guess, "maximize": "guess", "strategy": "random", "recipe": QUICK}
    with pytest.raises(TrialFailed, match="no such file"):
        tried(function, "digits", trials=4, progress=lambda _: None, **asked)
    mended.touch()
    summary = tried(function, "digits", trials=16, **asked)
    assert summary["best"]["metrics"]["accuracy"] > 0.3
