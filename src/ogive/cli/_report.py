"""``ogive report``"""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ogive import report as reports
from ogive.engine import summarize

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the report of the search in RUN anew, and say where it is."""
    path = folder / "report.html"
    reports.write(_summary(folder), path)
    typer.echo(path)
    if show:
        webbrowser.open(path.absolute().as_uri())


def _summary(folder: Path) -> dict[str, object]:
    """The journal's summary, with the bundle that an interrupted search left beside it."""
    summary = summarize(folder)
    written = folder / "summary.json"
    if summary["status"] == "interrupted" and written.exists():
        left = json.loads(written.read_text())
        summary |= {name: left.get(name) for name in ("graph", "bundle")}
    return summary
