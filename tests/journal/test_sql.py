"""The journal in a file: real processes, kill -9, full disks and damaged files."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa

from ogive.errors import JournalError
from ogive.journal import SQLJournal
from ogive.journal import _sql as module

WRITER = """
import sys
from ogive.journal import SQLJournal
journal = SQLJournal(sys.argv[1])
while True:
    with journal.exclusive():
        first = journal.append({"kind": "first"})
        journal.append({"kind": "second", "after": first, "ballast": "x" * 500})
    print(first + 1, flush=True)
"""

HOLDER = """
import sys, time
from ogive.journal import SQLJournal
journal = SQLJournal(sys.argv[1])
with journal.exclusive():
    journal.append({"kind": "half"})
    print("inside", flush=True)
    time.sleep(60)
"""

CLAIMER = """
import sys, time
from pathlib import Path
from ogive.journal import SQLJournal
path, go, name = sys.argv[1:]
while not Path(go).exists():
    time.sleep(0.001)
journal = SQLJournal(path)
seen = claimed = 0
for _ in range(50):
    with journal.exclusive():
        for seen, event in journal.read(seen):
            claimed = event["claimed"]
        journal.append({"kind": "claim", "claimed": claimed + 1, "by": name})
journal.close()
"""


def start(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill(process):
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    return rest


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def written(path):
    """A closed journal of 2,000 events."""
    with SQLJournal(path) as journal, journal.exclusive():
        for n in range(2000):
            journal.append({"kind": "noted", "n": n, "ballast": "x" * 100})
    return path


# Processes


def test_nothing_is_lost_or_halved_by_kill_9(path):
    rng = random.Random(0)
    confirmed = 0
    for _ in range(5):
        writer = start(WRITER, path)
        lines = [int(writer.stdout.readline()) for _ in range(rng.randrange(1, 40))]
        time.sleep(rng.random() / 50)
        lines += map(int, kill(writer).split("\n")[:-1])
        assert lines[0] > confirmed  # It went on where the last had been.
        confirmed = lines[-1]
        with SQLJournal(path) as journal:
            events = list(journal.read())
        assert len(events) >= confirmed
        kinds = [event["kind"] for _, event in events]
        assert kinds == ["first", "second"] * (len(events) // 2)
        assert [number for number, _ in events] == list(range(1, len(events) + 1))


def test_a_killed_process_holds_nothing(path):
    holder = start(HOLDER, path)
    assert holder.stdout.readline() == "inside\n"
    with SQLJournal(path, read_only=True) as reader:
        assert list(reader.read()) == []
    kill(holder)
    begun = time.monotonic()
    with SQLJournal(path) as journal:
        assert journal.append({"kind": "next"}) == 1
    assert time.monotonic() - begun < 5


def test_processes_claim_numbers_without_doubles(path, tmp_path):
    """Four at once, the making of the file included."""
    processes = [start(CLAIMER, path, tmp_path / "go", name) for name in "abcd"]
    (tmp_path / "go").touch()
    assert [process.wait() for process in processes] == [0] * 4
    for process in processes:
        process.stdout.close()
    with SQLJournal(path) as journal:
        events = [event for _, event in journal.read()]
    assert [event["claimed"] for event in events] == list(range(1, 201))
    assert {event["by"] for event in events} == set("abcd")


def test_who_waits_too_long_is_told(path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    with SQLJournal(path) as one, SQLJournal(path) as two:
        with (
            one.exclusive(),
            pytest.raises(JournalError, match="another process has held"),
        ):
            two.append({"kind": "late"})
        assert two.append({"kind": "now"}) == 1


def test_a_thread_that_waits_too_long_is_told(path, monkeypatch):
    monkeypatch.setattr("ogive.journal._base.PATIENCE", 0.1)
    errors = []

    def append(journal):
        try:
            journal.append({"kind": "late"})
        except JournalError as error:
            errors.append(str(error))

    with SQLJournal(path) as journal, journal.exclusive():
        other = threading.Thread(target=append, args=(journal,))
        other.start()
        other.join()
    assert "another thread" in errors[0]


# What is there already


def assert_refused(path, match, **options):
    """The journal is refused with one clear message, and nothing that was there has changed."""
    before = path.read_bytes()
    with pytest.raises(JournalError, match=match), SQLJournal(path, **options) as journal:
        list(journal.read())
    assert path.read_bytes() == before


def test_a_file_that_is_no_database(path):
    path.write_bytes(b"my thesis\n" * 1000)
    assert_refused(path, "is no database")


def test_a_database_of_something_else(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    assert_refused(path, "something else.*customers")


def test_a_file_that_is_cut_off(written):
    with written.open("r+b") as file:
        file.truncate(written.stat().st_size // 2)
    assert_refused(written, "cut off or overwritten")


def test_a_file_that_is_overwritten_in_the_middle(written):
    with written.open("r+b") as file:
        file.seek(20 * 4096)
        file.write(b"\xff" * 4096)
    assert_refused(written, "must be whole")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("DELETE FROM ogive_events WHERE number = 1000", "event 1000 is missing"),
        ("UPDATE ogive_events SET event = '{\"kin' WHERE number = 7", "event 7 is not readable"),
        ("UPDATE ogive_events SET event = '[]' WHERE number = 7", "event 7 is not readable"),
        ("DELETE FROM ogive_journal", "its tables are not complete"),
        ("DROP TABLE ogive_events", "its tables are not complete"),
    ],
)
def test_a_journal_that_someone_edited(written, change, match):
    with sqlite3.connect(written) as connection:
        connection.execute(change)
    connection.close()
    assert_refused(written, match)


def test_a_journal_of_a_newer_ogive(written):
    with sqlite3.connect(written) as connection:
        connection.execute("UPDATE ogive_journal SET format = 2")
    connection.close()
    assert_refused(written, "newer ogive in format 2.*pip install --upgrade ogive")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(JournalError, match="in a folder that exists"):
        SQLJournal(tmp_path / "missing" / "journal.db")
    assert not (tmp_path / "missing").exists()


def test_a_folder_in_place_of_a_file(path):
    path.mkdir()
    with pytest.raises(JournalError, match="in a folder that exists"):
        SQLJournal(path)


# Reading only


def test_a_reader_changes_nothing_and_makes_nothing(written, tmp_path):
    before = written.read_bytes()
    with SQLJournal(written, read_only=True) as journal:
        assert len(list(journal.read())) == 2000
        with pytest.raises(JournalError, match="read_only=True"):
            journal.append({"kind": "noted"})
    assert written.read_bytes() == before
    with pytest.raises(JournalError):
        SQLJournal(tmp_path / "other.db", read_only=True)
    assert not (tmp_path / "other.db").exists()


def test_an_empty_file_is_no_journal_to_read(path):
    path.touch()
    assert_refused(path, "there is none", read_only=True)


IN_A_READ_ONLY_FOLDER = """
import sys
from ogive.errors import JournalError
from ogive.journal import SQLJournal
path = sys.argv[1]
with SQLJournal(path, read_only=True) as journal:
    print(sum(1 for _ in journal.read()))
