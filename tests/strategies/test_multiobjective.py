from dataclasses import replace
from random import Random

import moocore
import numpy as np
import pytest

from ogive.errors import SettingError
from ogive.space import Architecture, Decision, Graph, SearchSpace
from ogive.strategies import BayesianOptimization, MultiObjective, RandomSearch
from ogive.strategies._gp import GaussianProcess, Product
from ogive.strategies._multiobjective import _hypervolume_improvement, _weighted
from ogive.testing import running
from ogive.trial import Proposal

SPACE = SearchSpace([Decision(f"d{i}", "integer", low=0, high=9) for i in range(3)])


def values(architecture):
    """Good and cheap cannot be had at once."""
    a, b, c = (architecture[f"d{i}"] / 9 for i in range(3))
    return (1 - (a - 0.3) ** 2 - (b - c) ** 2, -((a + b + c) / 3))


def searched(strategy, trials, of=values, workers=1):
    done, waiting, number = [], [], 0
    while len(done) < trials:
        for proposal in strategy.ask(workers - len(waiting), Random(number)):
            waiting.append(running(number, proposal))
            strategy.tell(waiting[-1])
            number += 1
        trial = waiting.pop(0)
        done.append(replace(trial, state="complete", values=of(trial.architecture)))
        strategy.tell(done[-1])
    return done


def dominated(trials):
    points = np.array([trial.values[:2] for trial in trials])
    return moocore.hypervolume(points, ref=[-1, -1.0], maximise=True)


@pytest.mark.parametrize("acquisition", ["ehvi", "parego"])
@pytest.mark.parametrize("workers", [1, 3])
def test_it_dominates_more_than_what_is_drawn(acquisition, workers):
    found = searched(MultiObjective(SPACE, acquisition=acquisition), 40, workers=workers)
    drawn = searched(RandomSearch(SPACE), 40)
    every = dominated([replace(found[0], values=values(a)) for a in SPACE.enumerate()])
    assert every - dominated(found) < 0.4 * (every - dominated(drawn))


def test_the_improvement_is_that_of_simulation():
    rng = np.random.default_rng(0)
    process = GaussianProcess([Product(np.zeros(1, dtype=int), 3.0)])
    parameters = np.array([1.0, 0.0, -4.0])
    points = rng.random((9, 1))
    first, second = (
        process.posterior(parameters, [points], target)
        for target in (np.sin(5 * points[:, 0]), np.cos(4 * points[:, 0]))
    )

    class Believed:
        values = (first, second)

        def fits(self, points):
            return 0.0

    new = np.linspace(0, 1, 5)[:, None]
    told = np.stack([first.targets, second.targets], axis=1)
    front = told[moocore.is_nondominated(told, maximise=True)]
    reference = np.minimum(front.min(0) - 0.1 * np.ptp(front, axis=0), told.min(0))
    before = moocore.hypervolume(front, ref=reference, maximise=True)
    score = np.exp(_hypervolume_improvement(Believed())([new]))
    for i in range(len(new)):
        (mean, deviation), (other, spread) = (p.predict([new[i : i + 1]]) for p in (first, second))
        drawn = np.stack([rng.normal(mean, deviation, 3000), rng.normal(other, spread, 3000)], 1)
        grown = [
            moocore.hypervolume(np.vstack([front, one]), ref=reference, maximise=True) - before
            for one in np.maximum(drawn, reference)
        ]
        assert score[i] == pytest.approx(np.mean(grown), abs=4 * np.std(grown) / 3000**0.5 + 1e-3)


def test_weights_prefer_one_objective_or_the_other():
    table = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.6], [np.nan, np.nan]])
    chosen = {int(np.nanargmax(_weighted(2, Random(seed))(table))) for seed in range(40)}
    assert chosen == {0, 1, 2}


def test_of_points_with_the_same_worst_objective_the_better_one_wins():
    table = np.array([[0.5, 0.5], [0.5, 0.9], [1.0, 0.0], [0.0, 1.0]])
    for seed in range(20):
        plain, better = _weighted(2, Random(seed))(table)[:2]
        assert better > plain


