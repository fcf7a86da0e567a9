import io
import itertools
import json
import os
import random
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from ogive import bundle, task
from ogive.cli._print import print_summary
from ogive.engine import search, summarize
from ogive.engine._setup import Setup
from ogive.errors import (
    ArchitectureError,
    BundleError,
    JournalError,
    JournalMismatch,
    LimitError,
    SettingError,
    SpaceError,
    TaskError,
    TrialFailed,
)
from ogive.estimators import Recipe
from ogive.executors import SerialExecutor, WorkerPool
from ogive.hardware import LatencyPredictor, network_parts
from ogive.journal import MemoryJournal, open_journal
from ogive.nn import Supernet, build, record
from ogive.oneshot import Inherited
from ogive.space import Architecture, Decision, SearchSpace
from ogive.strategies import Auto, RandomSearch

HERE = Path(__file__).parent
SPACE = SearchSpace([Decision(f"d{i}", "ordinal", options=(0, 1, 2, 3)) for i in range(4)])


def total(architecture, run):
    return {"value": float(sum(architecture.values()))}


def estimated(tmp_path, space=SPACE, estimator=total, **settings):
    defaults = {
        "estimator": estimator,
        "maximize": "value",
        "strategy": "evolution",
        "executor": SerialExecutor(),
        "workers": 1,
        "trials": 60,
        "out": tmp_path / "run",
    }
    return search(space, **(defaults | settings))


def test_a_search_with_a_plain_function(tmp_path):
    result = estimated(tmp_path)
    assert result.status == "complete"
    assert len(result.trials) == 60
    assert result.best.value == result.trials["value"].max() >= 10
    assert list(result.front().index) == [result.best.number]
    assert result.report.exists()
    assert result.bundle is None
    assert result.network is None
    assert summarize(tmp_path / "run")["best"] == result.summary["best"]


def test_it_is_said_what_estimated_the_trials(tmp_path):
    digits = task.load("digits")
    supernet = Supernet(narrow, digits, record(narrow, digits))
    inherited = estimated(
        tmp_path,
        supernet.space,
        Inherited(supernet, digits),
        maximize="accuracy",
        strategy="random",
        trials=2,
    )
    assert inherited.summary["estimator"] == "Inherited"
    assert "<td>estimator</td><td>Inherited</td>" in inherited.report.read_text()
    screen = io.StringIO()
    print_summary(inherited.summary, Console(file=screen, width=160))
    assert "trials are estimated by Inherited" in screen.getvalue()


def test_an_estimator_may_return_any_numbers_and_what_is_none_fails_its_trial(tmp_path):
    answers = [np.float32(1), torch.tensor([2.0]), 3, "much", None, torch.ones(2)]

    def answer(architecture, run):
        return {"value": answers[run.number], "remark": "its own"}

    trials = estimated(tmp_path, estimator=answer, strategy="random", trials=6).trials
    assert trials["value"].tolist()[:3] == [1, 2, 3]
    assert set(trials["remark"][:3]) == {"its own"}
    assert set(trials["state"][3:]) == {"failed"}
    assert all("is a number" in error or "finite number" in error for error in trials["error"][3:])
    none = estimated(tmp_path / "none", estimator=lambda *_: None, trials=2)
    assert set(none.trials["state"]) == {"failed"}
    assert "by their names" in none.trials["error"][0]


def test_an_estimator_may_use_the_words_of_a_search(tmp_path):
    more = [{"epochs": None}, {"loss": "low"}, {"stopped_at": 3}, {"value": 10**400}]
    more += [{"stopped_at": 3, "expected": 9}, {"value": True, "number": 7}, {"value": -np.inf}]

    def answer(architecture, run):
        run.report(np.int64(1), {"loss": torch.tensor(0.5)})
        return {"value": 1.0, **more[run.number]}

    result = estimated(tmp_path, estimator=answer, strategy="random", trials=len(more))
    trials = result.trials
    assert [*trials["state"]] == 4 * ["failed"] + 2 * ["complete"] + ["failed"]
    assert all("is a number" in error for error in trials["error"][[0, 1, 3]])
    assert "Call it something else" in trials["error"][2]
    assert {trial["curve"][0]["loss"] for trial in result.summary["trials"]} == {0.5}
    assert trials.loc[5, "number"] == 7
    assert [*result.front().index] == [4]
    print_summary(result.summary, Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("maximize", "minimize"), [((), ()), (["value", "value"], ()), (None, "value")]
)
def test_an_objective_is_named_once(tmp_path, maximize, minimize):
    with pytest.raises(SettingError, match="each named once"):
        estimated(tmp_path, maximize=maximize, minimize=minimize)


