"""A search space of which only some architectures may be tried."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ogive.errors import SpaceError
from ogive.space._architecture import Architecture
from ogive.space._decision import Decision
from ogive.space._space import SearchSpace

__all__ = ["PoolSpace"]

_NEAR = 24
"""Neighbours of an architecture: of a sample of NAS-Bench-101 with 20,001 cells, about as many
lie within two changes of one of them."""

_EQUAL = 2.0**-24
"""Squares of distances are told apart by this; a power of two, so that few sums lie in between."""


class PoolSpace(SearchSpace):
    """The architectures of a pool, such as those that a benchmark table holds.

    The decisions are those of the space that the pool lies in, but a change of one of them leads
    out of a pool more often than not. So whatever walks among architectures goes to the nearest
    of the pool instead: neighbours are the 24 that differ least (as rows of numbers, see
    :meth:`encode`), a mutation is one of them, a child of two the nearest to one that inherits
    freely. Samples are drawn from the pool uniformly.

    Args:
        space: Whose decisions, canonical form and graph the architectures have.
        pool: What may be tried; of equal architectures the first.

    Raises:
        SpaceError: If the pool is empty.
        ArchitectureError: If something in it does not belong to the space.
    """

    def __init__(self, space: SearchSpace, pool: Iterable[Mapping[str, Any]]) -> None:
        super().__init__(
            space.decisions, name=space.name, canonical=space.canonical, graph=space.graph
        )
        self._space = space
        self._members: dict[Architecture, Architecture] = {}  # by canonical form
        for architecture in map(space.validate, pool):
            self._members.setdefault(space.canonical(architecture), architecture)
        if not self._members:
            raise SpaceError(
                f"A pool holds at least one architecture, but {space.name!r} has none."
            )
        self._list = list(self._members.values())
        self._near: dict[Architecture, list[Architecture]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # Made anew of the first alone and given the rest: a large pool takes seconds to check.
        pool = {"_members": self._members, "_list": self._list}
        return PoolSpace, (self._space, self._list[:1]), pool

    @cached_property
    def size(self) -> int | float:
        """How many architectures the pool holds."""
        return len(self._list)

    @cached_property
    def key(self) -> str:
        """A name for its decisions and its pool that is the same in every process."""
        text = "".join([self._space.key, *(member.key for member in self._list)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def reason_invalid(self, architecture: Architecture) -> str | None:
        """Returns why the space's own rule excludes an architecture, or that the pool has none."""
        if reason := self._space.reason_invalid(architecture):
            return reason
        if self.canonical(architecture) in self._members:
            return None
        return f"it is none of the {len(self._list):,} that may be tried"

    def sample(self, rng: Random) -> Architecture:
        """Draws an architecture of the pool, each with the same chance."""
        return rng.choice(self._list)

    def mutate(self, architecture: Architecture, rng: Random) -> Architecture:
        """Draws one of the neighbours."""
        near = self._neighbours(architecture)
        return rng.choice(near) if near else architecture

    def cross(self, a: Architecture, b: Architecture, rng: Random) -> Architecture:
        """Draws a child of the whole space, and returns the nearest of the pool."""
        child = super().cross(a, b, rng)
        if self.reason_invalid(child) is None:
            return child
        return self._neighbours(child)[0]

    def neighbours(self, architecture: Architecture, rng: Random) -> Iterator[Architecture]:  # noqa: ARG002  # nothing is left to draw
        """Yields those that differ least, the nearest first."""
        yield from self._neighbours(architecture)

    def _neighbours(self, architecture: Architecture) -> list[Architecture]:
        if architecture not in self._near:
            table, squares = self._encoded
            wanted = self.encode([architecture]).values[0]
            # |a - b|², but for the same |b|². What differs by less is the rounding of a sum.
            distances = np.rint((squares - 2 * (table @ wanted)) / _EQUAL)
            own = self._places.get(self.canonical(architecture))
            if own is not None:
                distances[own] = np.inf
            # Sorting the few that are near enough is ten times quicker than sorting all; of equally
            # near ones the first of the pool come first.
            last = np.partition(distances, min(_NEAR, len(distances)) - 1)[:_NEAR].max()
            near = np.flatnonzero((distances <= last) & (distances < np.inf))
            order = near[np.argsort(distances[near], kind="stable")][:_NEAR]
            self._near[architecture] = [self._list[i] for i in order.tolist()]
        return self._near[architecture]

    @cached_property
    def _places(self) -> dict[Architecture, int]:
        """The place in the pool of each canonical form."""
        return {form: place for place, form in enumerate(self._members)}

    @cached_property
    def _encoded(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The pool as rows of numbers, and the sum of the squares of each."""
        table = self.encode(self._list).values
        return table, np.square(table).sum(axis=1)

    def enumerate(self) -> Iterator[Architecture]:
        """Yields every architecture of the pool once."""
        return iter(self._list)

    def _restricted(self, changed: Mapping[str, Decision]) -> SearchSpace:
        part = super()._restricted(changed)
        kept = [
            member
            for member in self._list
            if all(part[p].why_not(v) is None for p, v in member.items())
        ]
        return PoolSpace(part, kept)
