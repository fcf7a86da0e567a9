"""The loop of a search, from the arguments to the result.

Its names are imported when first used: a summary is read from the journal without torch, which
takes seconds to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ogive._doors import when_used

if TYPE_CHECKING:
    from ogive.engine._budget import Budget, Plan
    from ogive.engine._result import Result
    from ogive.engine._search import search
    from ogive.engine._summary import summarize

__all__ = ["Budget", "Plan", "Result", "search", "summarize"]

__getattr__ = when_used(
    __name__,
    {
        "Budget": "ogive.engine._budget",
        "Plan": "ogive.engine._budget",
        "Result": "ogive.engine._result",
        "search": "ogive.engine._search",
        "summarize": "ogive.engine._summary",
    },
)
