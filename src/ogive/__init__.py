"""ogive finds the best neural network for a dataset and a task, within the limits of a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ogive._doors import when_used

if TYPE_CHECKING:
    from ogive.bundle import Bundle
    from ogive.bundle import load as load_bundle
    from ogive.engine import Result, search, summarize
    from ogive.errors import OgiveError
    from ogive.estimators import Estimator, Recipe, Run, Training
    from ogive.executors import SerialExecutor, WorkerPool
    from ogive.hardware import costs
    from ogive.journal import Journal, MemoryJournal, SQLJournal
    from ogive.nn import Chooser, annotate, build, record
    from ogive.space import Architecture, Decision, SearchSpace
    from ogive.strategies import ASHA, RandomSearch, RegularizedEvolution, Strategy
    from ogive.task import Task, load
    from ogive.trial import Proposal, Trial

__version__ = "0.1.0"

_HOMES = {
    "ASHA": "ogive.strategies",
    "Architecture": "ogive.space",
    "Bundle": "ogive.bundle",
    "Chooser": "ogive.nn",
    "Decision": "ogive.space",
    "Estimator": "ogive.estimators",
    "Journal": "ogive.journal",
    "MemoryJournal": "ogive.journal",
    "OgiveError": "ogive.errors",
    "Proposal": "ogive.trial",
    "RandomSearch": "ogive.strategies",
    "Recipe": "ogive.estimators",
    "RegularizedEvolution": "ogive.strategies",
    "Result": "ogive.engine",
    "Run": "ogive.estimators",
    "SQLJournal": "ogive.journal",
    "SearchSpace": "ogive.space",
    "SerialExecutor": "ogive.executors",
    "Strategy": "ogive.strategies",
    "Task": "ogive.task",
    "Training": "ogive.estimators",
    "Trial": "ogive.trial",
    "WorkerPool": "ogive.executors",
    "annotate": "ogive.nn",
    "build": "ogive.nn",
    "costs": "ogive.hardware",
    "load": "ogive.task",
    "load_bundle": "ogive.bundle:load",
    "record": "ogive.nn",
    "search": "ogive.engine",
    "summarize": "ogive.engine",
}
"""Where each public name lives. They are imported when first used, so that the command line and
the packages that need no torch start without it (torch alone takes seconds to import)."""

# Written out for type checkers, which do not follow a computed list.
__all__ = [
    "ASHA",
    "Architecture",
    "Bundle",
    "Chooser",
    "Decision",
    "Estimator",
    "Journal",
    "MemoryJournal",
    "OgiveError",
    "Proposal",
    "RandomSearch",
    "Recipe",
    "RegularizedEvolution",
    "Result",
    "Run",
    "SQLJournal",
    "SearchSpace",
    "SerialExecutor",
    "Strategy",
    "Task",
    "Training",
    "Trial",
    "WorkerPool",
    "__version__",
    "annotate",
    "build",
    "costs",
    "load",
    "load_bundle",
    "record",
    "search",
    "summarize",
]


__getattr__ = when_used(__name__, _HOMES)
