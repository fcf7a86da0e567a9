"""The records that pass between the floors: what a strategy proposes and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ogive.space import Architecture

__all__ = ["Proposal", "Role", "State", "Trial"]

State = Literal["running", "complete", "failed", "rejected"]
"""``rejected``: a limit ruled it out before it was trained."""

Role = Literal["search", "finalist", "reference", "playoff", "final"]
"""``search`` trials are a strategy's own; the others belong to the end of a search."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An architecture to try, and how dearly.

    Attributes:
        architecture: What to try.
        fidelity: The share of the full training, in (0, 1].
        parent: The number of an earlier trial to begin with: of the same architecture at a lower
            fidelity, from whose checkpoint training goes on; or of another architecture, whose
            weights are inherited where they fit. Where its files are gone, training is from
            scratch, and in the second case in full.
    """

    architecture: Architecture
    fidelity: float = 1.0
    parent: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fidelity <= 1:
            raise ValueError(f"0 < fidelity <= 1 must hold, but got fidelity={self.fidelity}.")

    def to_json(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture.to_json(),
            "fidelity": self.fidelity,
            "parent": self.parent,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Proposal:
        return cls(
            Architecture.from_json(data["architecture"]),
            fidelity=data.get("fidelity", 1.0),
            parent=data.get("parent"),
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """A proposal and what became of it.

    Attributes:
        number: Its place in the search, from 0; never given twice.
        proposal: What was tried.
        state: Where it stands.
        role: What it was run for.
        values: The objectives, each turned so that larger is better; empty unless complete. Of a
            trial that was stopped, what it was expected to end with: what it had reached is in
            its metrics, and would tell a strategy that the network is worse than it is.
        metrics: What the estimator measured on the validation split.
        costs: What the network costs (``params``, ``macs``, ``memory_mb``, ``latency_ms``).
        curve: The metrics of each epoch, in order.
        error: Why it failed or was rejected.
        seconds: How long it ran.
    """

    number: int
    proposal: Proposal
    state: State = "running"
    role: Role = "search"
    values: tuple[float, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    error: str | None = None
    seconds: float = 0.0

    @property
    def architecture(self) -> Architecture:
        return self.proposal.architecture

    @property
    def fidelity(self) -> float:
        return self.proposal.fidelity

    @property
    def value(self) -> float:
        """The first objective, larger is better; ``-inf`` unless complete."""
        return self.values[0] if self.values else float("-inf")

    @property
    def stopped_at(self) -> float | None:
        """The epoch after which it was stopped, as it would not have reached the best."""
        return self.metrics.get("stopped_at")

    @property
    def in_full(self) -> bool:
        """Whether it is complete, and was trained for all of the full length."""
        return self.state == "complete" and self.fidelity == 1 and self.stopped_at is None

    @property
    def ended(self) -> bool:
        return self.state != "running"
