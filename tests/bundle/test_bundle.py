"""Bundles of real data, written by real exporters and read by fresh processes."""

from __future__ import annotations

import dataclasses
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_diabetes
from torch import nn

from ogive import bundle, task
from ogive.bundle._card import card_text
from ogive.bundle._export import Agreement
from ogive.errors import BundleError
from ogive.space import Architecture

ARCHITECTURE = Architecture({"width": 8})
CARD = {"ogive": "0", "seed": 1}


def images() -> task.Task:
    return task.load("digits")


def mixed() -> task.Task:
    """A table with columns of every kind, and gaps in them."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2023-11-05 20:00", periods=300, freq="31h")
    ok, size = rng.random(300) < 0.5, rng.normal(size=300)
    colour = rng.choice(["red", "green; dark", "blue"], 300).astype(object)
    frame = pd.DataFrame({"when": [f"{day.isoformat()}+02:00" for day in days], "size": size})
    frame["ok"], frame["colour"] = np.where(ok, "true", "false"), colour
    frame["other"] = rng.random(300)
    frame["y"] = 100 * (size + ok + (colour == "red")) + days.hour
    frame.loc[::9, ["size", "ok"]], frame.loc[::11, "colour"] = None, None
    return task.load(frame, target="y")


def network(of: task.Task) -> nn.Module:
    torch.manual_seed(0)
    features = int(np.prod(of.shape))
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(features, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Linear(8, of.outputs),
    )


def predict_py(folder, *arguments) -> list[str]:
    """Runs the bundle's own script where neither torch nor ogive can be imported."""
    hidden = (
        "import sys, runpy; sys.modules['torch'] = sys.modules['ogive'] = None; "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", hidden, str(folder / "predict.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.rsplit(" ", 1)[-1] for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A bundle, and what its writing found; an export takes seconds."""
    digits, folder = images(), tmp_path_factory.mktemp("bundle") / "b"
    return folder, bundle.write(folder, network(digits), digits, ARCHITECTURE, CARD)


@pytest.fixture
def older(written, tmp_path):
    """A bundle of the test's own."""
    return Path(shutil.copytree(written[0], tmp_path / "b"))


def test_images_are_labelled_alike_by_every_road(written, older, tmp_path):
    digits = images()
    model, found = network(digits), written[1]
    assert all(found[form]["labels_agree"] for form in ("onnx", "pt2", "safetensors"))
    loaded = bundle.load(tmp_path / "b")
    assert loaded.architecture == ARCHITECTURE
    raw = digits.validation.take(slice(0, 20))[0]
    paths = []
    for i, pixels in enumerate(raw.numpy()):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels[0]).save(paths[-1])
    with torch.no_grad():
        expected = bundle.deployed(digits, model)(raw).argmax(1)
    labels = [digits.labels[i] for i in expected]
    assert list(loaded.predict(paths)) == labels
    assert predict_py(tmp_path / "b", *paths) == labels


def test_tables_are_answered_alike_by_every_road(tmp_path):
    """Numbers and categories, both with gaps, dates, truth values; odd cells and separators."""
    table = mixed()
    bundle.write(tmp_path / "b", network(table), table, ARCHITECTURE, CARD)
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "when;ok;size;colour;other\n"
        '2024-03-01T23:30:00-05:00;yes;1.5;red;0.5\n2024-03-01T10:00:00Z;TRUE;1e300;"green; dark";1\n'
        "never;0;1_000;;0.9\n2024-03-02;1.0;inf;never seen;0.3\n2024-01-31 23:59:59;;a lot;blue;\n",
        encoding="utf-8-sig",
    )
    expected = bundle.load(tmp_path / "b").predict(rows)
    said = [float(x) for x in predict_py(tmp_path / "b", rows)]
    assert said == pytest.approx(expected.tolist(), rel=1e-4)
    assert len(set(said)) == 5
    known = json.loads((tmp_path / "b" / "preprocessing.json").read_text())
    labelled = Path(shutil.copytree(tmp_path / "b", tmp_path / "labelled"))
    (labelled / "preprocessing.json").write_text(json.dumps({**known, "labels": ["one"]}))
    assert predict_py(labelled, rows, rows) == 10 * ["one"]
    (tmp_path / "short.csv").write_text("when,ok\n2024-03-02,1\n")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        predict_py(tmp_path / "b", tmp_path / "short.csv")
    assert "must have a column 'size'" in caught.value.stderr
    assert "Traceback" not in caught.value.stderr


