"""What every test shares: one thread, the place of the benchmark tables, Hypothesis' settings."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch, and for the workers that tests start

import cloudpickle
import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)  # small networks are slower on two threads; xdist fills the cores

if hasattr(os, "sched_setaffinity") and "PYTEST_XDIST_WORKER" in os.environ:
    # Each process of the tests has a core of its own: the searches in it start one worker.
    _CORES = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_CORES[int(os.environ["PYTEST_XDIST_WORKER"][2:]) % len(_CORES)]})

settings.register_profile(
    "ogive",
    deadline=None,  # the first call of a torch operator is slow, and says nothing
    derandomize=True,  # the same commit gives the same verdict
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ogive"))

ROOT = Path(__file__).parents[1]


def pytest_collection_finish(session: pytest.Session) -> None:
    for module in {item.getparent(pytest.Module).obj for item in session.items}:
        # As from a script: workers need not import what else a module of tests does.
        cloudpickle.register_pickle_by_value(module)
    # Torch and the tests themselves stay: the collector need not walk them again and again.
    gc.collect()
    gc.freeze()


class Clock:
    """A module ``time`` whose time passes with each look at it, and by sleeping."""

    def __init__(self, look: float = 0.0) -> None:
        self._now, self._look = 1000.0, look

    def monotonic(self) -> float:
        self._now += self._look
        return self._now

    time = perf_counter = monotonic

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    """Gives modules a clock of their own: what they do in a time is then the same everywhere."""

    def given(*modules: ModuleType, look: float = 0.0) -> Clock:
        made = Clock(look)
        for module in modules:
            monkeypatch.setattr(module, "time", made)
        return made

    return given


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of benchmark tables: ``$OGIVE_DATA``, or ``shared/data`` beside the checkout."""
    folder = Path(os.environ.get("OGIVE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the benchmark tables are not at {folder}; set OGIVE_DATA to their folder")
    return folder
