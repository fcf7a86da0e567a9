"""The end of a learning curve, foreseen from those that have ended."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ogive.errors import SettingError
from ogive.estimators import Curve, Stopping, chance_to_beat, final_value
from ogive.task import METRICS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

EPOCHS = tuple(float(epoch) for epoch in range(1, 11))


def trainings(n, rng, noise=0.02):
    """Curves that saturate, and jump at the end as a falling learning rate makes them."""
    tops = rng.normal(0.8, 0.05, n)
    for top in tops:
        rise = top * (1 - np.exp(-np.array(EPOCHS) / 3)) - 0.1
        rise[-2:] += 0.1
        yield Curve(EPOCHS, tuple(rise + rng.normal(0, noise, len(EPOCHS))))


def test_the_distribution_is_that_of_an_ordinary_regression():
    curves = list(trainings(12, np.random.default_rng(0)))
    part = curves[0].until(5)
    found = final_value(part, curves[1:])
    x = np.array([c.values[4] for c in curves[1:]])
    y = np.array([c.values[-1] for c in curves[1:]])
    design = np.column_stack([np.ones(11), x])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ y
    variance = ((y - design @ beta) ** 2).sum() / 9
    new = np.array([1, part.values[-1]])
    assert found.expected == pytest.approx(new @ beta)
    assert found.scale == pytest.approx(np.sqrt(variance * (1 + new @ inverse @ new)))
    assert found.degrees == 9
    expected = stats.t(9, found.expected, found.scale).sf(0.75)
    assert found.above(0.75) == pytest.approx(expected)


def test_stated_probabilities_happen_as_often():
    rng = np.random.default_rng(1)
    stated, happened = [], []
    for _ in range(300):
        *finished, new = trainings(12, rng)
        stated.append(chance_to_beat(new.until(4), finished, best=0.78))
        happened.append(new.values[-1] > 0.78)
    stated, happened = np.array(stated), np.array(happened)
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1)):
        there = (stated >= low) & (stated < high)
        assert there.sum() > 20
        assert happened[there].mean() == pytest.approx(stated[there].mean(), abs=0.13)


def test_a_hopeless_training_is_told_from_a_hopeful_one():
    curves = list(trainings(30, np.random.default_rng(2), noise=0.005))
    low, *finished, high = sorted(curves, key=lambda c: c.values[-1])
    assert chance_to_beat(low.until(5), finished) < 0.01
    assert chance_to_beat(high.until(5), finished) > 10 * chance_to_beat(low.until(5), finished)


def test_nothing_is_foreseen_from_few_or_from_what_says_nothing():
    curves = list(trainings(9, np.random.default_rng(3)))
    assert final_value(curves[0].until(5), curves[1:6]) is None
    assert chance_to_beat(curves[0].until(5), curves[1:6]) == 1.0
    late = [Curve(c.epochs[6:], c.values[6:]) for c in curves]
    assert final_value(curves[0].until(5), late) is None
    assert final_value(Curve((1.0,), (float("nan"),)), curves) is None


def test_where_all_stand_alike_the_ends_alone_count():
    flat = [Curve((1.0, 2.0), (0.1, end)) for end in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)]
    found = final_value(Curve((1.0,), (0.1,)), flat)
    assert found.expected == pytest.approx(0.45)
    assert found.above(0.45) == pytest.approx(0.5)


def test_curves_of_other_steps_are_read_between_them():
    curve = Curve((1.0, 3.0), (0.2, 0.6))
    assert curve.at(2) == pytest.approx(0.4)
    assert curve.until(2) == Curve((1.0,), (0.2,))


@pytest.mark.parametrize(
    ("epochs", "values"), [((), ()), ((1.0,), (1.0, 2.0)), ((2.0, 1.0), (1, 2))]
)
def test_a_curve_is_checked(epochs, values):
    with pytest.raises(SettingError, match="but got"):
        Curve(epochs, values)


def stopping(**settings):
    curves = tuple(Curve.of_losses((1, 2), (0.9 - 0.1 * i, 0.5 - 0.05 * i)) for i in range(8))
    ends = tuple(0.80 + 0.02 * i + 0.005 * (-1) ** i for i in range(8))
    defaults = {"below": 0.05, "greater": True, "step": 0.01, "losses": curves, "ends": ends}
    return Stopping(**(defaults | {"best": max(ends)} | settings))


def test_the_goal_is_foreseen_in_its_own_units():
    now = -np.log([0.9 - 0.1 * i for i in range(8)])
    against = stopping()
    slope, offset = np.polyfit(now, -np.log(1.005 - np.array(against.ends)), 1)
    expected = 1.005 - np.exp(-(offset + slope * -np.log(0.5)))
    assert against.judge(1, 0.5).expected == pytest.approx(expected)
    # An error that is made small is the same thing, as far as it is from 0.
    errors = tuple(1 - end for end in against.ends)
    small = stopping(greater=False, ends=errors, best=min(errors))
    assert small.judge(1, 0.5).expected == pytest.approx(1 - expected)
    assert small.judge(1, 0.5).chance == pytest.approx(against.judge(1, 0.5).chance)
    # Beyond the others' reach a line is no knowledge.
    ends = [against.judge(1, loss).expected for loss in (1e-9, 1e9)]
    assert ends == [max(against.ends), min(against.ends)]


def test_what_is_far_behind_has_less_of_a_chance_than_what_is_ahead():
    chances = [stopping().judge(1, loss).chance for loss in (1.5, 0.9, 0.5, 0.1)]
    assert chances == sorted(chances)
    assert chances[0] < 0.01 < 0.5 < chances[-1]
    assert stopping(best=0.5).judge(1, 1.5).chance > 0.9  # It depends on what is to be beaten.


def test_before_enough_have_ended_none_is_judged():
    against = stopping()
    assert stopping(losses=against.losses[:5], ends=against.ends[:5]).judge(1, 0.5) is None
    assert against.judge(1, float("nan")) is None
    assert against.judge(2, 0.5) is None  # At its end a training is measured.


def test_of_weights_that_are_kept_the_best_so_far_count():
    losses = (0.5, 0.9, 0.4)
    assert Curve.of_losses((1, 2, 3), losses).values == tuple(-np.log(losses))
    kept = Curve.of_losses((1, 2, 3), losses, kept=True)
    assert kept.values == tuple(-np.log([0.5, 0.5, 0.4]))


RECORDED = json.loads((BENCHMARKS / "results" / "curves.json").read_text())["sets"]


@pytest.mark.parametrize("name", RECORDED)
def test_of_real_trainings_that_are_stopped_few_would_have_been_better(name):
    known = RECORDED[name]
    greater, kept = METRICS[known["metric"]].greater_is_better, known["kept"]
    trainings = [
        (Curve.of_losses(t["epochs"], t["losses"], kept=kept), t["end"])
        for t in known["trainings"]
    ]
    stopped = wrong = saved = total = 0
    for seed in range(5):
        finished = []
        for n in np.random.default_rng(seed).permutation(len(trainings)):
            curve, end = trainings[n]
            total += curve.epochs[-1]
            at = None
            if finished:
                curves, ends = zip(*finished, strict=True)
                best = (max if greater else min)(ends)
                step = 1 / known["rows"] if greater else 0.0
                against = Stopping(0.05, greater, step, curves, ends, best)
                for epoch, value in zip(curve.epochs[:-1], curve.values, strict=False):
                    judged = against.judge(epoch, np.exp(-value))
                    if judged is not None and judged.chance < against.below:
                        at = epoch
                        break
            if at is None:
                finished.append((curve, end))
            else:
                stopped += 1
                saved += curve.epochs[-1] - at
                wrong += end > best if greater else end < best
    # One in twenty, and what chance may add: orders of the same trainings are not independent.
    assert wrong / 5 <= 0.05 * stopped / 5 + 2 * (0.05 * stopped / 5) ** 0.5
    assert saved > 0.3 * total
