"""Several trials that a worker trains at once."""

import os
import signal
import time
from concurrent.futures import Future
from dataclasses import replace

import pytest
import torch
from torch import nn

from ogive.engine import Budget, _preflight, search
from ogive.engine._budget import plan
from ogive.engine._loop import Loop, _Job, _Ready, _Running
from ogive.engine._state import Me
from ogive.errors import SettingError
from ogive.estimators import Recipe, Run
from ogive.executors import SerialExecutor, WorkerPool
from ogive.journal import MemoryJournal
from ogive.space import Architecture
from ogive.trial import Proposal, Trial

BRIEF = Recipe(epochs=3, batch_size=64)
on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="networks are stacked on the CPU")


def small(choose, task):
    """Stacked with each other but for the wide ones."""
    width = choose.value("width", (4, 6, 8, 10, 12, 16, 200))
    return nn.Sequential(
        nn.Linear(task.shape[0], width),
        choose.layer("activation", {"relu": nn.ReLU, "gelu": nn.GELU}),
        nn.Linear(width, task.outputs),
    )


class Counting(SerialExecutor):
    """Notes how many trials each call runs."""

    def __init__(self):
        self.sizes = []

    def submit(self, fn, /, *args, **kwargs):
        if fn.__name__.startswith("run_trial"):
            self.sizes.append(len(args[4]) if fn.__name__ == "run_trials" else 1)
        return super().submit(fn, *args, **kwargs)


def searched(summary):
    return {
        Architecture(trial["architecture"]): trial
        for trial in summary["trials"]
        if trial["role"] == "search"
    }


@on_cpu
def test_trials_that_are_trained_at_once_end_as_each_alone(tried, tmp_path):
    settings = {"strategy": "random", "recipe": BRIEF, "trials": 20}
    counted, alone = Counting(), Counting()
    summary = tried(small, "diabetes", executor=counted, together=8, **settings)
    mine = searched(summary)
    theirs = searched(tried(small, "diabetes", executor=alone, out=tmp_path / "alone", **settings))
    assert set(alone.sizes) == {1}
    assert max(counted.sizes) > 4  # Of eight some are wide, and those are alone.
    assert sum(counted.sizes) == len(summary["trials"])
    assert mine.keys() == theirs.keys()
    for architecture, trial in mine.items():
        other = theirs[architecture]
        assert trial["metrics"]["r2"] == pytest.approx(other["metrics"]["r2"], abs=1e-4)
        assert trial["seconds"] > 0
        assert len(trial["curve"]) == len(other["curve"]) > 0


def test_of_those_whose_worker_died_each_is_tried_by_itself(tried):
    here = os.getpid()

    def deadly(choose, task):
        network = small(choose, task)
        # The time of a step is measured with a network of medium width, in a worker, too.
        if network[0].out_features == 4 and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return network

    with WorkerPool(1) as pool:
        summary = tried(
            deadly,
            "diabetes",
            strategy="random",
            recipe=BRIEF,
            trials=12,
            together=6,
            executor=pool,
        )
    trials = searched(summary)
    died = {a for a, trial in trials.items() if trial["state"] == "failed"}
    assert died == {a for a in trials if a["width"] == 4}
    assert died
    assert {trial["state"] for a, trial in trials.items() if a not in died} == {"complete"}


@pytest.fixture
def loop(prepared):
    """Makes the loop of a search that has so many seconds left, of trainings of a second each."""

    def make(left):
        setup = replace(prepared(None, {}, BRIEF), budget=Budget(seconds=100.0))
        made = plan(
            setup.budget,
            epoch_seconds=1 / 3,
            recipe=BRIEF,
            reference=False,
            workers=2,
            threads=1,
            precision="fp32",
        )
        assert made.full_seconds == pytest.approx(1.0)
        made = replace(made, finals_seconds=100.0 - left, handover_seconds=0.0)
        return Loop(setup, made, None, MemoryJournal(), Me(), SerialExecutor(), print, 8)

    return make


@pytest.mark.parametrize(("left", "together"), [(50.0, 8), (3.5, 3), (0.5, 1)])
def test_no_more_are_begun_at_once_than_there_is_time_for(loop, left, together):
    assert loop(left)._at_once() == together


def test_the_time_of_those_that_wait_for_one_another_is_shared(loop):
    trial = Trial(0, Proposal(Architecture({})))
    assert loop(50.0)._deadline(trial) == pytest.approx(2.0)
    assert loop(50.0)._deadline(trial, together=8) == pytest.approx(16.0)
    assert loop(50.0)._deadline(trial, together=8, rounds=5) == pytest.approx(10.0)


def test_what_waits_for_a_worker_has_its_time_from_when_it_begins(loop):
    waiting = loop(50.0)
    trial = Trial(0, Proposal(Architecture({})))
    begun = time.monotonic() - 1000
    running, future = waiting._running, Future()
    running[0] = _Running(_Ready(trial, Run(deadline=1.0), {}, 0.0), _Job(1, future, begun))
    waiting._wait(0.0)
    assert not future.cancelled()
    assert future.set_running_or_notify_cancel()
    waiting._wait(0.0)
    assert time.monotonic() - running[0].job.begun < 10


@pytest.mark.parametrize("stacked", [False, True])
def test_what_is_trained_at_once_is_in_fp32(prepared, monkeypatch, stacked):
    speeds = {"fp32": 1.0, "bf16": 0.1}
    monkeypatch.setattr(_preflight, "measure_speed", lambda *_: speeds)
    setup = prepared(None, {}, BRIEF)
    settings = {"workers": 1, "begun": time.time(), "ready": time.time(), "stacked": stacked}
    made, _ = _preflight.preflight(setup, SerialExecutor(), **settings)
    assert made.precision == ("fp32" if stacked else "bf16")


@pytest.mark.parametrize(
    ("data", "settings", "said"),
    [
        ("diabetes", {"together": 0}, "together >= 1"),
        ("digits", {"together": 8}, "images"),
        ("diabetes", {"together": 8, "estimator": print}, "estimator of its own"),
    ],
)
def test_where_none_can_be_trained_at_once_it_is_said_before(tmp_path, data, settings, said):
    with pytest.raises(SettingError, match=said):
        search(None, data, out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()
