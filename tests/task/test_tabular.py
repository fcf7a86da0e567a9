"""Tables: what each column becomes, and that prediction reads as training did."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ogive.task import _columns, load, raw_inputs

_ASCII = st.characters(codec="ascii")


def _frame(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, rows).round(1),
            "city": rng.choice(["Rome", "Oslo", "Paris"], rows),
            "member": rng.random(rows) > 0.5,
            "joined": pd.date_range("2021-01-01", periods=rows, freq="37h").strftime(
                "%Y-%m-%d %H:%M"
            ),
            "visits": rng.integers(0, 50, rows),
        }
    )
    frame.loc[::17, "age"] = np.nan
    frame.loc[::23, "city"] = None
    frame["bought"] = np.where(frame["visits"] > 20, "yes", "no")
    return frame


def _all_rows(task: Any) -> np.ndarray:
    return np.concatenate([part.inputs for part in (task.train, task.validation, task.unseal())])


def _column(task: Any, values: Any, name: str = "column") -> dict[str, Any] | None:
    found = {each["name"]: each for each in task.preprocessing()["inputs"]["columns"]}
    return found.get(name)


def _load_column(values: Any) -> Any:
    """A task of one column of the given values and one of noise."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"column": values, "noise": rng.random(len(values))})
    return load((frame, np.arange(len(values)) % 2))


def test_numbers_come_first_and_then_codes() -> None:
    task = load(_frame())
    assert (task.kind, task.problem, task.labels) == ("tabular", "classification", ("no", "yes"))
    # age and its flag, member, seven parts less the constant minute, visits; then city.
    parts = _column(task, None, "joined")["parts"]  # type: ignore[index]
    assert task.numbers == 2 + 1 + len(parts) + 1
    assert task.cardinalities == (5,)
    assert task.shape == (task.numbers + 1,)
    assert set(np.unique(_all_rows(task)[:, -1])) == {1, 2, 3, 4}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_file_reads_as_its_frame(tmp_path: Path, suffix: str) -> None:
    frame, path = _frame(), tmp_path / f"shop{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    task = load(path)
    assert task.name == "shop"
    assert task.shape == load(frame).shape
    np.testing.assert_array_equal(task.train.inputs, load(frame).train.inputs)
    preprocessing = json.loads(json.dumps(task.preprocessing()))
    raw = raw_inputs(preprocessing, path)
    rows = {row.tobytes() for row in raw}
    assert rows == {row.tobytes() for row in _all_rows(task)}
    for data in (
        frame,
        frame.drop(columns="bought"),
        frame.to_dict("records"),
        frame.to_dict("list"),
    ):
        np.testing.assert_array_equal(raw_inputs(preprocessing, data), raw)
    np.testing.assert_array_equal(raw_inputs(preprocessing, frame.iloc[3].to_dict()), raw[3:4])


