"""One strategy on one table with one seed: the loop of a search, with look-ups for trainings."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from ogive._blas import one_blas_thread
from ogive.bench._table import Rung, Signal, Table
from ogive.errors import SettingError
from ogive.strategies import Strategy
from ogive.trial import Trial

__all__ = ["Protocol", "ProtocolName", "Trace", "run"]

ProtocolName = Literal["queries", "time", "objectives"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """What a strategy is told, what it may spend, and what is looked at.

    Attributes:
        name: ``queries``: the budget is in full trainings; a shorter one takes its share, one
            that goes on from a shorter one the rest. ``time``: it is in the seconds that the
            trainings took. ``objectives``: as ``queries``, with a second objective.
        signal: What the strategy is told, larger is better.
        report: The column that is reported of the architecture whose signal is best.
        budget: In full trainings or in seconds.
        cost: The column of the second objective, smaller is better.
    """

    name: ProtocolName
    signal: Signal
    report: str
    budget: float
    cost: str | None = None

    def price(self, rung: Rung, row: int) -> float:
        """What a training from scratch takes of the budget."""
        if self.name == "time":
            assert rung.seconds is not None
            return float(rung.seconds[row])
        return rung.epochs / self.signal.epochs


@dataclass(frozen=True, slots=True)
class Trace:
    """What a strategy tried, in order.

    Attributes:
        rows: Of the table.
        full: Whether it was a full training.
        spent: Of the budget, once it had ended.
        thinking: The mean seconds that a proposal took, with the telling of its trial.
    """

    rows: tuple[int, ...]
    full: tuple[bool, ...]
    spent: tuple[float, ...]
    thinking: float


def run(table: Table, protocol: Protocol, strategy: Strategy, seed: int) -> Trace:
    """Runs a strategy until its budget is spent or it has no more to propose.

    A training that would not end within the budget is not begun.
    """
    rows: list[int] = []
    full: list[bool] = []
    spent: list[float] = []
    rungs: dict[int, Rung] = {}
    total = thinking = 0.0
    while True:
        number = len(rows)
        begun = time.perf_counter()
        with one_blas_thread():
            proposals = strategy.ask(1, Random(f"{seed}:{number}"))
        thinking += time.perf_counter() - begun
        if not proposals:
            break
        trial = Trial(number, proposals[0])
        row, rung = table.row(trial.architecture), protocol.signal.at(trial.fidelity)
        total += protocol.price(rung, row)
        if trial.proposal.parent is not None:
            if rows[trial.proposal.parent] != row:
                raise SettingError(
                    "A table knows of no inherited weights, but the strategy proposes them. "
                    "Compare it without, as with inherit=0."
                )
            total -= protocol.price(rungs[trial.proposal.parent], row)
        if total > protocol.budget * (1 + 1e-9):
            break
        rungs[number] = rung
        begun = time.perf_counter()
        strategy.tell(trial)
        strategy.tell(_ended(table, protocol, trial, rung, row))
        thinking += time.perf_counter() - begun
        rows.append(row)
        full.append(rung is protocol.signal.rungs[-1])
        spent.append(total)
    return Trace(tuple(rows), tuple(full), tuple(spent), thinking / max(1, len(rows)))


def _ended(table: Table, protocol: Protocol, trial: Trial, rung: Rung, row: int) -> Trial:
    values = {protocol.signal.column: float(table.columns[rung.column][row])}
    objectives = [values[protocol.signal.column]]
    costs = {}
    if protocol.cost is not None:
        costs[protocol.cost] = float(table.columns[protocol.cost][row])
        objectives.append(-costs[protocol.cost])
    if not all(map(math.isfinite, objectives)):
        return replace(trial, state="failed", error="the table has no number here")
    return replace(
        trial,
        state="complete",
        values=tuple(objectives),
        metrics=values,
        costs=costs,
        seconds=0.0 if rung.seconds is None else float(rung.seconds[row]),
    )
