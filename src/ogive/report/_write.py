"""The report: one HTML file that opens without a network."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ogive import text
from ogive.report import _charts
from ogive.report._draw import draw
from ogive.report._page import write_page
from ogive.report._predicted import predicted
from ogive.report._records import JSON, Row, Search, read
from ogive.report._worth import ENOUGH, option_label, worth

__all__ = ["write"]

_MOST_REASONS = 12
_MOST_CHARTS = 4


def write(summary: JSON, path: str | Path) -> None:
    """Writes the report of a search, whole or not at all.

    Args:
        summary: What ``ogive show --json`` prints, of a search at any moment.
        path: Where the HTML goes.

    Raises:
        OSError: If it cannot be written.
    """
    write_page("report.html.j2", _view(read(summary)), path)


def _view(search: Search) -> dict[str, Any]:
    goal = search.goal.name
    graph, stopped = search.part("graph"), search.part("stopped")
    return {
        "status": search.summary.get("status") or "unknown",
        "title": _title(search),
        "lead": _lead(search),
        "tiles": _tiles(search),
        "reference": _reference(search),
        "limits": _limits(search),
        "network": draw(graph) if graph else "",
        "decisions": _decisions(search.part("best").get("architecture")),
        "over_time": _charts.over_time(search),
        "thinned": _charts.thinned(search),
        "stopped": text.stopped(stopped) if stopped.get("trials") else "",
        "goal": _capital(text.label(goal)),
        "limited": bool(search.part("limits")),
        "against": _charts.against(search, _charts.costs_of(search)[:_MOST_CHARTS]),
        "curves": _charts.curves(search),
        "worth": worth(search),
        "gradient": _gradient(search),
        "gradient_chart": _charts.by_gradient(search),
        "predicted": predicted(search),
        "enough": ENOUGH,
        "gap": partial(text.gap, goal),
        "failures": _failures(search.rows),
        "notes": search.part("task").get("notes") or [],
        "bundle": _bundle(search),
        "made": _made(search),
    }


def _title(search: Search) -> str:
    name = search.part("task").get("name") or "a search"
    goal, test = search.goal.name, search.part("test")
    if search.winner is None:
        running = search.summary.get("status") == "running"
        return f"No network {'yet' if running else 'was found'} for {name}"
    # What an estimator of one's own measures may be unknown to the test.
    metric = goal if goal in test else str(search.part("task").get("metric"))
    if metric in test:
        return f"{text.score(metric, test[metric])} {text.label(metric)} on {name}"
    value, what = _best(search.summary)
    return f"{value} {what} on {name}"


def _best(summary: JSON) -> tuple[str, str]:
    """How good the best is, and by what that is told."""
    best = summary["best"]
    metric, validated = text.told_by(summary, best)
    what = f"{'validation ' if validated else ''}{text.label(metric)}"
    return text.score(metric, {**best["metrics"], **best["costs"]}.get(metric)), what


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _decisions(architecture: JSON | None) -> list[tuple[str, str]]:
    return [(path, option_label(value)) for path, value in (architecture or {}).items()]


def _lead(search: Search) -> str:
    test = search.part("test")
    interval = test.get("interval")
    if interval:
        metric = interval["metric"]
        low, high = (text.score(metric, interval[end]) for end in ("low", "high"))
        return (
            f"On the test split, opened once: {text.label(metric)} "
            f"{text.score(metric, test.get(metric))}, {100 * interval['level']:.0f} % interval "
            f"{low} to {high}."
        )
    if search.summary.get("status") == "interrupted":
        return (
            "The search was interrupted. The test split is still sealed; give the same command "
            "again to go on."
        )
    best = search.part("best")
    if best and not text.told_by(search.summary, best)[1]:
        return "Scores are the estimator's; no network was trained and tested."
    return "Scores are of the validation split, on which the network was chosen."


def _tiles(search: Search) -> list[dict[str, str]]:
    counts = Counter(row.state for row in search.rows)
    used = search.part("budget").get("used") or {}
    tiles = []
    if search.winner is not None:
        tiles.append(_best(search.summary))
    costs = search.part("best").get("costs") or {}
    limits = search.part("limits")
    for name, value in costs.items():
        most = f", at most {text.cost(name, limits[name])}" if name in limits else ""
        tiles.append((text.cost(name, value), f"{text.label(name)}{most}"))
    others = ", ".join(f"{n} {state}" for state, n in counts.items() if state != "complete")
    tiles.append((str(counts["complete"]), f"trials complete{'; ' if others else ''}{others}"))
    tiles.append((text.duration(used.get("seconds")), _budget(search)))
    return [{"value": value, "label": label} for value, label in tiles]


def _budget(search: Search) -> str:
    budget = search.part("budget")
    parts = []
    if budget.get("seconds"):
        parts.append(text.duration(budget["seconds"]))
    parts += [text.several(budget[f"{n}s"], n) for n in ("trial", "epoch") if budget.get(f"{n}s")]
    return f"used of {' and '.join(parts)}" if parts else "used"


def _reference(search: Search) -> dict[str, Any] | None:
    """The reference beside the winner, or beside the next best where it is itself the winner."""
    told = search.part("reference")
    if not told:
        return None
    best = search.part("best")
    if best.get("architecture") == told.get("architecture"):
        other = _next_best(search)
        return {
            "sentence": "The search found nothing clearly better than the hand-made reference, which is "
            "what it hands over.",
            "heads": ("best other", "reference"),
            "rows": []
            if other is None
            else _rows(search, [("", other.metrics, told["metrics"])], other.costs),
            "note": "Both are scored on the validation split, on which the network was chosen.",
        }
    scores = [
        (" on validation", best.get("metrics") or {}, told.get("metrics") or {}),
        (" on test", search.part("test"), told.get("test") or {}),
    ]
    return {
        "sentence": _verdict(told),
        "heads": ("found", "reference"),
        "rows": _rows(search, scores, best.get("costs") or {}),
        "note": (
            "Both were trained with the same recipe for the same time, and scored on the same "
            "rows; the interval is a paired bootstrap over them. It does not contain the spread "
            "between training seeds."
        ),
    }


def _next_best(search: Search) -> Row | None:
    """The best network that was trained as long as the winner and is another one."""
    winner = search.winner
    metric, _ = text.told_by(search.summary, search.part("best"))
    told = search.goal if metric == search.goal.name else search.own
    role = "playoff" if winner is not None and winner.role == "playoff" else "finalist"
    rows = [
        (told.oriented(value), row)
        for row in search.rows
        if row.state == "complete" and row.role == role
        if winner is None or row.architecture != winner.architecture
        if (value := row.value(metric)) is not None
    ]
    return max(rows, key=lambda scored: scored[0], default=(0.0, None))[1]


def _rows(
    search: Search, scores: Sequence[tuple[str, JSON, JSON]], costs: JSON
) -> list[tuple[str, str, str]]:
    """Name, the found network's value, the reference's value."""
    goal, told = search.goal.name, search.part("reference").get("costs") or {}
    own = str(search.part("task").get("metric"))
    named = [(goal if goal in a or goal in b else own, where, a, b) for where, a, b in scores]
    rows = [
        (
            f"{text.label(metric)}{where}",
            text.score(metric, a.get(metric)),
            text.score(metric, b.get(metric)),
        )
        for metric, where, a, b in named
        if metric in a or metric in b
    ]
    return rows + [
        (text.label(name), text.cost(name, costs.get(name)), text.cost(name, value))
        for name, value in told.items()
    ]


def _verdict(told: JSON) -> str:
    difference = told.get("difference")
    if not difference:
        failed = told.get("state") == "failed"
        return "There is no comparison: " + (
            "the training of the reference failed."
            if failed
            else "the test split is still sealed."
        )
    metric = difference["metric"]
    value, low, high = (text.gap(metric, difference[x]) for x in ("value", "low", "high"))
    unit = text.gap_unit(metric)
    measured = f"{value}{unit} {text.label(metric)} on the test split ({low} to {high})"
    if difference["verdict"] == "tie":
        return f"A tie: {measured}. The interval contains zero."
    return f"The found network is {difference['verdict']}: {measured}."


def _gradient(search: Search) -> Sequence[tuple[bool, str]]:
    """What is said of the search by gradient that this one began from, and whether it is bad."""
    told = search.part("by_gradient")
    if not told:
        return ()
    if told.get("notes"):
        return [(True, note) for note in told["notes"]]
    measured = any(each.get("eigenvalue") is not None for each in told.get("history") or ())
    sharpness = (
        "and the dominant eigenvalue raised no alarm"
        if measured
        else "but its eigenvalue was not measured; search_by_gradient(alarm=True) does so"
    )
    return [(False, f"Skips did not take over, {sharpness}.")]


def _limits(search: Search) -> list[tuple[str, str, str, bool]]:
    costs = search.part("best").get("costs") or {}
    return [
        (
            text.label(name),
            text.cost(name, costs.get(name)),
            text.cost(name, most),
            costs.get(name) is not None and costs[name] <= most,
        )
        for name, most in search.part("limits").items()
    ]


def _failures(rows: Sequence[Row]) -> list[tuple[int, str, str]]:
    reasons = Counter(
        (row.state, text.shorten(text.gist(row.error), 300))
        for row in rows
        if row.state in ("failed", "rejected")
    )
    shown = [(n, state, reason) for (state, reason), n in reasons.most_common(_MOST_REASONS)]
    left = sum(reasons.values()) - sum(n for n, _, _ in shown)
    return [*shown, (left, "", "other reasons")] if left else shown


def _bundle(search: Search) -> dict[str, str] | None:
    told = search.part("bundle")
    if not told:
        return None
    path = str(told.get("path"))
    images = search.part("task").get("kind") == "images"
    what, needed = (
        ("image.png", "onnxruntime, numpy and Pillow")
        if images
        else ("table.csv", "onnxruntime and numpy")
    )
    code = (
        f"# With ogive\n"
        f"import ogive\n"
        f"print(ogive.load_bundle({path!r}).predict({what!r}))\n\n"
        f"# Without: {needed} are enough\n"
        f"# $ python {shlex.quote(path)}/predict.py {what}"
    )
    return {"path": path, "code": code}


def _made(search: Search) -> list[tuple[str, str]]:
    summary, space = search.summary, search.part("space")
    strategy: Mapping[str, Any] = search.part("strategy")
    rows = [
        ("command", _command(summary.get("command") or [])),
        ("run folder", summary.get("run")),
        ("space", f"{space.get('name')}, {text.size(space.get('size'))} architectures"),
        ("strategy", strategy.get("name")),
        ("estimator", summary.get("estimator") or "training"),
        ("seed", summary.get("seed")),
        ("ogive", summary.get("ogive")),
        ("began", summary.get("created")),
    ]
    rows += list(search.part("environment").items())
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def _command(arguments: Sequence[str]) -> str:
    """The command line, with the program's name in place of its path."""
    if not arguments:
        return ""
    program = Path(arguments[0])
    called = (
        ["python", "-m", program.parent.name] if program.stem == "__main__" else [program.name]
    )
    return shlex.join([*called, *arguments[1:]])
