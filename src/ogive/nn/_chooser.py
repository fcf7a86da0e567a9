"""What a network function asks on its way: the verbs, whoever answers them."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from torch import nn

from ogive.errors import SpaceError
from ogive.space import Decision, Graph
from ogive.task import Task

__all__ = ["Chooser", "Factory", "NetworkFunction", "annotate", "caller"]

T = TypeVar("T", bound=bool | int | float | str | tuple[Any, ...] | None)

Factory = Callable[[], nn.Module]


def module_name(option: str) -> str:
    """What a module that stands for an option is called; torch takes no dots, nor its own names."""
    option = option.replace(".", "%2E")
    return f"{option}%" if hasattr(nn.ModuleDict, option) else option


class Chooser(ABC):
    """Answers the questions of a network function.

    Each verb takes a name, which is joined to the names of the scopes around it to make the
    decision's path. The same path asked twice with the same options is the same decision; with
    other options it is an error. A decision asked inside a factory exists only where the
    factory's option is taken.

    A chooser that answers is a subclass with one method, :meth:`_module`, for the verbs that
    return modules, and one, :meth:`_plain`, for those that return plain values.
    """

    _apart = False
    """Whether what a factory draws leaves what is drawn after it as it is, whichever was taken."""

    def __init__(self, scope: str = "") -> None:
        self._scope = scope

    # The verbs

    def layer(self, name: str, options: Mapping[str, Factory]) -> nn.Module:
        """Returns the module of one of ``options``: name → a function that makes it."""
        decision = Decision(self._path(name), "categorical", options=tuple(options))
        return self._one(decision, self._drawing(options))

    def value(self, name: str, options: Sequence[T]) -> T:
        """Returns one of ``options``. Numbers are taken in ascending order."""
        numbers = all(isinstance(o, int | float) and not isinstance(o, bool) for o in options)
        if numbers:
            ordered: tuple[Any, ...] = tuple(sorted(options))
            return self._plain(Decision(self._path(name), "ordinal", options=ordered))  # type: ignore[no-any-return]
        return self._plain(Decision(self._path(name), "categorical", options=tuple(options)))  # type: ignore[no-any-return]

    def integer(self, name: str, low: int, high: int, step: int = 1, *, log: bool = False) -> int:
        """Returns an integer from ``low`` to ``high``, both included."""
        path = self._path(name)
        decision = Decision(path, "integer", low=low, high=high, step=step, log=log)
        return self._plain(decision)  # type: ignore[no-any-return]

    def real(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Returns a number from ``low`` to ``high``, both included."""
        path = self._path(name)
        decision = Decision(path, "real", low=float(low), high=float(high), log=log)
        return self._plain(decision)  # type: ignore[no-any-return]

    def repeat(
        self, name: str, counts: Iterable[int], make: Callable[[Self, int], nn.Module]
    ) -> nn.Sequential:
        """Returns a stack whose depth is one of ``counts``.

        ``make(choose, i)`` makes the layer at place ``i``; its chooser is scoped below
        ``name.i``, so that each layer decides for itself. Close over the outer chooser instead
        for a decision that all layers share.
        """
        depths = tuple(sorted(counts))
        if any(depth < 0 for depth in depths):
            raise SpaceError(
                f"A depth is a whole number from 0, but {self._path(name)!r} has {depths!r}."
            )
        decision = Decision(self._path(name), "ordinal", options=depths)
        if self._apart:
            make = partial(_drawn_from, _draw(), make)
        return self._stack(decision, name, make)

    def subset(
        self, name: str, options: Mapping[str, Factory], size: int | Iterable[int]
    ) -> nn.ModuleDict:
        """Returns the modules of ``size`` of the options (or of one of several sizes)."""
        for option in options:
            if module_name(option) != option:
                raise SpaceError(
                    f"The options of a subset are the names of modules, but {option!r} of "
                    f"{name!r} cannot be one. Leave out dots, and add a letter to what "
                    "torch.nn.ModuleDict has a method of that name for."
                )
        sizes = (size,) if isinstance(size, int) else tuple(sorted(size))
        decision = Decision(self._path(name), "subset", options=tuple(options), sizes=sizes)
        return self._some(decision, self._drawing(options))

    @abstractmethod
    def at(self, name: str) -> Self:
        """Returns a chooser whose paths begin with ``name``."""

    # How a subclass answers

    @abstractmethod
    def _plain(self, decision: Decision) -> Any:
        """Answers ``value``, ``integer`` and ``real``."""

    @abstractmethod
    def _one(self, decision: Decision, options: Mapping[str, Factory]) -> nn.Module:
        """Answers ``layer``."""

    @abstractmethod
    def _stack(
        self, decision: Decision, name: str, make: Callable[[Self, int], nn.Module]
    ) -> nn.Sequential:
        """Answers ``repeat``."""

    @abstractmethod
    def _some(self, decision: Decision, options: Mapping[str, Factory]) -> nn.ModuleDict:
        """Answers ``subset``."""

    def _drawing(self, options: Mapping[str, Factory]) -> Mapping[str, Factory]:
        if not self._apart:
            return options
        seed = _draw()
        return {
            option: partial(_drawn_from, seed + i, factory)
            for i, (option, factory) in enumerate(options.items())
        }

    def _path(self, name: str) -> str:
        if not name or "." in (name[0], name[-1]):
            raise SpaceError(
                f"The name of a decision is a text that neither begins nor ends with a dot, "
                f"but got {name!r}."
            )
        return f"{self._scope}.{name}" if self._scope else name

    @staticmethod
    def _made(decision: Decision, option: object, module: object) -> nn.Module:
        """Checks what a factory returned."""
        if isinstance(module, nn.Module):
            return module
        raise SpaceError(
            f"A factory returns a torch.nn.Module, but option {option!r} of {decision.path!r} "
            f"returned {type(module).__name__}. Write lambda: Module(...)."
        )


def _draw() -> int:
    generator = torch.default_generator
    return int(torch.randint(2**62, (), generator=generator, device="cpu"))


def _drawn_from(seed: int, make: Callable[..., nn.Module], *arguments: Any) -> nn.Module:
    """Makes a module with draws from a seed, and leaves torch's generator as it was."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(hash((seed, *arguments[1:])))
        return make(*arguments)


NetworkFunction = Callable[[Chooser, Task], nn.Module]
"""A search space: ordinary PyTorch that asks a chooser on the way."""


def annotate(
    *,
    references: Callable[[Task], Iterable[Mapping[str, Any]]] | None = None,
    valid: Callable[[Any], str | None] | None = None,
    canonical: Callable[[Any], Any] | None = None,
    graph: Callable[[Any], Graph] | None = None,
) -> Callable[[NetworkFunction], NetworkFunction]:
    """Decorates a network function with what its space carries beside the decisions.

    Args:
        references: Returns hand-made architectures for a task, largest first: one design scaled
            down. The first that meets the limits is what a search is compared with. Decisions
            that are left out take their first value.
        valid: Returns why an architecture is not allowed, or ``None``.
        canonical: Returns the one form of all architectures that are the same network: one of
            them, which is its own form.
        graph: Returns an architecture's operations and edges.
    """

    def attach(network: NetworkFunction) -> NetworkFunction:
        vars(network).update(references=references, valid=valid, canonical=canonical, graph=graph)
        return network

    return attach


def caller() -> str:
    """Returns ``file:line`` of the nearest frame outside this package."""
    here = str(Path(__file__).parent)
    frame = sys._getframe(1)  # noqa: SLF001  # what inspect.currentframe calls
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
