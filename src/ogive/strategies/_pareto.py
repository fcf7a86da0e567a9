"""Non-domination and crowding (Deb et al. 2002): what strategies of several objectives share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from ogive.trial import Trial

__all__ = ["comparable", "crowding", "front", "objectives"]


def comparable(trial: Trial) -> bool:
    """Whether a trial came to an end with numbers."""
    return trial.state == "complete" and all(map(math.isfinite, trial.values))


def objectives(trials: Sequence[Trial]) -> NDArray[np.float64]:
    """What trials are worth, shape ``(trials, objectives)``; larger is better."""
    return np.array([trial.values for trial in trials], dtype=np.float64)


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Those that no other dominates, in their order; of equals, the first.

    With one objective that is the best one.
    """
    kept = moocore.is_nondominated(objectives(trials), maximise=True, keep_weakly=False)
    return [trial for trial, is_kept in zip(trials, kept, strict=True) if is_kept]


def crowding(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The crowding distance of each point of a front (section III-B): how much room it has.

    Args:
        values: Shape ``(points, objectives)``.

    Returns:
        Shape ``(points,)``: the sum over objectives of the distance between the two neighbours,
        as a share of the front's extent; infinite at the ends.
    """
    room = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        extent = column[order[-1]] - column[order[0]]
        if extent > 0:
            room[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
        room[order[[0, -1]]] = np.inf
    return room
