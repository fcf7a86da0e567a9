"""Spaces against brute force: every property on random spaces of every kind of decision."""

import json
import math
import pickle
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive.errors import ArchitectureError, SpaceError
from ogive.space import Architecture, Condition, Decision, Graph, SearchSpace
from ogive.testing import spaces

SEEDS = st.integers(0, 10**6)


@given(spaces())
def test_the_size_is_what_enumeration_counts(space):
    every = list(space.enumerate())
    assert space.size == len(every) == len(set(every))


@given(spaces(), SEEDS)
def test_what_is_drawn_belongs_to_the_space(space, seed):
    rng = Random(seed)
    every = set(space.enumerate())
    first, second = space.sample(rng), space.sample(rng)
    assert {first, second} <= every
    assert space.mutate(first, rng) in every
    assert space.cross(first, second, rng) in every
    assert set(space.neighbours(first, rng)) <= every - {first}
    assert space.validate(first) == first


@given(spaces(), SEEDS)
def test_a_mutation_changes_one_decision_of_those_that_stay(space, seed):
    rng = Random(seed)
    parent = space.sample(rng)
    child = space.mutate(parent, rng)
    assert (child == parent) == (all(space[path].size == 1 for path in parent))
    changed = [path for path in parent if path in child and parent[path] != child[path]]
    assert len(changed) <= 1
    assert list(child) == [decision.path for decision in space.decisions if decision.path in child]


@given(spaces(), SEEDS)
def test_a_child_has_each_decision_from_a_parent_that_has_it(space, seed):
    rng = Random(seed)
    a, b = space.sample(rng), space.sample(rng)
    child = space.cross(a, b, rng)
    for path, value in child.items():
        having = [parent[path] for parent in (a, b) if path in parent]
        assert not having or value in having


@given(spaces())
def test_encodings_tell_architectures_apart_and_mask_what_is_inactive(space):
    every = list(space.enumerate())[:300]
    encoding = space.encode(every)
    assert encoding.values.shape == encoding.mask.shape == (len(every), len(space.columns))
    assert encoding.values.min(initial=0) >= 0
    assert encoding.values.max(initial=0) <= 1
    assert not encoding.values[~encoding.mask].any()
    rows = np.hstack([encoding.values, encoding.mask])
    assert len(np.unique(rows, axis=0)) == len(every)
    for row, architecture in zip(encoding.mask, every, strict=True):
        active = {c.path for c, on in zip(space.columns, row, strict=True) if on}
        assert active == {
            path for path in architecture if any(c.path == path for c in space.columns)
        }


@given(spaces(finite=False), SEEDS)
def test_json_and_pickle_bring_the_same_space_back(space, seed):
    for again in (
        SearchSpace.from_json(json.loads(json.dumps(space.to_json()))),
        pickle.loads(pickle.dumps(space)),
    ):
        assert again.key == space.key
        assert again.size == space.size
        assert again.sample(Random(seed)) == space.sample(Random(seed))
        assert space.difference(again) == []


@given(spaces(finite=False), SEEDS)
def test_an_architecture_is_json_hashable_and_named_alike_in_any_order(space, seed):
    architecture = space.sample(Random(seed))
    again = Architecture.from_json(json.loads(json.dumps(architecture.to_json())))
    shuffled = Architecture(dict(reversed(list(architecture.items()))))
    assert architecture == again == shuffled
    assert hash(architecture) == hash(again) == hash(shuffled)
    assert architecture.key == again.key == shuffled.key


@given(spaces(), SEEDS)
def test_a_fixed_decision_keeps_its_value(space, seed):
    rng = Random(seed)
    architecture = space.sample(rng)
    path = rng.choice(list(architecture))
    part = space.fix({path: architecture[path]})
    every = {a for a in space.enumerate() if a.get(path, architecture[path]) == architecture[path]}
    assert set(part.enumerate()) == every
    assert part.size == len(every)


