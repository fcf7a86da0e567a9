"""The end of a search: which trials are trained in full, and which one is handed over."""

from __future__ import annotations

from collections.abc import Iterator

from ogive.engine._budget import Plan
from ogive.engine._state import SearchState
from ogive.space import Architecture
from ogive.trial import Proposal, Role, Trial

__all__ = ["Finals"]


class Finals:
    """Names the trainings that are still to be begun; a pure function of the state.

    First the reference and the best of the search are trained in full, beside each other. Then
    the best of those, and the reference, go on to a longer training on train + validation.
    """

    def __init__(self, plan: Plan, reference: Architecture | None) -> None:
        self._plan = plan
        self._reference = reference if plan.reference else None

    def next(self, state: SearchState) -> Iterator[tuple[Proposal, Role]]:
        """Yields what can be begun now; needs nothing but a closed search."""
        if self._reference is not None and not state.role("reference"):
            yield Proposal(self._reference, parent=self._begun(state)), "reference"
        if state.running("search"):
            return
        yield from self._finalists(state)
        if self._plan.refit and self.finished(state):
            yield from self._refits(state)

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
        ]
        longest = max(trained, key=lambda trial: trial.fidelity, default=None)
        return None if longest is None else longest.number

    def finished(self, state: SearchState) -> bool:
        """Whether the winner among the finalists is known."""
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
            heir = state.inherits(trial) is not None
            yield Proposal(trial.architecture, parent=None if heir else trial.number), "finalist"

    def _refits(self, state: SearchState) -> Iterator[tuple[Proposal, Role]]:
        begun = {trial.architecture for trial in state.role("final")}
        for trial in self.longer(state):
            if trial.architecture not in begun:
                yield Proposal(trial.architecture, parent=trial.number), "final"

    def longer(self, state: SearchState) -> list[Trial]:
        """Those that go on to a longer training: the winner and the reference, if not the same."""
        both = (self.winner(state), self.reference(state))
        return list({trial.architecture: trial for trial in both if trial is not None}.values())

    def winner(self, state: SearchState) -> Trial | None:
        """The best network that was measured on the validation split."""
        return next(iter([*state.full(), *state.ranked()]), None)

    def reference(self, state: SearchState) -> Trial | None:
        """The reference, trained as the finalists were."""
        trials = state.role("reference")
        return trials[0] if trials and trials[0].state == "complete" else None

    def final(self, state: SearchState, trial: Trial | None) -> Trial | None:
        """The trial with the weights to hand over: the training that went on, where there is one."""
        if trial is None:
            return None
        further = [t for t in state.role("final") if t.architecture == trial.architecture]
        return further[0] if further and further[0].state == "complete" else trial
