"""Strategies side by side on a table, over many seeds and in several processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from ogive import strategies as known
from ogive.bench._figures import Curves, Goal, area, curves, goal, standard_error
from ogive.bench._read import read
from ogive.bench._run import Protocol, ProtocolName, Trace, run
from ogive.bench._table import Table
from ogive.errors import SettingError, did_you_mean
from ogive.executors import SerialExecutor, WorkerPool, cores
from ogive.space import PoolSpace, SearchSpace
from ogive.strategies import Strategy

__all__ = ["Comparison", "Contender", "Contenders", "Progress", "compare", "contenders"]

Contender = Callable[[SearchSpace], Strategy]
"""Makes a fresh strategy for a space."""

Contenders = Iterable[str] | Mapping[str, str | Contender]

Progress = Callable[[str], None]
"""Is told the name of a strategy each time that one of its seeds has ended."""

_PROTOCOLS: tuple[ProtocolName, ...] = ("queries", "time", "objectives")


@dataclass(frozen=True)
class Comparison:
    """How strategies did.

    Attributes:
        table: On what.
        protocol: By which rules.
        seeds: Which.
        traces: Of each strategy, one a seed.
        at: What may have been spent where figures are given; the budget is the last.
    """

    table: Table
    protocol: Protocol
    seeds: tuple[int, ...]
    traces: Mapping[str, Sequence[Trace]]
    at: tuple[float, ...]

    @cached_property
    def goal(self) -> Goal:
        """What could be had."""
        return goal(self.table, self.protocol)

    @cached_property
    def curves(self) -> dict[str, Curves]:
        """Of each strategy, the best so far by what was spent."""
        return {n: curves(self.table, self.protocol, traces) for n, traces in self.traces.items()}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The figures of each strategy at the end of the budget, as JSON.

        ``signal_mean`` is the mean over the seeds of the best signal, ``report_mean`` that of the
        reported column of the architecture which has it, ``_se`` is a standard error and ``_sd`` a
        standard deviation; ``after`` has the same where less was spent. ``queries`` are the
        trainings that were begun, ``median_until_best`` and ``median_until_top`` what was spent
        until the best or one of the 16 best architectures was found, by half of the seeds.
        """
        return [self._row(name, traces) for name, traces in self.traces.items()]

    def _row(self, name: str, traces: Sequence[Trace]) -> dict[str, Any]:
        shown = self.curves[name]
        queries = sum(len(trace.rows) for trace in traces) / len(traces)
        return {
            "strategy": name,
            "queries": int(queries) if queries == int(queries) else queries,
            "seeds": len(traces),
            **self._after(shown, self.protocol.budget),
            "seconds_per_proposal": sum(trace.thinking for trace in traces) / len(traces),
            "median_until_best": float(np.median(shown.until(self.goal.signal))),
            "median_until_top": float(np.median(shown.until(self.goal.top))),
            "after": [{"spent": spent, **self._after(shown, spent)} for spent in self.at],
        }

    def _after(self, shown: Curves, spent: float) -> dict[str, float]:
        figures = shown.after(spent)
        return {**figures, "regret_mean": self.goal.signal - figures["signal_mean"]}

    @property
    def summary(self) -> dict[str, Any]:
        """Everything that a report shows, as JSON."""
        return {
            "table": self.table.name,
            "benchmark": self.table.benchmark,
            "architectures": len(self.table),
            "protocol": self.protocol.name,
            "signal": self.protocol.signal.column,
            "report": self.protocol.report,
            "cost": self.protocol.cost,
            "budget": self.protocol.budget,
            "at": list(self.at),
            "seeds": list(self.seeds),
            "goal": {"signal": self.goal.signal, "report": self.goal.report},
            "rows": self.rows,
            "curves": {name: _drawn(shown) for name, shown in self.curves.items()},
        }


def _drawn(shown: Curves) -> dict[str, list[float]]:
    return {
        "at": shown.at.tolist(),
        "signal_mean": shown.signal.mean(axis=0).tolist(),
        "signal_se": standard_error(shown.signal).tolist(),
        "report_mean": shown.report.mean(axis=0).tolist(),
        "report_se": standard_error(shown.report).tolist(),
    }


