"""What does a network cost: counted on the meta device, or measured on this machine.

A cost is one line of :data:`COSTS`: a function of the network, its task and the batch size of
training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from ogive._doors import when_used
from ogive.errors import SettingError, did_you_mean
from ogive.hardware._latency import Latency, measure_latency
from ogive.hardware._parts import (
    Operation,
    Part,
    Parts,
    decided_parts,
    network_parts,
    operations,
)
from ogive.hardware._static import macs, memory_mb, params, size_mb
from ogive.task import Task

if TYPE_CHECKING:
    from ogive.hardware._predict import LatencyPredictor, PredictionError, learn_latency
    from ogive.hardware._table import OperationTable

__all__ = [
    "CHEAP",
    "COSTS",
    "Cost",
    "Latency",
    "LatencyPredictor",
    "Operation",
    "OperationTable",
    "Part",
    "Parts",
    "PredictionError",
    "costs",
    "decided_parts",
    "learn_latency",
    "macs",
    "measure_latency",
    "memory_mb",
    "network_parts",
    "operations",
    "params",
    "size_mb",
]

Cost = Callable[[nn.Module, Task, int], float]

COSTS: Mapping[str, Cost] = {
    "params": lambda network, _task, _batch: params(network),
    "size_mb": lambda network, _task, _batch: size_mb(network),
    "macs": lambda network, task, _batch: macs(network, task),
    "memory_mb": memory_mb,
    "latency_ms": lambda network, task, _batch: measure_latency(network, task).median_ms,
}

CHEAP = frozenset({"params", "size_mb", "macs", "memory_mb"})
"""Costs that a network on the meta device is enough for, and that take milliseconds."""


def costs(
    network: nn.Module,
    task: Task,
    names: Iterable[str] = COSTS,
    *,
    batch_size: int = 128,
    own: Mapping[str, Cost] | None = None,
) -> dict[str, float]:
    """Measures costs of a network.

    Args:
        network: On the meta device if only cheap costs are asked, else on the CPU.
        task: Gives the input.
        names: Keys of :data:`COSTS`, or of ``own``.
        batch_size: Of training, for ``memory_mb``.
        own: Others, or what takes the place of one of these, such as a :class:`LatencyPredictor`.

    Raises:
        SettingError: If a name is no cost, or one's value is no number.
    """
    found: dict[str, float] = {}
    known = {**COSTS, **(own or {})}
    for name in names:
        if name not in known:
            raise SettingError(f"{name!r} is no cost.{did_you_mean(name, known)}")
        found[name] = _number(name, known[name](network, task, batch_size))
    return found


def _number(name: str, value: Any) -> float:
    try:
        number = value if isinstance(value, int | float) else float(value)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    if math.isnan(number):
        raise SettingError(f"A cost is a number, but {name} returned {value!r}.")
    return number


# Models, which workers can do without.
__getattr__ = when_used(
    __name__,
    {
        "LatencyPredictor": "ogive.hardware._predict",
        "OperationTable": "ogive.hardware._table",
        "PredictionError": "ogive.hardware._predict",
        "learn_latency": "ogive.hardware._predict",
    },
)