def test_a_script_without_files_says_how_it_is_called(written, monkeypatch):
    monkeypatch.setattr("sys.argv", ["predict.py"])
    with pytest.raises(SystemExit, match=r"python predict\.py IMAGE"):
        runpy.run_path(str(written[0] / "predict.py"))


def test_the_card_has_whole_numbers_and_public_names():
    task = {"name": "a", "kind": "tabular", "problem": "regression", "shape": [3], "notes": []}
    task |= {
        "labels": None,
        "outputs": 1,
        "rows": dict.fromkeys(("train", "validation", "test"), 9),
    }
    card = CARD | {"task": task, "costs": {"macs": 2_379_008.0}, "limits": {"macs": 3e6}}
    text = card_text(card)
    assert "a regression on tables" in text
    assert "| macs | 2,379,008 | 3,000,000 |" in text
    assert "ogive.load_bundle" in text


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """What a bundle's script gives to its network for the rows of a table."""
    fed = []

    class Session:
        def __init__(self, *_, **__) -> None:
            pass

        def run(self, _, feed):
            fed.append(feed["input"])
            return [np.zeros((1, 1))]

    def read(of: task.Task, table: Path) -> np.ndarray:
        described = {**of.preprocessing(), "labels": []}
        (tmp_path / "preprocessing.json").write_text(json.dumps(described))
        scripts = Path(bundle.__file__).parent / "scripts"
        shutil.copyfile(scripts / "predict_tabular.py", tmp_path / "predict.py")
        monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
        monkeypatch.setattr(sys, "argv", ["predict.py", str(table)])
        runpy.run_path(str(tmp_path / "predict.py"))
        return np.concatenate(fed)

    return read


def columns() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    numbers = pd.DataFrame(rng.random((60, 6)), columns=["size", *"012", "2019", "2020"])
    return numbers.assign(
        colour=rng.choice(["red", "blue"], 60),
        code=pd.Categorical(rng.choice([1, 2], 60)),
        day=pd.date_range("2024-01-01", periods=60, freq="31h").strftime("%Y/%m/%d %H:%M"),
        european=pd.date_range("2024-01-01", periods=60).strftime("%d.%m.%Y"),
    )


DAYS = """2020/01/05|2020.1.5|2020 01 05|2020-1-5|2020-01|2020/2|20200105|20200105T103015|2020
202001|2020-01/05|2020-02-30|0000-01-01|9999-12-31|now|today|2020-W01-1|2020/01/05 10:30|2020-01-05T10
2020-01-05T1:30|2020-01-05t10:30|2020-01-05T10:30:15.123456789|2020-01-05 10:30:15 +0200|2020-01-05T24:00
2020-01-05 9:40|2020/1/5 9:40:00|2020-01-05T9|2020-01-05T9:4|2020-01-05T10:30Z|2020-01-05T10:30-05:30|2020-01-05Z|0001-01-01T00:00+05:00""".replace(
    "\n", "|"
).split("|")
ROWS = {
    "blanks around names and cells": ("size colour", "size , colour\n 1 , red \n2, NA\n"),
    "a first line of blanks": ("size colour", "  \nsize,colour\n1,red\n"),
    "two columns that count": ("0 1", "0,1\n7,8\n"),
    "blank lines": ("size colour", "\nsize;colour\n1;red\n\n2;blue\n\n"),
    "columns without a name": ("size colour", ",size,,colour\n0,1,x,red\n"),
    "a header of numbers": ("0 1 2", "0,1,2\n0.5,1,0\n3,2,0\n"),
    "a header of years": ("2019 2020", "2019,2020\n0.5,1\n"),
    "no header": ("0 1", "0.5,nan\n3,2\n"),
    "dates": ("day", "\n".join(["day,size", *(f"{day},1" for day in DAYS)])),
    "dates of another form": ("european", "european,size\n1.2.2024,1\ntoday,1\n2024-02-01,1\n"),
    "numbers": (
        "size colour",
        "size,colour\n1e39,red\n-3.4028235e38,red\n\uff11\uff12,red\n1_0,red\n",
    ),
    "durations": (
        "size colour",
        "size,colour\n0 days 00:00:02.500000,red\n-1 days +23:59:59,red\n2 days,red\n1 days 1:00:00,red\n",
    ),
    "codes with decimals": ("size code", "size,code\n1,2.0\n2,1\n3,\n"),
}


