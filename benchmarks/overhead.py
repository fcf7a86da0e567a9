"""What thinking and writing cost a trial: strategy, journal and loop, without any training.

Run ``python benchmarks/overhead.py``; the figures are also added to ``results/overhead.json``.
First strategy and journal alone, part by part, the way a trial goes in a search: others' events
are read, a proposal is asked for and its start put on record in one exclusive block, then its
end; both are told. Then whole searches with an estimator that costs nothing, from one call of it
to the next: the loop, folders and live view are in that. A trial's figure is the median of a
window, and a replay's the time on the processor beside that on the clock: other work on the
machine is not ours.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from _results import record
from rich.console import Console
from rich.table import Table

from ogive.engine import search
from ogive.estimators import Run
from ogive.executors import SerialExecutor
from ogive.journal import Journal, MemoryJournal, SQLJournal
from ogive.space import Architecture
from ogive.strategies import Strategy, by_name
from ogive.testing import ended, running, synthetic
from ogive.trial import Proposal, Trial

PROBLEM = synthetic(20)  # more than 10^20 architectures, conditional, with reals
STRATEGIES = ("random", "evolution", "asha")
"""Those that think for less than a millisecond; ``thinking.py`` has the others."""

MARKS = (1_000, 10_000)
WINDOW = 500
"""Trials before a mark, over which it is measured."""
REPLAYED = 100_000


class Clock:
    """Microseconds that each part took, trial by trial."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.spent[part].append((time.perf_counter() - begun) * 1e6)

    def medians(self) -> dict[str, float]:
        """By part: each median, over as often as the part comes in a trial."""
        found = {}
        for part, spent in self.spent.items():
            often = len(spent) // WINDOW
            found[part] = sum(statistics.median(spent[i::often]) for i in range(often))
        found["journal"] -= found["ask"]  # which is asked inside of a block
        return {part: round(us, 1) for part, us in [*found.items(), ("sum", sum(found.values()))]}


def played(strategy: Strategy, journal: Journal) -> Iterator[tuple[int, Clock]]:
    """Runs to the last mark, and yields the clock of the window before each."""
    clock, seen = Clock(), 0
    for number in range(max(MARKS)):
        if any(number == mark - WINDOW for mark in MARKS):
            clock = Clock()
        with clock.on("journal"), journal.exclusive():
            seen += sum(1 for _ in journal.read(seen))
            with clock.on("ask"):
                [proposal] = strategy.ask(1, Random(number))
            begun = running(number, proposal)
            journal.append({"kind": "started", "number": number, "proposal": proposal.to_json()})
        with clock.on("tell"):
            strategy.tell(begun)
        value = PROBLEM.value(proposal.architecture, proposal.fidelity)
        trial = ended(begun, value)
        with clock.on("journal"):
            journal.append(end_of(trial))
        with clock.on("tell"):
            strategy.tell(trial)
        if number + 1 in MARKS:
            yield number + 1, clock


def whole(name: str, folder: Path) -> dict[int, dict[str, float]]:
    """Milliseconds a trial of a whole search, by the trials before: on the processor and clock."""
    moments: list[tuple[float, float]] = []

    def estimate(architecture: Architecture, run: Run) -> dict[str, float]:
        moments.append((time.process_time(), time.perf_counter()))
        return {"value": PROBLEM.value(architecture, run.fidelity)}

    search(
        PROBLEM.space,
        estimator=estimate,
        maximize="value",
        strategy=name,
        executor=SerialExecutor(),
        workers=1,
        trials=max(MARKS),
        out=folder / f"{name}-whole",
    )
    found = {}
    for mark in MARKS:
        window = moments[mark - WINDOW : mark]
        cpu, wall = (
            statistics.median(1e3 * (b[i] - a[i]) for a, b in pairwise(window)) for i in (0, 1)
        )
        found[mark] = {"cpu_ms": round(cpu, 2), "wall_ms": round(wall, 2)}
    return found


def end_of(trial: Trial) -> dict[str, Any]:
    """An event as long as a real one."""
    curve = [{"accuracy": trial.value, "loss": 0.1 * epoch} for epoch in range(10)]
    return {
        "kind": "ended",
        "number": trial.number,
        "state": trial.state,
        "values": trial.values,
        "metrics": {"accuracy": trial.value, "log_loss": 0.31, "epochs": 10.0},
        "costs": {"params": 81_546.0, "macs": 1.2e7, "memory_mb": 12.5, "latency_ms": 0.31},
        "curve": curve,
        "seconds": 12.345,
    }


def replay(name: str, folder: Path) -> dict[str, Any]:
    """Writes a journal of 50,000 trials, and reads it back into a fresh strategy."""
    rng = Random(0)
    with SQLJournal(folder / f"{name}-replay.db") as journal:
        with journal.exclusive():
            for number in range(REPLAYED // 2):
                proposal = Proposal(PROBLEM.space.sample(rng))
                begun = running(number, proposal)
                journal.append(
                    {"kind": "started", "number": number, "proposal": proposal.to_json()}
                )
                journal.append(end_of(ended(begun, rng.random())))
        read = timed(lambda: sum(1 for _ in journal.read()))
        told = timed(lambda: retold(by_name(name, PROBLEM.space), journal))
        return {"events": REPLAYED, "read": read, "read_and_told": told}


def timed(work: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
    }


def retold(strategy: Strategy, journal: Journal) -> None:
    proposals: dict[int, Proposal] = {}
    for _, event in journal.read():
        number = event["number"]
        if event["kind"] == "started":
            proposals[number] = Proposal.from_json(event["proposal"])
            strategy.tell(Trial(number, proposals[number]))
        else:
            strategy.tell(
                Trial(number, proposals[number], event["state"], values=tuple(event["values"]))
            )


def main() -> None:
    rows: list[dict[str, Any]] = []
    trials = Table("strategy", "journal", "trials", "ask µs", "tell µs", "journal µs", "sum µs")
    searches = Table("strategy", "trials", "whole search: cpu / wall ms a trial")
    replays = Table("strategy", "events", "read: wall / cpu s", "read and told: wall / cpu s")
    with tempfile.TemporaryDirectory() as folder:
        for name in STRATEGIES:
            for kind in ("memory", "sqlite"):
                path = Path(folder) / f"{name}.db"
                with MemoryJournal() if kind == "memory" else SQLJournal(path) as journal:
                    for mark, clock in played(by_name(name, PROBLEM.space), journal):
                        us = clock.medians()
                        rows.append({"strategy": name, "journal": kind, "trials": mark, "us": us})
                        parts = [f"{us[k]:.0f}" for k in ("ask", "tell", "journal", "sum")]
                        trials.add_row(name, kind, f"{mark:,}", *parts)
            for mark, ms in whole(name, Path(folder)).items():
                rows.append({"strategy": name, "whole": True, "trials": mark, "ms": ms})
                searches.add_row(name, f"{mark:,}", f"{ms['cpu_ms']} / {ms['wall_ms']}")
            figures = replay(name, Path(folder))
            rows.append({"strategy": name, "journal": "sqlite", "replay": figures})
            replays.add_row(
                name,
                f"{figures['events']:,}",
                *(
                    f"{t['wall_s']} / {t['cpu_s']}"
                    for t in (figures["read"], figures["read_and_told"])
                ),
            )
    Console().print(trials, searches, replays)
    record("overhead", rows)


if __name__ == "__main__":
    main()
