"""What the rungs of a ladder have answered, on record: so a climb goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ogive.errors import JournalMismatch
from ogive.journal import Event, Journal
from ogive.space import Architecture

__all__ = ["Answer", "Answers"]

Answer = Mapping[str, float] | str
"""What an estimator returned, or why it failed."""


class Answers:
    """The answers in a journal, and the time that they took.

    Args:
        journal: Where they are; without one nothing is kept.
        identity: What must be the same for a climb to go on, as JSON.

    Attributes:
        result: What came of the climb, as JSON, if it has ended.

    Raises:
        JournalMismatch: If the journal is not that of the same climb.
    """

    def __init__(self, journal: Journal | None, identity: Mapping[str, Any]) -> None:
        self._journal, self._begun = journal, time.monotonic()
        self._known: dict[tuple[str, Architecture], Event] = {}
        self.result: Mapping[str, Any] | None = None
        if journal is None:
            return
        events = [event for _, event in journal.read()]
        if not events:
            journal.append({"kind": "climb", "identity": identity})
        elif (there := events[0].get("identity")) != identity:
            raise JournalMismatch(
                f"A climb goes on only as it began, but the journal is of {there}, and this one is "
                f"{dict(identity)}. Give the same arguments, or another journal."
            )
        for event in events[1:]:
            if event["kind"] == "answered":
                architecture = Architecture.from_json(event["architecture"])
                self._known[event["rung"], architecture] = event
            else:
                self.result = event["result"]

    @property
    def seconds(self) -> float:
        """The time since the climb began, that of a climb which was ended among it."""
        return time.monotonic() - self._begun

    def known(self, rung: str, architecture: Architecture) -> tuple[Answer, float] | None:
        """Returns an answer and the seconds that it took; it is then as late as it was then."""
        event = self._known.get((rung, architecture))
        if event is None:
            return None
        self._begun = min(self._begun, time.monotonic() - event["at"])
        return event["answer"], event["seconds"]

    def note(self, rung: str, architecture: Architecture, answer: Answer, seconds: float) -> None:
        """Puts an answer on record, unless it is there."""
        if self._journal is None or (rung, architecture) in self._known:
            return
        event = {"rung": rung, "architecture": architecture.to_json(), "answer": answer}
        self._journal.append({"kind": "answered", **event, "seconds": seconds, "at": self.seconds})

    def end(self, result: Mapping[str, Any]) -> None:
        """Puts on record what came of the climb."""
        if self._journal is not None:
            self._journal.append({"kind": "climbed", "result": result})
