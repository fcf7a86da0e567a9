"""A journal in a database, through SQLAlchemy Core: SQLite by default, a server by its URL."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from ogive.errors import JournalError, MissingExtra, SettingError
from ogive.journal._base import PATIENCE, Event, Journal, Turn, decode, encode

__all__ = ["FORMAT", "SQLJournal"]

FORMAT = 1
"""The layout of the tables below; a journal with a higher one is refused."""

CHUNK = 5_000
"""Events that are fetched at once: no read transaction outlives a chunk, so that a slow reader
never keeps SQLite from folding its write-ahead log into the file."""

_METADATA = sa.MetaData()
_FORMATS = sa.Table(
    "ogive_journal",
    _METADATA,
    sa.Column("format", sa.Integer, primary_key=True, autoincrement=False),
)
# Text and not JSON: PostgreSQL's JSON knows no NaN.
_EVENTS = sa.Table(
    "ogive_events",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("event", sa.Text, nullable=False),
)

_INSERT = sa.insert(_EVENTS)
_LAST = sa.select(sa.func.coalesce(sa.func.max(_EVENTS.c.number), 0))
_READ = (
    sa.select(_EVENTS.c.number, _EVENTS.c.event)
    .where(_EVENTS.c.number > sa.bindparam("after"))
    .order_by(_EVENTS.c.number)
    .limit(CHUNK)
)
# On a server the single row of this table is the lock between processes: it is released with the
# transaction or with the connection, so a dead process holds nothing.
_LOCK = sa.select(_FORMATS.c.format).with_for_update()


@dataclass(slots=True)
class _Block:
    """An :meth:`SQLJournal.exclusive` block under way."""

    connection: sa.Connection
    last: int | None = None
    failure: JournalError | None = None


class SQLJournal(Journal):
    """A journal in an SQLite file, or in any database that SQLAlchemy reaches.

    **What is promised.** An event is on record when ``append`` or the ``exclusive`` block around
    it returns; from then on it survives the end of the process, ``kill -9`` included. On a power
    loss or a crash of the operating system, an SQLite journal (write-ahead log,
    ``synchronous=NORMAL``) stays sound and keeps a gapless beginning of its events, but may lose
    the last of them: the trials that they tell of are then run again under the same numbers. A
    server keeps what it was configured to keep (PostgreSQL by default: everything).

    SQLite's locks need a local disk. Several machines share a search through a server:
    ``SQLJournal("postgresql+psycopg://user@host/database")``, one database or schema a search.

    Args:
        location: A file, made if it is not there, or an SQLAlchemy URL.
        read_only: Look at a journal that is there, and never write; works in a folder that cannot
            be written to.

    Raises:
        JournalError: There is no journal and none can be made; what is there is no journal, is
            damaged, or was written by a newer ogive. Nothing is changed then.
        SettingError: ``location`` is no URL that SQLAlchemy knows.
        MissingExtra: The database's driver is not installed.
    """

    def __init__(self, location: str | Path, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self._turn = Turn()
        self._block: _Block | None = None
        self._closed = False
        url = _parse(location)
        self._name = _name(url)
        self._sqlite = url.get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(url, read_only) if self._sqlite else _server_engine(url)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"SQLJournal({self._name!r})"

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        self._require_open()
        if self.read_only:
            raise JournalError(
                f"A journal opened with read_only=True must not be written, but {self._name} was."
            )
        with self._turn.hold(), self._connected() as connection:
            with self._translated():
                self._lock(connection)
            self._block = _Block(connection)
            try:
                yield
                self._commit(self._block)
            finally:
                self._block = None

    def append(self, event: Mapping[str, Any]) -> int:
        text = encode(event)
        if self._turn.mine:
            return self._insert(text)
        with self.exclusive():
            return self._insert(text)

    def read(self, after: int = 0) -> Iterator[tuple[int, Event]]:
        while chunk := self._fetch(after):
            for number, text in chunk:
                if number != after + 1:
                    raise self._damaged(f"event {after + 1} is missing")
                try:
                    event = decode(text)
                except (TypeError, ValueError) as error:
                    raise self._damaged(f"event {number} is not readable ({error})") from error
                yield number, event
                after = number
            if len(chunk) < CHUNK:
                return

    def close(self) -> None:
        self._closed = True
        self._engine.dispose()

    # -- events ---------------------------------------------------------------------------------

    def _lock(self, connection: sa.Connection) -> None:
        """Waits for the one place from which this database is written."""
        if self._sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(_LOCK).all()

    def _insert(self, text: str) -> int:
        block = self._block
        assert block is not None
        try:
            with self._translated():
                if block.last is None:
                    block.last = block.connection.execute(_LAST).scalar_one()
                number = block.last + 1
                block.connection.execute(_INSERT, {"number": number, "event": text})
        except JournalError as error:
            block.failure = error
            raise
        block.last = number
        return number

    def _commit(self, block: _Block) -> None:
        if block.failure is not None:
            # The block went on after an append had failed; half of its events is not an option.
            raise block.failure
        with self._translated():
            block.connection.commit()

    def _fetch(self, after: int) -> list[tuple[int, str]]:
        self._require_open()
        with self._translated():
            if self._turn.mine and self._block is not None:
                rows = self._block.connection.execute(_READ, {"after": after})
                return [(row[0], row[1]) for row in rows]
            with self._engine.connect() as connection:
                rows = connection.execute(_READ, {"after": after})
                return [(row[0], row[1]) for row in rows]

    # -- opening --------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Makes the tables if there is nothing yet, and refuses what is not a journal of ours."""
        found = self._found_format()
        if found is None and self.read_only:
            raise JournalError(
                f"A journal must be there to be read, but there is none in {self._name}."
            )
        if found is None:
            self._create()
            found = self._found_format()
            assert found is not None
        if found > FORMAT:
            raise JournalError(
                f"A journal must have format {FORMAT} or older, but {self._name} was written by a "
                f"newer ogive in format {found}. Run: pip install --upgrade ogive"
            )
        if self._sqlite and not self.read_only:
            self._use_write_ahead_log()

    def _found_format(self) -> int | None:
        """Returns the format of the journal that is there, or None if there is nothing at all."""
        with self._translated(), self._engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
            if _FORMATS.name in tables:
                format_: int | None = connection.scalar(sa.select(_FORMATS.c.format))
                if format_ is None or _EVENTS.name not in tables:
                    raise self._damaged("its tables are not complete")
                return format_
            if tables and self._sqlite:
                raise JournalError(
                    f"A journal must be a file that ogive wrote, but {self._name} is a database "
                    f"of something else (table {tables[0]!r}). Choose another file."
                )
            return None

    def _create(self) -> None:
        """Makes the tables; who comes second finds them there."""
        with self._translated():
            try:
                with self._engine.begin() as connection:
                    if self._sqlite:
                        connection.exec_driver_sql("BEGIN IMMEDIATE")
                    _METADATA.create_all(connection)
                    if connection.execute(_LOCK).first() is None:
                        connection.execute(sa.insert(_FORMATS), {"format": FORMAT})
            except DBAPIError:
                # On a server, two that begin at once collide; the loser looks again.
                if self._found_format() is None:
                    raise

    def _use_write_ahead_log(self) -> None:
        # SQLite does not wait for its turn in this one statement, so we do.
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self._engine.connect() as connection:
                    mode = connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar_one()
                break
            except DBAPIError as error:
                if not _is_busy(error.orig) or time.monotonic() > deadline:
                    raise self._error(error.orig) from error
                time.sleep(0.01)
        if mode != "wal":
            raise JournalError(
                "An SQLite journal must lie on a local disk (a write-ahead log needs shared "
                f"memory), but {self._name} does not. Choose a local folder or a PostgreSQL URL."
            )

    # -- errors ---------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._closed:
            raise JournalError("A journal must not be used after close(). Open it again.")

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        with self._translated():
            connection = self._engine.connect()
        try:
            yield connection
        finally:
            connection.close()  # rolls back what was not committed

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turns the driver's errors into ours. Never put a caller's code inside."""
        try:
            yield
        except DBAPIError as error:
            raise self._error(error.orig) from error
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise self._error(error) from error

    def _damaged(self, what: str) -> JournalError:
        return JournalError(
            f"A journal must be whole, but in {self._name} {what}. Put back a copy of it, or start "
            "a new search in another folder; the file was left as it is."
        )

    def _error(self, error: BaseException | None) -> JournalError:
        if _is_busy(error):
            return JournalError(
                f"An exclusive() block must end within {PATIENCE:.0f} s, but another process has "
                f"held {self._name} for longer. End that process, or wait for it."
            )
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        match code:
            case sqlite3.SQLITE_NOTADB:
                return JournalError(
                    f"A journal must be a file that ogive wrote, but {self._name} is no database. "
                    "Choose another file; this one was left as it is."
                )
            case sqlite3.SQLITE_CORRUPT:
                return self._damaged(f"the file is cut off or overwritten ({error})")
            case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
                return JournalError(
                    f"A journal needs room to grow, but {self._name} could not be written "
                    f"({error}). Free some disk space and start the same command again; what was "
                    "on record still is."
                )
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return JournalError(
                    f"A journal must lie in a folder that exists and can be written to, but "
                    f"{self._name} does not ({error}). Choose another folder."
                )
        return JournalError(f"The journal {self._name} cannot be used: {error}")


def _parse(location: str | Path) -> sa.URL:
    if isinstance(location, Path) or "://" not in location:
        return sa.URL.create("sqlite", database=str(location))
    try:
        return sa.make_url(location)
    except (ArgumentError, ValueError) as error:
        raise SettingError(
            f"A journal must be a file or an SQLAlchemy URL, but got {location!r}. "
            "Write it like 'postgresql+psycopg://user@host/database'."
        ) from error


def _name(url: sa.URL) -> str:
    """What messages call the journal: a path, or a URL without its password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.render_as_string(hide_password=True)


