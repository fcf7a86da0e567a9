"""What is predicted: classes or a value; with its loss, its last layer and its metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ogive.errors import TaskError
from ogive.task._metrics import METRICS

__all__ = ["Classes", "Problem", "Target", "Value"]

Array = npt.NDArray[Any]
Problem = Literal["classification", "regression"]


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """What a network's outputs mean.

    Attributes:
        metric: The metric to make good, unless the user names another.
        names: What the classes are called; nothing for a quantity.
    """

    problem: ClassVar[Problem]
    metrics: ClassVar[tuple[str, ...]]
    metric: str
    names: tuple[str, ...]

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers a network puts out for a sample."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """The training loss, a scalar, of a network's outputs ``(batch, outputs)``."""

    @abstractmethod
    def finisher(self) -> nn.Module:
        """From a network's outputs to probabilities, or to values in the target's units."""

    def score(self, finished: Array, targets: Array) -> dict[str, float]:
        """All metrics; NaN where the outputs are not finite."""
        if not np.isfinite(finished).all():
            return dict.fromkeys(self.metrics, float("nan"))
        return {name: METRICS[name].function(finished, targets) for name in self.metrics}


@dataclass(frozen=True, kw_only=True)
class Classes(Target):
    """One of several classes.

    Attributes:
        metric: ``balanced_accuracy`` where the classes are strongly imbalanced.
        names: What the classes are called.
        values: What stands for each class in the data, as text.
    """

    problem: ClassVar[Problem] = "classification"
    metrics: ClassVar[tuple[str, ...]] = (
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "log_loss",
        "auc",
    )
    values: tuple[str, ...]

    @property
    def outputs(self) -> int:
        return len(self.names)

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        return functional.cross_entropy(outputs, targets, label_smoothing=smoothing)

    def finisher(self) -> nn.Module:
        return nn.Softmax(dim=1)


@dataclass(frozen=True, kw_only=True)
class Value(Target):
    """A quantity; the network learns it standardised.

    Attributes:
        mean: Of the training targets, in their units.
        std: Of the training targets, in their units.
    """

    problem: ClassVar[Problem] = "regression"
    metrics: ClassVar[tuple[str, ...]] = ("r2", "rmse", "mae")
    metric: str = "r2"
    names: tuple[str, ...] = ()
    mean: float
    std: float

    @classmethod
    def of(cls, targets: Array) -> Value:
        """Takes mean and standard deviation from the training targets ``(n,)``.

        Raises:
            TaskError: They are all the same.
        """
        mean, std = float(np.mean(targets)), float(np.std(targets))
        if std == 0:
            raise TaskError(
                f"The target must vary for anything to be learned, but is {mean:g} in all "
                "training rows. Choose another target."
            )
        largest = np.float32(np.abs(targets).max())
        step = max(np.spacing(largest), np.finfo(np.float32).tiny)
        if std < step:
            raise TaskError(
                f"Networks compute in float32, whose steps are {step:.1e} at the target's size, but "
                f"its standard deviation is {std:.1e}. Subtract a constant from it, or give it in a "
                "smaller unit."
            )
        return cls(mean=mean, std=std)

    @property
    def outputs(self) -> int:
        return 1

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """The mean squared error of the standardised value; there is nothing to smooth."""
        del smoothing
        standard = (targets.to(outputs.dtype) - self.mean) / self.std
        return functional.mse_loss(outputs[:, 0], standard)

    def finisher(self) -> nn.Module:
        return _Unstandardise(self.mean, self.std)


class _Unstandardise(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs * self.std + self.mean
