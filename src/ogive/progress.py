"""What a search shows while it runs: a board in a terminal, lines elsewhere.

A view is a function of a :class:`Snapshot`. Both views here are used in a ``with`` block::

    with live(Console(stderr=True)) as view:
        ogive.search("digits", budget="3min", progress=view)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ogive import text
from ogive.trial import Trial

__all__ = ["Phase", "Snapshot", "View", "live", "plain"]

Phase = Literal["preflight", "search", "finalists", "playoff", "final", "handover", "done"]

PHASES: Mapping[Phase, str] = MappingProxyType(
    {
        "preflight": "checking data, space and limits",
        "search": "searching",
        "finalists": "training the finalists in full",
        "playoff": "training the best two longer",
        "final": "training the winner",
        "handover": "writing the bundle and the report",
        "done": "done",
    }
)

STATES = MappingProxyType(
    {"complete": "green", "running": "cyan", "failed": "red", "rejected": "yellow"}
)
"""The states of a trial in the order in which they are shown, each with its colour."""

BAR = 28
"""Columns of a progress bar."""

SHOWN = 4
"""Running trials that the board has room for."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A search at one moment.

    Attributes:
        phase: What the search is doing.
        used: Seconds that it has taken, earlier runs of the same search included.
        total: Seconds that it may take; None where the budget is in trials or epochs alone.
        trials_total: Trials that it may run; None where the budget is in time or epochs alone.
        counts: Trials by state.
        stopped: How many of the complete ones were stopped, as they would not reach the best.
        best: The best trial so far.
        objectives: The metrics and costs that decide which trial is best, the first one first.
        running: The running trials: the number, and the share that is done, in [0, 1].
        message: A line that is worth keeping, such as ``trial 9 failed: out of memory``.
    """

    phase: Phase
    used: float
    total: float | None = None
    trials_total: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    stopped: int = 0
    best: Trial | None = None
    objectives: tuple[str, ...] = ()
    running: tuple[tuple[int, float], ...] = ()
    message: str | None = None

    @property
    def ended(self) -> int:
        """Trials that are over, whatever became of them."""
        return sum(count for state, count in self.counts.items() if state != "running")


View = Callable[[Snapshot], None]


@contextmanager
def plain(stream: TextIO) -> Iterator[View]:
    """Writes a line for each phase and each message: for logs and pipes.

    Args:
        stream: Where the lines go; each is flushed.
    """
    phase: Phase = "done"  # no line is written for it: what follows speaks for itself

    def show(snapshot: Snapshot) -> None:
        nonlocal phase
        lines = []
        if snapshot.phase not in (phase, "done"):
            lines.append(PHASES[snapshot.phase])
        if snapshot.message:
            lines.append(snapshot.message)
        phase = snapshot.phase
        stream.writelines(f"[{text.clock(snapshot.used)}] {line}\n" for line in lines)
        if lines:
            stream.flush()

    yield _one_at_a_time(show)


@contextmanager
def live(console: Console) -> Iterator[View]:
    """Shows a board that is redrawn in place, with the messages scrolling above it.

    The board is gone after the block; the messages stay.

    Args:
        console: A console on a terminal. What is printed to stdout and stderr inside the block
            appears above the board.
    """
    # Redrawn at each snapshot, and not by a thread of Rich's own: Ctrl-C while this thread writes
    # would wait for the other one's lock, and the other one for ours.
    with Live("starting", console=console, transient=True, auto_refresh=False) as screen:

        def show(snapshot: Snapshot) -> None:
            if snapshot.message:
                clock = Text(f"[{text.clock(snapshot.used)}] ", style="dim")
                screen.console.print(clock + Text(snapshot.message))
            screen.update(draw(snapshot), refresh=True)

        yield _one_at_a_time(show)


def _one_at_a_time(show: View) -> View:
    """A view that may be called by a signal's handler while it is showing something.

    A stream must not be written to from inside a write to it: such a call waits its turn.
    """
    waiting: deque[Snapshot] = deque()
    busy = False

    def enter(snapshot: Snapshot) -> None:
        nonlocal busy
        waiting.append(snapshot)
        if busy:
            return
        busy = True
        try:
            while waiting:
                show(waiting.popleft())
        finally:
            busy = False

    return enter


def draw(snapshot: Snapshot) -> RenderableType:
    """The board of a snapshot."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row("budget", _budget(snapshot))
    grid.add_row("now", PHASES[snapshot.phase])
    grid.add_row("trials", _counts(snapshot.counts, snapshot.stopped))
    if snapshot.best is not None:
        grid.add_row("best", _best(snapshot.best, snapshot.objectives))
    for number, share in snapshot.running[:SHOWN]:
        grid.add_row(f"trial {number}", _bar(share, f"{100 * share:.0f} %"))
    if len(snapshot.running) > SHOWN:
        grid.add_row("", f"and {len(snapshot.running) - SHOWN} more")
    return grid


def _budget(snapshot: Snapshot) -> RenderableType:
    """The bar of the part of the budget that is nearest its end."""
    used, shares, words = text.clock(snapshot.used), [], []
    if snapshot.trials_total:
        shares.append(snapshot.ended / snapshot.trials_total)
        words.append(f"{snapshot.ended} of {text.several(snapshot.trials_total, 'trial')}")
    if snapshot.total:
        left = max(0.0, snapshot.total - snapshot.used)
        shares.append(snapshot.used / snapshot.total)
        words.append(f"{used} of {text.clock(snapshot.total)}, {text.clock(left)} left")
    else:
        words.append(used)
    return _bar(max(shares, default=None), ", ".join(words))


def _bar(share: float | None, words: str) -> RenderableType:
    """A bar with words beside it; one that only moves where the share is not known."""
    row = Table.grid(padding=(0, 2))
    total = None if share is None else 1.0
    completed = 0.0 if share is None else min(share, 1.0)
    row.add_row(ProgressBar(total=total, completed=completed, width=BAR), words)
    return row


def _counts(counts: Mapping[str, int], stopped: int) -> Text:
    more = {"complete": f" ({stopped} stopped early)"} if stopped else {}
    shown = [
        Text(f"{counts[state]} {state}{more.get(state, '')}", style=style)
        for state, style in STATES.items()
        if counts.get(state)
    ]
    return Text(", ").join(shown) if shown else Text("none yet", style="dim")


def _best(trial: Trial, objectives: tuple[str, ...]) -> str:
    """``trial 7: accuracy 98.12 %, parameters 41.3k``: the objectives, then the other costs."""
    aims = [
        f"{text.label(name)} {text.score(name, trial.metrics[name])}"
        for name in objectives
        if name in trial.metrics
    ]
    costs = [f"{text.label(name)} {text.cost(name, cost)}" for name, cost in trial.costs.items()]
    return f"trial {trial.number}: {', '.join(aims + costs)}"
