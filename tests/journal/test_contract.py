import os

import pytest
import sqlalchemy as sa

from ogive.errors import JournalError, MissingExtra, SettingError
from ogive.journal import MemoryJournal, SQLJournal, open_journal
from ogive.testing import JournalContract

POSTGRES = os.environ.get("OGIVE_TEST_POSTGRES", "")


class TestMemory(JournalContract):
    @pytest.fixture
    def journal(self):
        with MemoryJournal() as journal:
            yield journal


class TestSQLite(JournalContract):
    @pytest.fixture
    def journal(self, tmp_path):
        with SQLJournal(tmp_path / "100% of #1.db") as journal:
            yield journal

    @pytest.fixture
    def twin(self, journal, tmp_path):
        with SQLJournal(f"sqlite:///{tmp_path}/100% of #1.db") as journal:
            yield journal


@pytest.mark.skipif(not POSTGRES, reason="OGIVE_TEST_POSTGRES is not set to the URL of a database")
class TestPostgreSQL(JournalContract):
    @pytest.fixture
    def journal(self):
        engine = sa.create_engine(POSTGRES)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS ogive_journal, ogive_events")
        engine.dispose()
        with SQLJournal(POSTGRES) as journal:
            yield journal

    @pytest.fixture
    def twin(self, journal):
        with SQLJournal(POSTGRES) as journal:
            yield journal


def test_open_journal_takes_what_names_a_journal(tmp_path):
    assert isinstance(open_journal(), MemoryJournal)
    with MemoryJournal() as journal:
        assert open_journal(journal) is journal
    for name in (tmp_path / "a.db", str(tmp_path / "b.db"), f"sqlite:///{tmp_path}/c.db"):
        with open_journal(name) as journal:
            assert isinstance(journal, SQLJournal)
    with pytest.raises(JournalError):
        open_journal(tmp_path / "d.db", read_only=True)
    assert {path.name for path in tmp_path.iterdir()} == {"a.db", "b.db", "c.db"}


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///a.db?mode=ro", "nosuch://x/y", "://"]
)
def test_a_url_that_names_no_journal(url):
    with pytest.raises(SettingError, match="journal"):
        SQLJournal(url)


def test_a_url_whose_driver_is_missing_says_what_to_install():
    with pytest.raises(MissingExtra, match=r"pip install 'ogive\[postgresql\]'"):
        SQLJournal("postgresql+pg8000://user:secret@localhost/x")


def test_a_server_that_does_not_answer_is_named_without_its_password():
    pytest.importorskip("psycopg", reason="the PostgreSQL driver is not installed")
    with pytest.raises(JournalError, match=r"user:\*\*\*@localhost:1/x"):
        SQLJournal("postgresql+psycopg://user:secret@localhost:1/x")
