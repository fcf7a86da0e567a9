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
    NormAct,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    ResidualLinearBlock,
)

__all__ = ["Stack", "why_not_stacked"]

Places = npt.NDArray[np.int64]
Section = Literal["free", "decayed", "buffers"]

_EPS, _MOMENTUM = 1e-5, 0.1
"""Of every normalisation: torch's own."""

_SECTIONS: tuple[Section, ...] = ("free", "decayed", "buffers")

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
"""Where torch keeps what else a layer does, or the gradient of a weight goes through."""


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

    section: Section
    shape: tuple[int, ...]
    rows: tuple[int, ...]
    value: Tensor = field(init=False)

    def bind(self, values: Tensor, gradients: Tensor, place: slice) -> None:
        """Makes the tensor a view of the whole; autograd adds its gradient up in place."""
        self.value = values[place].view(self.shape)
        if self.section != "buffers":
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
        decayed: Section = "decayed" if tensors[0].dim() > 1 else "free"
        section: Section = decayed if isinstance(tensors[0], nn.Parameter) else "buffers"
        leaf = _Leaf(section, (len(rows), *shape), tuple(rows))
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
    for module in _layers(network):
        if _kind(module) is None:
            return f"{type(module).__name__} has no form for many networks at once"
        if isinstance(module, nn.BatchNorm1d | nn.LayerNorm) and not _usual(module):
            return f"{module} is another than its number of features alone would make"
        if isinstance(module, nn.Linear) and len([*module.parameters()]) < 2:
            return "a linear layer of it has no bias"
    parameters = list(network.parameters())
    if len(parameters) < len(list(network.named_parameters(remove_duplicate=False))):
        return "two layers of it share their weights"
    if any(not p.requires_grad or p.dtype != torch.float32 for p in parameters):
        return "not all of its weights are trained in 32 bits"
    hooked = (*network.modules(), *parameters)
    if any(getattr(each, name, None) for each in hooked for name in _HOOKS):
        return "it has hooks"
    return None


def _usual(norm: nn.BatchNorm1d | nn.LayerNorm) -> bool:
    features = norm.num_features if isinstance(norm, nn.BatchNorm1d) else norm.normalized_shape[0]
    return repr(norm) == repr(type(norm)(features)) and norm.eps == _EPS


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
        leaves = sorted(book.leaves, key=lambda leaf: _SECTIONS.index(leaf.section))
        sizes = [math.prod(leaf.shape) for leaf in leaves]
        offsets = dict(zip(leaves, np.cumsum([0, *sizes]).tolist(), strict=False))
        self.values = torch.zeros(sum(sizes))
        parameters = [leaf for leaf in leaves if leaf.section != "buffers"]
        self.gradients = torch.zeros(sum(math.prod(leaf.shape) for leaf in parameters))
        self.free = sum(math.prod(leaf.shape) for leaf in leaves if leaf.section == "free")
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


def _layers(module: nn.Module) -> Iterator[Any]:
    """Yields the modules that are looked at one by one; an embedding's parts are its own."""
    yield module
    if _is_sequence(module) or isinstance(module, Residual | Columns):
        for child in module.children():
            yield from _layers(child)


def _is_sequence(module: nn.Module) -> bool:
    return type(module).forward is nn.Sequential.forward


def _kind(module: nn.Module) -> tuple[_Maker, Hashable] | None:
    """What makes the node of a module, and in what modules must agree to be made into one."""
    if type(module) in _TAILS:
        return _tail, None
    if _is_sequence(module):
        return _sequence, None
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


