"""Several trials that a worker trains at once."""

import os
import signal
import time
from concurrent.futures import Executor, Future
from dataclasses import replace
from random import Random

import pytest
import torch
from torch import nn

from ogive.engine import Budget, _preflight, _search, search
from ogive.engine._budget import plan
from ogive.engine._loop import Loop, _Job, _Ready, _Running
from ogive.engine._search import _Search
from ogive.engine._state import Me, started
from ogive.errors import SettingError
from ogive.estimators import Recipe, Run
from ogive.executors import SerialExecutor, WorkerPool
from ogive.journal import MemoryJournal
from ogive.space import Architecture
from ogive.strategies import RandomSearch
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


class Noting:
    """Notes the architectures and the runs of each call."""

    def submit(self, fn, /, *args, **kwargs):
        if fn.__name__.startswith("run_trial"):
            several = fn.__name__ == "run_trials"
            asked = args[4:] if several else [[arg] for arg in args[4:]]
            self.__dict__.setdefault("calls", []).append(list(zip(*asked, strict=True)))
        return super().submit(fn, *args, **kwargs)

    @property
    def sizes(self):
        return [len(call) for call in self.calls]


class NotingSerial(Noting, SerialExecutor):
    pass


class NotingPool(Noting, WorkerPool):
    pass


class Never(Executor):
    """Runs nothing."""

    def submit(self, fn, /, *args, **kwargs):
        return Future()


class NotingNever(Noting, Never):
    pass


def searched(summary):
    return {
        Architecture(trial["architecture"]): trial
        for trial in summary["trials"]
        if trial["role"] == "search"
    }


@on_cpu
@pytest.mark.parametrize("workers", [1, 2])
def test_trials_that_are_trained_at_once_end_as_each_alone(tried, tmp_path, workers):
    settings = {"strategy": "random", "recipe": BRIEF, "trials": 28, "workers": workers}
    counted, alone = NotingSerial(), NotingSerial()
    begun = time.monotonic()
    summary = tried(small, "diabetes", executor=counted, together=8, **settings)
    passed = time.monotonic() - begun
    mine = searched(summary)
    theirs = searched(tried(small, "diabetes", executor=alone, out=tmp_path / "alone", **settings))
    assert set(alone.sizes) == {1}
    assert 4 < max(counted.sizes) <= 8  # Of eight some are wide, and those are alone.
    assert sum(counted.sizes) == len(summary["trials"])
    assert sum(trial["seconds"] for trial in summary["trials"]) < passed
    assert sum(trial["metrics"]["train_seconds"] for trial in summary["trials"]) < passed
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

    with NotingPool(1) as pool:
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
    assert any(a in died for call in pool.calls if len(call) > 1 for a, _ in call)
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


def test_the_trials_that_are_left_are_for_all_workers(loop):
    some = loop(50.0)
    some._setup = replace(some._setup, budget=Budget(trials=10))
    some._plan = replace(some._plan, finals_trials=3)
    assert some._at_once() == 4


def test_the_time_of_those_that_wait_for_one_another_is_shared(loop):
    trial = Trial(0, Proposal(Architecture({})))
    assert loop(50.0)._deadline(trial) == pytest.approx(2.0)
    assert loop(50.0)._deadline(trial, together=8) == pytest.approx(16.0)
    assert loop(50.0)._deadline(trial, together=8, share=0.2) == pytest.approx(10.0)


@pytest.mark.parametrize(("full", "deadline"), [(1.0, 2.0), (100.0, 25.0)])
def test_what_is_launched_has_its_share_of_the_time(loop, full, deadline):
    some = loop(50.0)
    some._plan = replace(some._plan, full_seconds=full)
    some._executor = NotingNever()
    with some._journal.exclusive():
        [one, *_] = some._claim(1)
    trials = [replace(one, number=number) for number in range(4)]
    assert some._launch(trials[:2], again=trials[2:])
    deadlines = [run.deadline for [(_, run)] in some._executor.calls]
    assert deadlines == pytest.approx([deadline] * 4, rel=0.2)  # The clock runs.
    assert len(some._jobs) == 4


