import math
from dataclasses import replace
from random import Random
from statistics import NormalDist

import numpy as np
import pytest

from ogive.errors import SettingError
from ogive.space import Architecture, Decision, SearchSpace
from ogive.strategies import ASHA, PPO, RandomSearch, Reinforce, by_name
from ogive.strategies._policy import Independent
from ogive.strategies._policy_gradient import Adam, Rewards, propose
from ogive.strategies._ppo import _by_log_prob
from ogive.strategies._untried import Tried
from ogive.testing import ended, play, running, synthetic
from ogive.trial import Proposal

AB = SearchSpace([Decision(p, "categorical", options=(0, 1, 2)) for p in "ab"])
TEN = SearchSpace([Decision(f"b{i}", "categorical", options=(0, 1, 2, 3)) for i in range(10)])

BOTH = [Reinforce, PPO]
EACH = [(kind, policy) for kind in BOTH for policy in ("independent", "lstm")]


def trial(number, architecture, value, fidelity=1.0):
    return ended(running(number, Proposal(Architecture(architecture), fidelity)), value)


def tell(strategy, *trials):
    for each in trials:
        strategy.tell(replace(each, state="running", values=(), metrics={}, error=None))
        strategy.tell(each)


def chances(strategy, path):
    """How likely each option is by itself."""
    policy = strategy._policy
    theta = policy.parameters[policy._heads[path].theta]
    return np.exp(theta) / np.exp(theta).sum()


# Rewards


def test_a_reward_is_the_normal_score_of_a_rank():
    rewards, score = Rewards(), NormalDist().inv_cdf
    values = [5.0, 7.0, 1.0, 7.0]
    taken = [rewards.take(trial(i, {"a": 0, "b": 0}, v)) for i, v in enumerate(values)]
    # Ranks from the worst, equal ones sharing theirs, at the middle of their share.
    assert taken == pytest.approx([score(r) for r in (0.5, 1.5 / 2, 0.5 / 3, 3 / 4)])


def test_a_failure_is_as_bad_as_the_worst_and_does_not_count():
    rewards = Rewards()
    for number in range(9):
        rewards.take(trial(number, {"a": 0, "b": 0}, float(number)))
    bad = [trial(9, {"a": 0, "b": 0}, None), trial(9, {"a": 0, "b": 0}, math.nan)]
    bad.append(replace(bad[0], state="rejected"))
    worst = NormalDist().inv_cdf(0.5 / 10)
    assert [rewards.take(each) for each in bad] == pytest.approx([worst] * 3)
    assert rewards.take(trial(10, {"a": 0, "b": 0}, -1.0)) == pytest.approx(worst)


def test_a_longer_training_ranks_above_shorter_ones():
    rewards = Rewards()
    for number in range(9):
        rewards.take(trial(number, {"a": 0, "b": 0}, float(number), fidelity=0.5))
    assert rewards.take(trial(9, {"a": 0, "b": 0}, -5.0)) == pytest.approx(
        NormalDist().inv_cdf(9.5 / 10)
    )


# The optimiser


def test_adam_is_that_of_the_paper():
    policy = Independent(SearchSpace([Decision("a", "categorical", options=(0, 1))]))
    adam = Adam(policy, 0.1)
    adam.ascend(np.array([3.0, -4.0]))
    # The first step has the size of the learning rate, whatever the gradient's.
    np.testing.assert_allclose(policy.parameters, [0.1, -0.1], rtol=1e-6)
    adam.ascend(np.array([1.0, 0.0]))
    mean = (0.1 * (0.9 * 3 + 1)) / (1 - 0.9**2)
    square = (0.001 * (0.999 * 9 + 1)) / (1 - 0.999**2)
    assert policy.parameters[0] == pytest.approx(0.1 + 0.1 * mean / math.sqrt(square))


# Proposals


def test_a_policy_that_repeats_itself_is_asked_for_what_is_near():
    policy, tried = Independent(TEN), Tried(TEN)
    favourite = Architecture({f"b{i}": 2 for i in range(10)})
    for decision in TEN.decisions:
        policy.parameters[policy._heads[decision.path].theta.start + 2] = 50.0
    assert propose(policy, tried, 1, (), Random(0)) == [Proposal(favourite)]
    tried.add(favourite)
    for proposal in propose(policy, tried, 8, (), Random(0)):
        changed = sum(value != 2 for value in proposal.architecture.values())
        assert 1 <= changed <= 2


