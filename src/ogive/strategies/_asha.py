"""Asynchronous successive halving (ASHA; Li et al. 2020, arXiv:1810.05934, Algorithm 2)."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from ogive.errors import SettingError
from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._evolution import RegularizedEvolution
from ogive.trial import Proposal, Trial

__all__ = ["ASHA"]


@dataclass(slots=True)
class _Rung:
    """The complete trials of one fidelity, so arranged that the best one to promote is at hand.

    ``top`` holds the best 1/eta of them and ``rest`` the others, as heaps on the boundary between
    the two; ``waiting`` holds those of ``top`` that were not promoted, the best first.
    """

    top: list[tuple[float, int]] = field(default_factory=list)
    rest: list[tuple[float, int]] = field(default_factory=list)
    waiting: list[tuple[float, int]] = field(default_factory=list)
    trials: dict[int, Trial] = field(default_factory=dict)
    promoted: set[int] = field(default_factory=set)

    def add(self, trial: Trial, eta: int) -> None:
        self.trials[trial.number] = trial
        heapq.heappush(self.rest, (-trial.value, trial.number))
        if self.top and -self.rest[0][0] > self.top[0][0]:
            # The newcomer belongs above the boundary: it changes places with the lowest there.
            value, number = heapq.heappop(self.rest)
            lowest, out = heapq.heapreplace(self.top, (-value, number))
            heapq.heappush(self.rest, (-lowest, out))
            heapq.heappush(self.waiting, (value, number))
        if len(self.top) < len(self.trials) // eta:
            value, number = heapq.heappop(self.rest)
            heapq.heappush(self.top, (-value, number))
            heapq.heappush(self.waiting, (value, number))
        if len(self.waiting) > 2 * len(self.top) + 8:  # Most of it has fallen below the boundary.
            top = {number for _, number in self.top}
            self.waiting = [item for item in self.waiting if item[1] in top]

    def promotable(self, taken: set[int]) -> Trial | None:
        """The best of the top 1/eta that is not promoted (Algorithm 2, line 14); changes nothing."""
        boundary = self.top[0] if self.top else (math.inf, 0)
        for value, number in sorted(self.waiting):
            if number not in self.promoted and number not in taken and -value >= boundary[0]:
                return self.trials[number]
        return None

    def promote(self, number: int) -> None:
        self.promoted.add(number)
        self.waiting = [item for item in self.waiting if item[1] != number]
        heapq.heapify(self.waiting)


class ASHA(Strategy):
    """Tries many architectures cheaply, and goes on with the best 1/eta of each rung.

    New architectures come from another strategy, which is told of each one's longest training as
    if that had been full: so a model or a population learns from what is known best.

    Args:
        space: What to search.
        proposer: Proposes new architectures; regularised evolution by default.
        eta: Of so many trials in a rung one is promoted, to so many times the fidelity.
        min_fidelity: The fidelity of the lowest rung.
        start_from: Architectures to try first, by the default proposer.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        proposer: Strategy | None = None,
        eta: int = 3,
        min_fidelity: float = 1 / 9,
        start_from: Sequence[Architecture] = (),
    ) -> None:
        if eta < 2:
            raise SettingError(f"eta >= 2 must hold, but got eta={eta}.")
        if not 0 < min_fidelity <= 1:
            raise SettingError(
                f"0 < min_fidelity <= 1 must hold, but got min_fidelity={min_fidelity}."
            )
        self.space = space
        self.proposer = proposer or RegularizedEvolution(space, start_from=start_from)
        self.eta = eta
        self.min_fidelity = min_fidelity
        self.start_from = tuple(start_from)
        count = 1 + math.floor(math.log(1 / min_fidelity, eta) + 1e-9)
        self._fidelities = [eta ** (i - count + 1.0) for i in range(count)]
        self._rungs = [_Rung() for _ in self._fidelities]

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        promotions = self._promotions(n)
        fresh = self.proposer.ask(n - len(promotions), rng) if len(promotions) < n else []
        return promotions + [replace(p, fidelity=self._fidelities[0]) for p in fresh]

    def _promotions(self, n: int) -> list[Proposal]:
        """From the highest rung down (Algorithm 2, line 12), as many as can be promoted."""
        found: list[Proposal] = []
        for k in range(len(self._rungs) - 2, -1, -1):
            taken: set[int] = set()
            while len(found) < n and (trial := self._rungs[k].promotable(taken)) is not None:
                taken.add(trial.number)
                fidelity = self._fidelities[k + 1]
                found.append(Proposal(trial.architecture, fidelity, parent=trial.number))
        return found

    def tell(self, trial: Trial) -> None:
        parent = trial.proposal.parent
        if trial.state == "running" and parent is not None:
            for rung in self._rungs:
                if parent in rung.trials:
                    rung.promote(parent)
        if trial.state == "complete":
            self._rungs[self._rung_of(trial.fidelity)].add(trial, self.eta)
        # What failed or was rejected joins no rung, and so neither is promoted nor counted.
        if parent is None or trial.state == "complete":
            self.proposer.tell(trial)

    def _rung_of(self, fidelity: float) -> int:
        return min(range(len(self._fidelities)), key=lambda k: abs(self._fidelities[k] - fidelity))
