import math
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive.space import Architecture, Condition, Decision, SearchSpace
from ogive.strategies._distributions import distribution
from ogive.strategies._policy import Controller, Independent
from ogive.strategies._policy_gradient import Adam
from ogive.testing import spaces

POLICIES = [Independent, Controller]

IF_X = ((Condition("op", frozenset("xy")),),)
FINITE = [
    Decision("op", "categorical", options=tuple("xyz")),
    Decision("inputs", "subset", options=tuple("pqrs"), sizes=(1, 3)),
    Decision("kernel", "ordinal", options=(3, 5, 7), conditions=IF_X),
    Decision("width", "integer", low=1, high=9, log=True),
    Decision("depth", "integer", low=0, high=9, step=3, conditions=IF_X),
]
SPACE = SearchSpace(FINITE)
WITH_REAL = SearchSpace(
    [*FINITE, Decision("rate", "real", low=0.001, high=1.0, log=True, conditions=IF_X)]
)


def shaken(policy, seed=0):
    """The policy with parameters that are nothing in particular."""
    policy.parameters += np.random.default_rng(seed).normal(0.0, 0.7, len(policy.parameters))
    return policy


def probability(policy, architecture):
    return math.exp(policy.log_probs(architecture).sum())


@pytest.mark.parametrize("kind", POLICIES)
@given(space=spaces(), seed=st.integers(0, 99))
def test_the_probabilities_of_a_conditional_space_sum_to_one(kind, space, seed):
    policy = shaken(kind(space), seed)
    assert sum(probability(policy, a) for a in space.enumerate()) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", POLICIES)
def test_architectures_are_drawn_as_often_as_is_said(kind):
    space = SearchSpace(FINITE[:3])
    policy = shaken(kind(space), 1)
    rng = Random(0)
    drawn = Counter(policy.sample(rng) for _ in range(5000))
    for architecture in space.enumerate():
        wanted = 5000 * probability(policy, architecture)
        assert abs(drawn[architecture] - wanted) < 4 * math.sqrt(wanted) + 1


@pytest.mark.parametrize("kind", POLICIES)
@given(space=spaces(finite=False), seed=st.integers(0, 99))
def test_what_it_draws_belongs_to_the_space(kind, space, seed):
    policy = shaken(kind(space), seed)
    architecture = policy.sample(Random(seed))
    assert space.validate(architecture) == architecture
    assert policy.log_probs(architecture).shape == (len(architecture),)
    backwards = Architecture(dict(reversed(list(architecture.items()))))
    assert policy.log_probs(backwards).tolist() == policy.log_probs(architecture).tolist()


@pytest.mark.parametrize("kind", POLICIES)
def test_the_gradient_is_that_of_finite_differences(kind):
    policy = shaken(kind(WITH_REAL, **({"units": 5} if kind is Controller else {})))
    rng = np.random.default_rng(0)
    for seed in range(4):
        architecture = policy.sample(Random(seed))
        weights = rng.normal(size=len(architecture))
        expected = []
        for place, before in enumerate(policy.parameters.copy()):
            ends = []
            for step in (1e-6, -1e-6):
                policy.parameters[place] = before + step
                ends.append(weights @ policy.log_probs(architecture))
            policy.parameters[place] = before
            expected.append((ends[0] - ends[1]) / 2e-6)
        np.testing.assert_allclose(policy.gradient(architecture, weights), expected, atol=1e-6)


@pytest.mark.parametrize("kind", POLICIES)
def test_at_first_a_space_is_drawn_from_evenly(kind):
    policy = kind(SPACE)
    for seed in range(20):
        architecture = SPACE.sample(Random(seed))
        log_probs = dict(zip(architecture, policy.log_probs(architecture), strict=True))
        for path in log_probs.keys() - {"width"}:
            assert log_probs[path] == pytest.approx(-math.log(SPACE[path].size))
        # An integer on a logarithmic scale has the share that the space draws it with.
        width = architecture["width"]
        share = math.log((width + 0.5) / (width - 0.5)) / math.log(9.5 / 0.5)
        assert log_probs["width"] == pytest.approx(math.log(share))


def test_the_controller_learns_what_depends_on_what():
    """Two decisions that are always equal: neither has a favourite of its own."""
    space = SearchSpace([Decision(p, "categorical", options=(0, 1, 2)) for p in "ab"])
    equal = [Architecture({"a": option, "b": option}) for option in (0, 1, 2)]

    def learned(policy):
        adam = Adam(policy, 0.02)
        for _ in range(150):
            adam.ascend(np.mean([policy.gradient(a, np.ones(2)) for a in equal], axis=0))
        return [probability(policy, a) for a in equal]

    assert learned(Controller(space)) == pytest.approx([1 / 3] * 3, abs=0.02)
    assert learned(Independent(space)) == pytest.approx([1 / 9] * 3, abs=0.02)


def test_a_seed_decides_how_a_controller_begins():
    first, same, other = (Controller(SPACE, seed=seed).parameters for seed in (1, 1, 2))
    assert first.tolist() == same.tolist()
    assert first.tolist() != other.tolist()


# Distributions of one decision


def test_a_real_has_a_density_and_is_drawn_from_it():
    rate = Decision("rate", "real", low=2.0, high=4.0)
    family, theta = distribution(rate), np.array([0.8, -1.5])
    shares = [math.exp(family.log_prob(theta, 2 + 2 * (i + 0.5) / 1000)) for i in range(1000)]
    assert sum(shares) == pytest.approx(1.0)
    rng = Random(0)
    drawn = np.array([family.draw(theta, rng) for _ in range(4000)])
    for end in (2.5, 3.0, 3.5):
        below = sum(shares[: round((end - 2) * 500)])
        assert np.mean(drawn < end) == pytest.approx(below, abs=0.03)


@pytest.mark.parametrize("decision", [*FINITE, WITH_REAL["rate"]], ids=lambda d: d.path)
@pytest.mark.parametrize("far", [-60.0, 60.0])
def test_nothing_overflows_far_from_where_it_began(decision, far):
    family = distribution(decision)
    values = (decision.low, decision.high) if decision.kind == "real" else decision.values()
    for theta in (np.full(family.size, far), far * (-1.0) ** np.arange(family.size)):
        for value in values:
            assert math.isfinite(family.log_prob(theta, value))
            assert np.isfinite(family.score(theta, value)).all()
        assert decision.why_not(family.draw(theta, Random(0))) is None


def test_a_number_never_freezes():
    rate = Decision("rate", "real", low=0.0, high=1.0)
    rng = Random(0)
    drawn = [distribution(rate).draw(np.array([0.0, -1e3]), rng) for _ in range(500)]
    assert 0.01 < np.std(drawn) < 0.05


def test_an_integer_of_a_wide_range_has_probabilities():
    wide = Decision("wide", "integer", low=1, high=10**9)
    family, theta = distribution(wide), np.array([-1.0, 0.5])
    here, there = family.log_prob(theta, 10**6), family.log_prob(theta, 10**6 + 1)
    assert here == pytest.approx(there, abs=1e-4)
    assert -30 < here < -10
    assert np.isfinite(family.score(theta, 10**6)).all()
