"""Grid search: everything once, and a spread of it first."""

from collections import Counter
from itertools import combinations, product
from random import Random

import pytest

from ogive.errors import SpaceError
from ogive.space import Architecture, Condition, Decision, SearchSpace
from ogive.strategies import GridSearch
from ogive.testing import play, running, synthetic
from ogive.trial import Proposal, Trial


def of_categories(*sizes, **functions):
    return SearchSpace(
        [
            Decision(f"d{i}", "categorical", options=tuple(range(size)))
            for i, size in enumerate(sizes)
        ],
        **functions,
    )


def walked(space, trials, workers=1, **settings):
    done = play(GridSearch(space, **settings), lambda *_: 1.0, trials, workers=workers)
    return [trial.architecture for trial in done]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_small_grid_is_walked_in_the_spaces_order(workers):
    deep = Condition("depth", frozenset([2]))
    space = SearchSpace(
        [
            Decision("depth", "ordinal", options=(1, 2)),
            Decision("width", "integer", low=8, high=24, step=8, conditions=((deep,),)),
            Decision("op", "categorical", options=("conv", "skip")),
        ]
    )
    assert walked(space, 100, workers) == list(space.enumerate())


@pytest.mark.parametrize("workers", [1, 7])
def test_a_larger_grid_is_walked_to_its_end_without_repeats(workers):
    space = of_categories(3, 5, 2, 4, 7)
    found = walked(space, 10_000, workers)
    assert len(found) == space.size == 840
    assert set(found) == set(space.enumerate())


def few(architecture):
    return None if sum(architecture.values()) < 5 else "more than four in all"


def test_what_a_space_rules_out_is_left_out():
    space = of_categories(4, 4, 4, 4, valid=few)
    assert set(walked(space, 1000)) == set(space.enumerate())
    rate = Decision("rate", "real", low=0.0, high=1.0)
    found = walked(SearchSpace([*space.decisions, rate], valid=few), 1000)
    assert all(few(architecture) is None for architecture in found)
    assert len({tuple(a.values())[:4] for a in found}) == len(list(space.enumerate()))


def test_the_first_hundred_cover_a_large_grid():
    first = walked(of_categories(*[5] * 6), 100)
    for path in first[0]:
        seen = Counter(architecture[path] for architecture in first)
        assert all(18 <= seen[option] <= 22 for option in range(5))
    missed = [
        cell
        for pair in combinations(first[0], 2)
        for cell in set(product(range(5), repeat=2)) - {(a[pair[0]], a[pair[1]]) for a in first}
    ]
    assert len(missed) < 0.02 * 25 * 15


def test_deep_and_shallow_networks_are_covered_alike():
    first = walked(synthetic(10).space, 100)
    seen = Counter(architecture["blocks"] for architecture in first)
    assert all(8 <= seen[depth] <= 12 for depth in range(2, 11))


def test_reals_and_long_integers_keep_a_few_values_on_their_own_scale():
    space = SearchSpace(
        [
            Decision("lr", "real", low=1e-4, high=1.0, log=True),
            Decision("momentum", "real", low=0.0, high=0.8),
            Decision("width", "integer", low=1, high=1001),
            Decision("depth", "integer", low=1, high=12),
        ]
    )
    found = walked(space, 2000, points=3)
    assert len(found) == 3 * 3 * 3 * 12
    values = {path: sorted({a[path] for a in found}) for path in found[0]}
    assert values["lr"] == pytest.approx([1e-4, 1e-2, 1.0])
    assert values["momentum"] == pytest.approx([0.0, 0.4, 0.8])
    assert values["width"] == [1, 501, 1001]
    assert values["depth"] == list(range(1, 13))
    assert all(space.validate(architecture) == architecture for architecture in found)


def test_a_long_integer_that_can_be_walked_keeps_every_value():
    space = SearchSpace([Decision("x", "integer", low=1, high=2000)])
    assert {a["x"] for a in walked(space, 3000)} == set(range(1, 2001))


@pytest.mark.parametrize("sizes", [(2, 3, 4), (5, 5, 5, 5)])
def test_what_was_asked_for_and_never_told_comes_again(sizes):
    strategy = GridSearch(of_categories(*sizes))
    lost, kept = strategy.ask(2, Random(0))
    strategy.tell(running(0, kept))
    assert strategy.ask(2, Random(1))[0] == lost
    assert kept not in strategy.ask(9, Random(2))


def test_the_walk_goes_on_after_what_others_tried():
    space = of_categories(*[5] * 5)
    others = [space.sample(Random(seed)) for seed in range(1000)]
    strategy = GridSearch(space, start_from=others[:3])
    for number, proposal in enumerate(strategy.ask(3, Random(0))):
        assert proposal.architecture == others[number]
    for number, architecture in enumerate(others):
        strategy.tell(Trial(number, Proposal(architecture)))
    assert not {p.architecture for p in strategy.ask(500, Random(0))} & set(others)


def test_a_proposal_late_in_the_walk_costs_no_more_than_an_early_one():
    looks = 0

    def canonical(architecture):
        nonlocal looks
        looks += 1
        return architecture

    strategy = GridSearch(of_categories(*[5] * 9, canonical=canonical))
    play(strategy, lambda *_: 1.0, 3000)
    looks = 0
    strategy.ask(1, Random(0))
    assert looks < 5


def test_starts_may_lie_off_the_grid():
    space = synthetic(2).space
    start = Architecture({**space.complete({"blocks": 1}), "momentum": 0.123})
    first, second = walked(space, 2, start_from=[start])
    assert first == start
    assert second["momentum"] in (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.mark.parametrize("points", [10, 11])
def test_a_grid_of_which_none_is_valid_says_that_it_is_the_grid(points):
    space = SearchSpace(
        [Decision(name, "real", low=0.0, high=1.0) for name in "ab"],
        valid=lambda a: None if 0.112 < a["a"] - a["b"] < 0.19 else "too far apart",
    )
    said = f"'the grid of {points} points in space' none of all {points**2}"
    with pytest.raises(SpaceError, match=said):
        GridSearch(space, points=points)