def test_the_same_seed_is_the_same_search_and_another_is_not(tmp_path):
    runs = [estimated(tmp_path / str(i), seed=seed, trials=20) for i, seed in enumerate([1, 1, 2])]
    tried = [[t["architecture"] for t in run.summary["trials"]] for run in runs]
    assert tried[0] == tried[1] != tried[2]


def test_a_space_that_is_exhausted_ends_the_search(tmp_path):
    small = SPACE.fix({"d0": 0, "d1": 0, "d2": 1})
    result = estimated(tmp_path, small, strategy="random")
    assert len(result.trials) == 4
    assert result.best.architecture["d3"] == 3


def test_a_bad_trial_is_a_fact_and_not_a_crash(tmp_path):
    def moody(architecture, run):
        if architecture["d0"] == 0:
            raise ValueError("no zero, please")
        if architecture["d0"] == 1:
            return {"value": float("nan")}
        if architecture["d0"] == 2:
            return {} if architecture["d1"] else {"value": float("inf")}
        return total(architecture, run)

    result = estimated(tmp_path, estimator=moody, trials=80)
    states = Counter(result.trials["state"])
    assert states["failed"] > 0
    assert states["complete"] > 0
    errors = " ".join(result.trials["error"].dropna())
    assert "no zero, please" in errors
    assert "must be a finite number, but is nan" in errors
    assert "must be a finite number, but is inf" in errors
    assert result.best.architecture["d0"] == 3


def fatal(architecture, run):
    if architecture["d0"] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if architecture["d0"] == 1:
        raise MemoryError
    if architecture["d0"] == 2:
        os._exit(7)
    return total(architecture, run)


def test_a_worker_that_dies_costs_its_trial_alone(tmp_path):
    each_once = SPACE.fix({"d1": 3, "d2": 3, "d3": 3})
    result = estimated(
        tmp_path, each_once, fatal, strategy="random", executor=None, workers=2, trials=24
    )
    reasons = {}
    for trial in result.summary["trials"]:
        reasons.setdefault(trial["architecture"]["d0"], set()).add(trial["error"])
    assert all("out of memory" in reason.lower() for reason in reasons[0] | reasons[1])
    assert all("code 7" in reason for reason in reasons[2])
    assert reasons[3] == {None}
    assert len(result.trials) == 4


def test_a_trial_that_overruns_the_time_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("ogive.engine._loop._GRACE", 0.5)

    def slow(architecture, run):
        time.sleep(0.05 if architecture["d0"] else 600)
        return total(architecture, run)

    with WorkerPool(2) as pool:
        # Both import what takes seconds before the time counts.
        wait([pool.submit(__import__, "ogive.estimators") for _ in range(2)])
        begun = time.monotonic()
        result = estimated(
            tmp_path,
            estimator=slow,
            executor=pool,
            workers=2,
            trials=None,
            budget="5s",
            start_from=[{"d0": 0}],
        )
        assert time.monotonic() - begun < 20
    late = result.trials[result.trials["d0"] == 0]
    assert set(late["state"]) == {"failed"}
    assert all("longer than" in error for error in late["error"])
    assert result.best is not None


def test_it_says_so_where_no_trial_completes(tmp_path):
    def broken(architecture, run):
        raise RuntimeError("broken estimator")

    result = estimated(tmp_path, estimator=broken, trials=5)
    assert result.best is None
    assert set(result.trials["state"]) == {"failed"}


def test_a_summary_from_before_the_end_is_written_anew(tmp_path):
    """Whoever wrote the end was killed before it wrote the summary, or has another folder."""
    first = estimated(tmp_path)
    path = tmp_path / "run" / "summary.json"
    for older in ({**first.summary, "status": "interrupted"}, None):
        path.unlink()
        if older is not None:
            path.write_text(json.dumps(older))
        again = estimated(tmp_path).summary
        assert again["status"] == "complete"
        assert again["trials"] == first.summary["trials"]
        assert json.loads(path.read_text())["status"] == "complete"


def test_a_complete_search_is_not_run_again(tmp_path):
    first = estimated(tmp_path, trials=10)
    again = estimated(tmp_path, trials=10, estimator=total)
    assert again.summary["trials"] == first.summary["trials"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"seed": 5}, "seed"),
        ({"strategy": "random"}, "strategy"),
        ({"maximize": "other"}, "maximize"),
        ({"space": SPACE.fix({"d0": 1})}, "d0"),
    ],
)
def test_a_journal_of_another_search_is_refused_with_what_differs(tmp_path, changed, named):
    estimated(tmp_path, trials=5)
    before = summarize(tmp_path / "run")["trials"]
    with pytest.raises(JournalMismatch, match=named):
        estimated(tmp_path, trials=5, **changed)
    assert summarize(tmp_path / "run")["trials"] == before


