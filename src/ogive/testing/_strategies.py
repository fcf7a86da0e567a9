"""What every strategy must keep to."""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from ogive.space import Architecture, Decision, SearchSpace
from ogive.strategies import RandomSearch, Strategy
from ogive.testing._synthetic import synthetic
from ogive.trial import Proposal, Trial

__all__ = ["StrategyContract", "ended", "play", "running"]

_SMALL = SearchSpace(
    [Decision("a", "ordinal", options=(0, 1, 2)), Decision("b", "ordinal", options=(0, 1))]
)
_ONE = SearchSpace([Decision("only", "categorical", options=("this",))])


def running(number: int, proposal: Proposal) -> Trial:
    """A trial as a strategy is told of it when it starts."""
    return Trial(number, proposal)


def ended(trial: Trial, value: float | tuple[float, ...] | None) -> Trial:
    """The trial as it is told of when it ends; it failed where there is no value."""
    if value is None:
        return replace(trial, state="failed", error="it failed")
    values = value if isinstance(value, tuple) else (value,)
    return replace(trial, state="complete", values=values, metrics={"value": values[0]})


def play(
    strategy: Strategy,
    value: Callable[[Architecture, float], float | tuple[float, ...] | None],
    trials: int,
    *,
    seed: int = 0,
    workers: int = 1,
) -> list[Trial]:
    """Runs a strategy against a function, as the loop of a search would.

    Args:
        strategy: Is told of everything.
        value: What a proposal is worth at its fidelity, one number or one for each objective, or
            ``None`` where it fails.
        trials: How many to run.
        seed: Of the draws.
        workers: Trials that run at the same time; the oldest ends first.

    Returns:
        The trials that ended, in that order; fewer, where the strategy had no more to propose.
    """
    done: list[Trial] = []
    waiting: list[Trial] = []
    number = 0
    while len(done) < trials:
        room = min(workers, trials - len(done)) - len(waiting)
        if room > 0:
            for proposal in strategy.ask(room, Random(f"{seed}:{number}")):
                waiting.append(running(number, proposal))
                strategy.tell(waiting[-1])
                number += 1
        if not waiting:
            break
        trial = waiting.pop(0)
        done.append(ended(trial, value(trial.architecture, trial.fidelity)))
        strategy.tell(done[-1])
    return done


_Value = Callable[[Architecture, float], float | None]
_Values = Callable[[Architecture, float], tuple[float, ...] | None]

_hangs_on_values = pytest.mark.usefixtures("_objectives")


