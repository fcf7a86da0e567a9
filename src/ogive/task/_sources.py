"""From what a user gives (a name, a path, arrays) to samples and targets."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import pandas as pd
from torch import Tensor

from ogive.errors import TaskError, did_you_mean
from ogive.task._archives import Archive, read_archive, texts
from ogive.task._images import files_below
from ogive.task._split import SPLIT_WORDS, SplitName
from ogive.task._tables import TABLE_FILES, named, of_numpy, read_frame
from ogive.task._tabular import to_frame

__all__ = ["BUILT_IN", "Source", "read_source"]

_NO_DATA: Final = ("__MACOSX", "__pycache__")
_TARGET_NAMES: Final = ("target", "label", "class", "y")
_FORMS: Final = (
    "a built-in name, a folder with a subfolder a class, an .npz, .csv, .tsv or .parquet file, "
    "a DataFrame, or a pair of arrays (inputs, targets)"
)


@dataclass(frozen=True)
class Source:
    """Samples with their targets, as the user has them.

    Attributes:
        kind: ``images`` or ``tabular``.
        name: What to call the task.
        items: What the kind reads: paths, an array, a frame.
        targets: One a sample.
        names: What the classes 0, 1, ... are called, where the data says so.
        given: The splits that the data itself sets apart.
        notes: What should be said.
    """

    kind: str
    name: str
    items: Any
    targets: pd.Series[Any]
    names: tuple[str, ...] | None = None
    given: Mapping[SplitName, Source] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_source(data: Any, target: str | None = None) -> Source:
    """Finds the samples and targets in what a user gives.

    Args:
        data: What to learn from.
        target: The column of a table that is to be predicted.

    Raises:
        TaskError: It is none of the forms that can be read, or is empty.
    """
    if isinstance(data, str) and data in BUILT_IN:
        return _built_in(data)
    if isinstance(data, str | Path):
        return _read_path(Path(data).expanduser(), target)
    if isinstance(data, pd.DataFrame):
        return _from_frame(data, target, "table")
    if isinstance(data, Mapping):
        return _from_archive(Archive.of(data), "arrays")
    if isinstance(data, tuple | list) and len(data) == 2:
        return _from_arrays(data[0], data[1], "arrays")
    raise TaskError(f"Data must be {_FORMS}, but got {type(data).__name__}. Convert it.")


def _read_path(path: Path, target: str | None) -> Source:
    if path.is_dir():
        return _from_folder(path)
    if not path.exists():
        beside = [each.name for each in path.parent.glob("*")] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, beside, n=1)
        raise TaskError(
            f"Data must be {_FORMS}, but {str(path)!r} does not exist."
            f"{did_you_mean(path.name, [*near, *BUILT_IN])}"
        )
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _from_archive(Archive.of(read_archive(path)), path.stem)
    if suffix in TABLE_FILES:
        return _from_frame(read_frame(path), target, path.stem)
    raise TaskError(
        f"Data must be {_FORMS}, but got the file {path.name!r}."
        f"{did_you_mean(suffix, ['.npz', *TABLE_FILES])}"
    )


def _from_folder(path: Path) -> Source:
    below = _folders(path)
    splits = {split: each for each in below if (split := SPLIT_WORDS.get(each.name.lower()))}
    if "train" not in splits or not _folders(splits["train"]):
        _check_not_splits(path, below, splits)
        return _from_classes(path, path.name)
    parts = {
        split: _from_classes(each, path.name) for split, each in splits.items() if _folders(each)
    }
    train = parts.pop("train")
    skipped = tuple(
        f"{each.name}/ has no subfolder a class and was left out."
        for split, each in splits.items()
        if not _folders(each)
    )
    return Source(
        "images", path.name, train.items, train.targets, None, parts, train.notes + skipped
    )


def _check_not_splits(path: Path, below: list[Path], splits: Mapping[SplitName, Path]) -> None:
    """Without a training folder, ``test`` and ``val`` would be taken for two classes."""
    if len(splits) == len(below) and any(_folders(each) for each in splits.values()):
        raise TaskError(
            f"A folder divided into splits must have train/ with a subfolder a class, but {path} "
            f"has only {', '.join(f'{each.name}/' for each in below)}. Add train/, or give "
            "validation= and test= folders of their own."
        )


def _from_classes(path: Path, name: str) -> Source:
    files = {each.name: files_below(each) for each in _folders(path)}
    if not any(files.values()):
        found = "no subfolder" if not files else "only empty subfolders"
        raise TaskError(
            f"A folder of images must have a subfolder a class with images in it, but {path} has "
            f"{found}. Put each image into a folder named after its class."
        )
    notes = tuple(
        f"Folder {each!r} is empty and was left out." for each in files if not files[each]
    )
    items = [file for found in files.values() for file in found]
    targets = [label for label, found in files.items() for _ in found]
    # Categories, because a folder's name is a name even where it looks like a number.
    column = pd.Series(targets, name="class", dtype="category")
    return Source("images", name, items, column, notes=notes)


def _folders(path: Path) -> list[Path]:
    return sorted(
        each
        for each in path.iterdir()
        if each.is_dir() and not each.name.startswith(".") and each.name not in _NO_DATA
    )


def _from_archive(archive: Archive, name: str) -> Source:
    parts = {
        split: _from_arrays(inputs, targets, name, archive.names)
        for split, (inputs, targets) in archive.pairs.items()
    }
    train = parts.pop("train")
    return Source(train.kind, name, train.items, train.targets, archive.names, parts)


def _from_arrays(
    inputs: Any, targets: Any, name: str, names: tuple[str, ...] | None = None
) -> Source:
    column = _to_column(targets)
    if hasattr(inputs, "tocsr"):
        raise TaskError(
            f"Inputs must be a dense array, but are a sparse {type(inputs).__name__}. Convert "
            "them with .toarray()."
        )
    count = _count(inputs)
    if count != len(column):
        raise TaskError(
            f"Inputs and targets must have the same length, but there are {count} inputs and "
            f"{len(column)} targets. Check how they were paired."
        )
    if not count:
        raise TaskError(
            "Data must have samples, but the arrays are empty. Check how they are made."
        )
    if isinstance(inputs, pd.DataFrame):
        return Source("tabular", name, named(inputs.reset_index(drop=True)), column, names)
    if isinstance(inputs, np.ndarray | Tensor) and inputs.ndim == 2:
        return Source("tabular", name, named(to_frame(inputs)), column, names)
    if np.ndim(inputs[0]) == 1 or isinstance(inputs[0], Mapping):
        return Source("tabular", name, named(to_frame(inputs)), column, names)
    return Source("images", name, inputs, column, names)


def _count(inputs: Any) -> int:
    try:
        return len(inputs)
    except TypeError as error:
        raise TaskError(
            "Inputs must be an array or a sequence with an element a sample, but are one "
            f"{type(inputs).__name__}. Give arrays (inputs, targets)."
        ) from error


def _to_column(targets: Any) -> pd.Series[Any]:
    if isinstance(targets, pd.DataFrame) and len(targets.columns) == 1:
        targets = targets.iloc[:, 0]
    if isinstance(targets, pd.Series):
        name = "target" if targets.name is None else str(targets.name)
        return of_numpy(targets).reset_index(drop=True).rename(name)
    array = np.asarray(targets.detach().cpu() if isinstance(targets, Tensor) else targets)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise TaskError(
            f"Targets must be one a sample, with the shape (n,), but have {array.shape}. Turn "
            "one-hot rows into classes with .argmax(axis=1)."
        )
    return pd.Series(texts(array), name="target").infer_objects()


def _from_frame(frame: pd.DataFrame, target: str | None, name: str) -> Source:
    frame = named(frame.reset_index(drop=True))
    if frame.empty:
        raise TaskError(f"A table must have rows, but {name!r} has none. Check how it was made.")
    chosen, notes = _find_target(list(frame.columns), target)
    return Source("tabular", name, frame.drop(columns=chosen), frame[chosen], notes=notes)


def _find_target(names: list[str], target: str | None) -> tuple[str, tuple[str, ...]]:
    if target is not None:
        if str(target) not in names:
            raise TaskError(
                f"The target must be a column of the table, but there is no {target!r}."
                f"{did_you_mean(str(target), names)}"
            )
        return str(target), ()
    likely = [name for name in names if name.strip().lower() in _TARGET_NAMES]
    chosen = likely[0] if len(likely) == 1 else names[-1]
    why = "by its name" if len(likely) == 1 else "the last column"
    return chosen, (f"The target is {chosen!r} ({why}); target= names another.",)


def _scikit_learn() -> ModuleType:
    # Here, because every worker process would otherwise wait 0.8 s for it when it starts.
    return importlib.import_module("sklearn.datasets")


def _digits() -> Source:
    digits = _scikit_learn().load_digits()
    return Source("images", "digits", digits.images, pd.Series(digits.target, name="digit"))


def _table(name: str) -> Callable[[], Source]:
    def read() -> Source:
        data = getattr(_scikit_learn(), f"load_{name}")(as_frame=True)
        names = tuple(map(str, data.target_names)) if "target_names" in data else None
        return Source("tabular", name, data.data, data.target, names)

    return read


BUILT_IN: Final[Mapping[str, Callable[[], Source]]] = {
    "digits": _digits,
    "breast_cancer": _table("breast_cancer"),
    "diabetes": _table("diabetes"),
    "iris": _table("iris"),
    "wine": _table("wine"),
}
"""Data that comes inside scikit-learn, by name; ``./digits`` means a folder of that name."""


def _built_in(name: str) -> Source:
    return BUILT_IN[name]()
