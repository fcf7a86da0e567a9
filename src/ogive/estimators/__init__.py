"""How good is an architecture: training, zero-cost proxies, and what other estimators share."""

from ogive.estimators._batch import Batch, Loss
from ogive.estimators._bench import Bench, RecipeLike, measure_speed, run_trial
from ogive.estimators._proxies import PROXIES, Proxy, ZeroCost, aggregate_ranks, proxies
from ogive.estimators._recipe import Recipe
from ogive.estimators._run import Estimator, Run
from ogive.estimators._schedule import Schedule
from ogive.estimators._screen import Screened, screen
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
    "PROXIES",
    "Batch",
    "Bench",
    "Estimator",
    "FitOn",
    "Loss",
    "Precision",
    "Proxy",
    "Recipe",
    "RecipeLike",
    "Run",
    "Schedule",
    "Screened",
    "Training",
    "ZeroCost",
    "aggregate_ranks",
    "device_of",
    "measure_speed",
    "predict",
    "proxies",
    "run_trial",
    "screen",
    "step_seconds",
    "train",
]
