import math
from collections import Counter
from random import Random

import numpy as np
import pytest

from ogive.errors import SettingError
from ogive.space import Architecture, Condition, Decision, PoolSpace, SearchSpace
from ogive.strategies import ASHA, BOHB, PPO, TPE, RandomSearch, Reinforce
from ogive.strategies._tpe import _Density
from ogive.testing import ended, play, running, synthetic
from ogive.trial import Proposal, Trial


def where(path, *values):
    return ((Condition(path, frozenset(values)),),)


TREE = SearchSpace(
    [
        Decision("op", "categorical", options=("conv", "pool", "skip")),
        Decision("kernel", "ordinal", options=(1, 3, 5, 7), conditions=where("op", "conv")),
        Decision("act", "categorical", options=("relu", "silu"), conditions=where("op", "conv")),
        Decision("size", "integer", low=1, high=2, conditions=where("op", "pool")),
    ]
)
LINE = SearchSpace([Decision("x", "real", low=0.0, high=1.0)])


def log_density(space, centres, architectures):
    return _Density(space, centres).log(space.encode(architectures))


def probability(space, architecture):
    """Of being drawn by ``space.sample``."""
    return math.prod(1 / space[path].size for path in architecture)


# The densities


def test_a_density_of_categories_sums_to_one():
    space = SearchSpace([d for d in TREE.decisions if d.kind == "categorical"])
    everything = list(space.enumerate())
    for centres in ([], everything[:1], [everything[0], everything[-1], everything[2]]):
        density = np.exp(log_density(space, centres, everything))
        shares = [probability(space, a) for a in everything]
        assert density @ shares == pytest.approx(1)


def test_a_density_of_a_number_sums_to_one():
    centres = [Architecture({"x": x}) for x in (0.0, 0.13, 0.9)]
    grid = [Architecture({"x": x}) for x in (np.arange(20_000) + 0.5) / 20_000]
    assert np.exp(log_density(LINE, centres, grid)).mean() == pytest.approx(1, abs=1e-6)


def test_a_kernel_is_a_product_over_the_decisions_that_both_have():
    centre = Architecture({"op": "conv", "kernel": 3, "act": "silu"})
    n, width = 1, 0.5 / 3  # Half a step of the kernel's sizes is more than Scott's rule.
    near = [math.exp(-(((k - 1) / 3) ** 2) / (2 * width**2)) for k in range(4)]
    inside = sum(math.erf(x / width / math.sqrt(2)) for x in (1 / 3, 2 / 3)) / 2
    peak = 1 / (math.sqrt(2 * math.pi) * width * inside)

    def category(options, same):
        return options * (n + 1 if same else 1) / (n + options)

    cases = {
        Architecture({"op": "conv", "kernel": 7, "act": "silu"}): (
            category(3, True) * peak * near[3] * category(2, True)
        ),
        Architecture({"op": "conv", "kernel": 3, "act": "relu"}): (
            category(3, True) * peak * near[1] * category(2, False)
        ),
        Architecture({"op": "pool", "size": 2}): category(3, False),
        Architecture({"op": "skip"}): category(3, False),
    }
    found = np.exp(log_density(TREE, [centre], cases))
    assert found == pytest.approx([(1 + kernel) / 2 for kernel in cases.values()])


def test_a_subset_is_decided_option_by_option():
    space = SearchSpace([Decision("in", "subset", options=("a", "b", "c"), sizes=(1, 2))])
    centre = Architecture({"in": ("a", "b")})
    others = [Architecture({"in": taken}) for taken in (("a", "b"), ("a",), ("b", "c"))]
    same, other = 2 * 2 / 3, 2 / 3
    kernels = [same**3, same**2 * other, same * other**2]
    assert np.exp(log_density(space, [centre], others)) == pytest.approx(
        [(1 + kernel) / 2 for kernel in kernels]
    )


