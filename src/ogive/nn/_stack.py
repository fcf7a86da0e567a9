"""Many small networks as one: their layers side by side in batched matrix products.

A step of a small network is mostly the overhead of its operators. Networks of different widths,
depths, activations and normalisations that are computed side by side share it. Every layer is
padded with zeros to the widest of its kind, and what is padded stays zero: no weight leads out of
it, so that no gradient comes back. Where networks differ, each goes its own way through the
layers that it has, and together with all others through the rest.

Each network computes what it would alone; its neighbours change nothing but the rounding.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ogive.nn._blocks import ACTIVATIONS, Residual
from ogive.nn._tabular import (
    CategoryEmbedding,
    Columns,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    ResidualLinearBlock,
)

__all__ = ["Stack", "why_not_stacked"]

Places = npt.NDArray[np.int64]
Part = Literal["free", "decayed", "buffers"]

_PARTS: tuple[Part, ...] = ("free", "decayed", "buffers")


@dataclass(frozen=True)
class _Layout:
    """Where the features of each network stand in the last dimension; zeros are between."""

    width: int
    places: tuple[Places, ...]

    @classmethod
    def first(cls, counts: Sequence[int]) -> _Layout:
        """Features from the left, zeros after them."""
        return cls(max(counts), tuple(np.arange(count) for count in counts))

    def of(self, rows: Sequence[int]) -> _Layout:
        """Of some of the networks, no wider than they need."""
        places = tuple(self.places[row] for row in rows)
        return _Layout(max(int(p.max(initial=-1)) + 1 for p in places), places)

    def mask(self) -> Tensor:
        """``(networks, 1, width)``, 1 where there are features."""
        mask = torch.zeros(len(self.places), 1, self.width)
        for row, places in enumerate(self.places):
            mask[row, 0, places] = 1.0
        return mask


@dataclass(eq=False)
class _Leaf:
    """One padded tensor for a parameter of several networks, ``(networks, *shape)``."""

    part: Part
    shape: tuple[int, ...]
    rows: tuple[int, ...]
    value: Tensor = field(init=False)

    def bind(self, values: Tensor, gradients: Tensor, place: slice) -> None:
        """Makes the tensor a view of the whole; autograd adds its gradient up in place."""
        self.value = values[place].view(self.shape)
        if self.part != "buffers":
            self.value = self.value.detach().requires_grad_()
            self.value.grad = gradients[place].view(self.shape)


class _Book:
    """Which elements of which leaf are which tensor of which network."""

    def __init__(self) -> None:
        self.leaves: list[_Leaf] = []
        self.places: dict[int, tuple[_Leaf, Places]] = {}

    def leaf(
        self,
        rows: Sequence[int],
        tensors: Sequence[Tensor],
        places: Sequence[tuple[Places, ...]],
        shape: tuple[int, ...],
    ) -> _Leaf:
        """Makes room for a tensor of each network.

        Args:
            rows: The networks' numbers.
            tensors: Theirs.
            places: Where the elements stand along each dimension of ``shape``.
            shape: The padded shape of one.
        """
        decayed: Part = "decayed" if tensors[0].dim() > 1 else "free"
        part: Part = decayed if isinstance(tensors[0], nn.Parameter) else "buffers"
        leaf = _Leaf(part, (len(rows), *shape), tuple(rows))
        numbers = np.arange(math.prod(leaf.shape)).reshape(leaf.shape)
        for row, (tensor, where) in enumerate(zip(tensors, places, strict=True)):
            self.places[id(tensor)] = leaf, numbers[row][np.ix_(*where)].ravel()
        self.leaves.append(leaf)
        return leaf


@dataclass
class _Draws:
    """What the layers need besides their input: whether they train, and each one's generator."""

    training: bool
    generators: Sequence[torch.Generator]


_Node = Callable[[Tensor, _Draws], Tensor]
"""A layer of all: ``(networks, batch, width)`` to the same with another width."""

_Group = Mapping[int, nn.Module]
"""The module that stands at one place in each of several networks, by the network's number."""

_Same = Mapping[int, Any]
"""The same, where all modules are of one kind."""

_Maker = Callable[[_Same, _Layout, _Book], tuple[_Node, _Layout]]


