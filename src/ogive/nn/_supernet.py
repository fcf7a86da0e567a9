"""The third reading of a network function: all architectures, over one set of weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.utils.parametrizations import _SpectralNorm

from ogive._whole import write_whole
from ogive.errors import OgiveError, SpaceError
from ogive.nn._build import Answers, build_answered
from ogive.nn._chooser import NetworkFunction
from ogive.nn._largest import Option, largest, missed, options_of
from ogive.nn._mix import Branches, Mixed, Sum, mixed
from ogive.nn._partial import connect_partially
from ogive.nn._places import Options, Place, buffers, places, window
from ogive.space import Architecture, SearchSpace
from ogive.task import Task

__all__ = ["Mixture", "Route", "Supernet", "calibrate"]

_PATIENCE = 60
"""Architectures drawn in a row that hold nothing new, after which all places are known."""

_ROUTES = 64
"""Routes that are kept ready."""


class Supernet(nn.Module):
    """All networks of a space over one set of weights.

    What two networks have in the same place, they share: a narrower layer takes the leading
    channels of the shared tensor and a smaller kernel its middle, a shallower stack its first
    layers; what different options of ``choose.layer`` made shares nothing. A *route* is the plain
    network of an architecture, made of torch's own layers, that computes with slices of the
    shared weights. So every layer can be shared that a network function can use, and the network
    that is :meth:`extracted <extract>` computes what the route did.

    Buffers that are no statistics of a normalisation are each network's own, until a layer changes
    them when it computes: from then on all networks share them in which it has the same sizes.

    A place is known by the names of the modules on the way to it. Layers that stand in some
    networks only should therefore be named (``nn.Sequential(OrderedDict(...))``) or chosen by
    ``choose.layer``: else what comes after them stands in another place.

    Args:
        network: The network function.
        task: What its networks are for.
        space: What may be chosen; narrower than the function's own, if you like.
        seed: Of the initial weights, and of constants that a network draws.

    Raises:
        SpaceError: If a network of the space cannot be built.
    """

    def __init__(
        self, network: NetworkFunction, task: Task, space: SearchSpace, *, seed: int = 0
    ) -> None:
        super().__init__()
        self.space = space
        self._network = network
        self._task = task
        self._seed = seed
        self._routes: OrderedDict[Architecture, Route] = OrderedDict()
        self._changed = nn.Module()
        with torch.random.fork_rng(list(range(torch.cuda.device_count()))):
            torch.manual_seed(seed)
            self._fill(seed)

    def _fill(self, seed: int) -> None:
        """Draws architectures until none holds anything new, then initialises what they hold."""
        rng = Random(seed)
        shapes: dict[str, torch.Size] = {}
        holders: dict[Architecture, None] = {}
        looked: set[Architecture] = set()
        seen: set[Option] = set()

        def look(architecture: Architecture) -> bool:
            """Says whether it holds anything new; what was looked at before does not."""
            if architecture in looked:
                return False
            looked.add(architecture)
            try:
                with torch.device("meta"):
                    found = list(places(*self._built(architecture)))
            except OgiveError:
                # What a rule forbids is built for its size; it may be forbidden as it cannot be.
                if self.space.reason_invalid(architecture) is None:
                    raise
                return False
            for place in found:
                shape = place.tensor.shape
                joint = _joint(shapes.get(place.name, shape), shape)
                if shapes.get(place.name) != joint:
                    shapes[place.name] = joint
                    holders[architecture] = None
            return architecture in holders

        stale = 0
        while stale < _PATIENCE:
            # Most places are largest where all numbers are; where not, a random one finds out.
            large = stale % 2 == 1
            architecture = largest(self.space, rng) if large else self.space.sample(rng)
            stale = 0 if look(architecture) else stale + 1
            seen.update(options_of(self.space, architecture) if large else ())
        for architecture in missed(self.space, rng, seen):
            look(architecture)
            seen.update(options_of(self.space, architecture))
        for architecture in reversed(holders):  # the later, the larger
            for place in places(*self._built(architecture)):
                self._initialise(place, shapes[place.name])

    def _built(
        self, architecture: Mapping[str, Any], *, apart: bool = False
    ) -> tuple[nn.Module, Options]:
        answers = Answers(architecture, apart=apart)
        return build_answered(self._network, self._task, answers), answers.options

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Lets a network that is built again draw the same constants."""
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(self._seed)
            yield

    def _initialise(self, place: Place, shape: torch.Size) -> None:
        """Takes the tensor as its own network initialised it; where that is smaller, more alike."""
        if place.name in self._parameters or place.name in self._buffers:
            return
        own = place.tensor.detach()
        if own.shape != shape:
            drawn = torch.randint(own.numel(), shape)
            own = own.flatten()[drawn]
        if place.learned:
            self.register_parameter(place.name, nn.Parameter(own, place.tensor.requires_grad))
        else:
            self.register_buffer(place.name, own)

    # What one asks of it

    def route(self, architecture: Mapping[str, Any]) -> Route:
        """Returns the network of an architecture over the shared weights.

        Raises:
            SpaceError: If it needs weights that no architecture drawn so far had.
        """
        key = Architecture(architecture)
        if key not in self._routes:
            with self._seeded():
                network, options = self._built(key, apart=True)
            # Its constants, too: its weights are the shared ones, wherever those are.
            network.to(self._device)
            bound = self._bound(key, places(network, options))
            self._routes[key] = Route(network, bound, self._own(network, options))
            if len(self._routes) > _ROUTES:
                self._routes.popitem(last=False)
        self._routes.move_to_end(key)
        return self._routes[key]

    def _bound(self, architecture: Mapping[str, Any], found: Iterable[Place]) -> list[_Bound]:
        bound = []
        for place in found:
            name, shape = place.name, place.tensor.shape
            shared = self._parameters.get(name) if place.learned else self._buffers.get(name)
            if shared is None or _joint(shared.shape, shape) != shared.shape:
                raise SpaceError(
                    "A supernet holds what every network of its space holds, but for "
                    f"{dict(architecture)} it has "
                    + ("nothing" if shared is None else f"{tuple(shared.shape)}")
                    + f" at {name!r}, where {tuple(shape)} is needed. Ask for what decides "
                    "this with choose.layer or choose.repeat, or narrow the space."
                )
            part = None if shared.shape == shape else window(place, shared, shape)
            bound.append((place, shared, part))
        return bound

    def _own(self, network: nn.Module, options: Options) -> _Own:
        return _Own(list(buffers(network, options)), self._changed._buffers)  # noqa: SLF001

    def mix(self, fixed: Mapping[str, Any] | None = None, *, parts: int = 1) -> Mixture:
        """Returns the network that has all options of each ``choose.layer`` and ``subset`` at once.

        Args:
            fixed: What the other decisions are; the largest, or the first, where it is silent.
            parts: K of PC-DARTS (Xu et al. 2020, arXiv:1907.05737): where all options of a layer
                keep the shape of what they get and can be narrowed, they compute on a K-th of
                its channels.

        Raises:
            ArchitectureError: If the space has no such decision, or it has no such value.
            SpaceError: If it needs weights that no architecture of the space has.
        """
        for path, value in (fixed or {}).items():
            self.space[path].fixed(value)
        weights: dict[str, Tensor] = {}
        with self._seeded():
            network, branches = mixed(self._network, self._task, self.space, fixed or {}, weights)
            if parts > 1:
                connect_partially(network, self._task, weights, parts)
        network.to(self._device)
        bound = self._bound(fixed or {}, places(network, {}))
        return Mixture(network, bound, self._own(network, {}), weights, branches)

    def extract(self, architecture: Mapping[str, Any]) -> nn.Module:
        """Returns a plain network with a copy of the weights that its route computes with."""
        with self._seeded():
            network, options = self._built(architecture, apart=True)
        network.to(self._device)
        with torch.no_grad():
            for place, shared, part in self._bound(architecture, places(network, options)):
                place.tensor.copy_(shared if part is None else shared[part])
        self._own(network, options).copy()
        return network

    def save(self, path: str | Path) -> None:
        """Writes the shared weights as safetensors, whole or not at all, and the seed."""
        state = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        seed = {"seed": str(self._seed)}
        write_whole(Path(path), lambda part: save_file(state, part, metadata=seed))

    def load(self, path: str | Path) -> None:
        """Reads weights that :meth:`save` wrote for the same space.

        The constants that a network draws are then those that the weights were trained with.

        Raises:
            SpaceError: If they are another space's.
        """
        try:
            self.load_state_dict(load_file(path))
        except RuntimeError as error:
            raise SpaceError(
                f"The weights of a supernet are those of its own space, but in {path} "
                f"{str(error).splitlines()[-1].strip()} Train one for this space."
            ) from error
        with safe_open(path, "pt") as file:
            self._seed = int((file.metadata() or {}).get("seed", self._seed))
        self._routes.clear()

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As torch does; what layers have changed is that of the state, and nothing else."""
        self._changed._buffers.clear()  # Mixtures and routes look there, too.  # noqa: SLF001
        for name, tensor in state_dict.items():
            if name.startswith("_changed."):
                own = tensor.to(self._device, copy=True)
                self._changed._buffers[name.removeprefix("_changed.")] = own  # noqa: SLF001
        self._routes.clear()
        return super().load_state_dict(state_dict, strict, assign)

    def forward(self, architecture: Mapping[str, Any], inputs: Tensor) -> Tensor:
        """Returns what the network of an architecture computes."""
        outputs: Tensor = self.route(architecture)(inputs)
        return outputs

    @property
    def _device(self) -> torch.device:
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Supernet:
        self._routes.clear()  # they hold the tensors as they were before
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_routes": OrderedDict()}  # those hold this one's tensors


_Bound = tuple[Place, Tensor, tuple[slice | Tensor, ...] | None]


class _Own:
    """A network's own buffers: those that its layers change are shared from then on.

    Args:
        places: Where they are.
        changed: By their places' names, those that any network's layers have changed.
    """

    def __init__(self, places: list[Place], changed: dict[str, Tensor | None]) -> None:
        self._places, self._changed = places, changed
        self._before: list[tuple[Tensor, int | None]] = []

    def bind(self) -> None:
        for place in self._places:
            if (tensor := self._changed.get(place.name)) is not None:
                place.put(tensor)
        self._before = [(place.tensor, _version(place.tensor)) for place in self._places]

    def note(self) -> None:
        """Looks which have been changed since they were bound."""
        for place, (before, version) in zip(self._places, self._before, strict=True):
            if place.tensor is not before or _version(before) != version:
                self._changed[place.name] = place.tensor

    def copy(self) -> None:
        self.bind()
        for place in self._places:
            place.put(place.tensor.clone())


def _version(tensor: Tensor) -> int | None:
    """How often a tensor was changed in place; in inference torch does not count."""
    return None if tensor.is_inference() else tensor._version  # noqa: SLF001


@torch.no_grad()
def calibrate(network: nn.Module, inputs: Iterable[Tensor]) -> nn.Module:
    """Measures the statistics that normalisations track anew, as means over some batches.

    Those that a supernet has tracked are of all its networks together, and tell nothing of one
    (Yu & Huang 2019, arXiv:1903.05134, section 3.2). Spectral norms are followed, too. The network
    is left in evaluation mode.

    Args:
        network: With the weights it is to be measured with.
        inputs: Batches, as the network takes them.
    """
    tracking = [m for m in network.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    spectral = [m for m in network.modules() if isinstance(m, _SpectralNorm)]
    momenta = [norm.momentum for norm in tracking]
    network.eval()
    for module in spectral:
        module.train()
    for norm in tracking:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    for k, batch in enumerate(inputs if tracking or spectral else (), start=1):
        for norm in tracking:
            if not isinstance(norm, _BatchNorm):  # to torch's InstanceNorm None is 0
                norm.momentum = 1 / k
        network(batch)
    for norm, momentum in zip(tracking, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()


class Route:
    """The plain network of an architecture, over the weights of a supernet.

    Calling it computes with the shared weights as they are then; gradients reach those, and only
    those that it takes.

    Attributes:
        network: The network; its tensors are slices while it computes.
    """

    def __init__(self, network: nn.Module, bound: list[_Bound], own: _Own) -> None:
        self.network = network
        self._bound = bound
        self._own = own

    def bind(self) -> None:
        """Slices the shared weights anew."""
        for place, shared, part in self._bound:
            place.put(shared if part is None else shared[part].contiguous())
        self._own.bind()

    def __call__(self, inputs: Tensor) -> Tensor:
        self.bind()
        outputs: Tensor = self.network(inputs)
        self._own.note()
        # Slices are copies: of all the routes that are kept ready, many times the shared weights.
        for place, shared, part in self._bound:
            if part is not None:
                place.put(shared)
        return outputs

    @property
    def shared(self) -> list[nn.Parameter]:
        """The supernet's parameters of which this network takes a part."""
        return [tensor for _, tensor, _ in self._bound if isinstance(tensor, nn.Parameter)]


