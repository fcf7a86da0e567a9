"""What may be: decisions, search spaces and their architectures. Needs no torch."""

from ogive.space._architecture import Architecture, Value
from ogive.space._decision import Condition, Decision, Kind
from ogive.space._encoding import Column, Encoding, PathEncoder
from ogive.space._graph import Graph
from ogive.space._pool import PoolSpace
from ogive.space._space import SearchSpace

__all__ = [
    "Architecture",
    "Column",
    "Condition",
    "Decision",
    "Encoding",
    "Graph",
    "Kind",
    "PathEncoder",
    "PoolSpace",
    "SearchSpace",
    "Value",
]