def test_draws_follow_the_density():
    centres = [
        Architecture({"op": "conv", "kernel": 1, "act": "relu"}),
        Architecture({"op": "pool", "size": 2}),
    ]
    density = _Density(TREE, centres)
    rng, draws = Random(0), 20_000
    found = Counter(density.draw(rng)["op"] for _ in range(draws))
    # Two kernels and the prior, with one in n + 3 for each of the others.
    expected = {"conv": (3 / 5 + 1 / 5 + 1 / 3) / 3, "pool": (3 / 5 + 1 / 5 + 1 / 3) / 3}
    for op, share in expected.items():
        assert found[op] / draws == pytest.approx(share, abs=0.015)
    conv = [a for a in (density.draw(rng) for _ in range(draws)) if a["op"] == "conv"]
    kernels = Counter(a["kernel"] for a in conv)
    assert kernels[1] > kernels[3] > kernels[7]
    for architecture in conv[:50]:
        assert TREE.validate(architecture) == architecture


# What is good and what is not


def told(strategy, space=LINE, values=(), *, fidelity=1.0, first=0):
    """Tells it of trials whose architecture is x = 0.001, 0.002, … and returns these."""
    trials = []
    for number, value in enumerate(values, start=first):
        proposal = Proposal(Architecture({"x": (number + 1) / 1000}), fidelity)
        trials.append(running(number, proposal))
        strategy.tell(trials[-1])
        if value is not None:
            strategy.tell(ended(trials[-1], value))
    return [trial.architecture for trial in trials]


def centres(strategy):
    good, bad = strategy._model()
    return set(good._centres), set(bad._centres)


def test_the_best_share_is_good_and_all_others_are_not():
    strategy = TPE(LINE, top=0.2, startup=5)
    architectures = told(strategy, values=[3, 9, 1, 7, 5, 2])
    assert centres(strategy) == (
        {architectures[1], architectures[3]},
        {architectures[i] for i in (0, 2, 4, 5)},
    )


def test_what_runs_failed_or_was_rejected_is_not_good():
    strategy = TPE(LINE, startup=2)
    first, second, runs, fails, rejected = told(strategy, values=[1, 2, None, None, None])
    strategy.tell(Trial(3, Proposal(fails), "failed"))
    strategy.tell(Trial(4, Proposal(rejected), "rejected", costs={"params": 1.0}))
    assert centres(strategy) == ({second}, {first, runs, fails, rejected})
    strategy.tell(ended(running(2, Proposal(runs)), 3))
    assert centres(strategy) == ({runs}, {first, second, fails, rejected})


def test_the_largest_fidelity_with_enough_trials_counts():
    strategy = TPE(LINE, startup=3)
    assert strategy._model() is None
    low = told(strategy, values=[1, 2, 3], fidelity=1 / 3)
    assert centres(strategy) == ({low[2]}, {low[0], low[1]})
    high = told(strategy, values=[4, 5], first=3)
    assert centres(strategy)[0] == {low[2]}
    high += told(strategy, values=[0], first=5)
    assert centres(strategy) == ({high[1]}, {high[0], high[2]})


def test_what_breaks_in_a_longer_training_is_good_no_more():
    strategy = TPE(LINE, startup=2)
    low = told(strategy, values=[1, 2, 3], fidelity=1 / 3)
    longer = Proposal(low[2], 1.0, parent=2)
    strategy.tell(running(3, longer))
    assert centres(strategy)[0] == {low[2]}  # As yet it is as good as it was.
    strategy.tell(Trial(3, longer, "failed"))
    assert centres(strategy) == ({low[1]}, {low[0], low[2]})


def test_of_the_draws_the_likeliest_to_be_good_is_proposed():
    space = SearchSpace([Decision("x", "integer", low=0, high=999)])
    strategy = TPE(space, startup=20)
    for x in range(0, 1000, 10):
        trial = running(x, Proposal(Architecture({"x": x})))
        strategy.tell(ended(trial, -abs(x - 700)))
    proposed = [p.architecture["x"] for seed in range(20) for p in strategy.ask(1, Random(seed))]
    assert all(620 < x < 780 for x in proposed)