@given(spaces(), SEEDS)
def test_a_narrowed_decision_keeps_some_options(space, seed):
    rng = Random(seed)
    listed = [d for d in space.decisions if d.kind in ("categorical", "ordinal")]
    if not listed:
        return
    decision = rng.choice(listed)
    kept = rng.sample(decision.options, rng.randint(1, len(decision.options)))
    part = space.narrow({decision.path: kept})
    every = {a for a in space.enumerate() if a.get(decision.path, kept[0]) in kept}
    assert set(part.enumerate()) == every


@given(spaces(), SEEDS)
def test_what_is_missing_is_filled_in(space, seed):
    whole = space.sample(Random(seed))
    some = {path: value for i, (path, value) in enumerate(whole.items()) if i % 2}
    for rng in (None, Random(seed)):
        filled = space.complete(some, rng)
        assert space.validate(filled) == filled
        assert all(filled[path] == some[path] for path in some if path in filled)


def test_a_number_is_drawn_mutated_and_listed_on_its_own_scale():
    space = SearchSpace(
        [
            Decision("lr", "real", low=1e-5, high=1.0, log=True),
            Decision("width", "integer", low=8, high=1024, step=8),
            Decision("depth", "integer", low=1, high=64, log=True),
        ]
    )
    rng = Random(0)
    drawn = [space.sample(rng) for _ in range(3000)]
    below = np.mean([a["lr"] < math.sqrt(1e-5) for a in drawn])
    assert below == pytest.approx(0.5, abs=0.05)
    assert np.mean([a["depth"] <= 7 for a in drawn]) == pytest.approx(0.57, abs=0.06)
    assert {a["width"] for a in drawn} == set(range(8, 1025, 8))
    assert space.size == math.inf
    near = {a["width"] for a in space.neighbours(drawn[0], rng)} - {drawn[0]["width"]}
    assert near
    with pytest.raises(SpaceError, match="'lr' is real"):
        next(space.enumerate())


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.booleans(), SEEDS)
def test_an_integer_is_its_own_place_on_the_unit_interval(low, span, log, seed):
    decision = Decision("n", "integer", low=low, high=low + span, log=log)
    rng = Random(seed)
    for value in (low, low + span, *(rng.randint(low, low + span) for _ in range(20))):
        assert 0 <= decision.to_unit(value) <= 1
        assert decision.from_unit(decision.to_unit(value)) == value


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("count", [13, 20, 33, 64, 1000])
def test_the_next_integers_are_near(count, log):
    decision = Decision("n", "integer", low=1, high=count, log=log)
    for value in decision.values():
        near = list(decision.near(value))
        assert value not in near
        assert near == sorted(set(near))
        assert set(near) >= {value - 1, value + 1} - {0, count + 1}
        assert all(decision.why_not(other) is None for other in near)
    steps = Decision("n", "integer", low=0, high=90, step=5)
    assert set(steps.near(45)) >= {40, 50}


def test_a_decision_that_hangs_on_two_parents_is_asked_under_either():
    shared = ((Condition("a", frozenset("x")),), (Condition("b", frozenset("y")),))
    space = SearchSpace(
        [
            Decision("a", "categorical", options=("x", "z")),
            Decision("b", "categorical", options=("y", "z")),
            Decision("c", "ordinal", options=(1, 2, 3), conditions=shared),
        ]
    )
    assert space.size == 3 + 3 + 3 + 1 == len(list(space.enumerate()))


def test_conditions_that_together_always_hold_are_none():
    a = Decision("a", "categorical", options=(1, 2, 3))
    either = tuple((Condition("a", frozenset(values)),) for values in ([1], [2, 3]))
    space = SearchSpace([a, Decision("b", "categorical", options=(1, 2), conditions=either)])
    assert space["b"].conditions == ((),)
    assert SearchSpace(space.decisions).key == space.key


