"""The page of a comparison of strategies: curves with their confidence, and a table."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from ogive import __version__
from ogive.report._figure import LINES, html, plain
from ogive.report._page import write_page
from ogive.report._records import JSON
from ogive.text import number, several

__all__ = ["write_comparison"]

_CERTAIN = 1.96
"""Standard errors on either side that hold the mean in 95 of 100 repetitions."""

_DASHES = {"solid": "solid", "dash": "dashed", "dot": "dotted"}
"""How lines are drawn, in Plotly's words and in CSS: where colours come again, another way."""

_NAMED = 3
"""Of those that cannot be told from the best, how many are named."""

_DECADES = 4
"""That a logarithmic axis goes down from the largest regret, at most."""

_SETTLED = 0.1
"""The share of the budget after which a chart of accuracies must show all lines."""


def write_comparison(summary: JSON, path: str | Path) -> None:
    """Writes the report of a comparison, whole or not at all.

    Args:
        summary: ``Comparison.summary`` of :mod:`ogive.bench`.
        path: Where the HTML goes.

    Raises:
        OSError: If it cannot be written.
    """
    write_page("comparison.html.j2", _view(_Read(summary)), path)


@dataclass(frozen=True, slots=True)
class _Read:
    """A summary, and how its parts are said."""

    summary: JSON

    @property
    def rows(self) -> Sequence[JSON]:
        """The best at the end of the budget first."""
        rows: Sequence[JSON] = self.summary["rows"]
        return sorted(rows, key=lambda row: -_or_least(row[f"{self.judged}_mean"]))

    @property
    def judged(self) -> str:
        """What strategies are ranked by: a quick signal is a means, and what is reported the end."""
        return "report" if self.in_seconds else "signal"

    @property
    def of_front(self) -> bool:
        return self.summary["cost"] is not None

    @property
    def in_seconds(self) -> bool:
        return bool(self.summary["protocol"] == "time")

    @property
    def measure(self) -> str:
        """What the first chart shows."""
        return "share of the front's hypervolume" if self.of_front else "regret"

    @property
    def reported(self) -> str:
        name = str(self.summary["report"])
        return f"hypervolume with {name}" if self.of_front else name

    def spent(self, amount: float) -> str:
        return several(amount, "second" if self.in_seconds else "training")


def _or_least(value: float | None) -> float:
    return -math.inf if value is None or math.isnan(value) else value


def _view(read: _Read) -> dict[str, Any]:
    summary, names = read.summary, [row["strategy"] for row in read.rows]
    return {
        "status": "comparison",
        "title": f"{' and '.join(names) if len(names) < 3 else f'{len(names)} strategies'} on "
        f"{summary['table']}",
        "lead": _lead(read),
        "tiles": _tiles(read),
        "legend": [
            (row["strategy"], _look(place)[0], _DASHES[_look(place)[1]])
            for place, row in enumerate(read.rows)
        ],
        "measure": read.measure,
        "reported": read.reported,
        "progress": _progress(read),
        "reports": _reports(read),
        "heads": [f"{spent:,.9g}" for spent in read.summary["at"]],
        "unit": "seconds of training" if read.in_seconds else "full trainings",
        "table": [_line(read, row) for row in read.rows],
        "of_front": read.of_front,
        "made": _made(read),
    }


def _lead(read: _Read) -> str:
    """Who is ahead, and who cannot be told from it."""
    first, *others = read.rows
    budget = read.spent(read.summary["budget"])
    if math.isnan(_nan(first[f"{read.judged}_mean"])):
        return f"No strategy has finished a full training within {budget} for every seed."
    ties = [row["strategy"] for row in others if _tied(first, row, read.judged)]
    said = f"{first['strategy']} is ahead after {budget}"
    if len(ties) > _NAMED:
        ties[_NAMED:] = [f"and {len(ties) - _NAMED} others"]
    if ties:
        said += f"; {', '.join(ties)} cannot be told from it (95 %)"
    return f"{said}."


def _tied(first: JSON, other: JSON, by: str) -> bool:
    """Whether the difference lies within its error; means of one seed have none."""
    gap = _nan(first[f"{by}_mean"]) - _nan(other[f"{by}_mean"])
    error = math.hypot(_nan(first[f"{by}_se"]), _nan(other[f"{by}_se"]))
    return math.isnan(error) or gap <= _CERTAIN * error


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def _tiles(read: _Read) -> list[dict[str, str]]:
    summary, goal = read.summary, read.summary["goal"]
    tiles = [
        (f"{summary['architectures']:,}", f"architectures of {summary['benchmark']}"),
        (several(len(summary["seeds"]), "seed"), "a strategy"),
        (read.spent(summary["budget"]), "a seed may spend"),
    ]
    if not read.of_front:
        tiles.append((number(goal["signal"], 5), f"the best {summary['signal']}"))
    return [{"value": value, "label": words} for value, words in tiles]


def _line(read: _Read, row: JSON) -> dict[str, Any]:
    return {
        "strategy": row["strategy"],
        "after": [_said(read, figures) for figures in row["after"]],
        "report": _with_error(row["report_mean"], row["report_se"], 5),
        "until": [_until(read, row[name]) for name in ("median_until_top", "median_until_best")],
        "thinking": f"{number(1000 * row['seconds_per_proposal'], 2)} ms",
    }


def _said(read: _Read, figures: JSON) -> str:
    name = "signal_mean" if read.of_front else "regret_mean"
    return _with_error(figures[name], figures["signal_se"], 3)


def _with_error(mean: float | None, error: float | None, digits: int) -> str:
    shown = number(mean, digits)
    return shown if error is None or math.isnan(error) else f"{shown} ± {number(error, 2)}"


def _until(read: _Read, spent: float | None) -> str:
    if spent is None or not math.isfinite(spent):
        return f"> {read.summary['budget']:,.9g}"
    return f"{spent:,.0f}"


# Charts


def _progress(read: _Read) -> str:
    """The regret, on a logarithmic axis; or the hypervolume, which ends at 1."""
    best = read.summary["goal"]["signal"]

    def shown(value: float) -> float:
        return value if read.of_front else best - value

    figure = _curves(read, "signal", shown)
    if not read.of_front:
        drawn = [y for line in figure.data if line.name for y in line.y if y > 0]
        top, least = max(drawn, default=1.0), min(drawn, default=0.1)
        bottom = max(least / 2, top * 10**-_DECADES)
        low, high = math.log10(bottom), math.log10(top)
        ticks = 1 if high - low > 1 else "D2"  # every power of ten, or 1, 2 and 5
        figure.update_yaxes(type="log", range=[low, high], dtick=ticks)
    figure.update_yaxes(title=plain(read.measure))
    return html(figure, "progress")


def _reports(read: _Read) -> str:
    """On an axis that leaves out how bad the first few were."""
    figure = _curves(read, "report", lambda value: value)
    settled = [
        y
        for line in figure.data
        if line.name
        for x, y in zip(line.x, line.y, strict=True)
        if x >= _SETTLED * read.summary["budget"]
    ]
    if settled:
        best = read.summary["goal"]["report"]
        margin = 0.1 * (best - min(settled))
        figure.update_yaxes(range=[min(settled) - margin, best + margin])
    figure.update_yaxes(title=plain(read.reported))
    return html(figure, "reported")


def _curves(read: _Read, name: str, shown: Any) -> go.Figure:
    figure = go.Figure()
    for place, row in enumerate(read.rows):
        curve = read.summary["curves"][row["strategy"]]
        points = [
            (at, shown(mean), _CERTAIN * (0.0 if math.isnan(error) else error))
            for at, mean, error in zip(
                curve["at"],
                map(_nan, curve[f"{name}_mean"]),
                map(_nan, curve[f"{name}_se"]),
                strict=True,
            )
            if not math.isnan(mean)
        ]
        _add(figure, plain(row["strategy"]), place, points)
    title = "seconds of training" if read.in_seconds else "full trainings"
    figure.update_xaxes(title=title, rangemode="tozero")
    figure.update_layout(showlegend=False)  # The page has one for all charts.
    return figure


def _add(
    figure: go.Figure, name: str, place: int, points: Sequence[tuple[float, float, float]]
) -> None:
    """A line, and behind it the band in which it lies with 95 % confidence."""
    colour, dash = _look(place)
    at = [x for x, _, _ in points]
    figure.add_scatter(
        x=[*at, *reversed(at)],
        y=[*(y + e for _, y, e in points), *(max(y - e, 1e-9) for _, y, e in reversed(points))],
        fill="toself",
        fillcolor=colour,
        opacity=0.15,
        line={"width": 0},
        mode="lines",
        legendgroup=str(place),
        name="",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=at,
        y=[y for _, y, _ in points],
        mode="lines",
        name=name,
        legendgroup=str(place),
        line={"color": colour, "width": 2, "dash": dash},
    )


def _look(place: int) -> tuple[str, str]:
    """The colour and the dash of a line."""
    dashes = list(_DASHES)
    return LINES[place % len(LINES)], dashes[place // len(LINES) % len(dashes)]


def _made(read: _Read) -> list[tuple[str, str]]:
    summary: Mapping[str, Any] = read.summary
    seeds = summary["seeds"]
    rows = [
        ("protocol", summary["protocol"]),
        ("signal", summary["signal"]),
        ("reported", summary["report"]),
        ("cost", summary["cost"]),
        ("seeds", f"{min(seeds)} to {max(seeds)}"),
        ("ogive", __version__),
        ("python", platform.python_version()),
        ("written", datetime.now(UTC).isoformat(timespec="minutes")),
    ]
    return [(name, str(value)) for name, value in rows if value is not None]
