"""``ogive search``"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ogive.cli._call import Call, run
from ogive.cli._exits import EPILOG
from ogive.errors import SettingError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_SCALES = {"k": 1e3, "M": 1e6, "G": 1e9}


class _Problem(StrEnum):
    CLASSIFICATION = "classification"
    REGRESSION = "regression"


@app.command(epilog=EPILOG)
def search(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A folder with a subfolder a class, a .npz, .csv or .parquet file, or a built-in "
            "name (digits, breast_cancer, diabetes, …).",
        ),
    ],
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time for everything: 90s, 30min, 2h. 10min if no budget is given.",
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Trainings in all.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Epochs in all trainings.")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COST=MOST",
            help="What the network may cost: params, macs, size_mb and memory_mb (in MiB), "
            "latency_ms. Repeatable.",
        ),
    ] = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COST=WHERE",
            help="A cost of your own: file.py:function, or the .json of a latency predictor. "
            "Repeatable.",
        ),
    ] = None,
    maximize: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC", help="A metric to make large. Repeatable."),
    ] = None,
    minimize: Annotated[
        list[str] | None,
        typer.Option(metavar="COST", help="A metric or cost to make small. Repeatable."),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="A ready-made space, or file.py:function."),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            metavar="NAME[:SETTING=VALUE,…]",
            help="auto, bo, evolution, asha, random, …: see docs/strategies.md.",
        ),
    ] = "auto",
    start_from: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="An earlier search, whose best are tried first."),
    ] = None,
    stop_below: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Stops a full training whose probability to end better than the best is below "
            "this, such as 0.05.",
        ),
    ] = None,
    fidelity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="What cheap trainings have less of: epochs, data, resolution, width. Repeatable.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trials side by side; measured if not given.")
    ] = None,
    together: Annotated[
        int, typer.Option(min=1, help="Small perceptrons that each worker trains at once.")
    ] = 1,
    no_bundle: Annotated[
        bool, typer.Option("--no-bundle", help="Hand the network over without exporting it.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="The run folder; runs/DATA by default.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of a table to predict.")
    ] = None,
    problem: Annotated[
        _Problem | None, typer.Option(help="Where the target leaves it open.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="METRIC", help="The metric to optimise.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Height and width of images.")] = None,
    validation: Annotated[
        str | None,
        typer.Option(metavar="SHARE|DATA", help="Validation data, or their share of the rows."),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(metavar="SHARE|DATA", help="Test data, or their share of the rows."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, as ogive show --json does.")
    ] = False,
) -> None:
    """Find the best network for DATA within limits; train, verify and report it.

    In a run folder that stands already the same command goes on where it was. Ctrl-C once writes
    what there is; twice stops at once.
    """
    if budget is None and trials is None and epochs is None:
        budget = "10min"
        typer.echo("No budget was given: taking --budget 10min.", err=True)
    call = Call(
        data=data,
        directory=str(Path.cwd()),
        target=target,
        problem=problem,
        metric=metric,
        size=size,
        validation=validation,
        test=test,
        budget=budget,
        trials=trials,
        epochs=epochs,
        limits=_limits(limit or []),
        costs=_costs(cost or []),
        maximize=tuple(maximize or ()),
        minimize=tuple(minimize or ()),
        space=space,
        strategy=strategy,
        start_from=start_from,
        stop_below=stop_below,
        fidelity=tuple(fidelity or ()),
        workers=workers,
        together=together,
        bundle=not no_bundle,
        seed=seed,
    )
    run(call, out or Path("runs") / _named(Path(data)), as_json=as_json)


def _named(data: Path) -> str:
    """``train`` for ``data/train.csv``; a folder's whole name, ``v1.5``, also where it is ``.``"""
    return data.resolve().name if data.is_dir() else data.stem


def _limits(given: list[str]) -> dict[str, float]:
    limits: dict[str, float] = {}
    for text in given:
        name, _, most = (part.strip() for part in text.partition("="))
        scale = _SCALES.get(most[-1:])
        try:
            value = float(most) if scale is None else float(most[:-1]) * scale
        except ValueError:
            raise SettingError(
                "A limit reads COST=MOST, such as latency_ms=5 or params=50k, but got "
                f"{text!r}. Write a cost, an equals sign and a number without a unit."
            ) from None
        _once(name, limits, "limit")
        limits[name] = value
    return limits


def _costs(given: list[str]) -> dict[str, str]:
    costs: dict[str, str] = {}
    for text in given:
        name, _, where = (part.strip() for part in text.partition("="))
        if not name or not where:
            raise SettingError(
                "A cost of your own reads COST=WHERE, such as latency_ms=phone.json or "
                f"energy=costs.py:energy, but got {text!r}. Write a name, an equals sign and a "
                "file."
            )
        _once(name, costs, "meaning")
        costs[name] = where
    return costs


def _once(name: str, known: Mapping[str, object], what: str) -> None:
    if name in known:
        raise SettingError(f"A cost has one {what}, but {name!r} was given two. Drop one.")
