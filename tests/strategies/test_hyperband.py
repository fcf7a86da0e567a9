"""Hyperband: its brackets against the paper's, and what workers do while a rung waits."""

from dataclasses import replace
from itertools import groupby
from random import Random

import numpy as np
import pytest

from ogive.space import Decision, SearchSpace
from ogive.strategies import Hyperband, RandomSearch
from ogive.testing import ended, play, running
from ogive.trial import Proposal

FAR = SearchSpace([Decision("x", "real", low=0.0, high=1.0)])


def over_random(space, **settings):
    return Hyperband(space, proposer=RandomSearch(space), **settings)


def lucky(architecture, _=1.0):
    return Random(architecture.key).random()


def begun(strategy, n, first=0):
    """Asks for ``n`` trials and tells that they run."""
    trials = [running(first + i, p) for i, p in enumerate(strategy.ask(n, Random(first)))]
    for trial in trials:
        strategy.tell(trial)
    return trials


def end(strategy, trials):
    for trial in trials:
        strategy.tell(ended(trial, lucky(trial.architecture)))


def fidelities(trials):
    return [round(9 * trial.fidelity) for trial in trials]


def test_brackets_are_those_of_table_1():
    """R = 81 and eta = 3; one worker plays one bracket after the other."""
    trials = play(over_random(FAR, min_fidelity=1 / 81), lucky, 187)
    played = [
        (resource, len(list(group)))
        for resource, group in groupby(round(81 * trial.fidelity) for trial in trials)
    ]
    assert played == [
        *[(1, 81), (3, 27), (9, 9), (27, 3), (81, 1)],
        *[(3, 27), (9, 9), (27, 3), (81, 1)],
        *[(9, 9), (27, 3), (81, 1)],
        *[(27, 6), (81, 2 + 5)],  # The brackets of s = 1 and s = 0 both end with R.
    ]


def test_rounds_follow_each_other():
    trials = play(over_random(FAR), lucky, 4 * 20)
    newcomers = [trial for trial in trials if trial.proposal.parent is None]
    round_ = [1] * 9 + [3] * 3 + [9] * 3
    assert fidelities(newcomers) == (5 * round_)[: len(newcomers)]


@pytest.mark.parametrize("workers", [1, 4, 20])
def test_the_best_third_of_each_full_rung_goes_on(workers):
    trials = play(over_random(FAR), lucky, 10 * 20, workers=workers)
    went_on = {trial.proposal.parent for trial in trials}
    newcomers = sorted(
        (trial for trial in trials if trial.proposal.parent is None), key=lambda t: t.number
    )
    for start in range(0, 7 * 15, 15):  # Seven rounds of 9, 3 and 3, each in one piece.
        lowest, middle = newcomers[start : start + 9], newcomers[start + 9 : start + 12]
        best = sorted(lowest, key=lambda t: -t.value)[:3]
        assert {t.number for t in lowest} & went_on == {t.number for t in best}
        on = [t for t in trials if t.proposal.parent in {b.number for b in best}]
        assert [t.architecture for t in sorted(on, key=lambda t: t.number)] == [
            t.architecture for t in best
        ]
        assert [t.number for t in on if t.number in went_on] == [
            max(on, key=lambda t: t.value).number
        ]
        assert {t.number for t in middle} & went_on == {max(middle, key=lambda t: t.value).number}


def test_while_a_rung_waits_workers_begin_the_next_brackets():
    strategy = over_random(FAR)
    trials = begun(strategy, 20)
    assert fidelities(trials) == [1] * 9 + [3] * 3 + [9] * 3 + [1] * 5
    end(strategy, trials[1:])  # All but one: its rung waits, the others' halving goes on.
    [promoted, *rest] = begun(strategy, 6, first=20)
    assert promoted.proposal.parent in (9, 10, 11)
    assert fidelities(rest) == [1] * 4 + [3]
    end(strategy, trials[:1])
    best = sorted(trials[:9], key=lambda t: -lucky(t.architecture))[:3]
    assert [p.parent for p in strategy.ask(3, Random(0))] == [t.number for t in best]


