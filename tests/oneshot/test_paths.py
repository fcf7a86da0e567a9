from collections import Counter
from random import Random

import pytest

from ogive.oneshot import PATHS
from ogive.space import Decision, SearchSpace


@pytest.mark.parametrize("name", PATHS)
def test_paths_are_architectures_of_the_space(name, space):
    for step in range(20):
        paths = PATHS[name](space, Random(step), step / 20)
        assert paths
        assert len(set(paths)) == len(paths)
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
