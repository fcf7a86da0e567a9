"""Runs against what can be counted by hand, and against what the papers published."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import moocore
import numpy as np
import pytest

import ogive
from ogive.bench import Comparison, Signal, Table, Trace, compare, read, run
from ogive.bench._compare import _protocol, contenders
from ogive.errors import SettingError
from ogive.executors import SerialExecutor
from ogive.spaces import nasbench201
from ogive.strategies import STRATEGIES, RandomSearch, RegularizedEvolution, Strategy, value_of
from ogive.text import finite
from ogive.trial import Proposal


class Listed(Strategy):
    """Proposes rows of a table in order, some of them for shorter trainings first."""

    multiobjective = True

    def __init__(self, space, rows, fidelities=(1.0,)):
        self.space = space
        self.rows = rows
        self.fidelities = fidelities
        self.told = []

    def ask(self, n, rng):
        number = sum(trial.ended for trial in self.told)
        row, rung = divmod(number, len(self.fidelities))
        if row == len(self.rows):
            return []
        architecture = list(self.space.enumerate())[self.rows[row]]
        return [Proposal(architecture, self.fidelities[rung], number - 1 if rung else None)]

    def tell(self, trial):
        self.told.append(trial)


def ran(table: Table, *rows: int, fidelities=(1.0,), **settings) -> tuple[Trace, Listed]:
    """Rows of a table in order, and the strategy that was told."""
    strategies = []

    def make(space):
        strategies.append(Listed(space, rows, fidelities))
        return strategies[-1]

    comparison = compare(table, {"listed": make}, seeds=1, workers=1, **settings)
    return comparison.traces["listed"][0], strategies[-1]


@pytest.fixture
def table(nb201: Path) -> Table:
    return read(nb201)


def alike(a: Comparison, b: Comparison) -> bool:
    """Whether two comparisons made the same trials."""
    return all(
        (x.rows, x.full, x.spent) == (y.rows, y.full, y.spent)
        for name in a.traces
        for x, y in zip(a.traces[name], b.traces[name], strict=True)
    )


# One run


def test_a_strategy_is_told_what_the_table_holds(table: Table) -> None:
    trace, strategy = ran(table, 5, 2, 9, queries=10)
    assert trace.rows == (5, 2, 9)
    assert trace.spent == (1, 2, 3)
    states = [(trial.number, trial.state) for trial in strategy.told]
    assert states == [(n, s) for n in range(3) for s in ("running", "complete")]
    signal = table.columns["c10valid_val_acc_200_avg"]
    assert [trial.values for trial in strategy.told[1::2]] == [(signal[r],) for r in (5, 2, 9)]


def test_a_budget_is_not_overdrawn(table: Table) -> None:
    assert len(ran(table, *range(20), queries=7)[0].rows) == 7
    # A training of 12 epochs takes 124 seconds here.
    trace, _ = ran(table, *range(20), protocol="time", seconds=124 * 3 + 123)
    assert trace.spent == (124, 248, 372)


def test_a_longer_training_takes_what_is_missing(nb101: Path) -> None:
    table = read(nb101)
    trace, strategy = ran(table, 0, 1, fidelities=(1 / 27, 1 / 3, 1.0), queries=2)
    assert trace.full == (False, False, True) * 2
    assert np.allclose(trace.spent, [1 / 27, 1 / 3, 1, 28 / 27, 4 / 3, 2])
    assert [trial.value for trial in strategy.told[1::2]] == [0.1, 0.3, 0.5, 0.2, 0.5, 0.7]


def test_a_table_has_no_weights_to_inherit(table: Table) -> None:
    heirs = RegularizedEvolution(table.space, population=2, sample=1, inherit=0.5)
    with pytest.raises(SettingError, match="no inherited weights"):
        compare(table, {"heirs": lambda _: heirs}, seeds=1, workers=1, queries=10)


def test_a_number_that_is_missing_is_a_failed_trial(table: Table) -> None:
    table.columns["c10valid_val_acc_200_avg"][2] = math.nan
    _, strategy = ran(table, 1, 2, queries=5)
    assert [trial.state for trial in strategy.told] == ["running", "complete", "running", "failed"]


def test_two_objectives_are_both_made_large(table: Table) -> None:
    cost = "c10valid_val_acc_12"
    _, strategy = ran(table, 4, protocol="objectives", cost=cost, queries=1)
    accuracy = table.columns["c10valid_val_acc_200_avg"][4]
    assert strategy.told[-1].values == (accuracy, -table.columns[cost][4])
    assert strategy.told[-1].costs == {cost: table.columns[cost][4]}


# Figures


def test_the_best_so_far_and_what_is_reported_of_it(table: Table) -> None:
    signal = table.columns["c10valid_val_acc_200_avg"]
    report = table.columns["c10_test_acc_200_avg"]
    rows = Random(1).sample(range(60), 12)
    comparison = compare(
        table,
        {"listed": lambda space: Listed(space, rows)},
        queries=20,
        seeds=1,
        at=(1, 5),
        workers=1,
    )
    curves = comparison.curves["listed"]
    assert curves.at.tolist() == list(range(1, 21))
    for spent in curves.at.astype(int):
        best = max(rows[:spent], key=lambda row: signal[row])
        assert curves.signal[0, spent - 1] == signal[best]
        assert curves.report[0, spent - 1] == report[best]
    [row] = comparison.rows
    assert row["queries"] == 12
    assert row["signal_mean"] == signal[rows].max()
    assert row["regret_mean"] == signal.max() - signal[rows].max()
    assert [after["spent"] for after in row["after"]] == [1, 5, 20]
    assert row["after"][1]["signal_mean"] == signal[rows[:5]].max()


def test_means_and_errors_are_over_the_seeds(table: Table) -> None:
    comparison = compare(table, ["random"], queries=5, seeds=8, workers=1)
    signal = table.columns["c10valid_val_acc_200_avg"]
    best = [signal[list(trace.rows)].max() for trace in comparison.traces["random"]]
    [row] = comparison.rows
    assert row["seeds"] == 8
    assert row["signal_mean"] == pytest.approx(np.mean(best))
    assert row["signal_se"] == pytest.approx(np.std(best, ddof=1) / np.sqrt(8))
    assert row["report_sd"] == pytest.approx(row["report_se"] * np.sqrt(8))


def test_how_soon_the_best_were_found(table: Table) -> None:
    order = np.argsort(-table.columns["c10valid_val_acc_200_avg"])
    worst_first = [int(row) for row in order[::-1]]

    def starting(at: int):
        return lambda space: Listed(space, worst_first[at:])

    comparison = compare(
        table,
        {"a": starting(0), "b": starting(40), "c": starting(0)},
        queries=50,
        seeds=1,
        workers=1,
    )
    found = {
        r["strategy"]: (r["median_until_top"], r["median_until_best"]) for r in comparison.rows
    }
    assert found["a"] == (45, math.inf)  # the 45th of 60 from below is the 16th best
    assert found["b"] == (5, 20)


def test_only_full_trainings_count_as_found(nb101: Path) -> None:
    table = read(nb101)
    comparison = compare(
        table,
        {"listed": lambda space: Listed(space, (0, 3), (1 / 27, 1.0))},
        queries=4,
        seeds=1,
        workers=1,
    )
    curves = comparison.curves["listed"]
    assert curves.signal.tolist() == [[0.5, 0.8, 0.8, 0.8]]
    short = compare(
        table, {"s": lambda space: Listed(space, (0, 3), (1 / 27,))}, queries=1, seeds=2, workers=1
    )
    assert math.isnan(short.rows[0]["signal_mean"])
    json.dumps(finite(short.summary), allow_nan=False)


def test_hypervolume_is_a_share_of_the_whole_fronts(table: Table) -> None:
    accuracy, cost = (
        table.columns[name] for name in ("c10valid_val_acc_200_avg", "c10valid_val_acc_12")
    )
    comparison = compare(
        table,
        {"some": lambda s: Listed(s, range(10)), "all": lambda s: Listed(s, range(60))},
        protocol="objectives",
        cost="c10valid_val_acc_12",
        queries=60,
        seeds=1,
        workers=1,
    )
    assert comparison.curves["all"].signal[0, -1] == pytest.approx(1)
    points = np.column_stack([-accuracy, cost])
    reference = np.array([0.0, cost.max()])
    share = moocore.hypervolume(points[:10], ref=reference) / moocore.hypervolume(
        points, ref=reference
    )
    assert comparison.curves["some"].signal[0, -1] == pytest.approx(share)
    assert (np.diff(comparison.curves["all"].signal[0]) >= 0).all()


# Side by side


def test_the_same_seeds_give_the_same_trials_in_any_number_of_processes(table: Table) -> None:
    names = ["random", "evolution:population=5,sample=2"]
    alone = compare(table, names, queries=12, seeds=3, workers=1)
    both = compare(table, names, queries=12, seeds=3, workers=2)
    assert alike(alone, both)
    one = compare(table, names, queries=12, seeds=[2], workers=1)
    assert one.traces["random"][0].rows == alone.traces["random"][2].rows
    assert len({trace.rows for trace in alone.traces["random"]}) == 3


def test_functions_of_a_script_can_be_compared_in_processes(table: Table) -> None:
    population = 6
    made = compare(
        table,
        {"mine": lambda space: RegularizedEvolution(space, population=population, sample=3)},
        queries=9,
        seeds=2,
        workers=2,
    )
    named = compare(
        table, {"mine": "evolution:population=6,sample=3"}, queries=9, seeds=2, workers=1
    )
    assert alike(made, named)


def test_progress_is_told_of_each_run(table: Table) -> None:
    told: Counter[str] = Counter()
    compare(
        table, ["random", "evolution"], queries=2, seeds=3, workers=1, progress=lambda n: told.update([n])
    )  # fmt: skip
    assert told == {"random": 3, "evolution": 3}


def test_a_strategy_with_settings() -> None:
    assert [value_of(text) for text in ("5", "0.5", "1/27", "1e3", "true", "None", "x", "1/0")] == [
        5, 0.5, 1 / 27, 1e3, True, None, "x", "1/0",
    ]  # fmt: skip


def test_a_value_alone_is_the_first_settings(table: Table) -> None:
    short = compare(table, {"s": "evolution:7,sample=2"}, queries=12, seeds=1, workers=1)
    long = compare(table, {"s": "evolution:population=7,sample=2"}, queries=12, seeds=1, workers=1)
    assert alike(short, long)


def test_columns_are_side_information(table: Table) -> None:
    seen = {}

    class Sided(RandomSearch):
        def __init__(self, space, *, features=None):
            super().__init__(space)
            seen["features"] = features

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STRATEGIES, "sided", Sided)
        compare(
            table,
            ["sided:features=@c10_test_acc_200_avg+c10valid_val_acc_12"],
            queries=1,
            seeds=1,
            workers=1,
        )
    order = np.argsort(table.columns["c10_test_acc_200_avg"])
    found = [seen["features"](table.architectures[row]) for row in order]
    assert [first for first, _ in found] == [place / 60 for place in range(60)]
    with pytest.raises(SettingError, match="has no 'synflow'"):
        compare(table, ["sided:features=@synflow"], queries=1)


def test_side_information_that_is_missing_is_that_of_an_equal_cell(data: Path) -> None:
    table = read(data / "nb201.npz")
    features = table.features(["c10_nwot"])
    text = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format
    skips, conv, none = "skip_connect", "nor_conv_3x3", "none"
    whole = nasbench201.architecture_of(text(none, conv, none, none, none, skips))
    dead = nasbench201.architecture_of(text(skips, conv, none, none, none, skips))
    nothing = nasbench201.architecture_of(text(none, none, none, none, none, none))
    column = table.columns["c10_nwot"]
    assert math.isnan(column[table.row(dead)])
    assert not math.isnan(column[table.row(whole)])
    assert features(dead) == pytest.approx(features(whole), abs=0.01)  # one of several equal ones
    assert features(nothing) == [0.0]


def test_a_table_is_an_estimator(table: Table, tmp_path: Path) -> None:
    result = ogive.search(
        table.space,
        estimator=table,
        maximize="c10valid_val_acc_200_avg",
        strategy="random",
        trials=8,
        out=tmp_path / "run",
        executor=SerialExecutor(),
    )
    best = result.summary["best"]
    row = table.row(result.architecture)
    for name in ("c10valid_val_acc_200_avg", "c10_test_acc_200_avg"):
        assert best["metrics"][name] == table.columns[name][row]


@pytest.mark.parametrize(
    ("strategies", "settings", "said"),
    [
        (["evolutoin"], {}, "Did you mean 'evolution'"),
        (["evolution:populaton=3"], {}, "Did you mean 'population'"),
        (["evolution:sample=300"], {}, "sample=300"),
        (["nothing:3"], {}, "must be a known one"),
        (["random", "random"], {}, "'random' stands twice"),
        ([], {}, "needs a strategy"),
        (["random"], {"protocol": "querys"}, "Did you mean 'queries'"),
        (["random"], {"signal": "c10_test_acc"}, "Did you mean 'c10_test_acc_200_avg'"),
        (["random"], {"report": "none"}, "has no 'none'"),
        (["random"], {"protocol": "objectives"}, "hwnas_c10_edgegpu_latency"),
        (["random"], {"cost": "c10_test_acc_200_avg"}, "'queries' was given"),
        (["random"], {"queries": 0}, "must be positive"),
        (["random"], {"seconds": 60}, "a budget of queries, but was given seconds=60"),
        (["random"], {"protocol": "time", "queries": 9}, "a budget of seconds, but .* queries=9"),
        (["random"], {"protocol": "time", "seconds": math.inf}, "and finite, but got inf"),
        (["random"], {"protocol": "time", "seconds": math.nan}, "and finite, but got nan"),
        (
            ["random"],
            {"protocol": "time", "seconds": 100},
            "longest takes 124.0 s, .* seconds=100",
        ),
        (["random"], {"seeds": 0}, "at least one seed"),
    ],
)
def test_what_is_wrong_is_said_at_once(table: Table, strategies, settings, said) -> None:
    with pytest.raises(SettingError, match=said):
        compare(table, strategies, **settings)


def test_a_table_without_what_is_to_be_compared_is_refused(table: Table) -> None:
    """Columns of no numbers, seconds that are not known of all, and a front without an area."""

    def changed(**columns: float | np.ndarray) -> Table:
        other = {name: np.zeros(len(table)) + column for name, column in columns.items()}
        return replace(table, columns={**table.columns, **other})

    seconds = np.where(np.arange(len(table)) == 7, np.nan, 5.0)
    rung = replace(table.signal("c10valid_val_acc_12").rungs[0], seconds=seconds)
    timed = replace(table, signals={**table.signals, rung.column: Signal((rung,))})
    for other, settings, said in (
        (
            changed(c10valid_val_acc_200_avg=np.nan),
            {},
            "'c10valid_val_acc_200_avg' of .* has none",
        ),
        (changed(c10_test_acc_200_avg=np.nan), {}, "'c10_test_acc_200_avg' of .* has none"),
        (timed, {"protocol": "time"}, "not all of 'c10valid_val_acc_12'"),
        (changed(a=1), {"protocol": "objectives", "cost": "a"}, "has none by .* and 'a'"),
        (changed(a=np.nan), {"protocol": "objectives", "cost": "a"}, "has none by .* and 'a'"),
    ):
        with pytest.raises(SettingError, match=said):
            compare(other, ["random"], seeds=1, workers=1, **settings)


def test_the_hypervolume_of_negative_signals_begins_at_the_least(table: Table) -> None:
    cost = table.columns["c10valid_val_acc_12"].copy()
    cost[3] = np.inf  # as good as missing
    losses = {"loss": table.columns["c10valid_val_acc_200_avg"] - 100, "cost": cost}
    comparison = compare(
        replace(table, columns={**table.columns, **losses}),
        {"all": lambda s: Listed(s, range(60)), "some": lambda s: Listed(s, range(10))},
        protocol="objectives",
        signal="loss",
        report="loss",
        cost="cost",
        queries=60,
        seeds=1,
        workers=1,
    )
    shares = [comparison.curves[name].signal[0, -1] for name in ("some", "all")]
    assert 0 < shares[0] < shares[1] == pytest.approx(1)


# What was published


def test_the_published_figures_of_nas_bench_201(data: Path) -> None:
    """Table 5 of Dong & Yang 2020: CIFAR-10, test accuracy after 12,000 seconds, 500 runs.

    Random search 93.70 ± 0.36, regularised evolution (population 10, sample 3) 93.92 ± 0.30.
    """
    evolution = "evolution:population=10,sample=3"
    comparison = compare(
        data / "nb201.npz", ["random", evolution], protocol="time", seeds=40, workers=1
    )
    rows = {row["strategy"]: row for row in comparison.rows}
    assert rows["random"]["report_mean"] == pytest.approx(93.70, abs=0.15)
    assert rows[evolution]["report_mean"] == pytest.approx(93.92, abs=0.15)
    assert 90 < rows["random"]["queries"] < 120  # "about 100 architectures"
    assert rows[evolution]["report_mean"] > rows["random"]["report_mean"]


def test_random_search_on_nas_bench_201_by_queries(data: Path) -> None:
    """Against the order statistics of the table itself, without a strategy."""
    table = read(data / "nb201.npz")
    comparison = compare(table, ["random"], queries=50, seeds=100, workers=1)
    forms = {}
    for row, architecture in enumerate(table.architectures):
        forms.setdefault(table.space.canonical(architecture), []).append(row)
    assert len(forms) == 6466
    signal = table.columns["c10valid_val_acc_200_avg"]
    rng = np.random.default_rng(0)
    drawn = [signal[rng.choice(len(table), 50, replace=False)].max() for _ in range(2000)]
    [row] = comparison.rows
    assert row["signal_mean"] == pytest.approx(np.mean(drawn), abs=4 * row["signal_se"] + 0.03)


def test_by_cost_cells_that_compute_the_same_are_different(data: Path) -> None:
    spaces = []

    def make(space):
        spaces.append(space)
        return RandomSearch(space)

    for protocol in ("queries", "objectives"):
        compare(data / "nb201.npz", {"r": make}, protocol=protocol, queries=1, seeds=1, workers=1)
    dead = nasbench201.architecture_of(
        "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    )
    by_signal, by_cost = spaces[-3], spaces[-1]
    assert by_signal.canonical(dead) != dead
    assert by_cost.canonical(dead) == dead


def test_one_run_is_a_function_of_its_seed(table: Table) -> None:
    comparison = compare(table, ["random"], queries=5, seeds=1, workers=1)
    again = run(table, comparison.protocol, RandomSearch(table.space), 0)
    assert again.rows == comparison.traces["random"][0].rows


COST = {"objectives": "c10valid_val_acc_12", "queries": None}


def test_auto_is_asked_as_a_search_asks_it(table):
    for protocol, queries, like in (
        ("objectives", 30, {"objectives": 2, "many": False}),
        ("queries", 1001, {"objectives": 1, "many": True}),
    ):
        rules = _protocol(table, protocol, queries, None, None, None, COST[protocol])
        strategy = contenders("auto", table, rules)["auto"](table.space)
        assert {name: getattr(strategy, name) for name in like} == like


def test_strategies_of_one_objective_are_not_compared_by_two(table):
    with pytest.raises(SettingError, match="BayesianOptimization looks at the first alone"):
        compare(table, ["random", "bo"], protocol="objectives", cost=COST["objectives"])
    with pytest.raises(SettingError, match="for two objectives, but there are 1"):
        compare(table, ["mobo:acquisition=ehvi"], queries=1)
