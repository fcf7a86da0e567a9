"""Before the hours are spent: does the space run, can the limits be met, how long does it take?"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable
from concurrent.futures import Executor, wait
from dataclasses import dataclass
from functools import partial
from random import Random

from ogive import bundle, spaces
from ogive.engine._budget import Plan, plan
from ogive.engine._limits import smallest_within
from ogive.engine._objectives import exceeded
from ogive.engine._setup import Setup, references
from ogive.estimators import Precision, measure_speed, wake
from ogive.executors import cores
from ogive.nn import check
from ogive.space import Architecture

__all__ = ["Speed", "alone", "fastest", "preflight"]

_TYPICAL = 9
"""Architectures drawn to find one of middling size, where there is no reference to measure."""

_GAIN = 1.2
"""How much faster several threads must be than one, and bf16 than fp32. Where others use the
machine, too, each thread waits for the slowest, and a small network then trains ten times as long;
and what a noisy measurement decides, a search with the same seed may find otherwise."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast trials train in one arrangement.

    Attributes:
        workers: Trials side by side.
        threads: Threads of each.
        precision: What they compute in.
        seconds: A training step of one of them.
    """

    workers: int
    threads: int
    precision: Precision
    seconds: float

    @property
    def rate(self) -> float:
        """Steps a second of all of them together."""
        return self.workers / self.seconds


def _reference_of(setup: Setup) -> tuple[Architecture | None, bool]:
    """The largest hand-made architecture within the limits, and whether there is a larger one.

    They are halved, not tried in turn: the latency of each takes half a second to measure.
    """

    def fits(architecture: Architecture) -> bool:
        costs = setup.costs_within(architecture, tuple(setup.limits))
        return exceeded(costs, setup.limits) is None

    largest_first = references(setup)
    found = bisect_left(largest_first, True, key=fits)
    fitting = largest_first[found] if found < len(largest_first) else None
    return fitting, found > 0


def preflight(
    setup: Setup,
    executor: Executor,
    *,
    workers: int | None,
    begun: float,
    ready: float,
    stacked: bool = False,
) -> tuple[Plan, Architecture | None]:
    """Checks space and limits, measures the time of training, and shares out the budget.

    Args:
        setup: What was asked for.
        executor: Where trials will run; the measurement runs there, too.
        workers: Trials side by side, or ``None`` to choose by measurement.
        begun: When the budget began to run, in seconds since 1970.
        ready: When the data had been loaded.
        stacked: Whether networks are trained several at once, which they are in fp32 alone.

    Returns:
        The plan, and the hand-made reference within the limits, if the space has one.

    Raises:
        SpaceError: If a network of the space does not run.
        BundleError: If one cannot be exported, and is to be.
        LimitError: If no architecture within the limits can be found.
        BudgetError: If the time does not reach.
    """
    if not setup.trains:
        return _estimates_only(workers or cores()), None
    assert setup.network is not None and setup.task is not None
    check(setup.network, setup.task, setup.space, seed=setup.seed)
    rng = Random(setup.seed)
    waking = [executor.submit(wake, setup.bench) for _ in range(workers or cores())]
    exporting = time.time()
    if setup.bundle and setup.network not in spaces.SPACES.values():  # Ours are known to be.
        bundle.check(setup.build(setup.space.sample(Random(setup.seed))), setup.task)
    ready += time.time() - exporting  # That it takes long is no sign of a slow machine.
    wait(waking)  # What workers import would be measured, too.
    reference, scaled = _reference_of(setup)
    if reference is None and setup.limits:
        costs = partial(setup.costs, names=tuple(setup.limits))
        smallest_within(setup.space, setup.limits, costs, rng=rng)
    typical = reference or _typical(setup, rng)
    speed, alone = _measured(setup, typical, executor, workers, stacked=stacked)
    recipe = setup.recipe_of(typical)
    steps = -(-setup.task.size("train") // recipe.batch_size)
    made = plan(
        setup.budget,
        epoch_seconds=1.1 * steps * speed.seconds,  # Validation and the rest take a tenth.
        recipe=recipe,
        reference=reference is not None,
        workers=speed.workers,
        threads=speed.threads,
        alone=alone,
        precision=speed.precision,
        spent=time.time() - begun,
        checks=time.time() - ready,
        scaled=scaled,
        bundle=setup.bundle,
    )
    return made, reference


def _estimates_only(workers: int) -> Plan:
    return Plan(
        epochs=1.0,
        final_epochs=1.0,
        full_seconds=0.0,
        finalists=0,
        reference=False,
        refit=False,
        finals_seconds=0.0,
        finals_epochs=0.0,
        finals_trials=0,
        handover_seconds=0.0,
        workers=workers,
        threads=1,
        alone=1,
        precision="fp32",
    )


def _typical(setup: Setup, rng: Random) -> Architecture:
    drawn = [setup.space.sample(rng) for _ in range(_TYPICAL)]
    return sorted(drawn, key=lambda a: setup.costs(a, ("macs",))["macs"])[_TYPICAL // 2]


def _measured(
    setup: Setup,
    architecture: Architecture,
    executor: Executor,
    workers: int | None,
    *,
    stacked: bool,
) -> tuple[Speed, int]:
    """Measures trials of one thread side by side, and one, or as many as asked, on all cores.

    Returns the fastest arrangement, and the threads of a training that has the machine to itself.
    Which arrangement is the fastest hangs on the processor: small networks gain little from a
    second thread, and bf16 is quick only where there are instructions for it.
    """
    bench, count = setup.bench, cores()
    few = workers or 1
    arrangements = [(workers or count, 1), (few, max(1, count // few))]
    speeds = []
    for side_by_side, threads in dict.fromkeys(arrangements):
        futures = [
            executor.submit(measure_speed, bench, architecture, threads)
            for _ in range(side_by_side)
        ]
        measured = [future.result() for future in futures]
        speeds += [
            Speed(side_by_side, threads, precision, max(found[precision] for found in measured))
            for precision in measured[0]
            if precision == "fp32" or not stacked
        ]
    best = fastest(speeds)
    return best, alone(best, speeds)


def fastest(speeds: Iterable[Speed]) -> Speed:
    """Returns the arrangement with the most steps a second; threads and bf16 must earn it."""

    def worth(speed: Speed) -> float:
        return speed.rate / _GAIN ** ((speed.threads > 1) + (speed.precision != "fp32"))

    return max(speeds, key=worth)


def alone(best: Speed, speeds: Iterable[Speed]) -> int:
    """How many threads a single training gains from, where nothing runs beside it."""
    more = (s for s in speeds if s.precision == best.precision and s.threads > best.threads)
    return max((s.threads for s in more if s.seconds * _GAIN < best.seconds), default=best.threads)
