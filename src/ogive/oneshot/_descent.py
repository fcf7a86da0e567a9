"""A step of the shared weights, whatever the loss it goes down."""

from __future__ import annotations

import math

import torch
from torch import nn

from ogive.errors import TrialFailed
from ogive.estimators import Recipe

__all__ = ["cuda_devices", "descend", "require_finite"]


def require_finite(loss: float, recipe: Recipe, where: str) -> None:
    """Raises a TrialFailed with the cure, unless a loss is a number."""
    if not math.isfinite(loss):
        raise TrialFailed(
            f"The loss must be finite, but was {loss} in {where}. A lower learning rate than "
            f"{recipe.lr} or gradient clipping may help."
        )


def descend(
    supernet: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, rate: float
) -> None:
    """Moves the weights down the gradients that they have, at a learning rate."""
    if recipe.clip is not None:
        nn.utils.clip_grad_norm_(supernet.parameters(), recipe.clip)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()


def cuda_devices() -> list[int]:
    """Returns the devices whose generators a training must leave as they were."""
    return list(range(torch.cuda.device_count()))
