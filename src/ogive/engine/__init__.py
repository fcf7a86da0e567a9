"""The loop of a search, from the arguments to the result."""

from ogive.engine._budget import Budget, Plan
from ogive.engine._result import Result
from ogive.engine._search import search
from ogive.engine._summary import summarize

__all__ = ["Budget", "Plan", "Result", "search", "summarize"]
