"""What every journal must keep to."""

from __future__ import annotations

import math
import threading

import pytest

from ogive.errors import JournalError
from ogive.journal import Journal

__all__ = ["JournalContract"]


class JournalContract:
    """Override :meth:`journal`, a fixture."""

    @pytest.fixture
    def journal(self) -> Journal:
        """Returns an empty journal."""
        raise NotImplementedError

    def test_events_come_back_in_order(self, journal: Journal) -> None:
        numbers = [journal.append({"kind": "event", "value": i}) for i in range(5)]
        assert numbers == sorted(set(numbers))
        assert [(n, e["value"]) for n, e in journal.read()] == list(
            zip(numbers, range(5), strict=True)
        )

    def test_reading_goes_on_after_a_number(self, journal: Journal) -> None:
        first = journal.append({"kind": "event", "value": 1})
        journal.append({"kind": "event", "value": 2})
        assert [event["value"] for _, event in journal.read(first)] == [2]

    def test_json_survives(self, journal: Journal) -> None:
        event = {"kind": "event", "nested": {"list": [1, 2.5, None, True, "ü"]}, "big": 2**60}
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

    def test_an_event_has_a_kind(self, journal: Journal) -> None:
        with pytest.raises(TypeError, match="kind"):
            journal.append({"value": 1})

    def test_a_block_that_raises_leaves_nothing(self, journal: Journal) -> None:
        journal.append({"kind": "before"})

        def block() -> None:
            with journal.exclusive():
                journal.append({"kind": "inside"})
                raise KeyError

        with pytest.raises(KeyError):
            block()
        assert [event["kind"] for _, event in journal.read()] == ["before"]

    def test_a_block_sees_its_own_events(self, journal: Journal) -> None:
        with journal.exclusive():
            journal.append({"kind": "inside"})
            assert [event["kind"] for _, event in journal.read()] == ["inside"]
        assert [event["kind"] for _, event in journal.read()] == ["inside"]

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

    def test_closing_twice_does_nothing(self, journal: Journal) -> None:
        journal.close()
        journal.close()