for name in (path, path + ".new"):
    try:
        with SQLJournal(name) as journal:
            journal.append({"kind": "noted"})
    except JournalError as error:
        print("can be written to" in str(error))
"""


def test_a_folder_that_cannot_be_written_to(written, tmp_path):
    command = [sys.executable, "-c", IN_A_READ_ONLY_FOLDER, str(written)]
    if os.geteuid() == 0:  # Root may write everywhere, unless it gives that right up.
        if shutil.which("setpriv") is None:
            pytest.skip("root cannot give up its rights without setpriv")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    before = contents(tmp_path)
    written.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        tmp_path.chmod(0o755)
    assert said.stdout.split() == ["2000", "True", "True"]
    assert contents(tmp_path) == before


# A full disk


def fill(journal):
    """Appends until there is no room, and returns how many events were confirmed."""
    confirmed = 0
    with pytest.raises(JournalError, match="Free some disk space"):  # noqa: PT012
        while confirmed < 100_000:
            journal.append({"kind": "noted", "ballast": "x" * 1000})
            confirmed += 1
    return confirmed


def limit_pages(journal, pages):
    """Has SQLite say that the disk is full beyond ``pages``; without an end for None."""

    def limit(connection, _):
        connection.execute(f"PRAGMA max_page_count = {pages}")

    journal._engine.dispose()
    sa.event.listen(journal._engine, "connect", limit)


def test_a_full_disk_loses_nothing_and_room_heals_it(path):
    with SQLJournal(path) as journal:
        limit_pages(journal, 64)
        confirmed = fill(journal)
        assert confirmed > 50
        assert len(list(journal.read())) == confirmed
        limit_pages(journal, 1000)
        assert journal.append({"kind": "next"}) == confirmed + 1


def test_a_block_on_a_full_disk_writes_all_or_nothing(path):
    with SQLJournal(path) as journal:
        limit_pages(journal, 64)
        confirmed = fill(journal)
        with pytest.raises(JournalError), journal.exclusive():
            # The block swallows the error and goes on, and still nothing of it is kept.
            fill(journal)
        assert len(list(journal.read())) == confirmed


def test_a_file_system_that_is_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        with SQLJournal(disk / "journal.db") as journal:
            confirmed = fill(journal)
            assert len(list(journal.read())) == confirmed
        with SQLJournal(disk / "journal.db", read_only=True) as journal:
            assert len(list(journal.read())) == confirmed
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_iterator_in_use_does_not_hold_the_journal(written):
    """A slow reader neither blocks a writer nor misses what it writes."""
    with SQLJournal(written) as journal:
        reading = journal.read()
        next(reading)
        assert journal.append({"kind": "noted"}) == 2001
        with journal.exclusive():
            journal.append({"kind": "noted"})
        assert len(list(reading)) >= 1999
