from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from ogive.errors import SettingError, SpaceError
from ogive.space import Architecture, Decision, SearchSpace
from ogive.strategies import (
    ASHA,
    BANANAS,
    BOHB,
    NPENAS,
    NSGA2,
    PPO,
    STRATEGIES,
    TPE,
    Auto,
    BayesianOptimization,
    GridSearch,
    Hyperband,
    LocalSearch,
    MultiObjective,
    OptunaSampler,
    RandomSearch,
    RegularizedEvolution,
    Reinforce,
    by_name,
)
from ogive.testing import StrategyContract, ended, play, running, synthetic
from ogive.trial import Proposal, Trial

SPACE = synthetic(2).space


class TestRandom(StrategyContract):
    def make(self, space):
        return RandomSearch(space)


class TestGrid(StrategyContract):
    drawn = False

    def make(self, space):
        return GridSearch(space)


class TestLocal(StrategyContract):
    def make(self, space):
        return LocalSearch(space)


class TestEvolution(StrategyContract):
    def make(self, space):
        return RegularizedEvolution(space, population=20, sample=5)


class TestEvolutionOfHeirs(StrategyContract):
    def make(self, space):
        return RegularizedEvolution(space, population=20, sample=5, inherit=0.5)


class TestNSGA2(StrategyContract):
    def make(self, space):
        return NSGA2(space)


class TestASHA(StrategyContract):
    def make(self, space):
        return ASHA(space)


class TestASHAOverRandom(StrategyContract):
    def make(self, space):
        return ASHA(space, proposer=RandomSearch(space), eta=2, min_fidelity=0.25)


class TestBayesian(StrategyContract):
    trials = 30

    def make(self, space):
        return BayesianOptimization(space)


class TestThompson(StrategyContract):
    trials = 30

    def make(self, space):
        return BayesianOptimization(space, acquisition="ts")


class TestBANANAS(StrategyContract):
    trials = 30

    def make(self, space):
        return BANANAS(space)


class TestNPENAS(StrategyContract):
    trials = 40

    def make(self, space):
        return NPENAS(space)


class TestMultiObjective(StrategyContract):
    trials = 24

    def make(self, space):
        return MultiObjective(space)


class TestAuto(StrategyContract):
    trials = 30

    def make(self, space):
        return Auto(space, objectives=self.objectives)


class TestHyperband(StrategyContract):
    def make(self, space):
        return Hyperband(space)


class TestHyperbandOverRandom(StrategyContract):
    def make(self, space):
        return Hyperband(space, proposer=RandomSearch(space), eta=2, min_fidelity=0.25)


class TestReinforce(StrategyContract):
    def make(self, space):
        return Reinforce(space)


class TestReinforceLSTM(StrategyContract):
    trials = 100

    def make(self, space):
        return Reinforce(space, policy="lstm")


class TestPPO(StrategyContract):
    def make(self, space):
        return PPO(space)


class TestPPOLSTM(StrategyContract):
    trials = 100

    def make(self, space):
        return PPO(space, policy="lstm")


class TestTPE(StrategyContract):
    trials = 100

    def make(self, space):
        return TPE(space)


class TestBOHB(StrategyContract):
    trials = 100

    def make(self, space):
        return BOHB(space)


class TestOptuna(StrategyContract):
    trials = 100

    def make(self, space):
        settings = {"population_size": 10}
        return OptunaSampler(space, sampler="NSGAIISampler", sampler_settings=settings)


def test_every_registered_strategy_passes_the_contract():
    tested = [kind for kind in StrategyContract.__subclasses__() if kind.__module__ == __name__]
    kinds = {type(contract().make(synthetic(2).space)) for contract in tested}
    assert kinds >= set(STRATEGIES.values())


# Names and settings


def test_a_strategy_is_made_by_its_name_and_settings():
    evolution = by_name("evolution", SPACE, population=7, sample=2)
    assert evolution.settings() == {
        "name": "RegularizedEvolution",
        "population": 7,
        "sample": 2,
        "start_from": [],
        "inherit": 0.0,
    }
    assert isinstance(by_name("asha", SPACE, proposer="random").proposer, RandomSearch)


