from collections import Counter
from random import Random

import pytest

from ogive.oneshot import PATHS
from ogive.space import Condition, Decision, PoolSpace, SearchSpace


@pytest.mark.parametrize("name", PATHS)
def test_paths_are_architectures_of_the_space(name, space):
    for step in range(20):
        paths = PATHS[name](space, Random(step), step / 20)
        assert paths
        assert len(set(paths)) == len(paths) or name == "fairnas"
        for architecture in paths:
            space.validate(architecture)


def test_strict_fairness_runs_each_option_once_a_step():
    plain = SearchSpace(
        [Decision(f"d{i}", "categorical", options=("a", "b", "c", "d")) for i in range(5)]
    )
    for step in range(10):
        paths = PATHS["fairnas"](plain, Random(step), 0.0)
        assert len(paths) == 4
        for path in (decision.path for decision in plain.decisions):
            assert Counter(a[path] for a in paths) == dict.fromkeys("abcd", 1)


def test_strict_fairness_holds_where_a_decision_is_not_always_asked():
    convolves = ((Condition("op", frozenset(["conv"])),),)
    nested = SearchSpace(
        [
            Decision("op", "categorical", options=("skip", "conv")),
            Decision("kernel", "ordinal", options=(1, 3, 5, 7), conditions=convolves),
        ]
    )
    taken, kernels = Counter(), Counter()
    for step in range(400):
        for architecture in PATHS["fairnas"](nested, Random(step), 0.0):
            taken[architecture["op"]] += 1
            kernels[architecture.get("kernel")] += 1
    assert taken == {"skip": 800, "conv": 800}
    assert all(150 < kernels[kernel] < 250 for kernel in (1, 3, 5, 7))


def test_shrinking_opens_integers_from_the_top():
    widths = SearchSpace([Decision("width", "integer", low=4, high=16, step=4)])
    for progress, drawn in ((0.1, {16}), (0.36, {12, 16}), (0.6, {4, 8, 12, 16})):
        paths = [PATHS["shrinking"](widths, Random(s), progress) for s in range(40)]
        assert {a["width"] for each in paths for a in each} == drawn


@pytest.mark.parametrize("name", PATHS)
def test_paths_keep_the_rule_of_a_space(name):
    space = SearchSpace(
        [Decision(f"w{i}", "integer", low=1, high=8) for i in range(3)],
        valid=lambda a: None if sum(a.values()) <= 18 else "it is too large",
    )
    for step in range(10):
        for architecture in PATHS[name](space, Random(step), 0.05 + step / 10):
            space.validate(architecture)


@pytest.mark.parametrize("name", ["sandwich", "shrinking"])
def test_the_teacher_is_the_largest_that_a_rule_allows(name):
    few = SearchSpace(
        [
            Decision("w", "ordinal", options=(4, 8, 16)),
            Decision("d", "ordinal", options=(1, 2, 3)),
        ],
        valid=lambda a: None if a["w"] * a["d"] <= 24 else "it is too large",
    )
    many = SearchSpace(
        [Decision(f"w{i}", "integer", low=1, high=20) for i in range(8)],
        valid=lambda a: None if sum(a.values()) <= 100 else "it is too large",
    )
    for step in range(10):
        first = PATHS[name](few, Random(step), 0.0)[0]
        assert first.to_json() == {"w": 8, "d": 3}
        assert sum(PATHS[name](many, Random(step), 0.0)[0].values()) == 100


@pytest.mark.parametrize("name", PATHS)
def test_paths_lie_in_a_pool(name):
    numbers = SearchSpace([Decision(n, "ordinal", options=(1, 2, 4)) for n in "wd"])
    pool = PoolSpace(numbers, [{"w": 1, "d": 1}, {"w": 2, "d": 1}, {"w": 2, "d": 2}])
    for step in range(10):
        paths = PATHS[name](pool, Random(step), step / 10)
        assert set(paths) <= set(pool.enumerate())
        if name in ("sandwich", "shrinking"):
            assert paths[0].to_json() == {"w": 2, "d": 2}


def test_the_sandwich_has_the_largest_first_and_the_smallest_last(space):
    paths = PATHS["sandwich"](space, Random(0), 0.0)
    assert (paths[0]["width"], paths[0]["blocks"]) == (8, 2)
    assert (paths[-1]["width"], paths[-1]["blocks"]) == (4, 1)


def test_shrinking_opens_small_numbers_late(space):
    def widths(progress):
        return {
            a["width"] for s in range(30) for a in PATHS["shrinking"](space, Random(s), progress)
        }

    assert widths(0.1) == {8}
    assert widths(0.6) == {4, 8}
