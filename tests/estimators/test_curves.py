"""The end of a learning curve, foreseen from those that have ended."""

import numpy as np
import pytest
from scipy import stats

from ogive.errors import SettingError
from ogive.estimators import Curve, chance_to_beat, final_value

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
