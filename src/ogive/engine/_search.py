"""``ogive.search``: from a dataset and limits to a verified network."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

from ogive import text
from ogive._whole import write_whole
from ogive.engine import _handover
from ogive.engine._budget import Budget, Plan, seconds_of
from ogive.engine._loop import Loop
from ogive.engine._preflight import preflight
from ogive.engine._prior import Prior
from ogive.engine._result import Result
from ogive.engine._setup import Setup, opening, set_up
from ogive.engine._state import LEASE, Me, SearchState
from ogive.engine._summary import best_of, fold, summary_of
from ogive.errors import (
    BudgetError,
    BundleError,
    JournalError,
    LimitError,
    OgiveError,
    SettingError,
    TrialFailed,
)
from ogive.estimators import Estimator, Fidelity, RecipeLike, device_of
from ogive.executors import WorkerPool, cores
from ogive.hardware import Cost
from ogive.journal import Journal, open_journal
from ogive.nn import NetworkFunction
from ogive.progress import Phase, Snapshot
from ogive.space import Architecture, SearchSpace
from ogive.strategies import Strategy
from ogive.task import Task

__all__ = ["search"]

_DEFAULT_SECONDS = 600.0

_POLL = 1.0
"""Seconds between two looks at another process that hands over."""


def search(
    network: NetworkFunction | SearchSpace | str | None = None,
    task: object = None,
    *,
    budget: str | float | None = None,
    trials: int | None = None,
    epochs: float | None = None,
    limits: Mapping[str, float] | None = None,
    costs: Mapping[str, Cost | str | Path] | None = None,
    maximize: str | Sequence[str] | None = None,
    minimize: str | Sequence[str] = (),
    strategy: str | Strategy = "auto",
    start_from: Prior = (),
    estimator: Estimator | None = None,
    recipe: RecipeLike | None = None,
    fidelity: Fidelity | Sequence[Fidelity] = "epochs",
    stop_below: float | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    together: int = 1,
    bundle: bool = True,
    journal: str | Path | Journal | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Callable[[Snapshot], None] | None = None,
    begun: float | None = None,
) -> Result:
    """Finds the best network for a task within limits, trains it, verifies it and hands it over.

    A search in a run folder that stands already goes on where it was, whatever ended it; one that
    is complete returns its result. The first Ctrl-C writes what there is; the second one stops.

    Args:
        network: A network function, the name of a ready-made space, or ``None`` for the default
            space of the task. A :class:`SearchSpace` where only ``estimator`` is asked.
        task: A :class:`Task`, or any data that :func:`ogive.task.load` takes.
        budget: Wall-clock time for everything, final training and report included: ``"30min"`` or
            seconds. Ten minutes if no budget of any kind is given.
        trials: How many trainings of any length, those of the finals included.
        epochs: How many epochs of training in all.
        limits: The most that a network may cost: ``params``, ``macs``, ``size_mb`` and
            ``memory_mb`` (in MiB), ``latency_ms``, or one of ``costs``.
        costs: Costs of your own, as functions of a network on the CPU, its task and the batch size
            of training. They take the place of those of the same name: ``{"latency_ms":
            "phone.json"}``, a file that :meth:`LatencyPredictor.save` wrote, is the latency of
            another device.
        maximize: Metrics to make large; by default the task's own, or ``value`` where there is no
            task. With ``()`` what ``minimize`` names is all that counts.
        minimize: Metrics or costs to make small besides.
        strategy: The name of a strategy, with settings if you like
            (``evolution:population=50,inherit=0.25``), or one made for the same space.
        start_from: Architectures to try first (what they leave open takes its first value), or
            the run folder or journal of an earlier search of the same or a similar space, whose
            best are tried first, or what :func:`ogive.oneshot.search_by_gradient` or
            :func:`ogive.oneshot.search_by_controller` found: the architectures that it prefers.
            What a search by gradient says of itself goes into the report.
        estimator: How good an architecture is, as a function of it and a :class:`Run`; trains it
            by default. The finals train in any case, if there is a network function.
        recipe: How networks are trained, or a function that chooses it.
        fidelity: What a training is given less of, where a strategy asks for a cheaper one:
            ``epochs``, ``data``, ``resolution``, ``width`` or several of these, as in
            :class:`Training`. The finals are full trainings in any case.
        stop_below: Stops a full training of the search when the probability that it ends better
            than the best so far, as foreseen from those that have ended, is below this; 0.05 is
            a good value. A strategy is told what it was expected to end with. Never by default.
        executor: Where trials run; worker processes on this machine by default.
        workers: Trials side by side; measured by default.
        together: How many small perceptrons each of them trains at once, where their layers allow
            it, each to the result that it has alone (:func:`ogive.estimators.train_together`). A
            strategy is asked for as many at a time, and so learns less from each other's
            results: for spaces of small networks, and time for hundreds of trials.
        bundle: Whether the final network is exported and verified, as ``bundle`` in the run
            folder, in ten to twenty seconds. Without it also networks are searched that PyTorch
            alone can run; with it they are refused before the search.
        journal: A file, a database URL or a :class:`Journal`; ``journal.db`` in the run folder by
            default.
        seed: Of every draw of the search.
        out: The run folder; ``runs/<task>-<time>`` by default.
        progress: Called with a :class:`Snapshot` about twice a second.
        begun: When the budget began to run, as :func:`time.time` gives it, where that was before
            this call: what was loaded since then takes of it.

    Raises:
        OgiveError: With one message that says the rule, the value and the cure.
        KeyboardInterrupt: At the second Ctrl-C.
    """
    begun = time.time() if begun is None else begun
    if workers is not None and workers < 1:
        raise SettingError(f"workers >= 1 must hold, but got workers={workers}.")
    whole = Budget(None if budget is None else seconds_of(budget), trials, epochs)
    if whole == Budget():
        whole = Budget(_DEFAULT_SECONDS)
    stood = out is not None and Path(out).exists()
    folder = _folder(out, task)
    try:
        setup = set_up(
            network,
            task,
            budget=whole,
            limits=limits,
            costs=costs,
            maximize=maximize,
            minimize=minimize,
            strategy=strategy,
            start_from=start_from,
            estimator=estimator,
            recipe=recipe,
            fidelity=fidelity,
            seed=seed,
            folder=folder,
            stop_below=stop_below,
            bundle=bundle,
        )
        _check_together(together, setup)
    except OgiveError:
        if not stood:
            with suppress(OSError):
                folder.rmdir()  # Nothing is left of a call that was refused.
        raise
    with _journal(journal, folder) as log:
        told = progress or _silent
        return _Search(setup, log, executor, workers, told, begun, together).run()


def _check_together(together: int, setup: Setup) -> None:
    if together < 1:
        raise SettingError(f"together >= 1 must hold, but got together={together}.")
    if together == 1:
        return
    if setup.estimator is not None:
        raise SettingError(
            f"together={together} trains so many networks at once, but this search asks an "
            "estimator of its own. Leave together out."
        )
    if setup.task is not None and setup.task.kind != "tabular":
        raise SettingError(
            f"together={together} trains so many perceptrons of a table at once, but the data are "
            f"{setup.task.kind}. Leave together out."
        )


def _on_the_processor() -> bool:
    return device_of("auto").type == "cpu"


def _silent(snapshot: Snapshot) -> None:
    """Shows nothing."""


def _folder(out: str | Path | None, task: object) -> Path:
    try:
        folder = _new_folder(task) if out is None else Path(out).absolute()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"A run folder must be writable, but {error.filename} is not: {error.strerror}. "
            "Choose another with out= or --out."
        ) from error
    if not os.access(folder, os.W_OK):
        raise JournalError(
            f"A run folder must be writable, but {folder} is read-only. Choose another with out= "
            "or --out."
        )
    return folder


def _new_folder(task: object) -> Path:
    """Makes ``runs/<task>-<time>``, or that with a number: no other search has it."""
    name = task.name if isinstance(task, Task) else task if isinstance(task, str) else "search"
    runs = Path("runs").absolute()
    runs.mkdir(exist_ok=True)
    first = f"{Path(name).stem}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    for ending in chain([""], map("-{}".format, count(2))):
        folder = runs / (first + ending)
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("there is always another number")


@contextmanager
def _journal(given: str | Path | Journal | None, folder: Path) -> Iterator[Journal]:
    if isinstance(given, Journal):
        yield given
        return
    with open_journal(folder / "journal.db" if given is None else given) as journal:
        yield journal


class _Search:
    """One call of :func:`search`: enter, prepare, loop, hand over, leave."""

    def __init__(
        self,
        setup: Setup,
        journal: Journal,
        executor: Executor | None,
        workers: int | None,
        progress: Callable[[Snapshot], None],
        begun: float,
        together: int,
    ) -> None:
        self._setup = setup
        self._journal = journal
        self._executor = executor
        self._workers = workers
        self._together = together
        self._progress = progress
        self._begun, self._ready = begun, time.time()
        self._me = Me()
        self._chosen: _handover.Chosen | None = None

    def run(self) -> Result:
        if self._opened():
            state = fold(self._journal)
            if not self._written():
                self._write(state)
            return self._result(state)
        try:
            state = self._search()
        finally:
            self._journal.append(self._me.event("left"))
        return self._result(state)

    def _opened(self) -> bool:
        """Joins the journal, as the first or after others; returns whether all is done."""
        log = self._journal
        with log.exclusive():
            first = next(iter(log.read()), None)
            if first is None:
                opened = self._me.event("opened", **opening(self._setup))
                log.append({**opened, "at": self._begun})
            else:
                self._setup.check_same(first[1])
            if self._event("done") is not None:
                return True
            entered = self._me.entered(self._setup.budget.to_json())
            log.append({**entered, "at": self._begun})
        return False

    def _event(self, kind: str) -> dict[str, Any] | None:
        """The first event of a kind, if there is one."""
        events = (event for _, event in self._journal.read())
        return next((event for event in events if event["kind"] == kind), None)

    def _search(self) -> SearchState:
        setup = self._setup
        self._say("preflight", "checking the space and measuring how fast networks train")
        # The workers start while the space is being checked here.
        with self._pool(self._workers or cores()) as pool:
            plan, reference = self._planned(pool)
            together = self._at_once(plan)
            told = self._progress
            loop = Loop(setup, plan, reference, self._journal, self._me, pool, told, together)
            loop.run()
        with loop.interruptible(), self._alive():
            self._end(loop)
        return loop.state

    def _at_once(self, plan: Plan) -> int:
        """How many networks a worker trains at once: one, where they cannot be stacked."""
        if self._together == 1 or (_on_the_processor() and plan.precision == "fp32"):
            return self._together
        self._say(
            "preflight",
            f"together={self._together} has no effect: networks are trained at once on the "
            "processor and in fp32 alone",
        )
        return 1

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Gives signs of life while a network is exported and verified, which may take minutes."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(LEASE / 4):
                with suppress(JournalError):  # who writes the end is told of it
                    self._journal.append(self._me.event("alive"))

        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        try:
            yield
        finally:
            over.set()
            heart.join()

    @contextmanager
    def _pool(self, workers: int) -> Iterator[Executor]:
        """A user's executor stays open; our own ends with the loop, whatever ends that."""
        if self._executor is not None:
            yield self._executor
            return
        log = self._setup.folder / "workers.log"
        pool = WorkerPool(workers, shared=self._setup.bench, log=log)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)

    def _planned(self, pool: Executor) -> tuple[Plan, Architecture | None]:
        """The plan and the reference that the first process decided on, or decides on now."""
        planned = self._event("planned")
        if planned is None:
            made, hand_made = preflight(
                self._setup,
                pool,
                workers=self._workers,
                stacked=self._together > 1 and _on_the_processor(),
                begun=self._begun,
                ready=self._ready,
            )
            reference = None if hand_made is None else hand_made.to_json()
            with self._journal.exclusive():
                # Another process may have been quicker; its plan holds for all.
                planned = self._event("planned")
                if planned is None:
                    planned = self._me.event("planned", plan=made.to_json(), reference=reference)
                    self._journal.append(planned)
        plan, known = Plan.from_json(planned["plan"]), planned["reference"]
        hand_made = None if known is None else Architecture.from_json(known)
        # How many trials run side by side is each process's own affair.
        if self._workers:
            plan = replace(plan, workers=self._workers)
        elif self._executor is None:
            plan = replace(plan, workers=min(plan.workers, cores()))
        return plan, hand_made

    # The end

    def _end(self, loop: Loop) -> None:
        """Hands over, unless another process does so or has."""
        if loop.interrupted:
            self._hand_over_what_there_is(loop)
        elif self._setup.trains:
            while self._someone_else_hands_over(loop):
                time.sleep(_POLL)
            if loop.state.done:
                self._write(loop.state)  # Its run folder may be another one.
            else:
                self._hand_over(loop)
        else:
            self._journal.append(self._me.event("done"))
            loop.sync()
            self._write(loop.state)

    def _someone_else_hands_over(self, loop: Loop) -> bool:
        if loop.interrupted:  # while it waits: there is nothing of its own to finish
            raise KeyboardInterrupt
        with self._journal.exclusive():
            loop.sync()
            by = loop.state.handing
            if loop.state.done or by == self._me.name:
                return False
            if by is not None and loop.state.alive(by, time.time()):
                return True
            self._journal.append(self._me.event("handing"))
            loop.sync()
            return False

    def _hand_over(self, loop: Loop) -> None:
        setup, log = self._setup, self._journal
        loop.show("the winner is measured, tested, exported and verified", phase="handover")
        try:
            chosen = _handover.choose(setup, loop.finals, loop.state)
            if chosen is None:
                self._write(loop.state)
                raise _without_result(loop.state, setup.folder)
        except OgiveError:
            log.append(self._me.event("reopened"))  # With more of the budget it may go on.
            raise
        self._chosen = chosen
        if loop.state.tested is None:
            told = _handover.test(setup, loop.finals, loop.state, chosen)
            log.append(self._me.event("tested", **told))
            loop.sync()
        summary = summary_of(loop.state, setup.folder)
        try:
            exported = _handover.export(setup, chosen, summary)
        except BundleError:
            best = best_of(chosen.trial, chosen.costs)
            self._write(loop.state, {"status": "interrupted", "best": best})
            raise
        handed = {
            "number": chosen.trial.number,
            "weights": chosen.final.number,
            "costs": chosen.costs,
            "bundle": exported,
            "graph": _handover.graph(setup, chosen),
        }
        log.append(self._me.event("handed", **handed))
        log.append(self._me.event("done"))
        loop.sync()
        self._write(loop.state)
        loop.show(phase="done")

    def _hand_over_what_there_is(self, loop: Loop) -> None:
        """The best so far, exported and verified; the test split stays sealed."""
        extra: dict[str, Any] = {"status": "interrupted"}
        if self._setup.trains:
            chosen = None
            with suppress(LimitError):  # Another one may be within the limits at the end.
                chosen = _handover.choose(self._setup, loop.finals, loop.state)
            if chosen is not None:
                self._chosen = chosen
                summary = {**summary_of(loop.state, self._setup.folder), **extra}
                extra["best"] = best_of(chosen.trial, chosen.costs)
                with suppress(BundleError):  # It is said at the end, if it holds for the winner.
                    extra["bundle"] = _handover.export(self._setup, chosen, summary)
                extra["graph"] = _handover.graph(self._setup, chosen)
        self._write(loop.state, extra)

    def _write(self, state: SearchState, extra: Mapping[str, Any] | None = None) -> None:
        summary = text.finite(summary_of(state, self._setup.folder, extra))
        written = json.dumps(summary, indent=1)
        write_whole(self._setup.folder / "summary.json", lambda part: part.write_text(written))
        _handover.write_report(summary, self._setup.folder)

    def _written(self) -> bool:
        """Whether the summary says that the search is complete; a kill may have come before."""
        try:
            summary = json.loads((self._setup.folder / "summary.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(summary["status"] == "complete")

    def _result(self, state: SearchState) -> Result:
        folder = self._setup.folder
        summary = json.loads((folder / "summary.json").read_text())
        best = summary["best"]
        bundle = summary["bundle"]
        if self._chosen is None and state.done and state.handed is not None:
            with suppress(FileNotFoundError):  # In the run folder of another process.
                self._chosen = _handover.handed_over(self._setup, state)
        return Result(
            status=summary["status"],
            best=None if best is None else state.trials[best["number"]],
            summary=summary,
            folder=folder,
            report=folder / "report.html",
            bundle=Path(bundle["path"]) if bundle else None,
            _setup=self._setup,
            _state=state,
            _chosen=self._chosen,
        )

    def _say(self, phase: Phase, message: str) -> None:
        self._progress(
            Snapshot(
                phase=phase,
                used=time.time() - self._begun,
                total=self._setup.budget.seconds,
                trials_total=self._setup.budget.trials,
                counts={},
                best=None,
                objectives=self._setup.objectives.names,
                running=(),
                message=message,
            )
        )


def _without_result(state: SearchState, folder: Path) -> OgiveError:
    failed = Counter(t.error or "" for t in state.trials.values() if t.state == "failed")
    if not failed:
        return BudgetError(
            "A budget must reach for one training besides the checks and the export, but it ended "
            f"with {len(state.trials)} trials begun and none complete. Give more, or lower the "
            "load of the machine."
        )
    reason, count = failed.most_common(1)[0]
    return TrialFailed(
        f"A search needs one trial that completes, but of {len(state.trials)} none did. The most "
        f"frequent reason ({count} times): {reason} The rest is in {folder / 'report.html'}."
    )
