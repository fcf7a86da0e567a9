"""What a share of a full training leaves out: epochs, data, pixels or channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ogive.errors import SettingError, did_you_mean

if TYPE_CHECKING:
    from ogive.task import Task

__all__ = ["Fidelity", "Part", "check_fidelities", "fidelities"]

Fidelity = Literal["epochs", "data", "resolution", "width"]

_SMALLEST = 8
"""Pixels of a side: with fewer there is nothing left to see."""


def fidelities(given: Fidelity | Sequence[Fidelity]) -> tuple[Fidelity, ...]:
    """Returns the names of one or several fidelities.

    Raises:
        SettingError: If one is unknown or stands there twice, or there is none.
    """
    names: tuple[Fidelity, ...] = (given,) if isinstance(given, str) else tuple(given)
    known = get_args(Fidelity)
    for name in names:
        if name not in known:
            raise SettingError(
                f"A fidelity is {', '.join(known)} or several of these, but got {name!r}."
                f"{did_you_mean(str(name), known)}"
            )
    if not names or len(set(names)) < len(names):
        raise SettingError(f"Fidelities are named once each, at least one, but got {names!r}.")
    return names


@dataclass(frozen=True, slots=True)
class Part:
    """What is left of a training at a fidelity; 1 each for a full one.

    Attributes:
        epochs: The share of the epochs.
        data: The share of the training split.
        side: The share of an image's height and width.
        width: The share of the network's widths.
    """

    epochs: float = 1.0
    data: float = 1.0
    side: float = 1.0
    width: float = 1.0

    @classmethod
    def of(cls, names: Sequence[Fidelity], share: float) -> Part:
        """Shares a share of the cost out over some fidelities, in equal factors.

        Of k fidelities each makes a training ``share ** (1 / k)`` as dear. That is as many epochs
        or rows; the cost goes with the square of an image's side and of a network's widths.
        """
        each = share ** (1 / len(names))
        return cls(
            epochs=each if "epochs" in names else 1.0,
            data=each if "data" in names else 1.0,
            side=math.sqrt(each) if "resolution" in names else 1.0,
            width=math.sqrt(each) if "width" in names else 1.0,
        )

    @property
    def goes_on(self) -> bool:
        """Whether a longer training begins like this one: it is shorter, and no more than that."""
        return self.data == self.side == self.width == 1

    @property
    def epoch(self) -> float:
        """What an epoch costs, in epochs of a full training."""
        return self.data * self.side**2 * self.width**2

    def task(self, task: Task) -> Task:
        """Returns the task that is trained and validated on."""
        if self.data < 1:
            # One order of the rows, whatever a trial's seed: all networks learn from the same.
            task = task.with_part(self.data)
        if self.side < 1:
            height, width = (_side(side, self.side) for side in (task.height, task.width))
            task = task.shrunk(height, width)
        return task


def _side(side: int, share: float) -> int:
    return min(side, max(_SMALLEST, round(side * share)))


def check_fidelities(names: Sequence[Fidelity], task: Task) -> None:
    """Raises a SettingError where a task has nothing to leave out."""
    if "resolution" in names and (
        task.kind != "images" or max(task.height, task.width) <= _SMALLEST
    ):
        raise SettingError(
            f"The fidelity 'resolution' needs images with sides of more than {_SMALLEST} pixels, "
            f"but {task.name!r} has samples of {task.shape}. Take 'epochs' or 'data'."
        )
