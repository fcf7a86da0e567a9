"""The worker pool against real crashes, real signals and real scripts."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from ogive.errors import SettingError, TrialFailed
from ogive.executors import SerialExecutor, WorkerPool, _Worker
from ogive.testing import ExecutorContract

SOURCE = Path(__file__).parents[1] / "src"


class TestWorkerPool(ExecutorContract):
    @pytest.fixture
    def executor(self):
        pool = WorkerPool(2)
        yield pool
        pool.shutdown(cancel_futures=True)


class TestThreads(ExecutorContract):
    processes = False

    @pytest.fixture
    def executor(self):
        with ThreadPoolExecutor(2) as pool:
            yield pool


class TestSerial(ExecutorContract):
    processes = False

    @pytest.fixture
    def executor(self):
        return SerialExecutor()

    test_shutdown_waits_for_what_was_submitted = None  # Nothing is ever left to wait for.


@pytest.fixture
def pool(tmp_path):
    """One worker, so that whatever happens to it meets the next task."""
    pool = WorkerPool(1, log=tmp_path / "workers.log")
    yield pool
    pool.shutdown(cancel_futures=True)


def gone(*pids: int, seconds: float = 10.0) -> bool:
    """Whether these processes end, zombies counting as ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(psutil.pid_exists(pid) and not zombie(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def read_when_written(path: Path) -> str:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written")


def sleep_with_a_child(note: str) -> None:
    """Says which two processes these are, and stays."""
    child = subprocess.Popen(["sleep", "300"])
    Path(note).write_text(f"{os.getpid()} {child.pid}\n")
    time.sleep(300)


# What a task may do to its worker


def test_cancelling_a_running_task_ends_its_processes(pool, tmp_path):
    future = pool.submit(sleep_with_a_child, str(tmp_path / "pids"))
    pids = [int(pid) for pid in read_when_written(tmp_path / "pids").split()]
    assert future.running()
    assert future.cancel() and future.cancel()
    assert future.cancelled()
    assert wait([future], 10).done == {future}
    assert gone(*pids)
    with pytest.raises(CancelledError):
        future.result()
    assert pool.submit(pow, 2, 3).result(60) == 8


def test_cancelling_a_waiting_task_is_known_at_once_and_harms_no_worker(pool):
    pool.submit(pow, 1, 1).result(60)
    running = pool.submit(time.sleep, 0.5)
    waiting, last = pool.submit(pow, 2, 2), pool.submit(pow, 2, 3)
    assert waiting.cancel() and waiting.cancel()
    assert wait([waiting], 0.1).done == {waiting}
    assert not running.done()
    assert last.result(60) == 8
    assert not last.cancel()
    assert not last.cancelled()


def test_an_idle_worker_that_is_killed_costs_nothing(pool):
    pid = pool.submit(os.getpid).result(60)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert pool.submit(pow, 2, 3).result(60) == 8


def test_the_end_of_a_worker_is_seen_before_somebody_has_waited_for_it(monkeypatch):
    monkeypatch.setattr(_Worker, "_reap", lambda self: None)
    worker = _Worker(b"", env=os.environ, log=None)
    assert worker.alive
    worker._process.kill()
    assert gone(worker._process.pid)
    with worker._process._waitpid_lock:  # as the reaper holds it
        assert not worker.alive
    worker.close()
    worker._process.wait()


def kill_self(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (lambda: kill_self(signal.SIGKILL), r"SIGKILL.*most likely .* out of memory"),
        (lambda: kill_self(signal.SIGTERM), r"signal 15 \(SIGTERM\)"),
        (lambda: ctypes.string_at(0), r"signal 11 \(SIGSEGV\).*workers\.log"),
        (lambda: os._exit(7), r"code 7"),
        (lambda: sys.exit("enough"), r"ended itself with SystemExit: enough"),
    ],
    ids=["oom-killer", "terminated", "segfault", "exit", "sys.exit"],
)
def test_a_death_says_how(pool, tmp_path, task, message):
    with pytest.raises(TrialFailed, match=message):
        pool.submit(task).result(60)
    assert pool.submit(pow, 2, 3).result(60) == 8
    if "SIGSEGV" in message:
        assert "Segmentation fault" in (tmp_path / "workers.log").read_text()


def exhaust_torch() -> None:
    import torch

    torch.empty(10**15)


@pytest.mark.parametrize(
    "task", [lambda: bytearray(10**16), exhaust_torch], ids=["python", "torch"]
)
def test_memory_that_cannot_be_had_retires_the_worker(pool, task):
    pid = pool.submit(os.getpid).result(60)
    with pytest.raises(TrialFailed, match="Out of memory"):
        pool.submit(task).result(60)
    assert pool.submit(os.getpid).result(60) != pid
    assert gone(pid)


def fill(megabytes: int) -> int:
    held = [bytearray(os.urandom(1) * 2**20) for _ in range(megabytes)]
    time.sleep(60 if megabytes > 100 else 0)
    return len(held)


def test_a_worker_over_its_memory_is_stopped():
    with WorkerPool(1, memory_mb=150) as pool:
        over = pool.submit(fill, 300)
        with pytest.raises(TrialFailed, match=r"memory_mb=150, but used \d+"):
            over.result(60)
        assert pool.submit(fill, 10).result(60) == 10


def test_time_is_counted_from_when_the_task_runs(pool):
    first = pool.submit(time.sleep, 0.6)
    inside = pool.submit_for(0.5, pow, 2, 3)  # waits longer than it may run
    late = pool.submit_for(0.3, time.sleep, 60)
    assert first.result(60) is None
    assert inside.result(60) == 8
    with pytest.raises(TimeoutError, match=r"longer than its 0\.3 s"):
        late.result(60)
    assert not late.cancelled()
    assert pool.submit(pow, 2, 3).result(60) == 8


# What goes there and back


def raise_deep() -> None:
    def innermost() -> None:
        raise KeyError("width")

    innermost()


def test_an_exception_carries_the_traceback_of_the_worker(pool):
    error = pool.submit(raise_deep).exception(60)
    assert isinstance(error, KeyError)
    assert "in innermost" in "".join(error.__notes__)


@dataclass(frozen=True)
class Frozen(Exception):
    """Takes no note."""


class Picky(Exception):
    """Pickles, but cannot be read back."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{code}: {why}")


def raise_this(error: type[Exception], *args: object) -> None:
    raise error(*args)


def test_exceptions_that_are_hard_to_send_arrive(pool):
    with pytest.raises(TrialFailed, match="Frozen"):
        pool.submit(raise_this, Frozen).result(60)
    with pytest.raises(TrialFailed, match="Picky"):
        pool.submit(raise_this, Picky, 1, "no").result(60)
    assert pool.submit(pow, 2, 3).result(60) == 8


def test_what_cannot_be_sent_is_told_at_once(pool):
    with pytest.raises(SettingError, match=r"picklable.*lock"):
        pool.submit(print, threading.Lock())


class Data:
    """Counts how often it is pickled."""

    pickled = 0

    def __reduce__(self):
        Data.pickled += 1
        return Data, ()

    def measure(self, other: object) -> tuple[int, bool]:
        return os.getpid(), self is other


def test_shared_objects_are_sent_once():
    data = Data()
    Data.pickled = 0
    with WorkerPool(2, shared=data) as pool:
        answers = [pool.submit(data.measure, data) for _ in range(20)]
        assert all(future.result(60)[1] for future in answers)
        assert len({future.result()[0] for future in answers}) <= 2
    assert Data.pickled == 1


def test_shared_objects_that_cannot_be_read_fail_their_tasks_alone():
    class Broken:
        def __reduce__(self):
            return int, ("not a number",)

    broken = Broken()
    with WorkerPool(1, shared=broken) as pool:
        with pytest.raises(ValueError, match="not a number"):
            pool.submit(id, broken).result(60)
        assert pool.submit(pow, 2, 3).result(60) == 8


def test_what_tasks_print_is_kept_from_the_answers(pool, tmp_path, capfd):
    def chatter() -> str:
        print("said aloud")  # noqa: T201
        os.write(1, b"\0" * 100)
        print("complained", file=sys.stderr)  # noqa: T201
        return sys.stdin.read()

    assert pool.submit(chatter).result(60) == ""
    said = (tmp_path / "workers.log").read_text()
    assert "said aloud" in said and "complained" in said
    assert capfd.readouterr() == ("", "")


def threads() -> tuple[str, int]:
    import torch

    return os.environ["OMP_NUM_THREADS"], torch.get_num_threads()


def test_threads_are_set_before_torch_loads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with WorkerPool(1, threads=2) as pool:
        assert pool.submit(threads).result(60) == ("2", 2)


def test_a_large_result_arrives_whole(pool):
    data = os.urandom(30_000_000)
    assert pool.submit(lambda: data).result(60) == data


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"threads": 0}, {"memory_mb": 0}])
def test_settings_are_checked(wrong):
    with pytest.raises(SettingError, match=f"{next(iter(wrong))}.* must hold, but got"):
        WorkerPool(**{"workers": 1, **wrong})


def test_a_worker_that_cannot_start_is_told_of(tmp_path):
    with WorkerPool(1, log=tmp_path / "nowhere" / "workers.log") as pool:
        with pytest.raises(TrialFailed, match=r"No worker process could be started.*nowhere"):
            pool.submit(pow, 2, 3).result(60)
        (tmp_path / "nowhere").mkdir()
        assert pool.submit(pow, 2, 3).result(60) == 8


# The end of a pool


def test_shutdown_leaves_nothing_behind(tmp_path):
    before = set(psutil.Process().children(recursive=True))
    pool = WorkerPool(2)
    running = pool.submit(sleep_with_a_child, str(tmp_path / "pids"))
    waiting = [pool.submit(sleep_with_a_child, str(tmp_path / "other")) for _ in range(3)]
    read_when_written(tmp_path / "pids")
    pool.shutdown(cancel_futures=True)
    assert all(future.cancelled() and future.done() for future in [running, *waiting])
    assert set(psutil.Process().children(recursive=True)) <= before


SCRIPT = """
import os, sys, time
from pathlib import Path
from ogive.executors import WorkerPool

print("read", flush=True)
folder = Path(sys.argv[1])

class Network:
    width = 16

def stay(network, i):
    (folder / f"{i}.pid").write_text(f"{os.getpid()}\\n")
    time.sleep(300)

def go_on(i):
    time.sleep(0.3)
    return Network, i + Network.width

pool = WorkerPool(2)
"""


def script(tmp_path: Path, end: str, **settings) -> subprocess.Popen[str]:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT + end)
    return subprocess.Popen(
        [sys.executable, str(path), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        **settings,
    )


def test_a_script_without_a_guard_is_read_once_and_ends_by_itself(tmp_path):
    end = "kind, number = pool.submit(go_on, 4).result(60)\nprint(number, kind is Network)\n"
    process = script(tmp_path, end)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said.split()) == (0, ["read", "20", "True"])


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    end = "[pool.submit(stay, Network(), i) for i in range(3)][0].result()\n"
    process = script(tmp_path, end)
    pids = [int(read_when_written(tmp_path / f"{i}.pid")) for i in range(2)]
    process.kill()
    process.communicate(timeout=60)
    assert gone(*pids)


def test_ctrl_c_is_for_the_parent_to_decide(tmp_path):
    # A shell ignores interrupts in what it starts in the background, and so would the script.
    end = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
future = pool.submit(go_on, 4)
try:
    (folder / "ready").write_text("yes\\n")
    for _ in range(600):
        time.sleep(0.1)  # Python looks for signals between two calls
except KeyboardInterrupt:
    print("interrupted", future.result(60)[1])
    pool.shutdown()
"""
    process = script(tmp_path, end, start_new_session=True)
    read_when_written(tmp_path / "ready")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    try:
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()  # or what is left of it would be found in another test
    assert (process.returncode, said.split()) == (0, ["read", "interrupted", "20"])


def test_serial_runs_here_and_lets_an_interrupt_out():
    executor = SerialExecutor()
    assert executor.submit(os.getpid).result() == os.getpid()
    with pytest.raises(KeyboardInterrupt):
        executor.submit(raise_this, KeyboardInterrupt)
    assert isinstance(executor.submit(sys.exit, 3).exception(), SystemExit)
    assert pickle.loads(executor.submit(pickle.dumps, 3).result()) == 3
