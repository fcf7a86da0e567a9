"""Trials that are stopped, because they will not reach the best."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from torch import nn

from ogive.cli._print import print_summary
from ogive.engine import search, summarize
from ogive.engine._objectives import Objectives
from ogive.engine._state import SearchState
from ogive.engine._stopping import stopping
from ogive.errors import SettingError
from ogive.estimators import Recipe
from ogive.executors import SerialExecutor
from ogive.journal import open_journal

QUICK = Recipe(epochs=5, batch_size=64, lr=1e-2)


def perceptron(choose, task):
    """Networks that are good or bad from the first epoch on."""
    width, drop = choose.value("width", (1, 2, 8, 32)), choose.value("drop", (0.0, 0.5, 0.9))
    start, end = nn.Linear(task.shape[0], width), nn.Linear(width, task.outputs)
    return nn.Sequential(start, nn.ReLU(), nn.Dropout(drop), end)


def stopped_search(folder, **settings):
    defaults = {
        "trials": 16,
        "workers": 1,
        "executor": SerialExecutor(),
        "recipe": QUICK,
        "strategy": "random",
        "stop_below": 0.2,
        "bundle": False,
        "out": folder,
    }
    return search(perceptron, "breast_cancer", **(defaults | settings))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopping") / "run"
    said = []
    result = stopped_search(folder, progress=said.append)
    return result, said


def test_trainings_are_stopped_and_none_of_them_is_the_best(run):
    result, _ = run
    trials = result.trials
    stopped = trials[trials["stopped_at"].notna()]
    assert 1 <= len(stopped) < len(trials)
    assert set(stopped["state"]) == {"complete"}
    assert (stopped["stopped_at"] < 5).all()
    assert (stopped["epochs"] == stopped["stopped_at"]).all()
    assert result.best.stopped_at is None
    whole = trials[trials["stopped_at"].isna() & (trials["role"] != "final")]
    assert result.best.value == whole["accuracy"].max()
    assert set(trials.loc[trials["role"] != "search", "stopped_at"].dropna()) == set()


def test_a_strategy_is_told_what_a_stopped_one_would_have_reached(run):
    result, _ = run
    for trial in result.summary["trials"]:
        metrics = trial["metrics"]
        if "stopped_at" in metrics:
            assert trial["values"] == [metrics["expected"]]
            assert metrics["accuracy"] == trial["curve"][-1]["accuracy"]
        elif trial["role"] == "search":
            assert trial["values"] == [metrics["accuracy"]]


def states(folder):
    """The state after each event, and the event."""
    with open_journal(folder / "journal.db", read_only=True) as journal:
        state = SearchState(Objectives(("accuracy",)))
        for _, event in journal.read():
            state.apply(event)
            yield event, state


def test_a_trial_is_compared_with_what_was_known_when_it_started(run):
    result, _ = run
    setup, given = result._setup, {}
    for event, state in states(result.folder):
        if event["kind"] == "started":
            given[event["number"]] = stopping(setup, 5, state, state.trials[event["number"]])
    for number, then in given.items():  # By now all is known, as it is to who runs it again.
        assert stopping(setup, 5, state, state.trials[number]) == then
    numbers = [n for n, found in given.items() if found is not None]
    assert numbers[0] == 1
    last = given[max(n for n in numbers if state.trials[n].role == "search")]
    latest = max(n for n in numbers if given[n] == last)
    whole = [t for t in state.role("search") if t.number < latest and t.stopped_at is None]
    assert list(last.ends) == [t.metrics["accuracy"] for t in whole]
    assert last.best == max(last.ends)
    assert last.losses[0].epochs == (1, 2, 3, 4, 5)
    assert given[max(given)] is None  # the final training


def test_one_that_inherits_weights_is_neither_stopped_nor_compared_with(run):
    result, _ = run
    *_, (_, state) = states(result.folder)
    searched = state.role("search")
    whole, last = [t for t in searched if t.in_full], searched[-1]
    given = stopping(result._setup, 5, state, last)
    assert given.ends == tuple(t.metrics["accuracy"] for t in whole if t != last)

    def heir(trial):
        other = next(t.number for t in searched if t.architecture != trial.architecture)
        return replace(trial, proposal=replace(trial.proposal, parent=other))

    assert stopping(result._setup, 5, state, heir(last)) is None
    state.trials[whole[0].number] = heir(whole[0])
    assert stopping(result._setup, 5, state, last).ends == given.ends[1:]


def test_it_is_said_wherever_one_looks(run):
    result, said = run
    told = result.summary["stopped"]
    trials = [t for t in result.summary["trials"] if "stopped_at" in t["metrics"]]
    assert told["below"] == 0.2
    assert told["trials"] == len(trials) == said[-1].stopped
    assert told["epochs"] == sum(5 - t["metrics"]["stopped_at"] for t in trials)
    assert summarize(result.folder)["stopped"] == told
    page = result.report.read_text()
    assert f"Full trainings stopped early: {len(trials)}, each when it was less than 20 %" in page
    assert "stopped: expected" in page
    screen = io.StringIO()
    print_summary(result.summary, Console(file=screen, width=160))
    assert f"Full trainings stopped early: {len(trials)}, each" in screen.getvalue()
    assert any("stopped after epoch" in (s.message or "") for s in said)


def test_only_full_trainings_of_a_search_are_stopped_and_only_if_asked(run):
    result, _ = run
    *_, (_, state) = states(result.folder)
    setup = result._setup
    trial = [t for t in state.role("search") if t.stopped_at is not None][-1]

    def given(setup, trial):
        return stopping(setup, 5, state, trial)

    assert given(setup, trial) is not None
    short = replace(trial, proposal=replace(trial.proposal, fidelity=1 / 3))
    for other in (short, replace(trial, role="finalist"), replace(trial, role="reference")):
        assert given(setup, other) is None
    assert given(replace(setup, stop_below=None), trial) is None


def test_what_the_time_ended_is_to_be_beaten_and_foresees_nothing(run):
    result, _ = run
    *_, (_, state) = states(result.folder)
    setup = result._setup
    trial = [t for t in state.role("search") if t.stopped_at is not None][-1]
    first = state.trials[0]

    def given(**changes):
        state.trials[0] = replace(first, **changes)
        return stopping(setup, 5, state, trial)

    better, cut = {**first.metrics, "accuracy": 0.999}, first.curve[:3]
    assert given(metrics=better).ends[0] == 0.999
    slow = given(metrics=better, curve=cut)
    assert 0.999 not in slow.ends
    assert slow.best == 0.999
    assert len(slow.losses) == len(slow.ends) == len(given().ends) - 1
    assert len(given(curve=()).ends) == len(slow.ends)
    # Where patience ended it, it would have come to no more.
    setup = replace(setup, recipe=QUICK.replace(patience=2))
    out = given(metrics={**first.metrics, "best_epoch": 1.0}, curve=cut)
    assert out.losses[0].epochs == (1, 2, 3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stop_below": 1.5}, "between 0 and 1, but got 1.5"),
        ({"stop_below": -0.1}, "between 0 and 1"),
        ({"minimize": "params"}, "accuracy, params"),
        ({"estimator": lambda architecture, run: {"accuracy": 0.5}}, "an estimator of its own"),
    ],
)
def test_where_it_makes_no_sense_it_is_refused(tmp_path, settings, said):
    with pytest.raises(SettingError, match=said):
        stopped_search(tmp_path / "run", **settings)
