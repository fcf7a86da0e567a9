"""What every executor that trials run on must keep to."""

from __future__ import annotations

import operator
import os
import threading
import time
from concurrent.futures import Executor

import pytest

__all__ = ["ExecutorContract"]


def _fail(message: str) -> None:
    raise ValueError(message)


class _Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("cannot be sent")
        self.lock = threading.Lock()


def _fail_unpicklable() -> None:
    raise _Unpicklable


def _lock() -> object:
    return threading.Lock()


def _exit() -> None:
    os._exit(3)


class ExecutorContract:
    """Override :meth:`executor`, a fixture; ``processes`` says whether tasks run in others."""

    processes = True

    @pytest.fixture
    def executor(self) -> Executor:
        """Returns an executor of two workers, which the fixture shuts down."""
        raise NotImplementedError

    def test_results_come_back(self, executor: Executor) -> None:
        futures = [executor.submit(operator.add, i, i) for i in range(10)]
        assert [future.result(60) for future in futures] == list(range(0, 20, 2))

    def test_an_exception_is_the_futures(self, executor: Executor) -> None:
        failed = executor.submit(_fail, "just so")
        assert executor.submit(operator.add, 1, 1).result(60) == 2
        with pytest.raises(ValueError, match="just so"):
            failed.result(60)

    def test_functions_defined_anywhere_can_be_run(self, executor: Executor) -> None:
        outer = 5
        assert executor.submit(lambda x: x * outer, 3).result(60) == 15

    def test_what_cannot_be_sent_back_fails_alone(self, executor: Executor) -> None:
        failed, returned = executor.submit(_fail_unpicklable), executor.submit(_lock)
        assert failed.exception(60) is not None
        assert self.processes == (returned.exception(60) is not None)
        assert executor.submit(operator.add, 1, 1).result(60) == 2

    def test_a_crash_costs_its_task_alone(self, executor: Executor) -> None:
        if not self.processes:
            pytest.skip("a task that ends its process ends the executor's own")
        futures = [executor.submit(operator.add, i, 1) for i in range(3)]
        crashed = executor.submit(_exit)
        futures += [executor.submit(operator.add, i, 1) for i in range(3, 6)]
        assert [future.result(60) for future in futures] == list(range(1, 7))
        assert "3" in str(crashed.exception(60))

    def test_shutdown_waits_for_what_was_submitted(self, executor: Executor) -> None:
        future = executor.submit(time.sleep, 0.2)
        executor.shutdown(wait=True)
        assert future.done()
        with pytest.raises(RuntimeError):
            executor.submit(operator.add, 1, 1)
