"""What an earlier search knows, for a new one of the same or a similar space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ogive.engine._summary import replayed
from ogive.errors import SettingError
from ogive.journal import Journal
from ogive.space import Architecture, SearchSpace

__all__ = ["Prior", "starts"]

Prior = Sequence[Mapping[str, Any]] | str | Path | Journal
"""Architectures, or the run folder or journal of a search whose best are meant."""

_MOST = 10


def starts(prior: Prior, space: SearchSpace) -> list[Architecture]:
    """Returns the architectures to try first.

    Architectures that a user gives are completed, and must fit. Of an earlier search the best ten
    are taken, as far as they can be carried over: decisions that this space does not have are left
    out, and those that are new take their first value.

    Raises:
        ArchitectureError: If one that was given names an unknown decision or value.
        JournalError: If there is no readable journal.
        SettingError: If an earlier search has nothing that can be carried over.
    """
    if not isinstance(prior, str | Path | Journal):
        return [space.validate(space.complete(given)) for given in prior]
    state = replayed(prior)
    found: dict[Architecture, None] = {}
    for trial in [*state.full(), *state.ranked()]:
        kept = {
            path: value
            for path, value in trial.architecture.items()
            if path in space and space[path].why_not(value) is None
        }
        architecture = space.complete(kept)
        if kept and space.reason_invalid(architecture) is None:
            found[architecture] = None
    if not found:
        raise SettingError(
            f"An earlier search to start from has complete trials that share decisions with this "
            f"one, but {prior} has {len(state.ranked())} complete trials and none that fits the "
            f"space {space.name!r}. Name another run folder, or leave it out."
        )
    return list(found)[:_MOST]
