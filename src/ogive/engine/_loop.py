"""The loop: replay, ask, run, tell, until the budget is used; then the finals."""

from __future__ import annotations

import errno
import hashlib
import heapq
import json
import math
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from ogive import text
from ogive._blas import one_blas_thread
from ogive.engine._budget import Plan
from ogive.engine._finals import Finals
from ogive.engine._objectives import exceeded
from ogive.engine._setup import Setup
from ogive.engine._state import LEASE, Me, SearchState, ended, started
from ogive.engine._stopping import stopping
from ogive.errors import JournalError, LimitError, OgiveError
from ogive.estimators import Outcome, Run, bunches, run_trial, run_trials
from ogive.journal import Journal
from ogive.progress import Phase, Snapshot
from ogive.space import Architecture
from ogive.trial import Proposal, Role, Trial

__all__ = ["Loop", "trial_folder"]

_TICK = 0.5
"""Seconds between two looks at running trials."""

_GRACE = 15.0
"""Seconds by which a trial may overrun its deadline at least; a training keeps it by itself."""

_WORTH = 0.2
"""The share of a full training below which a final one is not begun; with patience they take half."""

_REJECTED_IN_A_ROW = 2000
"""Proposals over the limits after which a search ends; with an error, if it found nothing."""

_KEPT = 12
"""Trials of each fidelity whose checkpoints are kept, best first."""

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def trial_folder(run: Path, number: int) -> Path:
    return run / "trials" / f"{number:06d}"


@dataclass(slots=True)
class _Ready:
    """A trial within the limits, and how long it took to see that."""

    trial: Trial
    run: Run
    costs: Mapping[str, float]
    seconds: float


@dataclass(slots=True, eq=False)
class _Job:
    """What one worker does at a time: a trial, or several that it trains at once."""

    trials: int
    future: Future[Any]
    begun: float
    ended: float = 0.0

    def __post_init__(self) -> None:
        self.future.add_done_callback(self._over)

    def _over(self, _future: Future[Any]) -> None:
        self.ended = time.monotonic()

    def outcome(self, place: int) -> dict[str, float] | BaseException:
        """The metrics of one of its trials, or what was raised."""
        error = self.future.exception()
        if error is not None:
            return error
        found = self.future.result()
        outcome: Outcome = found[place] if self.trials > 1 else found
        return outcome

    @property
    def lost(self) -> bool:
        """Whether several failed as a whole, of which one may have been the reason."""
        future = self.future
        return self.trials > 1 and (future.cancelled() or future.exception() is not None)


@dataclass(slots=True)
class _Running:
    ready: _Ready
    job: _Job
    place: int = 0

    @property
    def trial(self) -> Trial:
        return self.ready.trial

    @property
    def run(self) -> Run:
        return self.ready.run


