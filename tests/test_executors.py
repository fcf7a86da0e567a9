from concurrent.futures import ThreadPoolExecutor

import pytest

from ogive.executors import SerialExecutor, WorkerPool
from ogive.testing import ExecutorContract


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
