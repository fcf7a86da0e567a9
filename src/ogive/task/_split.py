"""Which rows are for training, for validation and for the one test at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ogive.errors import TaskError
from ogive.task._store import Stored

__all__ = ["SPLITS", "SPLIT_WORDS", "Division", "Rows", "Split", "SplitName"]

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]
SplitName = Literal["train", "validation", "test"]
SPLITS: Final[tuple[SplitName, ...]] = ("train", "validation", "test")

SPLIT_WORDS: Final[Mapping[str, SplitName]] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""What folders and arrays of a split are called."""

_NAME: Final = "U10"
_SMALL: Final = 2_000
_LARGEST: Final = 10_000
_FEWEST: Final = 10
_COPIES: Final = 3
_PART: Final = 2


class Rows:
    """A read-only view of some rows of a stored array, read when indexed.

    ``rows[3]``, ``rows[10:20]`` and ``rows[[4, 1]]`` are arrays in memory; ``np.asarray(rows)``
    is all of them.
    """

    def __init__(self, stored: Stored, index: Indices) -> None:
        self._stored = stored
        self._index = index

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._index), *self._stored.array.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._stored.array.dtype

    @property
    def nbytes(self) -> int:
        """The bytes that all rows take in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._index)

    def some(self, rows: Any) -> Rows:
        """A view of some of these rows."""
        return Rows(self._stored, self._index[rows])

    def __getitem__(self, rows: Any) -> Array:
        taken: Array = np.take(self._stored.array, self._index[rows], axis=0)
        return taken

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("Rows are read from their store, which always makes a copy.")
        return self[:].astype(dtype or self.dtype, copy=False)


@dataclass(frozen=True, eq=False)
class Split:
    """Some rows of a task; ``a + b`` has the rows of both.

    Attributes:
        inputs: Raw inputs ``(n, *shape)``: uint8 images ``(n, channels, height, width)``, or
            float32 tables ``(n, features)`` with NaN where a number is missing.
        targets: ``(n,)``: int64 classes, or float64 values in the target's units.
    """

    inputs: Rows
    targets: Array

    def __len__(self) -> int:
        return len(self.targets)

    def __add__(self, other: Split) -> Split:
        stored, index = self.inputs._stored, self.inputs._index
        if other.inputs._stored is not stored:
            raise ValueError("Only splits of one task can be added.")
        joined = Rows(stored, np.concatenate([index, other.inputs._index]))
        return Split(joined, np.concatenate([self.targets, other.targets]))

    def halves(self) -> tuple[Split, Split]:
        """Returns a half of the rows, always the same, and the rest; each class has half in both."""
        order, middle = self._order(seed=0), (len(self) + 1) // 2
        first, second = np.sort(order[:middle]), np.sort(order[middle:])
        return (
            Split(self.inputs.some(first), self.targets[first]),
            Split(self.inputs.some(second), self.targets[second]),
        )

    def part(self, share: float, *, seed: int = 0) -> Indices:
        """Returns the numbers of a share of the rows, ascending; each class has its share of them.

        A seed draws one order of all rows, of which a share is the beginning: a larger one
        contains a smaller one.
        """
        return np.sort(self._order(seed)[: max(_PART, round(share * len(self)))])

    def _order(self, seed: int) -> Indices:
        """All rows, drawn; any beginning has its share of each class, and one of each first."""
        rng = np.random.default_rng(seed)
        classes = self.targets.dtype.kind == "i"  # else values, drawn without regard to their size
        strata = self.targets if classes else np.zeros(len(self), np.int64)
        place = np.empty(len(self))
        for stratum in np.unique(strata):
            rows = rng.permutation(np.flatnonzero(strata == stratum))
            place[rows] = np.arange(len(rows)) / len(rows)
        return np.lexsort((rng.random(len(self)), place))

    def take(self, indices: Any = slice(None)) -> tuple[Tensor, Tensor]:
        """Reads some rows into memory.

        Args:
            indices: A slice, a sequence of row numbers, an array or a tensor; all rows if not
                given.

        Returns:
            Raw inputs ``(b, *shape)`` and targets ``(b,)``, int64 classes or float32 values.
        """
        if isinstance(indices, Tensor):
            indices = indices.cpu().numpy()
        targets = torch.from_numpy(np.array(self.targets[indices]))
        if targets.is_floating_point():
            targets = targets.float()
        return torch.from_numpy(self.inputs[indices]), targets

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All rows in order, ``size`` at a time (the last batch may be smaller)."""
        return (self.take(slice(start, start + size)) for start in range(0, len(self), size))