class Loop:
    """One process's part in a search."""

    def __init__(
        self,
        setup: Setup,
        plan: Plan,
        reference: Architecture | None,
        journal: Journal,
        me: Me,
        executor: Executor,
        progress: Callable[[Snapshot], None],
        together: int = 1,
    ) -> None:
        self._setup = setup
        self._plan = plan
        self._journal = journal
        self.state = SearchState(setup.objectives)
        self._me = me
        self._executor = executor
        self._progress = progress
        self._together = together
        self._reference = reference
        self.finals = Finals(plan, reference)
        self._seen = 0
        self._running: dict[int, _Running] = {}
        self._kept: dict[float, list[tuple[float, int]]] = {}
        self._surplus: set[int] = set()  # Trials to delete, once they are nobody's parent.
        self._rejected = 0
        self._short: int | None = None  # How many trials had ended when epochs were too few.
        self._last_sign = 0.0
        self._told_what_runs = False
        self.interrupted = False

    # Going round

    def run(self) -> None:
        """Works until nothing is left to begin and nothing runs, or the user interrupts.

        Raises:
            JournalError: If the journal or the disk refuses.
            LimitError: If nothing is found within the limits.
        """
        with self.interruptible():
            while not self.interrupted and not self._finished():
                self._turn()
            if self.interrupted:
                self.show("interrupted: writing what there is; Ctrl-C again stops at once")
        for running in self._running.values():
            running.job.future.cancel()

    def _finished(self) -> bool:
        if self.state.done or self.state.handing is not None:
            return True
        return (
            self.state.closed is not None
            and not self.state.owners
            and next(self._finals_left(), None) is None
        )

    def _turn(self) -> None:
        done = {n: r for n, r in self._running.items() if r.job.future.done()}
        # Where a worker dies with several, each is tried by itself, or one would cost the others.
        lost = {n: r for n, r in done.items() if r.job.lost and self._search_left() > 0}
        finished = {n: r for n, r in done.items() if n not in lost}
        with self._journal.exclusive():
            for number in done:
                del self._running[number]
            for running in finished.values():
                self._append(self._outcome(running))
            free = max(0, self._plan.workers - len(self._jobs))
            # Several at once are claimed for one worker after the other: so many take a while to
            # propose, and others wait for the journal.
            claimed = self._claim(min(free, 1) if self._together > 1 else free)
        for number in finished:
            self._tell_user(self.state.trials[number])
        launched = self._launch(claimed, again=[running.trial for running in lost.values()])
        self._clear()
        # The room of one that is over before it ran is for another at once.
        room = claimed and len(self._jobs) < self._plan.workers
        self._wait(0.0 if room or not launched else _TICK)

    @property
    def _jobs(self) -> list[_Job]:
        """What runs, or waits for a worker."""
        return list(dict.fromkeys(running.job for running in self._running.values()))

    def sync(self) -> None:
        """Reads what is new in the journal, this process's own events among it."""
        for number, event in self._journal.read(self._seen):
            self._seen = number
            trial = self.state.apply(event)
            if trial is not None and trial.role == "search":
                self._setup.strategy.tell(trial)
                if trial.ended:
                    self._keep(trial)

    def _append(self, event: Mapping[str, Any]) -> None:
        self._journal.append(event)
        self._last_sign = event["at"]

    def _wait(self, seconds: float) -> None:
        jobs = self._jobs
        if jobs:
            futures = [job.future for job in jobs]
            wait(futures, timeout=seconds, return_when=FIRST_COMPLETED)
        elif self.state.owners:
            time.sleep(seconds)  # Others are at work.
        self._give_sign()
        # Not every executor says what runs.
        self._told_what_runs |= any(job.future.running() for job in jobs)
        if self._told_what_runs or len(jobs) > self._plan.workers:
            for job in jobs:
                if not (job.future.running() or job.future.done()):
                    job.begun = time.monotonic()  # It waits for a worker.
        for item in self._running.values():
            if item.run.deadline is not None:
                allowed = item.run.deadline + max(_GRACE, item.run.deadline)
                if time.monotonic() - item.job.begun > allowed:
                    item.job.future.cancel()
        self.show()

    def _give_sign(self) -> None:
        """Says that this process lives, if it has said nothing for a while."""
        if time.time() - self._last_sign > LEASE / 4:
            self._append(self._me.event("alive"))

    # Beginning trials

    def _claim(self, free: int) -> list[Trial]:
        """Notes the start of as many trials as occupy so many workers."""
        self.sync()
        claimed: list[Trial] = []
        orphans = self.state.orphans(self._me.name, time.time())
        for trial in orphans[: free * self._at_once()]:
            if trial.role == "search" and self._search_left() <= 0:
                reason = "its process died, and there is no time left to run it again"
                self._append(ended(self._me, trial.number, "failed", error=reason))
            else:
                self._append(self._me.event("taken", number=trial.number))
                claimed.append(trial)
            self.sync()
        while len(claimed) < free:
            proposals = self._search_proposals((free - len(claimed)) * self._at_once())
            if not proposals and self.state.closed is not None:
                proposals = list(self._finals_left())[: free - len(claimed)]
            if not proposals:
                break
            first = len(self.state.trials)
            for number, (proposal, role) in enumerate(proposals, first):
                self._append(started(self._me, number, proposal, role))
            self.sync()
            claimed += (self.state.trials[n] for n in range(first, len(self.state.trials)))
        return claimed

    def _at_once(self) -> int:
        """How many trials a worker is given: what is left is for all of them."""
        together = min(self._together, math.ceil(self._trials_left() / self._plan.workers))
        if together > 1 and self._setup.budget.seconds is not None:
            together = min(together, int(self._search_left() / self._plan.full_seconds))
        return max(1, together)

    def _search_proposals(self, room: int) -> list[tuple[Proposal, Role]]:
        running = self.state.running("search")
        if self.state.closed is not None or (running and self._short == len(self.state.order)):
            return []
        reason, fitting = self._over(), []
        if reason is None:
            rng = Random(f"{self._setup.seed}:{len(self.state.trials)}")
            with one_blas_thread():
                asked = self._setup.strategy.ask(min(room, self._trials_left()), rng)
            if asked and not self.state.trials and self._reference is not None:
                # The hand-made one comes first: a start from which a strategy can go on, and
                # within the limits where few others may be.
                first, *others = asked
                asked = [replace(first, architecture=self._reference)]
                asked += (p for p in others if p.architecture != self._reference)
            in_time = [proposal for proposal in asked if self._in_time(proposal)]
            fitting = list(self._within_epochs(in_time))
            if asked and not fitting:
                reason = "epochs" if in_time else "time"
            elif not asked and not running:
                reason = "the space is exhausted"
        if reason == "epochs" and running:
            # They may leave some of theirs, as those with patience do; before they end there is no
            # need to ask again.
            self._short = len(self.state.order)
            return []
        if reason is not None:
            self._append(self._me.event("closed", reason=reason))
            self.sync()
        return [(proposal, "search") for proposal in fitting]

    def _finals_left(self) -> Iterator[tuple[Proposal, Role]]:
        """The trainings of the finals that can begin, while there is time for any.

        One that is cut down to a few steps is worse than what is there.
        """
        left = self.left() - self._plan.handover_seconds
        if left < _WORTH * self._plan.full_seconds and self.state.full():
            return
        yield from self.finals.next(self.state)

    def _over(self) -> str | None:
        """Which part of the budget the search has used up."""
        if self._trials_left() <= 0:
            return "trials"
        if self._rejected >= _REJECTED_IN_A_ROW:
            return "limits"
        if self._epochs_left() <= 0:
            return "epochs"
        if self._search_left() <= 0:
            return "time"
        return None

    def _epochs_left(self) -> float:
        """Epochs of training that the search may still begin."""
        if self._setup.budget.epochs is None:
            return math.inf
        running = sum(self._trained(trial.fidelity) for trial in self.state.running("search"))
        spent = self.state.epochs + running * self._plan.epochs
        return self._setup.budget.epochs - self._plan.finals_epochs - spent

    def _trials_left(self) -> int:
        """How many more trials the search may begin."""
        budget = self._setup.budget.trials
        if budget is None:
            return sys.maxsize
        return budget - self._plan.finals_trials - self.state.spent_trials

    def left(self) -> float:
        """Seconds that are left of the whole budget."""
        if self._setup.budget.seconds is None:
            return math.inf
        return self._setup.budget.seconds - self.state.clock.used(self._me.name, time.time())

    def _search_left(self) -> float:
        return self.left() - self._plan.handover_seconds - self._plan.finals_seconds

    def _in_time(self, proposal: Proposal) -> bool:
        """Whether enough time is left; a training that is cut a little short is still worth it."""
        if self._setup.estimator is not None:  # How long it takes is not ours to know.
            return True
        seconds = self._trained(proposal.fidelity) * self._plan.full_seconds
        return self._search_left() > 0.4 * seconds

    def _within_epochs(self, proposals: Iterable[Proposal]) -> Iterator[Proposal]:
        """Those whose epochs are left, beside each other's."""
        if self._setup.estimator is not None:
            yield from proposals
            return
        left = self._epochs_left() + 1e-6
        for proposal in proposals:
            epochs = self._trained(proposal.fidelity) * self._plan.epochs
            if epochs <= left:
                left -= epochs
                yield proposal

    # Running them

    def _launch(self, trials: Sequence[Trial], again: Sequence[Trial] = ()) -> bool:
        """Says whether all run: what fails as it is built, or is over a limit, has ended.

        Those of ``again`` are trained by themselves.
        """
        launched = 0
        for group in self._groups(trials, again):
            self._submit(group)
            launched += len(group)
        return launched == len(trials) + len(again)

    def _groups(self, trials: Sequence[Trial], again: Sequence[Trial]) -> Iterator[list[_Ready]]:
        """Yields what one worker is given at once; one trial as soon as it is ready."""
        if self._together == 1:
            yield from ([ready] for trial in trials if (ready := self._prepared(trial)))
            return
        together, alone = self._all_prepared(trials), self._all_prepared(again)
        waiting = len(self._running) + len(together) + len(alone)
        for group in [*self._bunches(together), *([each] for each in alone)]:
            share = min(1.0, self._plan.workers * len(group) / waiting)
            deadline = self._deadline(group[0].trial, len(group), share)
            yield [replace(each, run=replace(each.run, deadline=deadline)) for each in group]

    def _all_prepared(self, trials: Sequence[Trial]) -> list[_Ready]:
        """Those within the limits; to measure so many may take long."""
        ready = []
        for trial in trials:
            self._give_sign()
            if not self.interrupted and (each := self._prepared(trial)) is not None:
                ready.append(each)
        return ready

    def _submit(self, group: Sequence[_Ready]) -> None:
        """Gives a worker one trial, or several to train at once."""
        trial, runs = group[0].trial, [each.run for each in group]
        asked = self._setup.bench, trial.role, self._epochs(trial), self._plan.precision
        begun = time.monotonic()
        future: Future[Any]
        if len(group) == 1:
            future = self._executor.submit(run_trial, *asked, trial.architecture, *runs)
        else:
            architectures = [each.trial.architecture for each in group]
            future = self._executor.submit(run_trials, *asked, architectures, runs)
        job = _Job(len(group), future, begun)
        for place, each in enumerate(group):
            self._running[each.trial.number] = _Running(each, job, place)

    def _prepared(self, trial: Trial) -> _Ready | None:
        """Measures what it costs, and ends it there where it is over a limit or cannot be built."""
        begun = time.monotonic()
        try:
            costs = self._costs_of(trial)
        except Exception as error:  # noqa: BLE001  # a user's network function may raise anything
            self._append(ended(self._me, trial.number, "failed", error=_reason(error)))
            return None
        if trial.role in ("search", "finalist") and (
            reason := exceeded(costs, self._setup.limits)
        ):
            self._append(
                ended(self._me, trial.number, "rejected", error=reason, costs=costs, seconds=0.0)
            )
            self._rejected += 1
            if self._rejected >= _REJECTED_IN_A_ROW and not self.state.counts["complete"]:
                raise LimitError(
                    f"Some architectures must meet the limits, but {self._rejected} proposals in "
                    f"a row did not; of the last, {reason}. Raise the limit, or narrow the space "
                    "to its smaller part."
                )
            return None
        self._rejected = 0
        return _Ready(trial, self._run(trial), costs, time.monotonic() - begun)

    def _bunches(self, ready: Sequence[_Ready]) -> list[list[_Ready]]:
        """Those that one worker trains at once; what is quicker alone is alone."""
        if len(ready) < 2 or any(each.trial.role != "search" for each in ready):
            return [[each] for each in ready]
        training = self._setup.bench.training("search", self._plan.epochs, self._plan.precision)
        architectures = [each.trial.architecture for each in ready]
        found = bunches(training, architectures, [each.run for each in ready])
        return [[ready[number] for number in numbers] for numbers in found]

    def _costs_of(self, trial: Trial) -> Mapping[str, float]:
        """What its network costs; of a longer training in the search, what the shorter one's did."""
        parent = trial.proposal.parent
        if trial.role == "search" and parent is not None:
            known = self.state.trials[parent]
            if known.architecture == trial.architecture:
                return known.costs
        return self._setup.costs_within(trial.architecture)

    def _run(self, trial: Trial) -> Run:
        folder = trial_folder(self._setup.folder, trial.number)
        _make(folder)
        parent = trial.proposal.parent
        # The same network is trained from the same seed at every fidelity, or a promoted trial
        # could not go on from its parent's checkpoint.
        text = f"{self._setup.seed}:{trial.architecture.key}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
        return Run(
            number=trial.number,
            fidelity=self._fidelity(trial),
            seed=seed,
            threads=self._threads(trial),
            folder=folder,
            parent=None if parent is None else trial_folder(self._setup.folder, parent),
            inherits=self.state.inherits(trial),
            deadline=self._deadline(trial),
            stopping=stopping(self._setup, self._plan.epochs, self.state, trial),
        )

    def _threads(self, trial: Trial) -> int:
        alone = trial.role == "final" and len(self.finals.longer(self.state)) == 1
        return self._plan.alone if alone else self._plan.threads

    def _epochs(self, trial: Trial) -> float:
        """The length of a full training."""
        if trial.role not in ("playoff", "final"):
            return self._plan.epochs
        # What is left of the time is theirs, up to what the recipe wants; epochs are counted out.
        timed = self._setup.budget.seconds is not None and self._setup.budget.epochs is None
        recipe = self._setup.recipe_of(trial.architecture)
        longest = float(recipe.epochs) if timed else self._plan.final_epochs
        # With patience, there is no split left that says when to stop: the finalist's told.
        parent = trial.proposal.parent
        if parent is None or self.state.inherits(self.state.trials[parent]) is not None:
            return longest  # An heir's best epoch is not that of a network from scratch.
        best = self.state.trials[parent].metrics.get("best_epoch")
        return longest if best is None else min(longest, max(1.0, best))

    def _fidelity(self, trial: Trial) -> float:
        if trial.role == "search" and self._setup.estimator is not None:
            return trial.fidelity
        return self._trained(trial.fidelity)

    def _trained(self, fidelity: float) -> float:
        """How much is trained for a fidelity: an epoch at least, or nothing can be compared."""
        return max(fidelity, min(1.0, 1 / self._plan.epochs))

    def _deadline(self, trial: Trial, together: int = 1, share: float = 1.0) -> float | None:
        """Seconds a trial may take, with a budget of time.

        Args:
            trial: One that begins now.
            together: How many are trained at once with it.
            share: Of the time that is left of the search; others wait for the same worker.
        """
        if self._setup.budget.seconds is None:
            return None
        plan = self._plan
        if trial.role == "search" and self._setup.estimator is not None:
            return max(1.0, self._search_left())
        if trial.role == "search":
            # Twice the reference's time: a slow network is judged by what it reaches in that.
            usual = 2 * self._fidelity(trial) * plan.full_seconds * together
            return max(1.0, min(usual, share * self._search_left()))
        left = self.left() - plan.handover_seconds
        if trial.role == "final":
            rounds = self._rounds("final", self.finals.longer(self.state))
            return max(1.0, left / rounds - 1)
        if trial.role == "playoff":
            # As long as the final training after it, which goes on from its checkpoint.
            rounds = self._rounds("playoff", self.finals.pair(self.state))
            rounds += plan.rounds(1 + plan.reference)
            return max(1.0, left / rounds - 1)
        refits = (1 + plan.reference) * plan.refit
        rounds = plan.rounds(self.finals.waiting(self.state) + 1)
        further = plan.rounds(refits) * plan.final_epochs / plan.epochs
        return max(1.0, min(2 * plan.full_seconds, left / (rounds + further)))

    def _rounds(self, role: Role, trials: Sequence[Trial]) -> int:
        """How many rounds the trainings of a role still take, with one that begins now."""
        return self._plan.rounds(max(1, len(trials) - len(self.state.role(role)) + 1))

    def _outcome(self, running: _Running) -> dict[str, Any]:
        """The event that ends a trial.

        Raises:
            JournalError: If the disk refuses what a trial writes.
        """
        job, ready = running.job, running.ready
        # Of those that were trained at once each is said to have taken its share.
        seconds = ready.seconds + ((job.ended or time.monotonic()) - job.begun) / job.trials
        more: dict[str, Any] = {
            "costs": dict(ready.costs),
            "curve": _curve(running.run.folder),
            "seconds": round(seconds, 3),
        }
        number = running.trial.number
        if job.future.cancelled():
            reason = f"it ran longer than the {running.run.deadline or 0:.0f} s it may take"
            return ended(self._me, number, "failed", error=reason, **more)
        found = job.outcome(running.place)
        if not isinstance(found, BaseException):
            return ended(self._me, number, "complete", metrics=found, **more)
        if isinstance(found, OSError) and found.errno in _DISK:
            raise JournalError(
                f"A search needs room to write, but {self._setup.folder} refuses: "
                f"{found.strerror}. Free some space and give the same command again; "
                "what has ended is kept."
            ) from found
        return ended(self._me, number, "failed", error=_reason(found), **more)

    def _keep(self, trial: Trial) -> None:
        """Notes the trials whose files no longer matter, as others become better."""
        kept = self._kept.setdefault(trial.fidelity, [])
        heapq.heappush(kept, (trial.value, trial.number))
        if len(kept) > _KEPT:
            self._surplus.add(heapq.heappop(kept)[1])

    def _clear(self) -> None:
        """Deletes the files of those trials; it takes the disk a while, and no one waits for it.

        Without its checkpoint a promoted trial is trained from scratch, to the same result. An
        heir would be another one without its parent's weights: those are kept while they may be
        asked for.
        """
        if not self._surplus:
            return
        needed = self._setup.strategy.needs()
        needed |= {
            t.proposal.parent for t in self.state.running() if t.proposal.parent is not None
        }
        for number in self._surplus - needed:
            shutil.rmtree(trial_folder(self._setup.folder, number), ignore_errors=True)
        self._surplus &= needed

    # Telling the user

    def _tell_user(self, trial: Trial) -> None:
        name = f"{'trial' if trial.role == 'search' else trial.role} {trial.number}"
        if trial.stopped_at is not None:
            goal = self._setup.objectives.names[0]
            expected = text.score(goal, trial.metrics["expected"])
            self.show(
                f"{name} stopped after epoch {trial.stopped_at:g} ({trial.seconds:.1f} s): "
                f"{text.label(goal)} expected to end at {expected}"
            )
            return
        said = f": {trial.error or ''}"
        if trial.state == "complete":
            measured = {**trial.metrics, **trial.costs}
            values = (
                f"{n} {measured[n]:.4g}" for n in self._setup.objectives.names if n in measured
            )
            said = f": {', '.join(values)}"
        self.show(f"{name} {trial.state}{said.rstrip(': ')} ({trial.seconds:.1f} s)")

    def show(self, message: str | None = None, phase: Phase | None = None) -> None:
        """Hands a picture of where the search stands to the live view."""
        budget = self._setup.budget
        if phase is None:
            phase = self._phase()
        self._progress(
            Snapshot(
                phase=phase,
                used=self.state.clock.used(self._me.name, time.time()),
                total=budget.seconds,
                trials_total=budget.trials,
                counts=dict(self.state.counts),
                stopped=self.state.stopped,
                best=self.state.best(),
                objectives=self._setup.objectives.names,
                running=tuple((n, self._share(r)) for n, r in self._running.items()),
                message=message,
            )
        )

    def _phase(self) -> Phase:
        if self.state.closed is None:
            return "search"
        if self.state.role("final"):
            return "final"
        return "playoff" if self.state.role("playoff") else "finalists"

    def _share(self, running: _Running) -> float:
        """How far a trial is: by its epochs, or by its time where that is what moves it on."""
        curve, run = _curve(running.run.folder), running.run
        epochs = max(1.0, self._epochs(running.trial) * run.fidelity)
        share = curve[-1]["step"] / epochs if curve else 0.0
        if run.deadline is not None:
            share = max(share, (time.monotonic() - running.job.begun) / run.deadline)
        return min(1.0, share)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Turns the first Ctrl-C into a flag; the second one is raised."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def once(*_: object) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            # No more than a flag: what is being written now must not be written into.
            self.interrupted = True

        before = signal.signal(signal.SIGINT, once)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _reason(error: BaseException) -> str:
    """What the journal says of an error; ogive's own need no name of a class before them."""
    return str(error) if isinstance(error, OgiveError) else f"{type(error).__name__}: {error}"


def _curve(folder: Path | None) -> list[dict[str, float]]:
    """The metrics of the epochs so far, as a trial writes them down."""
    path = folder / "curve.jsonl" if folder else None
    if path is None or not path.exists():
        return []
    lines = path.read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def _make(folder: Path) -> None:
    try:
        shutil.rmtree(folder, ignore_errors=True)  # What an earlier attempt left.
        folder.mkdir(parents=True)
    except OSError as error:
        raise JournalError(
            f"A run folder must be writable, but {folder} is not: {error.strerror}. Choose "
            "another with out= or --out."
        ) from error