def test_a_search_over_a_space_has_no_networks_to_limit(tmp_path):
    with pytest.raises(SettingError, match="builds none"):
        estimated(tmp_path, limits={"latency_ms": 5})
    assert not (tmp_path / "run").exists()


def test_a_search_over_a_space_needs_an_estimator(tmp_path):
    with pytest.raises(SettingError, match="estimator"):
        search(SPACE, out=tmp_path)


def test_in_memory(tmp_path):
    journal = MemoryJournal()
    result = estimated(tmp_path, journal=journal, trials=5)
    assert not (tmp_path / "run" / "journal.db").exists()
    assert len(summarize(journal)["trials"]) == len(result.trials) == 5


def test_an_epoch_budget(tmp_path):
    def costly(architecture, run):
        return {**total(architecture, run), "epochs": 2.0}

    result = estimated(tmp_path, estimator=costly, trials=None, epochs=10)
    assert len(result.trials) == 5
    assert result.summary["budget"]["used"]["epochs"] == 10


# Processes that die


def start(folder, trials, seconds):
    return subprocess.Popen(
        [sys.executable, str(HERE / "searches.py"), str(folder), str(trials), str(seconds)],
        stderr=subprocess.PIPE,
        text=True,
    )


def go_on(folder, trials):
    """Gives the same call in this process, where torch is imported."""
    runpy.run_path(str(HERE / "searches.py"))["run"](folder, trials, 0.0)


def wait_for_trials(folder, count, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(folder.glob("ran/*"))) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(process.communicate()[1])


def finished(folder, trials):
    """Checks that nothing is lost, doubled or renumbered; returns how often each trial ran."""
    events = [event for _, event in open_journal(folder / "journal.db").read()]
    started = Counter(event["number"] for event in events if event["kind"] == "started")
    ended = Counter(event["number"] for event in events if event["kind"] == "ended")
    assert started == ended == Counter(range(trials))
    assert all(trial["state"] == "complete" for trial in summarize(folder)["trials"])
    keys = {str(trial["architecture"]) for trial in summarize(folder)["trials"]}
    assert len(keys) == trials
    return Counter(event["number"] for event in events if event["kind"] == "taken")


def test_kill_9_and_go_on(tmp_path):
    folder, rng = tmp_path / "run", random.Random(0)
    for kills in range(1, 3):
        process = start(folder, 40, 0.05)
        wait_for_trials(folder, 8 * kills, process)
        time.sleep(rng.random() * 0.1)
        process.kill()
        process.communicate()
    go_on(folder, 40)
    taken = finished(folder, 40)
    assert sum(taken.values()) <= 2  # At most the trial in flight at each kill.


def test_two_processes_share_the_work(tmp_path):
    folder = tmp_path / "run"
    both = [start(folder, 30, 0.05) for _ in range(2)]
    for process in both:
        assert process.wait(90) == 0, process.communicate()[1]
        process.communicate()
    assert not finished(folder, 30)
    ran = [path.read_text() for path in folder.glob("ran/*")]
    assert ran == ["."] * 30
    events = [event for _, event in open_journal(folder / "journal.db").read()]
    workers = Counter(event["process"] for event in events if event["kind"] == "started")
    assert len(workers) == 2


def test_ctrl_c_writes_what_there_is_and_the_same_command_goes_on(tmp_path):
    folder = tmp_path / "run"
    process = start(folder, 30, 0.1)
    wait_for_trials(folder, 5, process)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0, process.communicate()[1]
    process.communicate()
    summary = summarize(folder)
    assert summary["status"] == "interrupted"
    assert 4 <= len(summary["trials"]) < 30
    assert (folder / "report.html").exists()
    go_on(folder, 30)
    finished(folder, 30)


# With networks