def test_a_short_script_reads_a_csv_likewise(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    _frame().to_csv(path, index=False)
    task = load(path)
    how = json.loads(json.dumps(task.preprocessing()))["inputs"]

    def read(column: dict[str, Any], text: str) -> list[float]:
        missing = text in how["missing"]
        if column["type"] == "category":
            return [
                1 if missing else {v: 2 + i for i, v in enumerate(column["values"])}.get(text, 0)
            ]
        if column["type"] == "date":
            date = datetime.fromisoformat(text)
            days = (date - datetime(1970, 1, 1)).total_seconds() / 86400  # noqa: DTZ001
            parts = {"days": days, "weekday": date.weekday()}
            return [parts[p] if p in parts else getattr(date, p) for p in column["parts"]]
        number = (
            {"true": 1.0, "false": 0.0}.get(text.lower()) if column["type"] == "boolean" else None
        )
        numbers = [float("nan") if missing else float(text) if number is None else number]
        return numbers + [float(missing)] * column.get("flag", False)

    with path.open() as file:
        rows = [
            [n for c in how["columns"] for n in read(c, row[c["name"]])]
            for row in csv.DictReader(file)
        ]
    np.testing.assert_array_equal(np.array(rows, np.float32), raw_inputs({"inputs": how}, path))


def test_unknown_and_missing_categories_have_their_own_codes() -> None:
    task = load(_frame())
    odd = _frame(3).assign(city=["Rome", "Atlantis", None])
    codes = raw_inputs(task.preprocessing(), odd)[:, -1]
    assert list(codes) == [4, 0, 1]


@pytest.mark.parametrize(
    ("trained", "given"),
    [
        ([" one", " two"], [" one", "two", None]),
        ([1, 2], [1, 2, None]),  # Which pandas makes floats.
        ([1.0, 2.0], ["1", "2.0", "?"]),
    ],
)
def test_categories_are_known_however_they_are_written(trained: Any, given: Any) -> None:
    task = _load_column(pd.Categorical(trained * 30))
    rows = pd.DataFrame({"column": given, "noise": 0.5})
    assert list(raw_inputs(task.preprocessing(), rows)[:, -1]) == [2, 3, 1]


def test_a_number_that_cannot_be_read_is_missing() -> None:
    task = load(_frame())
    odd = _frame(3).assign(age=["12", "old", "1e99"])
    np.testing.assert_array_equal(
        raw_inputs(task.preprocessing(), odd)[:, :2], [[12, 0], [np.nan, 1], [np.nan, 1]]
    )


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(60.0), "number"),
        ([f" {number} " for number in range(60)], "number"),
        (["?", *map(str, range(1, 60))], "number"),
        ([*map(str, range(59)), "error"], "number"),
        ([True, False] * 30, "boolean"),
        (["True", "false"] * 30, "boolean"),
        (["a", "b", "c"] * 20, "category"),
        (pd.Categorical([1, 2] * 30), "category"),
        (pd.date_range("2020-01-01", periods=60, tz="Europe/Rome"), "date"),
        ([f"{1 + day % 28}.{1 + day % 12}.2024" for day in range(60)], "date"),
        ([f"12/{1 + day % 31}/2024 10:30" for day in range(60)], "date"),
        ([f"2024-05-{1 + day % 31:02} {day % 24}:40" for day in range(60)], "date"),
        (pd.to_timedelta(np.arange(60), unit="h"), "number"),
        (pd.period_range("2020-01", periods=60, freq="M"), "date"),
        (pd.period_range("2020-01", periods=60, freq="Q"), "date"),
        (pd.period_range("2020-01", periods=60, freq="W"), "date"),
    ],
)
def test_what_a_column_holds(values: Any, kind: str) -> None:
    column = _column(_load_column(values), values)
    assert column is not None
    assert column["type"] == kind


def test_durations_are_the_same_seconds_in_a_frame_and_in_a_file_of_it() -> None:
    frame = pd.DataFrame({"column": pd.to_timedelta([0, 3600, -1800.5, None], unit="s")})
    file = pd.read_csv(io.StringIO(frame.assign(noise=0.5).to_csv(index=False)))
    for values in (frame["column"], file["column"]):
        task = _load_column(pd.concat([values] * 15, ignore_index=True))
        raw = raw_inputs(task.preprocessing(), file)[:, :2]
        np.testing.assert_array_equal(raw, [[0, 0], [3600, 0], [-1800.5, 0], [np.nan, 1]])


def test_a_date_that_stands_for_never_is_a_date() -> None:
    task = _load_column(["2024-01-01", "9999-12-31"] * 30)
    ends = pd.DataFrame({"column": ["2024-01-01", "9999-12-31"], "noise": 0.5})
    days = raw_inputs(task.preprocessing(), ends)[:, 0]
    assert list(days) == [19_723, 2_932_896]


def test_usual_dates_are_matched_a_column_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_columns, "ISO_DATE", r"(?!)")  # What looks at each finds none.
    dates = ["2024-05-01", "2024-05-01 10:20", "2024-05-01T10:20:30.5Z", "2024-05-01T10:20+02:00"]
    assert _columns._to_dates(pd.Series(dates), "ISO8601").notna().all()


@given(st.from_regex(_columns._USUAL_DATE, fullmatch=True, alphabet=_ASCII))
def test_usual_dates_are_dates(date: str) -> None:
    assert re.fullmatch(_columns.ISO_DATE, date)


def test_of_one_date_it_counts_whether_it_is_missing() -> None:
    task = _load_column(["2024-01-01", None] * 30)
    left = pd.DataFrame({"column": ["2024-01-01", None], "noise": 0.5})
    raw = raw_inputs(task.preprocessing(), left)[:, :2]
    np.testing.assert_array_equal(raw, [[19_723, 0], [np.nan, 1]])


def test_a_frame_of_arrow_types_is_read_as_one_of_numpy(tmp_path: Path) -> None:
    frame = _frame().assign(
        waited=pd.to_timedelta(np.arange(200), unit="h"),
        shop=pd.Categorical(["north", "south"] * 100),
        target=lambda frame: (frame["visits"] > 20).astype(int),
    )
    frame.to_parquet(tmp_path / "shop.parquet")
    arrow = pd.read_parquet(tmp_path / "shop.parquet", dtype_backend="pyarrow")
    task = load(arrow)
    assert task.preprocessing() == load(frame).preprocessing()
    assert task.labels == load((arrow.drop(columns="target"), arrow["target"])).labels
    raw = raw_inputs(task.preprocessing(), arrow)
    np.testing.assert_array_equal(raw, raw_inputs(task.preprocessing(), frame))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([7] * 60, "constant"),
        ([f"customer {number}" for number in range(60)], "like a name"),
    ],
)
def test_columns_that_teach_nothing_are_left_out_and_said(values: Any, why: str) -> None:
    task = _load_column(values)
    assert _column(task, values) is None
    assert any("'column'" in note and why in note for note in task.notes)


