"""Data that cannot be learned from: one clear error each, with the rule, the value, the cure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ogive.errors import SettingError, TaskError
from ogive.task import load, raw_inputs

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(60, 3))
BYTES = RNG.integers(0, 256, (60, 8, 8), dtype=np.uint8)
CLASSES = np.arange(60) % 2


def _frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": TABLE[:, 0], **columns, "target": CLASSES})


def _floats(*, row: int, value: float) -> np.ndarray:
    floats = TABLE[:, 0].copy()
    floats[row] = value
    return floats


def _images(folder: Path, classes: dict[str, int]) -> Path:
    for label, count in classes.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = RNG.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


ARRAYS: dict[str, tuple[Callable[[], Any], str]] = {
    "one class": (lambda: (TABLE, np.zeros(60, int)), "two classes or more.*all 60.*'0'.*Add"),
    "a class with one sample": (
        lambda: (TABLE, [*CLASSES[:-1], 2]),
        "at least 3 different rows.*class '2' has 1.*Add rows",
    ),
    "labels as floats": (
        lambda: (TABLE, CLASSES * 1.0),
        "2 distinct floats, all whole.*problem='classification' or problem='regression'",
    ),
    "only duplicates": (lambda: (np.ones((60, 3)), CLASSES), "differ.*all 60.*100 %.*Check"),
    "only duplicate images": (
        lambda: (np.ones((60, 8, 8), np.uint8), CLASSES),
        "differ.*all 60.*100 %.*Check",
    ),
    "an empty column": (
        lambda: _frame(void=np.nan),
        "must have some values.*'void' is empty.*Remove it",
    ),
    "only constant columns": (
        lambda: pd.DataFrame({"a": [1] * 59 + [2], "b": CLASSES}).assign(a=1, c="x", b=CLASSES)[
            ["a", "c", "b"]
        ],
        "differ",
    ),
    "a missing cell in the target": (
        lambda: _frame().assign(target=["a", None, "NA", *["b"] * 57]),
        r"needs a target.*'target' is missing in 2 of 60 rows \(rows 1, 2.*Fill.*NA, .*None mean that it is missing, so rename",
    ),
    "a value missing": (
        lambda: (TABLE, _floats(row=3, value=np.nan)),
        r"missing in 1 of 60 rows \(rows 3.*Fill",
    ),
    "an infinite value": (
        lambda: (TABLE, _floats(row=3, value=np.inf)),
        "finite.*1 of 60.*row 3.*Correct",
    ),
    "a value too large": (
        lambda: (TABLE, _floats(row=3, value=-1e39)),
        r"float32.*reaches 1\.0e\+39.*larger unit",
    ),
    "values that hardly differ": (
        lambda: (TABLE, np.linspace(0, 1e-40, 60)),
        r"float32.*deviation is \d\.\de-41.*smaller unit",
    ),
    "values that hardly differ for their size": (
        lambda: (TABLE, 1e9 + np.linspace(0, 1, 60)),
        r"float32.*steps are 6\.4e\+01.*deviation is \d\.\de-01.*Subtract a constant",
    ),
    "a constant value": (lambda: (TABLE, np.full(60, 0.5)), "must vary.*0.5.*another target"),
    "mismatched lengths": (
        lambda: (TABLE, CLASSES[:-1]),
        "same length.*60 inputs and 59 targets.*Check",
    ),
    "one-hot targets": (lambda: (TABLE, np.eye(2)[CLASSES]), r"\(60, 2\).*argmax"),
    "too few rows": (lambda: (TABLE[:6], CLASSES[:6]), "at least 10 rows.*only 6.*Add"),
    "no rows": (lambda: (TABLE[:0], CLASSES[:0]), "must have samples.*empty"),
    "no columns": (lambda: (TABLE[:, :0], CLASSES), r"\(rows, columns\).*\(60, 0\)"),
    "images without height": (lambda: (BYTES[:, :0], CLASSES), r"height.*\(0, 8\).*Leave"),
    "standardised images": (lambda: (BYTES / 128 - 1, CLASSES), "0 to 1 or 0 to 255.*-1 to.*Undo"),
    "images that are not numbers": (lambda: (BYTES * np.nan, CLASSES), "finite.*nan"),
    "images of too many axes": (lambda: (BYTES[:, None, None], CLASSES), "shape.*Reshape"),
    "a nameless archive": (lambda: {"a": BYTES, "b": CLASSES}, "named like.*are a, b.*Rename"),
    "an archive without targets": (lambda: {"x": BYTES}, "inputs or targets open.*Rename"),
    "an archive with two inputs": (
        lambda: {"x": BYTES, "images": BYTES, "y": CLASSES},
        "two of them are inputs.*Rename",
    ),
    "something else": (lambda: 42, "Data must be .*got int"),
    "columns of one name": (
        lambda: pd.DataFrame(TABLE, columns=["a", "a", "y"]),
        "different names.*the table has 'a' twice.*Rename",
    ),
    "columns of one name once they are text": (
        lambda: (pd.DataFrame(TABLE, columns=[1, "1", "b"]), CLASSES),
        "different names.*the table has '1' twice.*Rename",
    ),
    "a complex table": (
        lambda: (TABLE + 1j, CLASSES),
        "real numbers.*'0' holds complex.*a column",
    ),
    "complex images": (lambda: (BYTES + 1j, CLASSES), "real numbers.*complex128.*Convert"),
    "images of text": (
        lambda: (np.full((60, 8, 8), "a"), CLASSES),
        "real numbers.*of type <U1.*Convert",
    ),
    "one number for all inputs": (lambda: (3, CLASSES), "element a sample.*one int.*Give arrays"),
    "a target of dates": (
        lambda: (TABLE, pd.date_range("2020-01-01", periods=60)),
        "numbers, text or booleans.*datetime64.*days since",
    ),
    "a target of durations": (
        lambda: (TABLE, pd.to_timedelta(np.arange(60), unit="s")),
        "numbers, text or booleans.*timedelta64.*Turn",
    ),
    "a complex target": (lambda: (TABLE, CLASSES + 1j), "numbers, text or booleans.*complex128"),
    "cells that are lists": (lambda: _frame(b=[[1, 2]] * 60), "cells must be.*Convert"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_and_frames(case: str) -> None:
    make, message = ARRAYS[case]
    with pytest.raises(TaskError, match=f"(?s){message}"):
        load(make())


FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.csv", b"", "must have rows.*is empty.*Check"),
    "blank": ("a.csv", b"\n \n", "must have rows.*is empty.*Check"),
    "only a header": ("a.csv", b"a,b\n", "must have rows.*has none.*Check"),
    "ragged": ("a.csv", b"a,b,c\n1,2,3\n1,2\n", "as many cells.*Row #3: Expected 3.*Correct"),
    "longer rows": ("a.csv", b"a,b\n1,2\n1,2,3\n", "Row #3: Expected 2 columns, got 3.*Correct"),
    "not UTF-8": ("a.csv", b"a,b\n1,\xe9\n", "UTF-8.*decode.*Correct"),
    "doubled names": ("a.csv", b"a,a,b\n1,2,3\n", "different names.*'a'.*Rename"),
    "damaged parquet": ("a.parquet", b"nonsense", "readable as .parquet.*Correct"),
    "damaged archive": ("a.npz", b"PK nonsense", "archive.*cannot be read.*savez"),
    "unknown type": ("a.cvs", b"a,b\n1,2\n", "file 'a.cvs'.*Did you mean '.csv'"),
}


@pytest.mark.parametrize("case", FILES)
def test_files(tmp_path: Path, case: str) -> None:
    name, content, message = FILES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=f"(?s){message}"):
        load(tmp_path / name)


def test_an_archive_of_python_objects(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{}, []], dtype=object), y=CLASSES)
    with pytest.raises(TaskError, match=r"Python objects.*savez"):
        load(tmp_path / "a.npz")


def test_a_target_that_is_no_column() -> None:
    with pytest.raises(TaskError, match=r"no 'traget'.*Did you mean 'target'"):
        load(_frame(), target="traget")


@pytest.mark.parametrize(("name", "near"), [("pest", "pets"), ("digit", "digits")])
def test_a_path_that_does_not_exist(tmp_path: Path, name: str, near: str) -> None:
    (tmp_path / "pets").mkdir()
    with pytest.raises(TaskError, match=f"(?s){name}' does not exist.*Did you mean '{near}'"):
        load(tmp_path / name)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"subfolder a class.*has no subfolder.*Put each image"):
        load(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(TaskError, match=r"only empty subfolders"):
        load(tmp_path)


def test_a_folder_of_one_class_and_one_of_a_single_image(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"two classes or more.*'cat'"):
        load(_images(tmp_path / "one", {"cat": 12}))
    with pytest.raises(TaskError, match=r"at least 3 different rows.*class 'dog' has 1"):
        load(_images(tmp_path / "two", {"cat": 12, "dog": 1}))


@pytest.mark.parametrize("cached", [True, False])
def test_every_file_that_is_no_image_is_named_at_once(tmp_path: Path, cached: bool) -> None:
    folder = _images(tmp_path / "pets", {"cat": 10, "dog": 10})
    (folder / "cat" / "notes.txt").write_text("no image")
    (folder / "dog" / "empty.png").touch()
    whole = (folder / "dog" / "0.png").read_bytes()
    (folder / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    cache = tmp_path / "cache" if cached else None
    with pytest.raises(TaskError, match=r"3 cannot be read. Remove or replace") as caught:
        load(folder, cache=cache)
    for name in ("notes.txt", "empty.png", "cut.png"):
        assert name in str(caught.value)
    assert not cached or not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("cached", [True, False])
def test_a_link_to_nowhere_is_named(tmp_path: Path, cached: bool) -> None:
    folder = _images(tmp_path / "pets", {"cat": 10, "dog": 10})
    (folder / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(TaskError, match=r"(?s)1 cannot be read.*gone\.png: .*No such file"):
        load(folder, cache=tmp_path / "cache" if cached else None)


def test_splits_without_training_are_not_taken_for_classes(tmp_path: Path) -> None:
    _images(tmp_path / "val", {"cat": 10, "dog": 10})
    _images(tmp_path / "test", {"cat": 10, "dog": 10})
    with pytest.raises(TaskError, match=r"must have train/.*only test/, val/.*Add train/"):
        load(tmp_path)


def test_classes_may_be_called_like_splits(tmp_path: Path) -> None:
    assert load(_images(tmp_path, {"test": 10, "valid": 10})).labels == ("test", "valid")


def test_classes_that_training_does_not_have(tmp_path: Path) -> None:
    _images(tmp_path / "train", {"cat": 10, "dog": 10})
    _images(tmp_path / "test", {"cat": 2, "cow": 2})
    with pytest.raises(TaskError, match=r"training data's classes, but also have 'cow'"):
        load(tmp_path)


def test_a_regression_of_text() -> None:
    with pytest.raises(TaskError, match=r"needs a target of numbers.*'x'.*problem="):
        load((TABLE, ["x", "y"] * 30), problem="regression")


def test_splits_of_different_kinds() -> None:
    with pytest.raises(TaskError, match=r"one kind.*tabular.*test data images"):
        load((TABLE, CLASSES), test=(BYTES, CLASSES))


def test_columns_that_the_test_does_not_have() -> None:
    with pytest.raises(TaskError, match=r"training data's columns, but a is not there. Add"):
        load(_frame(b=TABLE[:, 1]), test=_frame(b=TABLE[:, 2]).drop(columns="a"))


@pytest.mark.parametrize("metric", ["r2", "acuracy"])
def test_a_metric_of_another_problem(metric: str) -> None:
    with pytest.raises(SettingError, match=f"this problem's, but '{metric}'"):
        load((TABLE, CLASSES), metric=metric)


def test_a_problem_that_is_none() -> None:
    with pytest.raises(SettingError, match=r"'clasification'.*Did you mean 'classification'"):
        load((TABLE, CLASSES), problem="clasification")  # type: ignore[arg-type]


def test_a_size_for_what_has_none() -> None:
    with pytest.raises(TaskError, match=r"height and width of images.*size=8"):
        load((TABLE, CLASSES), size=8)
    with pytest.raises(TaskError, match=r"at least 1 pixel, but got 0"):
        load((BYTES, CLASSES), size=0)
    for size in ("big", 8.5, (8, 8, 3)):
        with pytest.raises(TaskError, match=r"whole pixels, but got .* Give a side"):
            load((BYTES, CLASSES), size=size)  # type: ignore[arg-type]


def test_a_seed_below_zero() -> None:
    with pytest.raises(SettingError, match=r"at least 0, but got -1"):
        load((TABLE, CLASSES), seed=-1)


TO_PREDICT: dict[str, tuple[Any, Any, str]] = {
    "no images": (BYTES, None, "files, an array or a sequence.*one NoneType"),
    "complex images": (BYTES, BYTES + 1j, "real numbers.*complex128"),
    "images of text": (BYTES, np.full((2, 8, 8), "a"), "real numbers.*<U1"),
    "columns of one name": (
        TABLE,
        pd.DataFrame(TABLE, columns=["0", "1", "1"]),
        "different names.*'1' twice",
    ),
    "columns of different lengths": (
        TABLE,
        {"0": [1, 2], "1": [1], "2": [1, 2]},
        "same length, but 0 has 2, 1 has 1, 2 has 2",
    ),
    "no rows": (TABLE, pd.DataFrame(TABLE[:0]), "the data have no samples. Give"),
}


@pytest.mark.parametrize("case", TO_PREDICT)
def test_what_cannot_be_predicted(case: str) -> None:
    inputs, data, message = TO_PREDICT[case]
    preprocessing = load((inputs, CLASSES)).preprocessing()
    with pytest.raises(TaskError, match=message):
        raw_inputs(preprocessing, data)


@pytest.mark.parametrize("preprocessing", [{}, {"inputs": {"kind": "sound"}}])
def test_preprocessing_of_no_known_kind(preprocessing: dict[str, Any]) -> None:
    with pytest.raises(TaskError, match=r"what Task.preprocessing gave.*Known: images, tabular"):
        raw_inputs(preprocessing, TABLE)