def narrow(choose, task):
    width = choose.value("width", (4, 8, 16))
    side = -(-task.height // 2) * -(-task.width // 2)
    return nn.Sequential(
        nn.Conv2d(task.channels, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * side, task.outputs),
    )


QUICK = Recipe(epochs=6, batch_size=64, lr=1e-2, label_smoothing=0.0)


@pytest.fixture(scope="module")
def handed_over(tmp_path_factory):
    """A search in which Ctrl-C is pressed during the handover."""
    folder, pressed = tmp_path_factory.mktemp("handed") / "run", []

    def press(snapshot):
        if snapshot.phase == "handover" and not pressed:
            pressed.append(os.kill(os.getpid(), signal.SIGINT))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ogive.engine._search.LEASE", 0.2)
        result = search(
            narrow,
            "digits",
            trials=4,
            workers=2,
            executor=SerialExecutor(),
            recipe=QUICK,
            limits={"params": 2000},
            strategy="random",
            out=folder,
            progress=press,
        )
    assert pressed
    return result


def test_ctrl_c_in_the_handover_lets_it_end_and_others_see_that_it_lives(handed_over):
    assert handed_over.status == "complete"
    kinds = [event["kind"] for _, event in open_journal(handed_over.folder / "journal.db").read()]
    assert Counter(kinds[kinds.index("handing") :])["alive"] > 3


def test_no_more_trials_are_run_than_were_asked_for(handed_over):
    states = Counter(handed_over.trials["state"])
    assert states["complete"] <= 4


def test_from_data_to_a_verified_network(handed_over, tmp_path):
    result = handed_over
    assert result.summary["estimator"] is None
    assert "<td>estimator</td><td>training</td>" in result.report.read_text()
    assert result.best.costs["params"] <= 2000
    assert result.summary["best"]["costs"]["params"] <= 2000
    assert all(
        trial["costs"]["params"] > 2000
        for trial in result.summary["trials"]
        if trial["state"] == "rejected"
    )
    assert result.test["accuracy"] > 0.8
    low, high = (result.test["interval"][end] for end in ("low", "high"))
    assert low < result.test["accuracy"] < high
    verified = result.summary["bundle"]["verification"]
    assert all(verified[form]["labels_agree"] for form in ("onnx", "pt2", "safetensors"))
    # The returned network, the bundle and the recorded test score are the same thing.
    split = task.load("digits").unseal()
    raw, targets = split.take()
    labels = result.network(raw).argmax(1)
    assert np.isclose((labels == targets).float().mean().item(), result.test["accuracy"])
    loaded = bundle.load(result.bundle)
    # A user's own digits are of 0 to 16, as those were that it was trained on.
    predicted = loaded.predict(raw.numpy() / loaded.preprocessing["inputs"]["scale"])
    assert list(map(int, predicted)) == labels.tolist()
    moved = Path(shutil.copytree(result.folder, tmp_path / "moved"))
    assert summarize(moved)["bundle"] == {"path": str(moved / "bundle"), "verification": verified}


def test_limits_that_no_architecture_meets_are_refused_before_training(tmp_path):
    settings = {"trials": 4, "workers": 1, "executor": SerialExecutor(), "bundle": False}
    with pytest.raises(LimitError, match=r"nearest.*params"):
        search(narrow, "digits", limits={"params": 10}, out=tmp_path / "run", **settings)
    assert not list((tmp_path / "run").glob("trials/*"))
    settings["costs"] = {"watts": lambda network, task, batch_size: 4.0}
    with pytest.raises(LimitError, match="nearest, watts is 4"):
        search(narrow, "digits", limits={"watts": 3}, out=tmp_path / "own", **settings)


def test_ctrl_c_writes_what_there_is_also_where_nothing_is_within_the_limits_again(tmp_path):
    watts = [4.0]

    def press(snapshot):
        if snapshot.counts.get("complete") and watts == [4.0]:
            watts[0] = 6.0
            os.kill(os.getpid(), signal.SIGINT)

    result = search(
        narrow,
        "digits",
        trials=4,
        workers=1,
        executor=SerialExecutor(),
        recipe=replace(QUICK, epochs=1),
        costs={"watts": lambda network, task, batch_size: watts[0]},
        limits={"watts": 5},
        out=tmp_path,
        progress=press,
    )
    assert result.status == "interrupted"
    assert result.bundle is None
    assert result.report.exists()


@pytest.mark.parametrize("metric", ["auc", "r2"])
def test_an_objective_without_a_value_is_told_of_before_training(tmp_path, metric):
    inputs = np.arange(120.0).reshape(60, 2)
    targets = inputs[:, 0] / 7 if metric == "r2" else np.arange(60) % 2
    data = task.load((inputs, targets), validation=(inputs[:2] + 0.5, targets[[0, 0]]))
    with pytest.raises(TaskError, match=rf"'{metric}' is not \(rows: 2\).*Give more"):
        search("mlp", data, maximize=metric, trials=2, out=tmp_path / "run")


def test_a_network_that_raises_is_told_of_before_training(tmp_path):
    def broken(choose, task):
        raise ZeroDivisionError("oh no")

    with pytest.raises(SpaceError, match="oh no"):
        search(broken, "digits", trials=4, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"maximize": "acuracy"}, "Did you mean 'accuracy'"),
        ({"minimize": "parms"}, "Did you mean 'params'"),
        ({"maximize": "log_loss"}, "minimize it instead"),
        ({"minimize": "accuracy"}, "maximize it instead"),
        ({"workers": 0}, "workers >= 1"),
    ],
)
def test_objectives_and_workers_are_checked_before_training(tmp_path, settings, said):
    with pytest.raises(SettingError, match=said):
        search(narrow, "digits", trials=4, out=tmp_path / "run", **settings)