def why_not_stacked(network: nn.Module) -> str | None:
    """Says why a network, which maps ``(batch, features)``, cannot be one of a :class:`Stack`."""
    module: Any  # torch says of its attributes less than may be
    for module in _layers(network):
        if _kind(module) is None:
            return f"{type(module).__name__} has no form for many networks at once"
        if isinstance(module, nn.BatchNorm1d) and (
            module.momentum is None or not module.affine or module.running_mean is None
        ):
            return "its batch normalisation has no weights or no fixed momentum"
        if isinstance(module, nn.LayerNorm) and (
            len(module.normalized_shape) != 1 or module.weight is None or module.bias is None
        ):
            return "its layer normalisation has no weights, or not one for each feature"
        if isinstance(module, nn.Linear) and module.bias is None:
            return "a linear layer of it has no bias"
    parameters = list(network.parameters())
    if len(parameters) < len(list(network.named_parameters(remove_duplicate=False))):
        return "two layers of it share their weights"
    if any(not p.requires_grad or p.dtype != torch.float32 for p in parameters):
        return "not all of its weights are trained in 32 bits"
    return None


class Stack:
    """Several networks that are computed together, on the CPU.

    Networks that are made of the same layers should stand beside each other: they are then
    taken out of the whole and put back without copying.

    Attributes:
        values: All parameters and buffers of all networks, padded: first the parameters of one
            dimension, then the others, then the buffers.
        gradients: Of the parameters, in the same order; to be set to zero before each step.
        free: How many of the parameters are of one dimension.
        owner: For each parameter the number of its network.

    Args:
        networks: At least one, for which :func:`why_not_stacked` has no objection; they stay as
            they are.
        features: How many come in.
    """

    def __init__(self, networks: Sequence[nn.Module], features: int) -> None:
        book = _Book()
        start = _Layout.first([features] * len(networks))
        self._node, self._layout = _build(dict(enumerate(networks)), start, book)
        leaves = sorted(book.leaves, key=lambda leaf: _PARTS.index(leaf.part))
        sizes = [math.prod(leaf.shape) for leaf in leaves]
        offsets = dict(zip(leaves, np.cumsum([0, *sizes]).tolist(), strict=False))
        self.values = torch.zeros(sum(sizes))
        parameters = [leaf for leaf in leaves if leaf.part != "buffers"]
        self.gradients = torch.zeros(sum(math.prod(leaf.shape) for leaf in parameters))
        self.free = sum(math.prod(leaf.shape) for leaf in leaves if leaf.part == "free")
        self.owner = torch.cat(
            [
                torch.tensor(leaf.rows).repeat_interleave(math.prod(leaf.shape[1:]))
                for leaf in parameters
            ]
        )
        for leaf, size in zip(leaves, sizes, strict=True):
            leaf.bind(self.values, self.gradients, slice(offsets[leaf], offsets[leaf] + size))
        self._seats = [_seat(network, book, offsets) for network in networks]
        for number, network in enumerate(networks):
            self.write(number, network.state_dict(), self.values)

    def __len__(self) -> int:
        return len(self._seats)

    def __call__(
        self, inputs: Tensor, generators: Sequence[torch.Generator] | None = None
    ) -> Tensor:
        """Returns ``(networks, batch, outputs)``.

        Args:
            inputs: ``(networks, batch, features)``.
            generators: To train: one a network, from which its dropout draws what it would alone
                from torch's own. Without them the networks are evaluated.
        """
        outputs = self._node(inputs, _Draws(generators is not None, generators or ()))
        return outputs[..., : len(self._layout.places[0])]

    def write(self, number: int, state: Mapping[str, Tensor], into: Tensor) -> None:
        """Puts the tensors of a network, by name, to their places.

        Args:
            number: Of the network.
            state: Its parameters and buffers, or something of the shape of each parameter.
            into: ``values`` or its like; like ``gradients`` for the parameters alone.
        """
        names, places = self._seat(number, into)
        into[places] = torch.cat([state[name].flatten().to(into) for name in names])

    def read(self, number: int, source: Tensor) -> dict[str, Tensor]:
        """Returns copies of the tensors of a network, by name; the reverse of :meth:`write`."""
        names, places = self._seat(number, source)
        parts = torch.split(source[places], [math.prod(shape) for shape in names.values()])
        return {n: p.view(s) for (n, s), p in zip(names.items(), parts, strict=True)}

    def _seat(self, number: int, whole: Tensor) -> tuple[dict[str, torch.Size], Tensor]:
        seat = self._seats[number]
        if len(whole) == len(self.values):
            return seat.parameters | seat.buffers, seat.places
        count = sum(math.prod(shape) for shape in seat.parameters.values())
        return seat.parameters, seat.places[:count]


@dataclass(frozen=True)
class _Seat:
    """The shapes of a network's tensors by name, and where their elements stand in the whole."""

    parameters: dict[str, torch.Size]
    buffers: dict[str, torch.Size]
    places: Tensor


