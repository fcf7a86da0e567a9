"""Networks between architectures: every option of a layer at once, each with a weight."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ogive.errors import SettingError, SpaceError
from ogive.nn._chooser import Chooser, Factory, NetworkFunction, module_name
from ogive.nn._largest import largest_value
from ogive.nn._record import told
from ogive.space import Decision, SearchSpace
from ogive.task import Task

__all__ = ["Branches", "Mixed", "Sum", "Weights", "mixed"]

Weights = dict[str, Tensor]

Branches = dict[str, dict[str, str | None]]
"""For the path of each ``choose.subset``, its options: the decision that each asks of a layer."""


class Mixed(nn.Module):
    """The sum of what the options of a layer give, each times its weight.

    Eq. 2 of Liu et al. 2019, arXiv:1806.09055. An option whose weight is zero is not computed.

    Args:
        path: Of the decision.
        options: The modules, in the order of the decision's options.

    Attributes:
        parts: K of eq. 1 of Xu et al. 2020, arXiv:1907.05737: the options get the first of so
            many equal parts of the channels, and the others go by.
    """

    _weights: Weights

    def __init__(self, path: str, options: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.path, self.names = path, tuple(options)
        self.options = nn.ModuleDict(
            {module_name(option): made for option, made in options.items()}
        )
        self.parts = 1

    def read(self, weights: Weights) -> None:
        """Has it look up the weights of its options, ``(options,)``, by its path."""
        self._weights = weights

    def forward(self, *inputs: Any, **named: Any) -> Any:
        if self.parts == 1:
            return self._mixture(*inputs, **named)
        (x,) = inputs
        own = x.shape[1] // self.parts
        joined = torch.cat([self._mixture(x[:, :own], **named), x[:, own:]], dim=1)
        # So that the next mixture gets some of each (section 3.2's channel shuffle).
        return nn.functional.channel_shuffle(joined, self.parts)

    def _mixture(self, *inputs: Any, **named: Any) -> Any:
        if len(self.options) == 1:
            return next(iter(self.options.values()))(*inputs, **named)
        weights = self._weights[self.path]
        given = [
            (name, weight, option(*inputs, **named))
            for name, option, weight, value in zip(
                self.names, self.options.values(), weights.unbind(), weights.tolist(), strict=True
            )
            if value
        ]
        try:
            taken = [weight * each for _, weight, each in given]
            return sum(taken[1:], taken[0])
        except (RuntimeError, TypeError) as error:
            shapes = {name: _said(each) for name, _, each in given}
            if len(set(shapes.values())) == 1 and isinstance(given[0][2], Tensor):
                raise
            raise SpaceError(
                "A mixture adds up what the options of a layer give, tensors of one shape, but "
                f"those of {self.path!r} give {shapes}. Decide it, as in "
                f"fixed={{{self.path!r}: {self.names[0]!r}}}, or train paths (train_supernet)."
            ) from error


def _said(given: Any) -> str:
    return str(tuple(given.shape)) if isinstance(given, Tensor) else type(given).__name__


class Sum(nn.Module):
    """Adds up what several layers give, as a node of a cell does with the edges that lead to it.

    In a network that is a plain sum. A search by gradient can give each of its terms a weight
    (:func:`ogive.oneshot.search_by_gradient`, ``edges=True``).

    Args:
        name: Sums of one name have the same weights, such as those of one node in all cells.
        inputs: How many terms there are.

    Raises:
        SettingError: If a sum of fewer than two terms is asked for.
    """

    _weights: Mapping[str, Tensor] = {}

    def __init__(self, name: str, inputs: int) -> None:
        super().__init__()
        if inputs < 2:
            raise SettingError(f"A sum needs inputs >= 2, but {name!r} got inputs={inputs}.")
        self.name = name
        self.inputs = inputs

    def forward(self, *terms: Tensor) -> Tensor:
        weights = self._weights.get(self.name)
        if weights is not None:  # section 3.3 of Xu et al. 2020, arXiv:1907.05737
            terms = tuple(weight * term for weight, term in zip(weights, terms, strict=True))
        return sum(terms[1:], terms[0])

    def extra_repr(self) -> str:
        return f"{self.name!r}, inputs={self.inputs}"

    def read(self, weights: Mapping[str, Tensor]) -> None:
        """Has it look up the weights of its terms, ``(inputs,)``, by its name when it computes."""
        self._weights = weights


def mixed(
    network: NetworkFunction,
    task: Task,
    space: SearchSpace,
    fixed: Mapping[str, Any],
    weights: Weights,
) -> tuple[nn.Module, Branches]:
    """Returns a network in which every ``choose.layer`` is a :class:`Mixed`, and its branches.

    Of each ``choose.subset`` it has all options, with a weight for each where ``weights`` has them.

    Args:
        network: The network function.
        task: What it is asked for.
        space: What may be chosen.
        fixed: What its other decisions are; the largest, or the first, where it is silent.
        weights: What the mixtures read when they compute.
    """
    branches: Branches = {}
    with told("mixing its options"):
        made = network(_Mixer(space, fixed, weights, branches), task)
    for layer in [module for module in made.modules() if isinstance(module, Mixed)]:
        _part(layer, made)
    for module in made.modules():
        if isinstance(module, Mixed):  # each copy that the function made among them
            module.read(weights)
    return made, branches


def _part(layer: Mixed, network: nn.Module) -> None:
    """Copies for an option what a function gave to two: options share nothing, here as in routes.

    What the network has outside of the layer they do share.
    """
    options = layer.options
    own = {option: _things(module) for option, module in options.items()}
    if len(set().union(*own.values())) == sum(map(len, own.values())):
        return
    layer.options = nn.ModuleDict()
    outside = _things(network)
    layer.options = options
    seen: set[nn.Module | Tensor] = set()
    for option, things in own.items():
        if seen & (things - outside):
            options[option] = copy.deepcopy(options[option], {id(each): each for each in outside})
        seen |= things


def _things(module: nn.Module) -> set[nn.Module | Tensor]:
    return {*module.modules(), *module.parameters()}


class _Mixer(Chooser):
    _apart = True

    def __init__(
        self,
        space: SearchSpace,
        fixed: Mapping[str, Any],
        weights: Weights,
        branches: Branches,
        scope: str = "",
    ) -> None:
        super().__init__(scope)
        self._space, self._fixed = space, fixed
        self._weights, self._branches = weights, branches

    def at(self, name: str) -> _Mixer:
        path = self._path(name)
        return _Mixer(self._space, self._fixed, self._weights, self._branches, path)

    def _allowed(self, decision: Decision) -> Decision:
        """As the space has it: it may be narrower than what the function asks."""
        known = decision.path in self._space
        return self._space[decision.path] if known else decision

    def _plain(self, decision: Decision) -> Any:
        if decision.path in self._fixed:
            return self._fixed[decision.path]
        value = largest_value(self._allowed(decision))
        return int(value) if decision.kind == "integer" else value

    def _one(self, decision: Decision, options: Mapping[str, Factory]) -> nn.Module:
        chosen: tuple[Any, ...] = self._allowed(decision).options
        if decision.path in self._fixed:
            chosen = (self._fixed[decision.path],)
        options = {option: options[option] for option in chosen}
        made = {o: self._made(decision, o, factory()) for o, factory in options.items()}
        return Mixed(decision.path, made)

    def _stack(
        self, decision: Decision, name: str, make: Callable[[Any, int], nn.Module]
    ) -> nn.Sequential:
        return nn.Sequential(
            *(
                self._made(decision, i, make(self.at(f"{name}.{i}"), i))
                for i in range(self._plain(decision))
            )
        )

    def _some(self, decision: Decision, options: Mapping[str, Factory]) -> nn.ModuleDict:
        chosen = self._fixed.get(decision.path, self._allowed(decision).options)
        made = {o: self._made(decision, o, options[o]()) for o in chosen}
        if decision.path not in self._fixed:
            self._branches[decision.path] = {
                o: module.path if isinstance(module, Mixed) else None for o, module in made.items()
            }
            for i, module in enumerate(made.values()):
                module.register_forward_hook(self._weighing(decision.path, i))
        return nn.ModuleDict(made)

    def _weighing(self, path: str, i: int) -> Callable[..., Any]:
        def weighed(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            weights = self._weights.get(path)
            return output if weights is None else weights[i] * output

        return weighed
