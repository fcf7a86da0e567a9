"""What needs no network answers without torch, which takes seconds to import."""

import subprocess
import sys

import pytest

from ogive.engine import search
from ogive.executors import SerialExecutor
from ogive.space import Decision, SearchSpace

PROBE = """
import sys
from ogive.cli import main
try:
    main()
finally:
    assert "torch" not in sys.modules, "torch was imported"
"""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick") / "run"
    space = SearchSpace([Decision("x", "categorical", options=("a", "b"))])
    search(
        space,
        estimator=score,
        maximize="score",
        trials=2,
        out=folder,
        executor=SerialExecutor(),
    )
    return folder


def score(architecture, run):
    return {"score": float(architecture["x"] == "a")}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["search", "--help"], 0),
        (["search"], 2),
        (["search", "digits", "--trials", "many"], 2),
        (["resume", "nowhere"], 7),
        (["show", "nowhere"], 7),
        (["predict", "--help"], 0),
    ],
)
def test_answers_without_torch(line, code):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *line], capture_output=True, text=True, check=False
    )
    assert "torch was imported" not in done.stderr
    assert done.returncode == code, done.stderr


def test_a_search_is_shown_without_torch(run_folder):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "show", str(run_folder), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"score": 1.0' in done.stdout
