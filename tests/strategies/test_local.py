"""Local search: up only, to the top of each hill, and on to the next."""

from dataclasses import replace
from itertools import islice
from random import Random

import numpy as np

from ogive.space import Condition, Decision, SearchSpace
from ogive.strategies import LocalSearch, RandomSearch
from ogive.testing import ended, play, running, synthetic
from ogive.trial import Proposal

SPACE = SearchSpace([Decision(f"d{i}", "categorical", options=(0, 1, 2)) for i in range(5)])
FAR = SearchSpace([Decision(f"d{i}", "categorical", options=(0, 1)) for i in range(20)])


def rugged(architecture, _=1.0):
    """A value without structure: one architecture in eleven is a local optimum."""
    return Random(architecture.key).random()


def steps(a, space=SPACE):
    return set(space.neighbours(a, Random(0)))


def told(strategy, architecture, value, number):
    """Tells of a trial from its start to its end."""
    trial = running(number, Proposal(architecture))
    strategy.tell(trial)
    values = (value,) if isinstance(value, float) else value
    strategy.tell(replace(trial, state="complete", values=values))


def asked(strategy, n, seed=0):
    return [p.architecture for p in strategy.ask(n, Random(seed))]


# One objective


def climbs_and_moves(trials):
    """Follows a search by hand, and fails where it is no hill climbing with three starts each."""
    climbs = moves = 0
    tried, centre = set(), None
    for trial in trials:
        if centre is None or not steps(centre.architecture) - tried:
            drawn = [trial, *islice(trials, 2)]
            tried.update(t.architecture for t in drawn)
            best = max(drawn, key=lambda t: t.value)
            if centre is not None and best.value > centre.value:
                break  # The climb goes on from a lucky start: looked at below.
            centre = best
            climbs += 1
            continue
        assert trial.architecture in steps(centre.architecture) - tried
        tried.add(trial.architecture)
        if trial.value > centre.value:
            centre = trial
            moves += 1
    return climbs, moves


def test_it_moves_on_improvement_only_and_restarts_at_a_local_optimum():
    searches = [iter(play(LocalSearch(SPACE, starts=3), rugged, 200, seed=s)) for s in range(10)]
    climbs, moves = np.sum([climbs_and_moves(trials) for trials in searches], axis=0)
    assert climbs > 20
    assert moves > 20


def test_neighbours_come_in_an_order_that_is_drawn():
    strategy = LocalSearch(SPACE, starts=1)
    told(strategy, SPACE.sample(Random(0)), 0.0, 0)
    orders = {tuple(asked(strategy, 10, seed)) for seed in range(20)}
    assert len(orders) == 20
    assert len({frozenset(order) for order in orders}) == 1


def test_an_equal_neighbour_is_no_improvement():
    strategy = LocalSearch(SPACE, starts=1)
    centre = SPACE.sample(Random(0))
    told(strategy, centre, 1.0, 0)
    for number in range(1, 11):
        [neighbour] = asked(strategy, 1, number)
        assert neighbour in steps(centre)
        told(strategy, neighbour, 1.0, number)
    assert asked(strategy, 1)[0] not in steps(centre)


def test_a_start_that_is_better_than_the_optimum_is_climbed_from():
    strategy = LocalSearch(FAR, starts=5)
    for number in range(5):
        told(strategy, FAR.sample(Random(number)), 0.5, number)
    for number in range(5, 26):
        told(strategy, asked(strategy, 1, number)[0], 0.1, number)
    [best] = asked(strategy, 1)
    told(strategy, best, 0.9, 26)
    assert set(asked(strategy, 20)) == steps(best, FAR)


def test_what_breaks_is_no_start_and_no_step():
    strategy = LocalSearch(FAR, starts=2)
    for number, state in enumerate(["failed", "rejected", "complete"]):
        architecture = FAR.sample(Random(number))
        trial = running(number, Proposal(architecture))
        strategy.tell(trial)
        strategy.tell(replace(trial, state=state, values=(1.0,) if state == "complete" else ()))
    # Two starts were tried, and the third is the best of those that hold.
    assert set(asked(strategy, 20)) == steps(architecture, FAR)
    for number in range(3, 23):
        trial = running(number, strategy.ask(1, Random(number))[0])
        strategy.tell(trial)
        strategy.tell(ended(trial, None if number % 2 else float("nan")))
    assert not set(asked(strategy, 9)) & steps(architecture, FAR)


def test_a_longer_training_of_a_start_is_no_step():
    strategy = LocalSearch(FAR, starts=2)
    low, high = (FAR.sample(Random(seed)) for seed in range(2))
    told(strategy, low, 0.1, 0)
    told(strategy, high, 0.2, 1)
    strategy.tell(ended(running(2, Proposal(low, 1.0, parent=0)), 0.9))
    assert set(asked(strategy, 20)) == steps(high, FAR)


def test_what_a_step_makes_active_is_the_same_each_time_and_comes_to_an_end():
    deep = Condition("depth", frozenset([2]))
    space = SearchSpace(
        [
            Decision("rate", "real", low=0.0, high=1.0),
            Decision("width", "integer", low=1, high=10**6, log=True),
            Decision("depth", "ordinal", options=(1, 2)),
            Decision("momentum", "real", low=0.0, high=1.0, conditions=((deep,),)),
        ]
    )
    centre = space.complete({"rate": 0.5, "width": 1000, "depth": 1})
    strategy, twin = LocalSearch(space, starts=1), LocalSearch(space, starts=1)
    for each in (strategy, twin):
        told(each, centre, 1.0, 0)
    neighbours = set(asked(strategy, 11, 1))
    assert neighbours == set(asked(twin, 11, 2))
    assert sum(architecture["depth"] == 2 for architecture in neighbours) == 1
    for number, neighbour in enumerate(neighbours, start=1):
        assert len(asked(strategy, 1)) == 1
        told(strategy, neighbour, 0.0, number)
    fresh = asked(strategy, 5)
    assert all(a["rate"] not in (0.35, 0.485, 0.515, 0.65) for a in fresh)