def _linear(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    rows, layers = list(group), list(group.values())
    out = _Layout.first([layer.out_features for layer in layers])
    where = list(zip(out.places, layout.places, strict=True))
    weight = book.leaf(rows, [m.weight for m in layers], where, (out.width, layout.width))
    bias = book.leaf(rows, [m.bias for m in layers], [(p,) for p in out.places], (out.width,))

    def node(x: Tensor, _: _Draws) -> Tensor:
        return torch.baddbmm(bias.value.unsqueeze(1), x, weight.value.transpose(1, 2))

    return node, out


@dataclass(frozen=True)
class _Tail:
    """What stands between two products for one network: normalisation, activation, dropout."""

    norm: nn.BatchNorm1d | nn.LayerNorm | None = None
    activation: nn.Module | None = None
    dropout: float = 0.0

    @classmethod
    def of(cls, module: nn.Module) -> _Tail:
        if isinstance(module, NormAct):
            parts = [cls.of(child) for child in module.children()]
            return cls(
                next((part.norm for part in parts if part.norm is not None), None),
                next((part.activation for part in parts if part.activation is not None), None),
                sum(part.dropout for part in parts),
            )
        if isinstance(module, nn.BatchNorm1d | nn.LayerNorm):
            return cls(norm=module)
        if isinstance(module, nn.Dropout):
            return cls(dropout=module.p)
        return cls() if isinstance(module, nn.Identity) else cls(activation=module)


def _tail(group: _Same, layout: _Layout, book: _Book) -> tuple[_Node, _Layout]:
    """Normalisation, activation and dropout of all networks, whichever each of them has."""
    rows, tails = list(group), [_Tail.of(module) for module in group.values()]
    if all(tail == _Tail() for tail in tails):
        return lambda x, _: x, layout
    batch = _norms(nn.BatchNorm1d, tails)
    layer = _norms(nn.LayerNorm, tails)
    leaves = [
        *_norm_leaves(batch, rows, tails, layout, book, ("weight", "bias")),
        *_norm_leaves(layer, rows, tails, layout, book, ("weight", "bias")),
    ]
    running = _norm_leaves(batch, rows, tails, layout, book, ("running_mean", "running_var"))
    mask = _Layout(layout.width, tuple(layout.places[i] for i in layer)).mask() if layer else None
    some_batch, some_layer = _some(batch), _some(layer)
    activations = _runs(tails)
    draw = _dropout(rows, tails, layout)

    def node(x: Tensor, draws: _Draws) -> Tensor:
        parts: list[_Part] = []
        if batch:
            statistics = [leaf.value.view(-1) for leaf in running]
            parts.append(_BatchPart(some_batch, statistics, draws.training))
        if mask is not None:
            parts.append(_LayerPart(some_layer, mask))
        scales = [leaf.value for leaf in leaves]
        return _Tails.apply(x, parts, activations, draw(x, draws), *scales)  # type: ignore[no-any-return, no-untyped-call]

    return node, layout


_Some = slice | Tensor


def _some(positions: Sequence[int]) -> _Some:
    """Which of the networks; a slice costs no copy."""
    if positions and positions[-1] - positions[0] == len(positions) - 1:
        return slice(positions[0], positions[-1] + 1)
    return torch.tensor(positions)


def _norms(kind: type[nn.Module], tails: Sequence[_Tail]) -> list[int]:
    return [position for position, tail in enumerate(tails) if isinstance(tail.norm, kind)]


def _norm_leaves(
    positions: Sequence[int],
    rows: Sequence[int],
    tails: Sequence[_Tail],
    layout: _Layout,
    book: _Book,
    names: Sequence[str],
) -> list[_Leaf]:
    """A leaf for each of the tensors of the normalisations at some positions."""
    if not positions:
        return []
    some, where = [rows[i] for i in positions], [(layout.places[i],) for i in positions]
    tensors = [[getattr(tails[i].norm, name) for i in positions] for name in names]
    return [book.leaf(some, each, where, (layout.width,)) for each in tensors]


def _runs(tails: Sequence[_Tail]) -> list[tuple[slice, nn.Module]]:
    """Which activation is next for how many networks."""
    found: list[tuple[slice, nn.Module]] = []
    for position, tail in enumerate(tails):
        if tail.activation is None:
            continue
        if found and found[-1][0].stop == position and repr(found[-1][1]) == repr(tail.activation):
            found[-1] = slice(found[-1][0].start, position + 1), found[-1][1]
        else:
            found.append((slice(position, position + 1), tail.activation))
    return found


def _dropout(
    rows: Sequence[int], tails: Sequence[_Tail], layout: _Layout
) -> Callable[[Tensor, _Draws], Tensor | None]:
    """Every network drops what it would alone: it draws as many numbers in the same order."""
    seats = [
        (position, rows[position], 1 - tail.dropout, torch.from_numpy(places))
        for position, (tail, places) in enumerate(zip(tails, layout.places, strict=True))
        if tail.dropout
    ]
    scale = torch.tensor([1 / (1 - tail.dropout) for tail in tails])[:, None, None]

    def draw(x: Tensor, draws: _Draws) -> Tensor | None:
        if not seats or not draws.training:
            return None
        kept = torch.ones(x.shape)
        for position, row, share, places in seats:
            own = torch.empty(x.shape[1], len(places))
            own.bernoulli_(share, generator=draws.generators[row])
            if len(places) == x.shape[2]:
                kept[position] = own
            else:
                kept[position].index_copy_(1, places, own)
        return kept.mul_(scale)

    return draw


class _BatchPart:
    """Batch normalisation of some of the networks, forwards and backwards."""

    def __init__(self, rows: _Some, running: list[Tensor], training: bool) -> None:
        self._rows, self._running, self._training = rows, running, training
        self._kept: tuple[Tensor, ...] = ()

    def forward(self, x: Tensor, out: Tensor, weight: Tensor, bias: Tensor) -> None:
        flat = x[self._rows].transpose(0, 1).reshape(x.shape[1], -1)
        scale = weight.reshape(-1)
        mean, var = self._running
        y, *kept = torch.native_batch_norm(
            flat, scale, bias.reshape(-1), mean, var, self._training, _MOMENTUM, _EPS
        )
        out[self._rows] = y.view(x.shape[1], -1, x.shape[2]).transpose(0, 1)
        self._kept = flat, scale, *kept

    def backward(self, gradient: Tensor, into: Tensor) -> tuple[Tensor, Tensor]:
        flat, scale, *kept = self._kept
        given = gradient[self._rows]
        dx, dw, db = torch.ops.aten.native_batch_norm_backward(
            given.transpose(0, 1).reshape(flat.shape),
            flat,
            scale,
            *self._running,
            *kept,
            True,
            _EPS,
            [True, True, True],
        )
        into[self._rows] = dx.view(given.shape[1], -1, given.shape[2]).transpose(0, 1)
        shape = len(given), given.shape[2]
        return dw.view(shape), db.view(shape)


class _LayerPart:
    """Layer normalisation of some of the networks, over the features that each has."""

    def __init__(self, rows: _Some, mask: Tensor) -> None:
        self._rows, self._mask = rows, mask
        self._share = 1 / mask.sum(dim=-1, keepdim=True)
        self._kept: tuple[Tensor, ...] = ()

    def _mean(self, x: Tensor) -> Tensor:
        return x.sum(dim=-1, keepdim=True).mul_(self._share)

    def forward(self, x: Tensor, out: Tensor, weight: Tensor, bias: Tensor) -> None:
        mine = x[self._rows]
        centred = (mine - self._mean(mine)).mul_(self._mask)
        scale = self._mean(centred.square()).add_(_EPS).rsqrt_()
        standard = centred.mul_(scale)
        self._kept = standard, scale, weight
        out[self._rows] = torch.addcmul(bias.unsqueeze(1), standard, weight.unsqueeze(1))

    def backward(self, gradient: Tensor, into: Tensor) -> tuple[Tensor, Tensor]:
        standard, scale, weight = self._kept
        given = gradient[self._rows]
        dw, db = (given * standard).sum(dim=1), given.sum(dim=1)
        inner = given * weight.unsqueeze(1)
        rest = self._mean(inner) * self._mask + standard * self._mean(inner * standard)
        into[self._rows] = inner.sub_(rest).mul_(scale)
        return dw, db


_Part = _BatchPart | _LayerPart


class _Tails(torch.autograd.Function):
    """One step of autograd for what would be a dozen; each network's share is a slice of it."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        parts: list[_Part],
        activations: list[tuple[slice, nn.Module]],
        kept: Tensor | None,
        *scales: Tensor,
    ) -> Tensor:
        normal = x.clone() if parts else x
        for part, weight, bias in zip(parts, scales[::2], scales[1::2], strict=True):
            part.forward(x, normal, weight, bias)
        y = normal.clone()
        for some, activation in activations:
            y[some] = activation(normal[some])
        ctx.parts, ctx.activations, ctx.kept, ctx.normal = parts, activations, kept, normal
        return y if kept is None else y.mul_(kept)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        gradient = given.clone() if ctx.kept is None else given * ctx.kept
        for some, activation in ctx.activations:
            gradient[some] = _backward(activation, gradient[some], ctx.normal[some])
        into = gradient.clone() if ctx.parts else gradient
        scales = [each for part in ctx.parts for each in part.backward(gradient, into)]
        return into, None, None, None, *scales


def _backward(activation: nn.Module, gradient: Tensor, x: Tensor) -> Tensor:
    known = _DERIVATIVES.get(repr(activation))
    if known is not None:
        return known(gradient, x)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(activation(x), x, gradient)[0]


_DERIVATIVES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        repr(nn.ReLU()): lambda gradient, x: torch.ops.aten.threshold_backward(gradient, x, 0),
        repr(nn.SiLU()): lambda gradient, x: torch.ops.aten.silu_backward(gradient, x),
        repr(nn.GELU()): lambda gradient, x: torch.ops.aten.gelu_backward(gradient, x),
    }
)
"""Of the frequent ones, without the detour over autograd."""


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
    """From ``(networks, batch, columns, in)`` to ``(networks, batch, out * columns)``."""
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
        return (y + bias.value.unsqueeze(1)).transpose(2, 3).flatten(2)

    return node, _flattened(len(columns), out)


def _flattened(columns: int, features: _Layout) -> _Layout:
    """The first feature of each column, then the second."""
    places = (p[:, None] * columns + np.arange(columns) for p in features.places)
    return _Layout(columns * features.width, tuple(place.ravel() for place in places))


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
    # A sine and its cosine, in turn; the cosine of what is padded is 1, and must be none.
    both = _Layout(
        2 * waves.width, tuple(np.stack([2 * p, 2 * p + 1], axis=1).ravel() for p in waves.places)
    )
    mask = waves.mask().unsqueeze(1)
    linear, out = _column_linear(rows, [layer.linear for layer in layers], both, book)

    def node(x: Tensor, _: _Draws) -> Tensor:
        angle = 2 * math.pi * frequencies.value.unsqueeze(1) * x.unsqueeze(-1)
        return functional.relu(
            linear(torch.stack((angle.sin(), angle.cos() * mask), dim=-1).flatten(-2))
        )

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
        return found.transpose(2, 3).flatten(2)

    return node, _flattened(len(layers[0].first_row), features)


_TAILS = {
    NormAct,
    nn.BatchNorm1d,
    nn.LayerNorm,
    nn.Dropout,
    *(type(make()) for make in ACTIVATIONS.values()),
}


def _nothing(module: nn.Module) -> Hashable:
    del module
    return None


_MAKERS: Mapping[type[nn.Module], tuple[_Maker, Callable[[Any], Hashable]]] = MappingProxyType(
    {
        nn.Linear: (_linear, _nothing),
        Residual: (_residual, lambda m: m.skip),
        ResidualLinearBlock: (_residual, lambda m: m.skip),
        Columns: (_columns, lambda m: m.numbers),
        PiecewiseLinearEmbedding: (_piecewise, lambda m: len(m.linear.weight)),
        PeriodicEmbedding: (_periodic, lambda m: len(m.linear.weight)),
        CategoryEmbedding: (_categories, lambda m: tuple(m.first_row.tolist())),
    }
)
"""For each kind of layer what makes its node, and in what modules must agree to be made into one."""
