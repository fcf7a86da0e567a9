"""Benchmark tables: what every architecture of a space is worth, known in advance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ogive.errors import ArchitectureError, SettingError, did_you_mean
from ogive.space import Architecture, SearchSpace

__all__ = ["Column", "Rung", "SideInformation", "Signal", "Table"]

Column = NDArray[np.float64]
"""A number for each row of a table."""


class _Asked(Protocol):
    """What a table reads of :class:`ogive.estimators.Run`, whose package needs torch."""

    @property
    def fidelity(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Rung:
    """A signal after a training of some length.

    Attributes:
        epochs: How long the training is.
        column: Where it is written down.
        seconds: What the training took, with the evaluation at its end, a row each, where the
            table knows.
    """

    epochs: float
    column: str
    seconds: Column | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Signal:
    """What a strategy is told of an architecture: a column, and the same after fewer epochs.

    Attributes:
        rungs: From the shortest training to the full one.
    """

    rungs: tuple[Rung, ...]

    @property
    def column(self) -> str:
        return self.rungs[-1].column

    @property
    def epochs(self) -> float:
        """Of a full training."""
        return self.rungs[-1].epochs

    def at(self, fidelity: float) -> Rung:
        """Returns the longest training that a share of the full one pays for, or the shortest."""
        paid = fidelity * self.epochs * (1 + 1e-6)
        return next((rung for rung in reversed(self.rungs) if rung.epochs <= paid), self.rungs[0])


@dataclass(frozen=True)
class Table:
    """A benchmark table; :func:`ogive.bench.read` reads one.

    It is an estimator too: ``ogive.search(table.space, estimator=table, maximize=column)`` looks
    architectures up instead of training them.

    Attributes:
        name: What it is called in reports: the name of its file.
        benchmark: Which benchmark it is a table of.
        space: Its architectures; a pool of them where the table does not hold all.
        architectures: Of the rows, in order.
        columns: Numbers by name, a row an architecture; accuracies as the file has them.
        signals: Of some columns, what is known of them after fewer epochs, and what they took.
        defaults: Names of columns by what they are for: ``signal``, ``quick`` (the signal of a
            short training) and ``cost``.
        reports: What is reported beside a signal, by what the signal's name begins with; beside
            others the first.
    """

    name: str
    benchmark: str
    space: SearchSpace
    architectures: Sequence[Architecture] = field(repr=False)
    columns: Mapping[str, Column] = field(repr=False)
    signals: Mapping[str, Signal] = field(repr=False)
    defaults: Mapping[str, str]
    reports: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.architectures)

    def row(self, architecture: Architecture) -> int:
        """Returns the row of an architecture, or of the one in the table that is equal to it.

        Raises:
            ArchitectureError: If the table has none.
        """
        row = self._rows.get(architecture)
        if row is None:
            row = self._rows_of_forms.get(self.space.canonical(architecture))
        if row is None:
            raise ArchitectureError(
                f"An architecture must be in the table, but {self.name!r} does not hold "
                f"{dict(architecture)}. Take it from table.space."
            )
        return row

    @cached_property
    def _rows(self) -> dict[Architecture, int]:
        return {architecture: row for row, architecture in enumerate(self.architectures)}

    @cached_property
    def _rows_of_forms(self) -> dict[Architecture, int]:
        # From the last to the first, so that the first of equal ones stays.
        pairs = reversed(list(enumerate(self.architectures)))
        return {self.space.canonical(architecture): row for row, architecture in pairs}

    def column(self, name: str) -> Column:
        """Returns a column by its name.

        Raises:
            SettingError: If there is none of that name.
        """
        if name not in self.columns:
            raise SettingError(
                f"A column must be one of the table's, but {self.name!r} has no {name!r}."
                f"{did_you_mean(name, self.columns)}"
            )
        return self.columns[name]

    def signal(self, name: str) -> Signal:
        """Returns a column with what is known of it after fewer epochs.

        A column of which nothing else is known counts as one training.

        Raises:
            SettingError: If there is none of that name.
        """
        self.column(name)
        return self.signals.get(name) or Signal((Rung(1.0, name),))

    def report_of(self, signal: str) -> str:
        """Returns the column that is reported beside a signal: of the same data, if there is.

        Where the table has not the first of ``reports`` either, that is the signal itself.
        """
        begun = [report for data, report in self.reports.items() if signal.startswith(data)]
        meant = [*begun, next(iter(self.reports.values()))]
        return next((name for name in meant if name in self.columns), signal)

    def features(self, names: Iterable[str]) -> SideInformation:
        """Returns what some columns say of an architecture, as side information for a model.

        Each is the share of the table that is below, from 0 to 1: zero-cost proxies differ by many
        orders of magnitude. Where a column has no number, that of an equal architecture counts,
        or else the least.

        Raises:
            SettingError: If there is no such column.
        """
        numbers = np.column_stack([self._ranks(self.column(name)) for name in names])
        return SideInformation(self, numbers)

    def _ranks(self, column: Column) -> Column:
        known = {
            self.space.canonical(architecture): value
            for architecture, value in zip(self.architectures, column.tolist(), strict=True)
            if not math.isnan(value)
        }
        least = min(known.values(), default=0.0)
        filled = np.array(
            [
                known.get(self.space.canonical(architecture), least)
                if math.isnan(value)
                else value
                for architecture, value in zip(self.architectures, column.tolist(), strict=True)
            ]
        )
        return np.searchsorted(np.sort(filled), filled) / len(filled)

    def __call__(self, architecture: Mapping[str, Any], run: _Asked) -> dict[str, float]:
        """Looks an architecture up, as an estimator does.

        Args:
            architecture: One of the space.
            run: Its ``fidelity`` decides after how many epochs.

        Returns:
            Every column; those that are known after fewer epochs, after as many as were asked
            for.

        Raises:
            ArchitectureError: If the table does not hold it.
        """
        row = self.row(Architecture(architecture))
        found = {name: float(column[row]) for name, column in self.columns.items()}
        return found | {
            name: float(self.columns[signal.at(run.fidelity).column][row])
            for name, signal in self.signals.items()
        }


@dataclass(frozen=True, slots=True)
class SideInformation:
    """What is known of an architecture before any trial; see :meth:`Table.features`."""

    table: Table = field(repr=False)
    numbers: NDArray[np.float64] = field(repr=False)

    def __call__(self, architecture: Architecture) -> list[float]:
        found: list[float] = self.numbers[self.table.row(architecture)].tolist()
        return found
