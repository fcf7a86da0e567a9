"""Networks of convolutions for images from 8 x 8 pixels up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from torch import nn

from ogive.nn import (
    Chooser,
    ConvBlock,
    ConvBNAct,
    Head,
    InvertedBottleneck,
    SeparableConv,
    annotate,
)
from ogive.task import Task

__all__ = ["convnet"]

_WIDTHS = (4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64)
_GROWTHS = (100, 125, 150, 175, 200, 250)
_DEPTHS = (1, 2, 3, 4)

_REFERENCE_WIDTH = 32
_REFERENCE_GROWTHS = (200, 175, 150)


@dataclass(frozen=True)
class _Plan:
    """What follows from the size of the images and is therefore no decision.

    Attributes:
        stages: How many stages there are.
        strides: The strides the stem may have.
        kernels: The kernels the stem may have, none narrower than its stride.
        may_stay: For each stage, whether it may keep the height and width of the one before.
    """

    stages: int
    strides: tuple[int, ...]
    kernels: tuple[int, ...]
    may_stay: tuple[bool, ...]

    @classmethod
    def for_side(cls, side: int) -> _Plan:
        """Returns the plan for images whose shorter side has ``side`` pixels.

        The last stage works on 4 to 8 pixels if every stage but the first halves them. A stage
        that would else see more than 16 has to: to stay would cost more than it gives.
        """
        strides = (1,) if side < 24 else (1, 2) if side < 96 else (2, 4)
        kernels = (3, 5) if side < 96 else (5, 7)
        stages = 3 if side < 48 else 4 if side < 96 else 5
        coming_in = [side // strides[0] // 2 ** max(0, stage - 1) for stage in range(stages)]
        return cls(stages, strides, kernels, tuple(pixels <= 16 for pixels in coming_in))


def _references(task: Task) -> Iterator[Mapping[str, Any]]:
    """Two dense 3 x 3 convolutions a stage, each stage twice as wide as the one before.

    Scaled down by the first width and, to come close to any limit, by the later growths.
    """
    plan = _Plan.for_side(min(task.height, task.width))
    widths = [width for width in _WIDTHS if width <= _REFERENCE_WIDTH]
    family = [
        (width, growths)
        for width in widths
        for growths in product(_REFERENCE_GROWTHS, repeat=plan.stages - 1)
        if list(growths) == sorted(growths, reverse=True)
    ]
    family.sort(key=lambda member: _squares(*member), reverse=True)
    return (_reference(plan, width, growths) for width, growths in family)


def _squares(width: int, growths: tuple[int, ...]) -> int:
    """Returns the parameters of a reference's dense convolutions, over 9 and but for the stem."""
    total = width * width
    for growth in growths:
        wider = width * growth // 100
        total += width * wider + wider * wider
        width = wider
    return total


def _reference(plan: _Plan, width: int, growths: tuple[int, ...]) -> Mapping[str, Any]:
    decided: dict[str, Any] = {
        "activation": "relu",
        "width": width,
        "dropout": 0.0,
        "stem.kernel": plan.kernels[0],
    }
    if len(plan.strides) > 1:
        decided["stem.stride"] = str(plan.strides[0])
    for stage in range(plan.stages):
        depth = 1 if stage == 0 else 2  # The stem is the first stage's first convolution.
        decided |= {
            f"stages.{stage}.blocks": depth,
            f"stages.{stage}.operation": "plain",
            f"stages.{stage}.kernel": 3,
            f"stages.{stage}.squeeze": False,
        }
        if depth > 1:
            decided[f"stages.{stage}.skip"] = False
        if stage > 0:
            decided[f"stages.{stage}.growth_percent"] = growths[stage - 1]
            decided[f"stages.{stage}.downsample"] = "max_pool"
    return decided


@annotate(references=_references)
def convnet(choose: Chooser, task: Task) -> nn.Module:
    """A stem, three to five stages of convolutions, and a linear head, for images.

    Every stage decides its operation (dense, separable, inverted bottleneck), depth, kernel,
    skips, squeeze-excitation, how it downsamples and how much wider it is than the stage before;
    the width of the first and the activation hold for the whole network.

    Maps ``(batch, channels, height, width)`` to ``(batch, outputs)``; height and width from 8.
    """
    plan = _Plan.for_side(min(task.height, task.width))
    activation = choose.value("activation", ("relu", "silu", "gelu"))
    width = choose.value("width", _WIDTHS)
    layers = OrderedDict(stem=_stem(choose.at("stem"), task, plan, width, activation))
    for i in range(plan.stages):
        stage = choose.at(f"stages.{i}")
        wider = width if i == 0 else width * stage.value("growth_percent", _GROWTHS) // 100
        if i > 0:
            layers[f"downsample{i}"] = _downsample(stage, width, may_stay=plan.may_stay[i])
        layers[f"stage{i}"] = _stage(stage, width, wider, activation)
        width = wider
    layers["head"] = Head(width, task.outputs, dropout=choose.value("dropout", (0.0, 0.2)))
    return nn.Sequential(layers)


def _stem(choose: Chooser, task: Task, plan: _Plan, width: int, activation: str) -> nn.Module:
    kernel = choose.value("kernel", plan.kernels)
    make = partial(ConvBNAct, task.channels, width, kernel, activation=activation)
    if len(plan.strides) == 1:
        return make()
    return choose.layer(
        "stride", {str(stride): partial(make, stride=stride) for stride in plan.strides}
    )


def _downsample(choose: Chooser, channels: int, *, may_stay: bool) -> nn.Module:
    options = {
        "max_pool": lambda: nn.MaxPool2d(2, ceil_mode=True),
        "conv": lambda: ConvBNAct(
            channels, channels, 3, stride=2, groups=channels, activation="identity"
        ),
    }
    if may_stay:
        options["none"] = nn.Identity
    return choose.layer("downsample", options)


def _stage(choose: Chooser, in_channels: int, out_channels: int, activation: str) -> nn.Module:
    """Returns blocks that share the stage's decisions; the first one changes the width."""
    kernel = choose.value("kernel", (3, 5))
    squeeze = choose.value("squeeze", (False, True))

    def block(_: Chooser, i: int) -> nn.Module:
        settings: dict[str, Any] = {
            "in_channels": in_channels if i == 0 else out_channels,
            "out_channels": out_channels,
            "kernel": kernel,
            "activation": activation,
            "squeeze": squeeze,
            # Asked here, where it means something: a stage of one block has no skip.
            "skip": i > 0 and choose.value("skip", (True, False)),
        }
        return choose.layer(
            "operation",
            {
                "plain": lambda: ConvBlock(**settings),
                "separable": lambda: SeparableConv(**settings),
                "inverted": lambda: InvertedBottleneck(
                    **settings, expansion=choose.value("expansion", (2, 3, 4, 6))
                ),
            },
        )

    return choose.repeat("blocks", _DEPTHS, block)
