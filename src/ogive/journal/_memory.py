"""A journal in this process's memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ogive.errors import JournalError
from ogive.journal._base import Event, Journal, Turn, decode, encode

__all__ = ["MemoryJournal"]


class MemoryJournal(Journal):
    """A journal that ends with its process: for short searches, notebooks and tests.

    Events are kept as text, exactly as :class:`SQLJournal` keeps them, so that nothing that works
    here fails on disk.
    """

    def __init__(self) -> None:
        self._turn = Turn()
        self._lines: list[str] = []
        self._block: list[str] = []
        self._closed = False

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        self._require_open()
        with self._turn.hold():
            self._block = []
            try:
                yield
                self._lines.extend(self._block)
            finally:
                self._block = []

    def append(self, event: Mapping[str, Any]) -> int:
        text = encode(event)
        if self._turn.mine:
            self._block.append(text)
            return len(self._lines) + len(self._block)
        with self.exclusive():
            return self.append(event)

    def read(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        self._require_open()
        lines = self._lines[after:]
        if self._turn.mine:
            lines += self._block[max(after - len(self._lines), 0) :]
        return ((number, decode(text)) for number, text in enumerate(lines, start=after + 1))

    def close(self) -> None:
        self._closed = True

    def _require_open(self) -> None:
        if self._closed:
            raise JournalError("A journal must not be used after close(). Open it again.")