class Mixture(Route):
    """The network with all options of each layer, each with a weight.

    Attributes:
        weights: For the path of each decision for a layer, ``(options,)``; set them before a call.
            For that of a subset ``(options,)`` too; its branches are as they are where it is silent.
        edge_weights: For the name of a :class:`Sum`, ``(inputs,)``; a plain sum where it is silent.
        branches: For the path of each subset, its options, and the decision for a layer that each
            is, if it is one.
    """

    def __init__(
        self,
        network: nn.Module,
        bound: list[_Bound],
        own: _Own,
        weights: dict[str, Tensor],
        branches: Branches,
    ) -> None:
        super().__init__(network, bound, own)
        self.weights = weights
        self.branches = branches
        self.edge_weights: dict[str, Tensor] = {}
        for module in self._sums:
            module.read(self.edge_weights)

    @property
    def sums(self) -> dict[str, int]:
        """How many terms the sums of each name have."""
        return {module.name: module.inputs for module in self._sums}

    @property
    def _sums(self) -> list[Sum]:
        return [module for module in self.network.modules() if isinstance(module, Sum)]

    @property
    def decisions(self) -> dict[str, tuple[str, ...]]:
        """The options of each decision that has a weight for each of them."""
        found = {}
        for module in self.network.modules():
            if isinstance(module, Mixed) and len(module.options) > 1:
                found[module.path] = tuple(module.options)
        return found

    @property
    def partial(self) -> frozenset[str]:
        """Those of these decisions whose options compute on a part of the channels."""
        return frozenset(
            module.path
            for module in self.network.modules()
            if isinstance(module, Mixed) and module.parts > 1
        )

    @property
    def scales(self) -> list[Tensor]:
        """The scales and shifts of the normalisations in the options of these decisions."""
        within = {
            each
            for module in self.network.modules()
            if isinstance(module, Mixed) and len(module.options) > 1
            for each in module.modules()
            if isinstance(each, _NormBase | nn.LayerNorm | nn.GroupNorm)
        }
        return [
            shared for place, shared, _ in self._bound if place.module in within and place.learned
        ]

    @property
    def skips(self) -> dict[str, frozenset[str]]:
        """For each of these decisions, the options that give what they get."""
        found: dict[str, frozenset[str]] = {}
        for module in self.network.modules():
            if isinstance(module, Mixed):
                found[module.path] = frozenset(
                    option
                    for option, each in zip(module.names, module.options.values(), strict=True)
                    if isinstance(each, nn.Identity)
                )
        return found

    @torch.no_grad()
    def zeros(self, inputs: Tensor) -> dict[str, frozenset[str]]:
        """For each of these decisions, the options without tensors that make zeros of inputs."""
        zero: dict[str, set[str]] = {path: set() for path in self.decisions}
        other: dict[str, set[str]] = {path: set() for path in self.decisions}

        def looking(path: str, option: str) -> Callable[..., None]:
            def look(_: nn.Module, given: tuple[Tensor, ...], gave: Tensor) -> None:
                if any(each.any() for each in given):
                    (other if gave.any() else zero)[path].add(option)

            return look

        hooks = [
            each.register_forward_hook(looking(module.path, option))
            for module in self.network.modules()
            if isinstance(module, Mixed) and module.path in zero
            for option, each in zip(module.names, module.options.values(), strict=True)
            if not each.state_dict()
        ]
        for path, options in self.decisions.items():
            self.weights[path] = torch.ones(len(options), device=inputs.device)
        self.network.eval()
        self(inputs)
        for hook in hooks:
            hook.remove()
        return {path: frozenset(zero[path] - other[path]) for path in zero}


def _joint(a: torch.Size, b: torch.Size) -> torch.Size:
    if len(a) != len(b):
        raise SpaceError(
            "A place in a network holds tensors of one number of dimensions, but two "
            f"architectures have {tuple(a)} and {tuple(b)} there. Tell them apart with "
            "choose.layer."
        )
    return torch.Size(map(max, a, b))