def test_what_the_space_rules_out_is_not_proposed():
    def valid(architecture):
        return None if architecture["a"] <= architecture["b"] else "a is larger"

    space = SearchSpace(AB.decisions, valid=valid)
    for kind in BOTH:
        trials = play(kind(space), lambda *_: 1.0, 20)
        assert len({t.architecture for t in trials}) == len(trials) == 6
        assert all(valid(t.architecture) is None for t in trials)


# REINFORCE


def test_an_update_is_the_reward_above_the_baseline_times_the_score():
    strategy = Reinforce(AB, entropy=0.0, decay=0.5)
    values = {(0, 0): 1.0, (1, 0): 3.0, (2, 1): 2.0}
    policy = Independent(AB)
    adam, baseline = Adam(policy), 0.0
    score = NormalDist().inv_cdf
    rewards = iter([score(0.5), score(0.75), score(0.5)])
    for number, ((a, b), value) in enumerate(values.items()):
        tell(strategy, trial(number, {"a": a, "b": b}, value))
        reward = next(rewards)
        taken = np.concatenate([np.eye(3)[a], np.eye(3)[b]])
        likely = [np.exp(t) / np.exp(t).sum() for t in np.split(policy.parameters, 2)]
        adam.ascend((reward - baseline) * (taken - np.concatenate(likely)))
        baseline = 0.5 * baseline + 0.5 * reward
        np.testing.assert_allclose(strategy._policy.parameters, policy.parameters, atol=1e-12)
    assert np.abs(policy.parameters).max() > 0.01


def test_the_entropy_bonus_is_the_gradient_of_the_entropy_on_average():
    policy = Independent(AB)
    policy.parameters += np.random.default_rng(0).normal(size=6)

    def entropy():
        logs = np.array([policy.log_probs(a).sum() for a in AB.enumerate()])
        return -(np.exp(logs) * logs).sum()

    expected = np.zeros(6)
    for architecture in AB.enumerate():
        logs = policy.log_probs(architecture)
        expected += math.exp(logs.sum()) * policy.gradient(architecture, -logs)
    for place in range(6):
        ends = []
        for step in (1e-6, -1e-6):
            policy.parameters[place] += step
            ends.append(entropy())
            policy.parameters[place] -= step
        assert expected[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-6)


# PPO


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.0, 2.0, 2.0),  # r A, whose derivative by log r is itself
        (1.1, 2.0, 2.2),
        (1.3, 2.0, 0.0),  # already likelier than 1 + clip
        (0.5, 2.0, 1.0),  # min(1, 0.8 * 2): less likely, to be undone
        (0.5, -2.0, 0.0),  # already less likely than 1 - clip
        (0.9, -2.0, -1.8),
        (1.5, -2.0, -3.0),
    ],
)
def test_the_clipped_objective_by_hand(ratio, advantage, expected):
    def objective(log_ratio):
        r = math.exp(log_ratio)
        return min(r * advantage, min(max(r, 0.8), 1.2) * advantage)  # Equation 7

    old = np.array([-1.5])
    log_ratio = math.log(ratio)
    found = _by_log_prob(old + log_ratio, old, advantage, 0.2)
    slope = (objective(log_ratio + 1e-6) - objective(log_ratio - 1e-6)) / 2e-6
    assert found[0] == pytest.approx(expected)
    assert found[0] == pytest.approx(slope, abs=1e-5)