class StrategyContract:
    """Override :meth:`make`.

    A strategy that says it weighs several objectives has to pass what hangs on values twice, told
    of one and of two.

    Attributes:
        drawn: Whether what is proposed hangs on the generator.
        trials: How many trials the longer tests run; less for a strategy that thinks for long.
        objectives: How many it is told of, where it has to be made for as many.
    """

    drawn = True
    trials = 200
    objectives = 1

    def make(self, space: SearchSpace) -> Strategy:
        """Returns a fresh strategy."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "_objectives" in metafunc.fixturenames:
            several = type(self.make(_ONE)).multiobjective
            metafunc.parametrize("_objectives", (1, 2) if several else (1,), indirect=True)

    @pytest.fixture
    def _objectives(self, request: pytest.FixtureRequest) -> None:
        self.objectives = request.param

    def _values(self, value: _Value) -> _Values:
        """As many objectives: the first is given, and the others have nothing to do with it."""

        def values(architecture: Architecture, fidelity: float) -> tuple[float, ...] | None:
            first = value(architecture, fidelity)
            if first is None:
                return None
            others = [Random(f"{n} {architecture.key}") for n in range(1, self.objectives)]
            return first, *(other.random() for other in others)

        return values

    def test_no_more_is_proposed_than_was_asked_for(self) -> None:
        problem = synthetic(3)
        for told in (0, self.trials // 2):
            strategy = self.make(problem.space)
            play(strategy, problem.value, told)
            for n in (0, 1, 5):
                assert len(strategy.ask(n, Random(0))) <= n

    @_hangs_on_values
    def test_asking_changes_nothing(self) -> None:
        problem = synthetic(3)
        told = play(self.make(problem.space), self._values(problem.value), self.trials // 2)
        asked, unasked = self.make(problem.space), self.make(problem.space)
        for trial in told:
            for twin in (asked, unasked):
                twin.tell(running(trial.number, trial.proposal))
                twin.tell(trial)
            if trial.number % 3 == 0:  # a model thinks for long
                asked.ask(trial.number % 4, Random(trial.number))
        first = asked.ask(3, Random(1))
        asked.ask(4, Random(2))
        assert asked.ask(3, Random(1)) == first == unasked.ask(3, Random(1))

    @_hangs_on_values
    def test_the_same_trials_and_draws_give_the_same_proposals(self) -> None:
        problem = synthetic(3)
        values = self._values(problem.value)
        told = play(self.make(problem.space), values, self.trials // 2, workers=2)
        strategies = [self.make(problem.space) for _ in range(2)]
        for strategy in strategies:
            for trial in told:
                strategy.tell(running(trial.number, trial.proposal))
                strategy.tell(trial)
        first, second = (strategy.ask(5, Random(7)) for strategy in strategies)
        assert first == second

    def test_draws_come_from_the_generator_only(self) -> None:
        problem = synthetic(3)
        before = random.getstate(), repr(np.random.get_state())  # noqa: NPY002  # read only
        play(self.make(problem.space), problem.value, self.trials // 2)
        assert (random.getstate(), repr(np.random.get_state())) == before  # noqa: NPY002
        first, second = (self.make(problem.space).ask(3, Random(5)) for _ in range(2))
        assert first == second
        assert self.drawn == (self.make(problem.space).ask(3, Random(6)) != first)

    @_hangs_on_values
    def test_a_told_trial_is_never_changed(self) -> None:
        problem = synthetic(3)
        told = play(RandomSearch(problem.space), self._values(problem.value), 30)
        before = copy.deepcopy(told)
        strategy = self.make(problem.space)
        for trial in told:
            strategy.tell(trial)
            if trial.number % 6 == 5:  # the last, too
                strategy.ask(2, Random(0))
        assert told == before

    def test_running_trials_are_known(self) -> None:
        strategy = self.make(_SMALL)
        seen = []
        for number in range(6):
            proposals = strategy.ask(1, Random(number))
            assert len(proposals) == 1
            seen.append(proposals[0].architecture)
            strategy.tell(running(number, proposals[0]))
        assert len(set(seen)) == 6
        assert strategy.ask(1, Random(9)) == []  # Tell me more first.

    def test_one_batch_has_no_architecture_twice(self) -> None:
        proposals = self.make(_SMALL).ask(6, Random(0))
        assert len({p.architecture for p in proposals}) == len(proposals)

    @_hangs_on_values
    def test_a_space_of_one_architecture(self) -> None:
        trials = play(self.make(_ONE), self._values(lambda *_: 1.0), 10)
        assert trials
        assert {trial.architecture for trial in trials} == {Architecture({"only": "this"})}
        assert len(trials) < 10  # It comes to an end.

    @_hangs_on_values
    def test_a_finished_space_ends_with_nothing_left(self) -> None:
        values = self._values(lambda a, _: float(a["a"]))  # type: ignore[arg-type]
        trials = play(self.make(_SMALL), values, 100, workers=2)
        assert len({trial.architecture for trial in trials}) == 6
        trained = [(trial.architecture, trial.fidelity) for trial in trials]
        assert len(set(trained)) == len(trained)

    @_hangs_on_values
    def test_failed_trials_are_not_tried_again(self) -> None:
        def value(architecture: Architecture, fidelity: float) -> float | None:
            return None if architecture["a"] == 1 else fidelity

        trials = play(self.make(_SMALL), self._values(value), 100)
        failed = [trial.architecture for trial in trials if trial.state == "failed"]
        assert len(failed) == len(set(failed)) == 2

    def test_a_trial_goes_on_from_a_complete_one(self) -> None:
        """A longer training once from a shorter one; an heir from one that is still needed."""

        def value(architecture: Architecture, fidelity: float) -> float | None:
            broken = architecture["blocks"] == 1 or (
                architecture["blocks"] == 2 and fidelity > 0.5
            )
            return None if broken else problem.value(architecture, fidelity)

        problem = synthetic(3)
        strategy = self.make(problem.space)
        trials = play(strategy, value, self.trials, workers=3)
        by_number = {trial.number: trial for trial in trials}
        gone_on: set[int] = set()
        for trial in trials:
            if trial.proposal.parent is not None:
                parent = by_number[trial.proposal.parent]
                assert parent.state == "complete"
                if parent.architecture == trial.architecture:  # else it inherits weights
                    assert parent.fidelity < trial.fidelity
                    assert parent.number not in gone_on
                    gone_on.add(parent.number)
        for proposal in strategy.ask(5, Random(1)):
            number = proposal.parent
            if number is not None and by_number[number].architecture != proposal.architecture:
                assert number in strategy.needs()

    @_hangs_on_values
    def test_nothing_is_trained_the_same_way_twice(self) -> None:
        problem = synthetic(3)
        values = self._values(problem.value)
        trials = play(self.make(problem.space), values, self.trials // 2, workers=3)
        trained = [(trial.architecture, trial.fidelity) for trial in trials]
        assert len(set(trained)) == len(trained)

    def test_a_search_in_which_everything_fails_goes_on(self) -> None:
        trials = play(self.make(synthetic(3).space), lambda *_: None, 30, workers=2)
        assert len(trials) == 30

    @_hangs_on_values
    def test_rejected_trials_are_passed_over(self) -> None:
        problem = synthetic(3)
        values = self._values(problem.value)
        strategy = self.make(problem.space)
        rejected: set[Architecture] = set()
        complete = 0
        for number in range(self.trials):
            proposals = strategy.ask(1, Random(number))
            assert proposals
            trial = running(number, proposals[0])
            strategy.tell(trial)
            assert trial.architecture not in rejected
            if trial.architecture["momentum"] > 0.2:  # type: ignore[operator]
                rejected.add(trial.architecture)
                strategy.tell(replace(trial, state="rejected", costs={"params": 1e9}))
            else:
                strategy.tell(ended(trial, values(trial.architecture, trial.fidelity)))
                complete += 1
        assert complete >= self.trials / 10

    def test_trials_that_it_did_not_propose_are_taken_in(self) -> None:
        strategy = self.make(_SMALL)
        for number, architecture in enumerate(_SMALL.enumerate()):
            trial = running(number, Proposal(architecture))
            strategy.tell(trial)
            strategy.tell(ended(trial, 1.0))
        assert strategy.ask(1, Random(0)) == []

    def test_its_settings_are_json_and_name_it(self) -> None:
        settings = self.make(_SMALL).settings()
        assert json.loads(json.dumps(settings)) == settings
        assert settings["name"] == type(self.make(_SMALL)).__name__

    def test_it_can_be_pickled(self) -> None:
        problem = synthetic(3)
        strategy = self.make(problem.space)
        play(strategy, problem.value, 10)
        again = pickle.loads(pickle.dumps(strategy))  # noqa: S301  # it is our own
        assert again.ask(2, Random(3)) == strategy.ask(2, Random(3))

    @pytest.mark.parametrize("workers", [1, 4])
    def test_it_finds_what_is_good_in_the_space(self, workers: int) -> None:
        problem = synthetic(3)
        trials = play(self.make(problem.space), problem.value, self.trials, workers=workers)
        assert max(trial.value for trial in trials) > 0.7
        for trial in trials:
            assert problem.space.validate(trial.architecture) == trial.architecture
            assert 0 < trial.fidelity <= 1
