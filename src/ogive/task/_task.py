"""The task: what a network is to learn, from which data, and how it is scored."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ogive.task._images import ImageInputs, Shrunk
from ogive.task._inputs import Inputs
from ogive.task._metrics import METRICS
from ogive.task._split import Rows, Split, SplitName
from ogive.task._store import Stored
from ogive.task._target import Problem, Target

__all__ = ["Task"]


@dataclass(frozen=True, eq=False)
class Task:
    """Data with its splits, and what is to be predicted; made by ``ogive.task.load``.

    What only one kind of data has is an attribute too: ``channels``, ``height`` and ``width`` of
    images; ``numbers`` and ``cardinalities`` of a table, whose columns are that many numbers and
    then a code for each category, below its cardinality.

    It pickles by the path of its data where they lie in a file.

    Attributes:
        name: What the data is called.
        inputs: How a user's data becomes raw inputs.
        target: What is predicted.
        metric: The objective, unless a search names others.
        notes: What was seen in the data and should be said.
        digest: Of all raw inputs.
    """

    name: str
    inputs: Inputs
    target: Target
    metric: str
    notes: tuple[str, ...]
    digest: str
    _inputs: Stored = field(repr=False)
    _targets: Stored = field(repr=False)
    _rows: Mapping[SplitName, Stored] = field(repr=False)
    _normalizer: nn.Module = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        """What only this kind of data has."""
        # While it is unpickled there are no fields yet.
        inputs: Inputs | None = self.__dict__.get("inputs")
        if inputs is None or name.startswith("_"):
            raise AttributeError(name)
        if name in inputs.sizes:
            return inputs.sizes[name]
        raise AttributeError(
            f"A task of {inputs.kind} data has no {name!r}, but has {', '.join(inputs.sizes)}."
        )

    @property
    def kind(self) -> str:
        """``images`` or ``tabular``."""
        return self.inputs.kind

    @property
    def problem(self) -> Problem:
        """``classification`` or ``regression``."""
        return self.target.problem

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample: ``(channels, height, width)`` or ``(features,)``."""
        return self.inputs.shape

    @property
    def outputs(self) -> int:
        """The classes, or 1 for a regression."""
        return self.target.outputs

    @property
    def labels(self) -> tuple[str, ...]:
        """What the classes are called; nothing for a regression."""
        return self.target.names

    @property
    def train(self) -> Split:
        return self._split("train")

    @property
    def validation(self) -> Split:
        return self._split("validation")

    def unseal(self) -> Split:
        """The test split, for the one test of the final network at the end of a search."""
        return self._split("test")

    def with_part(self, share: float, *, seed: int = 0) -> Task:
        """The task with a share of its training split, by :meth:`Split.part`.

        The normalizer's statistics are still those of the whole split.
        """
        rows = Stored(self._rows["train"].array[self.train.part(share, seed=seed)])
        return replace(self, _rows={**self._rows, "train": rows})

    def shrunk(self, height: int, width: int) -> Task:
        """The task of images with smaller images: the normalizer ends in shrinking them.

        Each new pixel is the mean of those that it covers. Splits keep the images as they are.
        """
        assert isinstance(self.inputs, ImageInputs)
        inputs = replace(self.inputs, height=height, width=width)
        normalizer = Shrunk(self._normalizer, (height, width))
        return replace(self, inputs=inputs, _normalizer=normalizer)

    def size(self, split: SplitName) -> int:
        """How many rows a split has."""
        return len(self._rows[split].array)

    def _split(self, name: SplitName) -> Split:
        index = self._rows[name].array
        return Split(Rows(self._inputs, index), self._targets.array[index])

    def normalizer(self) -> nn.Module:
        """A module from raw inputs (uint8 images, or tables with NaN) to float32 of ``shape``.

        It has buffers only, and can be exported. Its statistics are the training split's.
        """
        return copy.deepcopy(self._normalizer)

    def finisher(self) -> nn.Module:
        """A module from a network's outputs to what a user wants.

        That is probabilities ``(batch, classes)``, or values ``(batch, 1)`` in the target's units.
        """
        return self.target.finisher()

    def loss(self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0) -> Tensor:
        """The training loss, a scalar: cross-entropy, or the squared error of standardised values.

        Where balanced accuracy is the metric, the logarithms of the classes' shares of the
        training split are added to the outputs, so that what the network itself says takes all
        classes for equally frequent (Menon et al. 2021, arXiv:2007.07314, the logit-adjusted loss).

        Args:
            outputs: Of the network, ``(batch, outputs)``.
            targets: As ``Split.take`` gives them, ``(batch,)``; or probabilities
                ``(batch, classes)``.
            smoothing: Of the labels.
        """
        if self.metric == "balanced_accuracy":
            outputs = outputs + self._log_shares.to(outputs.device)
        return self.target.loss(outputs, targets, smoothing)

    @cached_property
    def _log_shares(self) -> Tensor:
        counts = np.bincount(self.train.targets, minlength=self.outputs)
        return torch.from_numpy(np.log(np.maximum(counts, 1) / counts.sum())).float()

    def score(self, finished: npt.ArrayLike, targets: npt.ArrayLike) -> dict[str, float]:
        """All metrics of this problem.

        Args:
            finished: Outputs of the finisher, ``(n, outputs)``.
            targets: ``(n,)``, as in ``Split.targets``.
        """
        return self.target.score(np.asarray(finished), np.asarray(targets))

    def example(self, n: int, device: str | torch.device = "cpu") -> Tensor:
        """A batch ``(n, *shape)`` as a network sees it, of zeros: a valid input of every kind."""
        return torch.zeros((n, *self.shape), device=device)

    def preprocessing(self) -> dict[str, Any]:
        """JSON that says how files and rows become raw inputs, and what the outputs mean.

        ``raw_inputs`` needs nothing else, nor does a script without ogive.
        """
        return {
            "inputs": self.inputs.to_json(),
            "problem": self.problem,
            "labels": list(self.labels),
        }

    @cached_property
    def key(self) -> str:
        """A digest, 16 hex digits, of the data, how it is read and how it is divided."""
        digest = hashlib.blake2b(self.digest.encode(), digest_size=8)
        digest.update(json.dumps(self.preprocessing(), sort_keys=True).encode())
        for stored in (self._targets, *self._rows.values()):
            digest.update(np.ascontiguousarray(stored.array).data)
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What a report says of the task, as JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "problem": self.problem,
            "rows": {split: self.size(split) for split in self._rows},
            "shape": list(self.shape),
            "outputs": self.outputs,
            "labels": list(self.labels),
            "metric": self.metric,
            "metrics": {n: METRICS[n].greater_is_better for n in self.target.metrics},
            "notes": list(self.notes),
        }
