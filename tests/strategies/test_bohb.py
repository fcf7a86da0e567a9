from random import Random

from ogive.strategies import BOHB, TPE, Hyperband
from ogive.testing import ended, running, synthetic


def test_it_is_hyperband_of_what_tpe_proposes():
    problem = synthetic(3)
    bohb = BOHB(problem.space, eta=2, min_fidelity=0.25, random_share=0.2)
    model = TPE(problem.space, random_share=0.2)
    brackets = Hyperband(problem.space, proposer=model, eta=2, min_fidelity=0.25)
    for number in range(80):
        proposals = bohb.ask(1, Random(number))
        assert proposals == brackets.ask(1, Random(number))
        trial = running(number, proposals[0])
        done = ended(trial, problem.value(trial.architecture, trial.fidelity))
        for strategy in (bohb, brackets):
            strategy.tell(trial)
            strategy.tell(done)
