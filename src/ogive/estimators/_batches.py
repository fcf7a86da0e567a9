"""The data of a training, and its batches: each drawn from the seed and the step's number only."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ogive.estimators._augment import augment, background, mixup
from ogive.estimators._recipe import Recipe
from ogive.task import Split, Task

__all__ = ["Batches", "Data", "FitOn", "laid_out", "lay_out", "learned"]

FitOn = Literal["train", "all"]

_IN_MEMORY = 512 << 20
"""Bytes of normalised training data that are kept as one tensor; more is read by the batch."""


class Batches:
    """Augmented batches of a split in shuffled order, by the number of the step.

    Args:
        data: The rows; those that do not fill an epoch's last batch are left out of it.
        task: What they are rows of.
        recipe: Gives batch size and augmentation.
        seed: Of every draw.

    Attributes:
        size: Rows of a batch.
        steps: Batches of an epoch.
    """

    def __init__(self, data: Data, task: Task, recipe: Recipe, *, seed: int) -> None:
        self._data = data
        self._task, self._recipe, self._seed = task, recipe, seed
        self._order: tuple[int, Tensor] | None = None
        self.size = min(recipe.batch_size, len(data))
        self.steps = len(data) // self.size

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns normalised inputs ``(batch, *shape)`` and targets ``(batch,)``.

        With mixup, targets are ``(batch, classes)``. Torch's default generator is left as the
        seed and the step alone decide, for dropout.
        """
        rng = np.random.default_rng([self._seed, step])
        reseed(int(rng.integers(1 << 62)), self._data.device)
        inputs, targets = self._data.take(self.rows(step))
        if self._task.kind == "images":
            inputs = augment(inputs, self._recipe, rng, self._data.blank)
        if self._recipe.mixup:
            inputs, targets = self.mixed(inputs, targets, rng)
        return laid_out(inputs), targets

    def mixed(
        self, inputs: Tensor, targets: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Returns a batch with mixup; its targets are then shares of the classes."""
        if self._task.problem == "classification":
            targets = nn.functional.one_hot(targets, self._task.outputs).float()
        return mixup(inputs, targets, self._recipe.mixup, rng)

    def rows(self, step: int) -> Tensor:
        """Returns the numbers of a step's rows, ``(batch,)``."""
        epoch, place = divmod(step, self.steps)
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch, 1])
            self._order = epoch, torch.from_numpy(rng.permutation(len(self._data)))
        return self._order[1][place * self.size : (place + 1) * self.size]


class Data:
    """A split on the device: as one normalised tensor where it is small, else by the batch."""

    def __init__(self, split: Split, task: Task, device: torch.device) -> None:
        self._split, self.device = split, device
        self._normalizer = task.normalizer().to(device).eval()
        self._held: tuple[Tensor, Tensor] | None = None
        if 4 * math.prod(split.inputs.shape) <= _IN_MEMORY:
            raw, targets = split.take()
            with torch.no_grad():
                parts = [self._normalizer(part.to(device)) for part in torch.split(raw, 4096)]
            self._held = torch.cat(parts), targets.to(device)
        self.blank = torch.zeros(())
        if task.kind == "images":
            some = self.take(torch.arange(min(512, len(split))))[0]
            self.blank = background(some)

    def __len__(self) -> int:
        return len(self._split)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised inputs ``(b, *shape)`` and targets ``(b,)``."""
        if self._held is not None:
            rows = rows.to(self.device)
            return self._held[0][rows], self._held[1][rows]
        raw, targets = self._split.take(rows)
        with torch.no_grad():
            return self._normalizer(raw.to(self.device)), targets.to(self.device)


def reseed(seed: int, device: torch.device) -> None:
    """Sets torch's default generators, as ``torch.manual_seed`` does.

    That one takes as long as a small network's forward pass where there is no accelerator: it
    writes down a stack trace for each kind that may be initialised later.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def learned(task: Task, fit_on: FitOn) -> Split:
    """Returns what is trained on."""
    return task.train if fit_on == "train" else task.train + task.validation


def laid_out(inputs: Tensor) -> Tensor:
    """Returns images as convolutions take them quickest: channels last."""
    if inputs.dim() == 4:
        return inputs.contiguous(memory_format=torch.channels_last)
    return inputs


def lay_out(network: nn.Module) -> None:
    """Lays weights out as :func:`laid_out` does images.

    ``network.to(memory_format=...)`` would ask it of kernels of three dimensions, too, which have
    no such order.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = laid_out(tensor.data)
