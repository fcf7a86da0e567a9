"""How good is an architecture: training, and what other estimators share with it."""

from ogive.estimators._batches import Batches
from ogive.estimators._bench import Bench, RecipeLike, measure_speed, run_trial
from ogive.estimators._curves import Curve, FinalValue, chance_to_beat, final_value
from ogive.estimators._predictor import PerformancePredictor, Ranking
from ogive.estimators._recipe import Recipe
from ogive.estimators._run import Estimator, Run
from ogive.estimators._schedule import Schedule
from ogive.estimators._train import (
    FitOn,
    Precision,
    Training,
    autocast,
    device_of,
    optimizer_of,
    predict,
    step_seconds,
    train,
    write_whole,
)

__all__ = [
    "Batches",
    "Bench",
    "Curve",
    "Estimator",
    "FinalValue",
    "FitOn",
    "PerformancePredictor",
    "Precision",
    "Ranking",
    "Recipe",
    "RecipeLike",
    "Run",
    "Schedule",
    "Training",
    "autocast",
    "chance_to_beat",
    "device_of",
    "final_value",
    "measure_speed",
    "optimizer_of",
    "predict",
    "run_trial",
    "step_seconds",
    "train",
    "write_whole",
]
