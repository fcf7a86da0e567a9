"""A search as a study of Optuna, for its plots and its dashboard."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from ogive.errors import SettingError, optional
from ogive.space import Architecture, Decision, SearchSpace, Value

if TYPE_CHECKING:
    import optuna

__all__ = ["to_optuna"]

_MARK = "ogive"
"""The attribute by which a study is known for one that was written here."""

_STATES = {"running": "RUNNING", "complete": "COMPLETE", "failed": "FAIL", "rejected": "PRUNED"}


def to_optuna(
    summary: Mapping[str, Any],
    storage: str | optuna.storages.BaseStorage,
    *,
    name: str | None = None,
) -> optuna.Study:
    """Writes the trials of a search to a study, in place of what an earlier call wrote there.

    A trial keeps its number, its objectives (each in its own direction), its decisions (a subset
    as a yes or no for each option), and the first objective after each epoch as intermediate
    values. Role, fidelity, metrics, costs and error are its user attributes. What a limit rejected
    or what was stopped is pruned. The final training is left out: no validation data are left to measure it on.

    Args:
        summary: What ``ogive show --json`` prints, of a search at any moment.
        storage: A database by its URL (``sqlite:///study.db``), or one of ``optuna.storages``.
        name: What to call the study; as the run folder by default.

    Raises:
        MissingExtra: If Optuna is not installed.
        SettingError: If the database cannot be opened, or holds a study of that name that was not
            written here.
    """
    library = optional("optuna", "optuna")
    name = name or Path(summary["run"] or summary["space"]["name"]).absolute().name
    up, down = summary["maximize"], summary["minimize"]
    try:
        _make_room(name, storage)
        study: optuna.Study = library.create_study(
            study_name=name,
            storage=storage,
            directions=["maximize"] * len(up) + ["minimize"] * len(down),
        )
    except (SQLAlchemyError, ImportError) as error:
        raise SettingError(
            "A study goes to a database, by a URL such as sqlite:///study.db, but the one given "
            f"cannot be opened: {str(error).splitlines()[0]}. Check the URL, and that the "
            "database's driver is installed."
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", library.exceptions.ExperimentalWarning)
        study.set_metric_names([*up, *down])
    study.set_user_attr(_MARK, summary["ogive"])
    study.set_user_attr("command", shlex.join(summary["command"]))
    study.set_user_attr("limits", summary["limits"])
    study.add_trials(_trials(summary))
    return study


def _make_room(name: str, storage: str | optuna.storages.BaseStorage) -> None:
    library = optional("optuna", "optuna")
    if name not in library.get_all_study_names(storage):
        return
    if _MARK not in library.load_study(study_name=name, storage=storage).user_attrs:
        raise SettingError(
            "A search is exported to a study of its own, but the database holds another one that "
            f"is called {name!r}. Name another database."
        )
    library.delete_study(study_name=name, storage=storage)


def _trials(summary: Mapping[str, Any]) -> Iterator[optuna.trial.FrozenTrial]:
    library = optional("optuna", "optuna").trial
    space = SearchSpace.from_json(summary["space"])
    goal = [*summary["maximize"], *summary["minimize"]][0]
    signs = [1.0] * len(summary["maximize"]) + [-1.0] * len(summary["minimize"])
    # Optuna tells the time as the local clock does, without a zone.
    created = datetime.fromisoformat(summary["created"]).astimezone().replace(tzinfo=None)
    for trial in summary["trials"]:
        if trial["role"] == "final" or (summary["estimator"] and trial["role"] != "search"):
            continue  # It has not the objectives of the others.
        stopped = "stopped_at" in trial["metrics"]
        values = [] if stopped else trial["values"]  # What was expected is among its attributes.
        parameters = [
            parameter
            for path, value in Architecture.from_json(trial["architecture"]).items()
            for parameter in _parameters(space[path], value)
        ]
        yield library.FrozenTrial(
            number=trial["number"],
            trial_id=trial["number"],
            state=library.TrialState["PRUNED" if stopped else _STATES[trial["state"]]],
            value=None,
            values=[s * v for s, v in zip(signs, values, strict=False)] or None,
            datetime_start=created + timedelta(seconds=trial["started"]),
            datetime_complete=(
                created + timedelta(seconds=trial["ended"]) if trial["ended"] is not None else None
            ),
            params={name: value for name, value, _ in parameters},
            distributions={name: among for name, _, among in parameters},
            user_attrs=_attributes(trial),
            system_attrs={},
            intermediate_values={
                epoch: metrics[goal]
                for epoch, metrics in enumerate(trial["curve"], start=1)
                if goal in metrics
            },
        )


def _attributes(trial: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: trial[name] for name in ("role", "fidelity", "parent", "seconds", "error")}
    told |= {**trial["metrics"], **trial["costs"]}
    return {name: value for name, value in told.items() if value is not None}


def _parameters(
    decision: Decision, value: Value
) -> Iterator[tuple[str, Any, optuna.distributions.BaseDistribution]]:
    """Yields the name, value and distribution of each parameter that a decision comes to."""
    kinds = optional("optuna", "optuna").distributions
    path, low, high = decision.path, decision.low, decision.high
    match decision.kind:
        case "integer":
            among = kinds.IntDistribution(
                int(low), int(high), log=decision.log, step=decision.step
            )
            yield path, value, among
        case "real":
            yield path, value, kinds.FloatDistribution(low, high, log=decision.log)
        case "subset":
            assert isinstance(value, tuple)
            for name, option in zip(decision.members, decision.options, strict=True):
                yield name, option in value, kinds.CategoricalDistribution((False, True))
        case _:  # An ordinal one by its values, which say more than their places.
            among = kinds.CategoricalDistribution([_plain(option) for option in decision.options])
            yield path, _plain(value), among


def _plain(option: Value) -> Any:
    """The option as Optuna may store it."""
    return str(option) if isinstance(option, tuple) else option
