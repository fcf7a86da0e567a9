"""Which journal a word names."""

from __future__ import annotations

from pathlib import Path

from ogive import journal as journals
from ogive.journal._base import Journal
from ogive.journal._memory import MemoryJournal

__all__ = ["open_journal"]


def open_journal(
    journal: str | Path | Journal | None = None, *, read_only: bool = False
) -> Journal:
    """Returns the journal that ``journal`` names.

    Args:
        journal: A file or an SQLAlchemy URL (:class:`SQLJournal`), a journal as it is, or None
            for one in memory.
        read_only: Of a file or URL: never write, and make nothing that is not there.
    """
    if journal is None:
        return MemoryJournal()
    if isinstance(journal, Journal):
        return journal
    return journals.SQLJournal(journal, read_only=read_only)