def _seat(network: nn.Module, book: _Book, offsets: Mapping[_Leaf, int]) -> _Seat:
    parameters = dict(network.named_parameters())
    buffers = {n: b for n, b in network.named_buffers() if id(b) in book.places}
    known = [book.places[id(tensor)] for tensor in (*parameters.values(), *buffers.values())]
    places = np.concatenate([offsets[leaf] + places for leaf, places in known])
    return _Seat(
        {name: p.shape for name, p in parameters.items()},
        {name: b.shape for name, b in buffers.items()},
        torch.from_numpy(places),
    )


# --- from modules to nodes -----------------------------------------------------------------


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yields the modules that are looked at one by one; an embedding's parts are its own."""
    yield module
    if _is_sequence(module) or isinstance(module, Residual | Columns):
        for child in module.children():
            yield from _layers(child)


def _is_sequence(module: nn.Module) -> bool:
    return type(module).forward is nn.Sequential.forward


def _kind(module: nn.Module) -> tuple[_Maker, Hashable] | None:
    """What makes the node of a module, and in what modules must agree to be made into one."""
    if _is_sequence(module):
        return _sequence, None
    if type(module) in _ELEMENTWISE:
        return _elementwise, repr(module)
    known = _MAKERS.get(type(module))
    return None if known is None else (known[0], known[1](module))