@pytest.mark.parametrize("kind", [TPE, BOHB, Reinforce, PPO])
def test_of_a_pool_it_takes_what_is_nearest_to_a_draw(kind):
    """Of a few in a hundred of a space: almost no draw from a model is one of them."""
    space = SearchSpace(
        [Decision(f"d{i}", "categorical", options=tuple("abcde")) for i in range(6)]
    )

    def value(architecture, _=1.0):
        return float(sum(option == "a" for option in architecture.values()))

    late = []
    for seed in range(3):
        rng = Random(seed)
        pool = PoolSpace(space, {space.sample(rng): None for _ in range(500)})
        trials = play(kind(pool), value, 120, seed=seed)
        late.append(np.mean([trial.value for trial in trials[60:]]))
    assert np.mean(late) > 1.7  # At random it is 1.2.


def test_a_share_is_drawn_at_random():
    def near(random_share):
        strategy = TPE(LINE, random_share=random_share)
        told(strategy, values=range(100))
        asked = [strategy.ask(1, Random(seed))[0].architecture["x"] for seed in range(60)]
        return np.mean([x < 0.3 for x in asked])

    assert near(0.0) == 1.0
    assert 0.3 < near(0.8) < 0.75


def test_a_search_that_was_killed_goes_on_with_the_same_proposals():
    problem = synthetic(3)
    for make in (TPE, BOHB):
        whole = play(make(problem.space), problem.value, 60, seed=4)
        again = make(problem.space)
        for trial in whole[:40]:
            again.tell(running(trial.number, trial.proposal))
            again.tell(trial)
        assert again.ask(1, Random("4:40"))[0] == whole[40].proposal


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top": 0.0}, r"top=0\.0"),
        ({"top": 1.0}, r"top=1\.0"),
        ({"candidates": 0}, "candidates=0"),
        ({"startup": 0}, "startup=0"),
        ({"random_share": 1.0}, r"random_share=1\.0"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(SettingError, match=message):
        TPE(LINE, **settings)


def test_it_beats_random_search_on_nas_bench_201(data):
    table = np.load(data / "nb201.npz", allow_pickle=False)
    codes, values = table["op_code"], table["c10valid_val_acc_200_avg"]
    rows = dict(zip(map(tuple, codes.tolist()), values.tolist(), strict=True))
    space = SearchSpace(
        [Decision(f"edge{i}", "categorical", options=(0, 1, 2, 3, 4)) for i in range(6)]
    )

    def regret(make):
        def value(architecture, _):
            return rows[tuple(architecture.values())]

        best = [max(t.value for t in play(make(space), value, 100, seed=s)) for s in range(4)]
        return values.max() - np.mean(best)

    assert regret(TPE) < 0.3 * regret(RandomSearch)


# BOHB


def test_bohb_learns_from_low_fidelities():
    problem = synthetic(4)

    def best(strategy, seed):
        spent, found = 0.0, 0.0
        for trial in play(strategy, problem.value, 180, seed=seed):
            spent += trial.fidelity
            if spent > 40:
                break
            if trial.fidelity == 1:
                found = max(found, trial.value)
        return found

    def halving(space):
        return ASHA(space, proposer=RandomSearch(space))

    bohb, asha = (
        np.mean([best(make(problem.space), seed) for seed in range(4)]) for make in (BOHB, halving)
    )
    assert bohb > asha + 0.02


def test_bohb_starts_from_what_it_is_given_and_says_its_settings():
    start = synthetic(2).space.sample(Random(3))
    bohb = BOHB(synthetic(2).space, start_from=[start], eta=2, min_fidelity=0.25)
    assert bohb.ask(1, Random(0)) == [Proposal(start, 0.25)]
    assert bohb.settings() == {
        "name": "BOHB",
        "eta": 2,
        "min_fidelity": 0.25,
        "random_share": 1 / 3,
        "start_from": [start.to_json()],
    }