def test_settings_may_stand_behind_the_name():
    evolution = by_name("evolution:population=7,sample=2,inherit=1/4", SPACE, sample=3)
    assert (evolution.population, evolution.sample, evolution.inherit) == (7, 3, 0.25)
    assert isinstance(by_name("asha:random", SPACE).proposer, RandomSearch)
    assert by_name("bo:graph=true", SPACE).graph is True
    assert by_name("bananas:candidates=1e3", SPACE).settings()["candidates"] == 1000


def test_settings_hold_those_of_the_proposer():
    start = SPACE.sample(Random(0))
    asha = ASHA(SPACE, proposer=RandomSearch(SPACE, start_from=[dict(start)]))
    assert asha.settings() == {
        "name": "ASHA",
        "proposer": {"name": "RandomSearch", "start_from": [start.to_json()]},
        "eta": 3,
        "min_fidelity": 1 / 9,
        "start_from": [],
    }


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("evolutoin", {}, "Did you mean 'evolution'"),
        ("evolution", {"populaton": 3}, "Did you mean 'population'"),
        ("evolution:populaton=3", {}, "Did you mean 'population'"),
        ("evolution:population=many", {}, "population='many'"),
        ("evolution:sample=2.5", {}, r"sample must be an integer, but got sample=2\.5"),
        ("bananas", {"candidates": float("inf")}, "candidates=inf"),
        ("npenas", {"members": True}, "members=True"),
        ("asha", {"proposer": 3}, "proposer=3"),
        ("bo:features=c10_synflow", {}, "function of an architecture .*'c10_synflow'"),
        ("evolutoin:3", {}, "Did you mean 'evolution'"),
        ("grid", {"points": 1}, "points=1"),
        ("local", {"starts": 0}, "starts=0"),
        ("evolution", {"population": 0}, "population=0"),
        ("evolution", {"population": 3, "sample": 4}, "sample=4"),
        ("nsga2", {"population": 1}, "population=1"),
        ("bo", {"initial": 1}, "initial=1"),
        ("bo", {"acquisition": "pi"}, "'pi'"),
        ("bananas", {"members": 1}, "members=1"),
        ("bananas", {"parents": 0}, "parents=0"),
        ("bananas", {"initial": 1}, "initial=1"),
        ("npenas", {"offspring": 0}, "offspring=0"),
        ("auto", {"objectives": 0}, "objectives=0"),
        ("mobo", {"initial": 0}, "initial=0"),
        ("mobo", {"acquisition": "ei"}, "'ei'"),
        ("evolution", {"start_from": [{"lrr": 1}]}, "lrr"),
        ("asha", {"eta": 1}, "eta=1"),
        ("hyperband", {"eta": 1}, "eta=1"),
        ("hyperband", {"min_fidelity": 0.0}, r"min_fidelity=0\.0"),
        ("hyperband", {"proposer": RandomSearch(synthetic(3).space)}, "Hyperband is for"),
        ("asha", {"eta": 2.5}, r"eta=2\.5"),
        ("asha", {"min_fidelity": 0.0}, r"min_fidelity=0\.0"),
        ("asha", {"min_fidelity": 2.0}, r"min_fidelity=2\.0"),
        ("asha", {"proposer": RandomSearch(synthetic(3).space)}, "from one space"),
        (
            "asha",
            {"proposer": RandomSearch(SPACE), "start_from": [SPACE.sample(Random(0))]},
            r"RandomSearch\(space, start_from=",
        ),
    ],
)
def test_a_wrong_setting_is_named(name, settings, message):
    with pytest.raises((SettingError, SpaceError), match=message):
        by_name(name, SPACE, **settings)


def test_a_strategy_that_hides_its_arguments_is_told_how_to_keep_them():
    class Hiding(RandomSearch):
        def __init__(self, space, hidden=1):
            super().__init__(space)

    with pytest.raises(SettingError, match=r"self\.hidden = hidden"):
        Hiding(SPACE).settings()


def test_a_setting_without_a_json_form_is_named():
    class Odd(RandomSearch):
        def __init__(self, space, odd):
            super().__init__(space)
            self.odd = odd

    assert Odd(SPACE, len).settings() == {"name": "Odd", "odd": "builtins:len"}
    with pytest.raises(SettingError, match=r"Odd\.odd\[1\]"):
        Odd(SPACE, [1, object()]).settings()


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_starts_from_what_it_is_given(name):
    space = synthetic(3).space
    wanted = [space.sample(Random(seed)) for seed in (100, 200)]
    proposals = by_name(name, space, start_from=wanted).ask(3, Random(0))
    assert [p.architecture for p in proposals[:2]] == wanted


