"""What a journal promises, and the form of its events."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Self

from ogive.errors import JournalError

__all__ = ["PATIENCE", "Event", "Journal", "Turn", "decode", "encode"]

Event = dict[str, Any]
"""A JSON object with a ``kind``; what else it holds is the writer's business."""

PATIENCE = 60.0
"""Seconds that :meth:`Journal.exclusive` waits for its turn before it gives up."""


class Journal(ABC):
    """An append-only log of events, shared by all that work on one search.

    Events are numbered 1, 2, 3 … without gaps, in the order in which they became visible: who has
    read up to event ``n`` has missed nothing before it. Every journal passes
    :class:`ogive.testing.JournalContract`.
    """

    @abstractmethod
    def exclusive(self) -> AbstractContextManager[None]:
        """Keeps everyone else from appending while the block runs.

        What is appended inside becomes visible to others together, when the block ends; if the
        block raises, none of it was written. Reading goes on for everyone; inside the block
        :meth:`read` also gives what the block itself has appended. Keep blocks short: others wait
        for at most :data:`PATIENCE` seconds.

        Raises:
            JournalError: This thread is inside such a block already, others did not leave theirs
                in time, or the journal cannot be written.
        """

    @abstractmethod
    def append(self, event: Mapping[str, Any]) -> int:
        """Writes an event and returns its number.

        Outside of :meth:`exclusive` the event is on record when this returns.

        Raises:
            JournalError: The journal cannot be written; the event is not on record.
            TypeError: The event is no JSON object with a string as its ``kind``.
        """

    @abstractmethod
    def read(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        """Yields the events that follow event ``after``, each with its number.

        NaN and the infinities come back as they were written.

        Raises:
            JournalError: The journal cannot be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of files and connections; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def encode(event: Mapping[str, Any]) -> str:
    """Returns the event as JSON text (with Python's ``NaN`` and ``Infinity``)."""
    if not isinstance(event.get("kind"), str):
        raise TypeError(f"An event must have a string as its 'kind', but got {event!r}.")
    return json.dumps(dict(event), separators=(",", ":"))


def decode(text: str) -> Event:
    """Returns the event that :func:`encode` made ``text`` from.

    Raises:
        ValueError: ``text`` is no such event.
    """
    event = json.loads(text)
    if not isinstance(event, dict):
        raise ValueError(f"An event must be a JSON object, but got {text[:80]!r}.")
    return event


class Turn:
    """A lock between threads that knows its holder, so that a nested block is an error.

    A nested block could be left by an exception that the outer one survives, and then half of its
    events would stay: there is no honest meaning for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None

    @property
    def mine(self) -> bool:
        """Whether the calling thread is inside :meth:`hold`."""
        return self._holder == threading.get_ident()

    @contextmanager
    def hold(self) -> Iterator[None]:
        if self.mine:
            raise JournalError(
                "exclusive() must not be entered twice by one thread, but it is inside such a "
                "block already. Append within the outer block."
            )
        if not self._lock.acquire(timeout=PATIENCE):
            raise JournalError(
                f"An exclusive() block must end within {PATIENCE:.0f} s, but another thread of "
                "this process has not left its own. Keep training and waiting out of the block."
            )
        self._holder = threading.get_ident()
        try:
            yield
        finally:
            self._holder = None
            self._lock.release()