# Several workers


def test_workers_explore_one_centre_side_by_side():
    strategy = LocalSearch(FAR, starts=1)
    centre = FAR.sample(Random(0))
    told(strategy, centre, 0.5, 0)
    out = [running(number, p) for number, p in enumerate(strategy.ask(20, Random(0)), start=1)]
    assert {trial.architecture for trial in out} == steps(centre, FAR)
    for trial in out:
        strategy.tell(trial)
    # All are out: who asks now gets a start of the next climb, which waits for them.
    start = running(21, strategy.ask(1, Random(1))[0])
    strategy.tell(start)
    assert start.architecture not in steps(centre, FAR)
    strategy.tell(ended(start, 0.4))
    for trial in out[:19]:
        strategy.tell(ended(trial, 0.1))
    assert not set(asked(strategy, 9)) & steps(start.architecture, FAR)
    strategy.tell(ended(out[19], 0.2))
    assert set(asked(strategy, 20)) <= steps(start.architecture, FAR)


def test_an_improvement_that_comes_late_is_climbed_from():
    strategy = LocalSearch(FAR, starts=1)
    told(strategy, FAR.sample(Random(0)), 0.5, 0)
    first, second = (running(i, p) for i, p in enumerate(strategy.ask(2, Random(0)), start=1))
    for trial in (first, second):
        strategy.tell(trial)
    strategy.tell(ended(first, 0.6))
    strategy.tell(ended(second, 0.7))
    tried = {second.architecture, first.architecture}
    assert set(asked(strategy, 19)) <= steps(second.architecture, FAR) - tried


# Several objectives


def test_the_member_with_the_most_room_is_explored_first():
    strategy = LocalSearch(FAR, starts=5)
    values = [(0.0, 1.0), (0.1, 0.95), (0.5, 0.5), (1.0, 0.0), (0.05, 0.1)]
    members = [FAR.sample(Random(seed)) for seed in range(5)]
    for number, (architecture, value) in enumerate(zip(members, values, strict=True)):
        told(strategy, architecture, value, number)
    # The two ends have all the room in the world, then comes the middle.
    order = asked(strategy, 80)
    for place, member in enumerate((0, 3, 2, 1)):
        assert set(order[20 * place : 20 * place + 20]) == steps(members[member], FAR)


def test_what_no_member_dominates_joins_the_front():
    def value(architecture, _):
        return rugged(architecture), rugged(architecture.replace({"x": 0}))

    strategy = LocalSearch(SPACE, starts=1)
    done = []
    for number in range(40):
        [architecture] = asked(strategy, 1, number)
        done.append((architecture, value(architecture, 1.0)))
        told(strategy, *done[-1], number)
    best = {
        a for a, v in done if not any(w[0] >= v[0] and w[1] >= v[1] and w != v for _, w in done)
    }
    assert {trial.architecture for trial in strategy._front} == best


# How good it is


def test_the_first_climb_starts_from_what_it_is_given():
    wanted = [FAR.sample(Random(seed)) for seed in (5, 6)]
    trials = play(LocalSearch(FAR, starts=2, start_from=wanted), rugged, 3)
    best = max(trials[:2], key=lambda trial: trial.value)
    assert [trial.architecture for trial in trials[:2]] == wanted
    assert trials[2].architecture in steps(best.architecture, FAR)


def test_it_climbs_a_large_conditional_space():
    problem = synthetic(10)
    local, random = (
        [
            max(t.value for t in play(kind(problem.space), problem.value, 300, seed=s))
            for s in range(4)
        ]
        for kind in (LocalSearch, RandomSearch)
    )
    assert 1 - np.mean(local) < 0.3 * (1 - np.mean(random))


def test_it_finds_the_best_of_nas_bench_201(data):
    table = np.load(data / "nb201.npz", allow_pickle=False)
    values = dict(
        zip(map(tuple, table["op_code"].tolist()), table["c10valid_val_acc_200_avg"], strict=True)
    )
    best = max(values.values())
    space = SearchSpace(
        [Decision(f"edge{i}", "categorical", options=(0, 1, 2, 3, 4)) for i in range(6)]
    )

    def queries(seed):
        trials = play(
            LocalSearch(space), lambda a, _: float(values[tuple(a.values())]), 200, seed=seed
        )
        return next((t.number for t in trials if t.value == best), 200)

    assert np.median([queries(seed) for seed in range(30)]) < 100


def test_a_short_training_is_no_better_than_a_long_one():
    strategy = LocalSearch(SPACE, starts=1)
    centre = SPACE.sample(Random(0))
    told(strategy, centre, 0.5, 0)
    around = steps(centre)
    short = running(1, Proposal(next(iter(around)), 1 / 9))
    strategy.tell(short)
    strategy.tell(replace(short, state="complete", values=(0.9,)))
    assert set(asked(strategy, 3)) <= around  # It climbs from where it was.
    told(strategy, asked(strategy, 1)[0], 0.6, 2)
    assert not set(asked(strategy, 3)) <= around
