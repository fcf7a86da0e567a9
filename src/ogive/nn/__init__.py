"""The readings of a network function, and the blocks that networks are made of."""

from ogive.nn._build import build, decide
from ogive.nn._check import check, check_one
from ogive.nn._chooser import Chooser, NetworkFunction, annotate
from ogive.nn._record import record

__all__ = [
    "Chooser",
    "NetworkFunction",
    "annotate",
    "build",
    "check",
    "check_one",
    "decide",
    "record",
]
