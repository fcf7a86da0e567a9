"""A search as one plain object: what ``ogive show --json`` prints and the report is made of."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ogive.engine._objectives import Objectives
from ogive.engine._state import SearchState
from ogive.errors import JournalError
from ogive.journal import Journal, open_journal
from ogive.trial import Trial

__all__ = ["best_of", "fold", "replayed", "summarize", "summary_of"]


def summarize(run: str | Path | Journal) -> dict[str, Any]:
    """Returns the summary of a search at any moment of it, from its journal alone.

    Args:
        run: A run folder, a journal's file or URL, or a journal.

    Raises:
        JournalError: If there is no readable journal with a search in it.
    """
    return summary_of(replayed(run), folder=None if isinstance(run, Journal) else Path(run))


def replayed(run: str | Path | Journal) -> SearchState:
    """Replays the journal of a run folder, of a file or URL, or as it is; writes nothing."""
    if isinstance(run, Journal):
        return fold(run)
    folder = Path(run)
    path = folder / "journal.db" if folder.is_dir() else folder
    if "://" not in str(run) and not path.exists():
        raise JournalError(
            f"A run folder holds a journal.db, but {folder} has none. Name the folder that "
            "ogive search wrote (--out, runs/<data> by default)."
        )
    location = str(run) if "://" in str(run) else path
    with open_journal(location, read_only=True) as journal:
        return fold(journal)


def fold(journal: Journal) -> SearchState:
    """Replays a journal.

    Raises:
        JournalError: If no search was ever opened in it.
    """
    state: SearchState | None = None
    for _, event in journal.read():
        if state is None and event["kind"] == "opened":
            identity = event["identity"]
            state = SearchState(
                Objectives(tuple(identity["maximize"]), tuple(identity["minimize"]))
            )
        if state is not None:
            state.apply(event)
    if state is None:
        raise JournalError(
            "A journal begins with the search it was opened for, but this one is empty. "
            "Start the search again with the same command."
        )
    return state


def summary_of(
    state: SearchState, folder: Path | None, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns the summary of a state; ``extra`` overrides what an interrupted search hands over."""
    assert state.opened is not None
    opened, planned = state.opened, state.planned or {}
    identity, handed = opened["identity"], state.handed or {}
    used = state.clock.used()
    summary = {
        "ogive": opened["ogive"],
        "run": str(folder) if folder else None,
        "status": _status(state),
        "created": datetime.fromtimestamp(opened["at"], UTC).isoformat(timespec="seconds"),
        "command": opened["command"],
        "task": opened["task"],
        "space": {**opened["space"], "decisions": identity["space"]["decisions"]},
        "strategy": identity["strategy"],
        "estimator": identity["estimator"],
        "recipe": identity["recipe"],
        "by_gradient": opened.get("by_gradient"),
        "stopped": _stopped(state),
        "seed": identity["seed"],
        "limits": identity["limits"],
        "maximize": identity["maximize"],
        "minimize": identity["minimize"],
        "trials": [_trial(state, trial) for trial in state.trials.values()],
        "best": _best(state),
        "reference": _reference(state),
        "test": _test(state),
        "budget": {
            **state.budget,
            "used": {
                "seconds": round(used, 1),
                "trials": state.spent_trials,
                "epochs": round(state.epochs, 2),
            },
            "closed": state.closed,
        },
        "plan": planned.get("plan"),
        "environment": {
            **opened["environment"],
            **{k: planned.get("plan", {}).get(k) for k in ("precision", "threads", "workers")},
        },
        "graph": handed.get("graph"),
        "bundle": _bundle(handed.get("bundle"), folder),
    }
    return {**summary, **(extra or {})}


def _bundle(handed: dict[str, Any] | None, folder: Path | None) -> dict[str, Any] | None:
    """Where the bundle is: in the run folder, wherever that is now, or in another process's."""
    if handed is None or folder is None or not (folder / "bundle").is_dir():
        return handed
    return {**handed, "path": str(folder / "bundle")}


def _status(state: SearchState) -> str:
    if state.done:
        return "complete"
    now = time.time()
    alive = any(process.alive(now) for process in state.processes.values())
    return "running" if alive else "interrupted"


def _trial(state: SearchState, trial: Trial) -> dict[str, Any]:
    begun = state.clock.at(state.spans[trial.number][0])
    return {
        "number": trial.number,
        "role": trial.role,
        "state": trial.state,
        "architecture": trial.architecture.to_json(),
        "fidelity": trial.fidelity,
        "parent": trial.proposal.parent,
        "metrics": dict(trial.metrics),
        "costs": dict(trial.costs),
        "error": trial.error,
        "seconds": trial.seconds,
        "started": round(begun, 2),
        "ended": round(state.clock.at(state.spans[trial.number][1]), 2) if trial.ended else None,
        "values": list(trial.values),
        "curve": [dict(epoch) for epoch in trial.curve],
    }


def _stopped(state: SearchState) -> dict[str, Any] | None:
    """How many trials were stopped, below which probability, and what that saved."""
    assert state.opened is not None
    below = state.opened["identity"].get("stop_below")
    if below is None or state.planned is None:
        return None
    at = [t.stopped_at for t in state.role("search") if t.stopped_at is not None]
    epochs = len(at) * state.planned["plan"]["epochs"] - sum(at)
    return {"below": below, "trials": len(at), "epochs": round(epochs, 2)}


def _best(state: SearchState) -> dict[str, Any] | None:
    number = (state.handed or {}).get("number")
    trial = state.best() if number is None else state.trials[number]
    if trial is None:
        return None
    return best_of(trial, (state.handed or {}).get("costs", {}))


def best_of(trial: Trial, costs: Mapping[str, float]) -> dict[str, Any]:
    """Says which trial is the best, with the costs that were measured again."""
    return {
        "number": trial.number,
        "role": trial.role,
        "architecture": trial.architecture.to_json(),
        "metrics": dict(trial.metrics),
        "costs": {**trial.costs, **costs},
    }


def _reference(state: SearchState) -> dict[str, Any] | None:
    trials = state.role("reference")
    if not trials:
        return None
    trial, tested = trials[0], state.tested or {}
    trial = state.played().get(trial.architecture, trial)
    return {
        "number": trial.number,
        "state": trial.state,
        "architecture": trial.architecture.to_json(),
        "metrics": dict(trial.metrics),
        "costs": dict(trial.costs),
        "test": tested.get("reference"),
        "difference": tested.get("difference"),
    }


def _test(state: SearchState) -> dict[str, Any] | None:
    if state.tested is None:
        return None
    return {**state.tested["metrics"], "interval": state.tested["interval"]}
