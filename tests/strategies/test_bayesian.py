from itertools import pairwise
from random import Random

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from ogive.space import Architecture, Decision, SearchSpace
from ogive.strategies import BANANAS, NPENAS, BayesianOptimization, MultiObjective
from ogive.strategies._bayesian import _sampler, log_improvement
from ogive.strategies._surrogate import Belief, _spread, milestone, warped
from ogive.strategies._untried import Batch, Tried
from ogive.testing import ended, play, running, synthetic
from ogive.trial import Proposal, Trial

CUBE = SearchSpace(
    [Decision(f"d{i}", "categorical", options=("a", "b", "c", "d")) for i in range(4)]
)


def matches(architecture, fidelity=1.0):
    """How many decisions are right, and the right ones are worth more beside each other."""
    right = [architecture[f"d{i}"] == "abcd"[i] for i in range(4)]
    return sum(right) + sum(a and b for a, b in pairwise(right))


def test_the_logarithm_of_the_improvement_is_that_of_the_integral():
    for z in (-8.0, -3.0, -1.001, -1.0, -0.999, 0.0, 2.0):
        expected, _ = quad(lambda x, z=z: max(x + z, 0) * norm.pdf(x), -z, 40, epsabs=0)
        assert log_improvement(np.array([z]))[0] == pytest.approx(np.log(expected), rel=1e-5)
    far = log_improvement(np.array([-1e2, -1e3, -1e5]))
    assert np.all(np.diff(far) < 0)
    assert far[0] == pytest.approx(-5000 - 0.5 * np.log(2 * np.pi) - 2 * np.log(100), abs=0.01)


def test_targets_spread_the_best_apart_and_take_failures_for_the_worst():
    values = np.array([50.0, 70.0, 90.0, 93.0, 94.0, np.nan])
    targets = warped(values)
    assert targets.mean() == pytest.approx(0, abs=1e-9)
    assert targets.std() == pytest.approx(1)
    assert np.all(np.diff(targets[:5]) > 0)
    assert targets[5] == targets[0]
    assert targets[4] - targets[2] > targets[1] - targets[0]


def test_the_parameters_follow_from_the_trials_alone():
    assert [milestone(n) for n in (1, 19, 20, 21, 39, 40, 43, 321)] == [
        1, 19, 20, 20, 38, 40, 40, 320
    ]  # fmt: skip
    chosen = _spread(np.arange(1000.0))
    assert len(chosen) == len(set(chosen)) == 300
    assert set(range(900, 1000)) <= set(chosen)


def test_it_needs_far_fewer_trials_than_there_are_networks():
    found = []
    for seed in range(5):
        trials = play(BayesianOptimization(CUBE), matches, 25, seed=seed)
        values = [trial.value for trial in trials]
        found.append(values.index(7) if 7 in values else 25)
    assert np.median(found) < 25  # of 256


def test_parallel_proposals_know_of_each_other(monkeypatch):
    strategy = BayesianOptimization(CUBE)
    play(strategy, matches, 12)
    proposals = strategy.ask(4, Random(0))
    assert len({p.architecture for p in proposals}) == 4
    with monkeypatch.context() as patch:
        patch.setattr(Belief, "take_in", lambda *_: None)
        assert strategy.ask(4, Random(0)) != proposals
    # What is believed of the first is known to the second.
    first = strategy.ask(1, Random(0))
    assert first == proposals[:1]
    strategy.tell(running(100, first[0]))
    assert strategy.ask(1, Random(0)) == proposals[1:2]


def test_it_starts_with_what_side_information_ranks_highest():
    known = BayesianOptimization(CUBE, features=lambda a: (matches(a), -matches(a) / 2))
    assert len(known.ask(3, Random(0))) == 3
    helped = BayesianOptimization(CUBE, features=lambda a: (matches(a),))
    trials = play(helped, matches, 5)
    assert max(trial.value for trial in trials) == 7
    # It is no more than information: where it misleads, the trials have the last word.
    misled = play(BayesianOptimization(CUBE, features=lambda a: (-matches(a),)), matches, 40)
    assert max(trial.value for trial in misled) == 7