def test_a_proposer_by_its_name_starts_from_what_is_given():
    first = [SPACE.sample(Random(5))]
    strategy = by_name("asha:proposer=local", SPACE, start_from=first)
    assert [p.architecture for p in strategy.ask(1, Random(0))] == first


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


def test_a_large_space_whose_neighbourhoods_are_tried_is_not_finished():
    """The best one's neighbours are all tried: a child goes further, and never nowhere."""
    space = SearchSpace([Decision(f"b{i}", "categorical", options=(0, 1)) for i in range(40)])
    best = Architecture({f"b{i}": 0 for i in range(40)})
    strategy = RegularizedEvolution(space, population=1, sample=1)
    for number, neighbour in enumerate(space.neighbours(best, Random(0))):
        strategy.tell(ended(running(number, Proposal(neighbour)), 0.0))
    strategy.tell(ended(running(40, Proposal(best)), 1.0))
    for proposal in strategy.ask(20, Random(0)):
        assert sum(proposal.architecture.values()) in range(2, 52)


def test_the_last_architectures_of_a_space_are_found_at_once():
    space = SearchSpace([Decision("x", "integer", low=1, high=2_000)])
    tried = [Trial(x, Proposal(Architecture({"x": x})), "failed") for x in range(1, 1_998)]
    for name in STRATEGIES.keys() - {"optuna"}:  # Its samplers take seconds after so many.
        strategy = by_name(name, space)
        for trial in tried:
            strategy.tell(trial)
        last = {p.architecture["x"] for p in strategy.ask(9, Random(0))}
        assert last == {1_998, 1_999, 2_000}


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


@pytest.mark.parametrize("value", [None, float("nan")])
@pytest.mark.parametrize("name", ["evolution:population=2,sample=2", "nsga2:population=2"])
def test_what_breaks_in_a_longer_training_is_no_parent(name, value):
    strategy = by_name(name, SearchSpace([Decision("x", "integer", low=0, high=10**9)]))
    breaks, holds = (Architecture({"x": x}) for x in (10**8, 9 * 10**8))
    strategy.tell(ended(running(0, Proposal(breaks, 0.5)), 2.0))
    strategy.tell(ended(running(1, Proposal(holds, 0.5)), 1.0))
    strategy.tell(ended(running(2, Proposal(breaks, 1.0, parent=0)), value))
    children = [p.architecture["x"] for p in strategy.ask(20, Random(0))]
    assert np.median(children) > 5 * 10**8


def test_heirs_compete_with_those_that_were_trained_in_full():
    space = SearchSpace([Decision("x", "integer", low=0, high=10**9)])
    strategy = RegularizedEvolution(space, population=3, sample=3, inherit=0.25)
    full, heir, short = (Architecture({"x": x}) for x in (0, 10**9, 5 * 10**8))
    strategy.tell(ended(running(0, Proposal(full)), 1.0))
    strategy.tell(ended(running(1, Proposal(heir, 0.25, parent=0)), 2.0))
    strategy.tell(ended(running(2, Proposal(short, 0.1)), 3.0))
    strategy.tell(running(3, Proposal(Architecture({"x": 1}))))
    proposals = strategy.ask(200, Random(0))
    assert {proposal.fidelity for proposal in proposals} == {0.25}
    counts = Counter(proposal.parent for proposal in proposals)
    assert counts[1] > counts[0] > counts[2] > 0
    assert strategy.needs() == {0, 1, 2}
    strategy.tell(ended(running(4, Proposal(Architecture({"x": 2}))), 0.0))
    assert strategy.needs() == {1, 2, 4}


def test_without_inheritance_no_parent_is_named():
    problem = synthetic(2)
    strategy = RegularizedEvolution(problem.space, population=5, sample=2)
    trials = play(strategy, problem.value, 30)
    assert all(t.proposal.parent is None and t.fidelity == 1 for t in trials)
    assert strategy.needs() == set()
    heirs = RegularizedEvolution(problem.space, population=5, sample=2, inherit=True)
    trials = play(heirs, problem.value, 30)
    assert sum(t.proposal.parent is not None for t in trials) > 20
    assert all(t.fidelity == 1 for t in trials)


