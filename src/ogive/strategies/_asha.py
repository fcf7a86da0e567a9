"""Asynchronous successive halving (ASHA; Li et al. 2020, arXiv:1810.05934, Algorithm 2)."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from random import Random
from typing import Any

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._evolution import RegularizedEvolution
from ogive.trial import Proposal, Trial

__all__ = ["ASHA"]


class ASHA(Strategy):
    """Tries many architectures cheaply, and goes on with the best 1/eta of each rung.

    New architectures come from another strategy, the proposer. It is told every trial as it is,
    promotions included: a proposer that compares trials takes each architecture at its longest
    training (see :meth:`Strategy.tell`), so it learns from what is known best.

    A failed trial counts as the worst of its rung and is never promoted. A rejected one cost
    nothing and tells nothing about the others: it joins no rung.

    Algorithm 2 ends when the budget does. Here a small space may be finished first: once the
    proposer has nothing left and nothing runs, what was left behind goes on too, from the highest
    rung down and the best first, until every architecture has been trained in full.

    Args:
        space: What to search.
        proposer: A fresh strategy for the same space, for new architectures; regularised
            evolution by default.
        eta: Of so many trials in a rung one is promoted, to so many times the fidelity.
        min_fidelity: The fidelity of the lowest rung is the least ``eta ** -k`` that is no less.
        start_from: Architectures to try first, by the default proposer.

    Raises:
        SettingError: Unless ``eta`` is an integer above 1, ``0 < min_fidelity <= 1``, and the
            proposer is for the same space.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        proposer: Strategy | None = None,
        eta: int = 3,
        min_fidelity: float = 1 / 9,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if eta < 2 or eta != int(eta):
            raise SettingError(f"eta must be an integer above 1, but got eta={eta!r}.")
        if not 0 < min_fidelity <= 1:
            raise SettingError(
                f"0 < min_fidelity <= 1 must hold, but got min_fidelity={min_fidelity}."
            )
        if proposer is not None and proposer.space.key != space.key:
            raise SettingError(
                "ASHA's proposer must be for the space that ASHA is for, but it is for "
                f"{proposer.space.name!r}. Make both from one space."
            )
        if proposer is not None and start_from:
            raise SettingError(
                "Only the default proposer takes ASHA's start_from, but a proposer was given too. "
                f"Write: {type(proposer).__name__}(space, start_from=...)"
            )
        self.space = space
        self.proposer = proposer or RegularizedEvolution(space, start_from=start_from)
        self.eta = eta
        self.min_fidelity = min_fidelity
        self.start_from = tuple(map(space.validate, start_from))
        top = math.floor(math.log(1 / min_fidelity, eta) + 1e-9)
        self._rungs = [_Rung(eta**-k) for k in range(top, -1, -1)]
        self._fidelities = [rung.fidelity for rung in self._rungs]
        self._running: set[int] = set()

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        # Algorithm 2, get_job: promotions where there are any (lines 12-16), newcomers else (17).
        found = self._promotions(n, self.eta)
        newcomers = self.proposer.ask(n - len(found), rng) if len(found) < n else []
        found += [Proposal(new.architecture, self._fidelities[0]) for new in newcomers]
        if not found and not self._running:
            found = self._promotions(n, 1)
        return found

    def _promotions(self, n: int, eta: int) -> list[Proposal]:
        """Up to ``n`` of the best 1/eta of each rung, from the highest rung down."""
        found = (
            Proposal(architecture, above.fidelity, parent=number)
            for below, above in reversed(list(pairwise(self._rungs)))
            for number, architecture in below.waiting(eta)
        )
        return list(islice(found, n))

    def tell(self, trial: Trial) -> None:
        if trial.proposal.parent is not None:
            for rung in self._rungs:
                rung.promote(trial.proposal.parent)
        if trial.state == "running":
            self._running.add(trial.number)
        else:
            self._running.discard(trial.number)
            if trial.state != "rejected":
                self._rung_at(trial.fidelity).add(trial)
        self.proposer.tell(trial)

    def _rung_at(self, fidelity: float) -> _Rung:
        """The highest rung that is no higher: a trial of someone else's may lie between two."""
        return self._rungs[max(0, bisect_right(self._fidelities, fidelity * (1 + 1e-9)) - 1)]


_Place = tuple[float, int]
"""The negated value and the number of a trial: sorts the best first, of equals the oldest."""


@dataclass(slots=True)
class _Rung:
    """The trials of one fidelity that ended.

    Two sorted lists: an insertion moves memory (2 µs at 10,000 trials), and the best that waits is
    the first of its list, whose place among all is found by bisection.
    """

    fidelity: float
    _ended: list[_Place] = field(default_factory=list)
    _waiting: list[_Place] = field(default_factory=list)
    _architectures: dict[int, tuple[_Place, Architecture]] = field(default_factory=dict)

    def add(self, trial: Trial) -> None:
        promotable = trial.state == "complete" and not math.isnan(trial.value)
        place = (-trial.value if promotable else math.inf, trial.number)
        insort(self._ended, place)
        if promotable:
            insort(self._waiting, place)
            self._architectures[trial.number] = place, trial.architecture

    def waiting(self, eta: int) -> Iterator[tuple[int, Architecture]]:
        """Those of the best 1/eta that were not promoted, the best first (lines 13 and 14)."""
        count = len(self._ended) // eta
        for place in self._waiting:
            if bisect_left(self._ended, place) >= count:
                return
            yield place[1], self._architectures[place[1]][1]

    def promote(self, number: int) -> None:
        """Notes that the trial was promoted, if it is one of this rung."""
        if number in self._architectures:
            place, _ = self._architectures.pop(number)
            del self._waiting[bisect_left(self._waiting, place)]
