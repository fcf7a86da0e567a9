"""The report's charts, as pieces of HTML that need Plotly's script beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import moocore
import numpy as np
import plotly.graph_objects as go

from ogive.report._figure import LINES, html, plain
from ogive.report._records import Row, Search, thin
from ogive.text import axis_label, cost, label, scaled, score, shorten

__all__ = ["against", "by_gradient", "costs_of", "curves", "front", "over_time", "thinned"]

_MOST_POINTS = 1000  # a chart, so that the report of 10,000 trials stays under 8 MB
_MOST_CURVES = 12

_RUNGS = ("#8fb8de", "#5b93d6", "#3a6fc4", "#6a5acd")
_BEST, _FINALIST, _REFERENCE, _FAILED, _LIMIT, _STOPPED = (
    "#e8871e",
    "#2aa35a",
    "#a259d9",
    "#d64545",
    "#d64545",
    "#8b95aa",
)


def over_time(search: Search) -> str:
    """Every trial by the time at which it ended, and the best score so far."""
    rows = [row for row in search.rows if row.ended is not None]
    scored = [row for row in search.scored if row.ended is not None]
    if not scored:
        return ""
    goal = search.goal
    end = max(row.ended or 0.0 for row in rows)
    unit, seconds = _time_unit(end)
    best = _best_so_far(search, [row for row in scored if not row.stopped])
    figure = go.Figure()
    shown = thin(scored, _MOST_POINTS, keep=_marked(search, best))
    for name, group, marker in _groups(search, shown):
        figure.add_scatter(
            x=[(row.ended or 0.0) / seconds for row in group],
            y=[scaled(goal.name, search.score(row)) for row in group],
            mode="markers",
            name=name,
            marker=marker,
            text=[_hover(search, row) for row in group],
            hoverinfo="text",
        )
    figure.add_scatter(
        x=[*((row.ended or 0.0) / seconds for row in best), end / seconds],
        y=[scaled(goal.name, search.score(row)) for row in [*best, best[-1]]],
        mode="lines",
        name="best so far",
        line={"color": _BEST, "shape": "hv", "width": 2},
        hoverinfo="skip",
    )
    low, high = _window([scaled(goal.name, search.score(row)) for row in scored], goal.greater)
    failed = thin([row for row in rows if row.state == "failed"], _MOST_POINTS // 4)
    if failed:
        figure.add_scatter(
            x=[(row.ended or 0.0) / seconds for row in failed],
            y=[low + 0.02 * (high - low) if goal.greater else high - 0.02 * (high - low)]
            * len(failed),
            mode="markers",
            name="failed",
            marker={"color": _FAILED, "symbol": "x", "size": 7},
            text=[_hover(search, row) for row in failed],
            hoverinfo="text",
        )
    figure.update_xaxes(title=f"time ({unit})", rangemode="tozero")
    figure.update_yaxes(title=plain(axis_label(goal.name)), range=[low, high])
    return html(figure, "over-time")


def against(search: Search, costs: Sequence[str]) -> list[str]:
    """The first objective against each cost, with its Pareto front."""
    charts = (_against(search, name, f"against-{place}") for place, name in enumerate(costs))
    return [chart for chart in charts if chart]


def front(search: Search, rows: Sequence[Row], name: str) -> list[Row]:
    """The rows that no other beats in the first objective and in ``name`` at once, in order."""
    if not rows:
        return []
    less = not any(o.name == name and o.greater for o in search.objectives)
    points = np.array([[row.value(name), search.score(row)] for row in rows])
    kept = moocore.is_nondominated(points, maximise=[not less, search.goal.greater])
    chosen = [row for row, keep in zip(rows, kept, strict=True) if keep]
    return sorted(chosen, key=lambda row: row.value(name) or 0.0)


def curves(search: Search) -> str:
    """The learning curves of those that were trained in full."""
    trained = [row for row in search.rows if row.role != "search"]
    seen = {name for row in trained for point in row.curve for name in point}
    shown = next((told for told in (search.goal, search.own) if told.name in seen), None)
    if shown is None:
        return ""
    goal = shown.name
    rows = [row for row in trained if any(goal in point for point in row.curve)][:_MOST_CURVES]
    figure = go.Figure()
    for index, row in enumerate(rows):
        # One that went on from a checkpoint begins where that was written.
        points = [(point["step"], point[goal]) for point in row.curve if goal in point]
        reference = row.role == "reference" or row == search.reference
        figure.add_scatter(
            x=[step for step, _ in points],
            y=[scaled(goal, value) for _, value in points],
            mode="lines+markers" if len(points) < 40 else "lines",
            name=f"{row.role} {row.number}",
            line={
                "color": LINES[index % len(LINES)],
                "width": 2,
                "dash": "dash" if reference else "solid",
            },
            marker={"size": 5},
        )
    values = [scaled(goal, p[goal]) for row in rows for p in row.curve if goal in p]
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title=plain(axis_label(goal)), range=_window(values, shown.greater))
    return html(figure, "curves")


def by_gradient(search: Search) -> str:
    """What a search by gradient preferred and how sharp its minimum was, over its epochs."""
    history = search.part("by_gradient").get("history") or []
    if not history:
        return ""
    figure = go.Figure()
    lines = (
        ("layers that prefer a skip", "skips", 100.0, "y", LINES[0]),
        ("dominant eigenvalue", "eigenvalue", 1.0, "y2", LINES[1]),
    )
    for name, key, unit, axis, colour in lines:
        points = [(each["epoch"], each[key]) for each in history if each.get(key) is not None]
        if points:
            figure.add_scatter(
                x=[epoch for epoch, _ in points],
                y=[unit * value for _, value in points],
                mode="lines+markers",
                name=name,
                yaxis=axis,
                line={"color": colour, "width": 2},
            )
    figure.update_layout(
        xaxis={"title": "epoch"},
        yaxis={"title": "layers (%)", "range": [0, 100]},
        yaxis2={
            "title": "eigenvalue",
            "overlaying": "y",
            "side": "right",
            "automargin": True,
            "rangemode": "tozero",
            "showgrid": False,  # its lines would lie between those of the first axis
        },
    )
    return html(figure, "by-gradient")


def _against(search: Search, name: str, place: str) -> str:
    last: dict[Any, Row] = {}
    for row in (row for row in search.scored if not row.stopped):
        known = last.get(row.key)
        if row.value(name) is not None and (known is None or row.fidelity >= known.fidelity):
            last[row.key] = row
    rows = list(last.values())
    if len(rows) < 2:
        return ""
    goal = search.goal
    edge = front(search, rows, name)
    keep = _marked(search, edge)
    figure = go.Figure()
    for group_name, group, marker in _groups(search, thin(rows, _MOST_POINTS, keep=keep)):
        figure.add_scatter(
            x=[row.value(name) for row in group],
            y=[scaled(goal.name, search.score(row)) for row in group],
            mode="markers",
            name=group_name,
            marker=marker,
            text=[_hover(search, row) for row in group],
            hoverinfo="text",
        )
    figure.add_scatter(
        x=[row.value(name) for row in edge],
        y=[scaled(goal.name, search.score(row)) for row in edge],
        mode="lines",
        name="front",
        line={"color": _BEST, "shape": "hv", "width": 2},
        hoverinfo="skip",
    )
    values = [row.value(name) or 0.0 for row in rows]
    limit = search.part("limits").get(name)
    if limit is not None:
        figure.add_vline(x=limit, line={"color": _LIMIT, "dash": "dot", "width": 2})
    if min(values) > 0 and max(values) / min(values) > 20:
        figure.update_xaxes(type="log")
    figure.update_xaxes(title=plain(axis_label(name)))
    scores = [scaled(goal.name, search.score(row)) for row in rows]
    figure.update_yaxes(title=plain(axis_label(goal.name)), range=_window(scores, goal.greater))
    return html(figure, place)


def _groups(search: Search, rows: Sequence[Row]) -> list[tuple[str, list[Row], dict[str, Any]]]:
    """The rows by what they were run for, the strategy's own by how long they were trained."""
    winner = search.winner
    stopped = [row for row in rows if row.stopped]
    own = [row for row in rows if row.role == "search" and not row.stopped]
    rungs = sorted({round(row.fidelity, 3) for row in own})
    if len(rungs) > len(_RUNGS):
        rungs = [0.25, 0.5, 0.999, 1.0]
    hollow = {"color": _STOPPED, "size": 6, "symbol": "circle-open"}
    groups = [("stopped: expected", stopped, hollow)]
    below = 0.0
    colours = _RUNGS[-len(rungs) :] if len(rungs) > 1 else (_RUNGS[1],)
    for rung, colour in zip(rungs, colours, strict=False):
        group = [row for row in own if below < round(row.fidelity, 3) <= rung]
        name = "searched" if len(rungs) == 1 else f"trained {100 * rung:.0f} %"
        groups.append((name, group, {"color": colour, "size": 6, "opacity": 0.75}))
        below = rung
    special = {
        "finalist": {"color": _FINALIST, "size": 9},
        "reference": {"color": _REFERENCE, "size": 11, "symbol": "diamond"},
        "playoff": {"color": _FINALIST, "size": 11, "symbol": "square"},
    }
    for role, marker in special.items():
        groups.append((role, [row for row in rows if row.role == role], marker))
    if winner is not None and winner in rows:
        star = {
            "color": _BEST,
            "size": 14,
            "symbol": "star",
            "line": {"width": 1, "color": "#fff"},
        }
        groups.append(("winner", [winner], star))
    return [group for group in groups if group[1]]


