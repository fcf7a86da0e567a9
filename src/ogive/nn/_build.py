"""The second reading of a network function: one architecture, as a plain network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from ogive.errors import ArchitectureError, SpaceError
from ogive.nn._chooser import Chooser, Factory, NetworkFunction, caller
from ogive.nn._record import RECIPE, name_of, told
from ogive.space import Architecture, Decision, Value
from ogive.task import Task

__all__ = ["Answers", "build", "build_answered", "decide"]

R = TypeVar("R")

_OPTIONS = "_options_of_ogive"


def build(network: NetworkFunction, task: Task, architecture: Mapping[str, Any]) -> nn.Module:
    """Returns the network of an architecture: plain PyTorch with nothing of ogive's choosing left.

    It is made on torch's default device, and initialised from torch's default generator.

    Raises:
        SpaceError: If the function asks what the architecture does not decide, or does not ask
            what it decides, or a layer waits for its first input to know its size.
        ArchitectureError: If a value is not among the options asked.
    """
    return build_answered(network, task, Answers(architecture))


def build_answered(network: NetworkFunction, task: Task, answers: Answers) -> nn.Module:
    """:func:`build`, for a caller that wants to know afterwards what was made for what."""
    with told(f"building {dict(answers.architecture)}"), answers.all_asked(name_of(network)):
        built = network(_Builder(answers), task)
    for name, module in built.named_modules():
        for hook in module._forward_pre_hooks.values():  # noqa: SLF001
            if isinstance(hook, WeightNorm | SpectralNorm):
                # It computes the weight anew when the layer runs; one with a history has no copy.
                setattr(module, hook.name, getattr(module, hook.name).detach())
        if options := vars(module).pop(_OPTIONS, None):
            answers.options[module] = options
        if any(map(is_lazy, (*module._parameters.values(), *module._buffers.values()))):  # noqa: SLF001
            raise SpaceError(
                "The layers of a network must know their sizes when it is built, but "
                f"{type(module).__name__} at {name!r} waits for its first input. Tell it the size "
                "of that; Head(width, task.outputs) needs no more than the width."
            )
    return built


def decide(recipe: Callable[[Chooser], R], architecture: Mapping[str, Any]) -> R:
    """Returns the recipe that an architecture decides below ``recipe.``."""
    with told("reading the recipe"):
        return recipe(_Builder(Answers(architecture), RECIPE))


class Answers:
    """An architecture being read: which decisions were asked, and what was made for each.

    Attributes:
        architecture: What answers.
        turn: Makes of the answer to ``value``, ``integer`` or ``real`` what the network is told.
        apart: Whether what a factory draws leaves what is drawn after it as it is.
        made: For each module that was chosen, the path of the innermost decision for it.
        options: For each module of a ``layer``, the options that made it, the outermost first.
    """

    def __init__(
        self,
        architecture: Mapping[str, Any],
        turn: Callable[[Decision, Value], Value] | None = None,
        *,
        apart: bool = False,
    ) -> None:
        self.architecture = Architecture(architecture)
        self.turn = turn or (lambda _, value: value)
        self.apart = apart
        self.made: dict[nn.Module, str] = {}
        self.options: dict[nn.Module, tuple[str, ...]] = {}
        self._asked: set[str] = set()

    def __call__(self, decision: Decision) -> Value:
        path = decision.path
        if path not in self.architecture:
            raise SpaceError(
                f"Every decision must be known from recording, but {path!r} (asked at "
                f"{caller()}) is not decided by the architecture. Either the architecture is not "
                "complete, or the question hangs on an if or a loop of Python over a chosen "
                "value: use choose.layer or choose.repeat, which are recorded."
            )
        value = self.architecture[path]
        if reason := decision.why_not(value):
            raise ArchitectureError(f"{path!r} {reason}.")
        self._asked.add(path)
        return value

    @contextmanager
    def all_asked(self, name: str) -> Iterator[None]:
        """Checks at its end that no decision was left unasked, or networks would count twice."""
        yield
        recipe = f"{RECIPE}."
        for path in self.architecture:
            if path not in self._asked and not path.startswith(recipe):
                raise SpaceError(
                    f"Every recorded decision must be asked when its network is built, but {name} "
                    f"never asked {path!r} for {dict(self.architecture)}. A loop of Python over a "
                    "chosen depth does this: use choose.repeat, which knows which layers exist."
                )


class _Builder(Chooser):
    def __init__(self, answers: Answers, scope: str = "") -> None:
        super().__init__(scope)
        self._answers = answers
        self._apart = answers.apart

    def at(self, name: str) -> _Builder:
        return _Builder(self._answers, self._path(name))

    def _plain(self, decision: Decision) -> Any:
        return self._answers.turn(decision, self._answers(decision))

    def _one(self, decision: Decision, options: Mapping[str, Factory]) -> nn.Module:
        option = self._answers(decision)
        assert isinstance(option, str)
        module = self._make(decision, option, options[option])
        # On the module, until the network is built: copies that the function makes have it, too.
        vars(module)[_OPTIONS] = (option, *vars(module).get(_OPTIONS, ()))
        return module

    def _some(self, decision: Decision, options: Mapping[str, Factory]) -> nn.ModuleDict:
        chosen = self._answers(decision)
        assert isinstance(chosen, tuple)
        made = {option: self._make(decision, option, options[option]) for option in chosen}
        return nn.ModuleDict(made)

    def _stack(
        self, decision: Decision, name: str, make: Callable[[Any, int], nn.Module]
    ) -> nn.Sequential:
        depth = self._answers(decision)
        assert isinstance(depth, int)
        stack = nn.Sequential()
        for i in range(depth):
            module = self._made(decision, i, make(self.at(f"{name}.{i}"), i))
            self._answers.made.setdefault(module, f"{decision.path}.{i}")
            stack.append(module)
        return stack

    def _make(self, decision: Decision, option: str, factory: Factory) -> nn.Module:
        module = self._made(decision, option, factory())
        self._answers.made.setdefault(module, decision.path)
        return module
