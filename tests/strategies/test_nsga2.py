"""NSGA-II: ranks, crowding and survival against the paper, and how good it is."""

from dataclasses import replace
from random import Random

import moocore
import numpy as np
import pytest

from ogive.space import Architecture, Decision, SearchSpace
from ogive.strategies import NSGA2, RandomSearch
from ogive.strategies._nsga2 import _ranked
from ogive.testing import ended, play, running
from ogive.trial import Proposal, Trial

FAR = SearchSpace([Decision(f"d{i}", "categorical", options=(0, 1, 2)) for i in range(30)])


def trials(values, fidelities=None):
    return [
        Trial(
            i,
            Proposal(FAR.sample(Random(i)), fidelities[i] if fidelities else 1.0),
            "complete",
            values=tuple(v),
        )
        for i, v in enumerate(values)
    ]


def played(strategy, values, count, *, workers=1, seed=0):
    """Runs a strategy for several objectives."""
    done, out, number = [], [], 0
    while len(done) < count:
        for proposal in strategy.ask(
            min(workers - len(out), count - number), Random(number + seed)
        ):
            out.append(running(number, proposal))
            strategy.tell(out[-1])
            number += 1
        trial = out.pop(0)
        done.append(replace(trial, state="complete", values=values(trial.architecture)))
        strategy.tell(done[-1])
    return done


def dominates(a, b):
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


def survivors_by_the_paper(values, count):
    """Section III: whole fronts while there is room, then the least crowded of the next."""
    left, kept = set(range(len(values))), []
    while left:
        front = [i for i in left if not any(dominates(values[j], values[i]) for j in left)]
        distance = dict.fromkeys(front, 0.0)
        for m in range(len(values[0])):
            order = sorted(front, key=lambda i: values[i][m])
            extent = values[order[-1]][m] - values[order[0]][m]
            distance[order[0]] = distance[order[-1]] = np.inf
            for before, here, after in zip(order, order[1:], order[2:], strict=False):
                distance[here] += (values[after][m] - values[before][m]) / extent
        if len(kept) + len(front) > count:
            front.sort(key=lambda i: -distance[i])
            return {*kept, *front[: count - len(kept)]}
        kept += front
        left -= set(front)
    return set(kept)


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 4, 11])
def test_who_lives_is_who_lives_in_the_paper(objectives, count):
    for seed in range(50):
        values = np.random.default_rng(seed).random((12, objectives)).tolist()
        kept = {trial.number for trial in _ranked(trials(values))[:count]}
        expected = survivors_by_the_paper(values, count)
        assert {tuple(values[i]) for i in kept} == {tuple(values[i]) for i in expected}


def test_a_longer_training_ranks_above_a_better_shorter_one():
    ranked = _ranked(trials([(0.9, 0.9), (0.1, 0.1), (0.2, 0.2)], [0.5, 1.0, 1.0]))
    assert [trial.number for trial in ranked] == [2, 1, 0]


def test_a_network_that_was_trained_on_lives_once_and_is_gone_if_it_breaks():
    strategy = NSGA2(FAR, population=5)
    first, second = (FAR.sample(Random(seed)) for seed in range(2))
    strategy.tell(ended(running(0, Proposal(first, 0.5)), 0.1))
    strategy.tell(ended(running(1, Proposal(second, 0.5)), 0.2))
    strategy.tell(ended(running(2, Proposal(first, 1.0, parent=0)), 0.15))
    assert [trial.number for trial in strategy._alive] == [2, 1]
    strategy.tell(ended(running(3, Proposal(second, 1.0, parent=1)), None))
    assert [trial.number for trial in strategy._alive] == [2]


def test_the_first_population_is_drawn_from_all_of_the_space():
    done = [t.architecture for t in play(NSGA2(FAR, population=12), lambda *_: 1.0, 40, workers=3)]

    def distance(i):
        return min(sum(a[path] != done[i][path] for path in a) for a in done[:i])

    assert all(distance(i) > 8 for i in range(1, 12))
    assert np.mean([distance(i) <= 8 for i in range(12, 40)]) > 0.3


def test_a_child_has_each_decision_but_one_from_a_parent():
    strategy = NSGA2(FAR, population=2)
    a, b = (Architecture(dict.fromkeys(FAR.sample(Random(0)), option)) for option in (0, 1))
    for number, (parent, values) in enumerate([(a, (0.0, 1.0)), (b, (1.0, 0.0))]):
        strategy.tell(replace(running(number, Proposal(parent)), state="complete", values=values))
    children = [strategy.ask(1, Random(seed))[0].architecture for seed in range(200)]
    assert {sum(option == 2 for option in child.values()) for child in children} == {0, 1}
    # Two different parents in three of eight cases; else one of them is mutated alone.
    of_b = np.array([sum(option == 1 for option in child.values()) for child in children])
    crossed = of_b[(of_b > 1) & (of_b < 29)]
    assert len(crossed) == pytest.approx(0.375 * 200, rel=0.2)
    assert crossed.mean() == pytest.approx(15, abs=1)


def test_the_better_of_two_becomes_a_parent():
    strategy = NSGA2(FAR, population=10)
    for trial in trials([(value,) for value in range(10)]):
        strategy.tell(trial)
    rng = Random(0)
    places = {trial.architecture: trial.number for trial in strategy._alive}
    drawn = np.bincount([places[strategy._parent(rng)] for _ in range(20_000)], minlength=10)
    assert drawn / 20_000 == pytest.approx([(2 * i + 1) / 100 for i in range(10)], abs=0.01)


def test_with_one_objective_it_is_a_genetic_algorithm():
    def value(architecture, _=1.0):
        return float(sum(architecture.values()))

    best = [max(t.value for t in play(NSGA2(FAR), value, 300, seed=s)) for s in range(5)]
    drawn = [max(t.value for t in play(RandomSearch(FAR), value, 300, seed=s)) for s in range(5)]
    assert np.mean(best) > 55 > 45 > np.mean(drawn)


@pytest.mark.parametrize("workers", [1, 4])
def test_it_comes_near_the_front_of_accuracy_and_latency(data, workers):
    table = np.load(data / "nb201.npz", allow_pickle=False)
    latency = np.load(data / "nb201_hw.npz", allow_pickle=False)["hwnas_c10_edgegpu_latency"]
    points = np.column_stack([table["c10valid_val_acc_200_avg"], latency.max() - latency]).astype(
        float
    )
    rows = {
        tuple(code): tuple(p) for code, p in zip(table["op_code"].tolist(), points, strict=True)
    }
    space = SearchSpace(
        [Decision(f"edge{i}", "categorical", options=(0, 1, 2, 3, 4)) for i in range(6)]
    )

    def share(kind, seed):
        done = played(
            kind(space), lambda a: rows[tuple(a.values())], 150, workers=workers, seed=1000 * seed
        )
        found = np.array([trial.values for trial in done])
        volume, whole = (
            moocore.hypervolume(p, ref=[0, 0], maximise=True) for p in (found, points)
        )
        return volume / whole

    missing, missing_by_chance = (
        1 - np.mean([share(kind, seed) for seed in range(8)]) for kind in (NSGA2, RandomSearch)
    )
    assert missing < 0.7 * missing_by_chance


def test_a_short_training_has_no_say_between_longer_ones():
    full, short = [(1, 9), (2, 8), (9, 1)], (3, 9)  # which would dominate the first two
    ranked = _ranked(trials([*full, short], [1.0, 1.0, 1.0, 0.5]))
    assert [trial.number for trial in ranked] == [0, 2, 1, 3]