def compare(
    table: Table | str | Path,
    strategies: Contenders,
    *,
    protocol: ProtocolName = "queries",
    queries: int | None = None,
    seconds: float | None = None,
    signal: str | None = None,
    report: str | None = None,
    cost: str | None = None,
    seeds: int | Iterable[int] = 50,
    at: Iterable[float] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Runs strategies on a benchmark table, each with many seeds.

    The same seeds give the same trials, whatever the number of workers.

    Args:
        table: A table, or the file of one.
        strategies: Names with settings, such as ``evolution:population=50,sample=25`` or
            ``bo:features=@c10_synflow+c10_nwot`` (columns of the table as side information); or
            functions that make a strategy for a space, by what to call them.
        protocol: ``queries``: the best signal by the number of full trainings; ``time``: that of
            NAS-Bench-201's paper, a signal after 12 epochs by the seconds that the trainings
            took; ``objectives``: hypervolume of signal and cost by the number of trainings.
        queries: The budget in full trainings, 300 by default; not of ``time``.
        seconds: The budget of ``time``, 12,000 by default.
        signal: The column that strategies are told, larger is better; the table's own default
            without it.
        report: The column that is reported of what has the best signal.
        cost: The column to make small, of ``objectives``.
        seeds: How many, from 0, or which.
        at: What may have been spent where figures are given.
        workers: Processes side by side; one a core if not given.
        progress: Is called as each seed of each strategy ends.

    Raises:
        TaskError: If the file is no table.
        SettingError: If a strategy, a column or another argument is not known or out of range.
    """
    table = table if isinstance(table, Table) else read(table)
    rules = _protocol(table, protocol, queries, seconds, signal, report, cost)
    made = contenders(strategies, table, rules)
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not numbers:
        raise SettingError("A comparison needs at least one seed, but got none. Ask for 50.")
    for make in made.values():  # What is wrong is said before the others have run for hours.
        known.check_weighs(make(_space(table, rules)), 1 + (rules.cost is not None))
    marks = _marks(rules, at)
    traces = _played(table, rules, made, numbers, workers or cores(), progress)
    return Comparison(table, rules, numbers, traces, marks)


def _protocol(
    table: Table,
    name: ProtocolName,
    queries: int | None,
    seconds: float | None,
    signal: str | None,
    report: str | None,
    cost: str | None,
) -> Protocol:
    if name not in _PROTOCOLS:
        raise SettingError(
            f"A protocol must be a known one, but got {name!r}.{did_you_mean(name, _PROTOCOLS)}"
        )
    budgets: dict[str, float | None] = {"queries": queries, "seconds": seconds}
    unit, usual = ("seconds", 12_000) if name == "time" else ("queries", 300)
    asked = budgets.pop(unit)
    for other, value in budgets.items():
        if value is not None:
            raise SettingError(
                f"The protocol {name!r} has a budget of {unit}, but was given {other}={value}. "
                f"Give {unit}."
            )
    told = signal or table.defaults["quick" if name == "time" else "signal"]
    known_as = table.signal(told)
    shown = report or table.report_of(told)
    for column in (told, shown):
        if not np.isfinite(table.column(column)).any():
            raise SettingError(
                f"A column to compare by must have numbers, but {column!r} of {table.name!r} has "
                "none. Name another one."
            )
    if name == "time":
        for rung in known_as.rungs:
            if rung.seconds is None or not (rung.seconds >= 0).all():
                raise SettingError(
                    "The protocol 'time' needs the seconds that trainings took, but "
                    f"{table.name!r} has {'none' if rung.seconds is None else 'not all'} of "
                    f"{told!r}. docs/bench.md has their columns; 'queries' does without."
                )
    if name == "objectives":
        cost = cost or table.defaults["cost"]
        table.column(cost)
        for column in (told, shown):
            if not area(table, column, cost).whole > 0:
                raise SettingError(
                    "Two objectives need architectures of which some are better than the worst in "
                    f"both, but {table.name!r} has none by {column!r} and {cost!r}. Name another "
                    "column."
                )
    elif cost is not None:
        raise SettingError(
            f"Only the protocol 'objectives' looks at a cost, but {name!r} was given {cost!r}."
        )
    budget = usual if asked is None else asked
    if not 0 < budget < math.inf:
        raise SettingError(f"A budget must be positive and finite, but got {budget}.")
    if name == "time":
        longest = max(rung.seconds.max() for rung in known_as.rungs if rung.seconds is not None)
        if budget < longest:
            raise SettingError(
                f"The seconds of a run must suffice for any training, of which the longest takes "
                f"{longest:.1f} s, but got seconds={budget:g}."
            )
    return Protocol(name, known_as, shown, float(budget), cost)


def _marks(protocol: Protocol, at: Iterable[float] | None) -> tuple[float, ...]:
    if at is None:
        budget = protocol.budget
        at = (budget / 4, budget / 2) if protocol.name == "time" else (25, 50, 100)
    return (*(mark for mark in sorted(set(at)) if 0 < mark < protocol.budget), protocol.budget)


# Strategies by name


def contenders(strategies: Contenders, table: Table, protocol: Protocol) -> dict[str, Contender]:
    """Returns strategies by what to call them.

    Raises:
        SettingError: If a text cannot be read, or a strategy stands twice.
    """
    if isinstance(strategies, str):
        strategies = [strategies]
    if not isinstance(strategies, Mapping):
        texts = list(strategies)
        if twice := {text for text in texts if texts.count(text) > 1}:
            raise SettingError(f"A strategy is compared once, but {twice.pop()!r} stands twice.")
        strategies = dict(zip(texts, texts, strict=True))
    if not strategies:
        raise SettingError(
            f"A comparison needs a strategy, but got none. Known: {', '.join(known.STRATEGIES)}."
        )
    return {
        name: _Named.read(given, table, protocol) if isinstance(given, str) else given
        for name, given in strategies.items()
    }


@dataclass(frozen=True)
class _Named:
    """A strategy by its name and settings."""

    name: str
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, text: str, table: Table, protocol: Protocol) -> _Named:
        """Reads ``name:setting=value,…``; ``@column+column`` are columns as side information."""
        name, texts = known.written(text)
        settings = {
            setting: table.features(value[1:].split("+"))
            if value.startswith("@")
            else known.value_of(value)
            for setting, value in texts.items()
        }
        if name == "auto":
            settings = (
                known.Auto.asked(
                    objectives=1 + (protocol.cost is not None),
                    fidelities=len(protocol.signal.rungs) > 1,
                    trials=None if protocol.name == "time" else protocol.budget,
                )
                | settings
            )
        return cls(name, settings)

    def __call__(self, space: SearchSpace) -> Strategy:
        return known.by_name(self.name, space, **self.settings)


# Running


def _played(
    table: Table,
    protocol: Protocol,
    made: Mapping[str, Contender],
    seeds: Sequence[int],
    workers: int,
    progress: Progress | None,
) -> dict[str, list[Trace]]:
    workers = min(workers, len(made) * len(seeds))
    executor: Executor = WorkerPool(workers, shared=table) if workers > 1 else SerialExecutor()
    try:
        futures: dict[str, list[Future[Trace]]] = {name: [] for name in made}
        for name, make in made.items():
            for seed in seeds:
                future = executor.submit(_play, table, protocol, make, seed)
                if progress is not None:
                    future.add_done_callback(partial(_told, progress, name))
                futures[name].append(future)
        return {name: [f.result() for f in of_name] for name, of_name in futures.items()}
    finally:
        executor.shutdown(cancel_futures=True)


def _told(progress: Progress, name: str, _: Future[Trace]) -> None:
    progress(name)


def _play(table: Table, protocol: Protocol, make: Contender, seed: int) -> Trace:
    # A space may compare or encode all that it holds when it is first asked. No proposal pays.
    space, first = _space(table, protocol), table.architectures[0]
    space.canonical(first)
    next(iter(space.neighbours(first, Random(0))), None)
    return run(table, protocol, make(space), seed)


def _space(table: Table, protocol: Protocol) -> SearchSpace:
    """What strategies search.

    By cost, cells that compute the same are not equal: branches that contribute nothing were
    measured with the rest (the latencies of equal cells of NAS-Bench-201 differ by 10 %).
    """
    space = table.space
    if protocol.cost is None or isinstance(space, PoolSpace):
        return space
    return SearchSpace(space.decisions, name=space.name, graph=space.graph)
