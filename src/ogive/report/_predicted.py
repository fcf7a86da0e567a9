"""How well what networks were worth could have been predicted from the others."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from ogive.report._figure import LINES, html
from ogive.report._records import Row, Search, thin
from ogive.space import Architecture, SearchSpace
from ogive.strategies import PerformancePredictor
from ogive.trial import Proposal, Trial

__all__ = ["Predicted", "predicted"]

_MOST_ROWS = 400
_FAINT = 0.35


@dataclass(frozen=True, slots=True)
class Predicted:
    """What is said of it, and the chart of how it was learned, if there is any."""

    sentence: str
    chart: str


def predicted(search: Search) -> Predicted | None:
    """Trains the quickest of predictors on the strategy's own trials; ``None`` without any."""
    decisions = search.part("space").get("decisions")
    if not decisions:
        return None
    space = SearchSpace.from_json({"name": "", **search.part("space")})
    known = [row for row in search.tried if all(path in space for path in row.architecture)]
    rows = thin(known, _MOST_ROWS)
    if not rows:
        return None
    predictor = PerformancePredictor(space, kind="ensemble")
    predictor.learn(_trial(search, row) for row in rows)
    return Predicted(predictor.explain(), _chart(predictor))


def _trial(search: Search, row: Row) -> Trial:
    architecture = Architecture.from_json(row.architecture)
    value = search.goal.oriented(search.score(row))
    return Trial(row.number, Proposal(architecture, row.fidelity), "complete", values=(value,))


def _chart(predictor: PerformancePredictor) -> str:
    """The rank correlation as trials came in; what chance gives as well is faint."""
    history = predictor.history
    if len(history) < 2:
        return ""
    figure = go.Figure()
    figure.add_scatter(
        x=[ranking.networks for ranking in history],
        y=[ranking.spearman for ranking in history],
        mode="lines+markers",
        line={"color": LINES[0], "width": 2},
        marker={"size": 9, "opacity": [1 if r.beats_chance else _FAINT for r in history]},
        hoverinfo="x+y",
        showlegend=False,
    )
    figure.update_xaxes(title="networks learned from", rangemode="tozero")
    figure.update_yaxes(title="rank correlation on others", range=[-1, 1])
    return html(figure, "predicted")