def test_a_large_space_is_counted_exactly_and_soon():
    deep = tuple(range(1, 21))
    decisions = [Decision("depth", "ordinal", options=deep)]
    for i in range(20):
        outer = Condition("depth", frozenset(d for d in deep if d > i))
        inner = Condition(f"{i}.op", frozenset(["conv"]))
        decisions += [
            Decision(f"{i}.op", "categorical", options=("conv", "skip"), conditions=((outer,),)),
            Decision(f"{i}.k", "ordinal", options=tuple(range(9)), conditions=((outer, inner),)),
        ]
    assert SearchSpace(decisions).size == sum(10**depth for depth in deep)


def test_a_space_beyond_the_largest_float_says_how_large_it_is():
    decisions = [Decision(f"d{i}", "ordinal", options=tuple(range(10))) for i in range(400)]
    assert "400 decisions, 1.0e+400 architectures" in repr(SearchSpace(decisions))


@given(SEEDS)
def test_what_hangs_on_the_options_of_a_subset_is_counted_exactly(seed):
    rng = Random(seed)
    options = tuple("abcde"[: rng.randint(2, 5)])
    sizes = tuple(sorted(rng.sample(range(len(options) + 1), rng.randint(1, len(options)))))
    decisions = [
        Decision("some", "subset", options=options, sizes=sizes),
        Decision("other", "ordinal", options=(1, 2)),
    ]
    for i in range(rng.randint(1, 5)):
        conditions = []
        for _ in range(rng.randint(1, 2)):
            one = frozenset(rng.sample(options, rng.choice((1, 1, 2))))
            above = rng.choice(decisions[1:])
            conjunction = [Condition("some", one)]
            if rng.random() < 0.4:
                conjunction += [*above.conditions[0], Condition(above.path, frozenset([1]))]
            conditions.append(tuple(dict.fromkeys(conjunction)))
        decisions.append(
            Decision(f"d{i}", "ordinal", options=(1, 2), conditions=tuple(conditions))
        )
    space = SearchSpace(decisions)
    assert space.size == len(list(space.enumerate()))


def branches(names, sizes):
    """A choice of three in each branch, and one of two where either of the first two is taken."""
    taken = {name: Condition("some", frozenset({name})) for name in names}
    both = ((Condition("some", frozenset(names[:2])),),)
    return SearchSpace(
        [
            Decision("some", "subset", options=names, sizes=sizes),
            *(
                Decision(name, "categorical", options=(1, 2, 3), conditions=((taken[name],),))
                for name in names
            ),
            Decision("both", "categorical", options=(1, 2), conditions=both),
        ]
    )


def test_a_subset_of_many_branches_is_counted_exactly_and_soon():
    for sizes in ((0,), (1, 3), (0, 1, 2, 3, 4)):
        space = branches(tuple("abcd"), sizes)
        assert space.size == len(list(space.enumerate()))
    many = branches(tuple(f"b{i}" for i in range(40)), tuple(range(41)))
    # Each branch is one of four, or not there; the first two are both not there once in 16.
    assert many.size == 2 * 4**40 - 4**38
    joined = branches(tuple(f"b{i}" for i in range(22)), (2, 21))
    shared = [
        Decision(
            f"s{i}",
            "categorical",
            options=(1,),
            conditions=((Condition("some", frozenset(two)),),),
        )
        for i, two in enumerate(pairwise(joined["some"].options))
    ]
    assert SearchSpace([*joined.decisions, *shared]).size == joined.size


def test_the_spaces_own_rules_hold():
    space = SearchSpace(
        [Decision("a", "integer", low=0, high=9), Decision("b", "integer", low=0, high=9)],
        valid=lambda a: None if a["a"] < a["b"] else "a must be below b",
        canonical=lambda a: Architecture({"a": 0, "b": a["b"]}),
    )
    rng = Random(0)
    for _ in range(50):
        architecture = space.mutate(space.sample(rng), rng)
        assert architecture["a"] < architecture["b"]
        assert space.canonical(architecture)["a"] == 0
    assert len(list(space.enumerate())) == 45
    with pytest.raises(ArchitectureError, match="a must be below b"):
        space.validate({"a": 3, "b": 2})
    with pytest.raises(SpaceError, match="ruled out"):
        SearchSpace(space.decisions, valid=lambda _: "never").sample(rng)


