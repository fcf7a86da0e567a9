"""Which dimensions of a network's tensors are the same channels, found by following its graph."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from ogive.nn._meta import Shapes

__all__ = ["Wires", "follow"]

_Factor = tuple[int | None, int]
"""A set of channels, or ``None`` for what is no channels, and how many places it has."""

_Axis = tuple[_Factor, ...]
"""A dimension; more factors than one where it was flattened, the outermost first."""

_ALIKE = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.Sigmoid,
    nn.Softplus,
    nn.Mish,
    nn.Tanh,
)
"""Modules of which each output comes from the input in its place alone."""

_POOLS = (
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)

_JOINING: frozenset[Any] = frozenset(
    [
        *(operator.add, operator.sub, operator.mul, operator.truediv, operator.neg),
        *(torch.add, torch.mul, torch.relu, torch.sigmoid, torch.tanh),
        *(functional.relu, functional.leaky_relu, functional.elu, functional.gelu),
        *(functional.silu, functional.mish, functional.hardswish, functional.hardsigmoid),
        *(functional.dropout, "add", "mul", "relu", "sigmoid", "tanh", "contiguous", "float"),
    ]
)
"""Functions and methods of which each output comes from the inputs in its place alone."""

_OVER_PIXELS = ([2, 3], (2, 3), [-2, -1], (-2, -1), [-1, -2], (-1, -2))

_FLATTENING: frozenset[Any] = frozenset((torch.flatten, "flatten", "view", "reshape"))


@dataclass(frozen=True)
class Wires:
    """The channels behind the dimensions of a network's tensors.

    Attributes:
        axes: For the name of a tensor, its dimensions, as far as they were followed.
        sums: Names of the weights that sum over the channels of their second dimension.
        open: Sets of channels that reach what could not be followed.
    """

    axes: Mapping[str, tuple[_Axis, ...]]
    sums: frozenset[str]
    open: frozenset[int]

    def origin(self, name: str, dim: int, before: int) -> Tensor | None:
        """Returns where the channels of a dimension come from, if it once had another size.

        Channel j of n was, or copies, channel ``j % before``: so all are copied about as often.

        Args:
            name: Of the tensor.
            dim: The dimension.
            before: The size that it had.

        Returns:
            ``(size,)`` with the former place of each; ``None`` where that is not known.
        """
        axes = self.axes.get(name, ())
        if dim >= len(axes):
            return None
        axis = axes[dim]
        groups = [group for group, _ in axis if group is not None]
        rest = math.prod(size for group, size in axis if group is None)
        if len(groups) != 1 or groups[0] in self.open or before % rest:
            return None
        origin = torch.zeros(1, dtype=torch.long)
        for group, size in axis:
            span = size if group is None else before // rest
            origin = (origin[:, None] * span + torch.arange(size) % span).flatten()
        return origin


def follow(network: nn.Module, inputs: Tensor) -> Wires:
    """Follows the channels from the input through convolutions, sums and the like to the output.

    What it does not know ends the way: the channels that go in are ``open``, and what comes out
    is none. A network that :mod:`torch.fx` cannot trace is not followed at all.

    Args:
        network: Any; it is left as it is.
        inputs: A batch, of which only the shape counts.
    """
    try:
        meta = copy.deepcopy(network).to("meta").eval()
        follower = _Follower(fx.symbolic_trace(meta))
        with Shapes():
            follower.run(torch.empty_like(inputs, device="meta"))
    except Exception:  # noqa: BLE001  # a network may do on its way what a graph cannot show
        return Wires({}, frozenset(), frozenset())
    return follower.wires()


class _Follower(fx.Interpreter):
    """Runs a traced network on the meta device and keeps the axes of what its nodes return."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self._axes: dict[fx.Node, tuple[_Axis, ...]] = {}
        self._of: dict[str, tuple[_Axis, ...]] = {}
        self._sums: set[str] = set()
        self._joined: list[int] = []  # A forest: for each set of channels one that it is part of.
        self._open: set[int] = set()

    def wires(self) -> Wires:
        axes = {
            name: tuple(
                tuple((None if g is None else self._root(g), size) for g, size in axis)
                for axis in axes
            )
            for name, axes in self._of.items()
        }
        return Wires(axes, frozenset(self._sums), frozenset(map(self._root, self._open)))

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        found = self._rule(n, value) if isinstance(value, Tensor) else None
        if found is None and _holds_tensors(value):
            for node in n.all_input_nodes:
                self._end(self._axes.get(node, ()))
        if isinstance(value, Tensor):
            self._axes[n] = _plain(value.shape) if found is None else found
        return value

    def _rule(self, node: fx.Node, value: Tensor) -> tuple[_Axis, ...] | None:
        inputs = [self._axes[n] for n in node.all_input_nodes if n in self._axes]
        if node.op == "placeholder":
            return _plain(value.shape)
        if node.op == "output":
            return inputs[0]
        if node.op == "call_module":
            return self._module(str(node.target), inputs, value) if len(inputs) == 1 else None
        if node.target in _JOINING and inputs:
            return self._join(inputs, value.shape)
        if len(inputs) != 1:
            return None
        if node.target in _FLATTENING:
            return _flattened(inputs[0], value.shape)
        if node.target is operator.getitem:
            return _indexed(inputs[0], node.args[1])
        if node.target in (torch.mean, "mean") and len(node.args) == 2:
            return inputs[0][:2] if node.args[1] in _OVER_PIXELS else None
        return None

    def _module(
        self, name: str, inputs: list[tuple[_Axis, ...]], value: Tensor
    ) -> tuple[_Axis, ...] | None:
        module, axes = self.fetch_attr(name), inputs[0]
        if isinstance(module, _ALIKE):
            return axes
        if isinstance(module, _POOLS):
            return (*axes[:2], *_plain(value.shape[2:]))
        if isinstance(module, nn.Flatten):
            return _flattened(axes, value.shape)
        if isinstance(module, _BatchNorm):
            self._note(name, ("weight", "bias", "running_mean", "running_var"), (axes[1],))
            return axes
        if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
            self._note(name, ("weight", "bias"), (axes[-1],))
            return axes
        if isinstance(module, nn.Linear):
            return (*axes[:-1], self._layer(name, axes[-1], module.out_features))
        if isinstance(module, _ConvNd) and not module.transposed:
            return self._convolution(name, module, axes, value)
        return None

    def _convolution(
        self, name: str, module: _ConvNd, axes: tuple[_Axis, ...], value: Tensor
    ) -> tuple[_Axis, ...] | None:
        if module.groups == 1:
            out = self._layer(name, axes[1], module.out_channels)
        elif module.groups == module.in_channels == module.out_channels:
            out = axes[1]
            self._note(name, ("weight", "bias"), (out,))
        else:
            return None
        return (axes[0], out, *_plain(value.shape[2:]))

    def _layer(self, name: str, before: _Axis, size: int) -> _Axis:
        """A layer that sums over all channels before it makes its own."""
        self._joined.append(len(self._joined))
        after: _Axis = ((len(self._joined) - 1, size),)
        self._note(name, ("weight",), (after, before))
        self._note(name, ("bias",), (after,))
        self._sums.add(f"{name}.weight")
        return after

    def _note(self, name: str, attributes: Iterable[str], axes: tuple[_Axis, ...]) -> None:
        for attribute in attributes:
            key = f"{name}.{attribute}"
            if self._of.setdefault(key, axes) is not axes:  # A layer that stands in two places.
                self._end((*axes, *self._of[key]))

    # Sets of channels

    def _root(self, group: int) -> int:
        while self._joined[group] != group:
            group = self._joined[group]
        return group

    def _end(self, axes: Iterable[_Axis]) -> None:
        self._open.update(group for axis in axes for group, _ in axis if group is not None)

    def _join(self, inputs: Sequence[tuple[_Axis, ...]], shape: torch.Size) -> tuple[_Axis, ...]:
        """The axes of what is computed place by place, with torch's rules of broadcasting."""
        joined = []
        for i, size in enumerate(shape, start=-len(shape)):
            here = [axes[i] for axes in inputs if len(axes) >= -i]
            wide = [axis for axis in here if math.prod(n for _, n in axis) == size]
            for other in wide[1:]:
                self._unite(wide[0], other)
            joined.append(wide[0])
        return tuple(joined)

    def _unite(self, one: _Axis, other: _Axis) -> None:
        if [size for _, size in one] != [size for _, size in other]:
            self._end((one, other))
            return
        for (first, _), (second, _) in zip(one, other, strict=True):
            if first is not None and second is not None:
                self._joined[self._root(second)] = self._root(first)
            else:
                self._open.update(g for g in (first, second) if g is not None)


def _holds_tensors(value: Any) -> bool:
    """Whether it is tensors, and not a size, say, that a node has taken from one."""
    if isinstance(value, tuple | list):
        return any(map(_holds_tensors, value))
    return isinstance(value, Tensor)


def _plain(shape: Sequence[int]) -> tuple[_Axis, ...]:
    return tuple(((None, size),) for size in shape)


def _flattened(axes: tuple[_Axis, ...], shape: torch.Size) -> tuple[_Axis, ...] | None:
    """All but the first dimension in one."""
    if len(shape) != 2 or len(axes) < 2:
        return None
    joined = tuple(factor for axis in axes[1:] for factor in axis if factor != (None, 1))
    return (axes[0], joined or ((None, 1),))


def _indexed(axes: tuple[_Axis, ...], index: Any) -> tuple[_Axis, ...] | None:
    """``x[:, :, None]``: whole dimensions, and new ones of size 1."""
    found: list[_Axis] = []
    left = list(axes)
    for item in index if isinstance(index, tuple) else (index,):
        if item is None:
            found.append(((None, 1),))
        elif item == slice(None) and left:
            found.append(left.pop(0))
        else:
            return None
    return (*found, *left)
