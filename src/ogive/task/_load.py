"""From what a user gives to a task, and from a task's JSON to raw inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from ogive.errors import SettingError, TaskError, did_you_mean
from ogive.task._images import ImageInputs, form_of
from ogive.task._inputs import Inputs, Options
from ogive.task._labels import find_classes, to_numbers, to_values
from ogive.task._metrics import METRICS
from ogive.task._sources import Source, read_source
from ogive.task._split import Division, Rows, Split, SplitName
from ogive.task._store import Progress, keep_array
from ogive.task._tabular import TableInputs
from ogive.task._target import Problem, Value
from ogive.task._task import Task

__all__ = ["load", "raw_inputs"]

KINDS: Final[Mapping[str, type[Inputs]]] = {kind.kind: kind for kind in (ImageInputs, TableInputs)}


def load(
    data: Any,
    *,
    target: str | None = None,
    problem: Problem | None = None,
    validation: Any = None,
    test: Any = None,
    seed: int = 0,
    metric: str | None = None,
    size: int | tuple[int, int] | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Task:
    """Reads data and divides it into training, validation and a sealed test split.

    Args:
        data: A built-in name (``digits``, ``breast_cancer``, ``diabetes``, ``iris``, ``wine``); a
            folder with a subfolder a class, or with such folders in ``train/``, ``validation/``
            and ``test/``; an ``.npz``, ``.csv``, ``.tsv`` or ``.parquet`` file; a DataFrame; or a
            pair of arrays or tensors (inputs, targets), inputs ``(n, columns)`` for a table or
            ``(n, height, width)``, with channels first or last, for images.
        target: The column of a table to predict. By default the one that is called target,
            label, class or y, else the last.
        problem: Whether to take the target as classes or as a quantity, where the data leave
            that open.
        validation: The share of the rows for validation, or data in any of the forms above. By
            default 20 %, or 15 % of more than 2,000 rows, at most 10,000 rows.
        test: The same for the test.
        seed: Of the division.
        metric: The objective. By default accuracy (balanced where the classes are strongly
            imbalanced) or R2.
        size: The height and width to resize images to. By default the median, of files at most
            64 pixels.
        cache: A folder for the file in which large data is kept; needed for data that memory
            cannot hold.
        progress: Called with the samples read and the samples in all.

    Raises:
        TaskError: The data cannot be learned from as it is.
        SettingError: An argument is wrong.
    """
    if problem is not None and problem not in get_args(Problem):
        raise SettingError(
            f"problem must be one that is known, but got {problem!r}."
            f"{did_you_mean(problem, get_args(Problem))}"
        )
    if seed < 0:
        raise SettingError(f"seed must be at least 0, but got {seed}. Give another.")
    source = read_source(data, target)
    parts, shares = _parts(source, {"validation": validation, "test": test})
    classes, notes = find_classes(
        source.targets, problem, source.names, numbers_are_classes=source.kind == "images"
    )
    columns = [part.targets for part in parts.values()]
    targets = np.concatenate(
        [to_numbers(classes, c) if classes is not None else to_values(c) for c in columns]
    )
    given = np.repeat(list(parts), [len(part.targets) for part in parts.values()])
    labels = classes.names if classes is not None else ()
    divide = Division(given, shares, targets, labels, seed)
    folder = Path(cache) if cache is not None else None
    prepared = KINDS[source.kind].prepare(
        _join([part.items for part in parts.values()]), divide, Options(size, folder, progress)
    )
    train_rows = prepared.rows["train"]
    goal = classes or Value.of(targets[train_rows])
    train = Split(Rows(prepared.kept.stored, train_rows), targets[train_rows])
    return Task(
        name=source.name,
        inputs=prepared.inputs,
        target=goal,
        metric=_metric(metric, goal.metric, goal.metrics),
        notes=(*source.notes, *notes, *prepared.notes),
        digest=prepared.kept.digest,
        _inputs=prepared.kept.stored,
        _targets=keep_array(targets, folder),
        _rows={name: keep_array(rows, folder) for name, rows in prepared.rows.items()},
        _normalizer=prepared.inputs.normalizer(train),
    )


def raw_inputs(preprocessing: Mapping[str, Any], data: Any) -> npt.NDArray[Any]:
    """The raw inputs of new data, read exactly as the training data was.

    Args:
        preprocessing: What ``Task.preprocessing`` gave, or its JSON read back.
        data: For images a file, a folder, several files, or arrays ``(n, ...)``; for a table a
            file, a DataFrame, an array ``(n, columns)`` or rows as mappings. A target is ignored.

    Returns:
        ``(n, *shape)``: uint8 images, or a float32 table with NaN where a number is missing.

    Raises:
        TaskError: The data cannot be read, or are unlike the training data.
    """
    described = preprocessing.get("inputs", {})
    kind = KINDS.get(described.get("kind"))
    if kind is None:
        raise TaskError(
            "Preprocessing must be what Task.preprocessing gave, of a kind that is known, but its "
            f"kind is {described.get('kind')!r}. Known: {', '.join(sorted(KINDS))}."
        )
    inputs = kind.from_json(described)
    items = inputs.items(data)
    if not len(items):
        what = f"{str(data)!r} has" if isinstance(data, str | Path) else "the data have"
        raise TaskError(
            f"There must be something to predict, but {what} no samples. Give one or more."
        )
    return inputs.read(items)


def _parts(
    source: Source, wanted: Mapping[SplitName, Any]
) -> tuple[dict[SplitName, Source], dict[SplitName, float | None]]:
    """The splits that are given as data, and the shares of those that are drawn."""
    parts: dict[SplitName, Source] = {"train": source}
    shares: dict[SplitName, float | None] = {}
    for name, want in wanted.items():
        if isinstance(want, Real):
            shares[name] = _share(name, float(want))
        elif want is not None or name in source.given:
            part = (
                source.given[name] if want is None else read_source(want, str(source.targets.name))
            )
            parts[name] = part
            shares[name] = 0.0
            _check_alike(name, part, source)
        else:
            shares[name] = None
    if sum(share or 0.0 for share in shares.values()) >= 1:
        raise SettingError(
            "The shares for validation and test must leave rows to train on, but validation="
            f"{wanted['validation']} and test={wanted['test']} leave none. Give smaller ones."
        )
    return parts, shares


def _share(name: SplitName, share: float) -> float:
    if not 0 < share < 1:
        raise SettingError(
            f"0 < {name} < 1 must hold for a share of the rows, but got {name}={share}. Give a "
            "fraction such as 0.2, or data."
        )
    return share


def _check_alike(name: SplitName, part: Source, train: Source) -> None:
    if part.kind != train.kind:
        raise TaskError(
            f"All splits must be of one kind, but the training data are {train.kind} and the "
            f"{name} data {part.kind}. Give both in one form."
        )
    if train.kind == "images" and (form := form_of(part.items)) != (of := form_of(train.items)):
        raise TaskError(
            f"The images of all splits must be given in one form, but those of training are {of} "
            f"and those of {name} {form}. Convert one."
        )
    if isinstance(train.items, pd.DataFrame):
        missing = train.items.columns.difference(part.items.columns)
        if len(missing):
            raise TaskError(
                f"The {name} data must have the training data's columns, but {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not there. Add them."
            )


def _join(items: Sequence[Any]) -> Any:
    """The items of all splits, one after the other."""
    if len(items) == 1:
        return items[0]
    if isinstance(items[0], pd.DataFrame):
        columns = items[0].columns
        return pd.concat([part.reindex(columns=columns) for part in items], ignore_index=True)
    arrays = [np.asarray(part) for part in items if hasattr(part, "shape")]
    if len(arrays) == len(items) and len({array.shape[1:] for array in arrays}) == 1:
        return np.concatenate(arrays)
    return [item for part in items for item in part]


def _metric(wanted: str | None, default: str, known: Sequence[str]) -> str:
    if wanted is None:
        return default
    if wanted not in known:
        other = " is of another problem" if wanted in METRICS else " is none"
        raise SettingError(
            f"metric must be one of this problem's, but {wanted!r}{other}."
            f"{did_you_mean(wanted, known)}"
        )
    return wanted
