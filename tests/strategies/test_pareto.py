"""Fronts and crowding, against their definitions."""

import math
from random import Random

import numpy as np
import pytest

from ogive.space import Architecture
from ogive.strategies._pareto import comparable, crowding, front
from ogive.trial import Proposal, Trial


def trials(values):
    proposal = Proposal(Architecture({}))
    return [Trial(i, proposal, "complete", values=tuple(v)) for i, v in enumerate(values)]


def dominates(a, b):
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_a_front_is_what_no_other_dominates_and_of_equals_the_first(objectives):
    rng = Random(objectives)
    for _ in range(100):
        all_ = trials([[rng.randrange(4) for _ in range(objectives)] for _ in range(9)])
        expected = [
            t
            for t in all_
            if not any(dominates(o.values, t.values) for o in all_)
            and not any(o.values == t.values for o in all_[: t.number])
        ]
        assert front(all_) == expected


def crowding_by_definition(points):
    """The loop of Deb et al. (2002), section III-B."""
    distance = [0.0] * len(points)
    for m in range(len(points[0])):
        order = sorted(range(len(points)), key=lambda i: points[i][m])
        extent = points[order[-1]][m] - points[order[0]][m]
        distance[order[0]] = distance[order[-1]] = math.inf
        for i in range(1, len(points) - 1):
            gap = points[order[i + 1]][m] - points[order[i - 1]][m]
            distance[order[i]] += gap / extent
    return distance


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_crowding_is_the_distance_of_the_two_neighbours(objectives):
    rng = np.random.default_rng(objectives)
    for count in (2, 3, 10):
        points = rng.random((count, objectives))
        assert crowding(points) == pytest.approx(crowding_by_definition(points.tolist()))


def test_crowding_of_few_or_equal_points_is_no_division_by_zero():
    assert crowding(np.array([])).tolist() == []
    assert crowding(np.array([[1.0, 2.0]])).tolist() == [math.inf]
    assert crowding(np.ones((3, 2))).tolist() == [math.inf, 0.0, math.inf]


def test_what_failed_or_gave_no_numbers_is_not_compared():
    good, nan, infinite = trials([(1.0, 2.0), (1.0, math.nan), (-math.inf, 1.0)])
    assert comparable(good)
    assert not comparable(nan)
    assert not comparable(infinite)
    assert not comparable(Trial(0, Proposal(Architecture({})), "failed"))
