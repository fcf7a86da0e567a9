"""The file in which large data is kept: bounded in memory, whole or absent, found by path."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ogive.errors import TaskError
from ogive.task import Task, _store, load


def _write_folder(folder: Path, count: int = 20, side: int = 12) -> Path:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


def _python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _write_folder(tmp_path / "pets")


def _file(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


def test_an_unchanged_folder_is_decoded_once(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def progress(*done: int) -> None:
        seen.append((done[0], done[1]))

    first = load(folder, cache=tmp_path / "cache", progress=progress)
    assert seen[-1] == (40, 40)
    seen.clear()
    again = load(folder, cache=tmp_path / "cache", progress=progress)
    assert not seen
    assert again.key == first.key
    np.testing.assert_array_equal(again.train.inputs, first.train.inputs)


def test_a_changed_folder_is_decoded_again(folder: Path, tmp_path: Path) -> None:
    first = load(folder, cache=tmp_path / "cache")
    Image.new("RGB", (12, 12), "red").save(folder / "cat" / "0.png")
    assert load(folder, cache=tmp_path / "cache").key != first.key


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "longer"])
def test_a_damaged_file_is_made_again(folder: Path, tmp_path: Path, damage: str) -> None:
    first = load(folder, cache=tmp_path / "cache")
    path = _file(tmp_path / "cache")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    whole = path.read_bytes()
    damaged = {"cut": whole[:-100], "flipped": content, "emptied": b"", "longer": whole * 2}
    path.unlink()  # The first task still maps it.
    path.write_bytes(damaged[damage])
    again = load(folder, cache=tmp_path / "cache")
    assert path.read_bytes() == whole
    assert again.key == first.key


def test_killed_half_way_it_leaves_no_file_that_looks_whole(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    killed = _python(
        """
        import os, signal, sys
        from ogive.task import _store, load
        _store._CHUNK = 2000
        load(sys.argv[1], cache=sys.argv[2],
             progress=lambda done, _: done < 20 or os.kill(os.getpid(), signal.SIGKILL))
        """,
        folder,
        cache,
    )
    assert killed.returncode == -9, killed.stderr
    left = _file(cache)
    assert left.suffix == ".part"
    os.utime(left, (0, 0))  # As if it had been left long ago.
    task = load(folder, cache=cache)
    assert _file(cache).suffix == ".npy"
    assert task.key == load(folder).key


def test_a_folder_larger_than_memory_is_read_within_it(tmp_path: Path) -> None:
    """80 files of 1 MB once decoded: neither reading nor iterating holds more than a part."""
    if not Path("/proc/self/status").exists():
        pytest.skip("what a process holds in memory is read from /proc")
    folder = _write_folder(tmp_path / "large", count=40, side=8)
    measured = _python(
        """
        import re, sys
        from pathlib import Path
        from ogive.task import _store, load

        def held():  # MB that the process alone has; what it maps from a file can be dropped
            status = Path("/proc/self/status").read_text()
            return int(re.search(r"RssAnon:\\s+(\\d+)", status)[1]) / 1024

        _store.IN_MEMORY = 1 << 20
        load(sys.argv[1], size=8)  # What libraries need once.
        before, most = held(), []
        task = load(sys.argv[1], size=580, cache=sys.argv[2], progress=lambda *_: most.append(held()))
        for epoch in range(2):
            for batch in task.train.batches(4):
                most.append(held())
        print(task.train.inputs.nbytes / 2**20, max(most) - before)
        """,
        folder,
        tmp_path / "cache",
    )
    assert measured.returncode == 0, measured.stderr
    megabytes, growth = map(float, measured.stdout.split())
    assert megabytes > 45
    assert growth < 40  # The whole, with validation and test, is 77.


def test_without_a_cache_folder_too_much_for_memory_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_store, "IN_MEMORY", 1000)
    with pytest.raises(TaskError, match=r"held in memory.*Give cache="):
        load(folder)


def _large() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (2000, 32, 32), dtype=np.uint8), rng.integers(0, 3, 2000)


def test_a_large_task_pickles_by_path(tmp_path: Path) -> None:
    task = load(_large(), cache=tmp_path)
    pickled = pickle.dumps(task)
    assert len(pickled) < 100_000
    again: Task = pickle.loads(pickled)
    assert again.key == task.key
    assert again.channels == 1
    np.testing.assert_array_equal(again.unseal().inputs, task.unseal().inputs)
    assert len(again.train + again.validation) == task.size("train") + task.size("validation")


def test_arrays_are_cached_once(tmp_path: Path) -> None:
    load(_large(), cache=tmp_path)
    load(_large(), cache=tmp_path, seed=3)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cache_that_went_away_is_said(tmp_path: Path) -> None:
    pickled = pickle.dumps(load(_large(), cache=tmp_path))
    _file(tmp_path).unlink()
    with pytest.raises(TaskError, match=r"must stay where it was written.*Load the data again"):
        pickle.loads(pickled)


def test_a_cache_that_cannot_be_written_is_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TaskError, match=r"must be writable.*give another folder"):
        load(folder, cache=tmp_path / "file")


def test_a_full_disk_is_said_before_anything_is_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_: Any) -> Any:
        return type("Usage", (), {"free": 0})

    monkeypatch.setattr(_store.shutil, "disk_usage", no_space)
    with pytest.raises(TaskError, match=r"free"):
        load(folder, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_large_table_is_kept_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "IN_MEMORY", 1 << 20)
    inputs = np.random.default_rng(0).normal(size=(30_000, 10))
    task = load((inputs, np.arange(30_000) % 3), cache=tmp_path)
    assert len(pickle.dumps(task)) < 1_000_000
    again = load((inputs, np.arange(30_000) % 3), cache=tmp_path)
    assert again.key == task.key
    with pytest.raises(TaskError, match=r"held in memory.*Give cache="):
        load((inputs, np.arange(30_000) % 3))
