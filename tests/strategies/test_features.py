import math
from random import Random

import numpy as np
import pytest

from ogive.errors import SettingError
from ogive.space import Architecture, Condition, Decision, Graph, SearchSpace
from ogive.strategies._features import Features
from ogive.testing import synthetic

SPACE = SearchSpace(
    [
        Decision("op", "categorical", options=("conv", "pool", "skip")),
        Decision("width", "integer", low=8, high=64),
        Decision("in", "subset", options=("a", "b", "c", "d"), sizes=(1, 2)),
        Decision(
            "kernel",
            "ordinal",
            options=(3, 5, 7),
            conditions=((Condition("op", frozenset(["conv"])),),),
        ),
    ]
)


def distance(first, second):
    """The squared distance in each decision's own group."""
    features = Features(SPACE)
    a, b = features([SPACE.complete(first), SPACE.complete(second)])[0]
    return np.bincount(features.terms[0].groups, (a - b) ** 2, len(SPACE))


def test_categories_are_alike_or_not():
    assert distance({"op": "pool"}, {"op": "pool"}) == pytest.approx([0, 0, 0, 0])
    assert distance({"op": "pool"}, {"op": "skip"}) == pytest.approx([1, 0, 0, 0])


def test_numbers_are_as_near_as_their_places_in_the_range():
    near = distance({"op": "pool", "width": 8}, {"op": "pool", "width": 12})[1]
    far = distance({"op": "pool", "width": 8}, {"op": "pool", "width": 16})[1]
    assert far == pytest.approx(4 * near)


def test_of_subsets_the_share_of_different_members_counts():
    def of(first, second):
        return distance({"op": "pool", "in": first}, {"op": "pool", "in": second})[2]

    assert of(("a", "b"), ("a", "b")) == 0
    assert of(("a", "b"), ("c", "d")) == pytest.approx(2 * of(("a", "b"), ("a", "c")))


def test_what_is_not_asked_differs_from_any_answer_and_not_from_itself():
    asked, other = {"op": "conv", "kernel": 3}, {"op": "conv", "kernel": 7}
    assert distance(asked, {"op": "pool"})[3] > 0.4
    assert distance({"op": "skip"}, {"op": "pool"})[3] == 0
    assert distance(asked, other)[3] > 0


def test_decisions_with_the_same_domain_are_counted_together():
    space = SearchSpace(
        [Decision(f"edge.{i}", "categorical", options=("x", "y")) for i in range(4)]
        + [Decision("alone", "categorical", options=("x", "y", "z"))]
    )
    features = Features(space)
    counts = features(
        [
            Architecture({**{f"edge.{i}": o for i, o in enumerate(ops)}, "alone": "z"})
            for ops in ("xxyy", "yyxx", "xyyy")
        ]
    )[2]
    assert np.allclose(counts[0], counts[1])
    assert counts[2, :2] == pytest.approx([0.25, 0.75])
    assert len(features.terms) == 3


def test_only_equal_decisions_are_counted():
    assert len(Features(SPACE).terms) == 2


def test_graphs_are_alike_where_their_labels_are():
    def graph(architecture):
        middle = [str(architecture[f"n{i}"]) for i in range(2)]
        return Graph.of(["in", *middle, "out"], [(0, 1), (1, 2), (2, 3)])

    space = SearchSpace(
        [Decision(f"n{i}", "categorical", options=("x", "y")) for i in range(2)], graph=graph
    )
    same, turned, other = Features(space, graph=True)(
        [Architecture({"n0": a, "n1": b}) for a, b in ("xy", "yx", "yy")]
    )[-1]
    assert np.abs(same - turned).sum() > 0  # The same operations in another order.
    assert np.abs(same - other).sum() > np.abs(same - turned).sum() / 2


def test_side_information_is_brought_to_one_scale():
    problem = synthetic(3)
    features = Features(problem.space, lambda a: (1e6 * a["momentum"], a["blocks"]))
    drawn = [problem.space.sample(Random(1000 + i)) for i in range(200)]
    side = features(drawn)[-1]
    assert np.abs(side.mean(0)).max() < 0.3
    assert side.std(0) == pytest.approx([1, 1], rel=0.2)


def test_side_information_that_is_not_finite_is_the_least():
    def side(architecture):
        return [math.nan if architecture["op"] == "pool" else architecture["width"], 1.0]

    features = Features(SPACE, side)
    pool, narrow = (SPACE.complete({"op": op, "width": 8}) for op in ("pool", "skip"))
    points = features([pool, narrow])[-1]
    assert np.isfinite(points).all()
    assert points[0] == pytest.approx(points[1], abs=0.1)
    with pytest.raises(SettingError, match="number 1 was so for none"):
        Features(SPACE, lambda _: [1.0, math.inf])
