"""The estimator of one-shot methods: a network with the weights that it inherits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from ogive import nn as readings
from ogive.estimators import Run, device_of, predict
from ogive.nn import Supernet, calibrate
from ogive.space import Architecture
from ogive.task import Task

__all__ = ["Inherited", "Statistics"]

Statistics = Literal["recalibrated", "tracked"]

_BATCH = 256
"""Rows of a batch that statistics are measured on, at most."""


@dataclass(frozen=True)
class Inherited:
    """How good is an architecture with the weights of a supernet?

    An estimator for any strategy: it takes a fraction of a second where training takes minutes.
    The networks share their weights, so what it returns ranks them and is no accuracy that one
    would have when trained alone: a search trains its finalists in full.

    Attributes:
        supernet: Trained.
        task: Its validation split is what ranks.
        statistics: Where the statistics of batch normalisations come from: ``recalibrated``
            measures them for this network alone on some training data (as BigNAS, Yu et al. 2020,
            arXiv:2003.11142, section 3.3); ``tracked`` takes those of all networks together,
            which is quicker and mostly ranks worse (Yu et al. 2020, arXiv:2003.04276, section 4.1).
        samples: Rows of the training split that statistics are measured on.
    """

    supernet: Supernet
    task: Task
    statistics: Statistics = "recalibrated"
    samples: int = 2048
    _inputs: list[Tensor] = field(default_factory=list, init=False, repr=False, compare=False)

    def __call__(self, architecture: Architecture, run: Run) -> dict[str, float]:
        """Returns the metrics on the validation split."""
        with readings.threads(run.threads):
            network = self.network(architecture, device=run.device)
            finished = predict(network, self.task, self.task.validation, device=run.device)
        return self.task.score(finished, self.task.validation.targets)

    def network(self, architecture: Architecture, *, device: str = "auto") -> nn.Module:
        """Returns the network of an architecture with its weights, ready to evaluate."""
        where = device_of(device)
        network = self.supernet.extract(architecture).to(where)
        if self.statistics == "tracked":
            return network.eval()
        return calibrate(network, self._calibration(where))

    def _calibration(self, device: torch.device) -> Iterator[Tensor]:
        if not self._inputs:
            normalizer = self.task.normalizer()
            count = min(self.samples, len(self.task.train))
            # Spread over the split, which may stand in the order of its classes.
            rows = torch.linspace(0, len(self.task.train) - 1, count).long()
            shuffled = rows[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
            with torch.no_grad():
                # Equal parts, since each weighs the same; of one row alone there is no variance.
                for part in shuffled.tensor_split(math.ceil(count / _BATCH)):
                    self._inputs.append(normalizer(self.task.train.take(part)[0]))
        return (each.to(device) for each in self._inputs)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_inputs": []}