@pytest.mark.parametrize("limits", [{"parms": 3}, {"params": -1}])
def test_limits_are_checked(tmp_path, limits):
    with pytest.raises(SettingError):
        search(narrow, "digits", limits=limits, trials=4, out=tmp_path / "run")


def test_what_breaks_a_cheap_limit_is_not_measured_further(prepared):
    setup = prepared(narrow, {"params": 10, "latency_ms": 5}, QUICK)
    architecture = Architecture({"width": 4})
    assert set(setup.costs_within(architecture)) == {"params"}
    setup = replace(setup, limits={"params": 10_000, "latency_ms": 5})
    assert set(setup.costs_within(architecture, ("params", "latency_ms"))) == set(setup.limits)


@pytest.mark.parametrize(
    ("measured", "least"),
    [
        ([0.9], 0.9),
        ([1.4, 0.9], 0.9),
        ([1.4, 1.2, 0.9], 0.9),
        ([1.4, 1.3, 1.2], 1.2),
        ([1.6], 1.6),
    ],
)
def test_a_latency_not_far_over_its_limit_is_measured_again(
    prepared, monkeypatch, measured, least
):
    """A busy machine makes it longer, never shorter."""
    setup, left = prepared(narrow, {"latency_ms": 1.0}, QUICK), list(measured)
    monkeypatch.setattr(Setup, "costs", lambda *_: {"latency_ms": left.pop(0)})
    assert setup.costs_within(Architecture({"width": 4}), ["latency_ms"])["latency_ms"] == least
    assert not left


def test_costs_of_ones_own_stand_beside_the_others_or_in_their_place(prepared):
    def widths(network, task, batch_size):
        [first, *_] = network.parameters()
        assert first.device.type == "cpu"
        return float(len(first))

    limits, architecture = {"latency_ms": 5, "widths": 7}, Architecture({"width": 8})
    costs = {"latency_ms": lambda *_: 1.0, "widths": widths}
    setup = prepared(narrow, limits, QUICK, costs=costs)
    found = setup.costs_within(architecture)
    assert (found["latency_ms"], found["widths"]) == (1, 8)
    assert {"params", "macs", "memory_mb"} <= set(found)
    with pytest.raises(JournalMismatch, match=r"costs: \{"):
        prepared(narrow, {"latency_ms": 5}, QUICK).check_same({"identity": setup.identity()})
    with pytest.raises(SettingError, match="'widths' is none"):
        prepared(narrow, limits, QUICK)


def test_networks_are_trained_for_the_metric_that_the_search_names(prepared):
    rare = np.random.default_rng(0).normal(size=(300, 4)), np.arange(300) < 30
    assert prepared(None, {}, task=rare).task.metric == "balanced_accuracy"
    assert prepared(None, {}, task=rare, maximize="accuracy").task.metric == "accuracy"
    assert prepared(None, {}, task=rare, maximize="macro_f1").task.metric == "macro_f1"


def test_a_cost_may_be_a_latency_predictor_that_was_saved(prepared, tmp_path):
    digits, widths = task.load("digits"), [4, 8, 16] * 4
    networks = [build(narrow, digits, Architecture({"width": width})) for width in widths]
    parts = [network_parts(network, digits) for network in networks]
    predictor = LatencyPredictor().fit(parts, [float(width) for width in widths])
    predictor.save(tmp_path / "phone.json")
    architecture = Architecture({"width": 8})
    setup = prepared(narrow, {}, QUICK, costs={"latency_ms": tmp_path / "phone.json"})
    expected = predictor.predict([network_parts(setup.build(architecture), digits)])[0]
    # Shown with every trial, also without a limit.
    assert setup.costs_within(architecture)["latency_ms"] == pytest.approx(expected)
    assert 6 < expected < 10
    predictor.fit(parts, [2.0 * width for width in widths]).save(tmp_path / "slow.json")
    slow = prepared(narrow, {}, QUICK, costs={"latency_ms": tmp_path / "slow.json"})
    with pytest.raises(JournalMismatch, match="costs"):
        slow.check_same({"identity": setup.identity()})
    with pytest.raises(SettingError, match=r"tablet\.json"):
        prepared(narrow, {}, QUICK, costs={"latency_ms": str(tmp_path / "tablet.json")})


