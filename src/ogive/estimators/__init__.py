"""How good is an architecture: training, zero-cost proxies, and what other estimators share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ogive._doors import when_used
from ogive.estimators._batch import Batch, Loss
from ogive.estimators._batches import Batches, Data, FitOn
from ogive.estimators._bench import Bench, RecipeLike, measure_speed, run_trial, run_trials, wake
from ogive.estimators._curves import (
    Curve,
    FinalValue,
    Judgement,
    Stopping,
    chance_to_beat,
    final_value,
)
from ogive.estimators._fidelity import Fidelity, check_fidelities, fidelities
from ogive.estimators._ladder import (
    Agreement,
    Climbed,
    Ladder,
    Rung,
    Step,
    plan_rungs,
    within,
)
from ogive.estimators._proxies import PROXIES, Proxy, ZeroCost, aggregate_ranks, proxies
from ogive.estimators._recipe import Recipe
from ogive.estimators._run import Estimator, Run
from ogive.estimators._schedule import Schedule
from ogive.estimators._screen import Screened, screen
from ogive.estimators._together import Outcome, bunches, size_class, train_together
from ogive.estimators._train import (
    Precision,
    Training,
    autocast,
    device_of,
    optimizer_of,
    predict,
    step_seconds,
    train,
)

if TYPE_CHECKING:
    from ogive.strategies import PerformancePredictor, Ranking

__all__ = [
    "PROXIES",
    "Agreement",
    "Batch",
    "Batches",
    "Bench",
    "Climbed",
    "Curve",
    "Data",
    "Estimator",
    "Fidelity",
    "FinalValue",
    "FitOn",
    "Judgement",
    "Ladder",
    "Loss",
    "Outcome",
    "PerformancePredictor",
    "Precision",
    "Proxy",
    "Ranking",
    "Recipe",
    "RecipeLike",
    "Run",
    "Rung",
    "Schedule",
    "Screened",
    "Step",
    "Stopping",
    "Training",
    "ZeroCost",
    "aggregate_ranks",
    "autocast",
    "bunches",
    "chance_to_beat",
    "check_fidelities",
    "device_of",
    "fidelities",
    "final_value",
    "measure_speed",
    "optimizer_of",
    "plan_rungs",
    "predict",
    "proxies",
    "run_trial",
    "run_trials",
    "screen",
    "size_class",
    "step_seconds",
    "train",
    "train_together",
    "wake",
    "within",
]

# A model, which workers can do without.
__getattr__ = when_used(
    __name__, {"PerformancePredictor": "ogive.strategies", "Ranking": "ogive.strategies"}
)
