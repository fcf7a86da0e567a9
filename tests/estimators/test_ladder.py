"""Estimators one above the other."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import ogive
from ogive.errors import BudgetError, JournalMismatch, LimitError, SettingError, TrialFailed
from ogive.estimators import (
    Agreement,
    Ladder,
    Run,
    Rung,
    Training,
    ZeroCost,
    plan_rungs,
    screen,
    within,
)
from ogive.estimators import _answers as answers
from ogive.estimators import _ladder as ladders
from ogive.hardware import costs
from ogive.journal import MemoryJournal, open_journal
from ogive.nn import ConvBNAct, Head
from ogive.space import Architecture, Decision, SearchSpace

SPACE = SearchSpace([Decision(f"d{i}", "ordinal", options=tuple(range(10))) for i in range(4)])


def worth(architecture):
    """From 0 to 9,999; all architectures differ."""
    return sum(value * 10**place for place, value in enumerate(architecture.values()))


def true(architecture, _):
    return {"value": float(worth(architecture))}


def noisy(architecture, _):
    return {"value": worth(architecture) + Random(architecture.key).gauss(0, 800)}


def single(architecture, _):
    return {"value": np.float32(worth(architecture))}


def unrelated(architecture, _):
    return {"value": Random(architecture.key).random()}


def against(architecture, _):
    return {"value": -float(worth(architecture))}


def counted(estimator, calls):
    def asked(architecture, run):
        calls.append((architecture, run))
        return estimator(architecture, run)

    return asked


def slow(estimator, seconds, sleep=time.sleep):
    def asked(architecture, run):
        sleep(seconds)
        return estimator(architecture, run)

    return asked


class AtOnce:
    """An estimator that counts how many of its calls ran side by side, at most."""

    def __init__(self, estimator):
        self.estimator, self.running, self.most = estimator, [], 0

    def __call__(self, architecture, run):
        self.running.append(None)
        self.most = max(self.most, len(self.running))
        try:
            return self.estimator(architecture, run)
        finally:
            self.running.pop()


# The plan


def test_a_plan_by_hand():
    # With shares 1/10: 1 + 10/10 + 100/100 = 3 s for each that enters.
    assert plan_rungs([1, 10, 100], seconds=300, shares=[0.1, 0.1, None]) == [100, 10, 1]
    # Each rung gets 100 s.
    assert plan_rungs([0.2, 1, 4], seconds=300) == [500, 100, 25]
    # A tenth is passed up, although that takes longer: 0.01 + 10/10 + 20/20.
    assert plan_rungs([0.01, 10, 20], seconds=300) == [149, 14, 7]
    # Equal costs do not mean that all are passed up: 1 + 1/2.
    assert plan_rungs([1, 1], seconds=30) == [20, 10]
    # The last one would see less than one: it is paid first, which leaves 10 s for the others.
    assert plan_rungs([0.2, 1, 290], seconds=300) == [25, 5, 1]


@given(
    st.lists(st.floats(0.001, 1000), min_size=1, max_size=5),
    st.floats(0.01, 1e5),
    st.lists(st.none() | st.floats(0.01, 1), min_size=5, max_size=5),
)
def test_a_plan_keeps_to_its_time_and_uses_it(rungs, seconds, shares):
    if sum(rungs) > seconds:
        with pytest.raises(BudgetError, match="must reach for one architecture on each rung"):
            plan_rungs(rungs, seconds=seconds, shares=shares[: len(rungs)])
        return
    counts = plan_rungs(rungs, seconds=seconds, shares=shares[: len(rungs)])
    spent = sum(c * n for c, n in zip(rungs, counts, strict=True))
    assert spent <= seconds * (1 + 1e-6)
    assert min(counts) >= 1
    assert sorted(counts, reverse=True) == counts
    assert spent + sum(rungs) > seconds * (1 - 1e-6)  # no room for one more on each


def test_what_cannot_be_planned():
    with pytest.raises(SettingError, match="positive cost"):
        plan_rungs([1, 0], seconds=3)
    with pytest.raises(SettingError, match="positive cost"):
        plan_rungs([1, 2], seconds=3, shares=[0.5])


# The climb


def test_the_best_go_up():
    low, high = [], []
    ladder = Ladder(
        [
            Rung("low", counted(noisy, low), "value", share=0.1),
            Rung("high", counted(true, high), "value"),
        ]
    )
    climbed = ladder.climb(SPACE, count=400, seed=3)
    drawn = [a for a, _ in low]
    assert len(drawn) == len(set(drawn)) == 400
    expected = set(sorted(drawn, key=lambda a: -noisy(a, None)["value"])[:40]) | set(drawn[:16])
    assert {a for a, _ in high} == expected
    assert list(climbed.best) == sorted(expected, key=worth, reverse=True)
    low_step, high_step = climbed.steps
    assert (low_step.measured, high_step.measured) == (400, len(expected))
    assert low_step.agreement.beats_chance
    assert not low_step.dropped
    assert high_step.agreement is None
    assert not climbed.notes
    again = ladder.climb(SPACE, count=400, seed=3)
    assert again.best == climbed.best
    assert ladder.climb(SPACE, count=400, seed=4).best != climbed.best
    assert {run.seed for _, run in low} == {3, 4}


@pytest.mark.parametrize("useless", [unrelated, against])
def test_a_rung_that_does_not_agree_is_dropped(useless):
    bottom, middle, top = [], [], []
    ladder = Ladder(
        [
            Rung("bottom", counted(noisy, bottom), "value", share=0.5),
            Rung("middle", counted(useless, middle), "value", share=0.5),
            Rung("top", counted(true, top), "value"),
        ]
    )
    climbed = ladder.climb(SPACE, count=80, seed=1)
    assert [step.dropped for step in climbed.steps] == [False, True, False]
    assert len(middle) == 16  # those drawn at random, and no more
    assert climbed.steps[0].agreement.networks == 10  # as many as the top could pay for
    assert "'middle' and 'top' do not agree" in climbed.notes[0]
    assert "time" not in climbed.notes[0]
    # 20 chosen by the one below, and the 10 drawn at random.
    ranked = sorted((a for a, _ in bottom), key=lambda a: -noisy(a, None)["value"])
    assert {a for a, _ in top} == {*ranked[:20], *(a for a, _ in middle[:10])}
    assert climbed.best[0] == max((a for a, _ in bottom), key=worth)


def test_the_time_of_a_rung_that_is_dropped_goes_to_the_next(clock):
    passing = clock(ladders, answers)
    seen = {}
    for middle in (noisy, unrelated):
        top = []
        ladder = Ladder(
            [
                Rung("bottom", slow(noisy, 0.01, passing.sleep), "value"),
                Rung("middle", slow(middle, 0.1, passing.sleep), "value"),
                Rung("top", counted(slow(true, 0.1, passing.sleep), top), "value"),
            ]
        )
        begun = passing.monotonic()
        climbed = ladder.climb(SPACE, seconds=20, seed=1)
        assert 19 < passing.monotonic() - begun <= 20.2
        assert climbed.steps[1].dropped == (middle is unrelated)
        seen[middle] = len(top)
    assert "its time goes to the next rung" in climbed.notes[0]
    assert seen[unrelated] > 2 * seen[noisy]


def test_with_a_count_the_result_hangs_on_the_seed_alone():
    """Whatever estimators take, and in whatever order they answer."""

    def rough(architecture, _):
        return {"value": worth(architecture) // 1000}

    def late(architecture, run):
        time.sleep(0.002 * Random(architecture.key).random())
        return rough(architecture, run)

    rungs = [Rung("none", unrelated, "value", share=0.5), Rung("top", rough, "value")]
    expected = Ladder([Rung("low", rough, "value", share=0.5), *rungs]).climb(SPACE, count=80)
    assert expected.steps[1].dropped
    with ThreadPoolExecutor(4) as pool:
        for low, top in ((late, rough), (rough, late), (late, late)):
            rungs = [
                Rung("low", low, "value", share=0.5),
                Rung("none", slow(unrelated, 0.001), "value", share=0.5),
                Rung("top", top, "value"),
            ]
            found = Ladder(rungs).climb(SPACE, count=80, executor=pool)
            assert found.best == expected.best
            assert [s.measured for s in found.steps] == [s.measured for s in expected.steps]


def test_without_any_agreement_the_last_rung_is_asked_alone():
    ladder = Ladder(
        [Rung("low", unrelated, "value", share=0.2), Rung("high", true, "value")], probes=20
    )
    calls = []
    alone = Ladder([ladder.rungs[0], Rung("high", counted(true, calls), "value")], probes=20)
    climbed = alone.climb(SPACE, count=100)
    assert climbed.steps[0].dropped
    assert climbed.steps[0].measured == 20
    assert climbed.best[0] == max((a for a, _ in calls), key=worth)


def test_rungs_are_rarely_kept_by_chance_and_rarely_dropped_where_they_rank():
    kept = {}
    for name, low in (("unrelated", unrelated), ("noisy", noisy)):
        ladder = Ladder([Rung("low", low, "value", share=0.5), Rung("high", true, "value")])
        steps = [ladder.climb(SPACE, count=64, seed=s).steps[0] for s in range(60)]
        assert all(step.agreement.networks == 16 for step in steps)
        kept[name] = sum(not step.dropped for step in steps)
    assert kept["unrelated"] <= 8  # 5 % of 60 are 3
    assert kept["noisy"] == 60


def test_where_too_few_can_be_paid_for_a_rung_is_not_tested_but_kept():
    ladder = Ladder([Rung("low", unrelated, "value", share=0.1), Rung("high", true, "value")])
    climbed = ladder.climb(SPACE, count=100)  # 10 places above, of which half for probes
    assert not climbed.steps[0].dropped
    assert climbed.steps[0].agreement is None
    assert "not tested, since fewer than 8" in climbed.notes[0]
    assert climbed.steps[1].measured <= 11


def test_a_time_is_shared_out_by_measured_costs(clock):
    passing = clock(ladders, answers)
    ladder = Ladder(
        [
            Rung("low", slow(noisy, 0.001, passing.sleep), "value"),
            Rung("high", slow(true, 0.01, passing.sleep), "value"),
        ],
        probes=8,
    )
    begun = passing.monotonic()
    climbed = ladder.climb(SPACE, seconds=1.2)
    assert 1 < passing.monotonic() - begun < 1.25
    low, high = climbed.steps
    assert low.seconds < high.seconds
    assert 100 < low.measured < 900
    assert 10 < high.measured < 130
    assert worth(climbed.best[0]) > 9000
    with pytest.raises(BudgetError, match="one architecture on each rung"):
        ladder.climb(SPACE, seconds=0.005)


def test_several_metrics_are_joined_and_small_ones_may_be_good():
    def two(architecture, _):
        return {"a": architecture["d3"], "b": architecture["d2"]}

    def loss(architecture, run):
        return {"loss": 10_000 - true(architecture, run)["value"], "fidelity": run.fidelity}

    calls = []
    ladder = Ladder(
        [
            Rung("two", two, ["a", "b"], share=0.2),
            Rung("loss", counted(loss, calls), "loss", minimize=True, fidelity=0.5),
        ]
    )
    climbed = ladder.climb(SPACE, count=100)
    assert {run.fidelity for _, run in calls} == {0.5}
    assert climbed.best[0] == max((a for a, _ in calls), key=worth)


def test_failures_rank_last_and_end_nothing():
    def broken(architecture, run):
        if architecture["d0"] == 0:
            raise RuntimeError("out of memory")
        if architecture["d0"] == 1:
            return {"value": math.nan}
        if architecture["d0"] == 2:
            return {"value": math.inf}
        return {"other": 1.0} if architecture["d0"] == 3 else true(architecture, run)

    ladder = Ladder([Rung("low", broken, "value", share=0.5), Rung("high", broken, "value")])
    climbed = ladder.climb(SPACE, count=60)
    bad = [a for a in climbed.best if a["d0"] < 4]
    assert bad
    assert list(climbed.best)[-len(bad) :] == bad
    assert climbed.steps[1].failed == len(bad)


def test_remarks_beside_metrics_rank_nothing():
    def remarking(architecture, run):
        return {**true(architecture, run), "remark": "its own", "none": None}

    rungs = [Rung("low", remarking, "value", share=0.5), Rung("high", remarking, "value")]
    assert [step.failed for step in Ladder(rungs).climb(SPACE, count=20).steps] == [0, 0]
    screened = screen(remarking, SPACE, 5)
    assert set(screened.values) == {"value"}
    with pytest.raises(TrialFailed, match="'high' failed for all"):
        Ladder([rungs[0], Rung("high", remarking, "remark")]).climb(SPACE, count=20)


def test_a_rung_that_always_fails_is_dropped_unless_it_is_the_last():
    def proxy(_, run):
        raise TrialFailed("There is no ReLU.")

    ladder = Ladder([Rung("low", proxy, "value", share=0.5), Rung("high", true, "value")])
    climbed = ladder.climb(SPACE, count=40)
    assert climbed.steps[0].dropped
    assert "There is no ReLU" in climbed.notes[0]
    upside_down = Ladder([Rung("low", true, "value", share=0.5), Rung("high", proxy, "value")])
    with pytest.raises(TrialFailed, match=r"'high' failed for all \d+\. The last: There is no"):
        upside_down.climb(SPACE, count=40)


def test_limits_come_before_any_rung():
    calls = []
    ladder = Ladder(
        [
            Rung("low", counted(true, calls), "value", share=0.5),
            Rung("high", counted(true, calls), "value"),
        ]
    )
    ladder.climb(SPACE, count=40, fits=lambda a: a["d3"] < 5)
    assert calls
    assert all(a["d3"] < 5 for a, _ in calls)
    with pytest.raises(LimitError, match="none was found in 2000 draws"):
        ladder.climb(SPACE, count=40, fits=lambda _: False)


def test_a_small_space_is_seen_whole():
    space = SearchSpace([Decision("d0", "ordinal", options=tuple(range(12)))])

    def value(architecture, _):
        return {"value": architecture["d0"]}

    ladder = Ladder([Rung("low", value, "value", share=0.5), Rung("high", value, "value")])
    climbed = ladder.climb(space, count=100)
    assert climbed.best[0] == Architecture({"d0": 11})
    assert climbed.steps[0].measured == 12


def test_estimators_run_side_by_side():
    ladder = Ladder([Rung("low", noisy, "value", share=0.1), Rung("high", true, "value")])
    with ThreadPoolExecutor(2) as pool:
        there = ladder.climb(SPACE, count=200, executor=pool)
        low, high = (AtOnce(slow(e, s)) for e, s in ((noisy, 0.002), (true, 0.02)))
        short = Ladder([Rung("low", low, "value"), Rung("high", high, "value")], probes=8)
        begun = time.monotonic()
        short.climb(SPACE, seconds=1, executor=pool)
        assert time.monotonic() - begun < 5  # The 10,000 would take more than ten.
    assert there.best == ladder.climb(SPACE, count=200).best
    assert low.most == high.most == 2


def test_a_bar_is_shown_on_request(capfd):
    ladder = Ladder([Rung("the low one", true, "value", share=0.5), Rung("high", true, "value")])
    ladder.climb(SPACE, count=20)
    assert capfd.readouterr().err == ""
    ladder.climb(SPACE, count=20, progress=True)
    shown = capfd.readouterr()
    assert "the low one" in shown.err
    assert "100%" in shown.err
    assert shown.out == ""


def test_agreement_of_rankings_that_are_known():
    up = np.arange(8.0)
    same = Agreement.of(up, up)
    assert (same.tau, same.networks) == (pytest.approx(1), 8)
    assert same.chance == pytest.approx(1 / math.factorial(8))
    assert same.beats_chance
    assert not Agreement.of(up, -up).beats_chance
    assert Agreement.of(up, np.zeros(8)) == Agreement(0.0, 1.0, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ladder([Rung("a", true, "value")]), "two names at least"),
        (lambda: Ladder([Rung("a", true, "value")] * 2), "two names at least"),
        (lambda: Ladder([Rung("a", true, "v"), Rung("b", true, "v")], probes=7), "probes >= 8"),
        (lambda: Rung("a", true, []), "by a metric at least"),
        (lambda: Rung("a", true, "value", share=1.5), "share <= 1"),
        (lambda: Rung("a", true, "value", fidelity=0), "fidelity <= 1"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(SettingError, match=message):
        make()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either a time or a count"),
        ({"seconds": 1, "count": 1}, "either a time or a count"),
        ({"count": 10}, "'a' does not"),
        ({"seconds": 0}, "0 < seconds < inf"),
        ({"seconds": math.inf}, "0 < seconds < inf"),
        ({"count": 0}, "whole number from 1"),
        ({"count": 7.5}, "whole number from 1"),
    ],
)
def test_a_climb_is_checked(settings, message):
    ladder = Ladder([Rung("a", true, "value"), Rung("b", true, "value")])
    with pytest.raises(SettingError, match=message):
        ladder.climb(SPACE, **settings)


# On data


def network(choose, task):
    width = choose.integer("width", 1, 16)
    kernel = choose.value("kernel", (1, 3))
    return nn.Sequential(
        ConvBNAct(task.channels, width, kernel, stride=2),
        choose.repeat("blocks", (0, 1, 2), lambda _, i: ConvBNAct(width, width, kernel)),
        Head(width, task.outputs),
    )


def test_proxies_and_an_epoch_on_digits():
    task = ogive.load("digits")
    space = ogive.record(network, task)
    recipe = ogive.Recipe.default(task)
    ladder = Ladder(
        [
            Rung(
                "proxies",
                ZeroCost(network, task, ["synflow", "naswot"]),
                ["synflow", "naswot"],
                share=0.5,
            ),
            Rung("epoch", Training(network, task, recipe, epochs=1), "accuracy"),
        ]
    )
    halves = {"half": lambda net, data, batch_size: costs(net, data, ["params"])["params"] / 2}
    fits = within(network, task, {"half": 7_500}, costs=halves)
    climbed = ladder.climb(space, count=32, fits=fits)
    proxies, epoch = climbed.steps
    assert (proxies.measured, proxies.failed, epoch.failed) == (32, 0, 0)
    assert proxies.agreement.networks == 8
    assert proxies.agreement.beats_chance  # from 1 to 16 channels
    sizes = [
        costs(ogive.build(network, task, a), task, ["params"])["params"] for a in climbed.best
    ]
    assert max(sizes) <= 15_000
    accuracies = [ladder.rungs[1].estimator(a, Run())["accuracy"] for a in climbed.best[:2]]
    assert accuracies == sorted(accuracies, reverse=True)
    result = ogive.search(
        space,
        estimator=lambda a, _: {"value": float(a == climbed.best[0])},
        start_from=climbed.best[:2],
        strategy="random",
        executor=ogive.SerialExecutor(),
        workers=1,
        trials=2,
    )
    assert result.best.value == 1


# On record


def ended(estimator, calls, after):
    """As :func:`counted`, but the process is killed when it has been called so often."""

    def asked(architecture, run):
        if len(calls) == after:
            raise KeyboardInterrupt
        return counted(estimator, calls)(architecture, run)

    return asked


def two_rungs(low, high, share=0.25):
    return Ladder([Rung("low", low, "value", share=share), Rung("high", high, "value")])


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("after", [3, 70, 90])
def test_a_climb_that_was_ended_goes_on(after, threads, tmp_path):
    whole, before, again = [], [], []
    climbed = two_rungs(counted(noisy, whole), counted(true, whole)).climb(SPACE, count=80)
    ladder = two_rungs(ended(noisy, before, after), ended(true, before, after))
    with pytest.raises(KeyboardInterrupt):
        ladder.climb(SPACE, count=80, journal=tmp_path / "ladder.db")
    ladder = two_rungs(counted(noisy, again), counted(single, again))
    with ThreadPoolExecutor(2) as pool:
        executor = pool if threads else None
        resumed = ladder.climb(SPACE, count=80, executor=executor, journal=tmp_path / "ladder.db")
    assert resumed.best == climbed.best
    assert len(before) + len(again) == len(whole)
    assert ladder.climb(SPACE, count=8, journal=tmp_path / "ladder.db") == resumed
    assert len(before) + len(again) == len(whole)
    with open_journal(tmp_path / "ladder.db", read_only=True) as journal:
        assert sum(event["kind"] == "answered" for _, event in journal.read()) == len(whole)
    with pytest.raises(JournalMismatch, match="'seed': 0"):
        ladder.climb(SPACE, count=80, seed=1, journal=tmp_path / "ladder.db")


def test_the_time_before_the_end_counts(clock):
    sleep = clock(ladders, answers).sleep
    journal, late, calls = MemoryJournal(), MemoryJournal(), []
    ladder = two_rungs(ended(slow(noisy, 0.005, sleep), [], 40), slow(true, 0.01, sleep))
    with pytest.raises(KeyboardInterrupt):
        ladder.climb(SPACE, seconds=4, journal=journal)
    events = [event for _, event in journal.read()]
    times = [event["at"] for event in events[1:]]
    assert times == sorted(times)
    for event in events[:-1]:
        late.append(event)
    late.append({**events[-1], "at": 3.9})
    ladder = two_rungs(
        counted(slow(noisy, 0.005, sleep), calls), counted(slow(true, 0.01, sleep), calls)
    )
    ladder.climb(SPACE, seconds=4, journal=late)
    assert len(calls) < 50  # in a tenth of a second, where four would be enough for 400
