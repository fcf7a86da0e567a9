"""What a network is made of: its operations with the shapes they work on, or its decisions."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ogive.hardware._static import on_meta
from ogive.nn import Shapes
from ogive.space import Architecture, SearchSpace
from ogive.task import Task

__all__ = ["Operation", "Part", "Parts", "decided_parts", "network_parts", "operations"]

_SAMPLES = 2
"""Of the batch that shapes are read from: batch normalisation in training needs two."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that a network's cost is a sum over.

    Attributes:
        kind: Parts of a kind cost alike in proportion to their sizes, or each the same.
        name: What tells it apart from others of its kind: settings and shapes, or a place.
        macs: Multiply-accumulate operations for one sample.
        numbers: How many are read and written for one sample, weights among them.
    """

    kind: str
    name: str
    macs: float = 0.0
    numbers: float = 0.0


Parts = Mapping[Part, float]
"""How often a network has each of its parts."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A part as it stands in a network.

    Attributes:
        part: What it counts as.
        module: The module itself; ``None`` for what a container does beside its children.
        shape: Of its input, without the batch; ``None`` unless that is one tensor of floats.
    """

    part: Part
    module: nn.Module | None
    shape: tuple[int, ...] | None


def network_parts(network: nn.Module, task: Task) -> Counter[Part]:
    """Counts the operations of a network, on the meta device."""
    return Counter(operation.part for operation in operations(network, task))


def operations(network: nn.Module, task: Task) -> list[Operation]:
    """Lists the operations of a forward pass, in the order in which they end.

    Each module without children is one, counted as often as it is called. A module with children
    and a ``forward`` of its own is one too, for what it does beside them (a sum, a product).
    """
    network = on_meta(network)
    # Training only so that torch counts attention; a copy, since statistics would be updated.
    network = copy.deepcopy(network).train()
    found: list[Operation] = []
    with FlopCounterMode(display=False) as counter, torch.no_grad(), Shapes():
        before: list[float] = []
        counted = 0.0  # What is some module's own.

        def enter(_module: nn.Module, _inputs: Any) -> None:
            before.append(counter.get_total_flops() - counted)

        def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            nonlocal counted
            flops = counter.get_total_flops() - counted - before.pop()
            counted += flops
            found.append(_operation(module, inputs, output, flops))

        hooks = []
        for module in network.modules():
            if not isinstance(module, nn.Sequential | nn.Identity):
                hooks.append(module.register_forward_pre_hook(enter))
                hooks.append(module.register_forward_hook(leave))
        network(task.example(_SAMPLES, device="meta"))
    for hook in hooks:  # The modules are run again where they are measured.
        hook.remove()
    return found


def _operation(module: nn.Module, inputs: tuple[Any, ...], output: Any, flops: float) -> Operation:
    tensors = [*_tensors(inputs), *_tensors(output)]
    shapes = [tuple(tensor.shape[1:]) for tensor in _tensors(inputs)]
    name = f"{module.extra_repr()} @ {shapes}"
    moved = float(sum(tensor.numel() for tensor in tensors)) / _SAMPLES
    weights = sum(math.prod(p.shape) for p in module.parameters(recurse=False))
    part = Part(_kind(module), name, flops / 2 / _SAMPLES, moved + weights)
    if next(module.children(), None) is not None:
        return Operation(part, None, None)
    plain = len(inputs) == 1 and isinstance(inputs[0], Tensor) and inputs[0].is_floating_point()
    return Operation(part, module, shapes[0] if plain else None)


def _kind(module: nn.Module) -> str:
    kind = type(module).__name__
    kernel = getattr(module, "kernel_size", None)
    groups = getattr(module, "groups", 1)
    if kernel is not None:
        kind += f" {kernel}"
    if groups > 1:
        kind += " depthwise" if groups == getattr(module, "in_channels", None) else " grouped"
    return kind


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def decided_parts(space: SearchSpace, architecture: Architecture) -> dict[Part, float]:
    """Returns the decisions of an architecture as parts: what is known where no network is.

    The value of each decision is a part, of one kind with the same value of every decision with
    the same options; a real number is a part that is there to the extent of its place in its
    range.
    """
    found: dict[Part, float] = {}
    for path, value in architecture.items():
        decision = space[path]
        if decision.kind == "real":
            found[Part(path, path)] = decision.to_unit(value)
            continue
        domain = decision.options or (decision.low, decision.high, decision.step)
        for member in decision.taken(value):
            found[Part(f"{domain} = {member!r}", path)] = 1.0
    return found
