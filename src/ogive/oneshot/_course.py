"""The steps of a long training that goes on where it was, whatever ended it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.progress import track

from ogive._whole import write_whole
from ogive.errors import SettingError
from ogive.estimators import Run

__all__ = ["Course", "Stateful"]


class Stateful(Protocol):
    """What has a state, such as a module or an optimizer."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


class Course:
    """Counts steps, writes the state after every epoch, and takes it up again.

    Args:
        run: Gives the folder; without one nothing is written.
        identity: What must be the same for a state to be taken up, as JSON.
        state: What is written and read, by name.
        total: Steps in all.
        epoch: Steps after which the state is written.
    """

    def __init__(
        self,
        run: Run,
        identity: Mapping[str, Any],
        state: Mapping[str, Stateful],
        total: int,
        epoch: int,
    ) -> None:
        self._run, self._identity, self._state = run, dict(identity), state
        self._total, self._epoch = total, epoch
        self._noted: dict[str, list[float]] = {}
        self._first = 0
        path = None if run.folder is None else run.folder / "oneshot.pt"
        self._path = path
        if path is not None and path.exists():
            # What a GPU has written goes on without one, too: each part takes it where it is.
            self._take_up(torch.load(path, map_location="cpu", weights_only=True))

    def _take_up(self, saved: Mapping[str, Any]) -> None:
        for name, value in self._identity.items():
            if saved["identity"].get(name) != value:
                raise SettingError(
                    f"A training goes on as it began, but {self._path} is one with another "
                    f"{name}: {saved['identity'].get(name)!r}, not {value!r}. Choose another "
                    "folder."
                )
        for name, part in self._state.items():
            part.load_state_dict(saved["state"][name])
        self._first = saved["step"]

    def steps(self, title: str | None = None) -> Iterator[int]:
        """Yields the numbers of the steps that are left, with a bar if it has a title."""
        steps = range(self._first, self._total)
        shown = track(
            steps,
            title or "",
            total=self._total,
            completed=self._first,
            console=Console(stderr=True),
            disable=title is None,
        )
        for step in shown:
            yield step
            done = step + 1
            if done % self._epoch == 0 or done == self._total:
                means = {name: sum(each) / len(each) for name, each in self._noted.items()}
                self._run.report(done / self._epoch, means)
                self._noted.clear()
                self._write(done)

    def note(self, **values: float) -> None:
        """Notes what a step measured; an epoch's mean is reported."""
        for name, value in values.items():
            self._noted.setdefault(name, []).append(value)

    def _write(self, step: int) -> None:
        if self._path is None:
            return
        state = {name: part.state_dict() for name, part in self._state.items()}
        saved = {"identity": self._identity, "step": step, "state": state}
        write_whole(self._path, lambda path: torch.save(saved, path))
