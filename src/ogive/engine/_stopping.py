"""What a trial is compared with, to be stopped when it will not reach the best."""

from __future__ import annotations

from collections.abc import Mapping

from ogive import task as tasks
from ogive.engine._setup import Setup
from ogive.engine._state import SearchState
from ogive.estimators import Curve, Stopping
from ogive.trial import Trial

__all__ = ["stopping"]

_LATEST = 100
"""Of more trainings the latest say enough of how the next ones will end."""


def stopping(setup: Setup, epochs: float, state: SearchState, trial: Trial) -> Stopping | None:
    """Returns what a trial is compared with: what was known when it started, and no more.

    So it is the same wherever and however often the trial is run. Only full trainings of the
    search are stopped. A shorter one is a rung of a strategy that does its own stopping, which
    goes on with the best third of them, not with the best alone; one that begins with inherited
    weights is ahead of the others for as long as those last; and the finals are what is handed
    over.

    Args:
        setup: What the search is after.
        epochs: The length of a full training.
        state: The journal so far.
        trial: One that has started.
    """
    if setup.stop_below is None or trial.role != "search" or trial.fidelity < 1:
        return None
    if state.inherits(trial) is not None:
        return None
    assert setup.task is not None
    (goal,) = setup.objectives.names
    ended = [t for t in state.before(trial.number) if t.role == "search" and state.in_full(t)]
    if not ended:
        return None
    whole = [t for t in ended if _ran_to_its_end(setup, epochs, t)][-_LATEST:]
    greater = tasks.METRICS[goal].greater_is_better
    return Stopping(
        below=setup.stop_below,
        greater=greater,
        step=1 / len(setup.task.validation) if greater else 0.0,
        losses=tuple(_losses(t) for t in whole),
        ends=tuple(t.metrics[goal] for t in whole),
        best=(max if greater else min)(t.metrics[goal] for t in ended),
    )


def _ran_to_its_end(setup: Setup, epochs: float, trial: Trial) -> bool:
    """Whether it was ended by its length or its patience, and not by the time."""
    if not trial.curve:  # It began where a shorter one had run out of patience.
        return False
    last, patience = trial.curve[-1]["step"], setup.recipe_of(trial.architecture).patience
    return last > epochs - 0.5 or (
        patience is not None and last - trial.metrics["best_epoch"] >= patience
    )


def _losses(trial: Trial) -> Curve:
    points: list[Mapping[str, float]] = list(trial.curve)
    return Curve.of_losses(
        [point["step"] for point in points],
        [point["loss"] for point in points],
        kept="best_epoch" in trial.metrics,
    )