def test_a_batch_is_learned_from_when_it_is_full():
    strategy = PPO(AB, batch=3, epochs=2)
    for number in range(7):
        before = strategy._policy.parameters.copy()
        tell(strategy, trial(number, {"a": number % 3, "b": 0}, float(number)))
        assert (strategy._policy.parameters == before).all() == (number not in (2, 5))
        assert strategy._adam._steps == 2 * ((number + 1) // 3)


def test_old_probabilities_are_those_at_the_start():
    strategy = PPO(AB, batch=2)
    late = running(9, Proposal(Architecture({"a": 2, "b": 2})))
    strategy.tell(late)
    tell(strategy, *(trial(i, {"a": i % 2, "b": 0}, float(i)) for i in range(6)))
    strategy.tell(ended(late, 1.0))
    assert strategy._episodes[0].old.tolist() == pytest.approx([math.log(1 / 3)] * 2)
    assert strategy._policy.log_probs(late.architecture)[0] != pytest.approx(math.log(1 / 3))


def test_a_batch_of_equals_teaches_nothing():
    strategy = PPO(AB, batch=3, entropy=0.0)
    tell(strategy, *(trial(i, {"a": i, "b": i}, None) for i in range(3)))
    assert strategy._adam._steps == 4
    assert not strategy._policy.parameters.any()


# Learning


@pytest.mark.parametrize(("kind", "policy"), EACH)
def test_a_space_of_bandits_is_solved(kind, policy):
    """Ten decisions, each with one good option: a million architectures, one best."""

    def right(architecture, _):
        return float(sum(value == i % 4 for i, value in enumerate(architecture.values())))

    assert max(t.value for t in play(kind(TEN, policy=policy), right, 250)) == 10
    assert max(t.value for t in play(RandomSearch(TEN), right, 250)) <= 7


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("state", ["failed", "rejected"])
def test_what_fails_or_is_ruled_out_becomes_unlikely(kind, state):
    strategy = kind(TEN)
    rng = Random(0)
    for number in range(120):
        start = running(number, strategy.ask(1, rng)[0])
        strategy.tell(start)
        bad = start.architecture["b0"] == 3
        strategy.tell(replace(start, state=state) if bad else ended(start, rng.random()))
    assert chances(strategy, "b0")[3] < 0.1


@pytest.mark.parametrize("kind", BOTH)
def test_it_goes_on_while_every_trial_is_ruled_out(kind):
    strategy = kind(AB, entropy=0.0)
    for number, architecture in enumerate(list(AB.enumerate())[:8]):
        tell(strategy, replace(trial(number, architecture, None), state="rejected"))
    assert not strategy._policy.parameters.any()  # All are alike.
    assert len(strategy.ask(3, Random(0))) == 1


@pytest.mark.parametrize("kind", BOTH)
def test_it_learns_under_successive_halving(kind):
    problem = synthetic(4)
    strategy = ASHA(problem.space, proposer=kind(problem.space))
    full = [t.value for t in play(strategy, problem.value, 600) if t.fidelity == 1]
    random = ASHA(problem.space, proposer=RandomSearch(problem.space))
    drawn = [t.value for t in play(random, problem.value, 600) if t.fidelity == 1]
    assert max(full) > max(drawn)


def test_both_are_far_ahead_of_random_search_on_nas_bench_201(data):
    table = np.load(data / "nb201.npz", allow_pickle=False)
    codes, values = table["op_code"], table["c10valid_val_acc_200_avg"]
    rows = dict(zip(map(tuple, codes.tolist()), values.tolist(), strict=True))
    space = SearchSpace(
        [Decision(f"edge{i}", "categorical", options=(0, 1, 2, 3, 4)) for i in range(6)]
    )

    def regret(make):
        def value(architecture, _):
            return rows[tuple(architecture.values())]

        best = [max(t.value for t in play(make(space), value, 250, seed=s)) for s in range(4)]
        return values.max() - np.mean(best)

    at_random = regret(RandomSearch)
    for kind in BOTH:
        assert regret(kind) < 0.2 * at_random


# Settings


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("reinforce", {"policy": "lstn"}, "Did you mean 'lstm'"),
        ("reinforce", {"decay": 1.0}, r"0 <= decay < 1 must hold, but got decay=1\.0"),
        ("reinforce", {"entropy": -0.1}, r"entropy=-0\.1"),
        ("reinforce", {"learning_rate": 0.0}, r"learning_rate=0\.0"),
        ("reinforce", {"seed": -1}, "seed=-1"),
        ("ppo", {"policy": "transformer"}, "Known: independent, lstm"),
        ("ppo", {"batch": 1}, "batch=1"),
        ("ppo", {"epochs": 0}, "epochs=0"),
        ("ppo", {"clip": 1.0}, r"clip=1\.0"),
        ("ppo", {"entropy": -1.0}, r"entropy=-1\.0"),
    ],
)
def test_a_wrong_setting_is_named(name, settings, message):
    with pytest.raises(SettingError, match=message):
        by_name(name, AB, **settings)


def test_the_seed_is_the_controllers():
    first, same, other = (Reinforce(AB, policy="lstm", seed=s) for s in (1, 1, 2))
    assert first._policy.parameters.tolist() == same._policy.parameters.tolist()
    assert first._policy.parameters.tolist() != other._policy.parameters.tolist()
