"""What a proposal costs, and what a strategy keeps: python benchmarks/thinking.py

On a space of more than 10^20 architectures with conditions and reals, on one core. A strategy is
told trials drawn at random, then asked and told for a while; the figure is the time on the
processor of ``ask`` and ``tell`` of a trial, the mean of that while, so that a model that is
fitted anew now and then has its share. What it keeps and what it needs at most while it thinks are
traced in a second run, because tracing takes time. Results are added to ``results/thinking.json``.
"""

import argparse
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from random import Random

from _results import record
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ogive.strategies import Strategy, by_name
from ogive.testing import ended, running, synthetic
from ogive.trial import Proposal, Trial

PROBLEM = synthetic(20)
CHEAP = ("random", "grid", "local", "evolution", "nsga2")
MODELS = ("bo", "mobo", "bananas", "npenas", "tpe", "reinforce", "ppo", "optuna")
MARKS = dict.fromkeys(CHEAP, (300, 1_000, 10_000)) | dict.fromkeys(MODELS, (300, 1_000))
SEVERAL = ("nsga2", "mobo")
WHILE = {name: 500 if name in CHEAP else 32 for name in MARKS}
"""Trials over which a proposal is timed; those of a model are few, and cover a fit of it."""


def trials(strategy: Strategy, name: str, own: int) -> Iterator[Trial]:
    """Tells a strategy of trials without end: the first so many drawn, then those it proposes."""
    rng = Random(0)
    number = 0
    while True:
        if number < own:
            proposal = Proposal(PROBLEM.space.sample(rng))
        else:
            (proposal,) = strategy.ask(1, Random(number))
        begun = running(number, proposal)
        strategy.tell(begun)
        value = PROBLEM.value(proposal.architecture, proposal.fidelity)
        trial = ended(begun, value)
        if name in SEVERAL:
            trial = replace(trial, values=(value, -float(len(proposal.architecture))))
        strategy.tell(trial)
        yield trial
        number += 1


def seconds(name: str, mark: int) -> float:
    """On the processor, for a proposal and what is told of it, about so many trials in."""
    going = trials(by_name(name, PROBLEM.space), name, drawn := mark - WHILE[name])
    for _ in range(drawn):
        next(going)
    begun = time.process_time()
    for _ in range(WHILE[name]):
        next(going)
    return (time.process_time() - begun) / WHILE[name]


def megabytes(name: str, mark: int) -> tuple[float, float]:
    """What is kept after so many trials, and the most that was needed for the last two."""
    tracemalloc.start()
    going = trials(by_name(name, PROBLEM.space), name, mark - 2)
    known = [next(going) for _ in range(mark - 2)]  # which a search keeps in any case
    tracemalloc.reset_peak()
    known += [next(going), next(going)]  # of which a model may leave one to chance
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept / 2**20, most / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--strategy", action="append", choices=MARKS)
    names = parser.parse_args().strategy or MARKS
    table = Table("strategy", "trials", "ms a trial", "MiB kept", "MiB at most")
    rows = []
    cells = [(name, mark) for name in names for mark in MARKS[name]]
    for name, mark in track(cells, "thinking", console=Console(stderr=True)):
        ms = 1e3 * seconds(name, mark)
        kept, most = megabytes(name, mark)
        table.add_row(name, f"{mark:,}", f"{ms:.3f}", f"{kept:.1f}", f"{most:.1f}")
        row = {"strategy": name, "trials": mark, "ms": round(ms, 4)}
        rows.append(row | {"kept_mib": round(kept, 2), "most_mib": round(most, 2)})
    Console().print(table)
    record("thinking", rows)


if __name__ == "__main__":
    main()
