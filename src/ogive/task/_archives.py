"""Reading ``.npz`` archives that hold whole data sets."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ogive.errors import TaskError
from ogive.task._split import SPLIT_WORDS, SplitName

__all__ = ["Archive", "archive_inputs", "read_archive", "texts"]

_ROLES: Final = ("inputs", "targets")
_ROLE_WORDS: Final = {
    **dict.fromkeys(("x", "image", "images", "data", "input", "inputs", "features"), "inputs"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets", "class", "classes"), "targets"),
}


def read_archive(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Reads all arrays of an ``.npz``.

    Raises:
        TaskError: It is damaged, or holds Python objects.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is no archive, or was cut short")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        reason = "it holds Python objects" if "pickle" in str(error) else str(error).rstrip(".")
        raise TaskError(
            f"An .npz must be an archive of plain arrays, but {path} cannot be read: {reason}. "
            "Write it again with numpy.savez."
        ) from error


@dataclass(frozen=True)
class Archive:
    """The arrays of an archive, by what their names say.

    Attributes:
        pairs: Inputs and targets of each split; ``train`` is always there.
        names: What the classes 0, 1, ... are called, where an array says so.
    """

    pairs: Mapping[SplitName, tuple[Any, Any]]
    names: tuple[str, ...] | None

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> Archive:
        """Reads names such as ``x_train``, ``train_images``, ``X``, ``labels``, ``class_names``.

        Raises:
            TaskError: Inputs and targets cannot be told by the names.
        """
        found: dict[tuple[SplitName, str], Any] = {}
        for key, array in arrays.items():
            place = _place(key)
            if place in found:
                raise _unclear(arrays, f"two of them are {place[1]} for {place[0]}")
            if place is not None:
                found[place] = array
        splits = {split for split, role in found if role != "names"}
        if not all((split, role) in found for split in {*splits, "train"} for role in _ROLES):
            raise _unclear(arrays, "they leave inputs or targets open")
        names = found.get(("train", "names"))
        return cls(
            {split: (found[split, "inputs"], found[split, "targets"]) for split in splits},
            None if names is None else tuple(map(str, texts(np.asarray(names)))),
        )


def texts(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An array as it is, but bytes as the text they stand for."""
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def archive_inputs(path: Path) -> Any:
    """The inputs alone of an ``.npz``, for prediction.

    Raises:
        TaskError: There are none, or several.
    """
    arrays = read_archive(path)
    inputs = [array for key, array in arrays.items() if (_place(key) or ("", ""))[1] == "inputs"]
    if len(inputs) != 1:
        raise _unclear(arrays, f"{len(inputs)} of them are inputs")
    return inputs[0]


def _place(key: str) -> tuple[SplitName, str] | None:
    """Which split and role the name of an array says, or None where it says nothing."""
    words = re.findall(r"[a-z]+", key.lower())
    if key in ("arr_0", "arr_1"):
        return "train", _ROLES[int(key[-1])]
    if words[-1:] == ["names"] and any(_ROLE_WORDS.get(word) == "targets" for word in words):
        return "train", "names"
    splits = [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
    roles = [_ROLE_WORDS[word] for word in words if word in _ROLE_WORDS]
    if len(splits) > 1 or len(roles) != 1 or len(words) != len(splits) + 1:
        return None
    return splits[0] if splits else "train", roles[0]


def _unclear(arrays: Mapping[str, Any], why: str) -> TaskError:
    return TaskError(
        "The arrays of an archive must be named like images and labels, X and y, or x_train, "
        f"y_train, x_test and y_test, but the names are {', '.join(arrays)} ({why}). Rename them."
    )
