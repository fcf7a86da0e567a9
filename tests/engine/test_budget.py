import re
import time
from concurrent.futures import Future
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive.engine import Budget
from ogive.engine._budget import plan, seconds_of
from ogive.engine._loop import Loop, _Job, _Ready, _Running
from ogive.engine._objectives import Objectives
from ogive.engine._search import _without_result
from ogive.engine._setup import references
from ogive.engine._state import Me, SearchState, ended, started
from ogive.errors import BudgetError, SettingError
from ogive.estimators import Recipe
from ogive.executors import SerialExecutor
from ogive.journal import MemoryJournal
from ogive.trial import Proposal


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("90", 90),
        (90, 90),
        ("30min", 1800),
        ("1.5h", 5400),
        ("1h30min", 5400),
        ("1h 30m", 5400),
        ("2 hours", 7200),
        ("10 minutes", 600),
        ("1d", 86400),
        ("500ms", 0.5),
    ],
)
def test_durations_are_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "soon", "5 parsecs", "-5s", "0", "10min later", "nan", 0, -1]
)
def test_what_is_no_duration_says_how_one_reads(text):
    with pytest.raises(SettingError, match="reads like"):
        seconds_of(text)


@pytest.mark.parametrize("settings", [{"trials": 0}, {"epochs": 0}])
def test_a_budget_is_positive(settings):
    with pytest.raises(SettingError, match="must hold"):
        Budget(**settings)


def planned(budget, **changes):
    settings = {
        "epoch_seconds": 1.0,
        "recipe": Recipe(epochs=30),
        "reference": True,
        "workers": 2,
        "threads": 1,
        "precision": "fp32",
    }
    return plan(budget, **(settings | changes))


def test_slow_checks_promise_a_slow_export_and_slow_loading_does_not():
    kept = [
        planned(Budget(seconds=600), spent=65, checks=checks).handover_seconds
        for checks in (5, 10, 20)
    ]
    assert kept[0] == kept[1] == kept[2] / 2


@given(
    seconds=st.floats(60, 36_000),
    epoch=st.floats(0.01, 2.0),
    workers=st.integers(1, 8),
    reference=st.booleans(),
    patience=st.sampled_from([None, 10]),
)
def test_the_finals_leave_room_for_a_search(seconds, epoch, workers, reference, patience):
    recipe = Recipe(epochs=30, patience=patience)
    made = planned(
        Budget(seconds),
        epoch_seconds=epoch,
        workers=workers,
        reference=reference,
        recipe=recipe,
    )
    assert 1 <= made.epochs <= 30
    assert made.epochs <= made.final_epochs <= 30
    assert made.finals_seconds + made.handover_seconds < 0.8 * seconds
    assert made.refit


@given(
    epochs=st.floats(3, 5_000),
    workers=st.integers(1, 8),
    recipe=st.sampled_from([Recipe(), Recipe(schedule="cosine"), Recipe(patience=10)]),
)
def test_the_search_gets_about_half_of_the_epochs(epochs, workers, recipe):
    made = planned(Budget(epochs=epochs), workers=workers, recipe=recipe)
    # An epoch each where there are too few.
    assert made.finals_epochs <= max(1.0001 * epochs / 2, min(12, epochs - made.epochs))
    assert 1 <= made.epochs <= made.final_epochs <= recipe.epochs


@given(trials=st.integers(1, 500), workers=st.integers(1, 8), reference=st.booleans())
def test_trials_are_kept_for_the_finals_but_not_all(trials, workers, reference):
    made = planned(Budget(trials=trials), workers=workers, reference=reference)
    assert 0 <= made.finals_trials < trials
    assert made.epochs == 30


@pytest.mark.parametrize("spent", [0.0, 15.0, 60.0])
@pytest.mark.parametrize("checks", [0.0, 30.0, 300.0])
def test_a_budget_too_short_says_what_would_do(spent, checks):
    took = {"epoch_seconds": 6.0, "spent": spent, "checks": checks}
    with pytest.raises(BudgetError, match=r"the budget is 20 s.* at least \d+ s") as caught:
        planned(Budget(20.0), **took)
    least = int(re.search(r"at least (\d+) s", str(caught.value))[1])
    assert planned(Budget(least), **took).epochs >= 1
    with pytest.raises(BudgetError):
        planned(Budget(least - 1.1), **took)


def test_a_few_epochs_are_for_fewer_finals_and_too_few_are_refused():
    made = planned(Budget(epochs=6))
    assert (made.finalists, made.reference) == (0, False)
    assert made.finals_epochs + made.epochs <= 6
    with pytest.raises(BudgetError, match="at least 3 epochs"):
        planned(Budget(epochs=2))


def test_a_budget_that_ended_before_the_first_trial_is_no_fault_of_the_trials(tmp_path):
    error = _without_result(SearchState(Objectives(("accuracy",))), tmp_path)
    assert isinstance(error, BudgetError)
    assert "0 trials begun" in str(error)


def test_no_time_is_kept_for_more_than_the_recipe_wants():
    # Two rounds of first trainings, and one of final ones, which may be no longer than they are.
    made = planned(Budget(seconds=100_000), recipe=Recipe(epochs=30, decay=0.5))
    assert made.epochs == made.final_epochs == 30
    assert made.finals_seconds == pytest.approx(2 * 30 + (30 - 15))
    assert not made.playoff
    # A playoff goes on where the finalists' decay began, a final training where its own did.
    short = planned(Budget(seconds=60), recipe=Recipe(epochs=30, decay=0.5))
    assert short.playoff
    assert short.final_epochs == pytest.approx(2 * short.epochs)
    assert short.finals_seconds == pytest.approx((2 + (2 - 0.5) + (2 - 1)) * short.epochs)
    assert short.finals_trials == 4 + 2 + 2


