"""How good is an architecture: training, zero-cost proxies, and what other estimators share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ogive._doors import when_used
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
from ogive.estimators._recipe import Recipe
from ogive.estimators._run import Estimator, Run
from ogive.estimators._schedule import Schedule

if TYPE_CHECKING:
    from ogive.estimators._batch import Batch, Loss
    from ogive.estimators._batches import Batches, Data, FitOn
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
    from ogive.estimators._screen import Screened, screen
    from ogive.estimators._together import Outcome, bunches, size_class, train_together
    from ogive.estimators._train import (
        Precision,
        Training,
        autocast,
        decided,
        device_of,
        optimizer_of,
        predict,
        step_seconds,
        train,
    )
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
    "decided",
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

# What trains needs torch, which takes seconds to import and a worker with an estimator of the user's
# own can do without; a model of finished trials is no worker's affair at all.
__getattr__ = when_used(
    __name__,
    {
        "Agreement": "ogive.estimators._ladder",
        "Batch": "ogive.estimators._batch",
        "Batches": "ogive.estimators._batches",
        "Climbed": "ogive.estimators._ladder",
        "Data": "ogive.estimators._batches",
        "FitOn": "ogive.estimators._batches",
        "Ladder": "ogive.estimators._ladder",
        "Loss": "ogive.estimators._batch",
        "Outcome": "ogive.estimators._together",
        "PROXIES": "ogive.estimators._proxies",
        "PerformancePredictor": "ogive.strategies",
        "Precision": "ogive.estimators._train",
        "Proxy": "ogive.estimators._proxies",
        "Ranking": "ogive.strategies",
        "Rung": "ogive.estimators._ladder",
        "Screened": "ogive.estimators._screen",
        "Step": "ogive.estimators._ladder",
        "Training": "ogive.estimators._train",
        "ZeroCost": "ogive.estimators._proxies",
        "aggregate_ranks": "ogive.estimators._proxies",
        "autocast": "ogive.estimators._train",
        "bunches": "ogive.estimators._together",
        "decided": "ogive.estimators._train",
        "device_of": "ogive.estimators._train",
        "optimizer_of": "ogive.estimators._train",
        "plan_rungs": "ogive.estimators._ladder",
        "predict": "ogive.estimators._train",
        "proxies": "ogive.estimators._proxies",
        "screen": "ogive.estimators._screen",
        "size_class": "ogive.estimators._together",
        "step_seconds": "ogive.estimators._train",
        "train": "ogive.estimators._train",
        "train_together": "ogive.estimators._together",
        "within": "ogive.estimators._ladder",
    },
)