def test_a_rejected_trial_leaves_its_place_to_another():
    strategy = over_random(FAR)
    trials = begun(strategy, 13)
    for trial in trials[:2]:
        strategy.tell(replace(trial, state="rejected", error="params"))
    another = begun(strategy, 4, first=13)
    assert fidelities(another) == [1, 1, 9, 9]
    strategy.tell(replace(another[2], state="rejected", error="params"))
    assert fidelities(begun(strategy, 1, first=17)) == [9]
    end(strategy, trials[2:9])
    assert not [p for p in strategy.ask(1, Random(0)) if p.parent is not None]
    end(strategy, another[:2])
    lowest = [*trials[2:9], *another[:2]]
    best = sorted(lowest, key=lambda t: -lucky(t.architecture))[:3]
    assert [p.parent for p in strategy.ask(3, Random(0))] == [t.number for t in best]


def test_a_place_is_left_in_an_earlier_round_too():
    strategy = over_random(FAR)
    trials = begun(strategy, 20)
    strategy.tell(replace(trials[10], state="rejected", error="params"))
    assert fidelities(begun(strategy, 5, first=20)) == [3] + [1] * 4


def test_a_bracket_that_is_done_is_not_looked_at_again():
    strategy = over_random(FAR)
    play(strategy, lucky, 200, workers=3)
    assert len(strategy._halving) < 4


def test_a_failed_trial_is_never_promoted_and_its_bracket_ends():
    strategy = over_random(FAR)
    trials = begun(strategy, 9)
    for trial in trials[:8]:
        strategy.tell(ended(trial, None))
    strategy.tell(ended(trials[8], float("nan")))
    assert [p.parent for p in strategy.ask(20, Random(0))] == [None] * 20
    held = begun(strategy, 3, first=9)
    for trial in held[:2]:
        strategy.tell(ended(trial, None))
    strategy.tell(ended(held[2], 0.1))
    assert strategy.ask(1, Random(0))[0].parent == held[2].number


def test_what_is_begun_beyond_a_brackets_room_finds_a_place_too():
    """Both ask before either is told: ten begin where there was room for nine."""
    strategy = over_random(FAR)
    first = begun(strategy, 8)
    drawn = [FAR.sample(Random(seed)) for seed in (98, 99)]
    both = [running(8 + i, Proposal(a, first[0].fidelity)) for i, a in enumerate(drawn)]
    for trial in both:
        strategy.tell(trial)
    later = begun(strategy, 16, first=10)
    assert fidelities(later) == [3] * 3 + [9] * 3 + [1] * 8 + [3] * 2
    end(strategy, first + both + later)
    promoted = [p.parent for p in strategy.ask(7, Random(0)) if p.parent is not None]
    best, next_best = (
        sorted(lowest, key=lambda t: -lucky(t.architecture))[:3]
        for lowest in (first + both[:1], both[1:] + later[6:14])
    )
    assert {t.number for t in best + next_best} < set(promoted)


def test_trials_of_others_disturb_no_bracket():
    strategy = over_random(FAR)
    for number in range(1000):
        end(strategy, [running(number, Proposal(FAR.sample(Random(number))))])
    assert fidelities(begun(strategy, 12, first=1000)) == [1] * 9 + [3] * 3


def test_a_small_space_ends_with_all_of_it_trained_in_full():
    space = SearchSpace([Decision("x", "integer", low=0, high=4)])
    trials = play(Hyperband(space), lambda a, f: a["x"] + f, 100, workers=2)
    assert sorted(t.architecture["x"] for t in trials if t.fidelity == 1) == [0, 1, 2, 3, 4]
    assert len(trials) == 15


def test_it_finds_more_than_full_trainings_in_the_same_time(data):
    """NAS-Bench-101 at 4, 12, 36 and 108 epochs, in the time of twenty full trainings."""
    table = np.load(data / "nb101_20k.npz", allow_pickle=False)
    accuracy = {epochs: table[f"val_acc_{epochs}"].astype(float) for epochs in (4, 12, 36, 108)}
    space = SearchSpace([Decision("row", "integer", low=0, high=len(accuracy[4]) - 1)])

    def value(architecture, fidelity):
        return accuracy[round(108 * fidelity)][architecture["row"]]

    def regret(strategy, seed):
        trials = play(strategy, value, 150, seed=seed)
        spent = np.cumsum([trial.fidelity for trial in trials])
        best = max(trials[: np.sum(spent <= 20)], key=lambda t: (t.fidelity, t.value))
        return accuracy[108].max() - value(best.architecture, 1.0)

    halved = np.mean([regret(over_random(space, min_fidelity=1 / 27), s) for s in range(20)])
    full = np.mean([regret(RandomSearch(space), s) for s in range(20)])
    assert halved < 0.9 * full
