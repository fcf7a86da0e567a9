"""What a network costs before it runs: counted on the meta device."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ogive.nn import Shapes
from ogive.task import Task

__all__ = ["macs", "memory_mb", "params", "size_mb"]

_MIB = 2**20

_OPTIMIZER_COPIES = 2
"""AdamW keeps two moments of each parameter."""


def params(network: nn.Module) -> float:
    """How many trainable numbers a network has."""
    return float(sum(p.numel() for p in network.parameters() if p.requires_grad))


def size_mb(network: nn.Module) -> float:
    """What parameters and buffers take in a file, in MiB."""
    return _bytes([*network.parameters(), *network.buffers()]) / _MIB


class Exemplified(Protocol):
    """What has an example of a network's input: a task, or a batch of one."""

    def example(self, n: int, device: str | torch.device = ...) -> Tensor: ...


def macs(network: nn.Module, task: Exemplified) -> float:
    """Multiply-accumulate operations of one sample's forward pass: half of torch's FLOPs.

    Convolutions, linear layers, attention and recurrent layers count; element-wise operations do
    not. Counted on the meta device in training mode, since in evaluation torch fuses attention
    into an operation that its counter does not know.
    """
    network = on_meta(network).train()
    inputs = task.example(2, device="meta")  # Batch normalisation in training needs two.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), Shapes():
        network(inputs)
    flops: float = counter.get_total_flops()
    return flops / 2 / len(inputs)


def memory_mb(network: nn.Module, task: Task, batch_size: int) -> float:
    """The peak memory of a training step in MiB, at fp32.

    Parameters, their gradients, AdamW's two moments, buffers, and every tensor that autograd keeps
    for the backward pass, each storage once. Counted on the meta device; workspace of kernels and
    the framework itself come on top.
    """
    network = on_meta(network).train()
    inputs = task.example(batch_size, device="meta")
    # Storages have no public identity; _cdata is the address of torch's own object.
    saved: dict[int, int] = {}
    held: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        held.append(tensor)  # Keeps it alive, so that no other tensor gets its place.
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage.nbytes()  # noqa: SLF001
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), Shapes():
        outputs = network(inputs)
    for tensor in (*network.parameters(), *network.buffers()):
        saved.pop(tensor.untyped_storage()._cdata, None)  # noqa: SLF001
    del outputs
    weights = _bytes(network.parameters())
    fixed = weights * (2 + _OPTIMIZER_COPIES) + _bytes(network.buffers())
    return (fixed + sum(saved.values()) + _bytes([inputs])) / _MIB


def on_meta(network: nn.Module) -> nn.Module:
    if any(t.device.type != "meta" for t in (*network.parameters(), *network.buffers())):
        return copy.deepcopy(network).to("meta")
    return network


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(math.prod(tensor.shape) * tensor.element_size() for tensor in tensors)
