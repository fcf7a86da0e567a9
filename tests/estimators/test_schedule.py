import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ogive.errors import SettingError
from ogive.estimators import Recipe, Run, Schedule, Training
from ogive.space import Architecture
from ogive.task import load


@given(
    total=st.integers(1, 500),
    longer=st.integers(1, 9),
    warmup=st.floats(0, 0.3),
    decay=st.floats(0.01, 1.0),
)
def test_a_shorter_trapezoid_is_the_beginning_of_a_longer_one(total, longer, warmup, decay):
    recipe = Recipe(warmup=warmup, decay=decay)
    short = Schedule(recipe, total=total, full=total * longer)
    long = Schedule(recipe, total=total * longer, full=total * longer)
    for step in range(total):
        if short.decaying(step):
            break
        assert short.factor(step) == long.factor(step)


@given(
    schedule=st.sampled_from(["trapezoid", "cosine"]),
    total=st.integers(1, 300),
    warmup=st.floats(0, 0.5),
    decay=st.floats(0, 1),
)
def test_the_learning_rate_stays_within_its_peak_and_ends_low(schedule, total, warmup, decay):
    made = Schedule(Recipe(schedule=schedule, warmup=warmup, decay=decay), total=total, full=total)
    factors = [made.factor(step) for step in range(total)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert made.progress(total) == 1


def test_time_moves_a_slow_training_through_its_schedule():
    made = Schedule(Recipe(warmup=0.0, decay=0.5), total=100, full=100)
    assert made.factor(10) == 1
    assert made.factor(10, elapsed=0.75) == pytest.approx(0.5)
    assert made.factor(10, elapsed=1.0) == 0
    assert made.progress(90, elapsed=0.1) == pytest.approx(0.9)


@given(
    schedule=st.sampled_from(["trapezoid", "cosine"]),
    total=st.integers(1, 300),
    longer=st.integers(1, 9),
    warmup=st.floats(0, 0.5),
    ease=st.floats(0, 1),
)
def test_time_does_not_enter_while_it_is_enough(schedule, total, longer, warmup, ease):
    recipe = Recipe(schedule=schedule, warmup=warmup)
    made = Schedule(recipe, total=total, full=total * longer)
    for step in range(total):
        assert made.factor(step, elapsed=ease * step / total) == made.factor(step)


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": 0.0},
        {"optimizer": "adam"},
        {"schedule": "linear"},
        {"batch_size": 0},
        {"warmup": 1.5},
        {"label_smoothing": 1.0},
        {"shift": -0.1},
        {"patience": 0},
    ],
)
def test_a_recipe_is_checked(settings):
    with pytest.raises(SettingError, match="but got"):
        Recipe(**settings)


def test_a_recipe_is_json():
    recipe = Recipe(lr=0.1, mixup=0.2, patience=3)
    assert Recipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(SettingError, match="Did you mean 'label_smoothing'"):
        Recipe.from_json({"label_smooting": 0.1})


def test_a_narrow_network_learns_faster_in_proportion():
    recipe = Recipe(lr=0.01, lr_width=64)
    colours, depthwise = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, groups=16)
    narrow = nn.Sequential(colours, nn.BatchNorm2d(16), depthwise, nn.Conv2d(16, 48, 1))
    # The inputs of what mixes channels are the width: not colours, and not depthwise ones.
    assert recipe.scaled(narrow).lr == pytest.approx(0.01 * 64 / 16)
    deeper = nn.Sequential(narrow, nn.Conv2d(48, 8, 1))
    assert recipe.scaled(deeper).lr == pytest.approx(0.01 * 64 / 32)
    assert recipe.scaled(nn.Linear(128, 4)).lr == pytest.approx(0.01 / 2)
    assert recipe.scaled(nn.Linear(4, 4)).lr == pytest.approx(0.01 * 8)
    assert recipe.scaled(colours).lr == 0.01
    for same in (Recipe(lr=0.01), recipe.replace(optimizer="sgd")):
        assert same.scaled(narrow) == same
    assert recipe.replace(lr=50.0).scaled(narrow).lr == 100  # No more than a recipe admits.


def test_a_network_is_trained_at_the_rate_for_its_width():
    digits = load("digits")

    def network(choose, task):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))

    def trained(**rate):
        recipe = Recipe(epochs=1, batch_size=64, **rate)
        return Training(network, digits, recipe)(Architecture({}), Run())["loss"]

    # Widths 64 and 8 have a mean of 36: 72 is twice that.
    assert trained(lr=1e-3, lr_width=72) == trained(lr=2e-3) != trained(lr=1e-3)
