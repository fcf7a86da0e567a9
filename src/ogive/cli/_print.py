"""A summary as people read it in a terminal."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ogive import text

__all__ = ["output", "print_json", "print_summary"]

_WIDE = 160
"""Columns of a page that is no terminal: tables in a file or a pipe are not squeezed into 80."""

_TOP = 10
_REASONS = 5


def output() -> Console:
    """The standard output, for people."""
    return Console(width=None if sys.stdout.isatty() else _WIDE)


def print_json(value: object) -> None:
    """Prints an object that every JSON reader takes: what is no finite number is null."""
    print(json.dumps(text.finite(value), indent=1, allow_nan=False))


def print_summary(summary: Mapping[str, Any], console: Console) -> None:
    """Prints how a search stands: the best, what it is compared with, the trials, the budget."""
    for line in _lines(summary):
        console.print(line, soft_wrap=True, highlight=False)
    console.print(_trials(summary))
    if summary["stopped"] and summary["stopped"]["trials"]:
        console.print(text.stopped(summary["stopped"]), soft_wrap=True, highlight=False)
    for line in _failures(summary):
        console.print(line, soft_wrap=True, highlight=False)
    if summary["run"]:
        console.print(f"report: {escape(summary['run'])}/report.html", soft_wrap=True)
        if summary["bundle"]:
            console.print(f"bundle: {escape(summary['bundle']['path'])}", soft_wrap=True)


def _lines(summary: Mapping[str, Any]) -> Iterator[str]:
    name = (summary["task"] or {}).get("name", "the search")
    yield f"[bold]{escape(name)}[/bold]: {summary['status']}, {_used(summary)}"
    for note in (summary["task"] or {}).get("notes", []):
        yield f"note: {escape(note)}"
    if summary["estimator"]:
        yield f"trials are estimated by {escape(summary['estimator'])}"
    for note in (summary["by_gradient"] or {}).get("notes", []):
        yield f"note: {escape(note)}"
    best = summary["best"]
    if best is None:
        yield "No trial has completed yet."
        return
    metric, validated = text.told_by(summary, best)
    yield (
        f"best: trial {best['number']}, {text.label(metric)} "
        f"{text.score(metric, (best['metrics'] | best['costs']).get(metric))}"
        f"{' on validation' if validated else ''}"
    )
    costs = [
        text.label(n)
        + " "
        + text.cost(n, value)
        + (f" (at most {text.cost(n, summary['limits'][n])})" if n in summary["limits"] else "")
        for n, value in best["costs"].items()
    ]
    if costs:
        yield f"costs: {', '.join(costs)}"
    yield from _tested(summary)


def _tested(summary: Mapping[str, Any]) -> Iterator[str]:
    test, reference = summary["test"], summary["reference"]
    if test:
        interval = test["interval"]
        metric = interval["metric"]
        low, high = (text.score(metric, interval[end]) for end in ("low", "high"))
        yield (
            f"[bold]test: {text.label(metric)} {text.score(metric, test[metric])}[/bold] "
            f"({100 * interval['level']:.0f} % interval {low} to {high})"
        )
    if reference is None:
        return
    if reference["architecture"] == summary["best"]["architecture"]:
        yield "reference: it is the network found; the search had nothing clearly better"
    elif reference["difference"]:
        told = reference["difference"]
        metric = told["metric"]
        value, low, high = (text.gap(metric, told[x]) for x in ("value", "low", "high"))
        yield (
            f"reference: {text.label(metric)} {text.score(metric, reference['test'][metric])} on "
            f"test; the found network is {value}{text.gap_unit(metric)} ({low} to {high}): "
            f"{'a tie' if told['verdict'] == 'tie' else told['verdict']}"
        )
    elif reference["metrics"]:
        metric, _ = text.told_by(summary, reference)
        value = text.score(metric, reference["metrics"].get(metric))
        yield f"reference: {text.label(metric)} {value} on validation"


def _used(summary: Mapping[str, Any]) -> str:
    budget = summary["budget"]
    used = budget["used"]
    parts = [text.duration(used["seconds"])]
    if budget.get("seconds"):
        parts[0] += f" of {text.duration(budget['seconds'])}"
    if budget.get("trials"):
        parts.append(f"{used['trials']} of {text.several(budget['trials'], 'trial')}")
    else:
        parts.append(text.several(used["trials"], "trial"))
    parts.append(f"{text.number(used['epochs'], 3)} epochs")
    return ", ".join(parts)


def _trials(summary: Mapping[str, Any]) -> Table:
    """The best; those trained after an estimator had ranked them first, by the task's metric."""
    goal = [*summary["maximize"], *summary["minimize"]][0]
    complete = [
        (text.told_by(summary, trial)[0], trial)
        for trial in summary["trials"]
        if trial["state"] == "complete"
        and trial["values"]
        and "stopped_at" not in trial["metrics"]
    ]
    complete.sort(key=lambda told: (told[0] != goal, told[1]["values"][0]), reverse=True)
    table = Table(box=None, pad_edge=False)
    metrics = list(dict.fromkeys(metric for metric, _ in complete)) or [goal]
    costs = list(dict.fromkeys(name for _, trial in complete for name in trial["costs"]))
    headings = ["trial", "role", "fidelity", *map(text.label, [*metrics, *costs]), "time"]
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "role" else "right")
    for metric, trial in complete[:_TOP]:
        value = (trial["metrics"] | trial["costs"]).get(metric)
        table.add_row(
            str(trial["number"]),
            trial["role"],
            f"{trial['fidelity']:.2g}",
            *(text.score(name, value if name == metric else None) for name in metrics),
            *(text.cost(name, trial["costs"].get(name)) for name in costs),
            text.duration(trial["seconds"]),
        )
    return table


def _failures(summary: Mapping[str, Any]) -> Iterator[str]:
    reasons = Counter(
        (trial["state"], text.gist(trial["error"] or ""))
        for trial in summary["trials"]
        if trial["state"] in ("failed", "rejected")
    )
    for (state, reason), count in reasons.most_common(_REASONS):
        yield f"{count} {state}: {escape(text.shorten(reason, 160))}"
    if len(reasons) > _REASONS:
        yield f"and {len(reasons) - _REASONS} other reasons"
