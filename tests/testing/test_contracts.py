"""The suites find what they are for: each of these parts breaks one promise."""

import random
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive.errors import ArchitectureError
from ogive.journal import MemoryJournal
from ogive.strategies import ASHA, RandomSearch, RegularizedEvolution
from ogive.testing import JournalContract, StrategyContract, architectures, spaces, synthetic
from ogive.trial import Proposal

pytest_plugins = "pytester"


class AsksOnce(RandomSearch):
    """Remembers what it was asked."""

    def ask(self, n, rng):
        proposals = super().ask(n, rng)
        for proposal in proposals:
            self._tried.add(proposal.architecture)
        return proposals


class DrawsElsewhere(RandomSearch):
    def ask(self, n, rng):
        return super().ask(n, Random(random.random()))


class ForgetsRunning(RegularizedEvolution):
    def tell(self, trial):
        if trial.ended:
            super().tell(trial)


class TriesTheRejectedAgain(RandomSearch):
    def ask(self, n, rng):
        return super().ask(n, Random(0))

    def tell(self, trial):
        super().tell(trial)
        if trial.state == "rejected":
            self._tried._forms.discard(trial.architecture)


class ChangesTrials(RandomSearch):
    def tell(self, trial):
        super().tell(trial)
        if trial.ended:
            trial.metrics["value"] = 0.0


class ProposesMore(RandomSearch):
    def ask(self, n, rng):
        return super().ask(n + 1, rng)


class Repeats(RandomSearch):
    def ask(self, n, rng):
        return [Proposal(self.space.sample(rng)) for _ in range(n)]


class PromotesTwice(ASHA):
    def tell(self, trial):
        self.proposer.tell(trial)
        self._ladder.tell(replace(trial, proposal=replace(trial.proposal, parent=None)))


class LetsParentsGo(RegularizedEvolution):
    def __init__(self, space):
        super().__init__(space, population=20, sample=5, inherit=0.5)

    def needs(self):
        return set()


class HidesSettings(RandomSearch):
    def settings(self):
        return {"name": "RandomSearch", "space": self.space}


class GivesUp(RandomSearch):
    def ask(self, n, rng):
        return [] if self._tried._forms else super().ask(n, rng)


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (AsksOnce, "asking_changes_nothing"),
        (DrawsElsewhere, "the_same_trials_and_draws_give_the_same_proposals"),
        (DrawsElsewhere, "draws_come_from_the_generator_only"),
        (ForgetsRunning, "running_trials_are_known"),
        (ForgetsRunning, "a_finished_space_ends_with_nothing_left"),
        (TriesTheRejectedAgain, "rejected_trials_are_passed_over"),
        (ChangesTrials, "a_told_trial_is_never_changed"),
        (ProposesMore, "no_more_is_proposed_than_was_asked_for"),
        (Repeats, "one_batch_has_no_architecture_twice"),
        (Repeats, "a_finished_space_ends_with_nothing_left"),
        (PromotesTwice, "a_trial_goes_on_from_a_complete_one"),
        (LetsParentsGo, "a_trial_goes_on_from_a_complete_one"),
        (PromotesTwice, "nothing_is_trained_the_same_way_twice"),
        (HidesSettings, "its_settings_are_json_and_name_it"),
        (GivesUp, "a_search_in_which_everything_fails_goes_on"),
    ],
)
def test_a_strategy_that_breaks_a_promise_is_caught(kind, test):
    class Suite(StrategyContract):
        def make(self, space):
            return kind(space)

    with pytest.raises((AssertionError, TypeError)):
        getattr(Suite(), f"test_{test}")()


def test_a_strategy_of_several_objectives_is_told_of_two(pytester):
    pytester.makepyfile("""
        from ogive.strategies import RandomSearch
        from ogive.testing import StrategyContract

        class Repeats(RandomSearch):
            multiobjective = False

            def tell(self, trial):
                super().tell(trial)
                if len(trial.values) > 1:
                    self._tried._forms.clear()

        class RepeatsOfSeveral(Repeats):
            multiobjective = True

        class TestOfOne(StrategyContract):
            make = Repeats

        class TestOfSeveral(StrategyContract):
            make = RepeatsOfSeveral
    """)
    ran = pytester.runpytest_inprocess("-k", "finished_space")
    ran.assert_outcomes(passed=2, failed=1)
    ran.stdout.fnmatch_lines("FAILED *TestOfSeveral*finished_space*[[]2]*")


# Journals


class KeepsHalfABlock(MemoryJournal):
    @contextmanager
    def exclusive(self):
        with super().exclusive():
            try:
                yield
            except KeyError:
                self._lines.extend(self._block)
                raise


class ShowsABlockEarly(MemoryJournal):
    def append(self, event):
        number = super().append(event)
        self._lines.extend(self._block)
        self._block = []
        return number


class GivesWhatItHolds(MemoryJournal):
    def __init__(self):
        super().__init__()
        self.events = []

    def append(self, event):
        self.events.append(event)
        return super().append(event)

    def read(self, after=0):
        return iter(list(enumerate(self.events, start=1))[after:])


class LetsEveryoneIn(MemoryJournal):
    @contextmanager
    def exclusive(self):
        yield

    def append(self, event):
        with super().exclusive():
            return super().append(event)


class NeverCloses(MemoryJournal):
    def close(self):
        pass


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (KeepsHalfABlock, "a_block_that_raises_leaves_nothing"),
        (ShowsABlockEarly, "a_block_is_seen_by_others_when_it_ends"),
        (GivesWhatItHolds, "what_is_read_can_be_changed_without_harm"),
        (GivesWhatItHolds, "a_written_event_is_no_longer_its_writers"),
        (LetsEveryoneIn, "a_block_within_a_block_is_an_error"),
        (LetsEveryoneIn, "appending_waits_for_the_block_of_another_thread"),
        (NeverCloses, "a_closed_journal_is_not_used"),
    ],
)
def test_a_journal_that_breaks_a_promise_is_caught(kind, test):
    # pytest's Failed, for an error that did not come, is no Exception.
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(JournalContract(), f"test_{test}")(kind())


# Spaces with nothing behind them


@given(st.data())
def test_drawn_architectures_belong_to_their_drawn_space(data):
    space = data.draw(spaces(finite=False))
    architecture = data.draw(architectures(space))
    assert space.validate(architecture) == architecture


@given(spaces())
def test_finite_spaces_can_be_enumerated(space):
    assert len(set(space.enumerate())) == space.size


def test_the_synthetic_optimum_is_reached_and_nowhere_surpassed():
    problem = synthetic(4)
    best = {"lr": 0.01, "momentum": 0.9, "blocks": 4}
    for i in range(4):
        best |= {f"blocks.{i}.kind": "even", f"blocks.{i}.level": i}
    assert problem.value(problem.space.validate(best), 1.0) == pytest.approx(problem.optimum)
    for seed in range(200):
        architecture = problem.space.sample(Random(seed))
        assert problem.value(architecture, 1.0) < problem.optimum
        assert problem.value(architecture, 0.1) < problem.value(architecture, 1.0)


def test_the_synthetic_space_is_as_large_as_asked_for():
    space = synthetic(20).space
    levels = {"lr": 0.01, "momentum": 0.5}
    assert space.fix(levels).size > 10**20
    with pytest.raises(ArchitectureError, match="not active"):
        space.validate({**space.complete({"blocks": 1}), "blocks.1.kind": "skip"})
