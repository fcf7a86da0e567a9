"""What people look at: a search as one HTML file, and a network as a graph."""

from ogive.report._draw import draw
from ogive.report._graph import network_graph
from ogive.report._optuna import to_optuna
from ogive.report._write import write

__all__ = ["draw", "network_graph", "to_optuna", "write"]