def _server_engine(url: sa.URL) -> sa.Engine:
    try:
        # READ COMMITTED, so that who was given the lock sees what was committed before.
        return sa.create_engine(url, isolation_level="READ COMMITTED", pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or url.get_driver_name(), "postgresql") from error
    except (NoSuchModuleError, ArgumentError) as error:
        raise SettingError(
            f"A journal's URL must name a database that SQLAlchemy knows, but got "
            f"{url.drivername!r} ({error}). Write it like 'postgresql+psycopg://user@host/name'."
        ) from error


def _sqlite_engine(url: sa.URL, read_only: bool) -> sa.Engine:
    if url.database in (None, "", ":memory:"):
        raise SettingError(
            "An SQLite journal must be a file, but the URL names none. "
            "Use MemoryJournal() for one in memory."
        )
    if url.query:
        raise SettingError(
            f"The URL of an SQLite journal takes no options, but got {dict(url.query)!r}. "
            "Name the file only; a path with a question mark is given as a path."
        )
    path = Path(str(url.database)).absolute()
    mode = "ro" if read_only else "rwc"
    if read_only and not os.access(path.parent, os.W_OK) and not _has_log(path):
        mode += "&immutable=1"  # SQLite would need to write a shared-memory file beside it
    uri = f"{path.as_uri()}?mode={mode}"

    def connect() -> sqlite3.Connection:
        # isolation_level=None: we say BEGIN ourselves; pysqlite would say it too late.
        connection = sqlite3.connect(
            uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    return sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool)


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _is_busy(error: BaseException | None) -> bool:
    """Whether someone else holds the lock (SQLite's primary code is the lowest byte)."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
