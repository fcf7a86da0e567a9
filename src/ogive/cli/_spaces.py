"""``ogive spaces``"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ogive import spaces as ready
from ogive import task as tasks
from ogive import text
from ogive.cli._print import output
from ogive.nn import record
from ogive.space import Condition, Decision, SearchSpace

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Way = tuple[Condition, ...]
"""Conditions that all hold where a decision is asked."""

_EXAMPLES = {"convnet": "digits", "mlp": "breast_cancer"}
"""Built-in data for which a space is shown: its size depends on the task."""


@app.command()
def spaces(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show the decisions of this one.")
    ] = None,
) -> None:
    """List the ready-made search spaces, or show the decisions of one."""
    console = output()
    if name is None:
        _list(console)
        return
    function = ready.by_name(name)
    space, data = _recorded(name)
    console.print(f"{name}: {_first_line(function)}")
    console.print(f"{len(space)} decisions, {text.size(space.size)} architectures for {data}\n")
    console.print(_tree(name, space))


def _list(console: Console) -> None:
    table = Table(
        "space", "for", "decisions", "architectures", "what it is", box=None, pad_edge=False
    )
    for name, function in ready.SPACES.items():
        space, data = _recorded(name)
        table.add_row(
            name, f"as {data}", str(len(space)), text.size(space.size), _first_line(function)
        )
    console.print(table)


def _recorded(name: str) -> tuple[SearchSpace, str]:
    data = _EXAMPLES.get(name, "digits")
    return record(ready.by_name(name), tasks.load(data)), data


def _first_line(function: Any) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]


def _options(decision: Decision) -> str:
    if decision.kind in ("integer", "real"):
        return f"{decision.low:g} to {decision.high:g}" + (" (log)" if decision.log else "")
    sizes = f", {' or '.join(map(str, decision.sizes))} of them" if decision.sizes else ""
    return ", ".join(map(str, decision.options)) + sizes


def _tree(name: str, space: SearchSpace) -> Tree:
    """Each decision below the one that it depends on most closely."""
    tree = Tree(Text(name, style="bold"), highlight=False)
    branches: dict[str, Tree] = {}
    for decision in space.decisions:
        ways = _shortest(decision.conditions)
        above = branches[ways[0][-1].parent] if ways[0] else tree
        label = Text.assemble(
            (decision.path, "bold"), f": {_options(decision)}", (_where(ways), "dim")
        )
        branches[decision.path] = above.add(label)
    return tree


def _where(ways: Sequence[Way]) -> str:
    said = " or ".join(
        " and ".join(f"{c.parent} is {'/'.join(map(str, sorted(c.values, key=str)))}" for c in way)
        for way in ways
    )
    return f" where {said}" if said else ""


def _shortest(ways: Sequence[Way]) -> list[Way]:
    """The ways in which a decision is asked, without those that another one covers.

    A network function that asks for the same decision in each of several blocks leaves one way
    for each of them.
    """
    kept: list[Way] = []
    for way in sorted(ways, key=len):
        if not any(_covers(other, way) for other in kept):
            kept.append(way)
    return kept


def _covers(wide: Way, narrow: Way) -> bool:
    """Whether ``wide`` holds wherever ``narrow`` does."""
    return all(
        any(c.parent == n.parent and set(n.values) <= set(c.values) for n in narrow) for c in wide
    )