@on_cpu
def test_trainings_of_the_finals_are_never_stacked(prepared):
    """What an other process left of them may be several; each has a time of its own."""
    setup = prepared(small, {}, BRIEF, task="diabetes")
    made = plan(
        setup.budget,
        epoch_seconds=1.0,
        recipe=BRIEF,
        reference=False,
        workers=1,
        threads=1,
        precision="fp32",
    )
    loop = Loop(setup, made, None, MemoryJournal(), Me(), SerialExecutor(), print, 8)
    for role, sizes in (("search", [5]), ("finalist", [1] * 5)):
        ready = [
            _Ready(
                Trial(n, Proposal(Architecture({"width": 8, "activation": "relu"})), role=role),
                Run(),
                {},
                0.0,
            )
            for n in range(5)
        ]
        assert [len(bunch) for bunch in loop._bunches(ready)] == sizes


def test_several_whose_time_is_over_failed_as_a_whole():
    future = Future()
    assert future.cancel()
    assert _Job(8, future, 0.0).lost
    assert not _Job(1, future, 0.0).lost


def test_what_a_dead_process_left_is_run_while_there_is_time(loop):
    dead = replace(Me(), pid=2**22 + 1, born=0.0)
    for left, expected in ((50.0, 3), (0.0, 0)):
        some = loop(left)
        some._journal.append(dead.entered({}))
        for number in range(3):
            architecture = some._setup.space.sample(Random(number))
            some._journal.append(started(dead, number, Proposal(architecture), "search"))
        some._journal.append(dead.event("closed", reason="trials"))
        with some._journal.exclusive():
            assert len(some._claim(1)) == expected
        assert some.state.counts["failed"] == (0 if expected else 1)


def test_the_reference_is_begun_once(loop):
    some = loop(50.0)
    [reference, other] = (some._setup.space.sample(Random(seed)) for seed in (1, 2))
    some._reference = reference
    strategy = RandomSearch(some._setup.space, start_from=[other, reference])
    some._setup = replace(some._setup, strategy=strategy)
    proposed = [proposal.architecture for proposal, _ in some._search_proposals(8)]
    assert proposed[0] == reference
    assert proposed.count(reference) == 1


def test_it_is_said_where_together_has_no_effect(loop):
    seen, some = [], loop(50.0)
    search = _Search(some._setup, MemoryJournal(), None, 1, seen.append, 0.0, 8)
    assert search._at_once(replace(some._plan, precision="bf16")) == 1
    assert "no effect" in seen[-1].message


def test_a_process_with_fewer_cores_than_the_first_runs_fewer_trials(loop, monkeypatch):
    some, journal = loop(50.0), MemoryJournal()
    made = replace(some._plan, workers=16).to_json()
    journal.append(Me().event("planned", plan=made, reference=None))
    monkeypatch.setattr(_search, "cores", lambda: 4)
    for executor, workers, expected in [(None, None, 4), (None, 6, 6), (Never(), None, 16)]:
        joining = _Search(some._setup, journal, executor, workers, print, 0.0, 1)
        assert joining._planned(Never())[0].workers == expected


@pytest.mark.parametrize("workers", [2, 16])
def test_what_waits_for_a_worker_has_its_time_from_when_it_begins(loop, workers):
    """However many workers there are said to be."""
    waiting = loop(50.0)
    waiting._plan = replace(waiting._plan, workers=workers)
    begun = time.monotonic() - 1000
    jobs = [_Job(1, Future(), begun) for _ in range(3)]
    for number, job in enumerate(jobs):
        trial = Trial(number, Proposal(Architecture({})))
        waiting._running[number] = _Running(_Ready(trial, Run(deadline=1.0), {}, 0.0), job)
    for job in jobs[:2]:
        assert job.future.set_running_or_notify_cancel()
    waiting._wait(0.0)
    assert [job.begun == begun for job in jobs] == [True, True, False]
    assert not jobs[2].future.cancelled()
    assert jobs[2].future.set_running_or_notify_cancel()
    waiting._wait(0.0)
    assert time.monotonic() - jobs[2].begun < 10


def test_an_executor_that_does_not_say_what_runs_is_given_no_more_time(loop):
    waiting, begun = loop(50.0), time.monotonic() - 1000
    job = _Job(1, Future(), begun)
    trial = Trial(0, Proposal(Architecture({})))
    waiting._running[0] = _Running(_Ready(trial, Run(deadline=1.0), {}, 0.0), job)
    waiting._wait(0.0)
    assert job.begun == begun
    assert job.future.cancelled()


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
