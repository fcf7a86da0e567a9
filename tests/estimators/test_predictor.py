"""Values of architectures, learned from others."""

from random import Random

import numpy as np
import pytest
from scipy.stats import spearmanr

from ogive.bench import read
from ogive.errors import SettingError
from ogive.estimators import PerformancePredictor


@pytest.fixture(scope="module")
def table(data):
    return read(data / "nb201.npz")


def drawn(table, n, seed):
    architectures = list({table.space.sample(Random(seed * 10_000 + i)): None for i in range(n)})
    column = table.columns["c10valid_val_acc_200_avg"]
    return architectures, [float(column[table.row(a)]) for a in architectures]


@pytest.mark.parametrize("kind", ["gp", "boosting"])
def test_cells_are_ranked_from_a_few_trained_ones_as_well_as_is_said(table, kind):
    new, truth = drawn(table, 400, 9)
    found, stated = [], []
    for seed in range(3):  # The correlation of one draw of 80 is itself uncertain by about 0.1.
        predictor = PerformancePredictor(table.space, kind=kind).fit(*drawn(table, 80, seed))
        assert predictor.ranking.beats_chance
        found.append(spearmanr(predictor.predict(new), truth)[0])
        stated.append(predictor.ranking.spearman)
    assert min(found) > 0.6
    assert np.mean(stated) == pytest.approx(np.mean(found), abs=0.15)


@pytest.mark.parametrize("kind", ["gp", "boosting"])
def test_where_there_is_nothing_to_learn_nothing_is_predicted(table, kind):
    architectures, values = drawn(table, 40, 2)
    rng = np.random.default_rng(0)
    for _ in range(3):
        predictor = PerformancePredictor(table.space, kind=kind)
        predictor.fit(architectures, rng.permutation(values).tolist())
        assert predictor.predict(architectures) is None
        assert not predictor.ranking.beats_chance


def test_too_few_and_broken_trials_teach_nothing(table):
    architectures, values = drawn(table, 12, 3)
    broken = [*values[:9], float("nan"), float("-inf"), float("nan")][: len(values)]
    predictor = PerformancePredictor(table.space).fit(architectures, broken)
    assert predictor.ranking.networks == 9
    assert predictor.predict(architectures) is None


def test_a_kind_is_checked(table):
    with pytest.raises(SettingError, match="'gp' or 'boosting'"):
        PerformancePredictor(table.space, kind="forest")
