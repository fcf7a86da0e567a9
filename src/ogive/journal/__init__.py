"""What has happened: an append-only log of events, and the only state that a search has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ogive._doors import when_used
from ogive.journal._base import PATIENCE, Event, Journal
from ogive.journal._memory import MemoryJournal
from ogive.journal._open import open_journal

if TYPE_CHECKING:
    from ogive.journal._sql import SQLJournal

__all__ = ["PATIENCE", "Event", "Journal", "MemoryJournal", "SQLJournal", "open_journal"]

# Workers read and write no journal, and SQLAlchemy is slow to import.
__getattr__ = when_used(__name__, {"SQLJournal": "ogive.journal._sql"})
