"""``ogive resume``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ogive.cli._call import Call, run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Go on with the search in RUN, with the options that it was begun with."""
    run(Call.load(folder), folder, as_json=as_json)
