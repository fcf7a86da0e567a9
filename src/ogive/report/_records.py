"""A summary read into records: every number is finite or None, every absent part has its default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ogive import text

JSON = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One trial. Times are in seconds since the search began.

    Of one that was stopped the goal's metric is what it was expected to end as.
    """

    number: int
    role: str
    state: str
    architecture: Mapping[str, Any]
    fidelity: float
    metrics: Mapping[str, float]
    costs: Mapping[str, float]
    curve: Sequence[Mapping[str, float]]
    error: str
    ended: float | None

    @property
    def stopped(self) -> bool:
        """Whether it was ended early, as it would not have reached the best."""
        return "stopped_at" in self.metrics

    def value(self, name: str) -> float | None:
        """A metric or a cost, or None where it was not measured."""
        return self.metrics.get(name, self.costs.get(name))

    @property
    def key(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((path, str(value)) for path, value in self.architecture.items()))


@dataclass(frozen=True, slots=True)
class Objective:
    """What the search optimised, and in which direction."""

    name: str
    greater: bool

    def oriented(self, value: float) -> float:
        """The value, turned so that larger is better."""
        return value if self.greater else -value


@dataclass(frozen=True, slots=True)
class Search:
    """All that the report tells of."""

    summary: JSON
    rows: Sequence[Row]
    objectives: Sequence[Objective]

    @property
    def goal(self) -> Objective:
        """The first objective: what the charts show."""
        return self.objectives[0]

    @property
    def own(self) -> Objective:
        """The task's metric: what tells of trainings where an estimator alone measures the goal."""
        task = self.part("task")
        name = str(task.get("metric"))
        return Objective(name, (task.get("metrics") or {}).get(name, True))

    @property
    def tried(self) -> list[Row]:
        """The strategy's own trials that have a score."""
        return [row for row in self.scored if row.role == "search"]

    @property
    def scored(self) -> list[Row]:
        return [
            r for r in self.rows if r.state == "complete" and r.value(self.goal.name) is not None
        ]

    @property
    def winner(self) -> Row | None:
        return self._row(self.part("best").get("number"))

    @property
    def reference(self) -> Row | None:
        return self._row(self.part("reference").get("number"))

    def part(self, name: str) -> JSON:
        """A part of the summary; empty where it is absent."""
        return self.summary.get(name) or {}

    def score(self, row: Row) -> float:
        """The row's value of the first objective; only for rows that have one."""
        value = row.value(self.goal.name)
        if value is None:
            raise ValueError(f"Trial {row.number} has no {self.goal.name}.")
        return value

    def _row(self, number: Any) -> Row | None:
        return next((row for row in self.rows if row.number == number), None)


def read(summary: JSON) -> Search:
    """Reads a summary, as ``ogive show --json`` prints it."""
    clean = text.finite(summary)
    task = clean.get("task") or {}
    objectives = [Objective(name, greater=True) for name in clean.get("maximize") or ()]
    objectives += [Objective(name, greater=False) for name in clean.get("minimize") or ()]
    objectives = objectives or [Objective(task.get("metric") or "accuracy", greater=True)]
    rows = [_row(trial, objectives[0].name) for trial in clean.get("trials") or ()]
    return Search(clean, rows, objectives)


def thin(rows: Sequence[Row], most: int, *, keep: Iterable[int] = ()) -> list[Row]:
    """At most ``most`` rows, evenly spread, and those with the numbers in ``keep``."""
    if len(rows) <= most:
        return list(rows)
    kept = set(keep)
    step = len(rows) / most
    kept.update(rows[int(index * step)].number for index in range(most))
    return [row for row in rows if row.number in kept]


def _row(trial: JSON, goal: str) -> Row:
    metrics = _numbers(trial.get("metrics"))
    if "stopped_at" in metrics:
        metrics[goal] = metrics["expected"]
    return Row(
        number=int(trial["number"]),
        role=trial.get("role") or "search",
        state=trial.get("state") or "running",
        architecture=trial.get("architecture") or {},
        fidelity=trial.get("fidelity") or 1.0,
        metrics=metrics,
        costs=_numbers(trial.get("costs")),
        curve=[_numbers(point) for point in trial.get("curve") or ()],
        error=str(trial.get("error") or ""),
        ended=trial.get("ended"),
    )


def _numbers(data: Any) -> dict[str, float]:
    numbers = ((n, value) for n, value in (data or {}).items() if isinstance(value, int | float))
    return {name: float(value) for name, value in numbers}