def _build(group: _Group, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    """Makes one node of the modules that stand at one place, each kind a branch of its own."""
    kinds: dict[tuple[_Maker, Hashable], list[int]] = {}
    for position, module in enumerate(group.values()):
        kind = _kind(module)
        assert kind is not None, why_not_stacked(module)
        kinds.setdefault(kind, []).append(position)
    if len(kinds) == 1:
        ((make, _),) = kinds
        return make(group, layout, book)
    rows, branches = list(group), []
    for (make, _), positions in kinds.items():
        some = {rows[position]: group[rows[position]] for position in positions}
        part = layout.of(positions)
        branches.append((positions, part.width, *make(some, part, book)))
    return _parallel(branches)


def _parallel(
    branches: Sequence[tuple[list[int], int, _Node, _Layout]],
) -> tuple[_Node, _Layout]:
    """Each branch takes some of the networks, so wide as it needs."""
    order = [position for positions, *_ in branches for position in positions]
    sizes = [len(positions) for positions, *_ in branches]
    width = max(layout.width for *_, layout in branches)
    sorted_places = [places for *_, layout in branches for places in layout.places]
    back = np.argsort(order).tolist()
    places = tuple(sorted_places[position] for position in back)
    there, again = torch.tensor(order), torch.tensor(back)
    moved = order != sorted(order)

    def node(x: Tensor, draws: _Draws) -> Tensor:
        parts = torch.split(x.index_select(0, there) if moved else x, sizes)
        found = [
            _fit(inner(_fit(part, wide), draws), width)
            for part, (_, wide, inner, _) in zip(parts, branches, strict=True)
        ]
        y = torch.cat(found)
        return y.index_select(0, again) if moved else y

    return node, _Layout(width, places)


def _fit(x: Tensor, width: int) -> Tensor:
    """Cuts off padding, or adds some."""
    have = x.shape[-1]
    if have < width:
        return functional.pad(x, (0, width - have))
    return x[..., :width] if have > width else x


def _sequence(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    """Layers after each other; who lacks one that others have lets it pass."""
    ahead = {row: deque(module.named_children()) for row, module in group.items()}
    nodes: list[_Node] = []
    while any(ahead.values()):
        name = _next_name(list(ahead.values()))
        step = {
            row: layers.popleft()[1] if layers and layers[0][0] == name else nn.Identity()
            for row, layers in ahead.items()
        }
        made, layout = _build(step, layout, book)
        nodes.append(made)

    def node(x: Tensor, draws: _Draws) -> Tensor:
        for each in nodes:
            x = each(x, draws)
        return x

    return node, layout


def _next_name(ahead: Sequence[deque[tuple[str, nn.Module]]]) -> str:
    """The name of a layer that is next for some and, if possible, comes later for none."""
    later = {name for layers in ahead for name, _ in list(layers)[1:]}
    names = [layers[0][0] for layers in ahead if layers]
    return next((name for name in names if name not in later), names[0])


# --- nodes, one a kind of layer ------------------------------------------------------------


def _elementwise(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    """What computes every feature for itself and makes zero of zero."""
    del book
    module = next(iter(group.values()))
    return lambda x, _: module(x), layout


def _linear(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    rows, layers = list(group), list(group.values())
    out = _Layout.first([layer.out_features for layer in layers])
    where = list(zip(out.places, layout.places, strict=True))
    weight = book.leaf(rows, [m.weight for m in layers], where, (out.width, layout.width))
    bias = book.leaf(rows, [m.bias for m in layers], [(p,) for p in out.places], (out.width,))

    def node(x: Tensor, _: _Draws) -> Tensor:
        return torch.baddbmm(bias.value.unsqueeze(1), x, weight.value.transpose(1, 2))

    return node, out


def _batch_norm(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    rows, layers = list(group), list(group.values())
    weight, bias, mean, var = (
        book.leaf(
            rows, [getattr(m, n) for m in layers], [(p,) for p in layout.places], (layout.width,)
        )
        for n in ("weight", "bias", "running_mean", "running_var")
    )
    eps, momentum = layers[0].eps, layers[0].momentum

    def node(x: Tensor, draws: _Draws) -> Tensor:
        count, batch, width = x.shape
        flat = x.transpose(0, 1).reshape(batch, count * width)
        statistics = mean.value.view(-1), var.value.view(-1)
        scale = weight.value.view(-1), bias.value.view(-1)
        y = functional.batch_norm(flat, *statistics, *scale, draws.training, momentum, eps)
        return y.view(batch, count, width).transpose(0, 1)

    return node, layout


def _layer_norm(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    """Over the features of each network, without what it is padded with."""
    rows, layers = list(group), list(group.values())
    weight, bias = (
        book.leaf(
            rows, [getattr(m, n) for m in layers], [(p,) for p in layout.places], (layout.width,)
        )
        for n in ("weight", "bias")
    )
    eps, mask = layers[0].eps, layout.mask()
    share = 1 / mask.sum(dim=-1, keepdim=True)

    def node(x: Tensor, _: _Draws) -> Tensor:
        centred = (x - x.sum(dim=-1, keepdim=True) * share) * mask
        var = centred.square().sum(dim=-1, keepdim=True) * share
        y = centred * torch.rsqrt(var + eps)
        return torch.addcmul(bias.value.unsqueeze(1), y, weight.value.unsqueeze(1))

    return node, layout


def _dropout(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    """Every network drops what it would alone: it draws as many numbers in the same order."""
    del book
    seats = [
        (row, module.p, len(p))
        for (row, module), p in zip(group.items(), layout.places, strict=True)
    ]
    places = [torch.from_numpy(p) for p in layout.places]
    left = [len(p) == int(p.max(initial=-1)) + 1 for p in layout.places]

    def node(x: Tensor, draws: _Draws) -> Tensor:
        if not draws.training:
            return x
        mask = torch.zeros(x.shape)
        for own, (row, share, width), where, prefix in zip(mask, seats, places, left, strict=True):
            kept = torch.empty(x.shape[1], width)
            kept.bernoulli_(1 - share, generator=draws.generators[row])
            kept.div_(1 - share)
            own[:, slice(width) if prefix else where] = kept
        return x * mask

    return node, layout


def _residual(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    layers = list(group.values())
    skip = layers[0].skip
    branch, out = _build({row: m.branch for row, m in group.items()}, layout, book)
    assert not skip or all(map(np.array_equal, out.places, layout.places))
    activation, _ = _build({row: m.activation for row, m in group.items()}, out, book)

    def node(x: Tensor, draws: _Draws) -> Tensor:
        y = branch(x, draws)
        return activation(y + _fit(x, out.width) if skip else y, draws)

    return node, out


def _columns(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    first = next(iter(group.values()))
    cuts = {
        "embed_numbers": slice(0, first.numbers),
        "embed_categories": slice(first.numbers, layout.width),
    }
    parts: list[tuple[slice, _Node, _Layout]] = []
    for name, cut in cuts.items():
        if getattr(first, name) is not None:
            some = _Layout.first([cut.stop - cut.start] * len(group))
            modules = {row: getattr(module, name) for row, module in group.items()}
            parts.append((cut, *_build(modules, some, book)))
    out = max((layout for *_, layout in parts), key=lambda layout: layout.width)
    for *_, other in parts:
        assert all(map(np.array_equal, out.places, other.places))

    def node(x: Tensor, draws: _Draws) -> Tensor:
        found = [_fit(inner(x[..., cut], draws), out.width) for cut, inner, _ in parts]
        return found[0] if len(found) == 1 else found[0] + found[1]

    return node, out


def _column_linear(
    rows: Sequence[int], layers: Sequence[Any], features: _Layout, book: _Book
) -> tuple[Callable[[Tensor], Tensor], _Layout]:
    """From ``(networks, batch, columns, in)`` to ``(networks, batch, columns * out)``."""
    columns = np.arange(layers[0].weight.shape[0])
    outs = [layer.weight.shape[2] for layer in layers]
    out = _Layout.first(outs)
    where = [(columns, i, o) for i, o in zip(features.places, out.places, strict=True)]
    shape = (len(columns), features.width, out.width)
    weight = book.leaf(rows, [m.weight for m in layers], where, shape)
    where_bias = [(columns, o) for o in out.places]
    bias = book.leaf(rows, [m.bias for m in layers], where_bias, (len(columns), out.width))

    def node(x: Tensor) -> Tensor:
        y = torch.matmul(x.transpose(1, 2), weight.value).transpose(1, 2)
        return (y + bias.value.unsqueeze(1)).flatten(2)

    return node, _flattened(len(columns), out)


def _flattened(columns: int, features: _Layout) -> _Layout:
    starts = np.arange(columns)[:, None] * features.width
    return _Layout(columns * features.width, tuple((starts + p).ravel() for p in features.places))


def _piecewise(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    del layout
    rows, layers = list(group), list(group.values())
    bins = _Layout.first([len(layer.start) for layer in layers])
    linear, out = _column_linear(rows, [layer.linear for layer in layers], bins, book)
    # What a network has no bin for is encoded as zero: between 0 and 0.
    start, length, low, high = (
        torch.stack([_filled(getattr(m, name), bins.width, fill) for m in layers])[:, None, None]
        for name, fill in (("start", 0.0), ("length", 1.0), ("low", 0.0), ("high", 0.0))
    )

    def node(x: Tensor, _: _Draws) -> Tensor:
        share = (x.unsqueeze(-1) - start) / length
        return functional.relu(linear(torch.minimum(torch.maximum(share, low), high)))

    return node, out


def _filled(values: Tensor, width: int, fill: float) -> Tensor:
    return functional.pad(values, (0, width - len(values)), value=fill)


def _periodic(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    del layout
    rows, layers = list(group), list(group.values())
    counts = [layer.frequencies.shape[1] for layer in layers]
    waves = _Layout.first(counts)
    columns = np.arange(layers[0].frequencies.shape[0])
    where = [(columns, places) for places in waves.places]
    shape = (len(columns), waves.width)
    frequencies = book.leaf(rows, [layer.frequencies for layer in layers], where, shape)
    # Sines first, then cosines; the cosine of what is padded is 1, and must be none.
    both = _Layout(
        2 * waves.width, tuple(np.concatenate([p, waves.width + p]) for p in waves.places)
    )
    mask = waves.mask().unsqueeze(1)
    linear, out = _column_linear(rows, [layer.linear for layer in layers], both, book)

    def node(x: Tensor, _: _Draws) -> Tensor:
        angle = 2 * math.pi * frequencies.value.unsqueeze(1) * x.unsqueeze(-1)
        return functional.relu(linear(torch.cat((angle.sin(), angle.cos() * mask), dim=-1)))

    return node, out


def _categories(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    del layout
    rows, layers = list(group), list(group.values())
    codes = layers[0].table.num_embeddings
    features = _Layout.first([layer.table.embedding_dim for layer in layers])
    where = [(np.arange(codes), places) for places in features.places]
    table = book.leaf(rows, [m.table.weight for m in layers], where, (codes, features.width))
    first = layers[0].first_row + codes * torch.arange(len(rows))[:, None, None]

    def node(x: Tensor, _: _Draws) -> Tensor:
        found = functional.embedding(x.long() + first, table.value.flatten(0, 1))
        return found.flatten(2)

    return node, _flattened(len(layers[0].first_row), features)


_ELEMENTWISE = {type(make()) for make in ACTIVATIONS.values()}


def _nothing(module: nn.Module) -> Hashable:
    del module
    return None


_MAKERS: Mapping[type[nn.Module], tuple[_Maker, Callable[[Any], Hashable]]] = MappingProxyType(
    {
        nn.Linear: (_linear, _nothing),
        nn.BatchNorm1d: (_batch_norm, lambda m: (m.eps, m.momentum)),
        nn.LayerNorm: (_layer_norm, lambda m: m.eps),
        nn.Dropout: (_dropout, _nothing),
        Residual: (_residual, lambda m: m.skip),
        ResidualLinearBlock: (_residual, lambda m: m.skip),
        Columns: (_columns, lambda m: m.numbers),
        PiecewiseLinearEmbedding: (_piecewise, lambda m: len(m.linear.weight)),
        PeriodicEmbedding: (_periodic, lambda m: len(m.linear.weight)),
        CategoryEmbedding: (_categories, lambda m: tuple(m.first_row.tolist())),
    }
)
"""For each kind of layer what makes its node, and in what modules must agree to be made into one."""
