import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive.engine._objectives import Objectives, exceeded
from ogive.engine._state import LEASE, Clock, Me, SearchState, ended, started
from ogive.errors import TrialFailed
from ogive.space import Architecture
from ogive.trial import Proposal

ARCHITECTURE = Architecture({"width": 8})


def test_the_clock_counts_time_of_several_processes_once():
    clock = Clock()
    for process, at in [("a", 0), ("a", 10), ("b", 5), ("b", 15), ("c", 100), ("c", 101)]:
        clock.seen(process, at)
    assert clock.used() == 16
    assert clock.used("c", 105) == 20
    assert clock.at(12) == 12
    assert clock.at(50) == 15


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1000)), min_size=1))
def test_the_clock_never_exceeds_the_whole_span(events):
    clock = Clock()
    for process, at in events:
        clock.seen(process, at)
    times = [at for _, at in events]
    assert 0 <= clock.used() <= max(times) - min(times) + 1e-6


def state_with(*events):
    state = SearchState(Objectives(("accuracy",)))
    for event in events:
        state.apply(event)
    return state


def test_a_trial_of_a_dead_process_is_an_orphan():
    me, dead = Me(), Me(name="dead", pid=2**22 - 1, born=0.0)
    state = state_with(
        me.entered({}),
        dead.entered({}),
        started(me, 0, Proposal(ARCHITECTURE), "search"),
        started(dead, 1, Proposal(ARCHITECTURE), "search"),
    )
    assert [trial.number for trial in state.orphans("me", time.time())] == [1]


def test_a_process_of_this_machine_that_stood_still_keeps_its_trials():
    me = Me()
    state = state_with(me.entered({}), started(me, 0, Proposal(ARCHITECTURE), "search"))
    assert not state.orphans("me", time.time() + 10 * LEASE)


def test_a_trial_of_another_machine_is_an_orphan_when_its_lease_runs_out():
    other = Me(name="other", host="elsewhere")
    state = state_with(other.entered({}), started(other, 0, Proposal(ARCHITECTURE), "search"))
    now = time.time()
    assert not state.orphans("me", now + LEASE - 5)
    assert state.orphans("me", now + LEASE + 5)
    state.apply({"kind": "alive", "process": "other", "at": now + LEASE})
    assert not state.orphans("me", now + LEASE + 5)


def test_the_first_word_on_a_trial_counts():
    me = Me()
    state = state_with(
        me.entered({}),
        started(me, 0, Proposal(ARCHITECTURE), "search"),
        ended(me, 0, "complete", metrics={"accuracy": 0.5, "epochs": 2.0}),
        ended(me, 0, "failed", error="late"),
    )
    assert state.trials[0].state == "complete"
    assert state.trials[0].values == (0.5,)
    assert dict(state.counts) == {"running": 0, "complete": 1}
    assert state.epochs == 2


@pytest.mark.parametrize(
    ("budget", "closed"),
    [
        ({"trials": 9, "seconds": None}, "trials"),
        ({"trials": 9, "seconds": 60.0}, "trials"),
        ({"trials": 12, "seconds": None}, None),
        ({"trials": None, "seconds": 60.0}, None),
    ],
)
def test_with_more_of_what_closed_it_a_search_goes_on(budget, closed):
    me, again = Me(), Me(name="again")
    events = [
        me.entered({"trials": 9, "seconds": None}),
        me.event("closed", reason="trials"),
        me.event("left"),
    ]
    assert state_with(*events, again.entered(budget)).closed == closed
    assert state_with(*events, me.event("tested"), again.entered(budget)).closed == "trials"


@pytest.mark.parametrize("metrics", [{"accuracy": float("nan")}, {"loss": 1.0}, {}])
def test_a_trial_without_its_objective_failed(metrics):
    me = Me()
    state = state_with(
        me.entered({}),
        started(me, 0, Proposal(ARCHITECTURE), "search"),
        ended(me, 0, "complete", metrics=metrics),
    )
    assert state.trials[0].state == "failed"
    assert "accuracy" in state.trials[0].error


def test_of_an_architecture_the_longest_training_counts():
    me = Me()
    other = Architecture({"width": 16})
    events = [me.entered({})]
    for number, (architecture, fidelity, accuracy) in enumerate(
        [(ARCHITECTURE, 0.1, 0.9), (other, 0.1, 0.8), (ARCHITECTURE, 1.0, 0.7)]
    ):
        events.append(started(me, number, Proposal(architecture, fidelity), "search"))
        events.append(ended(me, number, "complete", metrics={"accuracy": accuracy}))
    state = state_with(*events)
    assert [trial.number for trial in state.ranked()] == [1, 2]
    assert state.best().number == 2  # It was trained in full.


def test_one_that_was_stopped_is_neither_the_best_nor_trained_in_full():
    me = Me()
    events = [me.entered({})]
    for number, more in enumerate([{}, {"stopped_at": 2.0, "expected": 0.7}]):
        architecture = Architecture({"width": number})
        metrics = {"accuracy": 0.6 + 0.3 * number, **more}
        events.append(started(me, number, Proposal(architecture), "search"))
        events.append(ended(me, number, "complete", metrics=metrics))
    state = state_with(*events)
    assert state.best().number == 0
    assert [trial.number for trial in state.full()] == [0]
    assert [(t.number, t.value) for t in state.ranked()] == [(1, 0.7), (0, 0.6)]
    assert state.stopped == 1


def test_objectives_are_turned_so_that_larger_is_better():
    objectives = Objectives(("accuracy",), ("latency_ms",))
    assert objectives.values({"accuracy": 0.5, "latency_ms": 3.0}) == (0.5, -3.0)
    with pytest.raises(TrialFailed, match="latency_ms"):
        objectives.values({"accuracy": 0.5})


def test_limits_hold_at_their_value_and_not_for_nan():
    assert exceeded({"params": 10.0}, {"params": 10.0}) is None
    assert "params" in exceeded({"params": 11.0}, {"params": 10.0})
    assert exceeded({"params": float("nan")}, {"params": 10.0})
