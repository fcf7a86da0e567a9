"""Files become tables, or one clear message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ogive.bench import compare, read
from ogive.errors import ArchitectureError, SettingError, TaskError
from ogive.space import PoolSpace
from ogive.spaces import nasbench101_cell
from ogive.spaces._nasbench101 import OPERATIONS
from ogive.spaces._nasbench201_cells import architecture_of

Write = Callable[..., Path]
FULL = SimpleNamespace(fidelity=1.0)


def test_rows_are_the_cells_of_the_file(nb201: Path) -> None:
    table, arrays = read(nb201), dict(np.load(nb201))
    assert (table.name, table.benchmark, len(table)) == ("nb201", "NAS-Bench-201", 60)
    for row, text in enumerate(arrays["arch_str"].tolist()):
        architecture = architecture_of(text)
        assert table.row(architecture) == row
        found = table(architecture, FULL)
        assert found["c10_test_acc_200_avg"] == arrays["c10_test_acc_200_avg"][row]


def test_a_table_of_some_cells_is_a_pool(nb201: Path) -> None:
    table = read(nb201)
    assert isinstance(table.space, PoolSpace)
    assert list(table.space.enumerate()) == list(table.architectures)


def test_an_equal_cell_is_looked_up_as_the_one_in_the_table(write: Write) -> None:
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
    same = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"
    other = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"
    names = ["none", "nor_conv_3x3", "skip_connect"]
    arrays: dict[str, Any] = {
        "arch_str": np.array([text]),
        "op_names": np.array(names),
        "op_code": np.array([[names.index(o) for o in architecture_of(text).values()]]),
        "c10valid_val_acc_200_avg": np.array([90.0]),
    }
    table = read(write("one.npz", arrays))
    assert table.row(architecture_of(text)) == 0
    assert table.row(architecture_of(same)) == 0
    with pytest.raises(ArchitectureError, match=r"table\.space"):
        table.row(architecture_of(other))


def test_fidelities_and_seconds_of_nas_bench_201(nb201: Path) -> None:
    table = read(nb201)
    signal = table.signal("c10valid_val_acc_200_avg")
    assert [(rung.epochs, rung.column) for rung in signal.rungs] == [
        (12, "c10valid_val_acc_12"),
        (200, "c10valid_val_acc_200_avg"),
    ]
    assert signal.rungs[0].seconds[0] == 12 * 10 + 4  # an evaluation at the end
    assert signal.at(1.0).epochs == 200
    assert signal.at(0.99).epochs == 12
    assert signal.at(0.01).epochs == 12  # the shortest there is
    architecture = table.architectures[3]
    short = table(architecture, SimpleNamespace(fidelity=0.06))
    assert short["c10valid_val_acc_200_avg"] == table.columns["c10valid_val_acc_12"][3]
    assert table.signal("c10valid_val_acc_12").epochs == 12


def test_fidelities_of_nas_bench_101(nb101: Path) -> None:
    signal = read(nb101).signal("val_acc_108")
    rungs = {k: signal.at(3.0**-k).column for k in range(4)}
    assert rungs == {0: "val_acc_108", 1: "val_acc_36", 2: "val_acc_12", 3: "val_acc_4"}
    assert signal.at(1 / 27).seconds.tolist() == [4, 8, 12, 16]


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("nb101", "train_time_108_sec"), ("nb201", "c10valid_train_sec_per_epoch")],
)
def test_shorter_trainings_are_known_where_their_seconds_are_not(
    write: Write, request: pytest.FixtureRequest, name: str, seconds: str
) -> None:
    file = request.getfixturevalue(name)
    arrays = {column: array for column, array in np.load(file).items() if column != seconds}
    timed, untimed = read(file), read(write("untimed.npz", arrays))
    told = timed.defaults["signal"]
    rungs, same = timed.signal(told).rungs, untimed.signal(told).rungs
    assert len(rungs) > 1
    assert [(r.epochs, r.column) for r in rungs] == [(r.epochs, r.column) for r in same]
    compare(untimed, ["asha:random"], queries=2, seeds=1, workers=1)
    with pytest.raises(SettingError, match=f"has none of '{timed.defaults['quick']}'"):
        compare(untimed, ["random"], protocol="time", seeds=1, workers=1)


def test_cells_of_nas_bench_101_have_their_output_at_the_end(nb101: Path) -> None:
    table = read(nb101)
    assert table.architectures[0] == nasbench101_cell([(0, 6)], [OPERATIONS[0]] * 5)
    assert table.architectures[1] == nasbench101_cell([(0, 1), (1, 2)], ["maxpool3x3"])
    graphs = [table.space.graph(a) for a in table.architectures]  # type: ignore[misc]
    assert graphs[2].operations == ("input", OPERATIONS[0], OPERATIONS[1], "output")
    assert graphs[2].edges == ((0, 1), (0, 3), (1, 2), (2, 3))
    assert len(graphs[3].operations) == 7


def test_what_lies_beside_joins_the_table(write: Write, nb201: Path) -> None:
    texts = np.load(nb201)["arch_str"]
    write("nb201_hw.npz", {"arch_str": texts, "hwnas_c10_edgegpu_latency": np.arange(60.0)})
    write("nb201_zc.npz", {"arch_str": texts, "c10_synflow": np.r_[np.nan, np.ones(59)]})
    columns = read(nb201).columns
    assert columns["hwnas_c10_edgegpu_latency"][7] == 7
    assert np.isnan(columns["c10_synflow"][0])
    write("nb201_hw.npz", {"arch_str": texts[::-1], "hwnas_c10_edgegpu_latency": np.arange(60)})
    with pytest.raises(TaskError, match=r"nb201_hw\.npz has not.*same order"):
        read(nb201)


def test_what_is_reported_is_of_the_same_data(data: Path) -> None:
    table = read(data / "nb201.npz")
    assert table.report_of("c10valid_val_acc_200_avg") == "c10_test_acc_200_avg"
    assert table.report_of("c100_val_acc_12") == "c100_test_acc_200_avg"
    assert table.report_of("hwnas_c10_edgegpu_latency") == "c10_test_acc_200_avg"


def test_data_sets_are_known_by_their_columns(write: Write, nb201: Path) -> None:
    arrays = dict(np.load(nb201))
    arrays.pop("c10_test_acc_200_avg")
    of_cifar = [name for name in arrays if name.startswith("c10valid_")]
    of_other = {name.replace("c10valid", "in16"): arrays.pop(name) for name in of_cifar}
    table = read(write("in16.npz", arrays | of_other))
    assert [rung.column for rung in table.signal("in16_val_acc_200_avg").rungs] == [
        "in16_val_acc_12",
        "in16_val_acc_200_avg",
    ]
    assert table.report_of("in16_val_acc_12") == "in16_val_acc_12"
    tested = of_other | {"in16_test_acc_200_avg": of_other["in16_val_acc_200_avg"] + 1}
    tested_table = read(write("tested.npz", arrays | tested))
    assert tested_table.report_of("in16_val_acc_12") == "in16_test_acc_200_avg"
    timed = compare(
        tested_table, ["random"], protocol="time", signal="in16_val_acc_12", seeds=1, workers=1
    )
    best = tested["in16_val_acc_12"].argmax()
    assert timed.rows[0]["report_mean"] == tested["in16_test_acc_200_avg"][best]


def test_the_real_tables(data: Path) -> None:
    table = read(data / "nb201.npz")
    assert table.space.size == len(table) == 15_625
    best = table.columns["c10valid_val_acc_200_avg"].argmax()
    assert table.columns["c10_test_acc_200_avg"][best] == pytest.approx(94.373, abs=1e-3)
    assert "hwnas_c10_edgegpu_latency" in table.columns
    sample = read(data / "nb101_20k.npz")
    assert sample.space.size == len(sample) == 20_001  # all valid, no two equal
    assert sample.row(sample.architectures[123]) == 123


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.ones(3)}, "op_code and op_names.*has x.*NATS-Bench"),
        ({}, "has nothing"),
        (
            {"arch_str": np.array(["a"]), "op_names": np.array(["none"]), "op_code": np.ones(1)},
            "codes a cell in each row",
        ),
        (
            {
                "arch_str": np.array(["a"]),
                "op_names": np.array(["none"]),
                "op_code": np.array([[0, 0, 0, 0, 0, 7]]),
                "y": np.ones(1),
            },
            "codes a cell in each row",
        ),
        (
            {
                "arch_str": np.array([], str),
                "op_names": np.array(["none"]),
                "op_code": np.zeros((0, 6)),
            },
            "has 0 rows",
        ),
    ],
)
def test_a_file_that_is_no_table(write: Write, arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=said):
        read(write("odd.npz", arrays))


def test_a_file_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"nowhere\.npz does not exist.*https://"):
        read(tmp_path / "nowhere.npz")
    for name, content in (("text.npz", b"no archive"), ("cut.npz", b"PK\x03\x04 cut off")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TaskError, match=f"{name} cannot be read"):
            read(tmp_path / name)
    np.savez(tmp_path / "objects.npz", op_code=np.array([{}], dtype=object))
    with pytest.raises(TaskError, match="without pickled objects"):
        read(tmp_path / "objects.npz")
    with pytest.raises(TaskError, match="cannot be read"):
        read(tmp_path)


def test_an_unknown_column(nb201: Path) -> None:
    with pytest.raises(SettingError, match="Did you mean 'c10_test_acc_200_avg'"):
        read(nb201).column("c10_test_acc_200")