def test_a_search_that_finds_no_more_within_the_limits_ends_with_what_it_has(tried, monkeypatch):
    monkeypatch.setattr("ogive.engine._loop._REJECTED_IN_A_ROW", 5)

    def linear(choose, task):
        width = choose.integer("width", 1, 1000)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, task.outputs)
        )

    summary = tried(
        linear,
        "digits",
        estimator=lambda architecture, run: {"value": float(architecture["width"])},
        maximize="value",
        limits={"params": 100},  # of a width of 1
        start_from=[{"width": 1}],
        strategy="random",
        recipe=QUICK,
        trials=30,
    )
    assert summary["best"]["architecture"]["width"] == 1
    states = [trial["state"] for trial in summary["trials"] if trial["role"] == "search"]
    assert Counter(states) == {"complete": 1, "rejected": 5}
    assert summary["trials"][-1]["role"] == "final"
    assert summary["trials"][-1]["state"] == "complete"


def test_the_reference_goes_on_from_its_training_in_the_search(tried):
    limits = {"params": 3000}
    trials = tried(None, "wine", recipe=Recipe(epochs=3), limits=limits, trials=8)["trials"]
    (reference,) = (trial for trial in trials if trial["role"] == "reference")
    begun = trials[reference["parent"]]
    assert begun["architecture"] == reference["architecture"]
    assert begun["fidelity"] < 1


def test_what_is_promoted_is_not_measured_again(tried, monkeypatch):
    asked = []
    costs_within = Setup.costs_within

    def noted(self, architecture, names=None):
        asked.append(architecture)
        return costs_within(self, architecture, names)

    monkeypatch.setattr(Setup, "costs_within", noted)
    trials = tried(narrow, "digits", recipe=QUICK, trials=12, strategy="asha")["trials"]
    searched = [trial for trial in trials if trial["role"] == "search"]
    promoted = [trial for trial in searched if trial["fidelity"] > 0.2]
    assert promoted
    assert len(asked) <= len(trials) - len(promoted)
    assert all("params" in trial["costs"] for trial in searched)


def test_a_strategy_thinks_on_one_thread(tmp_path):
    class Watched(RandomSearch):
        def ask(self, n, rng):
            threads.extend(
                library["num_threads"]
                for library in threadpool_info()
                if library["user_api"] == "blas"
            )
            return super().ask(n, rng)

    threads = []
    with threadpool_limits(2, user_api="blas"):
        estimated(tmp_path, strategy=Watched(SPACE), trials=3)
    assert set(threads) == {1}


def test_a_search_for_several_needs_a_strategy_that_weighs_them(tmp_path):
    def two(architecture, run):
        return {"value": float(sum(architecture.values())), "price": float(architecture["d0"])}

    with pytest.raises(SettingError, match=r"looks at the first alone\. Take one of auto"):
        estimated(tmp_path, estimator=two, strategy="bo", minimize="price")
    with pytest.raises(SettingError, match=r"Auto looks at the first alone"):
        estimated(tmp_path, estimator=two, strategy=Auto(SPACE), minimize="price")
    with pytest.raises(SettingError, match="for two objectives, but there are 1"):
        estimated(tmp_path, strategy="mobo:acquisition=ehvi")
    assert len(estimated(tmp_path, estimator=two, strategy="local", minimize="price").trials) == 60


def test_auto_goes_on_with_more_trials(tmp_path):
    estimated(tmp_path, trials=3, strategy="auto")
    assert estimated(tmp_path, trials=1001, strategy="auto").status == "complete"


