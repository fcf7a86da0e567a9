"""Partial channels: a mixture computes on some channels, and the rest go by.

PC-DARTS (Xu et al. 2020, arXiv:1907.05737, section 3.2): a K-th of the memory that the options of
a layer need. The options were built for all channels; here each of their layers is cut down to
its leading ones, and finds the leading part of the shared weights as any narrower layer does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from ogive.nn._mix import Mixed, Weights
from ogive.task import Task

__all__ = ["connect_partially"]

_Call = tuple[tuple[object, ...], object]


def connect_partially(network: nn.Module, task: Task, weights: Weights, parts: int) -> None:
    """Has each mixture compute on a part of its channels, where all its options allow that.

    They do if they give what has the shape of what they get, ``(batch, channels, height,
    width)``, with channels divisible by ``parts``, and consist of convolutions (plain or
    depthwise), linear layers, batch normalisations and what has no tensors.

    Args:
        network: With mixtures; changed in place.
        task: Gives an example of what goes in.
        weights: What the mixtures read.
        parts: K: one of so many equal parts of the channels is computed on.
    """
    for layer, (inputs, output) in _calls(network, task, weights).items():
        if len(inputs) != 1 or len(layer.options) == 1:
            continue
        x = inputs[0]
        if not (isinstance(x, Tensor) and isinstance(output, Tensor) and x.dim() == 4):
            continue
        if x.shape == output.shape and x.shape[1] % parts == 0:
            _cut(layer, x[:, : x.shape[1] // parts], parts, weights)
    weights.clear()


def _calls(network: nn.Module, task: Task, weights: Weights) -> dict[Mixed, _Call]:
    """What the outermost mixtures get and give for an example."""
    layers = [module for module in network.modules() if isinstance(module, Mixed)]
    inner = {each for layer in layers for each in layer.options.modules()}
    seen: dict[Mixed, _Call] = {}

    def see(layer: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if isinstance(layer, Mixed) and layer not in inner:
            seen[layer] = inputs, output

    hooks = [layer.register_forward_hook(see) for layer in layers]
    for layer in layers:
        weights[layer.path] = torch.ones(len(layer.options))
    training = network.training
    with torch.no_grad():
        network.eval()(task.example(2))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return seen


def _cut(layer: Mixed, example: Tensor, parts: int, weights: Weights) -> None:
    # Mixtures inside an option still read the weights of all.
    options = copy.deepcopy(layer.options, {id(weights): weights})
    if not all(_narrowed(module, parts) for module in options.modules()):
        return
    if all(shape == example.shape for shape in _shapes(options, example)):
        layer.options, layer.parts = options, parts


def _shapes(options: nn.ModuleDict, example: Tensor) -> Iterator[torch.Size | None]:
    for option in options.values():
        try:
            with torch.no_grad():
                yield option.eval()(example).shape
        except (RuntimeError, ValueError, TypeError):  # its own code counts on more than that
            yield None
        option.train()


def _narrowed(module: nn.Module, parts: int) -> bool:
    """Cuts a layer down to a part of its channels, in and out; returns whether that can be."""
    if isinstance(module, _ConvNd):
        depthwise = 1 < module.groups == module.in_channels
        if module.transposed or (module.groups > 1 and not depthwise):
            return False
        module.in_channels = _share(module.in_channels, parts)
        module.out_channels = _share(module.out_channels, parts)
        module.groups = module.in_channels if depthwise else 1
        dimensions = 1 if depthwise else 2
    elif isinstance(module, nn.Linear):
        module.in_features = _share(module.in_features, parts)
        module.out_features = _share(module.out_features, parts)
        dimensions = 2
    elif isinstance(module, _NormBase):
        module.num_features = _share(module.num_features, parts)
        dimensions = 1
    else:
        return not (module._parameters or module._buffers)  # noqa: SLF001
    for name, weight in list(module.named_parameters(recurse=False)):
        module.register_parameter(name, nn.Parameter(_leading(weight, dimensions, parts)))
    for name, statistic in list(module.named_buffers(recurse=False)):
        module.register_buffer(name, _leading(statistic, dimensions, parts))
    return True


def _leading(tensor: Tensor, dimensions: int, parts: int) -> Tensor:
    cut = tuple(slice(_share(size, parts)) for size in tensor.shape[:dimensions])
    return tensor.detach()[cut].clone()


def _share(size: int, parts: int) -> int:
    return -(-size // parts)