def test_options_that_are_tuples_of_others_are_told_from_values_that_are():
    """Of a subset, ("a", "b") is both of two options, not the third that is called so."""
    options = ("a", "b", ("a", "b"))

    def when(parent, option):
        return ((Condition(parent, frozenset([option])),),)

    space = SearchSpace(
        [
            Decision("some", "subset", options=options, sizes=(1, 2)),
            Decision("one", "categorical", options=options),
            *(
                Decision(f"{parent}.{i}", "ordinal", options=(1, 2), conditions=when(parent, o))
                for parent in ("some", "one")
                for i, o in enumerate(options)
            ),
        ]
    )
    both = space.complete({"some": ("a", "b"), "one": ("a", "b")})
    assert set(both) == {"some", "one", "some.0", "some.1", "one.2"}
    assert space.size == len(list(space.enumerate())) == (3 * 2 + 3 * 4) * 3 * 2
    found = space.encode([both]).values[0]
    assert [c.option for c, v in zip(space.columns, found, strict=True) if v and c.option] == [
        "a",
        "b",
        ("a", "b"),
    ]
    assert pickle.loads(pickle.dumps(space)).complete(both) == both
    assert SearchSpace.from_json(space.to_json()).complete(both) == both


def test_where_few_are_valid_each_is_drawn_as_often_as_if_it_were_drawn_again():
    only_y = ((Condition("op", frozenset("y")),),)
    decisions = [
        Decision("op", "categorical", options=("x", "y")),
        Decision("size", "integer", low=1, high=20, log=True),
        *(Decision(f"d{i}", "categorical", options=(0, 1)) for i in range(7)),
        Decision("deep", "ordinal", options=(1, 2, 3, 4), conditions=only_y),
    ]

    def rare(a):
        alike = all(a[f"d{i}"] for i in range(7)) and a.get("deep", 4) == 4
        return None if alike and a["size"] in (2, 16) else "few are"

    space = SearchSpace(decisions, valid=rare)
    rng = Random(0)
    drawn = Counter((a["op"], a["size"]) for a in (space.sample(rng) for _ in range(4000)))
    low, high = math.log(2.5 / 1.5), math.log(16.5 / 15.5)
    expected = {
        (op, size): 4000 * share * odds / (1.25 * (low + high))
        for op, odds in (("x", 1.0), ("y", 0.25))
        for size, share in ((2, low), (16, high))
    }
    assert drawn.keys() == expected.keys()
    assert all(abs(drawn[each] - n) < 4 * n**0.5 for each, n in expected.items())

    wide = [Decision(f"w{i}", "ordinal", options=tuple(range(10))) for i in range(6)]
    one_in_ten_thousand = SearchSpace(
        wide, valid=lambda a: None if len({a[f"w{i}"] for i in range(5)}) == 1 else "they differ"
    )
    assert one_in_ten_thousand.reason_invalid(one_in_ten_thousand.sample(rng)) is None


@pytest.mark.parametrize("options", [(8, 16, 32, 64), tuple(range(4))])
def test_a_rule_that_joins_decisions_is_kept_by_changing_several(options):
    """No change of one decision keeps a sum."""
    wanted = sum(options) * 3
    space = SearchSpace(
        [Decision(f"w{i}", "ordinal", options=options) for i in range(12)],
        valid=lambda a: None if sum(a.values()) == wanted else f"the sum is not {wanted}",
    )
    rng = Random(0)
    parent, other = space.sample(rng), space.sample(rng)
    for _ in range(20):
        child = space.mutate(parent, rng)
        assert child != parent
        assert sum(p != c for p, c in zip(parent.values(), child.values(), strict=True)) <= 4
        assert space.validate(child) == child
        assert space.validate(space.cross(child, other, rng))


