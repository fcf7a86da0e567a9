"""Bad input gets one clear message, a non-zero exit and no traceback, and loses nothing."""

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ogive import task
from ogive.engine import search, summarize
from ogive.executors import SerialExecutor
from ogive.space import Decision, SearchSpace


@pytest.fixture
def refused(ogive, tmp_path):
    """Runs a search that must be refused; returns its one message."""

    def run(code, data, *options, out=None):
        folder = out or tmp_path / "run"
        before = sorted(folder.rglob("*")) if folder.exists() else []
        found, out_text, err = ogive("search", data, "--out", folder, "--trials", "4", *options)
        assert found == code, err
        assert not out_text
        assert err.count("error: ") == 1, err
        assert "Traceback" not in err
        lost = [path for path in before if not path.exists()]
        assert all(path.name.endswith(("-wal", "-shm")) for path in lost), lost
        return err[err.index("error: ") :]

    return run


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (12, 12), np.uint8)
    Image.fromarray(pixels).save(path)


def table(path, rows=60, **columns):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=rows), "y": rng.normal(size=rows)})
    frame["target"] = np.where(frame.x > 0, "up", "down")
    for name, values in columns.items():
        frame[name] = values
    frame.to_csv(path, index=False)
    return path


# Data


def test_a_path_that_does_not_exist(refused, tmp_path):
    assert "nowhere" in refused(3, tmp_path / "nowhere.csv")


def test_an_empty_folder(refused, tmp_path):
    (tmp_path / "data").mkdir()
    assert str(tmp_path / "data") in refused(3, tmp_path / "data")


def test_one_class(refused, tmp_path):
    for i in range(12):
        picture(tmp_path / "data" / "cat" / f"{i}.png", i)
    assert "class" in refused(3, tmp_path / "data")


def test_a_class_with_one_sample(refused, tmp_path):
    for i in range(12):
        picture(tmp_path / "data" / "cat" / f"{i}.png", i)
    picture(tmp_path / "data" / "dog" / "0.png", 99)
    assert "dog" in refused(3, tmp_path / "data")


def test_a_file_that_is_not_an_image(refused, tmp_path):
    for i in range(24):
        picture(tmp_path / "data" / "ab"[i % 2] / f"{i}.png", i)
    broken = tmp_path / "data" / "a" / "broken.png"
    broken.write_text("no picture")
    assert "broken.png" in refused(3, tmp_path / "data")


def test_a_target_that_is_not_there(refused, tmp_path):
    message = refused(3, table(tmp_path / "t.csv"), "--target", "tarjet")
    assert "tarjet" in message
    assert "target" in message


def test_missing_targets(refused, tmp_path):
    target = ["up", "down", None] * 20
    assert "target" in refused(3, table(tmp_path / "t.csv", target=target), "--target", "target")


def test_a_column_of_nothing(refused, tmp_path):
    path = table(tmp_path / "t.csv", empty=[None] * 60)
    assert "empty" in refused(3, path, "--target", "target")


def test_labels_as_floats(refused, tmp_path):
    path = table(tmp_path / "t.csv", target=np.linspace(0.1, 9.7, 60))
    message = refused(3, path, "--target", "target", "--problem", "classification")
    assert "class '0.1' has 1" in message


def test_nothing_but_copies_of_a_row(refused, tmp_path):
    path = table(tmp_path / "t.csv", x=1.0, y=2.0, target=["up", "down"] * 30)
    message = refused(3, path, "--target", "target")
    assert "differ" in message or "constant" in message


# Limits and budgets


@pytest.mark.parametrize("limit", ["params=1", "latency_ms=0.000001"])
def test_a_limit_that_no_architecture_meets(refused, limit, monkeypatch):
    monkeypatch.setattr("ogive.engine._limits._PATIENCE", 0.5)
    message = refused(5, "digits", "--limit", limit, "--workers", "1", "--no-bundle")
    assert "nearest" in message
    assert limit.split("=")[0] in message


def test_a_fidelity_that_is_none(refused, tmp_path):
    assert "resolution" in refused(2, "digits", "--fidelity", "resolutoin", out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_stood_there_stands_there_still(refused, tmp_path):
    assert "Did you mean" in refused(2, "digits", "--strategy", "evolutoin", out=tmp_path)
    assert tmp_path.exists()


@pytest.mark.parametrize("limit", ["params", "params=many", "parms=3", "params=-1"])
def test_a_limit_that_is_none(refused, limit):
    assert "limit" in refused(2, "digits", "--limit", limit).lower()


def test_a_budget_too_short_for_one_epoch(ogive, tmp_path, monkeypatch):
    def load(*arguments, **settings):
        time.sleep(1)
        return task.load(*arguments, **settings)

    monkeypatch.setattr("ogive.load", load)
    code, _, err = ogive(
        "search",
        "iris",
        "--budget",
        "1s",
        "--workers",
        "1",
        "--no-bundle",
        "--out",
        tmp_path / "run",
    )
    assert not err.startswith("[0:00]")  # Loading takes of the budget, too.
    assert code == 6
    assert "at least" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "options",
    [
        ("--budget", "soon"),
        ("--trials", "0"),
        ("--strategy", "asah"),
        ("--space", "convnets"),
        ("--together", "8"),  # For tables.
    ],
)
def test_options_that_are_wrong(ogive, tmp_path, options):
    code, _, err = ogive("search", "digits", "--out", tmp_path / "run", *options)
    assert code == 2, err
    assert "Traceback" not in err


# Network functions


