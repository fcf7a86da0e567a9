"""What zero-cost proxies look at beside the network: one batch of training data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from ogive.errors import SettingError
from ogive.task import Task

__all__ = ["Batch", "Loss"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""Outputs ``(batch, outputs)`` and targets ``(batch,)`` to a scalar."""

_FEWEST = 4
"""Two halves of two samples: less has no variance, and no batch normalisation."""


@dataclass(frozen=True, eq=False)
class Batch:
    """A few samples as a network sees them, and what is wanted of it.

    Attributes:
        inputs: ``(batch, *shape)``, float32, preprocessed.
        targets: ``(batch,)``, classes or values.
        loss: What training makes small.
        seed: Of what a proxy draws for itself (weights and inputs of ``zen``).

    Raises:
        SettingError: If there are fewer than four samples, or not as many targets as inputs.
    """

    inputs: Tensor
    targets: Tensor
    loss: Loss = nn.functional.cross_entropy
    seed: int = 0

    def __post_init__(self) -> None:
        if not _FEWEST <= len(self.inputs) == len(self.targets):
            raise SettingError(
                f"A batch has at least {_FEWEST} samples with a target each, but got "
                f"{len(self.inputs)} inputs and {len(self.targets)} targets."
            )

    @classmethod
    def of(cls, task: Task, size: int = 16, *, seed: int = 0) -> Self:
        """Draws a batch of a task's training split; the whole split where that is smaller."""
        split = task.train
        rows = np.random.default_rng(seed).permutation(len(split))[:size]
        raw, targets = split.take(rows)
        with torch.no_grad():
            inputs: Tensor = task.normalizer().eval()(raw)
        return cls(inputs, targets, task.loss, seed)

    def to(self, device: torch.device) -> Batch:
        """Returns the batch on a device."""
        return Batch(self.inputs.to(device), self.targets.to(device), self.loss, self.seed)

    def example(self, n: int, device: str | torch.device = "cpu") -> Tensor:
        """A batch ``(n, *shape)`` of zeros, as a task gives it."""
        return torch.zeros((n, *self.inputs.shape[1:]), device=device)

    def generator(self) -> torch.Generator:
        """Returns a new generator, always in the same state, on the CPU."""
        return torch.Generator().manual_seed(self.seed)
