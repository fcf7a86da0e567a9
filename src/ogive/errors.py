"""The exceptions of ogive: one tree, so that a caller can catch as much or as little as it wants.

::

    OgiveError
    ├── SpaceError (ValueError)          a network function or a search space is wrong
    │   └── ArchitectureError            an architecture does not belong to its space
    ├── TaskError (ValueError)           the data cannot be learned from as it is
    ├── SettingError (ValueError)        an argument or a command-line option is wrong
    ├── LimitError (ValueError)          no architecture was found within the limits
    ├── BudgetError (ValueError)         the budget does not reach for what was asked
    ├── JournalError (OSError)           a journal or a run folder cannot be read or written
    │   └── JournalMismatch              a journal was written for another search
    ├── BundleError (ValueError)         an exported network does not agree with the trained one
    ├── TrialFailed (RuntimeError)       one trial ended without a result; the search goes on
    └── MissingExtra (ImportError)       an optional package is not installed

A message states the rule, the value that broke it and the cure, in that order.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import import_module
from typing import Any

__all__ = [
    "ArchitectureError",
    "BudgetError",
    "BundleError",
    "JournalError",
    "JournalMismatch",
    "LimitError",
    "MissingExtra",
    "OgiveError",
    "SettingError",
    "SpaceError",
    "TaskError",
    "TrialFailed",
    "did_you_mean",
    "optional",
]


class OgiveError(Exception):
    """Anything that ogive raises on purpose."""


class SpaceError(OgiveError, ValueError):
    """A network function or a search space is wrong."""


class ArchitectureError(SpaceError):
    """An architecture does not belong to its space."""


class TaskError(OgiveError, ValueError):
    """The data cannot be learned from as it is."""


class SettingError(OgiveError, ValueError):
    """An argument or a command-line option is wrong."""


class LimitError(OgiveError, ValueError):
    """No architecture was found within the limits."""


class BudgetError(OgiveError, ValueError):
    """The budget does not reach for what was asked."""


class JournalError(OgiveError, OSError):
    """A journal or a run folder cannot be read or written."""


class JournalMismatch(JournalError):
    """A journal was written for another space, task or strategy."""


class BundleError(OgiveError, ValueError):
    """An exported network does not agree with the trained one, or a bundle is damaged."""


class TrialFailed(OgiveError, RuntimeError):
    """One trial ended without a result (not a number, no progress); the search goes on."""


class MissingExtra(OgiveError, ImportError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is needed for this and is not installed. Run: pip install 'ogive[{extra}]'"
        )


def optional(package: str, extra: str) -> Any:
    """Returns an optional package.

    Raises:
        MissingExtra: If it, or something that it needs, is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtra(error.name or package, extra) from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns `` Did you mean 'x'?`` for a near miss, else the known names in a sentence."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Known: {', '.join(names)}." if names else ""
