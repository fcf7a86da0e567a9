"""What every strategy is: a fold over trials."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from ogive.errors import SettingError
from ogive.space import SearchSpace
from ogive.trial import Proposal, Trial

__all__ = ["Strategy"]


class Strategy(ABC):
    """Says which architectures to try next.

    Its state is what it was told, in order, and nothing else: :meth:`ask` changes nothing and
    draws from ``rng`` only, so a journal replayed through :meth:`tell` brings back the strategy as
    it was. A constructor takes the space and settings, and keeps each argument as an attribute of
    the same name. Every strategy passes :class:`ogive.testing.StrategyContract`.

    A new one is a subclass with these two methods, and a line in the registry::

        class Mine(Strategy):
            def __init__(self, space): self.space = space
            def ask(self, n, rng): return [Proposal(self.space.sample(rng)) for _ in range(n)]
            def tell(self, trial): pass
    """

    space: SearchSpace

    multiobjective = False
    """Whether it weighs several objectives. Others look at the first alone, and a search for
    several refuses them."""

    passes_on: str | None = None
    """The argument that takes the settings of what it stands on, where a name has others too."""

    @abstractmethod
    def ask(self, n: int, rng: Random) -> list[Proposal]:
        """Returns up to ``n`` proposals, different from each other.

        Fewer means: tell me more first. None while no trial is running means that there is
        nothing left to try. An architecture that was tried is not proposed again, unless for a
        longer training: the same training twice would measure the noise of one network with time
        that could be spent on another, and the best are trained once more at the end of a search
        anyway.
        """

    @abstractmethod
    def tell(self, trial: Trial) -> None:
        """Takes in a trial, when it starts (``running``) and when it ends; never changes it.

        The trials of other strategies, or of a user, may be among them. One architecture may come
        more than once, at growing fidelities: the result of the longest training is the one to
        learn from.
        """

    def needs(self) -> set[int]:
        """The numbers of trials whose weights what it proposes may inherit: their files are kept."""
        return set()

    def settings(self) -> dict[str, Any]:
        """Its name and arguments as JSON, by which a journal knows its strategy again.

        Raises:
            SettingError: If an argument is not kept under its name, or has no JSON form.
        """
        kind = type(self).__name__
        found: dict[str, Any] = {"name": kind}
        for name in inspect.signature(type(self)).parameters:
            if name == "space":
                continue
            if not hasattr(self, name):
                raise SettingError(
                    f"A strategy keeps each argument as an attribute of the same name, but {kind} "
                    f"has no {name!r}. Write: self.{name} = {name}"
                )
            found[name] = _plain(getattr(self, name), f"{kind}.{name}")
        return found


def _plain(value: Any, place: str) -> Any:
    match value:
        case None | str() | bool() | int() | float():
            return value
        case Strategy():
            return value.settings()
        case Mapping():
            return {str(key): _plain(item, f"{place}[{key!r}]") for key, item in value.items()}
        case Sequence():
            return [_plain(item, f"{place}[{i}]") for i, item in enumerate(value)]
        case Callable(__module__=module, __qualname__=name):
            return f"{module}:{name}"
    raise SettingError(
        f"A strategy's arguments must have a JSON form, but {place} is {value!r}. Keep numbers, "
        "texts, lists and functions, or override settings()."
    )
