"""Perceptrons over the columns of a table."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from ogive.nn import (
    CategoryEmbedding,
    Chooser,
    Columns,
    LinearBlock,
    NormAct,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    ResidualLinearBlock,
    annotate,
    linear,
)
from ogive.task import Task

__all__ = ["mlp"]

_WIDTHS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_EMBEDDINGS = (2, 4, 8, 16)
_REFERENCE_WIDTHS = (32, 256)


def _references(task: Task) -> Iterator[Mapping[str, Any]]:
    """Two hidden layers with batch normalisation, rectifiers and some dropout, scaled by width.

    The widest grows with the data, as an engineer would have it: a few weights a row.
    """
    low, high = _REFERENCE_WIDTHS
    widest = min(high, max(low, 2 * math.isqrt(task.size("train"))))
    for width in sorted((w for w in _WIDTHS if w <= widest), reverse=True):
        decided: dict[str, Any] = {
            "width": width,
            "body": "plain",
            "plain.blocks": 1,
            "activation": "relu",
            "norm": "batch",
            "dropout": 0.1,
        }
        if task.numbers:
            decided["numbers.embedding"] = "linear"
        if task.cardinalities:
            decided["categories.width"] = 8
        yield decided


@annotate(references=_references)
def mlp(choose: Chooser, task: Task) -> nn.Module:
    """Embeddings of the columns, then hidden layers, plain or residual or none at all, for tables.

    Without hidden layers the network is additive: a sum of one function a column.

    Maps ``(batch, columns)``, numbers first and then codes of categories, to
    ``(batch, outputs)``.
    """
    width = choose.value("width", _WIDTHS)
    columns = Columns(
        task.numbers,
        _numbers(choose.at("numbers"), task.numbers, width) if task.numbers else None,
        _categories(choose.at("categories"), task.cardinalities, width)
        if task.cardinalities
        else None,
    )
    body = choose.layer(
        "body",
        {
            "plain": lambda: _plain(choose, width),
            "residual": lambda: _residual(choose, width),
            "none": nn.Identity,
        },
    )
    head = linear(width, task.outputs, gain=1.0)
    return nn.Sequential(OrderedDict(columns=columns, body=body, head=head))


def _numbers(choose: Chooser, columns: int, width: int) -> nn.Module:
    """Returns ``(batch, columns)`` to ``(batch, width)``."""

    def piecewise() -> nn.Module:
        features = choose.value("width", _EMBEDDINGS)
        bins = choose.value("bins", (4, 8, 16, 32))
        embedding = PiecewiseLinearEmbedding(columns, bins, features)
        return nn.Sequential(embedding, linear(columns * features, width))

    def periodic() -> nn.Module:
        features = choose.value("width", _EMBEDDINGS)
        frequencies = choose.value("frequencies", (8, 16, 32))
        scale = choose.value("scale", (0.01, 0.03, 0.1, 0.3, 1.0))
        embedding = PeriodicEmbedding(columns, frequencies, scale, features)
        return nn.Sequential(embedding, linear(columns * features, width))

    return choose.layer(
        "embedding",
        {
            "linear": lambda: linear(columns, width),
            "piecewise": piecewise,
            "periodic": periodic,
        },
    )


def _categories(choose: Chooser, cardinalities: Sequence[int], width: int) -> nn.Module:
    """Returns ``(batch, categories)`` codes to ``(batch, width)``."""
    features = choose.value("width", _EMBEDDINGS)
    embedding = CategoryEmbedding(cardinalities, features)
    return nn.Sequential(embedding, linear(len(cardinalities) * features, width))


def _settings(choose: Chooser) -> dict[str, Any]:
    """Returns what every hidden layer shares. Asked only where there are hidden layers."""
    return {
        "activation": choose.value("activation", ("relu", "silu", "gelu")),
        "norm": choose.value("norm", ("none", "batch", "layer")),
        "dropout": choose.value("dropout", (0.0, 0.1, 0.2, 0.3, 0.5)),
    }


def _plain(choose: Chooser, width: int) -> nn.Module:
    settings = _settings(choose)
    return nn.Sequential(
        NormAct(width, **settings),
        choose.repeat("plain.blocks", range(5), lambda *_: LinearBlock(width, width, **settings)),
    )


def _residual(choose: Chooser, width: int) -> nn.Module:
    settings = _settings(choose)
    hidden = width * choose.value("residual.hidden_percent", (50, 100, 200, 400)) // 100
    return nn.Sequential(
        choose.repeat(
            "residual.blocks",
            range(1, 6),
            lambda *_: ResidualLinearBlock(width, hidden, **settings),
        ),
        NormAct(width, **settings),
    )
