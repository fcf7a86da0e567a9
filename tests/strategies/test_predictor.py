"""BANANAS and NPENAS: what they predict from, how they pick, and what they find."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from ogive.bench import read
from ogive.space import Architecture, Decision, Graph, SearchSpace
from ogive.strategies import BANANAS, NPENAS, BayesianOptimization, MultiObjective
from ogive.strategies._bananas import drawn
from ogive.strategies._known import Known
from ogive.strategies._predictor import Predictor
from ogive.strategies._untried import Batch, Tried
from ogive.testing import ended, play, running
from ogive.trial import Proposal

CUBE = SearchSpace(
    [Decision(f"d{i}", "categorical", options=("a", "b", "c", "d")) for i in range(4)]
)

BOTH = pytest.mark.parametrize("kind", [BANANAS, NPENAS])


@pytest.fixture(scope="module")
def table(data):
    return read(data / "nb201.npz")


def matches(architecture, fidelity=1.0):
    """How many decisions are right, and the right ones are worth more beside each other."""
    right = [architecture[f"d{i}"] == "abcd"[i] for i in range(4)]
    return float(sum(right) + sum(a and b for a, b in pairwise(right)))


def test_a_draw_has_the_mean_and_the_deviation_of_the_members():
    predictions = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]])
    rng = Random(0)
    values = np.array([drawn(predictions, rng) for _ in range(2000)])
    assert values.mean(0) == pytest.approx([1.0, 5.0], abs=0.1)
    assert values.std(0) == pytest.approx([1.0, 0.0], abs=0.05)  # over M - 1
    assert np.array_equal(drawn(predictions, Random(1)), drawn(predictions, Random(1)))


def test_a_predictor_ranks_networks_that_it_has_not_seen():
    known, rng = Known(CUBE), Random(0)
    for number in range(60):
        architecture = CUBE.sample(rng)
        known.tell(ended(running(number, Proposal(architecture)), matches(architecture)))
    every = list(CUBE.enumerate())
    expected = Predictor(CUBE, known, members=5)(every).mean(0)
    values = np.array([matches(a) for a in every])
    assert np.corrcoef(expected, values)[0, 1] > 0.8


def test_paths_are_inputs_and_so_is_what_no_graph_shows():
    """Two numberings of one graph are equal in their paths, and a decision beside it counts."""
    space = SearchSpace(
        [
            Decision("first", "categorical", options=("conv", "pool")),
            Decision("second", "categorical", options=("conv", "pool")),
            Decision("rate", "real", low=0.0, high=1.0),
        ],
        graph=lambda a: Graph.of(
            ["input", str(a["first"]), str(a["second"]), "output"],
            [(0, 1), (0, 2), (1, 3), (2, 3)],
        ),
    )
    predictor = Predictor(space, Known(space), members=2)
    one, other = ({"first": a, "second": b} for a, b in (("conv", "pool"), ("pool", "conv")))
    rows = predictor._inputs(
        [Architecture({**a, "rate": r}) for a in (one, other) for r in (0, 1)]
    )
    paths = len(predictor._inputs._paths.paths)
    assert set(predictor._inputs._paths.paths) == {("conv",), ("pool",)}
    assert np.all(rows[:, -paths:] == 1)
    assert len(np.unique(rows, axis=0)) == 4


def test_there_is_nothing_to_predict_before_two_trials_differ():
    for value in (1.0, None):
        known = Known(CUBE)
        for number, architecture in enumerate(list(CUBE.enumerate())[:5]):
            known.tell(ended(running(number, Proposal(architecture)), value))
        assert Predictor(CUBE, known, members=2)([CUBE.sample(Random(0))]) is None


def test_an_ensemble_is_trained_no_more_often_than_trials_come_in():
    strategy = BANANAS(CUBE)
    trials = play(strategy, matches, 39)
    asked = strategy._predictor._ensemble()
    assert strategy._predictor._ensemble() is asked
    fresh = BANANAS(CUBE)
    for trial in trials:
        fresh.tell(trial)
    assert np.array_equal(fresh._predictor._ensemble().parameters, asked.parameters)
    # What the 39th trial was does not count before the 40th has ended: then two are new.
    last = trials[-1]
    strategy.tell(replace(last, values=(last.value + 1,)))
    assert strategy._predictor._ensemble() is asked


def test_candidates_are_the_best_in_up_to_so_many_changes():
    batch = Batch(Tried(CUBE), 1)
    parent = CUBE.sample(Random(0))
    for most in (1, 2):
        mutants = batch.mutants([parent], 200, Random(0), most=most)
        changes = {sum(parent[path] != a[path] for path in parent) for a in mutants}
        assert changes <= set(range(most + 1))
        assert max(changes) == most
        assert len(set(mutants)) == len(mutants)
    batch.offer(mutants[0])
    assert mutants[0] not in batch.mutants([parent], 200, Random(0), most=2)
    assert batch.mutants([], 200, Random(0), most=2) == []


@BOTH
def test_it_needs_far_fewer_trials_than_there_are_networks(kind):
    found = []
    for seed in range(3):
        trials = play(kind(CUBE), matches, 35, seed=seed)
        values = [trial.value for trial in trials]
        found.append(values.index(7) if 7 in values else 35)
    assert np.median(found) < 35  # of 256


@pytest.mark.parametrize("kind", [BANANAS, NPENAS, BayesianOptimization, MultiObjective])
def test_what_is_like_the_rejected_is_avoided(kind):
    strategy = kind(CUBE)
    rejected = 0
    for number in range(36):
        proposal = strategy.ask(1, Random(number))[0]
        trial = running(number, proposal)
        strategy.tell(trial)
        if proposal.architecture["d0"] in "ab":
            rejected += number >= 18
            strategy.tell(replace(trial, state="rejected", costs={"params": 1e9}))
        else:
            strategy.tell(ended(trial, matches(proposal.architecture)))
    assert rejected <= 4  # of 18; half of the space, and the better half, is out of bounds


@BOTH
def test_batches_are_diverse_and_know_what_runs(kind):
    strategy = kind(CUBE)
    play(strategy, matches, 20)
    batch = [p.architecture for p in strategy.ask(8, Random(0))]
    assert len(set(batch)) == 8
    for number, architecture in enumerate(batch, 100):
        strategy.tell(running(number, Proposal(architecture)))
    assert not set(batch) & {p.architecture for p in strategy.ask(8, Random(0))}


@BOTH
def test_short_trainings_are_taken_for_what_they_promise(kind):
    """The better half was trained for short, and is worth less so far."""
    strategy, rng = kind(CUBE), Random(0)
    for number in range(60):
        architecture = CUBE.sample(rng)
        short = architecture["d0"] == "a"
        proposal = Proposal(architecture, 0.1 if short else 1.0)
        value = matches(architecture) - 10 * short
        strategy.tell(ended(running(number, proposal), value))
    best = strategy._search.known.best(5)
    assert any(architecture["d0"] == "a" for architecture in best)


@BOTH
def test_on_nas_bench_201_it_beats_chance_by_far(kind, table):
    signal = table.columns[table.defaults["signal"]]
    best = [
        max(
            t.value for t in play(kind(table.space), lambda a, _: signal[table.row(a)], 30, seed=s)
        )
        for s in range(2)
    ]
    assert signal.max() - np.mean(best) < 0.6  # Random search after 30: 1.0.


@BOTH
def test_side_information_is_an_input(kind):
    def hint(architecture):
        return [matches(architecture)]

    trials = play(kind(CUBE, features=hint), matches, 20, seed=1)
    assert max(trial.value for trial in trials) == 7
