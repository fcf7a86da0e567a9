import dataclasses
import math
from random import Random

import numpy as np
import pytest
import torch

from ogive.errors import SettingError, TrialFailed
from ogive.estimators import Recipe, Run
from ogive.nn import record
from ogive.oneshot import Inherited, search_by_controller
from ogive.oneshot._course import Course
from ogive.oneshot._enas import _Search
from ogive.space import Architecture
from ogive.strategies import PolicyGradient, make_policy

CPU = Run(device="cpu")


@pytest.mark.parametrize("policy", ["lstm", "independent"])
def test_the_controller_learns_not_to_take_what_gives_nothing(policy, digits, layers):
    recipe = Recipe(batch_size=64, epochs=4, lr=3e-3)
    found = search_by_controller(
        layers, digits, policy=policy, controller_steps=30, learning_rate=0.03, recipe=recipe,
        run=CPU,
    )  # fmt: skip
    rng = Random(0)
    drawn = [found.policy.sample(rng) for _ in range(100)]
    assert sum("zero" in a.values() for a in drawn) < 20  # of 56 at first
    assert "zero" not in found.best.values()
    scores = list(found.scores.values())
    assert scores == sorted(scores, reverse=True)
    assert list(found.ranked()) == list(found.scores)
    estimate = Inherited(found.supernet, digits)(found.best, CPU)
    assert math.isclose(estimate["accuracy"], scores[0], abs_tol=2e-3)


def searching(network, digits, recipe, run=CPU):
    space = record(network, digits)
    gradient = PolicyGradient(make_policy("lstm", space, 0))
    return _Search(network, digits, gradient, 3, {}, recipe, run, "fp32")


def test_each_phase_moves_its_own_parameters(digits, network, short):
    search = searching(network, digits, short.replace(mixup=0.2, shift=0.1))

    def state():
        weights = {k: v.clone() for k, v in search._supernet.state_dict().items()}
        return weights, search._policy.parameters.copy()

    weights, theta = state()
    search._step_weights(0)
    moved, same = state()
    learned = [name for name, _ in search._supernet.named_parameters()]
    assert any(not torch.equal(weights[name], moved[name]) for name in learned)
    assert np.array_equal(theta, same)
    search._step_controller(0)  # the first reward is the baseline
    search._step_controller(1)
    still, other = state()
    assert all(torch.equal(moved[name], still[name]) for name in learned)
    assert not np.array_equal(theta, other)


def test_the_halves_have_no_row_in_common(digits, network, short):
    search = searching(network, digits, short)
    rows = [
        {x.numpy().tobytes() for step in range(b.steps) for x in b(step)[0]}
        for b in (search._weights.batches, search._for_rewards)
    ]
    assert all(len(each) > 400 for each in rows)
    assert len(rows[0] & rows[1]) < 0.01 * len(rows[0])


def test_a_reward_is_the_accuracy_on_its_mini_batch(digits, network, short):
    search = searching(network, digits, short)
    architecture = search._space.sample(Random(1))
    inputs, targets = search._for_rewards(4)
    route = search._supernet.route(architecture)
    route.network.train()
    with torch.no_grad():
        right = (route(inputs).argmax(dim=1) == targets).float().mean().item()
    assert search._reward(architecture, (inputs, targets)) == pytest.approx(right)


def test_a_reward_that_is_undefined_teaches_nothing(digits, network, short):
    search = searching(network, digits, short)
    search._metric = search._metric._replace(function=lambda *_: math.nan)
    before = search._gradient.state_dict()
    search._step_controller(0)
    assert search._gradient.state_dict() == before


class Killed(Exception):
    """Stands for kill -9."""


def test_a_search_that_was_killed_goes_on_to_the_same_result(
    network, digits, short, tmp_path, monkeypatch
):
    def search(folder, **settings):
        folder.mkdir(exist_ok=True)
        return search_by_controller(
            network, digits, controller_steps=8, samples=8, candidates=3, recipe=short,
            run=dataclasses.replace(CPU, folder=folder), **settings,
        )  # fmt: skip

    whole = search(tmp_path / "whole")
    note = Course.note
    noted = []

    def until(course, **values):
        noted.append(values)
        if len(noted) == 25:  # in the phase of the controller of the second epoch
            raise Killed
        note(course, **values)

    monkeypatch.setattr(Course, "note", until)
    with pytest.raises(Killed):
        search(tmp_path / "cut")
    monkeypatch.setattr(Course, "note", note)
    resumed = search(tmp_path / "cut")
    assert list(whole.scores.items()) == list(resumed.scores.items())
    assert whole.policy.parameters.tolist() == resumed.policy.parameters.tolist()
    weights = resumed.supernet.state_dict()
    assert all(torch.equal(value, weights[k]) for k, value in whole.supernet.state_dict().items())
    assert len((tmp_path / "cut" / "curve.jsonl").read_text().splitlines()) == 2
    with pytest.raises(SettingError, match="another entropy"):
        search(tmp_path / "cut", entropy=0.5)


def test_the_policy_gradient_is_that_of_reinforce(space):
    gradient = PolicyGradient(make_policy("independent", space, 0), decay=0.5, entropy=0.0)
    first, second = (space.sample(Random(seed)) for seed in (0, 1))
    gradient.learn(first, 2.0)
    assert not gradient.policy.parameters.any()  # the first reward is its own baseline
    gradient.learn(second, 3.0)
    probability = gradient.policy.log_probs(second).sum()
    assert probability > make_policy("independent", space, 0).log_probs(second).sum()
    assert gradient.state_dict()["baseline"] == 2.5


def test_bad_settings(digits, network, short):
    with pytest.raises(SettingError, match="1 <= samples must hold, but got samples=0"):
        search_by_controller(network, digits, samples=0)
    with pytest.raises(SettingError, match="policy='lstn'"):
        search_by_controller(network, digits, policy="lstn")
    wild = short.replace(lr=99.0, weight_decay=9.0, optimizer="sgd")
    with pytest.raises(TrialFailed, match="finite"):
        search_by_controller(network, digits, recipe=wild, run=CPU)


def test_a_policy_that_prefers_few_is_not_asked_for_long(digits, network, short):
    search = searching(network, digits, short)
    few = [search._space.sample(Random(seed)) for seed in (0, 1)]
    asked = []

    class Sure:
        def sample(self, rng):
            asked.append(rng.choice(few))
            return asked[-1]

    search._policy = Sure()
    assert {*search._distinct(samples=5)} == {*few}
    assert len(asked) < 150


def test_what_is_derived_is_of_the_space(digits, network, short, space):
    found = search_by_controller(
        network, digits, samples=12, candidates=4, recipe=short,
        run=dataclasses.replace(CPU, fidelity=0.5),
    )  # fmt: skip
    assert len(found.scores) == 4
    for architecture in found.ranked():
        assert isinstance(architecture, Architecture)
        assert space.validate(architecture) == architecture
