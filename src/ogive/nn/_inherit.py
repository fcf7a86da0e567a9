"""A network that begins with the weights of another one (Net2Net; Chen et al. 2016, arXiv:1511.05641).

Where the graph of the network can be followed, what it computes is what the other one did, however
much wider or deeper it is. Two deviations from the paper. Channel j of the wider layer copies
channel ``j % before`` and not one drawn at random (the paper's mapping g), so that all are copied
about as often, and a layer normalisation keeps its mean where the width is a multiple. And what a
copied channel is worth to the next layer is not divided in equal parts with noise added, but for
each of its outputs in random parts of the same sum: copies learn different things, and what is
computed stays as it was to the last bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from ogive.nn._build import Answers, build_answered
from ogive.nn._chooser import NetworkFunction
from ogive.nn._follow import Wires, follow
from ogive.nn._places import Place, places, window
from ogive.space import Architecture
from ogive.task import Task

__all__ = ["Heir", "inherit"]

_SAME = 1e-5
"""How far outputs may lie from inputs, of about 1, for a layer to be the identity."""

_UNEVEN = 0.5
"""How far the parts of a copied channel differ: from 1 - 0.5 to 1 + 0.5, before they are summed."""


@dataclass(frozen=True)
class Heir:
    """A network with another one's weights, and how it came by them.

    Attributes:
        network: The network.
        share: The share of its parameters that are the other one's, or made of those.
        cut: Names of tensors of another size there, whose channels could not be followed: it has
            the leading slices, and computes something else than the other one did.
        identities: Names of new layers that begin as the identity.
    """

    network: nn.Module
    share: float
    cut: tuple[str, ...]
    identities: tuple[str, ...]


@torch.no_grad()
def inherit(
    network: NetworkFunction,
    task: Task,
    architecture: Architecture,
    parent: Architecture,
    weights: Mapping[str, Tensor],
    inputs: Tensor,
) -> Heir:
    """Builds a network, as :func:`build` does, and gives it the weights of another one.

    What both have in the same place (:class:`ogive.nn.Supernet`) it takes: all of it where the
    shapes agree; copies of channels where it is wider, with what follows divided between them; the
    leading channels where it is narrower; the smaller kernel in the middle of the larger one, and
    the other way round. A layer of which the other one has none, such as the last of a deeper
    stack, begins as the identity if its last normalisation or linear layer can be set to 0 (a
    residual block) or its layers to the identity; what that is tried on are ``inputs``. Anything
    else is as it was initialised.

    Args:
        network: The network function.
        task: What its networks are for.
        architecture: What to build.
        parent: The other network's architecture.
        weights: Its state.
        inputs: A batch ``(batch, *shape)`` as networks take it.

    Raises:
        ValueError: If the weights are not those of the parent.
    """
    answers = Answers(architecture)
    child = build_answered(network, task, answers)
    old, known = _state(network, task, parent, weights)
    names = {module: name for name, module in child.named_modules()}
    wires = follow(child, inputs)
    taken = total = 0
    cut = []
    for place in places(child, answers.options):
        name = f"{names[place.module]}.{place.attribute}".removeprefix(".")
        if place.name in old:
            tensor, count = _carried(place, old[place.name], wires, name)
            place.tensor.copy_(tensor)
            taken += place.learned * count
            cut += [] if count == tensor.numel() else [name]
        total += place.learned * place.tensor.numel()
    identities = [name for name, new in _new(child, known) if _settled(child, new, inputs)]
    return Heir(child, taken / max(1, total), tuple(cut), tuple(identities))


def _state(
    network: NetworkFunction, task: Task, parent: Architecture, weights: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], frozenset[str]]:
    """The parent's tensors by their places, and the names of its modules."""
    answers = Answers(parent)
    with torch.device("meta"):
        built = build_answered(network, task, answers)
    names = {module: name for name, module in built.named_modules()}
    found = {}
    for place in places(built, answers.options):
        name = f"{names[place.module]}.{place.attribute}".removeprefix(".")
        if name not in weights or weights[name].shape != place.tensor.shape:
            raise ValueError(
                f"The weights must be those of {dict(parent)}, but {name!r} is missing or of "
                f"another shape than {tuple(place.tensor.shape)}."
            )
        found[place.name] = weights[name]
    return found, frozenset(names.values())


# Wider


def _carried(place: Place, old: Tensor, wires: Wires, name: str) -> tuple[Tensor, int]:
    """What a tensor is with what it takes from another one, and how many numbers that is."""
    own = place.tensor
    if place.kernel:
        old = _fitted(place, old, own.shape[2:])
    for dim, size in enumerate(own.shape[:2]):
        before = old.shape[dim]
        origin = None if size == before else wires.origin(name, dim, before)
        if origin is None:
            continue
        old = old.index_select(dim, origin)
        if dim == 1 and name in wires.sums:
            old = old * _parts(origin, old.shape[0], before).view(*old.shape[:2], *_ones(old))
    if old.shape == own.shape:
        return old, old.numel()
    least = torch.Size(min(sizes) for sizes in zip(own.shape, old.shape, strict=True))
    own = own.clone()
    own[window(place, own, least)] = old[window(place, old, least)]
    return own, least.numel()


