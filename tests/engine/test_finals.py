"""Which trainings a search ends with, and which network it hands over."""

from dataclasses import replace

import pytest

from ogive.engine import Budget
from ogive.engine._budget import plan
from ogive.engine._finals import Finals
from ogive.engine._objectives import Objectives
from ogive.engine._state import Me, SearchState, ended, started
from ogive.estimators import Recipe
from ogive.space import Architecture
from ogive.trial import Proposal

HAND_MADE, FOUND, OTHER = (Architecture({"width": width}) for width in (32, 8, 16))

SHORT = plan(
    Budget(seconds=60),
    epoch_seconds=1.0,
    recipe=Recipe(epochs=30),
    reference=True,
    workers=2,
    threads=1,
    precision="fp32",
)

ACCURACY = Objectives(("accuracy",))


class Played:
    """A search that is over, and what its finals say."""

    def __init__(self, reference, error=0.0, scaled=False, objectives=ACCURACY):
        self.finals, self.me = Finals(replace(SHORT, scaled=scaled), reference), Me()
        self.error = error
        self.state = SearchState(objectives, closed="time")

    def train(self, architecture, role, accuracy=None, parent=None, loss=1.0):
        number, proposal = len(self.state.trials), Proposal(architecture, parent=parent)
        self.state.apply(started(self.me, number, proposal, role))
        if accuracy is not None:
            self.end(number, accuracy, loss)
        return number

    def end(self, number, accuracy, loss=1.0):
        metrics = {"accuracy": accuracy, "loss": loss, "accuracy_se": self.error}
        told = {"metrics": metrics}
        self.state.apply(ended(self.me, number, "complete", **told))

    def fail(self, number):
        self.state.apply(ended(self.me, number, "failed", error="It was killed."))

    @property
    def next(self):
        return [(p.architecture, role, p.parent) for p, role in self.finals.next(self.state)]

    @property
    def winner(self):
        return self.finals.winner(self.state)


def test_a_third_may_have_played_after_a_search_was_taken_up_again():
    played = Played(HAND_MADE)
    for architecture, short, long in (
        (HAND_MADE, 0.97, 0.98),
        (FOUND, 0.98, 0.99),
        (OTHER, 0.985, 0.97),
    ):
        first = played.train(
            architecture, "reference" if architecture == HAND_MADE else "finalist", short
        )
        played.train(architecture, "playoff", long, parent=first)
    assert played.winner.architecture == FOUND


def test_what_beats_the_reference_in_a_short_training_meets_it_in_a_longer_one():
    played = Played(HAND_MADE)
    reference = played.train(HAND_MADE, "reference", 0.97)
    found = played.train(FOUND, "finalist", 0.98)
    assert played.next == [(FOUND, "playoff", found), (HAND_MADE, "playoff", reference)]
    longer = played.train(FOUND, "playoff", parent=found)
    best = played.train(HAND_MADE, "playoff", parent=reference)
    played.end(best, 0.99)
    assert played.next == []  # The other one is still at it.
    played.end(longer, 0.985)
    assert played.winner.number == best
    assert played.next == [(HAND_MADE, "final", best)]


def test_the_winner_of_a_playoff_goes_on_and_so_does_the_reference():
    played = Played(HAND_MADE)
    reference = played.train(HAND_MADE, "reference", 0.97)
    found = played.train(FOUND, "finalist", 0.98)
    longer = played.train(FOUND, "playoff", 0.99, parent=found)
    beaten = played.train(HAND_MADE, "playoff", 0.985, parent=reference)
    assert played.winner.number == longer
    assert played.finals.reference(played.state).number == beaten
    assert played.next == [(FOUND, "final", longer), (HAND_MADE, "final", beaten)]


@pytest.mark.parametrize(
    ("accuracy", "scaled", "winner"),
    [
        (0.993, False, FOUND),
        (0.991, False, HAND_MADE),
        (0.991, True, FOUND),
        (0.988, True, HAND_MADE),
    ],
)
def test_in_doubt_the_reference_wins_a_playoff(accuracy, scaled, winner):
    played = Played(HAND_MADE, error=0.0034, scaled=scaled)
    played.train(HAND_MADE, "reference", 0.97)
    played.train(FOUND, "finalist", 0.98)
    played.train(FOUND, "playoff", accuracy, parent=1)
    played.train(HAND_MADE, "playoff", 0.985, parent=0)
    # That of the difference is .0034 * sqrt(2) = .0048.
    assert played.winner.architecture == winner


def test_how_sure_one_metric_is_says_nothing_of_another():
    played = Played(HAND_MADE, error=0.1, objectives=Objectives((), ("loss",)))
    played.train(HAND_MADE, "reference", 0.97, loss=0.3)
    played.train(FOUND, "finalist", 0.97, loss=0.2)
    played.train(FOUND, "playoff", 0.97, parent=1, loss=0.15)
    played.train(HAND_MADE, "playoff", 0.97, parent=0, loss=0.16)
    assert played.winner.architecture == FOUND


def test_a_reference_that_is_the_best_needs_no_playoff():
    played = Played(HAND_MADE)
    reference = played.train(HAND_MADE, "reference", 0.98)
    played.train(FOUND, "finalist", 0.97)
    assert played.next == [(HAND_MADE, "final", reference)]


def test_without_a_reference_the_best_two_meet():
    played = Played(None)
    played.train(HAND_MADE, "finalist", 0.96)
    third, second = played.train(OTHER, "search", 0.97), played.train(OTHER, "finalist", 0.975)
    first = played.train(FOUND, "finalist", 0.98)
    assert third < second
    assert played.next == [(FOUND, "playoff", first), (OTHER, "playoff", second)]
    played.train(FOUND, "playoff", 0.98, parent=first)
    longer = played.train(OTHER, "playoff", 0.99, parent=second)
    assert played.next == [(OTHER, "final", longer)]


def test_one_network_alone_has_no_one_to_meet():
    played = Played(None)
    only = played.train(FOUND, "finalist", 0.98)
    assert played.next == [(FOUND, "final", only)]


def test_a_playoff_that_fails_leaves_the_order_as_it_was():
    played = Played(HAND_MADE)
    reference = played.train(HAND_MADE, "reference", 0.97)
    found = played.train(FOUND, "finalist", 0.98)
    played.fail(played.train(FOUND, "playoff", parent=found))
    longer = played.train(HAND_MADE, "playoff", 0.99, parent=reference)
    assert played.winner.number == found
    assert played.next == [(FOUND, "final", found), (HAND_MADE, "final", longer)]


@pytest.mark.parametrize(("loss", "winner"), [(0.4, FOUND), (0.6, HAND_MADE)])
def test_of_equal_scores_the_lower_loss_counts(loss, winner):
    played = Played(HAND_MADE)
    played.train(HAND_MADE, "reference", 0.97, loss=0.5)
    played.train(FOUND, "finalist", 0.97, loss=loss)
    assert played.winner.architecture == winner