def network(tmp_path, body):
    path = tmp_path / "mine.py"
    path.write_text(
        "from torch import nn\n\ndef network(choose, task):\n"
        + "\n".join(f"    {line}" for line in body.splitlines())
    )
    return f"{path}:network"


FLAT = "nn.Flatten(), nn.Linear(task.channels * task.height * task.width, task.outputs)"


def test_a_network_function_that_raises(refused, tmp_path):
    message = refused(4, "digits", "--space", network(tmp_path, "raise KeyError('oh')"))
    assert "KeyError" in message
    assert "mine.py:4" in message


def test_a_network_with_a_wrong_shape(refused, tmp_path):
    space = network(tmp_path, "return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))")
    message = refused(4, "digits", "--space", space)
    assert "(2, 3)" in message
    assert "(2, 10)" in message


def test_a_network_whose_layers_do_not_fit(refused, tmp_path):
    body = (
        "width = choose.value('width', (8, 16))\n"
        "layer = choose.layer('op', {'a': lambda: nn.Linear(8, task.outputs)})\n"
        "return nn.Sequential(nn.Flatten(), nn.Linear(64, width), layer)"
    )
    message = refused(4, "digits", "--space", network(tmp_path, body))
    assert "'op'" in message
    assert "(2, 16)" in message


@pytest.mark.parametrize("fault", ["self.hed(x)", "{}['oh']", "1 / 0"])
def test_a_layer_whose_forward_raises(refused, tmp_path, fault):
    body = (
        "class Mine(nn.Module):\n"
        "    def forward(self, x):\n"
        f"        return {fault}\n"
        f"return nn.Sequential(Mine(), {FLAT})"
    )
    message = refused(4, "digits", "--space", network(tmp_path, body))
    assert "Mine" in message
    assert "Error" in message


def test_a_path_asked_twice_with_other_options(refused, tmp_path):
    body = (
        "choose.value('width', (8, 16))\n"
        "choose.value('width', (8, 32))\n"
        f"return nn.Sequential({FLAT})"
    )
    message = refused(4, "digits", "--space", network(tmp_path, body))
    assert "'width'" in message
    assert "mine.py:4" in message
    assert "mine.py:5" in message


def test_a_loop_over_a_chosen_depth(refused, tmp_path):
    body = (
        "layers = [choose.layer(f'op{i}', {'a': nn.Identity, 'b': nn.ReLU})\n"
        "          for i in range(choose.value('depth', (1, 2, 3)))]\n"
        f"return nn.Sequential(*layers, {FLAT})"
    )
    message = refused(4, "digits", "--space", network(tmp_path, body))
    assert "choose.repeat" in message


@pytest.mark.parametrize(
    ("space", "code", "said"),
    [
        ("{}/none.py:network", 2, "does not exist"),
        ("{}/mine.py:netwrok", 4, "Did you mean 'network'"),
        ("{}/broken.py:network", 4, "SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_used(refused, tmp_path, space, code, said):
    network(tmp_path, f"return nn.Sequential({FLAT})")
    (tmp_path / "broken.py").write_text("def network(:\n")
    assert said in refused(code, "digits", "--space", space.format(tmp_path))
    assert said in refused(2, "digits", "--cost", f"energy={space.format(tmp_path)}")


# Folders and disks


def test_a_journal_that_is_none(refused, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "journal.db").write_bytes(b"this is no database, but somebody's notes" * 100)
    refused(7, "digits", out=folder)
    assert b"somebody's notes" in (folder / "journal.db").read_bytes()


def test_a_journal_of_another_search(refused, tmp_path):
    folder = tmp_path / "run"
    search(
        SearchSpace([Decision("x", "integer", low=1, high=9)]), estimator=lambda a, _: {"v": a["x"]},
        maximize="v", strategy="random", seed=5, executor=SerialExecutor(), trials=2, out=folder,
    )  # fmt: skip
    before = summarize(folder)
    message = refused(7, table(tmp_path / "t.csv"), "--target", "target", out=folder)
    assert "seed" in message
    assert "space" in message
    assert summarize(folder) == before


def mounted(path, *options):
    """Mounts a small file system, where the tests are run by root on Linux."""
    path.mkdir()
    done = subprocess.run(["mount", *options, str(path)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting needs root on Linux")
    return path


def test_a_full_disk(refused, tmp_path):
    small = mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=300k", "tmpfs")
    wide = network(
        tmp_path, "return nn.Sequential(nn.Flatten(), nn.Linear(64, 999), nn.Linear(999, 10))"
    )
    try:
        message = refused(
            7, "digits", "--space", wide, "--workers", "1", "--no-bundle", out=small / "run"
        )
        assert str(small) in message
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_run_folder_that_is_read_only(refused, tmp_path):
    (tmp_path / "plain").mkdir()
    locked = mounted(tmp_path / "locked", "-t", "tmpfs", "-o", "ro", "tmpfs")
    try:
        message = refused(7, "digits", out=locked / "run")
        assert "--out" in message
    finally:
        subprocess.run(["umount", "-l", str(locked)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_folder_without_permission(refused, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir(mode=0o500)
    assert "--out" in refused(7, "digits", out=folder)


@pytest.mark.parametrize("command", ["show", "report", "resume"])
def test_a_folder_that_is_no_run(ogive, tmp_path, command):
    code, _, err = ogive(command, tmp_path)
    assert code == 7
    assert str(tmp_path) in err
    assert "Traceback" not in err


def test_a_bundle_that_is_none(ogive, tmp_path):
    code, _, err = ogive("predict", tmp_path, Path("x.png"))
    assert code == 8
    assert "Traceback" not in err