def test_the_room_of_rejected_trials_is_filled_at_once(tried, monkeypatch):
    monkeypatch.setattr("ogive.engine._loop._TICK", 1e6)  # Who waits for it, waits for ever.
    both, calls = threading.Barrier(2, timeout=20), itertools.count()

    def linear(choose, task):
        width = choose.integer("width", 1, 100)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, task.outputs)
        )

    def together(architecture, run):
        if next(calls) < 10:
            both.wait()
        return {"value": 1.0}

    with ThreadPoolExecutor(2) as pool:
        summary = tried(
            linear,
            "digits",
            estimator=together,
            maximize="value",
            limits={"params": 1500},
            strategy="random",
            recipe=QUICK,
            executor=pool,
            workers=2,
            trials=12,
        )
    states = Counter(trial["state"] for trial in summary["trials"])
    assert states["rejected"] > 10
    assert states["failed"] == 0


def test_a_network_that_only_some_choices_break_costs_its_trials_alone(tried):
    unlucky = (5, 9, 13)

    def fragile(choose, task):
        # No check that looks at a few architectures finds three in ten thousand.
        if choose.integer("width", 1, 10_000) in unlucky:
            raise ArithmeticError("an unlucky width")
        return nn.Sequential(nn.Flatten(), nn.Linear(64, task.outputs))

    widths = SearchSpace([Decision("width", "integer", low=1, high=10_000)])
    first = [Architecture({"width": width}) for width in unlucky]
    strategy = RandomSearch(widths, start_from=first)
    summary = tried(fragile, "digits", trials=8, recipe=QUICK, strategy=strategy)
    failed = [trial for trial in summary["trials"] if trial["state"] == "failed"]
    assert {trial["architecture"]["width"] for trial in failed} == set(unlucky)
    assert all("an unlucky width" in trial["error"] for trial in failed)
    assert summary["best"]["metrics"]["accuracy"] > 0.8


def test_searches_begun_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = [
        search(
            SPACE,
            estimator=total,
            maximize="value",
            trials=1,
            executor=SerialExecutor(),
            strategy=strategy,
        )
        for strategy in ("random", "evolution", "random")
    ]
    assert len({result.folder for result in results}) == 3
    assert all(result.folder.parent == tmp_path / "runs" for result in results)


def test_the_summary_is_json_for_every_reader(tmp_path):
    def nowhere(architecture, run):
        return {**total(architecture, run), "side": float("nan"), "far": float("inf")}

    estimated(tmp_path, estimator=nowhere, trials=3)

    def refuse(constant):
        raise AssertionError(constant)

    written = (tmp_path / "run" / "summary.json").read_text()
    assert json.loads(written, parse_constant=refuse)["trials"][0]["metrics"]["side"] is None


def test_what_came_before_takes_of_the_budget(tmp_path):
    now = time.time()
    short = estimated(tmp_path, budget=30, trials=None, begun=now - 29)
    assert 29 <= short.summary["budget"]["used"]["seconds"] < 40


def test_the_budget_shown_is_the_one_given_last(tmp_path):
    def stop(snapshot):
        if snapshot.counts.get("complete", 0) >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimated(tmp_path, trials=20, progress=stop)
    assert summarize(tmp_path / "run")["budget"]["trials"] == 20
    result = estimated(tmp_path, trials=30)
    assert result.summary["budget"]["trials"] == len(result.trials) == 30


def perceptron(choose, task):
    width = choose.value("width", (4, 8, 16))
    return nn.Sequential(nn.Linear(task.shape[0], width), nn.ReLU(), nn.Linear(width, 1))


@pytest.mark.parametrize(
    ("data", "network", "recipe", "budget", "seconds"),
    [
        ("digits", narrow, QUICK, 24, None),
        ("digits", narrow, QUICK, 24, 3600),
        ("diabetes", perceptron, Recipe(epochs=40, lr=0.1, patience=3), 300, None),
    ],
)
def test_the_epochs_of_all_trainings_are_within_the_budget(
    tried, data, network, recipe, budget, seconds
):
    summary = tried(network, data, epochs=budget, budget=seconds, recipe=recipe)
    trials = summary["trials"]
    used = sum(trial["metrics"].get("epochs", 0) for trial in trials)
    assert 10 <= used <= budget + 1e-6
    longest = summary["plan"]["epochs"]
    best = {trial["number"]: trial["metrics"].get("best_epoch") for trial in trials}
    finals = [trial for trial in trials if trial["role"] == "final"]
    assert finals
    for final in finals:
        # Where the validation split said when to stop, the final training is as long.
        length = best[final["parent"]]
        assert (length is None) == (recipe.patience is None)
        assert length is None or final["metrics"]["epochs"] == pytest.approx(length, abs=0.1)
        assert length is None or length < longest - 1  # or the test would show nothing


