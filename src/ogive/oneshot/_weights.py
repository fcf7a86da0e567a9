"""Shared weights in training, whatever decides which of their networks a step runs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ogive.errors import TrialFailed
from ogive.estimators import (
    Batches,
    Data,
    Precision,
    Recipe,
    Run,
    Schedule,
    autocast,
    device_of,
    optimizer_of,
)
from ogive.nn import NetworkFunction, Route, Supernet
from ogive.oneshot._course import Stateful
from ogive.space import SearchSpace
from ogive.task import Split, Task

__all__ = ["SharedWeights", "cuda_devices"]


class SharedWeights:
    """A supernet, what it learns from, and a step of its optimizer.

    Args:
        network: The network function.
        task: Gives the loss.
        space: What may be chosen.
        recipe: How to train, at its learning rate as it is: ``lr_width`` is for networks alone.
        run: Gives seed and device.
        split: The rows that are learned from.
        epochs: How long the training is; the recipe's is its full length.
        precision: ``bf16`` computes under autocast.

    Attributes:
        supernet: The weights.
        device: Where they are.
        batches: By the number of a step.
        schedule: Of the learning rate.
    """

    def __init__(
        self,
        network: NetworkFunction,
        task: Task,
        space: SearchSpace,
        recipe: Recipe,
        run: Run,
        *,
        split: Split,
        epochs: float,
        precision: Precision,
    ) -> None:
        self._task, self._recipe, self._precision = task, recipe, precision
        self.device = device_of(run.device)
        self.supernet = Supernet(network, task, space, seed=run.seed).to(self.device)
        self.batches = Batches(Data(split, task, self.device), task, recipe, seed=run.seed)
        self._optimizer = optimizer_of(self.supernet, recipe, self.device)
        steps = (max(1, round(count * self.batches.steps)) for count in (epochs, recipe.epochs))
        total, full = steps
        self.schedule = Schedule(recipe, total=total, full=full)
        self.identity: dict[str, Any] = {
            "space": space.key,
            "task": task.key,
            "seed": run.seed,
            "recipe": recipe.to_json(),
            "precision": precision,
            "steps": total,
        }

    @property
    def state(self) -> dict[str, Stateful]:
        """What a training goes on from."""
        return {"supernet": self.supernet, "optimizer": self._optimizer}

    def outputs(self, route: Route, inputs: Tensor) -> Tensor:
        """Returns ``(batch, outputs)`` in fp32, in training mode."""
        route.network.train()
        with autocast(self.device, self._precision):
            return route(inputs).float()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Returns the training loss, a scalar."""
        return self._task.loss(outputs, targets, smoothing=self._recipe.label_smoothing)

    def rate(self, step: int) -> float:
        """Returns the learning rate of a step."""
        return self._recipe.lr * self.schedule.factor(step)

    def clear(self) -> None:
        """Forgets the gradients of the step before."""
        self._optimizer.zero_grad(set_to_none=True)

    def descend(self, step: int, loss: float) -> None:
        """Moves down the gradients.

        Raises:
            TrialFailed: If the loss that gave them is not a number.
        """
        if not math.isfinite(loss):
            raise TrialFailed(
                f"The loss must be finite, but was {loss} in step {step} of shared weights. A "
                f"lower learning rate than {self._recipe.lr} or gradient clipping may help."
            )
        if self._recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.supernet.parameters(), self._recipe.clip)
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate(step)
        self._optimizer.step()


def cuda_devices() -> list[int]:
    """Returns the devices whose generators a training must leave as they were."""
    return list(range(torch.cuda.device_count()))
