"""What decisions were worth, on scores whose causes are known."""

from random import Random

import pytest

from ogive.report._records import read
from ogive.report._worth import ENOUGH, worth


def found(summary):
    return worth(read(summary))


def test_what_matters_comes_first_and_what_does_not_gets_nothing(make):
    result = found(make(300))
    shares = {decision.path: decision.share for decision in result.decisions}
    assert set(list(shares)[:3]) == {"width", "recipe.lr", "op"}
    assert result.believable
    assert all(shares[path] < 0.05 for path in ("act", "squeeze", "blocks"))


def test_means_and_their_errors_are_those_of_the_option(make):
    summary = make(200)
    for trial in summary["trials"]:
        wide = trial["architecture"]["width"] == 64
        trial["metrics"] = {"accuracy": 0.9 if wide else 0.5} if trial["metrics"] else {}
    (width,) = (d for d in found(summary).decisions if d.path == "width")
    means = {option.label: option.mean for option in width.options}
    assert list(means) == ["8", "16", "32", "64"]
    assert means["64"] - means["8"] == pytest.approx(0.4)
    assert all(option.error < 0.02 for option in width.options)


def test_scores_may_be_whole_numbers(make):
    summary = make(200)
    for trial in summary["trials"]:
        trial["metrics"] = {"accuracy": trial["architecture"]["width"]} if trial["metrics"] else {}
    assert found(summary).decisions[0].path == "width"


def test_a_longer_training_is_no_merit_of_the_architecture(make):
    summary = make(200)
    for trial in summary["trials"]:
        trial["metrics"] = {"accuracy": trial["fidelity"]} if trial["metrics"] else {}
    assert not found(summary).decisions


def test_noise_is_not_believed(make):
    summary = make(200)
    rng = Random(0)
    for trial in summary["trials"]:
        trial["metrics"] = {"accuracy": rng.random()} if trial["metrics"] else {}
    result = found(summary)
    assert not result.believable
    assert all(decision.share is None for decision in result.decisions)


@pytest.mark.parametrize("trials", [0, 1, ENOUGH // 2])
def test_few_architectures_say_nothing(make, trials):
    assert found(make(trials)).decisions == ()


def test_numbers_beyond_float32_are_told_apart(make):
    def scaled(factor):
        summary = make(60)
        for trial in summary["trials"]:
            lr = trial["architecture"]["recipe.lr"]
            trial["architecture"] = {**trial["architecture"], "recipe.lr": factor * lr}
        return [(decision.path, decision.share) for decision in found(summary).decisions]

    assert scaled(2.0**400) == scaled(1.0)