def test_a_column_that_numbers_the_rows_is_left_out(tmp_path: Path) -> None:
    _frame().to_csv(tmp_path / "shop.csv")  # pandas writes its index without a name
    task = load(tmp_path / "shop.csv")
    assert any("numbers the rows" in note for note in task.notes)
    assert task.shape == load(_frame()).shape


def test_rare_categories_are_trained_as_one() -> None:
    values = ["a", "b"] * 100 + ["once", "twice", "thrice"]
    task = _load_column(values)
    column = _column(task, values)
    assert column is not None
    assert column["values"] == ["a", "b"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_and_quotes(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "shop.csv"
    frame = _frame().assign(
        city=lambda each: each["city"].str.replace("Oslo", f'"Os{separator}lo"')
    )
    frame.to_csv(path, index=False, sep=separator, encoding="utf-8-sig")
    np.testing.assert_array_equal(load(path).train.inputs, load(frame).train.inputs)


def test_a_file_without_a_header(tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).normal(size=(60, 3))
    np.savetxt(tmp_path / "plain.csv", np.column_stack([inputs, np.arange(60) % 2]), "%.6g", ",")
    task = load(tmp_path / "plain.csv")
    assert (task.shape, sum(task.size(s) for s in ("train", "validation", "test"))) == ((3,), 60)
    raw = raw_inputs(task.preprocessing(), inputs)
    np.testing.assert_allclose(raw, inputs, rtol=1e-4)


@pytest.mark.parametrize("names", [range(3), (2019, 2020, 2021)])
def test_a_header_of_numbers_is_not_a_row(tmp_path: Path, names: Any) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=list(names))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.assign(target=np.arange(60) % 2).to_csv(tmp_path / "all.csv", index=False)
    preprocessing = load(tmp_path / "all.csv").preprocessing()
    raw = raw_inputs(preprocessing, tmp_path / "rows.csv")
    np.testing.assert_allclose(raw, frame, rtol=1e-6)
    if names == range(3):  # The last of them is the target.
        task = load(tmp_path / "rows.csv")
        assert sum(task.size(split) for split in ("train", "validation", "test")) == 60


def test_two_columns_that_begin_with_0_and_1_have_no_header(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("0,1\n" + "".join(f"{i / 7},{i % 2}\n" for i in range(59)))
    task = load(tmp_path / "all.csv", problem="classification")
    assert sum(task.size(split) for split in ("train", "validation", "test")) == 60


@pytest.mark.parametrize("separator", [";", "\t"])
def test_blank_lines_are_no_rows(tmp_path: Path, separator: str) -> None:
    preprocessing = load((_frame()[["age", "visits"]], np.arange(200) % 2)).preprocessing()
    lines = ["", "age;visits", "30.5;2", "", "20;1", "", ""]
    (tmp_path / "rows.csv").write_text("\n".join(lines).replace(";", separator))
    raw = raw_inputs(preprocessing, tmp_path / "rows.csv")
    np.testing.assert_array_equal(raw, [[30.5, 0, 2], [20, 0, 1]])


def test_an_array_is_read_by_the_order_of_the_columns() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 4))
    inputs[:, 1] = 5
    task = load((inputs, np.arange(60) % 2))
    assert task.shape == (3,)
    raw = raw_inputs(task.preprocessing(), inputs)
    np.testing.assert_array_equal(raw, inputs[:, [0, 2, 3]].astype(np.float32))
    np.testing.assert_array_equal(raw_inputs(task.preprocessing(), torch.from_numpy(inputs)), raw)


def test_a_frame_is_read_by_its_names_be_they_numbers() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)))
    preprocessing = load((frame, np.arange(60) % 2)).preprocessing()
    raw = raw_inputs(preprocessing, frame)
    for data in (frame[[2, 0, 1]], frame.assign(target=1), frame[[2, 0, 1]].to_dict("records")):
        np.testing.assert_array_equal(raw_inputs(preprocessing, data), raw)


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [(("a", "Label", "b"), "Label"), (("a", "b", "c"), "c"), (("y", "target", "b"), "b")],
)
def test_the_target_is_found_and_said(columns: tuple[str, ...], chosen: str) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=list(columns))
    task = load(frame)
    assert any(f"The target is {chosen!r}" in note for note in task.notes)
    assert load(frame, target=columns[0]).shape == (2,)


