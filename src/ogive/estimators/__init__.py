"""How good is an architecture: training, and what other estimators share with it."""

from ogive.estimators._bench import Bench, RecipeLike, measure_speed, run_trial
from ogive.estimators._recipe import Recipe
from ogive.estimators._run import Estimator, Run
from ogive.estimators._schedule import Schedule
from ogive.estimators._together import Outcome, size_class, train_together
from ogive.estimators._train import (
    FitOn,
    Precision,
    Training,
    device_of,
    predict,
    step_seconds,
    train,
)

__all__ = [
    "Bench",
    "Estimator",
    "FitOn",
    "Outcome",
    "Precision",
    "Recipe",
    "RecipeLike",
    "Run",
    "Schedule",
    "Training",
    "device_of",
    "measure_speed",
    "predict",
    "run_trial",
    "size_class",
    "step_seconds",
    "train",
    "train_together",
]