def _ones(tensor: Tensor) -> list[int]:
    return [1] * (tensor.dim() - 2)


def _parts(origin: Tensor, outputs: int, before: int) -> Tensor:
    """For each output ``(outputs, size)`` the parts of copied channels; those of one sum up to 1."""
    parts = 1 + _UNEVEN * (2 * torch.rand(outputs, len(origin)) - 1)
    sums = torch.zeros(outputs, before).index_add_(1, origin, parts)
    return parts / sums[:, origin]


def _fitted(place: Place, old: Tensor, kernel: torch.Size) -> Tensor:
    """The middle of a kernel, or the kernel in the middle of zeros."""
    least = torch.Size([*old.shape[:2], *map(min, old.shape[2:], kernel)])
    fitted = old.new_zeros([*old.shape[:2], *kernel])
    fitted[window(place, fitted, least)] = old[window(place, old, least)]
    return fitted


# Deeper


def _new(child: nn.Module, known: frozenset[str]) -> Iterator[tuple[str, nn.Module]]:
    """The modules with weights that stand where the parent has none, the outermost of them."""
    within: str | None = None
    for name, module in child.named_modules():
        if within is not None and name.startswith(f"{within}."):
            continue
        if name not in known and any(True for _ in module.parameters()):
            within = name
            yield name, module


def _settled(child: nn.Module, new: nn.Module, inputs: Tensor) -> bool:
    """Makes a new layer the identity, if that can be, and says whether it did."""
    got = _input_of(child, new, inputs)
    if got is None:
        return False
    first = {name: value.clone() for name, value in new.state_dict().items()}
    layers = [m for m in new.modules() if isinstance(m, _BatchNorm | nn.Linear | _ConvNd)]
    attempts = [*(partial(_silence, layer) for layer in reversed(layers)), partial(_identify, new)]
    with _evaluating(new):
        for attempt in attempts:
            if attempt() and _same(new(got), got):
                if attempt is attempts[-1]:
                    _calibrate(new, got)
                return True
            new.load_state_dict(first)
    return False


def _same(outputs: Tensor, inputs: Tensor) -> bool:
    return outputs.shape == inputs.shape and bool(
        torch.allclose(outputs, inputs, rtol=_SAME, atol=_SAME)
    )


def _input_of(child: nn.Module, new: nn.Module, inputs: Tensor) -> Tensor | None:
    """What a layer gets while the network computes; ``None`` unless it is one tensor, once."""
    got: list[tuple[object, ...]] = []
    handle = new.register_forward_pre_hook(lambda _, given: got.append(given))
    with _evaluating(child):
        child(inputs)
    handle.remove()
    if len(got) != 1 or len(got[0]) != 1:
        return None
    return got[0][0] if isinstance(got[0][0], Tensor) else None


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    yield
    module.train(training)


def _silence(layer: _BatchNorm | nn.Linear | _ConvNd) -> bool:
    """Lets a layer give 0: if it is the last of a residual block, that adds nothing."""
    for tensor in (layer.weight, layer.bias):
        if tensor is not None:
            nn.init.zeros_(tensor)
    return True


def _identify(new: nn.Module) -> bool:
    """Lets each layer with weights give what it gets, if all can."""
    for module in new.modules():
        if not list(module.parameters(recurse=False)):
            continue
        if isinstance(module, nn.Linear) and module.in_features == module.out_features:
            nn.init.eye_(module.weight)
        elif isinstance(module, nn.Conv1d | nn.Conv2d) and module.in_channels == (
            module.out_channels
        ):
            nn.init.dirac_(module.weight, groups=module.groups)
        elif isinstance(module, _BatchNorm) and module.track_running_stats:
            module.reset_running_stats()
            module.running_var.fill_(1 - module.eps)  # type: ignore[union-attr]
        else:
            return False
        if isinstance(module.bias, Tensor):
            nn.init.zeros_(module.bias)
    return True


def _calibrate(new: nn.Module, got: Tensor) -> None:
    """Lets normalisations undo themselves, by the mean and deviation of what they get.

    The paper does so where it inserts a layer. So the identity holds in training, too, where they go by their batch.
    """
    norms = [m for m in new.modules() if isinstance(m, _BatchNorm)]
    seen: dict[nn.Module, Tensor] = {}
    handles = [
        norm.register_forward_pre_hook(lambda m, given: seen.update({m: given[0]}))
        for norm in norms
    ]
    new(got)
    for handle in handles:
        handle.remove()
    for norm in norms:
        dims = [dim for dim in range(seen[norm].dim()) if dim != 1]
        var, mean = torch.var_mean(seen[norm], dims, correction=0)
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
        norm.bias.copy_(mean)
        norm.weight.copy_((var + norm.eps).sqrt())