@pytest.mark.parametrize(
    ("target", "problem", "labels"),
    [
        (np.arange(90) % 3, "classification", ("0", "1", "2")),
        (np.arange(90) % 2 == 0, "classification", ("False", "True")),
        (
            np.array(["b", "a", "10", "9"])[np.arange(90) % 4],
            "classification",
            ("9", "10", "a", "b"),
        ),
        (np.arange(90) * 3, "regression", ()),
        (np.arange(90) / 7, "regression", ()),
        (np.arange(90) * 1.0, "regression", ()),
    ],
)
def test_the_problem_follows_from_the_target(
    target: Any, problem: str, labels: tuple[str, ...]
) -> None:
    task = load((np.random.default_rng(0).normal(size=(90, 2)), target))
    assert (task.problem, task.labels) == (problem, labels)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.array([2**64 - 1, 2], np.uint64), ("2", "18446744073709551615")),
        (["9007199254740993", "9007199254740992"], ("9007199254740992", "9007199254740993")),
        (
            ["12345678901234567891.0", "12345678901234567890.0"],
            ("12345678901234567890.0", "12345678901234567891.0"),
        ),
        ([1e300, 2.0], ("2.0", "1e+300")),
        (["2", "1.0"], ("1", "2")),
    ],
)
def test_classes_are_called_by_their_whole_numbers(values: Any, labels: tuple[str, ...]) -> None:
    inputs = np.random.default_rng(0).normal(size=(60, 2))
    task = load((inputs, np.tile(values, 30)), problem="classification")
    assert task.labels == labels


def test_the_problem_can_be_said() -> None:
    inputs = np.random.default_rng(0).normal(size=(90, 2))
    as_classes = load((inputs, np.arange(90) % 3 * 1.0), problem="classification")
    assert as_classes.labels == ("0", "1", "2")
    assert load((inputs, np.arange(90) % 3), problem="regression").problem == "regression"
    assert load((inputs, np.arange(90) // 3), problem="classification").outputs == 30


@pytest.mark.parametrize(
    ("name", "shape", "outputs"),
    [
        ("breast_cancer", (30,), 2),
        ("diabetes", (10,), 1),
        ("iris", (4,), 3),
        ("wine", (13,), 3),
    ],
)
def test_built_in_tables(name: str, shape: tuple[int, ...], outputs: int) -> None:
    task = load(name)
    assert (task.name, task.shape, task.outputs) == (name, shape, outputs)


def test_built_in_labels() -> None:
    assert load("breast_cancer").labels == ("malignant", "benign")


def test_nothing_of_the_test_rows_is_known_to_the_reading() -> None:
    frame = _frame()
    task = load(frame)
    test = frame.assign(city="Atlantis", age=1e6)
    given = load(frame, test=test)
    assert given.cardinalities == task.cardinalities
    assert set(np.asarray(given.unseal().inputs)[:, -1]) == {0}


def test_numbers_that_float32_hardly_tells_apart_are_said() -> None:
    frame = pd.DataFrame({"at": 1.7e9 + np.arange(60), "days": 19_700 + np.arange(60) / 24})
    notes = load((frame, np.arange(60) % 2)).notes
    assert len(notes) == 2  # One is on the target.
    assert any("'at' varies by" in note and "steps of 128; subtract" in note for note in notes)


def test_infinite_numbers_count_as_missing_and_are_said() -> None:
    numbers = np.linspace(0, 1, 60)
    numbers[[3, 4, 40, 50]] = np.inf, -np.inf, 1e300, np.inf
    table = pd.DataFrame({"a": numbers, "b": np.arange(60) * 0.5, "y": np.arange(60) % 2})
    task = load(table, problem="classification", validation=0.01, test=0.01)
    assert task.numbers == 3  # a, whether it is missing, and b
    assert any("'a' has numbers that are infinite" in note for note in task.notes)
    raw = raw_inputs(task.preprocessing(), table)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(raw[:, 0])), [3, 4, 40, 50])
    np.testing.assert_array_equal(np.flatnonzero(raw[:, 1]), [3, 4, 40, 50])


def test_bytes_stand_for_text() -> None:
    inputs = np.arange(120.0).reshape(60, 2)
    assert load((inputs, np.array([b"yes", b"no"] * 30))).labels == ("no", "yes")
    names = np.array([b"no", b"yes"])
    archive = {"X": inputs, "y": np.arange(60) % 2, "target_names": names}
    assert load(archive).labels == ("no", "yes")
