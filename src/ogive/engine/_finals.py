"""The end of a search: which trials are trained in full, and which one is handed over."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from ogive.engine._budget import Plan
from ogive.engine._state import SearchState, best_first
from ogive.space import Architecture
from ogive.trial import Proposal, Role, Trial

__all__ = ["Finals"]

_DOUBTFUL = 1.645
"""Standard errors: chance alone gives a lead of more to one network in twenty."""

_DOUBTFUL_SCALED = 1.0
"""A reference that was made smaller to fit the limits is no design that others have proven."""


class Finals:
    """Names the trainings that are still to be begun; a pure function of the state.

    First the reference and the best of the search are trained in full, beside each other. Where
    that is shorter than the final training, it favours what learns quickly: so, if the reference
    is not the best, that one and it (else the best two) meet in a playoff, a longer training on
    the training split. The winner, and the reference, go on to the final training on train +
    validation.

    Args:
        plan: How many and how long.
        reference: The hand-made architecture, if there is one.
    """

    def __init__(self, plan: Plan, reference: Architecture | None) -> None:
        self._plan = plan
        self._reference = reference if plan.reference else None
        self._doubtful = _DOUBTFUL_SCALED if plan.scaled else _DOUBTFUL

    def next(self, state: SearchState) -> Iterator[tuple[Proposal, Role]]:
        """Yields what can be begun now; needs nothing but a closed search."""
        if self._reference is not None and not state.role("reference"):
            yield Proposal(self._reference, parent=self._begun(state)), "reference"
        if state.running("search"):
            return
        yield from self._finalists(state)
        if not self._plan.refit or not self.finished(state):
            return
        playoffs = list(self._further(state, self.pair(state), "playoff"))
        yield from playoffs
        if not playoffs and not state.running("playoff"):
            yield from self._further(state, self.longer(state), "final")

    def waiting(self, state: SearchState) -> int:
        """How many of the first trainings, of finalists and the reference, are yet to begin."""
        reference = self._reference is not None and not state.role("reference")
        return len(self._missing(state)) + reference

    def _begun(self, state: SearchState) -> int | None:
        """The longest training of the reference in the search: it goes on as a finalist does."""
        trained = [
            trial
            for trial in state.role("search")
            if trial.architecture == self._reference
            and trial.state == "complete"
            and state.inherits(trial) is None
            and not state.estimated
        ]
        longest = max(trained, key=lambda trial: trial.fidelity, default=None)
        return None if longest is None else longest.number

    def finished(self, state: SearchState) -> bool:
        """Whether all of the first trainings have ended."""
        if state.running("search", "finalist", "reference") or self._missing(state):
            return False
        return self._reference is None or bool(state.role("reference"))

    def _missing(self, state: SearchState) -> list[Trial]:
        """The best of the search that no one has begun to train in full."""
        begun = {t.architecture: t.state for t in state.role("finalist")}
        # What turned out to be over a limit when measured again leaves its place to the next.
        best = [
            t
            for t in state.ranked()
            if t.architecture != self._reference and begun.get(t.architecture) != "rejected"
        ]
        chosen = best[: self._plan.finalists]
        return [t for t in chosen if not state.in_full(t) and t.architecture not in begun]

    def _finalists(self, state: SearchState) -> Iterator[tuple[Proposal, Role]]:
        for trial in self._missing(state):
            # What an heir has learned is its parents', too: in full means from scratch.
            begun = state.inherits(trial) is None and not state.estimated
            yield Proposal(trial.architecture, parent=trial.number if begun else None), "finalist"

    def _further(
        self, state: SearchState, trials: Iterable[Trial], role: Role
    ) -> Iterator[tuple[Proposal, Role]]:
        begun = {trial.architecture for trial in state.role(role)}
        for trial in trials:
            if trial.architecture not in begun:
                guessed = state.estimated and trial.role == "search"
                yield Proposal(trial.architecture, parent=None if guessed else trial.number), role

    def pair(self, state: SearchState) -> list[Trial]:
        """Those that meet in the playoff: none where the reference is the best already."""
        if not self._plan.playoff:
            return []
        full = state.full()
        if self._reference is None:
            others = (t for t in full if t.architecture != full[0].architecture)
            other = next(others, None)
        else:
            other = self._trained_reference(state)
        if other is None or other.architecture == full[0].architecture:
            return []
        return [full[0], other]

    def longer(self, state: SearchState) -> list[Trial]:
        """Those that go on to the final training: the winner and the reference, if not the same."""
        both = (self.winner(state), self.reference(state))
        return list({trial.architecture: trial for trial in both if trial is not None}.values())

    def candidates(self, state: SearchState) -> list[Trial]:
        """What was measured on the validation split, best first; each by its longest training."""
        played = state.played()
        ranked = [
            *(self._decided(state, *best_first(played.values())[:2]) if len(played) > 1 else ()),
            *(played.get(trial.architecture, trial) for trial in state.full()),
            *state.ranked(),
        ]
        return list({trial.number: trial for trial in ranked}.values())

    def _decided(self, state: SearchState, one: Trial, two: Trial) -> list[Trial]:
        """The two of a playoff, the winner first: in doubt the reference.

        The other one is there as the best of several on the same rows, which flatters it.
        """
        best, other = best_first((one, two))
        known = f"{state.judged}_se"
        # As if of independent rows; those of one split err together, and the true one is smaller.
        error = math.hypot(*(trial.metrics.get(known, 0.0) for trial in (one, two)))
        doubtful = best.value - other.value < self._doubtful * error
        in_doubt = doubtful and other.architecture == self._reference
        return [other, best] if in_doubt else [best, other]

    def winner(self, state: SearchState) -> Trial | None:
        """The best network that was measured on the validation split."""
        return next(iter(self.candidates(state)), None)

    def reference(self, state: SearchState) -> Trial | None:
        """The reference, trained as the finalists were, or as long as the winner in a playoff."""
        trained = self._trained_reference(state)
        return None if trained is None else state.played().get(trained.architecture, trained)

    def _trained_reference(self, state: SearchState) -> Trial | None:
        trials = state.role("reference")
        return trials[0] if trials and trials[0].state == "complete" else None

    def final(self, state: SearchState, trial: Trial | None) -> Trial | None:
        """The trial with the weights to hand over: the training that went on, where there is one."""
        if trial is None:
            return None
        further = [t for t in state.role("final") if t.architecture == trial.architecture]
        return further[0] if further and further[0].state == "complete" else trial
