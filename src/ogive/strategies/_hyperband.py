"""Hyperband (Li et al. 2018, arXiv:1603.06560, Algorithm 1), whose brackets overlap."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice, pairwise, repeat
from random import Random
from typing import Any

from ogive.space import SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._halving import Ladder, proposer_for, rung_fidelities
from ogive.trial import Proposal, Trial

__all__ = ["Hyperband"]


class Hyperband(Strategy):
    """Halves brackets successively: from many architectures, cheaply, to a few, in full.

    How little training tells a good network from a bad one is not known beforehand. So a round
    has a bracket for each answer: the first begins at the lowest fidelity and trusts it most, the
    last trains all of its architectures in full. Then comes the next round.

    A bracket halves as the paper says: of a rung the best 1/eta go on once the last of it has
    ended. That makes workers wait in Algorithm 1. Here they do not: while a rung waits for its
    stragglers, free workers begin the brackets that come next. The other way, to promote before a
    rung is full, is :class:`ASHA`'s: it reaches full trainings sooner, and promotes by mistake
    what a full rung would have held back.

    The sizes of brackets are those of the paper's Table 1, which are divisible by eta all the way
    up; line 2 of Algorithm 1 rounds otherwise (34, 15 and 8 instead of 27, 9 and 6).

    As in :class:`ASHA`, the proposer is told every trial as it is, a failed trial counts as the
    worst of its rung, a rejected one leaves its place to another, and a space that is finished is
    trained in full.

    Args:
        space: What to search.
        proposer: A fresh strategy for the same space, for new architectures. Regularised
            evolution by default; the paper's is ``RandomSearch``.
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
        self._fidelities = rung_fidelities(eta, min_fidelity)
        self.space = space
        self.start_from = tuple(map(space.validate, start_from))
        self.proposer = proposer_for("Hyperband", space, proposer, self.start_from)
        self.eta = eta
        self.min_fidelity = min_fidelity
        self._all = Ladder(self._fidelities)  # Every trial, for the end of a small space.
        self._rounds = [self._round(0), self._round(1)]
        self._filling = 0  # The first round with room.
        self._halving: list[_Bracket] = []  # Brackets that have begun and are not done.
        self._brackets: dict[int, _Bracket] = {}  # That of each trial, by its number.

    def _round(self, number: int) -> list[_Bracket]:
        """The brackets of a round, from s_max down to 0 (line 1)."""
        top = len(self._fidelities) - 1
        return [
            # n and r (line 2), n as in Table 1.
            _Bracket(
                number, (top + 1) // (s + 1) * self.eta**s, Ladder(self._fidelities[top - s :])
            )
            for s in range(top, -1, -1)
        ]

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        promotions = chain.from_iterable(b.promotions(self.eta) for b in self._halving)
        found = list(islice(promotions, n))
        newcomers = self.proposer.ask(n - len(found), rng) if len(found) < n else []
        found += [
            Proposal(new.architecture, fidelity)
            for new, fidelity in zip(newcomers, self._places(), strict=False)
        ]
        if not found and not self._all.running:
            found = list(islice(self._all.promotions(1), n))
        return found

    def _places(self) -> Iterator[float]:
        """The fidelities that newcomers begin at, in order, without end."""
        for brackets in chain(self._rounds[self._filling :], map(self._round, count())):
            for bracket in brackets:
                yield from repeat(bracket.ladder.rungs[0].fidelity, bracket.room)

    def tell(self, trial: Trial) -> None:
        self.proposer.tell(trial)
        self._all.tell(trial)
        bracket = self._bracket_of(trial)
        if bracket is not None:
            self._brackets[trial.number] = bracket
            bracket.ladder.tell(trial)
            self._advance(bracket)

    def _bracket_of(self, trial: Trial) -> _Bracket | None:
        """Its parent's, or where it has been, or the first that has room for it, if any.

        This round or the next has room for what was proposed here, even where some of it was never
        begun, or was begun twice. Others' trials may find none; the proposer is told of them.
        """
        if trial.proposal.parent is not None:
            return self._brackets.get(trial.proposal.parent)
        if trial.number in self._brackets:
            return self._brackets[trial.number]
        for bracket in chain(*self._rounds[self._filling : self._filling + 2]):
            if bracket.room and math.isclose(bracket.ladder.rungs[0].fidelity, trial.fidelity):
                return bracket
        return None

    def _advance(self, bracket: _Bracket) -> None:
        """Takes note of what has changed with a trial of a bracket."""
        if bracket.room:
            self._filling = min(self._filling, bracket.round)  # A rejected trial left its place.
        while not any(bracket.room for bracket in self._rounds[self._filling]):
            self._filling += 1
            self._rounds.append(self._round(len(self._rounds)))
        if bracket in self._halving and bracket.is_done(self.eta):
            self._halving.remove(bracket)
        elif bracket not in self._halving and not bracket.is_done(self.eta):
            self._halving.append(bracket)


@dataclass(slots=True, eq=False)
class _Bracket:
    """One run of successive halving (lines 3-9).

    Attributes:
        round: The number of the round that it belongs to.
        size: How many architectures it begins with (n).
        ladder: Its rungs, from r on.
    """

    round: int
    size: int
    ladder: Ladder

    @property
    def room(self) -> int:
        """How many more are to begin."""
        lowest = self.ladder.rungs[0]
        out = sum(rung is lowest for rung in self.ladder.running.values())
        return max(0, self.size - len(lowest) - out)

    def promotions(self, eta: int) -> Iterator[Proposal]:
        """Those of the highest rung that go on; none before the last of it has ended (line 8)."""
        if self.room:
            return
        for below, above in pairwise(self.ladder.rungs):
            if below in self.ladder.running.values():
                return
            if found := list(below.promotions(eta, above.fidelity)):
                yield from found
                return

    def is_done(self, eta: int) -> bool:
        return not (self.room or self.ladder.running or any(self.promotions(eta)))
