"""``ogive bench``"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ogive import bench as benches
from ogive import report as reports
from ogive.cli._print import output, print_json
from ogive.text import finite, number, several

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class _Protocol(StrEnum):
    QUERIES = "queries"
    TIME = "time"
    OBJECTIVES = "objectives"


@app.command()
def bench(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE", help="A benchmark table: nb201.npz, nb101.npz (see docs/bench.md)."
        ),
    ],
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:SETTING=VALUE,…]",
            help="Such as evolution:population=50,sample=25. Repeatable; random and evolution "
            "(of objectives, nsga2) if none is given.",
        ),
    ] = None,
    protocol: Annotated[
        _Protocol,
        typer.Option(
            help="queries; time, as in NAS-Bench-201's paper; or objectives: signal and cost."
        ),
    ] = _Protocol.QUERIES,
    queries: Annotated[
        int | None,
        typer.Option(
            min=1, help="Full trainings a seed, but of the protocol time; 300 by default."
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Seconds of training a seed, of the protocol time; 12,000 by default."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each strategy.")] = 50,
    seed: Annotated[int, typer.Option(help="The first of their seeds.")] = 0,
    signal: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column that strategies see; more is better."),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The column that is reported of the best so far."),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="The column to make small, of the protocol objectives."
        ),
    ] = None,
    at: Annotated[
        list[float] | None,
        typer.Option(metavar="SPENT", help="Where to give figures: what was spent. Repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the report goes; runs/bench-TABLE by default."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs side by side; a core each by default.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a list of rows, one a strategy.")
    ] = False,
) -> None:
    """Compare strategies on the benchmark TABLE, over many seeds, and write a report."""
    names = strategy or ["random", "nsga2" if protocol == "objectives" else "evolution"]
    with _progress(names, seeds) as told:
        comparison = benches.compare(
            table,
            names,
            protocol=protocol.value,
            queries=queries,
            seconds=seconds,
            signal=signal,
            report=report,
            cost=cost,
            seeds=range(seed, seed + seeds),
            at=at,
            workers=workers,
            progress=told,
        )
    folder = out or Path("runs") / f"bench-{table.stem}"
    folder.mkdir(parents=True, exist_ok=True)
    summary = finite(comparison.summary)
    reports.write_comparison(summary, folder / "report.html")
    if as_json:
        print_json(comparison.rows)
    else:
        _print(summary, output())
        output().print(f"report: {escape(str(folder))}/report.html", soft_wrap=True)


@contextmanager
def _progress(names: list[str], seeds: int) -> Iterator[Callable[[str], None]]:
    """A bar a strategy, on a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    hidden = not sys.stderr.isatty() or console.is_dumb_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
        tasks = {name: bars.add_task(escape(name), total=seeds) for name in names}
        yield lambda name: bars.advance(tasks[name])


def _print(summary: dict[str, Any], console: Console) -> None:
    """The figures of each strategy, in the order in which they were asked for.

    By what was spent; then what is reported at the end, what half of the seeds had spent when they
    found one of the 16 best and the best, and what a proposal takes.
    """
    front = summary["cost"] is not None
    best = "" if front else f" (at best {number(summary['goal']['signal'], 5)})"
    cost = f" and {summary['cost']}" if front else ""
    unit = "seconds of training" if summary["protocol"] == "time" else "full trainings"
    console.print(
        f"[bold]{escape(summary['table'])}[/bold]: {summary['benchmark']}, "
        f"{summary['architectures']:,} architectures, {several(len(summary['seeds']), 'seed')}\n"
        f"signal {summary['signal']}{best}{cost}, reported {summary['report']}\n"
        f"{'hypervolume' if front else 'regret'} by {unit}:",
        soft_wrap=True,
        highlight=False,
    )
    console.print(_table(summary, front))


def _table(summary: dict[str, Any], front: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("strategy", overflow="fold")
    heads = [f"{spent:,g}" for spent in summary["at"]]
    for head in (*heads, "reported", *([] if front else ["best 16", "best"]), "ms"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in summary["rows"]:
        figures = [after["signal_mean" if front else "regret_mean"] for after in row["after"]]
        until = [] if front else [row["median_until_top"], row["median_until_best"]]
        table.add_row(
            escape(row["strategy"]),
            *(number(figure, 3) for figure in figures),
            f"{number(row['report_mean'], 5)} ± {number(row['report_se'], 2)}",
            *(f"> {summary['budget']:,g}" if v is None else f"{v:,.0f}" for v in until),
            number(1000 * row["seconds_per_proposal"], 2),
        )
    return table
