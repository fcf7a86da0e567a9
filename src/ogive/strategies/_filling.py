"""How strategies that breed come to their first population."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from ogive.space import Architecture
from ogive.strategies._pareto import comparable
from ogive.trial import Trial

__all__ = ["Filling"]


@dataclass(slots=True)
class Filling:
    """How full a population is, and how much of what was tried a limit let through.

    While it is being filled, architectures are drawn at random; but the share of trials that a
    limit rejects is bred from those that it let through. So a limit that few random architectures
    meet does not turn the start into a search for any at all.

    Attributes:
        size: How many networks that were trained fill the population.
    """

    size: int
    _running: set[int] = field(default_factory=set)
    _complete: set[Architecture] = field(default_factory=set)
    _rejected: int = 0

    def tell(self, trial: Trial) -> None:
        if len(self._complete) >= self.size:
            return
        if trial.state == "running":
            if trial.architecture not in self._complete:  # else one of its goes on
                self._running.add(trial.number)
            return
        self._running.discard(trial.number)
        if comparable(trial):
            self._complete.add(trial.architecture)
        elif trial.state == "rejected":
            self._rejected += 1

    def draws(self, rng: Random) -> bool:
        """Whether the next architecture is to be drawn; one trial must be complete."""
        complete = len(self._complete)
        if complete + len(self._running) >= self.size:
            return False
        return rng.random() < complete / (complete + self._rejected)
