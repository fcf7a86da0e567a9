"""Do the networks of a space run? Tried on the meta device, where it costs next to nothing."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from ogive.errors import ArchitectureError, OgiveError, SpaceError
from ogive.nn._build import Answers, build_answered
from ogive.nn._chooser import NetworkFunction
from ogive.nn._meta import Shapes
from ogive.space import Architecture, SearchSpace
from ogive.task import Task

__all__ = ["check", "check_one"]

_OF_SHAPES = (RuntimeError, ValueError, IndexError, TypeError)
"""What torch raises where shapes do not fit."""

_BATCH = 2


def check(
    network: NetworkFunction, task: Task, space: SearchSpace, *, samples: int = 16, seed: int = 0
) -> None:
    """Builds and runs architectures drawn from a space on the meta device.

    Raises:
        SpaceError: If one cannot be built, if shapes do not fit (naming the architecture, the
            path and the shapes), if the output is not of shape ``(batch, task.outputs)``, or if
            its canonical form is not one of the space.
    """
    rng = Random(seed)
    for architecture in {space.sample(rng): None for _ in range(samples)}:
        _check_form(space, architecture)
        check_one(network, task, architecture)


def _check_form(space: SearchSpace, architecture: Architecture) -> None:
    """A form stands for equal networks, and may be tried for them."""
    form = space.canonical(architecture)
    try:
        if {form} == {space.canonical(space.validate(form))}:
            return
        reason = f"its own form is {space.canonical(form)}."
    except (ArchitectureError, TypeError) as error:
        reason = str(error)
    raise SpaceError(
        "The canonical form of an architecture must be one of its space, and its own form, but that "
        f"of {dict(architecture)} is {form}: {reason}"
    )


def check_one(network: NetworkFunction, task: Task, architecture: Mapping[str, Any]) -> None:
    """:func:`check` for one architecture."""
    answers = Answers(architecture)
    with torch.device("meta"):
        module = build_answered(network, task, answers)
    inputs = task.example(_BATCH, device="meta")
    outputs = _run(module.eval().to("meta"), inputs, answers)
    expected = (_BATCH, task.outputs)
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if shape != expected:
        raise SpaceError(
            f"A network maps {tuple(inputs.shape)} to (batch, outputs) = {expected}, but got "
            f"{shape} for {dict(answers.architecture)}. End it with Head(width, task.outputs)."
        )


def _run(module: nn.Module, inputs: Tensor, answers: Answers) -> Any:
    """Runs a network, keeping track of the modules we are in, to say where shapes do not fit."""
    inside: list[tuple[str, nn.Module, str]] = []

    def enter(name: str) -> Any:
        def hook(child: nn.Module, arguments: tuple[Any, ...]) -> None:
            inside.append((name, child, _shapes(arguments)))

        return hook

    def leave(*_: object) -> None:
        inside.pop()

    for name, child in module.named_modules():
        child.register_forward_pre_hook(enter(name))
        child.register_forward_hook(leave)
    try:
        with torch.no_grad(), Shapes():
            return module(inputs)
    except OgiveError:
        raise
    except Exception as error:
        name, culprit, shapes = inside[-1]
        made = (answers.made[child] for _, child, _ in reversed(inside) if child in answers.made)
        rule, kind = "The shapes of a network must fit", ""
        if not isinstance(error, _OF_SHAPES):
            rule, kind = "A network must run", f"{type(error).__name__}: "
        first = next(iter(str(error).splitlines()), "")
        raise SpaceError(
            f"{rule}, but at {next(made, name or 'the top')!r} the layer "
            f"{name or type(module).__name__} ({_said(culprit)}) got an input of shape {shapes}: "
            f"{kind}{first} The architecture: {dict(answers.architecture)}"
        ) from error


def _shapes(arguments: tuple[Any, ...]) -> str:
    return ", ".join(str(tuple(a.shape)) for a in arguments if isinstance(a, Tensor)) or "none"


def _said(module: nn.Module) -> str:
    weight = getattr(module, "weight", None)
    shape = f", weight of shape {tuple(weight.shape)}" if isinstance(weight, Tensor) else ""
    return f"{type(module).__name__}{shape}"
