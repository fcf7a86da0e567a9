"""Searches whose cheap trainings have less data, and whose finals have all of it."""

import pytest
from torch import nn

from ogive.engine import search
from ogive.errors import JournalMismatch, SettingError
from ogive.estimators import Recipe
from ogive.nn import record
from ogive.strategies import ASHA
from ogive.task import load

QUICK = Recipe(epochs=4, batch_size=64, lr=1e-2)


def narrow(choose, task):
    width = choose.integer("width", 8, 32)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, task.outputs)
    )


@pytest.fixture
def digits_space():
    return record(narrow, load("digits"))


def test_promoted_trials_begin_anew_and_the_finals_have_all_data(tried, tmp_path, digits_space):
    def searched(**settings):
        strategy = ASHA(digits_space, eta=2, min_fidelity=0.5)
        return tried(narrow, "digits", recipe=QUICK, strategy=strategy, trials=9, **settings)

    summary = searched(fidelity="data")
    trials = summary["trials"]
    assert all(trial["state"] == "complete" for trial in trials)
    for trial in trials:
        folder = tmp_path / "run" / "trials" / f"{trial['number']:06d}"
        if trial["role"] == "search":
            assert trial["metrics"]["epochs"] == pytest.approx(4 * trial["fidelity"], abs=0.2)
            assert (folder / "checkpoint.pt").exists() == (trial["fidelity"] == 1)
            assert len(trial["curve"]) == 4
    assert any(trial["parent"] is not None for trial in trials if trial["role"] == "search")
    assert trials[summary["best"]["number"]]["metrics"]["accuracy"] > 0.8
    # The same search goes on; one of another fidelity is another search.
    assert searched(fidelity=("data",))["best"] == summary["best"]
    with pytest.raises(JournalMismatch, match="fidelity"):
        searched()


@pytest.mark.parametrize(
    ("fidelity", "message"),
    [("resolution", "more than 8 pixels"), ("width", "has none"), ("time", "'time'")],
)
def test_what_cannot_be_less_is_refused_before_anything_runs(tmp_path, fidelity, message):
    def fixed(choose, task):
        size = choose.integer("features", 8, 32)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, size), nn.Linear(size, task.outputs))

    with pytest.raises(SettingError, match=message):
        search(fixed, "digits", trials=4, fidelity=fidelity, out=tmp_path / "run")
