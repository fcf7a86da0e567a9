"""A network of an architecture, but narrower: for a cheap look at it."""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import nn

from ogive.errors import SettingError
from ogive.nn._build import Answers, build_answered
from ogive.nn._chooser import NetworkFunction
from ogive.nn._record import name_of
from ogive.space import Architecture, Decision, Value
from ogive.task import Task

__all__ = ["WIDTHS", "build_narrow", "is_width"]

WIDTHS = "*width"
"""The paths of decisions that are widths, unless one says otherwise."""

_COARSE = 32
"""From here on widths are multiples of 8, which processors like; below, that would blur them."""


def build_narrow(
    network: NetworkFunction,
    task: Task,
    architecture: Architecture,
    scale: float,
    widths: str = WIDTHS,
) -> nn.Module:
    """Returns the network of an architecture with its widths scaled: it is not one of the space.

    Args:
        network: The network function.
        task: What the network is for.
        architecture: What to build.
        scale: What widths are multiplied by, in (0, 1]; whole numbers stay whole and at least 1.
        widths: The paths of the decisions that are widths, as a pattern of :mod:`fnmatch`.

    Raises:
        SettingError: If the architecture decides no width.
    """
    found: list[str] = []

    def narrow(decision: Decision, value: Value) -> Value:
        if not is_width(decision, widths):
            return value
        found.append(decision.path)
        return _scaled(value, scale)

    made = build_answered(network, task, Answers(architecture, narrow))
    if not found:
        raise SettingError(
            f"A narrower network needs a number whose path is like {widths!r}, but "
            f"{name_of(network)} has decided {', '.join(architecture) or 'nothing'}. Name what "
            "is a width, as in widths='*channels', or take another fidelity."
        )
    return made


def is_width(decision: Decision, widths: str = WIDTHS) -> bool:
    """Whether a decision is for a number, and its path is like the pattern."""
    numbers = decision.options if decision.kind == "ordinal" else (decision.high,)
    return (
        decision.kind in ("ordinal", "integer", "real")
        and all(isinstance(number, int | float) for number in numbers)
        and fnmatchcase(decision.path, widths)
    )


def _scaled(value: Value, scale: float) -> Value:
    assert isinstance(value, int | float)
    scaled = value * scale
    if isinstance(value, float):
        return scaled
    return 8 * round(scaled / 8) if scaled >= _COARSE else max(1, round(scaled))
