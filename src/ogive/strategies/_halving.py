"""What successive halving is made of: its settings, its rungs and the ladder of them."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._evolution import RegularizedEvolution
from ogive.trial import Proposal, Trial

__all__ = ["Ladder", "Rung", "proposer_for", "rung_fidelities"]


def rung_fidelities(eta: int, min_fidelity: float) -> list[float]:
    """The fidelities of the rungs: each ``eta ** -k`` from ``min_fidelity`` on, up to 1.

    Raises:
        SettingError: Unless ``eta`` is an integer above 1 and ``0 < min_fidelity <= 1``.
    """
    if eta < 2 or eta != int(eta):
        raise SettingError(f"eta must be an integer above 1, but got eta={eta!r}.")
    if not 0 < min_fidelity <= 1:
        raise SettingError(
            f"0 < min_fidelity <= 1 must hold, but got min_fidelity={min_fidelity}."
        )
    top = math.floor(math.log(1 / min_fidelity, eta) + 1e-9)
    return [eta**-k for k in range(top, -1, -1)]


def proposer_for(
    owner: str, space: SearchSpace, proposer: Strategy | None, start_from: Sequence[Architecture]
) -> Strategy:
    """The strategy that new architectures come from; regularised evolution if none is given.

    Raises:
        SettingError: If the proposer is for another space, or is given beside ``start_from``, or
            its children inherit weights.
    """
    if proposer is None:
        return RegularizedEvolution(space, start_from=start_from)
    if proposer.space.key != space.key:
        raise SettingError(
            f"{owner}'s proposer must be for the space that {owner} is for, but it is for "
            f"{proposer.space.name!r}. Make both from one space."
        )
    if start_from:
        raise SettingError(
            f"Only the default proposer takes {owner}'s start_from, but a proposer was given too. "
            f"Write: {type(proposer).__name__}(space, start_from=...)"
        )
    if getattr(proposer, "inherit", 0):
        raise SettingError(
            f"{owner} compares short trainings from scratch, but the children of its proposer "
            f"inherit weights. Write: {type(proposer).__name__}(space, inherit=0)"
        )
    return proposer


class Ladder:
    """Rungs of growing fidelity, and the trials on their way up.

    A failed trial counts as the worst of its rung and is never promoted. A rejected one cost
    nothing and tells nothing about the others: it joins no rung.

    Attributes:
        rungs: From the lowest fidelity to the highest.
        running: Trials that have not ended, by number, and the rung that they will join.
    """

    def __init__(self, fidelities: Sequence[float]) -> None:
        self.rungs = [Rung(fidelity) for fidelity in fidelities]
        self.running: dict[int, Rung] = {}

    def tell(self, trial: Trial) -> None:
        if trial.proposal.parent is not None:
            for rung in self.rungs:
                rung.promote(trial.proposal.parent)
        rung = self._rung_at(trial.fidelity)
        if trial.state == "running":
            self.running[trial.number] = rung
        else:
            self.running.pop(trial.number, None)
            if trial.state != "rejected":
                rung.add(trial)

    def _rung_at(self, fidelity: float) -> Rung:
        """The highest rung that is no higher: a trial of someone else's may lie between two."""
        above = bisect_right(self.rungs, fidelity * (1 + 1e-9), key=lambda rung: rung.fidelity)
        return self.rungs[max(0, above - 1)]

    def promotions(self, eta: int) -> Iterator[Proposal]:
        """The best 1/eta of each rung that were not promoted, from the highest rung down."""
        for below, above in reversed(list(pairwise(self.rungs))):
            yield from below.promotions(eta, above.fidelity)


_Place = tuple[float, int]
"""The negated value and the number of a trial: sorts the best first, of equals the oldest."""


@dataclass(slots=True, eq=False)
class Rung:
    """The trials of one fidelity that ended.

    Two sorted lists: an insertion moves memory (2 µs at 10,000 trials), and the best that waits is
    the first of its list, whose place among all is found by bisection.
    """

    fidelity: float
    _ended: list[_Place] = field(default_factory=list)
    _waiting: list[_Place] = field(default_factory=list)
    _architectures: dict[int, tuple[_Place, Architecture]] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many trials ended here."""
        return len(self._ended)

    def add(self, trial: Trial) -> None:
        promotable = trial.state == "complete" and not math.isnan(trial.value)
        place = (-trial.value if promotable else math.inf, trial.number)
        insort(self._ended, place)
        if promotable:
            insort(self._waiting, place)
            self._architectures[trial.number] = place, trial.architecture

    def promotions(self, eta: int, fidelity: float) -> Iterator[Proposal]:
        """The best 1/eta that were not promoted, at a higher fidelity, the best first."""
        count = len(self._ended) // eta
        for place in self._waiting:
            if bisect_left(self._ended, place) >= count:
                return
            number = place[1]
            yield Proposal(self._architectures[number][1], fidelity, parent=number)

    def promote(self, number: int) -> None:
        """Notes that the trial was promoted, if it is one of this rung."""
        if number in self._architectures:
            place, _ = self._architectures.pop(number)
            del self._waiting[bisect_left(self._waiting, place)]