@pytest.mark.parametrize("kind", [ASHA, Hyperband])
def test_short_trainings_are_not_compared_with_those_of_heirs(kind):
    with pytest.raises(SettingError, match="inherit=0"):
        kind(SPACE, proposer=RegularizedEvolution(SPACE, inherit=0.5))
    with pytest.raises(SettingError, match="0 <= inherit <= 1"):
        RegularizedEvolution(SPACE, inherit=2)


@pytest.mark.parametrize(
    ("kind", "settings", "trials", "fewest"),
    [
        (RegularizedEvolution, {"population": 20, "sample": 5}, 300, 0.25),
        (NSGA2, {}, 300, 0.25),
        (BANANAS, {}, 24, 0.08),
        (NPENAS, {}, 24, 0.08),
        (BayesianOptimization, {}, 40, 0.08),
        (MultiObjective, {}, 40, 0.08),
    ],
)
def test_under_a_tight_limit_it_soon_proposes_what_fits(kind, settings, trials, fewest):
    space = SearchSpace([Decision(f"w{i}", "integer", low=1, high=100) for i in range(8)])
    strategy = kind(space, **settings)
    small = Architecture({f"w{i}": 15 for i in range(8)})
    strategy.tell(ended(running(0, Proposal(small)), 120.0))
    fits = []
    for number in range(1, trials + 1):
        trial = running(number, strategy.ask(1, Random(number))[0])
        strategy.tell(trial)
        size = sum(trial.architecture.values())
        fits.append(size <= 160)  # Less than one in a thousand of all.
        if fits[-1]:
            strategy.tell(ended(trial, float(size)))
        else:
            strategy.tell(replace(trial, state="rejected", error="params"))
    assert np.mean(fits[trials // 2 :]) > fewest


def test_heirs_fill_the_population_that_a_limit_keeps_small():
    space = SearchSpace([Decision("x", "integer", low=0, high=10**9)])
    strategy = RegularizedEvolution(space, population=10, sample=2, inherit=0.5)
    parents = []
    for number in range(60):
        (proposal,) = strategy.ask(1, Random(number))
        trial = running(number, proposal)
        strategy.tell(trial)
        parents.append(proposal.parent)
        x = proposal.architecture["x"]
        strategy.tell(replace(trial, state="rejected") if x % 2 else ended(trial, float(x)))
    assert None not in parents[30:]


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


def test_a_failed_trial_is_the_worst_of_its_rung_and_a_rejected_one_is_in_none():
    asha = ASHA(SPACE, proposer=RandomSearch(SPACE))
    drawn = [p.architecture for p in RandomSearch(SPACE).ask(5, Random(0))]

    def tell(number, state, value=()):
        asha.tell(Trial(number, Proposal(drawn[number], 1 / 9), state, values=value))

    def promoted():
        return [p.parent for p in asha.ask(4, Random(0)) if p.parent is not None]

    tell(0, "complete", (0.1,))
    tell(1, "rejected")
    tell(2, "rejected")
    assert promoted() == []  # One trial makes no third.
    tell(3, "failed")
    assert promoted() == []
    tell(4, "failed")
    assert promoted() == [0]


def test_a_tie_is_promoted_in_order_and_a_rung_of_failures_not_at_all():
    for value, expected in (((0.5,), [0, 1, 2]), ((), [])):
        asha = ASHA(SPACE, proposer=RandomSearch(SPACE))
        for number, proposal in enumerate(RandomSearch(SPACE).ask(9, Random(0))):
            trial = Proposal(proposal.architecture, 1 / 9)
            asha.tell(Trial(number, trial, "complete" if value else "failed", values=value))
        assert [p.parent for p in asha.ask(4, Random(0)) if p.parent is not None] == expected


def test_a_small_space_ends_with_all_of_it_trained_in_full():
    space = SearchSpace([Decision("x", "integer", low=0, high=4)])
    trials = play(ASHA(space), lambda a, f: a["x"] + f, 100, workers=2)
    assert sorted(t.architecture["x"] for t in trials if t.fidelity == 1) == [0, 1, 2, 3, 4]
    assert len(trials) == 15


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
