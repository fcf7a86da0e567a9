"""What every kind of data has in common: how it becomes the raw input array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from torch import nn

from ogive.task._split import Indices, Split, SplitName
from ogive.task._store import Kept, Progress

__all__ = ["Divide", "Inputs", "Options", "Prepared"]

Divide = Callable[[npt.NDArray[np.uint64]], tuple[dict[SplitName, Indices], list[str]]]
"""From a digest a row to the rows of each split, and what should be said."""


@dataclass(frozen=True)
class Options:
    """What the user may say about the reading.

    Attributes:
        size: The height and width of images.
        cache: A folder for what does not fit into memory.
        progress: Told how many samples have been read.
    """

    size: int | tuple[int, int] | None = None
    cache: Path | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class Prepared:
    """Data that was read.

    Attributes:
        inputs: How it was read.
        kept: All rows, ``(n, *shape)``.
        rows: The row numbers of each split.
        notes: What should be said.
    """

    inputs: Inputs
    kept: Kept
    rows: dict[SplitName, Indices]
    notes: list[str] = field(default_factory=list)


class Inputs(ABC):
    """How data of one kind becomes the raw input array; a frozen record that JSON can say.

    The same ``read`` makes the training data and a prediction's input, so they cannot disagree.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one sample, raw and as the network sees it."""

    @property
    @abstractmethod
    def sizes(self) -> Mapping[str, Any]:
        """What a network function may ask its task about this kind, by name."""

    @abstractmethod
    def items(self, data: Any) -> Any:
        """Brings what a user gives for prediction into the form that ``read`` takes.

        Raises:
            TaskError: It cannot be data of this kind.
        """

    @classmethod
    @abstractmethod
    def prepare(cls, items: Any, divide: Divide, options: Options) -> Prepared:
        """Finds out how to read the items, divides them and reads them.

        Raises:
            TaskError: They cannot be read.
        """

    @abstractmethod
    def read(self, items: Any) -> npt.NDArray[Any]:
        """The raw inputs ``(n, *shape)`` of some items.

        Raises:
            TaskError: They cannot be read, or are unlike the training data.
        """

    @abstractmethod
    def normalizer(self, train: Split) -> nn.Module:
        """A module from raw inputs to what the network sees, fitted to the training split."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """All that ``from_json`` and a script without ogive need."""

    @classmethod
    @abstractmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The record that ``to_json`` described."""