def test_a_search_starts_from_the_best_of_an_earlier_one(tmp_path):
    earlier = estimated(tmp_path / "earlier", trials=40)
    again = estimated(
        tmp_path / "again", trials=3, strategy="random", start_from=tmp_path / "earlier" / "run"
    )
    assert again.trials["value"].max() == earlier.trials["value"].max()
    # A similar space: what it has in common is carried over, what is new takes its first value.
    like = SearchSpace(
        [
            Decision("d1", "ordinal", options=(0, 1)),  # The best value is none of these.
            *SPACE.decisions[2:],
            Decision("new", "ordinal", options=(7, 8)),
        ]
    )
    similar = estimated(
        tmp_path / "similar", like, trials=1, start_from=tmp_path / "earlier" / "run"
    )
    best = dict(earlier.best.architecture)
    assert best["d1"] > 1
    del best["d0"]
    assert dict(similar.best.architecture) == {**best, "d1": 0, "new": 7}


@pytest.mark.parametrize(("trials", "many"), [(60, False), (1001, True)])
def test_trials_by_the_thousand_are_not_modelled(tmp_path, trials, many):
    assert estimated(tmp_path, trials=trials, strategy="auto")._setup.strategy.many == many


def test_a_search_starts_from_what_is_given(tmp_path):
    result = estimated(tmp_path, trials=1, start_from=[{"d0": 3, "d2": 1}])
    assert dict(result.best.architecture) == {"d0": 3, "d1": 0, "d2": 1, "d3": 0}


def test_what_cannot_be_started_from_is_one_message(tmp_path):
    estimated(tmp_path, trials=3)
    other = SearchSpace([Decision("another", "ordinal", options=(1, 2))])
    with pytest.raises(SettingError, match="share decisions"):
        estimated(tmp_path / "other", other, start_from=tmp_path / "run")
    with pytest.raises(ArchitectureError, match="no decision"):
        estimated(tmp_path / "typo", start_from=[{"d9": 1}])
    with pytest.raises(JournalError, match=r"journal\.db"):
        estimated(tmp_path / "none", start_from=tmp_path / "nowhere")
    with pytest.raises(SettingError, match="start_from"):
        estimated(tmp_path / "object", strategy=RandomSearch(SPACE), start_from=[{"d0": 1}])


def test_all_networks_diverging_is_one_message(tmp_path):
    with pytest.raises(TrialFailed, match=r"of \d+ none did"):
        search(
            narrow,
            "digits",
            trials=3,
            workers=1,
            executor=SerialExecutor(),
            recipe=Recipe(epochs=1, optimizer="sgd", lr=100.0, batch_size=64),
            strategy="random",
            bundle=False,
            out=tmp_path / "run",
        )


class Cumulative(nn.Module):
    """Of an operator that ONNX has not."""

    def forward(self, inputs):
        return torch.cumprod(inputs.flatten(1), 1)


def unexported(choose, task):
    first = choose.layer("first", {"flat": nn.Flatten, "cumulative": Cumulative})
    return nn.Sequential(first, nn.Linear(64, task.outputs))


def test_what_cannot_be_exported_is_said_before_the_hours_are_spent(tmp_path):
    def all_of_it(choose, task):
        return nn.Sequential(Cumulative(), nn.Linear(64, choose.value("width", (10,))))

    settings = {"trials": 2, "recipe": QUICK, "executor": SerialExecutor()}
    with pytest.raises(BundleError, match=r"ONNX.*prod.*--no-bundle"):
        search(all_of_it, "digits", out=tmp_path / "run", **settings)
    assert not summarize(tmp_path / "run")["trials"]


def test_a_network_that_turns_out_to_be_unexportable_is_not_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "check", lambda *_: None)  # It looks at one architecture alone.
    settings = {
        "trials": 3,
        "recipe": QUICK,
        "executor": SerialExecutor(),
        "workers": 1,
        "strategy": "random",
        "start_from": [{"first": "cumulative"}],
        "maximize": "chosen",
        "out": tmp_path / "run",
    }

    def chosen(architecture, run):
        return {"chosen": float(architecture["first"] == "cumulative")}

    with pytest.raises(BundleError, match="ONNX"):
        search(unexported, "digits", estimator=chosen, **settings)
    left = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert left["test"]["accuracy"] > 0
    assert (tmp_path / "run" / "report.html").exists()
    result = search(unexported, "digits", estimator=chosen, bundle=False, **settings)
    assert result.status == "complete"
    assert result.test == left["test"]
    assert result.bundle is None
    assert result.network is not None
    assert result.summary["best"]["architecture"] == {"first": "cumulative"}
