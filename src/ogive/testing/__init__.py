"""What others can test their own parts with: contract suites, and random spaces.

A suite is a class of pytest tests with one method to override::

    from ogive.testing import StrategyContract

    class TestMine(StrategyContract):
        def make(self, space):
            return Mine(space)
"""

from __future__ import annotations

from ogive.errors import MissingExtra

try:
    import hypothesis  # noqa: F401
    import pytest
except ImportError as error:
    raise MissingExtra(str(error.name), "testing") from error
else:
    # So that a failed assert of a suite shows its values, as one in a test file does.
    pytest.register_assert_rewrite(
        "ogive.testing._executors", "ogive.testing._journals", "ogive.testing._strategies"
    )

from ogive.testing._executors import ExecutorContract
from ogive.testing._hypothesis import architectures, spaces
from ogive.testing._journals import JournalContract
from ogive.testing._strategies import StrategyContract, ended, play, running
from ogive.testing._synthetic import Synthetic, synthetic

__all__ = [
    "ExecutorContract",
    "JournalContract",
    "StrategyContract",
    "Synthetic",
    "architectures",
    "ended",
    "play",
    "running",
    "spaces",
    "synthetic",
]
