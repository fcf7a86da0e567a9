"""Strategies side by side on benchmark tables, where a training is a look-up.

::

    from ogive.bench import compare

    comparison = compare("nb201.npz", ["random", "evolution"], queries=300, seeds=50)
    print(comparison.rows)
"""

from ogive.bench._compare import Comparison, Contender, compare
from ogive.bench._figures import Curves, Goal
from ogive.bench._read import read
from ogive.bench._run import Protocol, Trace, run
from ogive.bench._table import Rung, SideInformation, Signal, Table

__all__ = [
    "Comparison",
    "Contender",
    "Curves",
    "Goal",
    "Protocol",
    "Rung",
    "SideInformation",
    "Signal",
    "Table",
    "Trace",
    "compare",
    "read",
    "run",
]
