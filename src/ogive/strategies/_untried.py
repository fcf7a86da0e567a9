"""What is common to strategies that try an architecture once: finding another one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random

from ogive.space import Architecture, SearchSpace
from ogive.trial import Proposal

__all__ = ["Batch", "Tried"]

LISTED = 100_000
"""Spaces of at most this size are listed once drawing from them brings little new."""

DRAWS = 50
"""Draws in a row that bring nothing new, after which a small space is listed."""

MORE_DRAWS = 1_000
"""The same for a space too large to list, after which it counts as finished."""

FOLLOWED = 10
"""Draws of a sampler in a row that bring nothing new, after which the last one is mutated."""

WALK = 50
"""Mutations in a row that lead to tried networks only, after which a walk ends."""


class Tried:
    """The architectures that were told, each in its canonical form: equal networks are one."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._forms: set[Architecture] = set()
        self._rest: dict[Architecture, Architecture] | None = None

    def add(self, architecture: Architecture) -> None:
        form = self.space.canonical(architecture)
        self._forms.add(form)
        if self._rest is not None:
            self._rest.pop(form, None)

    def __contains__(self, form: Architecture) -> bool:
        return form in self._forms

    def __iter__(self) -> Iterator[Architecture]:
        """The canonical forms of what was told, in no order."""
        return iter(self._forms)

    def rest(self) -> dict[Architecture, Architecture]:
        """What is left of a small space, by canonical form, in the space's order.

        Listed when it is first asked for and kept up to date from then on. It follows from the
        space and what was told, so no one can see whether it is there already.
        """
        if self._rest is None:
            forms = {self.space.canonical(a): a for a in self.space.enumerate()}
            self._rest = {form: a for form, a in forms.items() if form not in self._forms}
        return self._rest


class Batch:
    """The proposals of one ``ask`` in the making: untried, and different from each other."""

    def __init__(self, tried: Tried, n: int, start_from: Iterable[Architecture] = ()) -> None:
        self._tried = tried
        self._n = n
        self._found: dict[Architecture, Proposal] = {}
        self.fill(start_from)

    @property
    def wanting(self) -> bool:
        """Whether there is room for more."""
        return len(self) < self._n

    def __len__(self) -> int:
        return len(self._found)

    @property
    def forms(self) -> list[Architecture]:
        """The canonical forms of what was taken so far."""
        return list(self._found)

    def new(self, form: Architecture) -> bool:
        """Whether a canonical form was neither tried nor taken."""
        return form not in self._tried and form not in self._found

    def offer(
        self, architecture: Architecture, fidelity: float = 1.0, parent: int | None = None
    ) -> bool:
        """Takes the architecture if it is new, and says whether it did."""
        form = self._tried.space.canonical(architecture)
        if not self.new(form):
            return False
        self._found[form] = Proposal(architecture, fidelity, parent)
        return True

    def fill(self, architectures: Iterable[Architecture]) -> None:
        """Takes the new ones among these, in order, while there is room."""
        for architecture in architectures:
            if not self.wanting:
                return
            self.offer(architecture)

    def follow(self, draw: Callable[[], Architecture], rng: Random) -> bool:
        """Takes a new draw, or what the space allows next to one; False if there is none.

        Where several draws in a row were tried, it walks from the last of them.
        """
        tried = None
        for _ in range(FOLLOWED):
            drawn = self._tried.space.nearest(draw(), rng)
            if drawn is not None:
                if self.offer(drawn):
                    return True
                tried = drawn
        return tried is not None and self.walk(tried, rng)

    def walk(
        self,
        architecture: Architecture,
        rng: Random,
        fidelity: float = 1.0,
        parent: int | None = None,
    ) -> bool:
        """Mutates until it is new, and takes that; False if the walk leads to none."""
        for _ in range(WALK):
            architecture = self._tried.space.mutate(architecture, rng)
            if self.offer(architecture, fidelity, parent):
                return True
        return False

    def mutants(
        self, parents: Sequence[Architecture], n: int, rng: Random, *, most: int
    ) -> list[Architecture]:
        """Returns what is new, each once, among ``n`` parents changed in one to ``most`` decisions.

        It takes none of them.
        """
        found: dict[Architecture, Architecture] = {}
        for _ in range(n if parents else 0):
            architecture = rng.choice(parents)
            for _ in range(rng.randint(1, most)):
                architecture = self._tried.space.mutate(architecture, rng)
            form = self._tried.space.canonical(architecture)
            if self.new(form):
                found[form] = architecture
        return list(found.values())

    def sample(self, rng: Random) -> bool:
        """Takes a new architecture from anywhere in the space; False if there is none left."""
        space = self._tried.space
        small = space.size <= LISTED
        for _ in range(DRAWS if small else MORE_DRAWS):
            if self.offer(space.sample(rng)):
                return True
        if not small:
            return False
        rest = [a for form, a in self._tried.rest().items() if form not in self._found]
        return bool(rest) and self.offer(rng.choice(rest))

    def proposals(self) -> list[Proposal]:
        return list(self._found.values())
