"""The metrics against scikit-learn's, and what their intervals promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from ogive.task import METRICS, difference, interval, standard_error


def _classified(seed: int, rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with many ties, and targets in which every class occurs."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 5, (rows, classes)).astype(np.float64)
    targets = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    return weights / weights.sum(axis=1, keepdims=True), targets


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(10, 60))
def test_classification_metrics_equal_scikit_learns(seed: int, classes: int, rows: int) -> None:
    probabilities, targets = _classified(seed, rows, classes)
    predicted = probabilities.argmax(axis=1)
    ranking = probabilities[:, 1] if classes == 2 else probabilities
    expected = {
        "accuracy": sk.accuracy_score(targets, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(targets, predicted),
        "macro_f1": sk.f1_score(targets, predicted, average="macro"),
        "log_loss": sk.log_loss(targets, probabilities),
        "auc": sk.roc_auc_score(targets, ranking, multi_class="ovr"),
    }
    found = {name: METRICS[name].function(probabilities, targets) for name in expected}
    assert found == pytest.approx(expected)


@given(st.integers(0, 10_000), st.integers(3, 50))
def test_regression_metrics_equal_scikit_learns(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    targets, values = rng.normal(5, 2, rows), rng.normal(5, 2, (rows, 1))
    expected = {
        "r2": sk.r2_score(targets, values),
        "rmse": sk.root_mean_squared_error(targets, values[:, 0]),
        "mae": sk.mean_absolute_error(targets, values),
    }
    found = {name: METRICS[name].function(values, targets) for name in expected}
    assert found == pytest.approx(expected)


def test_auc_is_not_a_number_where_a_class_does_not_occur() -> None:
    probabilities, _ = _classified(0, 20, 3)
    assert np.isnan(METRICS["auc"].function(probabilities, np.arange(20) % 2))


def test_which_way_each_metric_is_better() -> None:
    assert {name for name, metric in METRICS.items() if not metric.greater_is_better} == {
        "log_loss",
        "rmse",
        "mae",
    }


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "auc"])
def test_an_interval_covers_the_truth_as_often_as_it_says(metric: str) -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 2, 100_000)
    scores = 1 / (1 + np.exp(-rng.normal(2 * targets - 1, 1.5)))
    outputs = np.column_stack([1 - scores, scores])
    truth = METRICS[metric].function(outputs, targets)
    covered = 0
    for draw in range(100):
        rows = rng.integers(0, len(targets), 200)
        found = interval(metric, outputs[rows], targets[rows], resamples=200, seed=draw)
        covered += found.low <= truth <= found.high
    assert 88 <= covered <= 100


def test_a_faultless_accuracy_is_still_uncertain() -> None:
    outputs = np.eye(2)[np.arange(30) % 2]
    found = interval("accuracy", outputs, np.arange(30) % 2)
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.85 < found.low < 0.9


def test_a_tie_is_called_a_tie_and_a_win_a_win() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, 400)
    right = np.eye(2)[targets]
    # Right in nine of ten, each wrong on other samples; and one that guesses.
    one, other = right.copy(), right.copy()
    one[:40], other[40:80] = 1 - one[:40], 1 - other[40:80]
    guess = np.eye(2)[rng.integers(0, 2, 400)]
    assert difference("accuracy", one, other, targets).verdict == "tie"
    assert difference("accuracy", one, guess, targets).verdict == "better"
    assert difference("accuracy", guess, one, targets).verdict == "worse"
    # A smaller loss is better.
    assert difference("log_loss", one, guess, targets).verdict == "better"


def test_a_paired_difference_sees_what_two_intervals_do_not() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(0, 1, 300)
    noise = rng.normal(0, 1, 300)
    one, other = (targets + noise)[:, None], (targets + noise * 1.05)[:, None]
    alone = interval("rmse", one, targets), interval("rmse", other, targets)
    assert alone[0].high > alone[1].low
    assert difference("rmse", one, other, targets).verdict == "better"


def test_the_same_seed_gives_the_same_interval() -> None:
    probabilities, targets = _classified(3, 50, 3)
    first = interval("macro_f1", probabilities, targets, seed=5)
    assert first == interval("macro_f1", probabilities, targets, seed=5)
    assert first.to_json().keys() == {"metric", "value", "low", "high", "level"}


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_standard_error_is_the_deviation_over_samples(name: str) -> None:
    rng = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(300):
        signal = rng.normal(size=200)
        if name in ("r2", "rmse", "mae"):
            targets, outputs = signal + rng.normal(size=200), signal[:, None]
        else:
            targets = (signal + rng.normal(size=200) > 0).astype(np.int64)
            sure = 1 / (1 + np.exp(-2 * signal))
            outputs = np.stack([1 - sure, sure], axis=1)
        values.append(METRICS[name].function(outputs, targets))
        errors.append(standard_error(name, outputs, targets))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_a_standard_error_does_not_hang_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=400)
    outputs = (targets + rng.normal(size=400))[:, None]
    order = np.argsort(targets)
    found = standard_error("r2", outputs[order], targets[order])
    assert found == pytest.approx(standard_error("r2", outputs, targets), rel=0.4)


def test_a_standard_error_is_not_a_number_where_its_parts_are_not() -> None:
    outputs, targets = _classified(0, 5, 4)
    assert np.isnan(standard_error("auc", outputs, targets))
    assert np.isnan(standard_error("log_loss", outputs[:1], targets[:1]))
