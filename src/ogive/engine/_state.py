"""What a journal's events add up to. A search keeps nothing else."""

from __future__ import annotations

import math
import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from ogive.engine._objectives import Objectives
from ogive.errors import TrialFailed
from ogive.space import Architecture
from ogive.trial import Proposal, Role, State, Trial

__all__ = ["LEASE", "Clock", "Me", "SearchState", "best_first", "ended", "started"]

LEASE = 60.0
"""Seconds without a sign of life after which a process's trials are taken over."""


@dataclass(frozen=True, slots=True)
class Me:
    """This process, as others see it in the journal."""

    name: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    born: float = field(default_factory=lambda: psutil.Process().create_time())

    def event(self, kind: str, **more: Any) -> dict[str, Any]:
        """Returns an event that says who wrote it, and when."""
        return {"kind": kind, "process": self.name, "at": time.time(), **more}

    def entered(self, budget: Mapping[str, Any]) -> dict[str, Any]:
        """The event with which a process joins, and says what budget it was given."""
        who = {"host": self.host, "pid": self.pid, "born": self.born}
        return self.event("entered", budget=dict(budget), **who)


@dataclass(slots=True)
class _Process:
    """Another process, or this one, by its signs of life."""

    host: str
    pid: int
    born: float
    first: float
    last: float
    left: bool = False

    def alive(self, now: float) -> bool:
        if self.left:
            return False
        if self.host != socket.gethostname():
            return now - self.last <= LEASE
        # On this machine one can look: a process that was stopped for a while is not dead, and one
        # that is dead need not be waited for.
        try:
            born: float = psutil.Process(self.pid).create_time()
            return abs(born - self.born) < 2
        except psutil.Error:
            return False


class Clock:
    """The time during which at least one process worked on the search."""

    def __init__(self) -> None:
        self._spans: dict[str, list[float]] = {}

    def seen(self, process: str, at: float) -> None:
        span = self._spans.setdefault(process, [at, at])
        span[1] = max(span[1], at)

    def used(self, me: str | None = None, now: float = 0.0) -> float:
        """Seconds of the union of all spans; ``me`` is at work until ``now``."""
        spans = sorted(
            (first, max(last, now) if name == me else last)
            for name, (first, last) in self._spans.items()
        )
        total, end = 0.0, float("-inf")
        for first, last in spans:
            total += max(0.0, last - max(first, end))
            end = max(end, last)
        return total

    def at(self, moment: float) -> float:
        """Seconds of the search that had passed at ``moment``."""
        earlier = Clock()
        for name, (first, last) in self._spans.items():
            if first <= moment:
                earlier._spans[name] = [first, min(last, moment)]
        return earlier.used()


