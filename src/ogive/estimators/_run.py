"""How an estimator is asked: once for each trial."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ogive.errors import TrialFailed
from ogive.estimators._curves import Stopping
from ogive.space import Architecture

__all__ = ["Estimator", "Run", "number", "plain"]


@dataclass(frozen=True, slots=True)
class Run:
    """What a trial may use, and where it may write.

    Attributes:
        number: The trial's number.
        fidelity: The share of the full training, in (0, 1].
        seed: Of every draw of the trial; the same for one architecture at all fidelities.
        device: ``cpu``, ``cuda``, ``mps``, or ``auto`` for the best there is.
        threads: What torch may use on the CPU.
        folder: Where the trial keeps its files, if anywhere.
        parent: The folder of the trial that this one goes on from.
        inherits: The architecture of that trial where it is another one: then there are only
            weights to begin with, and no training to go on with.
        deadline: Seconds that it may take.
        stopping: When a training ends early, because it will not reach the best; ``None`` for
            never.
    """

    number: int = 0
    fidelity: float = 1.0
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    folder: Path | None = None
    parent: Path | None = None
    inherits: Architecture | None = None
    deadline: float | None = None
    stopping: Stopping | None = None

    def report(self, step: float, metrics: Mapping[str, float]) -> None:
        """Notes metrics on the way, for the live view and the learning curve.

        Args:
            step: How far the trial is; epochs for a training.
            metrics: What was measured there.
        """
        if self.folder is not None:
            # One write a line: a reader sees whole lines, and a crash keeps what was written.
            with (self.folder / "curve.jsonl").open("a") as file:
                file.write(json.dumps({"step": step, **metrics}, default=float) + "\n")


_COUNTED = ("epochs", "loss", "stopped_at", "expected")
"""What a search counts with beside its objectives; they mean what they mean of a training."""

Estimator = Callable[[Architecture, Run], Mapping[str, float]]
"""How good is an architecture? Returns metrics by name."""


def plain(metrics: Any) -> dict[str, float]:
    """Returns what an estimator returned as a journal can keep it: numbers, and remarks on them.

    Raises:
        TrialFailed: If it is neither.
    """
    if not isinstance(metrics, Mapping):
        raise TrialFailed(f"An estimator returns metrics by their names, but gave {metrics!r}.")
    if "stopped_at" in metrics and "expected" not in metrics:
        raise TrialFailed(
            "An estimator that returns 'stopped_at', the epoch after which it gave up, returns "
            "beside it what it 'expected' at the end. Call it something else if it is not that."
        )
    return {str(name): _plain_value(name, value) for name, value in metrics.items()}


def _plain_value(name: str, value: Any) -> float:
    if name not in _COUNTED and (value is None or isinstance(value, str)):
        return value  # type: ignore[return-value]  # a remark; no objective can be one
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TrialFailed(
            f"A metric is a number, but the estimator gave {value!r} for {name!r}."
        ) from None
    return int(value) if isinstance(value, int) else number


def number(metrics: Mapping[str, Any], name: str) -> float:
    """Returns a metric; NaN where there is none, or a remark."""
    value = metrics.get(name)
    return value if isinstance(value, int | float) else math.nan