def test_where_few_are_valid_a_mutation_is_a_near_one_at_once():
    asked = []

    def far_apart(architecture):
        asked.append(architecture)
        bits = "".join(map(str, architecture.values()))
        return None if all(bits[i : i + 5] == bits[i] * 5 for i in (0, 5, 10)) else "mixed"

    space = SearchSpace(
        [Decision(f"w{i}", "ordinal", options=(0, 1)) for i in range(15)], valid=far_apart
    )
    rng = Random(0)
    parent = space.sample(rng)
    asked.clear()
    children = [space.mutate(parent, rng) for _ in range(30)]
    assert len(asked) <= 30 * 100
    assert len(set(children)) >= 3
    for child in children:
        assert sum(parent[path] != child[path] for path in parent) == 5


def test_an_architecture_that_no_valid_one_is_found_from_stays_as_it_is():
    zeros, ones = (Architecture({f"w{i}": value for i in range(40)}) for value in (0, 1))
    space = SearchSpace(
        [Decision(path, "ordinal", options=(0, 1)) for path in zeros],
        valid=lambda a: None if a in (zeros, ones) else "all are alike",
    )
    assert space.mutate(zeros, Random(0)) == zeros
    assert space.cross(ones, zeros, Random(0)) == ones


NESTED = SearchSpace(
    [
        Decision("op", "categorical", options=("conv", "skip")),
        Decision(
            "kernel",
            "ordinal",
            options=(3, 5),
            conditions=((Condition("op", frozenset(["conv"])),),),
        ),
        Decision("inputs", "subset", options=("a", "b", "c"), sizes=(1, 2)),
    ]
)


@pytest.mark.parametrize(
    ("decided", "said"),
    [
        ({"op": "conv", "inputs": ("a",)}, "'kernel' is missing"),
        ({"op": "skip", "kernel": 3, "inputs": ("a",)}, "'kernel' is not active"),
        ({"op": "pool", "inputs": ("a",)}, "must be one of"),
        ({"op": "skip", "inputs": ("a",), "krenel": 3}, "Did you mean 'kernel'"),
        ({"op": "skip", "inputs": ("b", "a")}, "in that order"),
        ({"op": "skip", "inputs": ("a", "b", "c")}, "1 or 2 of"),
        ({"op": "conv", "kernel": True, "inputs": ("a",)}, "must be one of"),
    ],
)
def test_what_is_no_architecture_says_why(decided, said):
    with pytest.raises(ArchitectureError, match=said):
        NESTED.validate(decided)


def test_true_is_not_one():
    for options, value in (((0, 1), True), ((False, True), 1)):
        space = SearchSpace([Decision("a", "categorical", options=options)])
        with pytest.raises(ArchitectureError, match="must be one of"):
            space.validate({"a": value})


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("categorical", {"options": ()}, "at least one option"),
        ("ordinal", {"options": (1, 1)}, "must differ"),
        ("integer", {"low": 3, "high": 1}, "low <= high must hold"),
        ("integer", {"low": 0, "high": 5, "step": 2}, "whole number of steps"),
        ("real", {"low": 0.0, "high": 1.0, "log": True}, "must be positive"),
        ("real", {"low": 0.0, "high": math.inf}, "low <= high must hold between finite"),
        ("real", {"low": -1e308, "high": 1e308}, "high - low must be a finite float"),
        ("real", {"low": 1e-300, "high": 1e300, "log": True}, "high / low must be a finite float"),
        ("integer", {"low": 0, "high": 10**400}, "high - low must be a finite float"),
        ("subset", {"options": ("a",), "sizes": (2,)}, "between 0 and all"),
        ("subset", {"options": ("a", "b"), "sizes": (1, 1)}, "sizes of a subset must differ"),
    ],
)
def test_what_is_no_decision_says_why(kind, settings, said):
    with pytest.raises(SpaceError, match=said):
        Decision("d", kind, **settings)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2.5, 5, -2, True, "2", None])
