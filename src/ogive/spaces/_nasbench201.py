"""The networks of NAS-Bench-201 (Dong & Yang 2020, arXiv:2001.00326, section 2.1)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ogive.nn import Chooser, Head, Sum, batch_norm, conv
from ogive.space import Architecture, Graph
from ogive.spaces import _nasbench201_cells as cells
from ogive.task import Task

__all__ = ["NASBench201", "nasbench201"]

_WIDTHS = (16, 32, 64)
_DEPTH = 5  # N, the cells of a stage

_Edge = Callable[[str, int], nn.Module]
"""Makes the operation of an edge, given its path and how many channels it keeps."""


class NASBench201:
    """Three stages of five equal cells, whose six edges each decide for one of five operations.

    Maps ``(batch, channels, height, width)`` to ``(batch, outputs)``. A network function, with
    what is the benchmark's own beside it::

        network = ogive.spaces.nasbench201.from_string(
            "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|",
            classes=10,
        )
    """

    __name__ = "nasbench201"

    def __call__(self, choose: Chooser, task: Task) -> nn.Module:
        def edge(path: str, channels: int) -> nn.Module:
            return choose.layer(path, _operations(channels))

        return _network(edge, task.channels, task.outputs)

    @staticmethod
    def from_string(text: str, classes: int, *, channels: int = 3) -> nn.Module:
        """Returns the network of a cell as the benchmark writes it.

        Args:
            text: Such as ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.
            classes: What the network tells apart.
            channels: Of the images.

        Raises:
            ArchitectureError: If the text is no cell.
        """
        architecture = cells.architecture_of(text)

        def edge(path: str, channels: int) -> nn.Module:
            return _operations(channels)[str(architecture[path])]()

        return _network(edge, channels, classes)

    @staticmethod
    def architecture_of(text: str) -> Architecture:
        """Returns the architecture of a cell as the benchmark writes it.

        Raises:
            ArchitectureError: If the text is no cell.
        """
        return cells.architecture_of(text)

    @staticmethod
    def to_string(architecture: Mapping[str, Any]) -> str:
        """Returns an architecture's cell as the benchmark writes it."""
        return cells.to_string(architecture)

    # What a space carries (see ogive.annotate)

    @staticmethod
    def canonical(architecture: Architecture) -> Architecture:
        """Returns the first cell, in the space's order, that is the same network."""
        return cells.canonical(architecture)

    @staticmethod
    def graph(architecture: Architecture) -> Graph:
        """Returns the operations as nodes, without those that contribute nothing."""
        return cells.graph(architecture)

    @staticmethod
    def references(_: Task) -> Iterator[Mapping[str, Any]]:
        """A residual block of two convolutions, 3 x 3 and then 1 x 1 (He et al. 2016)."""
        for convolution in ("nor_conv_3x3", "nor_conv_1x1"):
            yield {
                **dict.fromkeys(cells.EDGES, "none"),
                "0-1": convolution,
                "1-2": convolution,
                "0-3": "skip_connect",
                "2-3": "skip_connect",
            }


nasbench201 = NASBench201()


def _network(edge: _Edge, channels: int, outputs: int) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        stem=nn.Sequential(conv(channels, _WIDTHS[0], 3), batch_norm(_WIDTHS[0]))
    )
    for stage, width in enumerate(_WIDTHS):
        if stage > 0:
            layers[f"reduction{stage}"] = _Reduction(_WIDTHS[stage - 1], width)
        layers[f"stage{stage}"] = nn.Sequential(*(_Cell(edge, width) for _ in range(_DEPTH)))
    layers["norm"] = batch_norm(_WIDTHS[-1])
    layers["activation"] = nn.ReLU()
    layers["head"] = Head(_WIDTHS[-1], outputs)
    return nn.Sequential(layers)


class _Cell(nn.Module):
    """Maps ``(batch, channels, height, width)`` to the same; each node sums what comes in."""

    def __init__(self, edge: _Edge, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleDict({path: edge(path, channels) for path in cells.EDGES})
        self.second, self.last = Sum("node 2", 2), Sum("node 3", 3)

    def forward(self, x: Tensor) -> Tensor:
        edges = self.edges
        first = edges["0-1"](x)
        second = self.second(edges["0-2"](x), edges["1-2"](first))
        total: Tensor = self.last(edges["0-3"](x), edges["1-3"](first), edges["2-3"](second))
        return total


def _operations(channels: int) -> dict[str, Callable[[], nn.Module]]:
    return {
        "none": _Zero,
        "skip_connect": nn.Identity,
        "nor_conv_1x1": partial(_ReLUConvBN, channels, channels, 1),
        "nor_conv_3x3": partial(_ReLUConvBN, channels, channels, 3),
        "avg_pool_3x3": partial(nn.AvgPool2d, 3, 1, 1, count_include_pad=False),
    }


class _Zero(nn.Module):
    """Maps anything to zeros of its shape."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class _ReLUConvBN(nn.Sequential):
    """Rectifier, convolution, batch normalisation: the order of the paper."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1
    ) -> None:
        super().__init__(
            OrderedDict(
                activation=nn.ReLU(),
                conv=conv(in_channels, out_channels, kernel, stride=stride),
                norm=batch_norm(out_channels),
            )
        )


class _Reduction(nn.Module):
    """A residual block of stride 2: two convolutions, and an average before a 1 x 1 beside them.

    Maps ``(batch, in, height, width)`` to ``(batch, out, height / 2, width / 2)``, rounded up.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _ReLUConvBN(in_channels, out_channels, 3, stride=2),
            _ReLUConvBN(out_channels, out_channels, 3),
        )
        # Rounded up as the convolution of stride 2 does, so that odd sizes fit too.
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True), conv(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)
        z: Tensor = self.shortcut(x)
        return y + z
