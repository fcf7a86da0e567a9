from dataclasses import replace
from random import Random

import pytest

from ogive.strategies import Auto, by_name
from ogive.strategies._auto import MODELLED
from ogive.testing import ended, play, running, synthetic
from ogive.trial import Proposal

PROBLEM = synthetic(3)


def _ends(architecture):
    return (float(len(architecture)),)


@pytest.mark.parametrize(
    ("settings", "like"),
    [
        ({}, ("bo", {})),
        ({"objectives": 2}, ("mobo", {})),
        ({"fidelities": True}, ("asha", {"proposer": "bo"})),
        ({"objectives": 2, "fidelities": True}, ("mobo", {})),
        ({"many": True}, ("evolution", {})),
        ({"many": True, "objectives": 2}, ("nsga2", {})),
        ({"many": True, "features": _ends}, ("bo", {"features": _ends})),
    ],
)
def test_it_proposes_what_the_strategy_of_its_rule_does(settings, like):
    name, their = like
    chosen = by_name(name, PROBLEM.space, **their)
    auto = Auto(PROBLEM.space, **settings)
    for number in range(12):
        proposals = auto.ask(1, Random(number))
        assert proposals == chosen.ask(1, Random(number))
        trial = running(number, proposals[0])
        done = ended(trial, PROBLEM.value(trial.architecture, trial.fidelity))
        if settings.get("objectives", 1) > 1:
            done = replace(done, values=(done.value, -float(number % 3)))
        for strategy in (auto, chosen):
            strategy.tell(trial)
            strategy.tell(done)


def test_with_many_trials_it_thinks_for_no_longer():
    auto, evolution = Auto(PROBLEM.space), by_name("evolution", PROBLEM.space)
    for trial in play(by_name("random", PROBLEM.space), PROBLEM.value, MODELLED):
        for strategy in (auto, evolution):
            strategy.tell(running(trial.number, Proposal(trial.architecture)))
            strategy.tell(trial)
    assert auto.ask(3, Random(0)) == evolution.ask(3, Random(0))


def test_what_a_limit_ruled_out_is_no_trial():
    auto, bo = Auto(PROBLEM.space), by_name("bo", PROBLEM.space)
    drawn = play(by_name("random", PROBLEM.space), PROBLEM.value, MODELLED)
    for trial in drawn:
        state = "rejected" if trial.number >= 20 else "complete"
        for strategy in (auto, bo):
            strategy.tell(running(trial.number, Proposal(trial.architecture)))
            strategy.tell(replace(trial, state=state))
    assert auto.ask(1, Random(0)) == bo.ask(1, Random(0))


def test_a_search_for_more_trials_is_the_same_search():
    few, many = (Auto(PROBLEM.space, many=many) for many in (False, True))
    assert few.settings() == many.settings()
