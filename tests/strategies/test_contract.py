from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from ogive.errors import SettingError
from ogive.space import Architecture, Decision, SearchSpace
from ogive.strategies import ASHA, STRATEGIES, RandomSearch, RegularizedEvolution, by_name
from ogive.testing import StrategyContract, ended, play, running, synthetic
from ogive.trial import Proposal


class TestRandom(StrategyContract):
    def make(self, space):
        return RandomSearch(space)


class TestEvolution(StrategyContract):
    def make(self, space):
        return RegularizedEvolution(space, population=20, sample=5)


class TestASHA(StrategyContract):
    def make(self, space):
        return ASHA(space)


class TestASHAOverRandom(StrategyContract):
    def make(self, space):
        return ASHA(space, proposer=RandomSearch(space), eta=2, min_fidelity=0.25)


def test_every_registered_strategy_passes_the_contract():
    tested = {TestRandom, TestEvolution, TestASHA}
    kinds = {type(contract().make(synthetic(2).space)) for contract in tested}
    assert kinds == set(STRATEGIES.values())


def test_an_unknown_name_says_what_was_meant():
    with pytest.raises(SettingError, match="Did you mean 'evolution'"):
        by_name("evolutoin", synthetic(2).space)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (RegularizedEvolution, {"population": 0}),
        (RegularizedEvolution, {"population": 5, "sample": 6}),
        (ASHA, {"eta": 1}),
        (ASHA, {"min_fidelity": 0.0}),
        (ASHA, {"min_fidelity": 2.0}),
    ],
)
def test_settings_are_checked(kind, settings):
    with pytest.raises(SettingError, match="but got"):
        kind(synthetic(2).space, **settings)


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_starts_from_what_it_is_given(name):
    space = synthetic(3).space
    wanted = [space.sample(Random(seed)) for seed in (100, 200)]
    proposals = by_name(name, space, start_from=wanted).ask(3, Random(0))
    assert [p.architecture for p in proposals[:2]] == wanted


def test_equal_networks_are_proposed_once():
    space = SearchSpace(
        [Decision("a", "ordinal", options=(0, 1, 2)), Decision("b", "ordinal", options=(0, 1, 2))],
        canonical=lambda a: Architecture(dict(zip("ab", sorted(a.values()), strict=True))),
    )
    for name in STRATEGIES:
        trials = play(by_name(name, space), lambda *_: 1.0, 100)
        forms = {space.canonical(trial.architecture) for trial in trials}
        lowest = min(trial.fidelity for trial in trials)
        assert len(forms) == 6
        assert sum(trial.fidelity == lowest for trial in trials) == 6


# Evolution


def test_only_the_youngest_live():
    space = SearchSpace([Decision("x", "integer", low=0, high=10**9)])
    strategy = RegularizedEvolution(space, population=3, sample=3)
    best = Architecture({"x": 5})
    for number, (architecture, value) in enumerate(
        [(best, 10.0)] + [(Architecture({"x": 10**8 * i}), 1.0) for i in range(1, 4)]
    ):
        strategy.tell(ended(running(number, Proposal(architecture)), value))
    assert best not in strategy._alive  # The best died of age.


def test_under_a_tight_limit_it_soon_proposes_what_fits():
    space = SearchSpace([Decision(f"w{i}", "integer", low=1, high=100) for i in range(8)])

    def fits(architecture):
        return sum(architecture.values()) <= 160  # Less than one in a thousand of all.

    strategy = RegularizedEvolution(space, population=20, sample=5)
    small = Architecture({f"w{i}": 15 for i in range(8)})
    strategy.tell(ended(running(0, Proposal(small)), 120.0))
    fitting = []
    for number in range(1, 301):
        trial = running(number, strategy.ask(1, Random(number))[0])
        strategy.tell(trial)
        fitting.append(fits(trial.architecture))
        value = float(sum(trial.architecture.values()))
        if fitting[-1]:
            strategy.tell(ended(trial, value))
        else:
            strategy.tell(replace(trial, state="rejected", error="params"))
    assert np.mean(fitting[150:]) > 0.25


def test_evolution_beats_random_search_on_nas_bench_201(data):
    table = np.load(data / "nb201.npz", allow_pickle=False)
    codes, values = table["op_code"], table["c10valid_val_acc_200_avg"]
    rows = {
        tuple(code): value for code, value in zip(codes.tolist(), values.tolist(), strict=True)
    }
    space = SearchSpace(
        [Decision(f"edge{i}", "categorical", options=(0, 1, 2, 3, 4)) for i in range(6)]
    )

    def value(architecture, _):
        return rows[tuple(architecture.values())]

    def regret(make):
        best = [max(t.value for t in play(make(space), value, 300, seed=s)) for s in range(8)]
        return values.max() - np.mean(best)

    evolution = regret(lambda s: RegularizedEvolution(s, population=50, sample=25))
    assert evolution < 0.5 * regret(RandomSearch)


# ASHA


def rungs(trials):
    levels = (1 / 9, 1 / 3, 1.0)
    return [[t for t in trials if t.fidelity == pytest.approx(level)] for level in levels]


def test_about_one_in_eta_is_promoted():
    problem = synthetic(4)
    strategy = ASHA(problem.space, proposer=RandomSearch(problem.space))
    lowest, middle, full = map(len, rungs(play(strategy, problem.value, 400)))
    assert lowest + middle + full == 400
    assert lowest / 3.5 < middle < lowest / 2
    assert middle / 3.5 < full < middle / 2


def test_a_promotion_goes_on_from_one_of_the_best_third_so_far():
    problem = synthetic(4)
    trials = play(ASHA(problem.space), problem.value, 200)
    promoted = [trial for trial in trials if trial.proposal.parent is not None]
    assert promoted
    assert len({t.proposal.parent for t in promoted}) == len(promoted)
    for trial in promoted:
        parent = trials[trial.proposal.parent]
        assert parent.architecture == trial.architecture
        assert trial.fidelity == pytest.approx(3 * parent.fidelity)
        before = [t for t in trials[: trial.number] if t.fidelity == parent.fidelity]
        better = sum(t.value > parent.value for t in before)
        assert better < len(before) // 3


def test_asha_needs_fewer_epochs_than_full_trainings():
    problem = synthetic(5)

    def epochs_until_good(strategy, seed):
        spent = 0.0
        for trial in play(strategy, problem.value, 600, seed=seed):
            spent += trial.fidelity
            if trial.fidelity == 1 and trial.value > 0.72:
                return spent
        return spent

    asha = [
        epochs_until_good(ASHA(problem.space, proposer=RandomSearch(problem.space)), s)
        for s in range(10)
    ]
    full = [epochs_until_good(RandomSearch(problem.space), s) for s in range(10)]
    assert np.median(asha) < 0.6 * np.median(full)
