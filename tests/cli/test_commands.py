import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from ogive import __version__
from ogive.engine import summarize

NARROW = """
from torch import nn
from widths_beside import WIDTHS

print("a user's own words")

def network(choose, task):
    width = choose.value("width", WIDTHS)
    side = -(-task.height // 2)
    return nn.Sequential(
        nn.Conv2d(task.channels, width, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(width * side * side, task.outputs))

def widths(network, task, batch_size):
    return network[0].out_channels
"""


ASKED = (
    "--trials", "6", "--strategy", "asha:proposer=random", "--stop-below", "0.01",
    "--fidelity", "data", "--fidelity", "epochs",
)  # fmt: skip


def asked(space):
    """The options with a space and a cost of the same file."""
    return "--space", space, "--cost", f"widths={space.replace(':network', ':widths')}", *ASKED


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "narrow.py"
    path.write_text(NARROW)
    path.with_name("widths_beside.py").write_text("WIDTHS = (4, 8, 16)\n")
    return f"{path}:network"


class AtATerminal:
    """A command at a terminal of its own, which somebody reads."""

    def __init__(self, *arguments, cwd=None):
        self._end, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ogive", *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )
        os.close(theirs)
        self.shown = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            try:
                self.shown += os.read(self._end, 1 << 16).decode(errors="replace")
            except OSError:  # The other end is closed.
                return

    def until(self, pattern, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not re.search(pattern, self.shown):
            assert self.process.poll() is None, self.shown[-3000:]
            time.sleep(0.02)
        assert re.search(pattern, self.shown), self.shown[-3000:]

    def interrupt(self):
        os.killpg(self.process.pid, signal.SIGINT)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, space):
    """A search at a terminal, after one Ctrl-C: its folder, the terminal, and a copy of it then.

    It was begun beside the file with its space, and named it from there.
    """
    folder, path = tmp_path_factory.mktemp("search") / "run", Path(space)
    terminal = AtATerminal("search", "digits", *asked(path.name), "--out", folder, cwd=path.parent)
    terminal.until(r"trial 0 complete")
    terminal.interrupt()
    terminal.process.wait(60)
    return folder, terminal, Path(shutil.copytree(folder, folder.with_name("then")))


@pytest.fixture(scope="module")
def finished(interrupted, ogive):
    """The search resumed to its end: its folder, and what that printed."""
    folder = interrupted[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORCE_COLOR", "1")
        code, out, err = ogive("resume", folder, "--json")
    assert code == 0, err
    return folder, out, err


def test_help_and_version_are_quick_to_say(ogive):
    code, out, _ = ogive("--help")
    assert code == 0
    assert all(name in out for name in ("search", "resume", "show", "predict", "Exit codes"))
    assert ogive("--version")[1].strip() == f"ogive {__version__}"


def test_an_unknown_command_says_what_was_meant(ogive):
    code, _, err = ogive("serach", "digits")
    assert code == 2
    assert "search" in err


def test_with_json_the_output_is_one_object_and_the_rest_is_elsewhere(finished):
    folder, out, err = finished
    summary = json.loads(out)
    assert summary["status"] == "complete"
    assert summary["test"]["accuracy"] > 0.8
    assert summary["stopped"] == {"below": 0.01, "trials": 0, "epochs": 0}
    assert "complete" in err
    assert "a user's own words" in err
    assert "Traceback" not in err
    assert "\x1b" not in err  # This is no terminal, whatever FORCE_COLOR says.
    assert json.loads((folder / "summary.json").read_text())["best"] == summary["best"]


def test_show(ogive, finished):
    folder, printed, _ = finished
    code, out, _ = ogive("show", folder, "--json")
    shown = json.loads(out)
    assert code == 0
    assert shown["budget"]["used"]["trials"] == len(shown["trials"]) == 6
    for name in ("trials", "best", "reference", "test"):
        assert shown[name] == json.loads(printed)[name]
    for trial in shown["trials"]:
        wanted = {"number", "state", "architecture", "fidelity", "metrics", "costs", "error"}
        assert wanted | {"seconds"} <= set(trial)
        assert trial["costs"]["widths"] == trial["architecture"]["width"]
    code, out, _ = ogive("show", folder)
    assert code == 0
    assert "test: accuracy" in out
    assert str(folder / "bundle")[:40] in out


def test_report_is_written_anew(ogive, finished):
    folder, *_ = finished
    (folder / "report.html").unlink()
    code, out, _ = ogive("report", folder)
    assert code == 0
    assert out.strip() == str(folder / "report.html")
    assert (folder / "report.html").stat().st_size > 10_000


def test_export_to_optuna(ogive, finished, tmp_path):
    optuna = pytest.importorskip("optuna")
    folder, printed, _ = finished
    url = f"sqlite:///{tmp_path}/study.db"
    code, out, _ = ogive("export", folder, "--optuna", url)
    assert code == 0
    assert out == "5 trials in the study 'run'\n"  # The final training is none of them.
    study = optuna.load_study(study_name="run", storage=url)
    assert study.best_value == json.loads(printed)["best"]["metrics"]["accuracy"]
    assert ogive("export", folder, "--optuna", "study.db")[0] == 2


def test_predict_labels_files(ogive, finished, tmp_path):
    folder, *_ = finished
    images, labels = load_digits(return_X_y=True)
    paths = []
    for i in range(20):
        pixels = np.rint(images[i].reshape(8, 8) * 255 / 16).astype(np.uint8)
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels).save(paths[-1])
    code, out, _ = ogive("predict", folder / "bundle", *paths, "--json", "--proba")
    assert code == 0
    rows = json.loads(out)
    right = [row["prediction"] == str(label) for row, label in zip(rows, labels, strict=False)]
    assert sum(right) >= 16
    assert all(sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-3) for row in rows)
    code, out, _ = ogive("predict", folder / "bundle", *paths)
    assert [line.split("\t")[1] for line in out.splitlines()] == [r["prediction"] for r in rows]
    (tmp_path / "some").mkdir()
    for path in paths[:3]:
        path.rename(tmp_path / "some" / path.name)
    named = ogive("predict", folder / "bundle", tmp_path / "some")[1]
    assert named.splitlines() == [
        line.replace(str(tmp_path), str(tmp_path / "some"))
        for line in sorted(out.splitlines()[:3])
    ]
    for path in paths[:3]:
        (tmp_path / "some" / path.name).rename(path)
    # The script in the bundle says the same, without ogive and without torch.
    hidden = "import sys; sys.modules['torch'] = sys.modules['ogive'] = None; "
    script = f"sys.argv = {['predict.py', *map(str, paths)]!r}; exec(open({str(folder / 'bundle' / 'predict.py')!r}).read())"
    named = f"__file__ = {str(folder / 'bundle' / 'predict.py')!r}; "
    done = subprocess.run(
        [sys.executable, "-c", hidden + named + script], capture_output=True, text=True, check=True
    )
    assert [line.split()[-1] for line in done.stdout.splitlines()] == [
        r["prediction"] for r in rows
    ]


