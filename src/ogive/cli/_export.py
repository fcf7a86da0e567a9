"""``ogive export``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ogive import report as reports
from ogive.cli._read import read
from ogive.text import several

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    optuna: Annotated[
        str, typer.Option(metavar="URL", help="A database, such as sqlite:///study.db.")
    ],
) -> None:
    """Write the search in RUN as a study that Optuna and its dashboard open."""
    study = reports.to_optuna(read(folder), optuna)
    typer.echo(f"{several(len(study.trials), 'trial')} in the study {study.study_name!r}")