def _marked(search: Search, line: Sequence[Row]) -> list[int]:
    """The numbers of the trials that no chart may leave out."""
    own = [row.number for row in search.rows if row.role != "search"]
    return [
        *own,
        *(row.number for row in line),
        *([search.winner.number] if search.winner else []),
    ]


def _best_so_far(search: Search, rows: Sequence[Row]) -> list[Row]:
    """The rows that were the best when they ended."""
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: row.ended or 0.0):
        oriented = search.goal.oriented(search.score(row))
        if not best or oriented > search.goal.oriented(search.score(best[-1])):
            best.append(row)
    return best


def _window(values: Sequence[float], greater: bool) -> tuple[float, float]:
    """An axis that shows the good trials; the worst lie outside where they are far away."""
    low, quarter, three_quarters, high = np.quantile(values, (0, 0.25, 0.75, 1))
    reach = 2.5 * max(three_quarters - quarter, 0.05 * (high - low))
    if greater:
        low = max(low, quarter - reach)
    else:
        high = min(high, three_quarters + reach)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return float(low - margin), float(high + margin)


def _time_unit(longest: float) -> tuple[str, float]:
    if longest < 180:
        return "s", 1.0
    return ("min", 60.0) if longest < 3 * 3600 else ("h", 3600.0)


def _hover(search: Search, row: Row) -> str:
    """What stands beside the pointer."""
    goal = search.goal.name
    lines = [f"<b>trial {row.number}</b> · {row.role} · {100 * row.fidelity:.0f} % of the epochs"]
    if row.state == "complete":
        lines.append(f"{plain(label(goal))} {score(goal, row.value(goal))}")
    if row.stopped:
        lines[-1] += f", as expected when stopped after epoch {row.metrics['stopped_at']:g}"
    lines += [f"{plain(label(name))} {cost(name, value)}" for name, value in row.costs.items()]
    if row.error:
        lines.append(plain(shorten(row.error, 60)))
    decisions = list(row.architecture.items())
    lines += [plain(shorten(f"{path} = {value}", 48)) for path, value in decisions[:6]]
    if len(decisions) > 6:
        lines.append(f"and {len(decisions) - 6} more decisions")
    return "<br>".join(lines)


def thinned(search: Search) -> int:
    """How many scored trials the charts leave out to stay quick."""
    return max(0, len(search.scored) - _MOST_POINTS)


def costs_of(search: Search) -> list[str]:
    """The costs and further objectives that the goal can be shown against."""
    measured = dict.fromkeys(name for row in search.scored for name in row.costs)
    further = [objective.name for objective in search.objectives[1:]]
    limited = [name for name in search.part("limits") if name in measured]
    return list(dict.fromkeys([*limited, *further, *measured]))