def test_the_same_command_again_returns_the_result(ogive, finished, space):
    folder, printed, _ = finished
    code, out, _ = ogive("search", "digits", *asked(space), "--out", folder, "--json")
    assert code == 0
    assert json.loads(out)["trials"] == json.loads(printed)["trials"]


def test_resume_finds_its_files_from_anywhere(ogive, finished, tmp_path, monkeypatch):
    folder, printed, _ = finished
    monkeypatch.chdir(tmp_path)
    code, out, err = ogive("resume", folder, "--json")
    assert code == 0, err
    assert json.loads(out)["trials"] == json.loads(printed)["trials"]
    assert Path.cwd() == tmp_path


def test_a_refused_command_leaves_the_one_that_stands(ogive, finished, space):
    folder, *_ = finished
    before = (folder / "search.json").read_text()
    code, _, err = ogive(
        "search", "digits", "--space", space, "--trials", "6", "--seed", "3", "--out", folder
    )
    assert code == 7
    assert "seed: 0 there, 3 now" in err
    assert (folder / "search.json").read_text() == before


def test_a_command_that_never_began_is_not_gone_on_with(ogive, tmp_path):
    folder = tmp_path / "run"
    assert ogive("search", tmp_path / "none.csv", "--out", folder)[0] == 3
    code, _, err = ogive("resume", folder)
    assert code == 7
    assert "search.json" in err


def test_spaces(ogive):
    code, out, _ = ogive("spaces")
    assert code == 0
    assert "convnet" in out
    assert "mlp" in out
    code, out, _ = ogive("spaces", "convnet")
    assert "expansion: 2, 3, 4, 6 where stages.0.operation is inverted\n" in out
    assert ogive("spaces", "convnets")[0] == 2


# At a terminal


def test_ctrl_c_once_writes_what_there_is(interrupted):
    _, terminal, then = interrupted
    assert terminal.process.returncode == 130
    assert "budget" in terminal.shown  # The board.
    assert "interrupted" in terminal.shown
    summary = json.loads((then / "summary.json").read_text())
    assert summary["status"] == summarize(then)["status"] == "interrupted"
    assert summary["test"] is None
    exported = json.loads((then / "bundle" / "architecture.json").read_text())
    assert exported == summary["best"]["architecture"]
    assert (then / "report.html").exists()


def test_resume_completes_what_was_interrupted(finished):
    complete = json.loads(finished[1])
    assert complete["status"] == "complete"
    assert complete["test"]
    numbers = [trial["number"] for trial in complete["trials"]]
    assert numbers == list(range(len(numbers)))


def test_ctrl_c_twice_stops_at_once_and_leaves_nobody_behind(tmp_path, space):
    folder = tmp_path / "run"
    terminal = AtATerminal(
        "search", "digits", "--space", space, "--trials", "200", "--workers", "1", "--no-bundle",
        "--out", folder,
    )  # fmt: skip
    terminal.until(r"trial \d complete", 90)
    workers = psutil.Process(terminal.process.pid).children(recursive=True)
    assert workers
    terminal.interrupt()
    terminal.until(r"Ctrl-C again stops at once")
    terminal.interrupt()
    assert terminal.process.wait(20) == 130
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive
