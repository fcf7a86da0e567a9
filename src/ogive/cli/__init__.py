"""The command line: thin, it parses, calls and prints.

Each command is a module of its own, loaded when it is called, so that ``ogive --help`` and a
mistyped option answer at once: torch takes seconds to import.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ogive import __version__
from ogive.cli._exits import EPILOG, guarded
from ogive.errors import did_you_mean

__all__ = ["main"]

_COMMANDS = {
    "search": "Find the best network for some data, within limits.",
    "resume": "Go on with a search that was interrupted.",
    "show": "Show where a search stands, or how it ended.",
    "report": "Write the report of a search anew, or open it.",
    "export": "Write a search as a study that Optuna and its dashboard open.",
    "predict": "Predict with a bundle.",
    "spaces": "List the ready-made search spaces, or show one.",
    "bench": "Compare strategies on a benchmark table.",
}


class _Commands(TyperGroup):
    """Loads a command when it is called; a list of them needs their one line of help only."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # Typer passes it
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            ctx.fail(f"There is no command {cmd_name!r}.{did_you_mean(cmd_name, _COMMANDS)}")
        if self._listing:
            return TyperCommand(cmd_name, help=_COMMANDS[cmd_name])
        return typer.main.get_command(import_module(f"ogive.cli._{cmd_name}").app)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        super().format_help(ctx, formatter)


app = typer.Typer(
    cls=_Commands,
    name="ogive",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ogive {__version__}")
        raise typer.Exit


@app.callback()
def _ogive(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Finds the best neural network for a dataset, within the limits of the machine it runs on."""


def main() -> None:
    """Runs the command line and exits with one of the documented codes."""
    with guarded():
        sys.exit(app(standalone_mode=True, prog_name="ogive"))
