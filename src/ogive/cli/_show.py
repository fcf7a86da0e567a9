"""``ogive show``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ogive.cli._print import output, print_json, print_summary
from ogive.cli._read import read

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as one JSON object.")
    ] = False,
) -> None:
    """Show where the search in RUN stands, or how it ended."""
    summary = read(folder)
    if as_json:
        print_json(summary)
    else:
        print_summary(summary, output())
