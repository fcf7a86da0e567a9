"""The batches of a training, each drawn from its seed and the step's number only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ogive.estimators._augment import augment, mixup
from ogive.estimators._recipe import Recipe
from ogive.estimators._train import _Data, _laid_out
from ogive.task import Split, Task

__all__ = ["Batches"]


class Batches:
    """Augmented batches of a split in shuffled order, by the number of the step.

    Args:
        split: The rows; those that do not fill an epoch's last batch are left out of it.
        task: What they are rows of.
        recipe: Gives batch size and augmentation.
        seed: Of every draw.
        device: Where the batches are wanted.

    Attributes:
        size: Rows of a batch.
        steps: Batches of an epoch.
    """

    def __init__(
        self, split: Split, task: Task, recipe: Recipe, *, seed: int, device: torch.device
    ) -> None:
        self._data = _Data(split, task, device)
        self._task, self._recipe, self._seed = task, recipe, seed
        self._order: tuple[int, Tensor] | None = None
        self.size = min(recipe.batch_size, len(split))
        self.steps = len(split) // self.size

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns normalised inputs ``(batch, *shape)`` and targets ``(batch,)``.

        With mixup, targets are ``(batch, classes)``. Torch's default generator is left as the
        seed and the step alone decide, for dropout.
        """
        rng = np.random.default_rng([self._seed, step])
        torch.manual_seed(int(rng.integers(1 << 62)))
        inputs, targets = self._data.take(self._rows(step))
        if self._task.kind == "images":
            inputs = augment(inputs, self._recipe, rng, self._data.blank)
        if self._recipe.mixup:
            if self._task.problem == "classification":
                targets = nn.functional.one_hot(targets, self._task.outputs).float()
            inputs, targets = mixup(inputs, targets, self._recipe.mixup, rng)
        return _laid_out(inputs), targets

    def _rows(self, step: int) -> Tensor:
        epoch, place = divmod(step, self.steps)
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch, 1])
            self._order = epoch, torch.from_numpy(rng.permutation(len(self._data)))
        return self._order[1][place * self.size : (place + 1) * self.size]
