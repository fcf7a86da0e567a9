"""What is asked of a network: data, splits, loss and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ogive._doors import when_used
from ogive.task._images import files_below
from ogive.task._inputs import Inputs
from ogive.task._metrics import (
    METRICS,
    Difference,
    Interval,
    Metric,
    difference,
    interval,
    standard_error,
)
from ogive.task._split import Rows, Split
from ogive.task._target import Classes, Target, Value
from ogive.task._task import Task

if TYPE_CHECKING:
    from ogive.task._load import load, raw_inputs
    from ogive.task._sources import BUILT_IN

__all__ = [
    "BUILT_IN",
    "METRICS",
    "Classes",
    "Difference",
    "Inputs",
    "Interval",
    "Metric",
    "Rows",
    "Split",
    "Target",
    "Task",
    "Value",
    "difference",
    "files_below",
    "interval",
    "load",
    "raw_inputs",
    "standard_error",
]

# Workers are sent their data as they are. What reads new data needs pandas, which is slow to import.
__getattr__ = when_used(
    __name__,
    {
        "BUILT_IN": "ogive.task._sources",
        "load": "ogive.task._load",
        "raw_inputs": "ogive.task._load",
    },
)