def test_what_is_no_integer_of_a_range_says_why(value):
    space = SearchSpace([Decision("n", "integer", low=0, high=8, step=2)])
    with pytest.raises(ArchitectureError, match="an integer in steps of 2 from 0 to 8, but is"):
        space.validate({"n": value})


def test_a_condition_on_an_integer_holds_for_its_values():
    depth = Decision("depth", "integer", low=0, high=4, step=2)
    only = ((Condition("depth", frozenset([2, 4, 5])),),)
    space = SearchSpace(
        [depth, Decision("op", "categorical", options=("a", "b"), conditions=only)]
    )
    found = {(a["depth"], a.get("op")) for a in space.enumerate()}
    assert found == {(0, None), (2, "a"), (2, "b"), (4, "a"), (4, "b")}
    assert space.size == 5
    assert (
        len(
            SearchSpace(
                [depth, replace(space["op"], conditions=((Condition("depth", frozenset([3])),),))]
            )
        )
        == 1
    )
    always = ((Condition("depth", frozenset([0, 2, 4])),),)
    assert SearchSpace([depth, replace(space["op"], conditions=always)])["op"].conditions == ((),)


def test_a_value_is_taken_as_the_space_has_it():
    space = SearchSpace(
        [
            Decision("width", "ordinal", options=(8, 16)),
            Decision("depth", "integer", low=1, high=3),
            Decision("rate", "real", low=0.0, high=1.0),
            Decision("flag", "categorical", options=(True, False)),
            Decision("some", "subset", options=("a", "b"), sizes=(1, 2)),
        ]
    )
    given = {"width": 8.0, "depth": 2.0, "rate": 1, "flag": True, "some": ["a", "b"]}
    own = {"width": 8, "depth": 2, "rate": 1.0, "flag": True, "some": ("a", "b")}
    checked = space.validate(given)
    assert checked.key == Architecture(own).key
    assert {p: type(v) for p, v in checked.items()} == {p: type(v) for p, v in own.items()}
    assert space.complete(given).key == checked.key


@pytest.mark.parametrize("log", [False, True])
def test_a_real_is_a_float_at_its_ends_too(log):
    decision = Decision("rate", "real", low=1, high=2, log=log)
    space = SearchSpace([decision])
    rng = Random(0)
    ends = [space.complete({"rate": value}) for value in (1, 2)]
    for architecture in (
        *ends,
        space.complete({}),
        *(Architecture({"rate": decision.from_unit(unit)}) for unit in (0, 1)),
        *(space.mutate(ends[0], rng) for _ in range(10)),
        *space.neighbours(ends[1], rng),
        *space.fix({"rate": 2}).enumerate(),
    ):
        assert isinstance(architecture["rate"], float)
        assert space.validate(architecture).key == architecture.key


def test_a_condition_names_an_earlier_decision():
    late = Decision("a", "ordinal", options=(1,), conditions=((Condition("b", frozenset([1])),),))
    with pytest.raises(SpaceError, match="does not come before"):
        SearchSpace([late, Decision("b", "ordinal", options=(1,))])
    with pytest.raises(SpaceError, match="stands for one decision"):
        SearchSpace([Decision("b", "ordinal", options=(1,))] * 2)


def test_differences_are_named():
    other = NESTED.narrow({"op": ["conv"]})
    lines = NESTED.difference(other)
    assert any(line.startswith("op: options") for line in lines)
    assert NESTED.difference(SearchSpace([NESTED["op"]]))[0].endswith("only in this space")


def test_the_edges_of_a_graph_lead_onward():
    graph = Graph.of(["input", "conv", "output"], [(1, 2), (0, 1), (1, 2)])
    assert graph.edges == ((0, 1), (1, 2))
    for edge in [(1, 1), (2, 1), (0, 3)]:
        with pytest.raises(SpaceError, match=re.escape(str(edge))):
            Graph.of(graph.operations, [edge])
