"""Search spaces with a known optimum, and a simulated search over them: no network is trained."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from ogive.errors import LimitError, TrialFailed
from ogive.space import Architecture, Condition, Decision, SearchSpace
from ogive.strategies import Strategy
from ogive.trial import Proposal, State, Trial

__all__ = ["Problem", "planted", "play", "toy_space"]


def toy_space() -> SearchSpace:
    """Returns a space of 10 architectures, with a condition."""
    return SearchSpace(
        [
            Decision("op", "categorical", ("conv", "pool", "skip")),
            Decision(
                "kernel",
                "ordinal",
                (3, 5, 7, 9),
                conditions=((Condition("op", frozenset({"conv", "pool"})),),),
            ),
            Decision(
                "bias",
                "categorical",
                (False, True),
                conditions=((Condition("op", frozenset({"skip"})),),),
            ),
        ],
        name="toy",
    )


@dataclass(frozen=True)
class Problem:
    """A function of architectures whose best value is known.

    Attributes:
        space: What to search.
        optimum: The best value, which one architecture has.
        best: That architecture.
        value: The value of an architecture after full training, in [0, 1].
    """

    space: SearchSpace
    optimum: float
    best: Architecture
    value: Callable[[Architecture], float]

    def measure(self, proposal: Proposal) -> float:
        """Returns what a training of this fidelity would show.

        A learning curve that rises towards :attr:`value`, quicker for some architectures than for
        others, with noise that fades: cheap looks mislead, and the less the longer they are.
        """
        rng = Random(proposal.architecture.key)
        rate = math.exp(rng.uniform(math.log(3), math.log(30)))
        missing = 0.5 * (math.exp(-rate * proposal.fidelity) - math.exp(-rate))
        noise = Random(f"{proposal.architecture.key}:{proposal.fidelity}").gauss(0, 0.01)
        return self.value(proposal.architecture) * (1 - missing) + (1 - proposal.fidelity) * noise


_OPS = ("conv", "separable", "bottleneck", "attention", "pool", "skip")
_WITH_KERNEL = frozenset(_OPS[:3])
_KERNELS = (3, 5, 7, 9)
_DEPTHS = tuple(range(1, 9))


def planted(seed: int = 0) -> Problem:
    """Returns a space with an architecture planted in it, which is better than all others.

    1 to 8 blocks, each with one of 6 operations; some of these ask for a kernel, all for a width
    (64 values), and each block for a drop-out rate; a learning rate beside them: conditions,
    integers and reals on both scales, and more than 10^20 architectures for each choice of the
    reals. Within a block the decisions multiply, and a block too many is as bad as a bad one.
    """
    rng = Random(f"planted:{seed}")
    depth = rng.choice(_DEPTHS[2:6])
    plan: dict[str, int | float | str] = {"depth": depth, "rate": 10 ** rng.uniform(-3.5, -1.5)}
    quality = {op: rng.uniform(0.2, 0.8) for op in _OPS}
    for i in range(depth):
        op = rng.choice(_OPS)
        plan |= {f"blocks.{i}.op": op, f"blocks.{i}.width": rng.randint(1, 64) * 8}
        plan[f"blocks.{i}.drop"] = rng.uniform(0.05, 0.45)
        if op in _WITH_KERNEL:
            plan[f"blocks.{i}.kernel"] = rng.choice(_KERNELS)
    best = Architecture(plan)

    def off(architecture: Architecture, path: str) -> float:
        return _number(architecture, path) - _number(best, path)

    def block(architecture: Architecture, i: int) -> float:
        """In [0, 1]: 1 for the planted block."""
        path = f"blocks.{i}"
        if f"{path}.op" not in architecture or f"{path}.op" not in best:
            return 0.0
        op = str(architecture[f"{path}.op"])
        value = 1.0 if op == best[f"{path}.op"] else quality[op]
        if f"{path}.kernel" in architecture and f"{path}.kernel" in best:
            value *= 1 - abs(off(architecture, f"{path}.kernel")) / 12
        value *= math.exp(-2 * (off(architecture, f"{path}.width") / 512) ** 2)
        return value * math.exp(-(off(architecture, f"{path}.drop") ** 2))

    def value(architecture: Architecture) -> float:
        blocks = max(int(_number(architecture, "depth")), depth)
        mean = sum(block(architecture, i) for i in range(blocks)) / blocks
        ratio = math.log10(_number(architecture, "rate") / _number(best, "rate"))
        return mean * math.exp(-(ratio**2) / 2)

    return Problem(_planted_space(), 1.0, best, value)


def _planted_space() -> SearchSpace:
    decisions = [
        Decision("depth", "ordinal", _DEPTHS),
        Decision("rate", "real", low=1e-4, high=1e-1, log=True),
    ]
    for i in range(len(_DEPTHS)):
        there = Condition("depth", frozenset(d for d in _DEPTHS if d > i))
        has_kernel = Condition(f"blocks.{i}.op", _WITH_KERNEL)
        decisions += [
            Decision(f"blocks.{i}.op", "categorical", _OPS, conditions=((there,),)),
            Decision(f"blocks.{i}.kernel", "ordinal", _KERNELS, conditions=((there, has_kernel),)),
            Decision(
                f"blocks.{i}.width", "integer", low=8, high=512, step=8, conditions=((there,),)
            ),
            Decision(f"blocks.{i}.drop", "real", low=0.0, high=0.5, conditions=((there,),)),
        ]
    return SearchSpace(decisions, name="planted")


def _number(architecture: Architecture, path: str) -> float:
    value = architecture[path]
    assert isinstance(value, int | float)
    return value


def play(
    strategy: Strategy,
    measure: Callable[[Proposal], float],
    *,
    trials: int,
    workers: int = 1,
    seed: int = 0,
    told: int = 0,
) -> list[Trial]:
    """Runs a search without training: asks, measures and tells, as the loop does.

    A trial takes as long as its fidelity, more or less, so trials end in another order than they
    began in.

    Args:
        strategy: What to ask; told of every trial.
        measure: The value of a proposal, larger is better; it raises :class:`TrialFailed` for a
            trial that fails and :class:`LimitError` for one that is rejected.
        trials: How many to begin.
        workers: How many run side by side.
        seed: Of the strategy's draws and of the durations.
        told: The number of the first trial: how many the strategy has been told of.

    Returns:
        The ended trials, by number; fewer than ``trials`` if nothing is left to try.
    """
    clock = Random(f"durations:{seed}")
    running: list[tuple[float, int, Trial]] = []
    ended: dict[int, Trial] = {}
    now, number, last = 0.0, told, told + trials
    while True:
        room = min(workers - len(running), last - number)
        for proposal in strategy.ask(room, Random(f"{seed}:{number}")) if room else ():
            trial = Trial(number, proposal)
            strategy.tell(trial)
            end = now + proposal.fidelity * clock.uniform(0.5, 1.5)
            heapq.heappush(running, (end, number, trial))
            number += 1
        if not running:
            return [ended[n] for n in sorted(ended)]
        now, _, trial = heapq.heappop(running)
        ended[trial.number] = _ended(trial, measure)
        strategy.tell(ended[trial.number])


def _ended(trial: Trial, measure: Callable[[Proposal], float]) -> Trial:
    state: State
    try:
        value = measure(trial.proposal)
    except (TrialFailed, LimitError) as error:
        state = "failed" if isinstance(error, TrialFailed) else "rejected"
        return Trial(trial.number, trial.proposal, state, error=str(error), costs={"params": 1e6})
    metrics = {"accuracy": value}
    return Trial(trial.number, trial.proposal, "complete", values=(value,), metrics=metrics)
