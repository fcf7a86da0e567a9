"""What all charts share: their colours, and how they become pieces of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import plotly.graph_objects as go

__all__ = ["LINES", "html", "plain"]

# Middle tones, which stand out on white and on near-black alike.
LINES = ("#3a7bd5", "#e8871e", "#2aa35a", "#a259d9", "#d64545", "#1aa6a6", "#b8860b", "#d6578f")


def plain(words: str) -> str:
    """Words for Plotly, which reads a few HTML tags, but no quotes."""
    return escape(words, quote=False)


def html(figure: go.Figure, name: str) -> str:
    """A figure as a piece of a page, under a name of its own, and labelled for screen readers."""
    grid: Mapping[str, Any] = {"gridcolor": "rgba(128,128,128,.22)", "zeroline": False}
    figure.update_xaxes(**grid)
    figure.update_yaxes(**grid)
    figure.update_layout(
        template=None,
        autosize=True,
        height=380,
        margin={"l": 56, "r": 12, "t": 8, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": "#808794"},
        legend={"orientation": "h", "y": -0.22, "x": 0},
        hoverlabel={"align": "left", "font": {"size": 12}},
    )
    chart = figure.to_html(
        include_plotlyjs=False,
        full_html=False,
        div_id=f"chart-{name}",
        config={"responsive": True, "displayModeBar": False},
    )
    axes = f"{figure.layout.yaxis.title.text} by {figure.layout.xaxis.title.text}"
    label = axes.replace('"', "&quot;")  # plain() leaves them
    return f'<div role="img" aria-label="Chart: {label}">{chart}</div>'
