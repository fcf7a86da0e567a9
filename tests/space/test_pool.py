"""Pools against brute force, and as a space that strategies search."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction
from functools import partial
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive.errors import ArchitectureError, SpaceError
from ogive.space import Architecture, Decision, PoolSpace, SearchSpace
from ogive.strategies import STRATEGIES, by_name
from ogive.testing import play, spaces

SEEDS = st.integers(0, 10**6)
PLANE = SearchSpace(
    [Decision("x", "integer", low=0, high=9), Decision("y", "integer", low=0, high=9)],
    name="plane",
    valid=lambda a: "x is 9" if a["x"] == 9 else None,
    canonical=lambda a: Architecture(dict(zip("xy", sorted(a.values()), strict=True))),
)


def points(*pairs: tuple[int, int]) -> list[Architecture]:
    return [Architecture({"x": x, "y": y}) for x, y in pairs]


@given(spaces(), SEEDS)
def test_nothing_leads_out_of_a_pool(space: SearchSpace, seed: int) -> None:
    rng = Random(seed)
    every = list(space.enumerate())
    members = rng.sample(every, rng.randint(1, len(every)))
    pool = PoolSpace(space, members)
    assert pool.size == len(members)
    assert list(pool.enumerate()) == members
    first, second, stranger = pool.sample(rng), pool.sample(rng), space.sample(rng)
    found = {first, second, pool.mutate(first, rng), pool.cross(first, second, rng)}
    found |= {pool.mutate(stranger, rng), *pool.neighbours(first, rng)}
    assert found - {stranger} <= set(members)
    assert all(pool.reason_invalid(a) is None for a in found & set(members))
    assert (pool.reason_invalid(stranger) is None) == (stranger in members)
    assert (pool.mutate(first, rng) == first) == (len(members) == 1)


@given(spaces(), SEEDS)
def test_neighbours_are_the_nearest(space: SearchSpace, seed: int) -> None:
    every = list(space.enumerate())
    pool = PoolSpace(space, Random(seed).sample(every, math.ceil(len(every) / 2)))
    here = space.sample(Random(seed))
    values = space.encode([here, *pool.enumerate()]).values
    distances = dict(
        zip(pool.enumerate(), ((values[1:] - values[0]) ** 2).sum(axis=1), strict=True)
    )
    distances.pop(here, None)
    near = list(pool.neighbours(here, Random(0)))
    assert len(near) == min(24, len(distances))
    found = [distances[a] for a in near]
    assert np.allclose(found, sorted(distances.values())[: len(near)], atol=1e-5)


@pytest.mark.parametrize("counts", [(4, 4, 4), (4, 7, 6, 11, 4, 7, 6, 11)])
def test_of_equally_near_ones_the_first_of_the_pool_come_first(counts: tuple[int, ...]) -> None:
    space = SearchSpace(
        [Decision(f"d{i}", "ordinal", options=tuple(range(c))) for i, c in enumerate(counts)]
    )
    rng = Random(0)
    members = list(dict.fromkeys(space.sample(rng) for _ in range(1000)))
    pool = PoolSpace(space, members)

    def distance(a: Architecture, b: Architecture) -> Fraction:
        pairs = zip(a.values(), b.values(), counts, strict=True)
        return sum((Fraction(x - y, count - 1) ** 2 for x, y, count in pairs), Fraction(0))

    for here in members[:10]:
        others = [member for member in members if member != here]
        nearest = sorted(others, key=partial(distance, here))[:24]
        assert list(pool.neighbours(here, rng)) == nearest


@given(spaces(), SEEDS)
def test_a_pool_can_be_pickled_and_narrowed(space: SearchSpace, seed: int) -> None:
    rng = Random(seed)
    every = list(space.enumerate())
    pool = PoolSpace(space, rng.sample(every, math.ceil(len(every) / 2)))
    again = pickle.loads(pickle.dumps(pool))
    assert again.key == pool.key
    assert list(again.enumerate()) == list(pool.enumerate())
    assert list(again.neighbours(every[0], rng)) == list(pool.neighbours(every[0], rng))
    member = pool.sample(rng)
    path = rng.choice(list(member))
    part = pool.fix({path: member[path]})
    expected = [a for a in pool.enumerate() if a.get(path, member[path]) == member[path]]
    assert list(part.enumerate()) == expected


def test_samples_are_uniform() -> None:
    pool = PoolSpace(PLANE, points((0, 0), (0, 1), (8, 8)))
    rng = Random(0)
    drawn = [pool.sample(rng) for _ in range(3000)]
    assert all(900 < drawn.count(a) < 1100 for a in pool.enumerate())


def test_equal_architectures_are_one() -> None:
    pool = PoolSpace(PLANE, points((1, 2), (2, 1), (3, 3)))
    assert list(pool.enumerate()) == points((1, 2), (3, 3))
    assert pool.reason_invalid(points((2, 1))[0]) is None
    assert list(pool.neighbours(points((2, 1))[0], Random(0))) == points((3, 3))


def test_why_something_is_not_in_a_pool() -> None:
    pool = PoolSpace(PLANE, points((1, 2), (3, 3)))
    assert pool.reason_invalid(points((9, 3))[0]) == "x is 9"
    with pytest.raises(ArchitectureError, match="none of the 2 that may be tried"):
        pool.validate({"x": 0, "y": 0})


def test_a_pool_needs_members_of_its_space() -> None:
    with pytest.raises(SpaceError, match="at least one"):
        PoolSpace(PLANE, [])
    with pytest.raises(ArchitectureError, match="'x' must be"):
        PoolSpace(PLANE, [{"x": 70, "y": 0}])


def test_pools_have_names_of_their_own() -> None:
    keys = {PLANE.key, *(PoolSpace(PLANE, points(*p)).key for p in [[(1, 1)], [(1, 2)]])}
    assert len(keys) == 3


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_try_all_of_a_pool_once(name: str) -> None:
    rng = Random(0)
    space = SearchSpace([Decision(f"d{i}", "categorical", options=tuple("abc")) for i in range(8)])
    pool = PoolSpace(space, [space.sample(rng) for _ in range(40)])
    trials = play(by_name(name, pool), lambda a, _: float(list(a.values()).count("a")), 400)
    tried = [(trial.architecture, trial.fidelity) for trial in trials]
    assert len(tried) == len(set(tried))
    assert {architecture for architecture, _ in tried} == set(pool.enumerate())
