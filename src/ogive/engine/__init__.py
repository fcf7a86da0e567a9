"""The loop of a search, from the arguments to the result.

Its names are imported when first used: a summary is read from the journal without torch, which
takes seconds to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ogive.engine._budget import Budget, Plan
    from ogive.engine._result import Result
    from ogive.engine._search import search
    from ogive.engine._summary import summarize

__all__ = ["Budget", "Plan", "Result", "search", "summarize"]

_HOMES = {
    "Budget": "_budget",
    "Plan": "_budget",
    "Result": "_result",
    "search": "_search",
    "summarize": "_summary",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ogive.engine' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"ogive.engine.{_HOMES[name]}"), name)
    return value
