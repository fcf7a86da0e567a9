import pytest

from ogive.journal import MemoryJournal, SQLJournal
from ogive.testing import JournalContract


class TestMemory(JournalContract):
    @pytest.fixture
    def journal(self):
        with MemoryJournal() as journal:
            yield journal


class TestSQLite(JournalContract):
    @pytest.fixture
    def journal(self, tmp_path):
        with SQLJournal(tmp_path / "journal.db") as journal:
            yield journal
