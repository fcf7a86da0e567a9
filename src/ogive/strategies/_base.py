"""What every strategy is: a fold over trials."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from ogive.space import Architecture, SearchSpace
from ogive.trial import Proposal, Trial

__all__ = ["Strategy", "Told"]


class Strategy(ABC):
    """Says which architectures to try next.

    Its state is what it was told, in order, and nothing else: :meth:`ask` changes nothing and
    draws from ``rng`` only, so a journal replayed through :meth:`tell` brings back the strategy as
    it was. A constructor takes the space and settings, and keeps each argument as an attribute of
    the same name.

    A new one is a subclass with these two methods, and a line in the registry::

        class Mine(Strategy):
            def __init__(self, space): self.space = space
            def ask(self, n, rng): return [Proposal(self.space.sample(rng)) for _ in range(n)]
            def tell(self, trial): pass
    """

    space: SearchSpace

    @abstractmethod
    def ask(self, n: int, rng: Random) -> list[Proposal]:
        """Returns up to ``n`` proposals.

        Fewer means: tell me more first. None while no trial is running means that there is
        nothing left to try.
        """

    @abstractmethod
    def tell(self, trial: Trial) -> None:
        """Takes in a trial, when it starts (``running``) and when it ends.

        The trials of other strategies, or of a user, may be among them.
        """

    def settings(self) -> dict[str, Any]:
        """Its name and arguments as JSON, by which a journal knows its strategy again."""
        names = [name for name in inspect.signature(type(self)).parameters if name != "space"]
        return {
            "name": type(self).__name__,
            **{name: _plain(getattr(self, name)) for name in names},
        }


def _plain(value: Any) -> Any:
    match value:
        case Strategy():
            return value.settings()
        case Architecture():
            return value.to_json()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case str() | bool() | int() | float() | None:
            return value
        case Sequence():
            return [_plain(item) for item in value]
    return repr(value)


class Told:
    """What is common to strategies that try an architecture once: which ones are taken.

    Args:
        space: Gives the canonical form, in which equal networks are one.
        start_from: Architectures to propose before any other.
    """

    def __init__(self, space: SearchSpace, start_from: Sequence[Architecture] = ()) -> None:
        self._space = space
        self._start_from = tuple(start_from)
        self._taken: set[Architecture] = set()

    def add(self, trial: Trial) -> None:
        self._taken.add(self._space.canonical(trial.architecture))

    def __contains__(self, architecture: Architecture) -> bool:
        return self._space.canonical(architecture) in self._taken

    @property
    def exhausted(self) -> bool:
        """Whether every architecture of the space was tried (a canonical form is fewer)."""
        return len(self._taken) >= self._space.size

    def fresh(self, n: int, draw: Any) -> list[Architecture]:
        """Returns up to ``n`` different architectures that were not tried.

        First those to start from, then what ``draw()`` gives. Where drawing gives nothing new for
        long, the rest of a small space is looked through in order.
        """
        found: dict[Architecture, Architecture] = {}
        for architecture in self._start_from:
            self._note(architecture, found)
        misses = 0
        while len(found) < n and misses < _MISSES:
            misses = 0 if self._note(draw(), found) else misses + 1
        if len(found) < n and self._space.size <= _SMALL and not self.exhausted:
            for architecture in self._space.enumerate():
                self._note(architecture, found)
                if len(found) >= n:
                    break
        return list(found.values())[:n]

    def _note(self, architecture: Architecture, found: dict[Architecture, Architecture]) -> bool:
        form = self._space.canonical(architecture)
        if form in self._taken or form in found:
            return False
        found[form] = architecture
        return True


_MISSES = 50
"""Draws in a row that were all tried before, after which drawing is given up."""

_SMALL = 100_000
"""Spaces of at most this size are looked through for what is left."""