def test_one_objective_and_three_are_searched_too():
    def one(architecture):
        return values(architecture)[:1]

    def three(architecture):
        return (*values(architecture), -float(architecture["d2"]))

    best = max(value for (value,) in map(one, SPACE.enumerate()))
    assert max(t.value for t in searched(MultiObjective(SPACE), 30, of=one)) > best - 0.02
    assert len(searched(MultiObjective(SPACE), 25, of=three)) == 25
    with pytest.raises(SettingError, match="there are 3"):
        searched(MultiObjective(SPACE, acquisition="ehvi"), 25, of=three)


def test_it_starts_with_what_side_information_ranks_highest():
    helped = MultiObjective(SPACE, initial=3, features=lambda a: (-float(a["d0"]),))
    assert max(trial.architecture["d0"] for trial in searched(helped, 3)) <= 1


def test_the_hypervolume_is_asked_of_nothing_while_nothing_has_ended():
    strategy = MultiObjective(SPACE, acquisition="ehvi")
    assert len(strategy.ask(16, Random(0))) == 16
    trial = running(0, strategy.ask(1, Random(0))[0])
    strategy.tell(replace(trial, state="failed"))
    assert len(strategy.ask(16, Random(0))) == 16


@pytest.mark.parametrize("kind", [BayesianOptimization, MultiObjective])
def test_a_graph_shows_what_untried_architectures_have_in_common(kind):
    space = SearchSpace(
        [Decision("network", "categorical", options=tuple(range(40)))],
        graph=lambda a: Graph.of(
            ["input", "pool" if a["network"] % 5 else "conv", "output"], [(0, 1), (1, 2)]
        ),
    )

    def convolutions(strategy):
        for number, network in enumerate((1, 2, 3, 4, 6, 7, 8, 5, 10)):
            trial = running(number, Proposal(Architecture({"network": network})))
            good = (network % 5 == 0) + network / 100
            strategy.tell(replace(trial, state="complete", values=(good, good**2)))
        asked = strategy.ask(3, Random(0))
        return sum(proposal.architecture["network"] % 5 == 0 for proposal in asked)

    assert convolutions(kind(space, initial=2)) < 2
    assert convolutions(kind(space, initial=2, graph=True)) == 3


def unforeseeable():
    """A space, architectures, and values that say nothing of each other."""
    letters = tuple("abcdef")
    space = SearchSpace([Decision(f"d{i}", "categorical", options=letters) for i in range(5)])
    rng = Random(2)
    drawn = [space.sample(rng) for _ in range(20)]
    return space, drawn, [(rng.random(), rng.random()) for _ in drawn]


def told(space, drawn, noise):
    strategy = MultiObjective(space)
    for number, (architecture, pair) in enumerate(zip(drawn, noise, strict=False)):
        trial = running(number, Proposal(architecture))
        strategy.tell(replace(trial, state="complete", values=pair))
    return strategy


def front_of(noise):
    kept = moocore.is_nondominated(np.array(noise), maximise=True)
    return {pair for pair, is_kept in zip(noise, kept, strict=True) if is_kept}


def changes(one, other):
    return sum(one[d] != other[d] for d in other)


def test_while_the_front_does_not_grow_it_tries_what_is_beside_its_roomiest_member():
    space, drawn, noise = unforeseeable()
    strategy = told(space, drawn, noise)
    assert not set(noise[-3:]) & front_of(noise)
    # Both ends of the front have all the room; the one that was tried first is taken.
    ends = [max(range(20), key=lambda i: noise[i][objective]) for objective in (0, 1)]
    roomiest = drawn[min(ends)]
    asked = [proposal.architecture for proposal in strategy.ask(4, Random(0))]
    assert len(set(asked)) == 4
    for architecture in asked:
        assert changes(architecture, roomiest) == 1


def test_while_the_front_grows_it_goes_by_its_model():
    space, drawn, noise = unforeseeable()
    last = max(i for i in range(12, 20) if noise[i] in front_of(noise[: i + 1]))
    strategy = told(space, drawn[: last + 1], noise)
    members = [
        a for a, pair in zip(drawn, noise, strict=True) if pair in front_of(noise[: last + 1])
    ]
    (asked,) = strategy.ask(1, Random(0))
    # A model that is told noise prefers what is unlike all it knows.
    assert all(changes(asked.architecture, member) > 1 for member in members)
