"""Building blocks of tabular networks: embeddings of columns, and layers of a perceptron.

The input of a tabular network is ``(batch, columns)``: first the numbers, normalised to roughly
zero mean and unit variance, then one column of integer codes for each category.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from statistics import NormalDist
from types import MappingProxyType

import torch
from torch import Tensor, nn

from ogive.errors import SettingError, did_you_mean
from ogive.nn._blocks import Residual, linear, nonlinearity, uniform_

__all__ = [
    "NORMALISATIONS",
    "CategoryEmbedding",
    "ColumnLinear",
    "Columns",
    "LinearBlock",
    "NormAct",
    "PeriodicEmbedding",
    "PiecewiseLinearEmbedding",
    "ResidualLinearBlock",
    "normalisation",
]

NORMALISATIONS: Mapping[str, Callable[[int], nn.Module]] = MappingProxyType(
    {
        "none": nn.Identity,  # which takes any arguments and ignores them
        "batch": nn.BatchNorm1d,
        "layer": nn.LayerNorm,
    }
)
"""Normalisations over ``(batch, features)`` by name."""


def normalisation(name: str, features: int) -> nn.Module:
    """Returns a new normalisation by its name in :data:`NORMALISATIONS`.

    Raises:
        SettingError: There is none of that name.
    """
    if name not in NORMALISATIONS:
        raise SettingError(
            f"A normalisation must be named in ogive.nn.NORMALISATIONS, but got {name!r}."
            + did_you_mean(name, NORMALISATIONS)
        )
    return NORMALISATIONS[name](features)


class ColumnLinear(nn.Module):
    """A linear layer of its own for each column.

    Maps ``(batch, columns, in_features)`` to ``(batch, columns, out_features)``.

    Args:
        columns: How many columns.
        in_features: Features of a column that come in.
        out_features: Features of a column that go out.
    """

    def __init__(self, columns: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(columns, in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(columns, out_features))
        uniform_(self.weight, 2.0 / in_features)

    def forward(self, x: Tensor) -> Tensor:
        # One product a column: (columns, batch, in) @ (columns, in, out).
        return torch.matmul(x.transpose(0, 1), self.weight).transpose(0, 1) + self.bias


def _by_feature(embedded: Tensor) -> Tensor:
    """From ``(batch, columns, width)`` to ``(batch, width * columns)``.

    First the first feature of each column, then the second: what is narrower is the beginning of
    what is wider, as shared and inherited weights have it.
    """
    return embedded.transpose(1, 2).flatten(1)


class PiecewiseLinearEmbedding(nn.Module):
    """Piecewise-linear encoding, a linear layer a column, and a rectifier.

    PLE-LR of Gorishniy et al. 2022, arXiv:2203.05556, section 3.2. Maps ``(batch, columns)`` to
    ``(batch, width * columns)``, feature by feature. The bins' edges are quantiles of the
    standard normal distribution, which the normalised columns roughly follow; the outermost bins
    are open, so that an outlier keeps its distance.

    Args:
        columns: How many columns of numbers.
        bins: Bins a column.
        width: Features a column that go out.
    """

    def __init__(self, columns: int, bins: int = 8, width: int = 8) -> None:
        super().__init__()
        quantile = NormalDist().inv_cdf
        # Inner edges at t / bins; the outer two at half a bin's share, as the normal has no end.
        shares = [0.5 / bins, *(t / bins for t in range(1, bins)), 1.0 - 0.5 / bins]
        edges = [quantile(share) for share in shares]
        self.register_buffer("start", torch.tensor(edges[:-1]))
        self.register_buffer("length", torch.tensor([b - a for a, b in pairwise(edges)]))
        self.register_buffer("low", torch.tensor([-math.inf, *[0.0] * (bins - 1)]))
        self.register_buffer("high", torch.tensor([*[1.0] * (bins - 1), math.inf]))
        self.linear = ColumnLinear(columns, bins, width)
        self.activation = nonlinearity("relu")

    start: Tensor
    length: Tensor
    low: Tensor
    high: Tensor

    def encode(self, x: Tensor) -> Tensor:
        """Returns ``(batch, columns, bins)``, eq. 1 of the paper."""
        share = (x.unsqueeze(-1) - self.start) / self.length
        return torch.minimum(torch.maximum(share, self.low), self.high)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.linear(self.encode(x)))
        return _by_feature(y)


class PeriodicEmbedding(nn.Module):
    """Sines and cosines of learned frequencies, a linear layer a column, and a rectifier.

    PLR of Gorishniy et al. 2022, arXiv:2203.05556, section 3.3. Maps ``(batch, columns)`` to
    ``(batch, width * columns)``, feature by feature.

    Args:
        columns: How many columns of numbers.
        frequencies: Frequencies a column.
        scale: The standard deviation from which frequencies are drawn (sigma of eq. 3).
        width: Features a column that go out.
    """

    def __init__(
        self, columns: int, frequencies: int = 16, scale: float = 0.1, width: int = 8
    ) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.empty(columns, frequencies))
        nn.init.trunc_normal_(self.frequencies, std=scale, a=-3 * scale, b=3 * scale)
        self.linear = ColumnLinear(columns, frequencies * 2, width)
        self.activation = nonlinearity("relu")

    def encode(self, x: Tensor) -> Tensor:
        """Returns ``(batch, columns, 2 * frequencies)``, eq. 2 of the paper.

        Sine and cosine of a frequency stand beside each other: fewer frequencies are the beginning
        of more.
        """
        angle = 2 * math.pi * self.frequencies * x.unsqueeze(-1)
        return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.linear(self.encode(x)))
        return _by_feature(y)


class CategoryEmbedding(nn.Module):
    """A learned vector for each category.

    Maps ``(batch, columns)`` of integer codes, which may stand as floats, to
    ``(batch, width * columns)``, feature by feature.

    Args:
        cardinalities: For each column, how many codes there are: 0 to cardinality - 1.
        width: Features a column that go out.
    """

    def __init__(self, cardinalities: Sequence[int], width: int = 8) -> None:
        super().__init__()
        # One table for all columns: one look-up instead of one a column.
        first_rows = list(accumulate(cardinalities, initial=0))
        self.register_buffer("first_row", torch.tensor(first_rows[:-1]))
        self.table = nn.Embedding(
            first_rows[-1], width, _weight=torch.empty(first_rows[-1], width)
        )
        uniform_(self.table.weight, 1.0)

    first_row: Tensor

    def forward(self, codes: Tensor) -> Tensor:
        rows = codes.long() + self.first_row
        y: Tensor = self.table(rows)
        return _by_feature(y)


class Columns(nn.Module):
    """The sum of an embedding of the numbers and one of the categories.

    Maps ``(batch, columns)`` to ``(batch, features)``. Two embeddings that each end in a linear
    layer and are summed are the same as both set side by side before one linear layer.

    Args:
        numbers: How many of the first columns are numbers.
        embed_numbers: ``(batch, numbers)`` to ``(batch, features)``; ``None`` if there are none.
        embed_categories: ``(batch, columns - numbers)`` codes to ``(batch, features)``; ``None``
            if there are none.
    """

    def __init__(
        self,
        numbers: int,
        embed_numbers: nn.Module | None = None,
        embed_categories: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.numbers = numbers
        self.embed_numbers = embed_numbers
        self.embed_categories = embed_categories

    def forward(self, x: Tensor) -> Tensor:
        parts: list[Tensor] = []
        if self.embed_numbers is not None:
            parts.append(self.embed_numbers(x[:, : self.numbers]))
        if self.embed_categories is not None:
            parts.append(self.embed_categories(x[:, self.numbers :]))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


class NormAct(nn.Sequential):
    """Normalisation, activation, dropout: ``(batch, features)`` to the same.

    Args:
        features: Features that come in and go out.
        norm: A name of :data:`NORMALISATIONS`.
        activation: A name of :data:`ACTIVATIONS`.
        dropout: The share of features dropped in training, in [0, 1).
    """

    def __init__(
        self,
        features: int,
        *,
        norm: str = "batch",
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if norm != "none":
            layers["norm"] = normalisation(norm, features)
        layers["activation"] = nonlinearity(activation)
        if dropout:
            layers["dropout"] = nn.Dropout(dropout)
        super().__init__(layers)


class LinearBlock(nn.Sequential):
    """Linear, normalisation, activation, dropout: ``(batch, in)`` to ``(batch, out)``.

    Takes what :class:`NormAct`, which follows the linear layer, takes.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        norm: str = "batch",
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            OrderedDict(
                linear=linear(in_features, out_features),
                after=NormAct(out_features, norm=norm, activation=activation, dropout=dropout),
            )
        )


class ResidualLinearBlock(Residual):
    """Normalisation, linear, activation, dropout, linear, and the skip.

    The ResNet of Gorishniy et al. 2021, arXiv:2106.11959, section 3.2. Maps
    ``(batch, features)`` to the same; ``hidden`` is the width between, the rest is as for
    :class:`NormAct`.
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        *,
        norm: str = "batch",
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            nn.Sequential(
                OrderedDict(
                    norm=normalisation(norm, features),
                    widen=LinearBlock(
                        features, hidden, norm="none", activation=activation, dropout=dropout
                    ),
                    narrow=linear(hidden, features, gain=1.0),
                )
            )
        )
