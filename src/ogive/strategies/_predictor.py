"""What an ensemble of networks predicts of architectures, from the trials of a search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from random import Random

import numpy as np

from ogive.space import Architecture, PathEncoder, SearchSpace
from ogive.strategies._ensemble import Array, Ensemble
from ogive.strategies._features import Features, SideInformation
from ogive.strategies._known import Known
from ogive.strategies._surrogate import milestone, warped

__all__ = ["Inputs", "Predictor", "trained"]

_HIDDEN = (20, 20, 20)
_STEPS = 100
_RATE = 0.01

_DRAWN = 1_000
"""Architectures whose paths become inputs."""


class Inputs:
    """What networks predict from: decisions, counts of options, side information, and paths.

    Decisions stand beside the paths, because a graph need not show all of them (widths, a recipe);
    on NAS-Bench-201 and NAS-Bench-101 both together rank architectures better than paths alone.

    Args:
        space: Whose architectures.
        side: Numbers known of each architecture, if any.
        paths: Whether the paths of the space's graph are among them, if it has one.
    """

    def __init__(
        self, space: SearchSpace, side: SideInformation | None = None, *, paths: bool = True
    ) -> None:
        self._space, self._side = space, side
        self._graph = space.graph if paths else None

    def __call__(self, forms: Sequence[Architecture]) -> Array:
        """Returns ``(forms, columns)``."""
        own = self._features(forms)
        parts = [own[0], *own[2:]]  # The second says of each decision what the first says, too.
        if self._graph is not None:
            parts.append(self._paths(map(self._graph, forms)))
        return np.hstack(parts)

    @cached_property
    def _features(self) -> Features:
        return Features(self._space, self._side)

    @cached_property
    def _paths(self) -> PathEncoder:
        assert self._graph is not None
        rng = Random(0)
        return PathEncoder(self._graph(self._space.sample(rng)) for _ in range(_DRAWN))


def trained(inputs: Array, targets: Array, *, members: int) -> Ensemble:
    """Returns an ensemble that has learned the targets.

    Args:
        inputs: Shape ``(points, columns)``.
        targets: Shape ``(points,)``, of about zero mean and unit variance.
        members: How many networks.
    """
    ensemble = Ensemble([inputs.shape[1], *_HIDDEN], members=members)
    ensemble.fit(inputs, targets, steps=_STEPS, rate=_RATE)
    return ensemble


class Predictor:
    """An ensemble over :class:`Inputs`, trained on the trials of a search.

    Args:
        space: Whose architectures.
        known: The trials.
        members: How many networks.
        side: Numbers known of each architecture, if any.
    """

    def __init__(
        self,
        space: SearchSpace,
        known: Known,
        *,
        members: int,
        side: SideInformation | None = None,
    ) -> None:
        self._space, self._known, self._members = space, known, members
        self._inputs = Inputs(space, side)
        self._trained: tuple[list[Architecture], Array, Ensemble] | None = None

    def __call__(self, architectures: Sequence[Architecture]) -> Array | None:
        """Returns what each member expects of each, ``(members, architectures)``.

        In the scale of :func:`warped`: of zero mean and unit variance over the trials. There is
        nothing to expect while no two trials differ.
        """
        ensemble = self._ensemble()
        if ensemble is None:
            return None
        return ensemble(self._inputs([self._space.canonical(a) for a in architectures]))

    def _ensemble(self) -> Ensemble | None:
        """Returns the ensemble of the trials so far; the more there are, the fewer are too new.

        It follows from the trials alone. What was trained before is only looked up: a strategy
        that was asked knows no more than one that was only told.
        """
        forms, values = self._known.values(milestone(len(self._known)))
        if not _differ(values):
            forms, values = self._known.values()
        if not _differ(values):
            return None
        targets = warped(values[:, 0])
        known = self._trained
        if known is None or known[0] != forms or not np.array_equal(known[1], targets):
            ensemble = trained(self._inputs(forms), targets, members=self._members)
            self._trained = forms, targets, ensemble
            return ensemble
        return known[2]


def _differ(values: Array) -> bool:
    finite = values[np.isfinite(values[:, 0]), 0]
    return len(finite) > 1 and bool(np.ptp(finite) > 0)