@dataclass(slots=True)
class SearchState:
    """The fold of a journal.

    Attributes:
        objectives: Turns what was measured into values.
        opened: The first event: for what space, task and strategy the journal was written.
        planned: How the budget is shared out, once known, and the reference.
        budget: What the process that joined last was given.
        trials: By number; running ones among them.
        owners: Number of a running trial → the process that runs it.
        spans: Number → when it started and ended, in seconds since 1970.
        order: Numbers of the trials that ended, in that order.
        known: Number → how many trials had ended when it started.
        closed: Whether the strategy is no longer asked.
        tested: What the sealed test split said, once it was opened.
        handed: The result of the export, once it is done.
        done: Whether nothing is left to do.
    """

    objectives: Objectives
    opened: dict[str, Any] | None = None
    planned: dict[str, Any] | None = None
    budget: dict[str, Any] = field(default_factory=dict)
    trials: dict[int, Trial] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    spans: dict[int, list[float]] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    known: dict[int, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    stopped: int = 0
    epochs: float = 0.0
    closed: str | None = None
    tested: dict[str, Any] | None = None
    handing: str | None = None
    handed: dict[str, Any] | None = None
    done: bool = False
    clock: Clock = field(default_factory=Clock)
    processes: dict[str, _Process] = field(default_factory=dict)
    _best: Trial | None = None

    def apply(self, event: Mapping[str, Any]) -> Trial | None:
        """Takes the next event in.

        Returns:
            The trial that it changed, if it did.
        """
        process, at = event.get("process"), event.get("at", 0.0)
        if process is not None:
            self.clock.seen(process, at)
            if process in self.processes:
                self.processes[process].last = max(at, self.processes[process].last)
        match event["kind"]:
            case "opened":
                self.opened = dict(event)
            case "entered":
                self._give(event["budget"])
                self.processes[event["process"]] = _Process(
                    event["host"], event["pid"], event["born"], at, at
                )
            case "left":
                self.processes[event["process"]].left = True
            case "planned":
                self.planned = dict(event)
            case "started":
                return self._start(event)
            case "taken":
                self.owners[event["number"]] = event["process"]
                self.spans[event["number"]] = [at, at]
            case "ended":
                return self._end(event)
            case "closed":
                self.closed = event["reason"]
            case "reopened":
                self.closed = self.handing = None
            case "tested":
                self.tested = dict(event)
            case "handing":
                self.handing = event["process"]
            case "handed":
                self.handed = dict(event)
            case "done":
                self.done = True
        return None

    def _give(self, budget: dict[str, Any]) -> None:
        """With more of what had closed the search it goes on, unless its end is being written."""
        name = "seconds" if self.closed == "time" else self.closed
        before = None if name is None else self.budget.get(name)
        now = budget.get(str(name))
        more = before is not None and (now is None or now > before)
        if more and self.tested is None and self.handing is None:
            self.closed = None
        self.budget = budget

    def _start(self, event: Mapping[str, Any]) -> Trial:
        trial = Trial(
            event["number"],
            Proposal.from_json(event["proposal"]),
            role=event.get("role", "search"),
        )
        self.trials[trial.number] = trial
        self.owners[trial.number] = event["process"]
        self.spans[trial.number] = [event["at"], event["at"]]
        self.known[trial.number] = len(self.order)
        self.counts["running"] += 1
        return trial

    def _end(self, event: Mapping[str, Any]) -> Trial | None:
        running = self.trials[event["number"]]
        if running.ended:  # A process that was thought dead came back: the first word counts.
            return None
        metrics, costs = event.get("metrics", {}), event.get("costs", {})
        state: State = event["state"]
        error = event.get("error")
        values: tuple[float, ...] = ()
        if state == "complete":
            try:
                values = self._objectives_of(running.role, {**metrics, **costs})
            except TrialFailed as failure:
                state, error = "failed", str(failure)
        trial = replace(
            running,
            state=state,
            values=values,
            metrics=metrics,
            costs=costs,
            curve=tuple(event.get("curve", ())),
            error=error,
            seconds=event.get("seconds", 0.0),
        )
        self.trials[trial.number] = trial
        self.owners.pop(trial.number, None)
        self.spans[trial.number][1] = event["at"]
        self.order.append(trial.number)
        self.counts["running"] -= 1
        self.counts[trial.state] += 1
        self.stopped += trial.stopped_at is not None
        self._note_best(trial)
        self.epochs += metrics.get("epochs", 0.0)
        return trial

    def _note_best(self, trial: Trial) -> None:
        """Keeps the best at hand, so that showing it does not cost a look at every trial."""
        if trial.state != "complete" or trial.role == "final" or trial.stopped_at is not None:
            return
        if self._best is None or self._mark(trial) > self._mark(self._best):
            self._best = trial

    def _mark(self, trial: Trial) -> tuple[bool, bool, float]:
        return not self._guessed(trial), trial.fidelity == 1, trial.value

    def _guessed(self, trial: Trial) -> bool:
        """Whether an estimator of one's own says how good it is, and no training."""
        return self.estimated and trial.role == "search"

    def _objectives_of(self, role: Role, measured: Mapping[str, float]) -> tuple[float, ...]:
        if role == "final":  # It has no validation split left to be measured on.
            return ()
        if role != "search" and self.estimated:
            measured = {**self._instead(measured), **measured}
        return self.objectives.values(measured)

    def _instead(self, measured: Mapping[str, float]) -> dict[str, float]:
        """The task's metric for each objective: what an estimator measures, a training may not."""
        metric = self._metric
        if metric is None or metric not in measured:
            return {}
        upward = measured[metric] if self._metrics.get(metric, True) else -measured[metric]
        return {
            **dict.fromkeys(self.objectives.maximize, upward),
            **dict.fromkeys(self.objectives.minimize, -upward),
        }

    @property
    def _task(self) -> Mapping[str, Any]:
        return (self.opened or {}).get("task") or {}

    @property
    def _metric(self) -> str | None:
        """The task's."""
        metric: str | None = self._task.get("metric")
        return metric

    @property
    def _metrics(self) -> Mapping[str, bool]:
        """Those that a training measures, and whether they are better when large."""
        metrics: Mapping[str, bool] = self._task.get("metrics", {})
        return metrics

    @property
    def estimated(self) -> bool:
        """Whether the search asks an estimator of one's own, and the finals alone train."""
        return self.opened is not None and self.opened["identity"].get("estimator") is not None

    @property
    def judged(self) -> str:
        """The metric by which trainings are told apart."""
        goal = self.objectives.names[0]
        if not self.estimated or goal in self._metrics:
            return goal
        return self._metric or goal

    def role(self, *roles: Role) -> list[Trial]:
        """The trials of these roles, by number."""
        return [trial for trial in self.trials.values() if trial.role in roles]

    def running(self, *roles: Role) -> list[Trial]:
        """The trials of these roles that have not ended."""
        return [
            t for t in map(self.trials.__getitem__, self.owners) if not roles or t.role in roles
        ]

    def orphans(self, me: str, now: float) -> list[Trial]:
        """Running trials whose process is dead, has left or has let its lease run out: not mine."""
        return [
            self.trials[number]
            for number, owner in self.owners.items()
            if owner != me and not self.processes[owner].alive(now)
        ]

    def alive(self, process: str, now: float) -> bool:
        return process in self.processes and self.processes[process].alive(now)

    def before(self, number: int) -> list[Trial]:
        """The trials that had ended when this one started, in that order."""
        return [self.trials[n] for n in self.order[: self.known[number]]]

    @property
    def spent_trials(self) -> int:
        """Trainings begun; what a limit ruled out before training costs nothing."""
        return len(self.trials) - self.counts["rejected"]

    def ranked(self) -> list[Trial]:
        """Complete search trials, one an architecture (its longest training), best first.

        One that was stopped has the place that it was expected to end at.
        """
        longest: dict[str, Trial] = {}
        for trial in self.role("search"):
            known = longest.get(trial.architecture.key)
            if trial.state == "complete" and (known is None or trial.fidelity > known.fidelity):
                longest[trial.architecture.key] = trial
        return best_first(longest.values())

    def inherits(self, trial: Trial) -> Architecture | None:
        """The architecture whose weights a trial began with, where it is another one."""
        if trial.proposal.parent is None:
            return None
        other = self.trials[trial.proposal.parent].architecture
        return None if other == trial.architecture else other

    def in_full(self, trial: Trial) -> bool:
        """Whether a trial was trained in full and by itself; an heir has its parents' training."""
        return trial.in_full and self.inherits(trial) is None and not self._guessed(trial)

    def full(self) -> list[Trial]:
        """Complete trials that were trained in full, the reference among them, best first."""
        trials = self.role("finalist", "reference", "search")
        return best_first(t for t in trials if self.in_full(t))

    def played(self) -> dict[Architecture, Trial]:
        """Complete playoffs; each is its architecture's longest training on the training split."""
        return {t.architecture: t for t in self.role("playoff") if t.state == "complete"}

    def best(self) -> Trial | None:
        """The best trial so far; one that was trained in full comes before any other."""
        return self._best


def best_first(trials: Iterable[Trial]) -> list[Trial]:
    """Sorts by the first objective and, as few samples often leave a tie, by the lower loss."""

    def rank(trial: Trial) -> tuple[float, float]:
        return trial.value, -trial.metrics.get("loss", math.inf)

    return sorted(trials, key=rank, reverse=True)


def started(me: Me, number: int, proposal: Proposal, role: Role) -> dict[str, Any]:
    """The event before a trial runs."""
    return me.event("started", number=number, proposal=proposal.to_json(), role=role)


def ended(me: Me, number: int, state: State, **more: Any) -> dict[str, Any]:
    """The event after it ran."""
    return me.event("ended", number=number, state=state, **more)
