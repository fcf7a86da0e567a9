"""Tables: columns of numbers, then columns of category codes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from ogive.errors import TaskError, did_you_mean
from ogive.task._archives import texts
from ogive.task._columns import DURATION, ISO_DATE, MISSING, MISSING_CODE, Column, find_column
from ogive.task._inputs import Divide, Inputs, Options, Prepared
from ogive.task._split import Split
from ogive.task._store import BY_VALUE, keep
from ogive.task._tables import named, read_frame

__all__ = ["TableInputs"]

_SAMPLE: Final = 100_000


@dataclass(frozen=True)
class TableInputs(Inputs):
    """A table's columns and how each becomes numbers.

    Attributes:
        names: All columns of the user's table but the target, in order; an array without names
            is read by this order.
        columns: The columns that are used: those that become numbers, then the categories.
    """

    kind: ClassVar[str] = "tabular"
    names: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def numbers(self) -> int:
        """How many of the features are numbers; they come first."""
        return sum(column.width for column in self.columns if column.type != "category")

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """How many codes each category has; a feature each, after the numbers."""
        return tuple(each.cardinality for each in self.columns if each.type == "category")

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.numbers + len(self.cardinalities),)

    @property
    def sizes(self) -> Mapping[str, Any]:
        return {"numbers": self.numbers, "cardinalities": self.cardinalities}

    def items(self, data: Any) -> Any:
        """A frame from a file's path, a frame, an array, rows as mappings, or columns."""
        if isinstance(data, str | Path):
            return read_frame(Path(data), self.names)
        if isinstance(data, Sequence) and data and isinstance(data[0], str | Path):
            return pd.concat([self.items(path) for path in data], ignore_index=True)
        if isinstance(data, pd.DataFrame):
            return named(data)
        if isinstance(data, Mapping):
            return named(_from_mapping(data))
        return to_frame(data)

    @classmethod
    def prepare(cls, items: pd.DataFrame, divide: Divide, options: Options) -> Prepared:
        if options.size is not None:
            raise TaskError(
                f"size= is the height and width of images, but this is a table and "
                f"size={options.size!r} was given. Leave it out."
            )
        digests = _digests(items)
        rows, notes = divide(digests)
        inputs, said = cls._fit(items.iloc[rows["train"]])
        shape = (len(items), *inputs.shape)
        path = None
        if options.cache is not None and 4 * np.prod(shape, dtype=np.int64) > BY_VALUE:
            digest = hashlib.blake2b(json.dumps(inputs.to_json()).encode(), digest_size=16)
            digest.update(digests.data)
            path = options.cache / f"table-{digest.hexdigest()}.npy"
        kept = keep(lambda part: inputs.read(items.iloc[part]), shape, np.float32, path)
        return Prepared(inputs, kept, rows, notes + said)

    @classmethod
    def _fit(cls, train: pd.DataFrame) -> tuple[TableInputs, list[str]]:
        found, notes = [], []
        for name in train.columns:
            column, said = find_column(str(name), train[name])
            found += [column] if column is not None else []
            notes += [said] if said is not None else []
        if not found:
            raise TaskError(
                "A table needs a column to learn from besides the target, but none is left of "
                f"{len(train.columns)}: {' '.join(notes)} Give another table or target=."
            )
        found.sort(key=lambda column: column.type == "category")
        return cls(tuple(map(str, train.columns)), tuple(found)), notes

    def read(self, items: pd.DataFrame) -> npt.NDArray[np.float32]:
        """The raw inputs ``(n, features)``; NaN where a number is missing."""
        if not all(isinstance(name, str) for name in items.columns):
            items = self._named(items)
        missing = [column.name for column in self.columns if column.name not in items.columns]
        if missing:
            raise TaskError(
                f"A table must have the training data's columns, but {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not there."
                f"{did_you_mean(missing[0], map(str, items.columns))}"
            )
        read = [column.read(items[column.name]) for column in self.columns]
        return np.column_stack(read).astype(np.float32)

    def _named(self, items: pd.DataFrame) -> pd.DataFrame:
        if len(items.columns) != len(self.names):
            raise TaskError(
                f"An array must have the training data's {len(self.names)} columns, but has "
                f"{len(items.columns)}. They are, in order: {', '.join(self.names)}."
            )
        return items.set_axis(list(self.names), axis=1)

    def normalizer(self, train: Split) -> nn.Module:
        step = max(1, len(train) // _SAMPLE)
        sample = train.inputs[::step][:, : self.numbers]
        return _TableNormalizer(sample, self.cardinalities)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "names": list(self.names),
            "columns": [column.to_json() for column in self.columns],
            "missing": list(MISSING),
            "dates": ISO_DATE,
            "durations": DURATION,
            "dtype": "float32",
            "shape": list(self.shape),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TableInputs:
        return cls(tuple(data["names"]), tuple(map(Column.from_json, data["columns"])))


class _TableNormalizer(nn.Module):
    """Robust scaling and smooth clipping of numbers; codes pass as they are.

    Holzmueller, Grinsztajn and Steinwart 2024, "Better by Default: Strong Pre-Tuned MLPs and
    Boosted Trees on Tabular Data", section 3: a number is centred on its median, divided by its
    interquartile range (where that is zero, by half its range), and clipped smoothly to (-3, 3).
    A missing number becomes the median.
    """

    median: Tensor
    scale: Tensor
    largest: Tensor

    def __init__(self, sample: npt.NDArray[np.float32], cardinalities: tuple[int, ...]) -> None:
        super().__init__()
        low, first, median, third, high = _quantiles(sample)
        spread = np.where(third > first, third - first, (high - low) / 2)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
        self.numbers = sample.shape[1]
        self.register_buffer("median", torch.from_numpy(median).float())
        self.register_buffer("scale", torch.from_numpy(scale).float())
        self.register_buffer("largest", torch.tensor(cardinalities).float() - 1)

    def forward(self, raw: Tensor) -> Tensor:
        """From ``(batch, features)`` with NaN to ``(batch, features)`` without."""
        numbers, codes = raw[:, : self.numbers], raw[:, self.numbers :]
        numbers = torch.where(torch.isnan(numbers), self.median, numbers)
        # Far beyond the clip, so that the square stays finite.
        numbers = torch.clamp((numbers - self.median) * self.scale, -1e6, 1e6)
        numbers = numbers / torch.sqrt(1 + (numbers / 3) ** 2)
        if not len(self.largest):
            return numbers
        codes = torch.where(torch.isnan(codes), float(MISSING_CODE), codes)
        codes = torch.minimum(torch.clamp(codes, min=0.0), self.largest)
        return torch.cat([numbers, codes], dim=1)


def to_frame(data: Any) -> pd.DataFrame:
    """A frame from a 2-d array or rows as mappings; an array's columns have no names yet.

    Raises:
        TaskError: The data have another form.
    """
    if isinstance(data, Sequence) and data and isinstance(data[0], Mapping):
        return named(pd.DataFrame(list(data)))
    array = np.asarray(data.detach().cpu() if isinstance(data, Tensor) else data)
    if array.ndim != 2 or 0 in array.shape:
        raise TaskError(
            f"A table must have the shape (rows, columns), but the data have {array.shape}. "
            "Give one row a sample."
        )
    return pd.DataFrame(texts(array)).infer_objects()


def _from_mapping(data: Mapping[str, Any]) -> pd.DataFrame:
    """A frame from columns by name, or from one row."""
    lengths = {
        name: len(value)
        for name, value in data.items()
        if not isinstance(value, str) and np.ndim(value) > 0
    }
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise TaskError(
            f"A table's columns must have the same length, but {said}. Give a value a row."
        )
    return pd.DataFrame(data if lengths else [data])


def _digests(frame: pd.DataFrame) -> npt.NDArray[np.uint64]:
    try:
        return pd.util.hash_pandas_object(frame, index=False).to_numpy().astype(np.uint64)
    except TypeError as error:
        raise TaskError(
            f"A table's cells must be numbers, text, booleans or dates, but some are not "
            f"({error}). Convert them or drop the column."
        ) from error


def _quantiles(sample: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The minimum, quartiles and maximum of each column, ``(5, columns)``; NaN is left out."""
    columns = [column[~np.isnan(column)] for column in sample.astype(np.float64).T]
    found = [
        np.quantile(each if len(each) else [0.0], [0, 0.25, 0.5, 0.75, 1]) for each in columns
    ]
    return np.array(found).reshape(-1, 5).T
