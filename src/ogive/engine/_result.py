"""What a search returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import pandas as pd
from torch import nn

from ogive.bundle import deployed
from ogive.engine._handover import Chosen
from ogive.engine._setup import Setup
from ogive.engine._state import SearchState
from ogive.space import Architecture
from ogive.trial import Trial

__all__ = ["Result"]


@dataclass(frozen=True)
class Result:
    """The outcome of a search.

    Attributes:
        status: ``complete`` or ``interrupted``.
        best: The winning trial, as measured on the validation split; ``None`` if none completed.
        summary: Everything as one plain object, as ``ogive show --json`` prints it.
        folder: The run folder.
        report: The HTML report.
        bundle: The verified bundle; ``None`` where no network was exported.
    """

    status: str
    best: Trial | None
    summary: Mapping[str, Any]
    folder: Path
    report: Path
    bundle: Path | None
    _setup: Setup
    _state: SearchState
    _chosen: Chosen | None

    def __repr__(self) -> str:
        best = (
            "none" if self.best is None else f"trial {self.best.number} {dict(self.best.metrics)}"
        )
        return f"Result({self.status!r}, best={best}, folder={str(self.folder)!r})"

    @property
    def architecture(self) -> Architecture | None:
        """The winning architecture."""
        return None if self.best is None else self.best.architecture

    @property
    def test(self) -> Mapping[str, Any] | None:
        """The final network's metrics on the test split, which was opened once for them."""
        test: Mapping[str, Any] | None = self.summary["test"]
        return test

    @cached_property
    def network(self) -> nn.Module | None:
        """The trained network as it is deployed: raw inputs in, probabilities or values out."""
        if self._chosen is None or self._setup.task is None:
            return None
        return deployed(self._setup.task, self._chosen.network)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row a trial, by number: state, metrics, costs and decisions in columns of their own."""
        rows = [self._row(trial) for trial in self._state.trials.values()]
        # A metric or a decision may be called "number", too.
        return pd.DataFrame(rows, index=pd.Index(self._state.trials, name="number"))

    @staticmethod
    def _row(trial: Trial) -> dict[str, Any]:
        return {
            "role": trial.role,
            "state": trial.state,
            "fidelity": trial.fidelity,
            "seconds": trial.seconds,
            "error": trial.error,
            **trial.metrics,
            **trial.costs,
            **trial.architecture,
        }

    def front(self) -> pd.DataFrame:
        """The complete trials that no other beats in every objective, of :attr:`trials`."""
        # A final training has no validation split left, and so no objectives; and what an estimator
        # says is not compared with trainings.
        estimated = self._state.estimated
        complete = [
            t
            for t in self._state.trials.values()
            if t.values and (t.role == "search" or not estimated)
        ]
        if not complete:
            return self.trials.iloc[:0]
        values = np.array([trial.values for trial in complete])
        on_front = moocore.is_nondominated(values, maximise=True, keep_weakly=True)
        return self.trials.loc[[t.number for t, on in zip(complete, on_front, strict=True) if on]]
