"""Where trials run: executors after :class:`concurrent.futures.Executor`.

A search works with any such executor. :class:`WorkerPool` adds what trials need and the standard
pools lack: a task that crashes, runs out of memory or of time costs itself alone, and cancelling
a running task ends it.

Every worker is a plain subprocess with two pipes of its own, so that workers share no lock and
no queue. Pools that do are lost as a whole when the machine's out-of-memory killer takes one of
their processes at the wrong moment: :class:`concurrent.futures.ProcessPoolExecutor` at any, and
Pebble 5.2's ``ProcessPool`` while the worker is idle. A plain subprocess also never imports the
user's ``__main__`` again, so that a script needs no ``if __name__ == "__main__"``; and it sees its
thread settings before torch loads.
"""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

import cloudpickle
import psutil

from ogive.errors import SettingError, TrialFailed

__all__ = ["SerialExecutor", "WorkerPool", "cores"]

P = ParamSpec("P")
T = TypeVar("T")

_GRACE_SECONDS = 5.0
_MEMORY_POLL_SECONDS = 0.1
_POSIX = os.name == "posix"


def cores() -> int:
    """The processor cores that this process may use: its affinity, its container's share."""
    import joblib  # a third of a second that not every command needs

    return int(joblib.cpu_count())


class SerialExecutor(Executor):
    """Runs every call at once in the calling thread: for debugging and for tests.

    A ``KeyboardInterrupt`` comes out of :meth:`submit`; whatever else is raised is the future's.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # sys.exit() must not end the search
            future.set_exception(error)
        return future


class WorkerPool(Executor):
    """Processes that run one task at a time each, and are replaced when they die.

    Functions, arguments and results travel by cloudpickle, so that functions defined in a script
    or a notebook work. A future fails with

    - the exception that the function raised, with the worker's traceback as a note;
    - :class:`~ogive.errors.TrialFailed` when the worker died, memory ran out, or the result could
      not be sent back, its message saying which;
    - :class:`TimeoutError` after :meth:`submit_for`.

    Cancelling a running future kills its worker, with the processes that the worker started; the
    future is done as soon as they are dead. When the pool's own process dies, however it dies,
    its workers end at once.

    Args:
        workers: How many processes; each starts at once.
        threads: What a worker's torch, OpenMP and BLAS may use, each.
        shared: An object that many tasks need, such as an estimator with its data. Where a
            task's function or arguments hold this very object, the worker's own copy stands in,
            which was sent to it once.
        memory_mb: The private memory in MiB above which a worker is killed (pages of mapped
            files do not count). Without it the operating system decides.
        log: A file to which whatever the workers print is appended; without it, it goes to
            the error output of this process.

    Raises:
        SettingError: An argument is out of its range.
    """

    def __init__(
        self,
        workers: int,
        *,
        threads: int = 1,
        shared: object = None,
        memory_mb: float | None = None,
        log: str | Path | None = None,
    ) -> None:
        for name, value in (("workers", workers), ("threads", threads)):
            if value < 1:
                raise SettingError(f"{name} >= 1 must hold, but got {name}={value}.")
        if memory_mb is not None and memory_mb <= 0:
            raise SettingError(f"memory_mb > 0 must hold, but got memory_mb={memory_mb}.")
        self.workers = workers
        self._shared = shared
        self._start = functools.partial(
            _Worker,
            _dumps(shared),
            env=_environment(threads),
            log=None if log is None else Path(log),
        )
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._unfinished: set[_Task] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        # Daemons, because a pool that is never shut down must not keep the interpreter alive;
        # the workers end by themselves when the pipes close.
        self._slots = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        if memory_mb is not None:
            self._slots.append(
                threading.Thread(target=self._watch_memory, args=(memory_mb,), daemon=True)
            )
        for thread in self._slots:
            thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedules ``fn(*args, **kwargs)``.

        Raises:
            SettingError: The function or an argument cannot be pickled.
            RuntimeError: The pool is shut down.
        """
        return self._submit(None, fn, args, kwargs)

    def submit_for(
        self, seconds: float, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Like :meth:`submit`, but the task is ended when it has run for ``seconds``."""
        return self._submit(seconds, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks and ends the workers.

        Args:
            wait: Whether to return only when all tasks are done and all workers are gone.
            cancel_futures: Cancel the tasks that are not done, running ones included.
        """
        with self._lock:
            if not self._closed.is_set():
                self._closed.set()
                for _ in range(self.workers):
                    self._tasks.put(None)
            unfinished = list(self._unfinished)
        if cancel_futures:
            for task in unfinished:
                task.cancel()
        if wait:
            for thread in self._slots:
                thread.join()

    def _submit(
        self,
        seconds: float | None,
        fn: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Future[T]:
        task = _Task(_dumps((fn, args, kwargs), shared=self._shared), seconds)
        with self._lock:
            if self._closed.is_set():
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._unfinished.add(task)
            self._tasks.put(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: Future[Any]) -> None:
        with self._lock:
            self._unfinished.discard(task)

    def _serve(self) -> None:
        """One slot: a thread that feeds one worker after another."""
        worker: _Worker | None = None
        with suppress(OSError):  # comes again, and is reported, with the first task
            worker = self._start()
        while (task := self._tasks.get()) is not None:
            if task.begin():
                worker = self._run(task, worker)
            del task  # the result may be large, and the next task long in coming
        if worker is not None:
            worker.close()

    def _run(self, task: _Task, worker: _Worker | None) -> _Worker | None:
        """Runs a task on this worker, or on a new one where it is dead; returns the one used.

        A worker is replaced only here, so that one that always dies costs a task each time
        rather than being started for ever.
        """
        try:
            if worker is not None and not worker.alive:
                worker.close()
                worker = None
            if worker is None:
                worker = self._start()
        except OSError as error:
            task.set_exception(TrialFailed(f"No worker process could be started: {error}."))
            return None
        task.run_on(worker)
        return worker

    def _watch_memory(self, memory_mb: float) -> None:
        while self._unfinished or not self._closed.is_set():
            time.sleep(_MEMORY_POLL_SECONDS)
            with self._lock:
                tasks = list(self._unfinished)
            for task in tasks:
                if (used := task.memory_mb()) > memory_mb:
                    task.end(
                        TrialFailed(
                            f"Out of memory: the worker may use memory_mb={memory_mb:g}, "
                            f"but used {used:.0f} and was stopped."
                        )
                    )


class _Task(Future[Any]):
    """A submitted call: its future, what is sent for it, and how to end it early."""

    def __init__(self, payload: bytes, seconds: float | None) -> None:
        super().__init__()
        self._payload = payload
        self._seconds = seconds
        self._changing = threading.Lock()
        self._begun = False
        self._over = False
        self._reason: Exception | None = None
        self._worker: _Worker | None = None

    def cancel(self) -> bool:
        """Cancels the task, ending its worker if it runs; ``False`` if it is over already."""
        if super().cancel():
            self.begin()  # tells who waits for it now, not when a worker is free
            return True
        return self.end(CancelledError()) or self.cancelled()

    def begin(self) -> bool:
        """Marks the task as running, once; ``False`` if it was cancelled before."""
        with self._changing:
            if self._begun:
                return False
            self._begun = True
            return self.set_running_or_notify_cancel()

    def cancelled(self) -> bool:
        """Whether it was cancelled; one that was running is done when its worker is dead."""
        return super().cancelled() or isinstance(self._reason, CancelledError)

    def end(self, reason: Exception) -> bool:
        """Ends the running task by killing its worker; ``False`` if it is over or ending."""
        with self._changing:
            if self._over or self._reason is not None:
                return False
            self._reason = reason
            if self._worker is not None:
                self._worker.kill()
            return True

    def memory_mb(self) -> float:
        """The private memory of the worker that runs this in MiB, 0 if none does."""
        worker = self._worker
        return 0.0 if worker is None else worker.memory_mb()

    def run_on(self, worker: _Worker) -> None:
        """Runs the task and settles the future, whatever happens to the worker."""
        with self._changing:
            self._worker = worker
            if self._reason is not None:
                worker.kill()
        try:
            answer = self._ask(worker)
        except TrialFailed as error:
            answer = _Answer("error", error)
        with self._changing:
            self._over = True
            self._worker = None
        if answer.kind == "memory" or self._reason is not None:
            worker.kill()
        if self._reason is not None:
            answer = _Answer("error", self._reason)
        if answer.kind == "result":
            self.set_result(answer.value)
        else:
            self.set_exception(answer.value)

    def _ask(self, worker: _Worker) -> _Answer:
        worker.wait_ready()
        if self._seconds is None:
            return _Answer.loads(worker.call(self._payload))
        late = TimeoutError(f"The task ran longer than its {self._seconds:g} s and was stopped.")
        timer = threading.Timer(self._seconds, self.end, args=(late,))
        timer.daemon = True
        timer.start()
        try:
            return _Answer.loads(worker.call(self._payload))
        finally:
            timer.cancel()


class _Worker:
    """One worker process, as the pool sees it."""

    def __init__(self, shared: bytes, *, env: Mapping[str, str], log: Path | None) -> None:
        self._log = log
        output = None if log is None else log.open("ab")
        try:
            warnings = (f"-W{option}" for option in sys.warnoptions)
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and text
                [sys.executable, "-u", *warnings, "-c", _BOOT, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=dict(env),
                # A group of its own: Ctrl-C in the terminal reaches the pool's process, which
                # decides; and what the worker started can be ended with it.
                **({"process_group": 0} if _POSIX else {}),  # type: ignore[call-overload]
            )
        finally:
            if output is not None:
                output.close()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to: BinaryIO = self._process.stdin
        self._from: BinaryIO = self._process.stdout
        self._shared: bytes | None = shared
        self._killed = False
        # The death of the process is not enough to close its end of the pipes: a child that it
        # forked may hold them. So somebody waits for it and takes the rest of its group along.
        self._reaper = threading.Thread(target=self._reap, daemon=True)
        self._reaper.start()

    @property
    def alive(self) -> bool:
        if self._killed or self._process.returncode is not None:
            return False
        # Not poll(): while the reaper waits for the process, it does not see the end before it.
        try:
            return bool(psutil.Process(self._process.pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def wait_ready(self) -> None:
        """Returns when the process can take tasks.

        Raises:
            TrialFailed: It died before it could.
        """
        if self._shared is None:
            return
        try:
            _read(self._from)
            _write(self._to, self._shared)
        except (EOFError, OSError):
            raise TrialFailed(f"The worker process could not start: {self._death()}") from None
        self._shared = None

    def call(self, payload: bytes) -> bytes:
        """Sends a task and waits for the answer.

        Raises:
            TrialFailed: The process died.
        """
        try:
            _write(self._to, payload)
            return _read(self._from)
        except (EOFError, OSError):
            raise TrialFailed(f"The worker process died: {self._death()}") from None

    def memory_mb(self) -> float:
        try:
            memory = psutil.Process(self._process.pid).memory_info()
        except psutil.Error:
            return 0.0
        # Linux counts mapped files and shared memory, which a large data set may be, as shared.
        private: float = memory.rss - getattr(memory, "shared", 0)
        return private / 2**20

    def kill(self) -> None:
        """Kills the process and what it started, at once."""
        self._killed = True  # It may take no more tasks, though it takes a moment to be gone.
        if _POSIX:
            # macOS answers with a PermissionError for a group of which only a zombie is left.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def close(self) -> None:
        """Lets an idle process end by itself, and sees to it that it does."""
        with suppress(OSError):
            if self._shared is not None:  # it has never run anything
                self.kill()
            else:
                _write(self._to, b"")
        self._reaper.join(_GRACE_SECONDS)
        self.kill()
        self._reaper.join()
        self._from.close()
        with suppress(OSError):
            self._to.close()

    def _reap(self) -> None:
        self._process.wait()
        self.kill()

    def _death(self) -> str:
        """How the process died, in a sentence."""
        self._reaper.join()
        code = self._process.returncode
        where = "" if self._log is None else f" What it printed is in {self._log}."
        if _POSIX and code == -signal.SIGKILL:
            return f"killed (SIGKILL), most likely because the machine ran out of memory.{where}"
        if code < 0:
            return f"ended by signal {-code} ({_signal_name(-code)}).{where}"
        return f"it exited with code {code}.{where}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _environment(threads: int) -> dict[str, str]:
    """The environment of a worker; thread settings count only when set before torch loads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads)), "PYTHONFAULTHANDLER": "1"}


# --- what goes over the pipes: frames of a length and that many bytes; an empty frame ends it ---


def _write(pipe: BinaryIO, frame: bytes) -> None:
    pipe.write(struct.pack("<Q", len(frame)) + frame)
    pipe.flush()


def _read(pipe: BinaryIO) -> bytes:
    """Reads one frame.

    Raises:
        EOFError: The other side is gone.
    """
    header = pipe.read(8)
    if len(header) == 8:
        (size,) = struct.unpack("<Q", header)
        frame = pipe.read(size)
        if len(frame) == size:
            return frame
    raise EOFError


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    def __init__(self, file: BinaryIO, shared: object) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_id(self, obj: object) -> str | None:
        return "shared" if obj is self._shared and obj is not None else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, shared: Callable[[], object]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, pid: Any) -> object:  # noqa: ARG002  # there is but one
        return self._shared()


def _dumps(obj: object, shared: object = None) -> bytes:
    file = io.BytesIO()
    try:
        _Pickler(file, shared).dump(obj)
    except Exception as error:  # an object's own __reduce__ may raise anything
        raise SettingError(
            "What is sent to a worker process must be picklable, but "
            f"{type(error).__name__}: {error}. Open files, locks and the like inside the function."
        ) from error
    return file.getvalue()


class _Answer:
    """What a worker sends back.

    Attributes:
        kind: ``result``; ``error``; or ``memory``, an error after which the worker is not used
            again, because what is left of its memory is in pieces.
        value: The result or the exception.
    """

    def __init__(self, kind: str, value: Any) -> None:
        self.kind = kind
        self.value = value

    @classmethod
    def loads(cls, frame: bytes) -> _Answer:
        # Both ends are ours: a worker sends back what it was sent to do.
        kind, payload, trace = pickle.loads(frame)  # noqa: S301
        try:
            value = pickle.loads(payload)  # noqa: S301
        except Exception as error:  # noqa: BLE001  # an object's own __setstate__ may raise
            value = TrialFailed(
                f"The {kind} of the worker could not be read here: "
                f"{type(error).__name__}: {error}."
            )
            kind = "error"
        if kind != "result":
            value.add_note(f"In the worker process:\n{trace}")
        return cls(kind, value)


# --- what runs in the worker ---

# The pipes are moved away from the standard input and output first of all, so that nothing that
# is printed can get between the frames: it goes to the error output instead.
_BOOT = """
import json, os, sys
pipes = os.dup(0), os.dup(1)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)
sys.path[:] = json.loads(sys.argv.pop())
from ogive.executors import _work
_work(*pipes)
"""


def _work(from_pool: int, to_pool: int) -> None:
    """The whole life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the pool's process decides
    inbox, outbox = os.fdopen(from_pool, "rb"), os.fdopen(to_pool, "wb")
    _write(outbox, b"ready")
    frames: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(inbox, frames), daemon=True).start()
    shared = functools.cache(functools.partial(pickle.loads, frames.get()))
    while frame := frames.get():
        _write(outbox, _answer(frame, shared))


def _receive(inbox: BinaryIO, frames: queue.SimpleQueue[bytes]) -> None:
    """Reads ahead of the tasks, to see at once when the pool's process is gone."""
    try:
        while frame := _read(inbox):
            frames.put(frame)
        frames.put(b"")
    except EOFError:
        if _POSIX:
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


def _answer(frame: bytes, shared: Callable[[], object]) -> bytes:
    """Runs a task; returns the frame that says what came of it."""
    trace = ""
    try:
        function, args, kwargs = _Unpickler(io.BytesIO(frame), shared).load()
        kind, value = "result", function(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001  # a task must not end its worker
        kind, value, trace = "error", error, traceback.format_exc()
        if _is_out_of_memory(error):
            kind, value = "memory", TrialFailed(f"Out of memory: {type(error).__name__}: {error}")
        elif not isinstance(error, Exception):
            # Raised in the pool's process, a SystemExit would end that.
            value = TrialFailed(f"The task ended itself with {type(error).__name__}: {error}.")
    return _packed(kind, value, trace)


def _packed(kind: str, value: object, trace: str) -> bytes:
    try:
        payload = cloudpickle.dumps(value)
        if kind != "result":  # an exception may pickle, and yet not be read back, or take no note
            pickle.loads(payload).add_note(trace)  # noqa: S301  # what we just wrote
        return pickle.dumps((kind, payload, trace))
    except Exception as error:  # noqa: BLE001  # an object's own __reduce__ may raise
        unsent = TrialFailed(
            f"The {kind} of a task must be picklable, but {type(error).__name__}: {error}."
            + (f" It was {type(value).__name__}: {value}" if kind != "result" else "")
        )
        return pickle.dumps(("error", cloudpickle.dumps(unsent), trace))


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    # torch raises a RuntimeError of its own on CUDA, and a plain one on the CPU, with one text on
    # Windows and another elsewhere.
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError"
        or "not enough memory" in str(error)
        or "can't allocate memory" in str(error)
    )
