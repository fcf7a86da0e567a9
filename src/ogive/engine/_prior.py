"""What an earlier search knows, for a new one of the same or a similar space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from ogive.engine._summary import replayed
from ogive.errors import SettingError
from ogive.journal import Journal
from ogive.oneshot import Derived, Found
from ogive.space import Architecture, SearchSpace

__all__ = ["Prior", "starts", "told"]

Prior = Sequence[Mapping[str, Any]] | str | Path | Journal | Found | Derived
"""Architectures, the run folder or journal of a search whose best are meant, or what a search by
gradient or by a controller prefers."""

_MOST = 10


def starts(prior: Prior, space: SearchSpace) -> list[Architecture]:
    """Returns the architectures to try first.

    Architectures that a user gives are completed, and must fit. Of an earlier search, or of what
    a one-shot search prefers, the best ten are taken, as far as they can be carried over: decisions
    that this space does not have are left out, and those that are new take their first value.

    Raises:
        ArchitectureError: If one that was given names an unknown decision or value.
        JournalError: If there is no readable journal.
        SettingError: If an earlier search has nothing that can be carried over.
    """
    if isinstance(prior, Found | Derived):
        found = _carried_over(islice(prior.ranked(), _MOST), space)
        if not found:
            raise SettingError(
                "A one-shot search to start from shares decisions with this one, but what it "
                f"prefers, {dict(prior.best)}, does not fit the space {space.name!r}. Search the "
                "same network function, or leave it out."
            )
        return found
    if not isinstance(prior, str | Path | Journal):
        return [space.validate(space.complete(given)) for given in prior]
    state = replayed(prior)
    best = (trial.architecture for trial in [*state.full(), *state.ranked()])
    found = _carried_over(best, space)
    if not found:
        raise SettingError(
            f"An earlier search to start from has complete trials that share decisions with this "
            f"one, but {prior} has {len(state.ranked())} complete trials and none that fits the "
            f"space {space.name!r}. Name another run folder, or leave it out."
        )
    return found[:_MOST]


def told(prior: Prior) -> dict[str, Any] | None:
    """Returns what the journal says of a search by gradient that is begun from, as JSON."""
    if not isinstance(prior, Found):
        return None
    return {"notes": list(prior.notes), "history": [asdict(each) for each in prior.history]}


def _carried_over(architectures: Iterable[Architecture], space: SearchSpace) -> list[Architecture]:
    """Those of another space as far as this one has their decisions; each once."""
    found: dict[Architecture, None] = {}
    for given in architectures:
        kept = {
            path: value
            for path, value in given.items()
            if path in space and space[path].why_not(value) is None
        }
        architecture = space.complete(kept)
        if kept and space.reason_invalid(architecture) is None:
            found[architecture] = None
    return list(found)
