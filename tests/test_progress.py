"""The views of a running search."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ogive.progress import PHASES, Snapshot, draw, live, plain
from ogive.space import Architecture
from ogive.trial import Proposal, Trial

BEST = Trial(
    7,
    Proposal(Architecture({"width": 16})),
    state="complete",
    values=(0.98125, -48210.0),
    metrics={"accuracy": 0.98125, "log_loss": 0.07},
    costs={"params": 48210.0, "latency_ms": 0.4123},
)


@pytest.fixture(autouse=True)
def _a_terminal_that_can_do_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # Whatever the tests themselves are run from.


def terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def drawn(snapshot: Snapshot, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(draw(snapshot))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_plain_writes_each_phase_once_and_each_message() -> None:
    stream = io.StringIO()
    with plain(stream) as view:
        view(Snapshot("preflight", 0.0))
        view(Snapshot("search", 2.0))
        view(Snapshot("search", 61.5, message="trial 0 complete: accuracy 0.93 (2.4 s)"))
        view(Snapshot("search", 62.0))
        view(Snapshot("done", 3725.0, message="written to runs/digits"))
    assert stream.getvalue().splitlines() == [
        "[0:00] checking data, space and limits",
        "[0:02] searching",
        "[1:01] trial 0 complete: accuracy 0.93 (2.4 s)",
        "[1:02:05] written to runs/digits",
    ]


def test_plain_flushes_what_it_writes() -> None:
    class Stream(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    stream = Stream()
    with plain(stream) as view:
        view(Snapshot("search", 1.0, message="a line"))
        assert "a line" in stream.flushed


def test_board_shows_budget_counts_best_and_running() -> None:
    snapshot = Snapshot(
        "search",
        used=92.0,
        total=180.0,
        counts={"complete": 12, "running": 2, "failed": 1, "rejected": 0},
        best=BEST,
        objectives=("accuracy", "params"),
        running=((13, 0.25), (14, 0.5)),
    )
    board = drawn(snapshot)
    assert "1:32 of 3:00, 1:28 left" in board
    assert "12 complete, 2 running, 1 failed" in board
    assert "rejected" not in board
    assert "trial 7: accuracy 98.12 %, parameters 48.2k, latency 0.412 ms" in board
    assert "25 %" in board
    assert "50 %" in board
    assert "12 complete (3 stopped early), 2 running" in drawn(replace(snapshot, stopped=3))


def test_board_counts_trials_where_the_budget_is_in_trials() -> None:
    snapshot = Snapshot(
        "search", 5.0, trials_total=20, counts={"complete": 5, "failed": 1, "running": 2}
    )
    assert "6 of 20 trials, 0:05" in drawn(snapshot)


def test_board_has_room_for_many_running_trials() -> None:
    snapshot = Snapshot("search", 1.0, running=tuple((n, 0.1) for n in range(64)))
    board = drawn(snapshot)
    assert len(board.splitlines()) < 12
    assert "and 60 more" in board


@given(
    phase=st.sampled_from(list(PHASES)),
    used=st.floats(0, 1e7),
    total=st.none() | st.floats(0, 1e6),
    trials=st.none() | st.integers(0, 10_000),
    best=st.none() | st.just(BEST),
    running=st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 1)), max_size=6),
    width=st.integers(20, 200),
)
def test_board_can_be_drawn_whatever_the_moment(
    phase: str,
    used: float,
    total: float | None,
    trials: int | None,
    best: Trial | None,
    running: list[tuple[int, float]],
    width: int,
) -> None:
    snapshot = Snapshot(
        phase,  # type: ignore[arg-type]
        used,
        total=total,
        trials_total=trials,
        best=best,
        objectives=("accuracy",),
        running=tuple(running),
    )
    assert all(len(line) <= width for line in drawn(snapshot, width).splitlines())


def test_live_keeps_messages_and_removes_the_board() -> None:
    console = terminal()
    with live(console) as view:
        view(Snapshot("search", 12.0, total=60.0, best=BEST, objectives=("accuracy",)))
        view(Snapshot("search", 13.0, total=60.0, message="trial 9 failed: [not markup]"))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[0:13] trial 9 failed: [not markup]" in written
    erased = 3  # the lines of the last board
    assert written.endswith("\x1b[1A\x1b[2K" * erased)


@pytest.fixture
def streams() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    yield
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.usefixtures("streams")
def test_live_gives_the_terminal_back_after_an_error() -> None:
    console = terminal()
    with pytest.raises(ZeroDivisionError), live(console):
        _ = 1 / 0
    assert "\x1b[?25h" in console.file.getvalue()  # type: ignore[attr-defined]


class Interrupted(io.StringIO):
    """A terminal on which Ctrl-C is pressed in the middle of the first write of a line."""

    def __init__(self, line: str) -> None:
        super().__init__()
        self.line = line
        self.handler: Callable[[], None] | None = None
        self.writing = False

    def write(self, written: str) -> int:
        assert not self.writing, "written to from inside a write"
        self.writing = True
        if self.handler is not None and self.line in written:
            handler, self.handler = self.handler, None
            handler()
        self.writing = False
        return super().write(written)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)


@pytest.mark.parametrize("kind", ["plain", "live"])
def test_a_signal_may_call_a_view_that_is_writing(kind: str) -> None:
    stream = Interrupted("trial 3 complete")
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    with plain(stream) if kind == "plain" else live(console) as view:
        stream.handler = lambda: view(Snapshot("search", 2.0, message="interrupted"))
        view(Snapshot("search", 1.0, message="trial 3 complete"))
    written = stream.getvalue()
    assert written.index("trial 3 complete") < written.index("interrupted")


def test_live_starts_no_thread() -> None:
    before = threading.active_count()
    with live(terminal()):
        assert threading.active_count() == before
