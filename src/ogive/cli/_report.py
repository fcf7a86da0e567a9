"""``ogive report``"""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ogive import report as reports
from ogive.cli._read import read

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the report of the search in RUN anew, and say where it is."""
    path = folder / "report.html"
    reports.write(read(folder), path)
    typer.echo(path)
    if show:
        webbrowser.open(path.absolute().as_uri())