@pytest.mark.parametrize(
    "budget", [Budget(seconds=60), Budget(epochs=60), Budget(seconds=60, epochs=60)]
)
def test_a_final_training_goes_on_while_there_is_time(prepared, budget):
    recipe, me, journal = Recipe(epochs=30), Me(), MemoryJournal()
    setup = replace(prepared(None, {}, recipe), budget=budget)
    small, *_, large = references(setup)
    made = planned(budget, recipe=recipe, alone=2)
    assert made.final_epochs < 30
    loop = Loop(setup, made, small, journal, me, SerialExecutor(), print)
    journal.append(me.entered({}))
    for number, (architecture, role) in enumerate([(small, "reference"), (small, "final")]):
        proposal = Proposal(architecture, parent=None if role == "reference" else 0)
        journal.append(started(me, number, proposal, role))
    journal.append(ended(me, 0, "complete", metrics={"accuracy": 0.9}))
    loop.sync()
    run = loop._run(loop.state.trials[1])
    assert run.threads == 2  # It has the machine to itself: the reference is the winner.
    timed = budget.seconds is not None
    longest = 30 if budget.epochs is None else made.final_epochs  # Epochs are counted out.
    assert loop._epochs(loop.state.trials[1]) == longest
    assert (run.deadline is not None) == timed
    begun = time.monotonic() - 0.5 * (run.deadline or 0.0)
    ready = _Ready(loop.state.trials[1], run, {}, 0.0)
    share = loop._share(_Running(ready, _Job(1, Future(), begun)))
    assert share == pytest.approx(0.5 if timed else 0.0, abs=0.05)
    journal.append(started(me, 2, Proposal(large), "finalist"))
    journal.append(ended(me, 2, "complete", metrics={"accuracy": 0.95}))
    loop.sync()
    assert loop._run(loop.state.trials[1]).threads == 1


def test_trainings_that_begin_together_share_the_epochs_that_are_left(prepared):
    recipe = Recipe(epochs=30)
    setup = replace(prepared(None, {}, recipe), budget=Budget(epochs=100))
    made = planned(setup.budget, recipe=recipe)
    loop = Loop(setup, made, None, MemoryJournal(), Me(), SerialExecutor(), print)
    left = 100 - made.finals_epochs
    asked = [Proposal(architecture) for architecture in references(setup)]
    begun = list(loop._within_epochs(asked))
    assert 0 < len(begun) == int(left / made.epochs + 1e-6) < len(asked)


@pytest.mark.parametrize(("left", "begun"), [(50.0, True), (0.5, False)])
def test_no_final_training_is_begun_without_time(prepared, left, begun):
    """Of a few steps it would be worse than the finalist that is there."""
    me, journal = Me(), MemoryJournal()
    setup = replace(prepared(None, {}, Recipe(epochs=30)), budget=Budget(seconds=1000.0))
    made = replace(planned(setup.budget), full_seconds=10.0, handover_seconds=1000.0 - left)
    small, *_ = references(setup)
    loop = Loop(setup, made, small, journal, me, SerialExecutor(), print)
    journal.append(me.event("closed", reason="time"))
    loop.sync()
    assert list(loop._finals_left())  # There is nothing yet: a few steps are better than none.
    journal.append(started(me, 0, Proposal(small), "reference"))
    journal.append(ended(me, 0, "complete", metrics={"accuracy": 0.9}))
    loop.sync()
    assert bool(list(loop._finals_left())) == begun


def test_epochs_that_running_trials_may_leave_are_waited_for(prepared):
    recipe, me, journal = Recipe(epochs=30), Me(), MemoryJournal()
    setup = replace(prepared(None, {}, recipe), budget=Budget(epochs=100))
    made = planned(setup.budget, recipe=recipe)
    loop = Loop(setup, made, None, journal, me, SerialExecutor(), print)
    journal.append(me.entered({}))
    fitting = int((100 - made.finals_epochs) / made.epochs + 1e-6)
    for number in range(fitting):
        proposal = Proposal(setup.space.sample(Random(number)))
        journal.append(started(me, number, proposal, "search"))
    loop.sync()
    with journal.exclusive():
        assert loop._search_proposals(1) == []
    assert loop.state.closed is None
    loop._setup, asking = replace(setup, strategy=None), loop._setup
    assert loop._search_proposals(1) == []  # Before one ends nothing is asked again.
    loop._setup = asking
    for number, epochs in enumerate([0.0, *[made.epochs] * (fitting - 1)]):
        assert loop.state.closed is None
        metrics = {"accuracy": 0.5, "epochs": epochs}
        journal.append(ended(me, number, "complete", metrics=metrics))
        loop.sync()
        assert len(loop._search_proposals(1)) == 1  # What the first one left.
    journal.append(started(me, fitting, proposal, "search"))
    journal.append(ended(me, fitting, "complete", metrics=metrics))
    loop.sync()
    with journal.exclusive():
        assert loop._search_proposals(1) == []
    assert loop.state.closed == "epochs"