@pytest.mark.parametrize("case", ROWS)
def test_the_script_of_a_bundle_reads_the_cells_that_ogive_reads(cells, tmp_path, case):
    names, text = ROWS[case]
    of = task.load((columns()[names.split()], np.arange(60) % 2))
    (tmp_path / "rows.csv").write_text(text)
    expected = task.raw_inputs(of.preprocessing(), tmp_path / "rows.csv")
    np.testing.assert_array_equal(cells(of, tmp_path / "rows.csv"), expected)


def test_the_script_of_a_bundle_reads_the_pixels_that_ogive_reads(written, tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.jpg")
    monkeypatch.setattr(sys, "argv", ["predict.py", str(tmp_path / "large.jpg")])
    read = runpy.run_path(str(written[0] / "predict.py"))["read"]
    inputs = images().inputs
    expected = inputs.read([tmp_path / "large.jpg"])[0]
    assert np.array_equal(read(tmp_path / "large.jpg"), expected)
    inputs = dataclasses.replace(inputs, bits=12)
    monkeypatch.setitem(read.__globals__, "SPEC", {"inputs": inputs.to_json()})
    Image.fromarray(np.uint16(16) * noise[..., 0]).save(tmp_path / "deep.png")
    expected = inputs.read([tmp_path / "deep.png"])[0]
    assert np.array_equal(read(tmp_path / "deep.png"), expected)
    Image.fromarray(noise[..., 0]).convert("F").save(tmp_path / "deep.tif")
    with pytest.raises(SystemExit, match=r"8 or 16 bits.*deep\.tif has 32"):
        read(tmp_path / "deep.tif")


class Counting(nn.Module):
    """A Python number that an export bakes in."""

    calls = 0

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.inner(x) * self.calls**3


class Mixing(nn.Module):
    """Rows that see each other."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = 5 * self.inner(x)
        return outputs - outputs.mean(0)


@pytest.mark.parametrize("wrong", [Counting, Mixing])
def test_a_network_that_diverges_leaves_the_older_bundle(older, tmp_path, wrong):
    digits = images()
    before = (older / "model.onnx").read_bytes()
    with pytest.raises(BundleError, match="must agree"):
        bundle.write(older, wrong(network(digits)), digits, ARCHITECTURE, CARD)
    assert (older / "model.onnx").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0.0), (1.0, 1e5)])
def test_values_are_compared_by_their_deviation(scale, offset):
    """A thousandth of the largest is more than they differ by, or than any is."""
    inputs, values = load_diabetes(return_X_y=True)
    of = task.load((inputs, offset + scale * values), problem="regression")
    targets = np.asarray(of.validation.targets, np.float32)[:, None]
    agreement, noise = Agreement(targets, of), 77 * scale * np.resize([1, -1], targets.shape)
    rounded = (targets.astype(float) + 5e-4 * noise).astype(np.float32)
    assert 0 < agreement.of("onnx", rounded)["difference"] < 1e-3
    for wrong in (targets + 2e-3 * noise, np.full_like(targets, np.nan)):
        with pytest.raises(BundleError, match="must agree"):
            agreement.of("onnx", wrong)


def test_a_newer_bundle_replaces_the_older(older, tmp_path):
    digits = images()
    # One row is enough: a validation split may have no more.
    bundle.write(older, network(digits), digits, Architecture({"w": 9}), CARD, samples=1)
    assert bundle.load(older).architecture["w"] == 9
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    damaged = {"model.onnx": b"\x08", "preprocessing.json": b"{}", "card.json": b"[1]"}
    for name, content in damaged.items():
        whole = (tmp_path / "b" / name).read_bytes()
        for now in (content, None):
            (tmp_path / "b" / name).unlink()
            if now is not None:
                (tmp_path / "b" / name).write_bytes(now)
            with pytest.raises(BundleError):
                bundle.load(tmp_path / "b")
            (tmp_path / "b" / name).write_bytes(whole)


def test_a_branch_on_values_cannot_be_exported(tmp_path):
    class Branching(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) if x.sum() > 0 else self.inner(-x)

    digits = images()
    with pytest.raises(BundleError, match=r"torch\.export.*torch\.where"):
        bundle.write(tmp_path / "b", Branching(network(digits)), digits, ARCHITECTURE, CARD)
    assert not list(tmp_path.iterdir())
