"""``ogive spaces``"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ogive import spaces as ready
from ogive import task as tasks
from ogive.nn import record
from ogive.space import Decision, SearchSpace

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_EXAMPLES = {"convnet": "digits", "mlp": "breast_cancer"}
"""Built-in data for which a space is shown: its size depends on the task."""


@app.command()
def spaces(
    name: Annotated[str | None, typer.Argument(help="Show the decisions of this one.")] = None,
) -> None:
    """List the ready-made search spaces, or show the decisions of one."""
    console = Console()
    if name is None:
        _list(console)
        return
    function = ready.by_name(name)
    space, data = _recorded(name)
    console.print(f"{name}: {_first_line(function)}")
    console.print(f"{len(space)} decisions, {_size(space)} architectures for {data}\n")
    table = Table("decision", "options", "asked where", box=None, pad_edge=False)
    for decision in space.decisions:
        table.add_row(decision.path, _options(decision), _conditions(decision))
    console.print(table)


def _list(console: Console) -> None:
    table = Table(
        "space", "for", "decisions", "architectures", "what it is", box=None, pad_edge=False
    )
    for name, function in ready.SPACES.items():
        space, data = _recorded(name)
        table.add_row(name, f"as {data}", str(len(space)), _size(space), _first_line(function))
    console.print(table)


def _recorded(name: str) -> tuple[SearchSpace, str]:
    data = _EXAMPLES.get(name, "digits")
    return record(ready.by_name(name), tasks.load(data)), data


def _first_line(function: Any) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]


def _size(space: SearchSpace) -> str:
    return f"{space.size:.2g}"


def _options(decision: Decision) -> str:
    if decision.kind in ("integer", "real"):
        return f"{decision.low:g} to {decision.high:g}" + (" (log)" if decision.log else "")
    sizes = f", {' or '.join(map(str, decision.sizes))} of them" if decision.sizes else ""
    return ", ".join(map(str, decision.options)) + sizes


def _conditions(decision: Decision) -> str:
    if () in decision.conditions:
        return ""
    return " or ".join(
        " and ".join(f"{c.parent} is {'/'.join(sorted(map(str, c.values)))}" for c in conjunction)
        for conjunction in decision.conditions
    )
