"""``ogive bench`` on a small table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ogive.spaces._nasbench201_cells import OPERATIONS

WANTED = {
    "strategy",
    "queries",
    "seeds",
    "signal_mean",
    "signal_se",
    "report_mean",
    "report_se",
    "seconds_per_proposal",
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Every cell of convolutions and skips, worth the more the more convolutions it has."""
    options = [OPERATIONS.index(o) for o in ("skip_connect", "nor_conv_1x1", "nor_conv_3x3")]
    codes = np.array(np.meshgrid(*[options] * 6)).reshape(6, -1).T.astype(np.uint8)
    good = codes.sum(axis=1).astype(np.float32)
    path = tmp_path / "small.npz"
    np.savez(
        path,
        arch_str=np.array([str(row) for row in codes.tolist()]),
        op_code=codes,
        op_names=np.array(OPERATIONS),
        c10valid_val_acc_200_avg=good,
        c10_test_acc_200_avg=good + 50,
        params_m_c10=good / 10,
        c10valid_train_sec_per_epoch=np.full(len(good), 1 / 200),
    )
    return path


def bench(ogive, table, *options):
    return ogive(
        "bench", table, "--seeds", 3, "--workers", 1, "--out", table.parent / "out", *options,
        *([] if "--seconds" in options else ["--queries", 20]),
    )  # fmt: skip


def test_the_table_that_is_printed(ogive, table):
    code, out, err = bench(
        ogive, table, "--strategy", "random", "--strategy", "evolution:5,sample=2"
    )
    assert code == 0, err
    assert "small: NAS-Bench-201" in out
    assert "3 seeds" in out
    assert "evolution:5,sample=2" in out
    assert f"report: {table.parent / 'out'}/report.html" in out
    assert (table.parent / "out" / "report.html").stat().st_size > 1e6


def test_with_json_the_output_is_a_list_of_rows(ogive, table):
    code, out, _ = bench(ogive, table, "--strategy", "random", "--strategy", "evolution", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["strategy"] for row in rows] == ["random", "evolution"]
    for row in rows:
        assert row.keys() >= WANTED
        assert (row["queries"], row["seeds"]) == (20, 3)
        assert row["report_mean"] == row["signal_mean"] + 50


def test_where_figures_are_given(ogive, table):
    _, out, _ = bench(ogive, table, "--json", "--at", 5, "--at", 10, "--seed", 7)
    first = json.loads(out)[0]
    assert [after["spent"] for after in first["after"]] == [5, 10, 20]
    assert first["after"][0]["signal_mean"] <= first["signal_mean"]


def test_two_objectives(ogive, table):
    code, out, err = bench(ogive, table, "--protocol", "objectives", "--cost", "params_m_c10")
    assert code == 0, err
    assert "hypervolume by full trainings" in out


def test_a_run_by_the_clock(ogive, table):
    code, out, err = bench(
        ogive, table, "--protocol", "time", "--seconds", 12,
        "--signal", "c10valid_val_acc_200_avg", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)[0]["queries"] == 12


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--strategy", "evolutoin"], 2, "Did you mean 'evolution'"),
        (["--strategy", "evolution:populaton=3"], 2, "Did you mean 'population'"),
        (["--signal", "accuracy"], 2, "has no 'accuracy'"),
        (["--protocol", "trials"], 2, "trials"),
    ],
)
def test_what_is_wrong_gets_one_message(ogive, table, options, code, said):
    found, out, err = bench(ogive, table, *options)
    assert (found, out) == (code, "")
    assert said in " ".join(err.split())
    assert "Traceback" not in err


def test_a_table_that_is_not_there_says_where_to_get_one(ogive, tmp_path):
    code, _, err = ogive("bench", tmp_path / "nb201.npz")
    assert code == 3
    assert "NATS-Bench" in err


def test_it_needs_no_torch(table):
    code = (
        "import sys; from ogive.cli import main\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules, 'torch was imported'"
    )
    line = [
        "bench",
        str(table),
        "--queries",
        "3",
        "--seeds",
        "2",
        "--out",
        str(table.parent / "o"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *line], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
