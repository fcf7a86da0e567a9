"""What people look at: a search or a comparison as one HTML file, and a network as a graph.

The graph's function is imported when first used: it takes torch, which the pages do without.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ogive.report._comparison import write_comparison
from ogive.report._draw import draw
from ogive.report._optuna import to_optuna
from ogive.report._write import write

if TYPE_CHECKING:
    from ogive.report._graph import network_graph

__all__ = ["draw", "network_graph", "to_optuna", "write", "write_comparison"]


def __getattr__(name: str) -> Any:
    if name != "network_graph":
        raise AttributeError(f"module 'ogive.report' has no attribute {name!r}")
    return import_module("ogive.report._graph").network_graph
