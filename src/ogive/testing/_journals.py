"""What every journal must keep to."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ogive.errors import JournalError
from ogive.journal import Journal

__all__ = ["JournalContract"]


class JournalContract:
    """Override :meth:`journal`, a fixture, and :meth:`twin` where processes share a journal."""

    @pytest.fixture
    def journal(self) -> Journal:
        """Returns an empty journal."""
        raise NotImplementedError

    @pytest.fixture
    def twin(self, journal: Journal) -> Journal:
        """Returns the same journal, opened a second time."""
        pytest.skip(f"{type(journal).__name__} cannot be opened twice")

    def test_events_are_numbered_from_one_without_gaps(self, journal: Journal) -> None:
        assert list(journal.read()) == []
        numbers = [journal.append({"kind": "event", "value": i}) for i in range(5)]
        assert numbers == [1, 2, 3, 4, 5]
        assert [(n, e["value"]) for n, e in journal.read()] == list(
            zip(numbers, range(5), strict=True)
        )

    def test_reading_goes_on_after_a_number(self, journal: Journal) -> None:
        first = journal.append({"kind": "event", "value": 1})
        second = journal.append({"kind": "event", "value": 2})
        assert [event["value"] for _, event in journal.read(first)] == [2]
        assert list(journal.read(second)) == []

    @pytest.mark.parametrize(
        "value",
        [
            {"list": [1, 2.5, None, True, "x"], "empty": {}},
            "größer \u2603 \x00 \n '\"; DROP TABLE ogive_events",
            [0.1 + 0.2, 5e-324, 2**60],
            "x" * 200_000,
        ],
        ids=["nested", "text", "numbers", "long"],
    )
    def test_json_survives(self, journal: Journal, value: object) -> None:
        event = {"kind": "event", "value": value}
        journal.append(event)
        assert [e for _, e in journal.read()] == [event]

    def test_numbers_that_json_does_not_know_survive(self, journal: Journal) -> None:
        journal.append({"kind": "event", "values": [math.inf, -math.inf, math.nan]})
        [(_, event)] = journal.read()
        assert event["values"][:2] == [math.inf, -math.inf]
        assert math.isnan(event["values"][2])

    def test_what_is_read_can_be_changed_without_harm(self, journal: Journal) -> None:
        journal.append({"kind": "event", "list": [1]})
        next(iter(journal.read()))[1]["list"].append(2)
        assert next(iter(journal.read()))[1]["list"] == [1]

    def test_a_written_event_is_no_longer_its_writers(self, journal: Journal) -> None:
        event = {"kind": "event", "list": [1]}
        journal.append(event)
        event["list"] = [2]
        assert next(iter(journal.read()))[1]["list"] == [1]

    @pytest.mark.parametrize("wrong", [{"value": 1}, {"kind": 3}, {"kind": "x", "y": object()}])
    def test_what_is_no_event_is_refused(self, journal: Journal, wrong: dict[str, object]) -> None:
        with pytest.raises(TypeError):
            journal.append(wrong)
        assert list(journal.read()) == []

    def test_a_block_that_raises_leaves_nothing(self, journal: Journal) -> None:
        journal.append({"kind": "before"})

        def block() -> None:
            with journal.exclusive():
                journal.append({"kind": "inside"})
                raise KeyError

        with pytest.raises(KeyError):
            block()
        assert [event["kind"] for _, event in journal.read()] == ["before"]
        assert journal.append({"kind": "after"}) == 2

    def test_a_block_sees_its_own_events(self, journal: Journal) -> None:
        with journal.exclusive():
            journal.append({"kind": "inside"})
            assert [event["kind"] for _, event in journal.read()] == ["inside"]
        assert [event["kind"] for _, event in journal.read()] == ["inside"]

    def test_a_block_is_seen_by_others_when_it_ends(self, journal: Journal) -> None:
        def count() -> int:
            return sum(1 for _ in journal.read())

        with ThreadPoolExecutor(1) as other:
            journal.append({"kind": "before"})
            with journal.exclusive():
                assert journal.append({"kind": "inside"}) == 2
                assert journal.append({"kind": "inside"}) == 3
                assert [number for number, _ in journal.read(1)] == [2, 3]
                assert [number for number, _ in journal.read(2)] == [3]
                assert other.submit(count).result() == 1
            assert other.submit(count).result() == 3

    def test_appending_waits_for_the_block_of_another_thread(self, journal: Journal) -> None:
        begun = threading.Event()

        def append() -> int:
            begun.set()
            return journal.append({"kind": "outside"})

        with ThreadPoolExecutor(1) as other:
            with journal.exclusive():
                journal.append({"kind": "inside"})
                number = other.submit(append)
                begun.wait()
                journal.append({"kind": "inside"})
            assert number.result() == 3

    def test_a_block_within_a_block_is_an_error(self, journal: Journal) -> None:
        with journal.exclusive(), pytest.raises(JournalError, match="twice"), journal.exclusive():
            raise AssertionError
        journal.append({"kind": "after"})

    def test_threads_exclude_each_other(self, journal: Journal) -> None:
        def count() -> None:
            for _ in range(10):
                with journal.exclusive():
                    known = sum(1 for _ in journal.read())
                    journal.append({"kind": "count", "value": known})

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [event["value"] for _, event in journal.read()] == list(range(40))

    def test_two_that_are_open_are_one(self, journal: Journal, twin: Journal) -> None:
        assert journal.append({"kind": "event"}) == 1
        assert twin.append({"kind": "event"}) == 2
        with journal.exclusive():
            journal.append({"kind": "event"})
            assert [number for number, _ in twin.read()] == [1, 2]
        assert list(journal.read()) == list(twin.read())
        assert twin.append({"kind": "event"}) == 4

    def test_two_that_are_open_exclude_each_other(self, journal: Journal, twin: Journal) -> None:
        def count(journal: Journal) -> None:
            for _ in range(20):
                with journal.exclusive():
                    known = sum(1 for _ in journal.read())
                    journal.append({"kind": "count", "value": known})

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(count, (journal, twin)))
        assert [event["value"] for _, event in journal.read()] == list(range(40))

    def test_a_closed_journal_is_not_used(self, journal: Journal) -> None:
        journal.close()
        journal.close()
        with pytest.raises(JournalError, match="close"):
            journal.append({"kind": "late"})
        with pytest.raises(JournalError, match="close"):
            list(journal.read())