@dataclass(frozen=True)
class Division:
    """How a task's rows are divided.

    Attributes:
        given: For each row the split that the user put it in; ``train`` is the pool from which
            the missing splits are drawn.
        shares: The share of the pool that goes to a split (``validation``, ``test``); 0 where
            the user gave that split.
        targets: For each row its class, or its value.
        labels: The names of the classes; empty for values, which are drawn without regard to
            their size.
        seed: Of the drawing.
    """

    given: npt.NDArray[np.str_]
    shares: Mapping[SplitName, float | None]
    targets: Array
    labels: tuple[str, ...]
    seed: int

    def __call__(
        self, digests: npt.NDArray[np.uint64]
    ) -> tuple[dict[SplitName, Indices], list[str]]:
        """Divides the rows; copies of a row stay together, so that no copy is tested on.

        Where the same few rows come again and again they are not copies but observations (a
        table of a few categories), and are divided one by one.

        Args:
            digests: For each row a number by which equal inputs are known.

        Returns:
            The row numbers of each split, ascending, and what should be said.

        Raises:
            TaskError: Too few rows, all rows alike, or a class too small to divide.
        """
        pool = self.given == "train"
        self._check(digests, pool)
        keys = digests ^ self.targets.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        first, group = _distinct(keys[pool])
        notes = self._copies(keys, len(first), pool)
        if len(first) * _COPIES < pool.sum():
            first = group = np.arange(pool.sum())
        drawn = self._draw(self.targets[pool][first])
        where = self.given.astype(_NAME)
        where[pool] = drawn[group]
        return {name: np.flatnonzero(where == name) for name in SPLITS}, notes

    def _check(self, digests: npt.NDArray[np.uint64], pool: npt.NDArray[np.bool_]) -> None:
        if pool.sum() < _FEWEST:
            raise TaskError(
                f"Training data must have at least {_FEWEST} rows, but there are only "
                f"{pool.sum()}. Add more."
            )
        if len(np.unique(digests[pool])) == 1:
            raise TaskError(
                f"Rows must differ for anything to be learned, but all {pool.sum()} rows have "
                "the same inputs (100 % duplicates). Check how the data was written."
            )

    def _copies(
        self, keys: npt.NDArray[np.uint64], distinct: int, pool: npt.NDArray[np.bool_]
    ) -> list[str]:
        notes = []
        count = int(pool.sum())
        if count - distinct:
            kept = "stay in one split" if distinct * _COPIES >= count else "are taken as repeated"
            notes.append(
                f"{count - distinct:,} of {count:,} rows are copies of another row; copies {kept}."
            )
        for name in SPLITS[1:]:
            rows = self.given == name
            if common := int(np.isin(keys[rows], keys[pool]).sum()):
                notes.append(
                    f"{common:,} of the {rows.sum():,} {name} rows given are also in the training "
                    "data: their score will flatter."
                )
        return notes

    def _draw(self, targets: Array) -> npt.NDArray[np.str_]:
        """For each of the pool's distinct rows the split it goes to."""
        counts = {name: self._count(name, len(targets)) for name in ("test", "validation")}
        wanted = {name: count for name, count in counts.items() if count}
        where = np.full(len(targets), "train", dtype=_NAME)
        rng = np.random.default_rng(self.seed)
        strata = targets if self.labels else np.zeros(len(targets), np.int64)
        self._check_strata(strata, 1 + len(wanted))
        for stratum in np.unique(strata):
            rows = rng.permutation(np.flatnonzero(strata == stratum))
            shares = {name: count * len(rows) / len(targets) for name, count in wanted.items()}
            # One at least, and one at least for each that follows, training the last.
            for following, (name, share) in zip(
                range(len(wanted), 0, -1), shares.items(), strict=True
            ):
                own = min(max(1, round(share)), len(rows) - following)
                where[rows[:own]] = name
                rows = rows[own:]
        return where

    def _count(self, name: SplitName, rows: int) -> int:
        share = self.shares[name]
        if share is None:
            share = 0.2 if rows < _SMALL else 0.15
            return min(_LARGEST, max(1, round(share * rows)))
        return max(1, round(share * rows)) if share else 0

    def _check_strata(self, strata: Array, fewest: int) -> None:
        """Each class needs a row for each split."""
        counts = np.bincount(strata.astype(np.int64), minlength=len(self.labels))
        small = [
            f"{label!r} has {count}"
            for label, count in zip(self.labels, counts, strict=False)
            if count < fewest
        ]
        if small:
            more = f" and {len(small) - 10} more" if len(small) > 10 else ""
            raise TaskError(
                f"Each class needs at least {fewest} different rows (one a split), but class "
                f"{', '.join(small[:10])}{more}. Add rows to it or leave the class out."
            )


def _distinct(keys: npt.NDArray[np.uint64]) -> tuple[Indices, Indices]:
    """The first row of each distinct key, ascending, and for each row its key's place among them."""
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[group]
