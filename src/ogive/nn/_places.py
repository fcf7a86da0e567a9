"""Where in a network a tensor stands: what two architectures have there, they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized

from ogive.nn._chooser import module_name
from ogive.nn._mix import Mixed

__all__ = ["Place", "buffers", "places", "window"]

_TRACKED = ("running_mean", "running_var", "num_batches_tracked")

Options = Mapping[nn.Module, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor of a network, and the name that it has in every network of the space.

    The name is the way to it: the modules' own names, each with the options of ``choose.layer``
    that made it and with its type, so that a convolution never meets a pooling that stands in
    the same place of another network.

    Attributes:
        name: Such as ``stage0:Sequential/1[conv]:ConvBlock/conv:Conv2d/weight``.
        module: The module that has the tensor.
        attribute: The tensor's name there.
        learned: Whether it is a parameter; else it is a buffer.
        own: Whether it is a buffer, and no statistic of the data.
        kernel: Whether all dimensions but two are those of a convolution's kernel.
        packed: How many tensors of one size torch keeps in this one, in rows and in columns.
        tied: The other modules that have the same tensor, each with its name there.
    """

    name: str
    module: nn.Module
    attribute: str
    learned: bool
    own: bool
    kernel: bool
    packed: tuple[int, int]
    tied: list[tuple[nn.Module, str]] = field(default_factory=list)

    @property
    def tensor(self) -> Tensor:
        tensor = self._store(self.module)[self.attribute]
        assert tensor is not None
        return tensor

    def put(self, tensor: Tensor) -> None:
        """Sets any tensor there, one with a history too: the modules compute with it."""
        for module, attribute in ((self.module, self.attribute), *self.tied):
            self._store(module)[attribute] = tensor

    def _store(self, module: nn.Module) -> dict[str, Tensor | None]:
        return module._parameters if self.learned else module._buffers  # type: ignore[return-value]  # noqa: SLF001


def places(network: nn.Module, options: Options) -> Iterator[Place]:
    """Yields what a network shares with others: parameters, and statistics of normalisations.

    Args:
        network: A network, as it was built.
        options: The options of ``choose.layer`` that made its modules.
    """
    return (place for place in _found(network, options) if not place.own)


def buffers(network: nn.Module, options: Options) -> Iterator[Place]:
    """Yields the other buffers of a network's state: constants, unless a layer changes them.

    They may depend on all sizes of their layer, so those of a layer with others have other names.
    """
    return (place for place in _found(network, options) if place.own)


def _found(network: nn.Module, options: Options) -> Iterator[Place]:
    found: dict[int, Place] = {}
    parametrized: dict[nn.Module, tuple[nn.Module, str]] = {}
    for name, module in _walk(network, "", options, set()):
        if is_parametrized(module):  # what its tensors are computed from is cut as they are
            lists = module.parametrizations
            parametrized |= {each: (module, key) for key, each in lists.items()}  # type: ignore[operator, union-attr]
        tensors = [(key, value, True) for key, value in module._parameters.items()]  # noqa: SLF001
        tensors += [(key, module._buffers[key], False) for key in _kept(module)]  # type: ignore[misc]  # noqa: SLF001
        sizes = [str(tuple(value.shape)) for _, value, _ in tensors if value is not None]
        for key, value, learned in tensors:
            if value is None:
                continue
            own = not learned and not (isinstance(module, _NormBase) and key in _TRACKED)
            if id(value) in found:
                found[id(value)].tied.append((module, key))
                continue
            owner, owned = parametrized.get(module, (module, key))
            kernel = isinstance(owner, _ConvNd) and value.dim() > 2
            packed = _packed(owner, owned, value)
            # What one direction gives and what both give is not the same.
            both = "[both]" if packed[1] == 2 else ""
            full = f"{name}/{key}{both}" + (f" of {', '.join(sizes)}" if own else "")
            found[id(value)] = Place(full, module, key, learned, own, kernel, packed)
    yield from found.values()


def _kept(module: nn.Module) -> Iterator[str]:
    """The buffers that are saved with a network; the others are computed anew."""
    return (key for key in module._buffers if key not in module._non_persistent_buffers_set)  # noqa: SLF001


def _packed(module: nn.Module, key: str, tensor: Tensor) -> tuple[int, int]:
    if isinstance(module, nn.MultiheadAttention) and key.startswith("in_proj"):
        return 3, 1  # queries, keys, values
    if isinstance(module, nn.RNNBase | nn.RNNCellBase) and not key.startswith("weight_hr"):
        gates = len(tensor) // module.hidden_size
        above = (
            isinstance(module, nn.RNNBase) and key.startswith("weight_ih_l") and "_l0" not in key
        )
        return gates, 2 if above and module.bidirectional and tensor.shape[-1] > 1 else 1
    return 1, 1


def _walk(
    module: nn.Module, name: str, options: Options, seen: set[nn.Module]
) -> Iterator[tuple[str, nn.Module]]:
    if module in seen:  # it stands in the network twice, and is one
        return
    seen.add(module)
    name += "".join(f"[{module_name(option)}]" for option in options.get(module, ()))
    if isinstance(module, Mixed):  # each of its options, where it would stand alone
        for option, child in module.options.items():
            yield from _walk(child, f"{name}[{option}]", options, seen)
        return
    name += f":{type(module).__name__}"
    yield name, module
    for key, child in module.named_children():
        yield from _walk(child, f"{name}/{key}", options, seen)


def window(place: Place, whole: Tensor, shape: torch.Size) -> tuple[slice | Tensor, ...]:
    """Returns the part of a shared tensor that a network of a certain shape takes, as an index.

    The leading channels or features, and the middle of a convolution's kernel (Cai et al. 2020,
    arXiv:1908.09791, section 3.3); where several tensors are packed in one, those of each.

    Args:
        place: Where the tensor stands.
        whole: The shared tensor.
        shape: What the network needs, in no dimension larger.
    """
    if place.packed == (1, 1):
        starts = [
            (most - size) // 2 if place.kernel and i > 1 else 0
            for i, (most, size) in enumerate(zip(whole.shape, shape, strict=True))
        ]
        return tuple(slice(start, start + size) for start, size in zip(starts, shape, strict=True))
    leading = (
        torch.arange(most, device=whole.device).view(count, -1)[:, : size // count].flatten()
        for count, most, size in zip(place.packed, whole.shape, shape, strict=False)
    )
    return torch.meshgrid(*leading, indexing="ij")