def test_side_information_that_is_no_number_counts_as_the_least():
    def numbers(architecture):
        return (np.nan if architecture["d0"] == "a" else matches(architecture),)

    for kind in (BayesianOptimization, MultiObjective, BANANAS, NPENAS):
        first = kind(CUBE, features=numbers).ask(3, Random(0))
        assert all(p.architecture["d0"] != "a" for p in first)
    few = CUBE.narrow({"d0": ("a", "b"), "d1": ("a",), "d2": ("a",)})
    strategy = BayesianOptimization(few, features=numbers)
    assert len(play(strategy, lambda a, _: matches(a), 20)) == 8


def test_side_information_of_a_space_that_is_used_up():
    space = SearchSpace([Decision("x", "integer", low=0, high=2)])
    strategy = BayesianOptimization(space, features=lambda a: (float(a["x"]),))
    assert len(play(strategy, lambda a, _: float(a["x"]), 10)) == 3


def test_a_draw_of_the_process_is_one_function():
    strategy = BayesianOptimization(CUBE, acquisition="ts")
    play(strategy, matches, 12)
    values = strategy._search.surrogate.values("value", lambda v: v[:, 0])
    belief = Belief(strategy._search.surrogate, [values])
    some = [CUBE.sample(Random(seed)) for seed in range(6)]
    draws = []
    for seed in range(200):
        score = _sampler(belief, Random(seed))(strategy._search.surrogate.points([*some, *some]))
        assert score[:6] == pytest.approx(score[6:], abs=0.01)
        draws.append(score[:6])
    mean, deviation = values.predict(strategy._search.surrogate.points(some))
    assert np.mean(draws, axis=0) == pytest.approx(mean, abs=0.3)
    assert np.std(draws, axis=0) == pytest.approx(deviation, rel=0.3, abs=0.02)


def test_of_a_large_space_the_best_climb():
    space = SearchSpace([Decision(f"d{i}", "integer", low=0, high=99) for i in range(8)])
    strategy = BayesianOptimization(space)
    screen, batch = strategy._search.screen, Batch(Tried(space), 1)

    def near(points):
        return -np.abs(points[0] - 0.3).sum(1)

    def best(climb):
        found = [screen.best(near, batch, [], Random(seed), climb=climb) for seed in range(5)]
        return near(strategy._search.surrogate.points(found)).mean()

    assert best(True) > best(False) + 0.5


def test_a_value_from_a_longer_training_replaces_the_shorter_one():
    strategy = BayesianOptimization(CUBE)
    architecture = CUBE.sample(Random(0))
    for number, (fidelity, value) in enumerate([(0.1, 0.2), (1.0, 0.9), (0.3, 0.5)]):
        trial = running(number, Proposal(architecture, fidelity))
        strategy.tell(trial)
        strategy.tell(ended(trial, value))
    forms, values = strategy._search.known.values()
    assert (forms, values.tolist()) == ([architecture], [[0.9]])


def test_a_space_of_ten_to_the_ten_with_floats_is_searched():
    problem = synthetic(10)
    trials = play(BayesianOptimization(problem.space), problem.value, 25, seed=1)
    assert max(trial.value for trial in trials) > 0.8  # Random search: .61 after 25.


def test_where_a_model_has_led_nowhere_for_long_it_looks_elsewhere(monkeypatch):
    space = SearchSpace([Decision(f"d{i}", "categorical", options=tuple("abc")) for i in range(6)])
    first = Architecture({f"d{i}": "a" for i in range(6)})
    hopeless = [Architecture({**first, "d0": "c", f"d{i}": "b"}) for i in range(1, 6)]

    def value(architecture):  # what has a "c" first looks hopeless
        others = sum(architecture[f"d{i}"] == "a" for i in range(1, 6)) / 10
        return -5.0 if architecture["d0"] == "c" else others

    def hopeless_ones(stale):
        monkeypatch.setattr("ogive.strategies._bayesian._STALE", stale)
        strategy, seen = BayesianOptimization(space), 0
        for number in range(40):
            if number < 6:
                proposal = Proposal([first, *hopeless][number])
            else:
                [proposal] = strategy.ask(1, Random(number))
                seen += proposal.architecture["d0"] == "c"
            strategy.tell(ended(Trial(number, proposal), value(proposal.architecture)))
        return seen

    assert hopeless_ones(stale=15) >= hopeless_ones(stale=1000) + 3
