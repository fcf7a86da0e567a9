"""Spaces with a known optimum, to try strategies on where no table is at hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ogive.space import Architecture, Condition, Decision, SearchSpace

__all__ = ["Synthetic", "synthetic"]


@dataclass(frozen=True)
class Synthetic:
    """A space, what its architectures are worth, and the best that can be had.

    Attributes:
        space: Of conditional decisions, floats among them.
        value: How good an architecture is, larger is better, at a fidelity in (0, 1].
        optimum: The largest value, at fidelity 1.
    """

    space: SearchSpace
    value: Callable[[Architecture, float], float]
    optimum: float = 1.0


def synthetic(blocks: int = 10, options: int = 8) -> Synthetic:
    """Makes a space of about ``(options + 3) ** blocks`` architectures and two real decisions.

    Depth decides how many blocks there are; an ``even`` block decides a level, a ``wide`` one
    nothing more. The value is the mean of a hill over the learning rate and the share of blocks
    whose level is right, less a little for each block that is missing; a low fidelity hides a part
    of it, more of it for deep networks.
    """
    depths = tuple(range(1, blocks + 1))
    decisions = [
        Decision("lr", "real", low=1e-4, high=1.0, log=True),
        Decision("momentum", "real", low=0.0, high=1.0),
        Decision("blocks", "ordinal", options=depths),
    ]
    for i in range(blocks):
        deep = Condition("blocks", frozenset(depth for depth in depths if depth > i))
        kind = f"blocks.{i}.kind"
        even = Condition(kind, frozenset(["even"]))
        decisions += [
            Decision(kind, "categorical", options=("even", "wide", "skip"), conditions=((deep,),)),
            Decision(
                f"blocks.{i}.level",
                "ordinal",
                options=tuple(range(options)),
                conditions=((deep, even),),
            ),
        ]

    def value(architecture: Architecture, fidelity: float) -> float:
        depth = architecture["blocks"]
        assert isinstance(depth, int)
        right = sum(_block(architecture, i, options) for i in range(depth)) / blocks
        lr, momentum = architecture["lr"], architecture["momentum"]
        assert isinstance(lr, float)
        assert isinstance(momentum, float)
        hill = math.exp(-((math.log10(lr) + 2) ** 2) - (momentum - 0.9) ** 2)
        hidden = (1 - fidelity) * (0.1 + 0.1 * depth / blocks)
        return 0.5 * hill + 0.5 * right - hidden

    return Synthetic(SearchSpace(decisions, name="synthetic"), value)


def _block(architecture: Architecture, i: int, options: int) -> float:
    if architecture[f"blocks.{i}.kind"] != "even":
        return 0.25
    level = architecture[f"blocks.{i}.level"]
    assert isinstance(level, int)
    return 1 - abs(level - i % options) / options
