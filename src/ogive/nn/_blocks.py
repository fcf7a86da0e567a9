"""Building blocks of image networks.

All take their widths, kernels and strides as plain integers. Convolutions, normalisations and linear
layers are made by :func:`conv`, :func:`batch_norm` and :func:`linear` and nowhere else. Tensors are ``(batch, channels, height, width)``; a block of
stride 1 keeps height and width, one of stride 2 halves them, rounded up.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor, nn

from ogive.errors import SettingError, did_you_mean

__all__ = [
    "ACTIVATIONS",
    "ConvBNAct",
    "ConvBlock",
    "Head",
    "InvertedBottleneck",
    "Residual",
    "SeparableConv",
    "SqueezeExcitation",
    "batch_norm",
    "conv",
    "linear",
    "nonlinearity",
]

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "identity": nn.Identity,
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "hardswish": nn.Hardswish,
        "mish": nn.Mish,
        "tanh": nn.Tanh,
    }
)
"""Activations by name. None works in place, so that a hook on a layer sees what the layer gave."""


def nonlinearity(name: str) -> nn.Module:
    """Returns a new activation by its name in :data:`ACTIVATIONS`.

    Raises:
        SettingError: There is none of that name.
    """
    if name not in ACTIVATIONS:
        raise SettingError(
            f"An activation must be named in ogive.nn.ACTIVATIONS, but got {name!r}."
            + did_you_mean(name, ACTIVATIONS)
        )
    return ACTIVATIONS[name]()


def conv(
    in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Returns a padded convolution without bias, for a normalisation to follow.

    Torch's own initialisation, a sixth of the variance that He et al. 2015 derive for rectifiers:
    the normalisation takes the scale of the weights out of what the network computes, so that it
    only sets how far a step of the optimizer turns them (van Laarhoven 2017, arXiv:1706.05350).
    """
    return nn.Conv2d(
        in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
    )


def linear(in_features: int, out_features: int, *, gain: float = 2.0) -> nn.Linear:
    """Returns a linear layer with weights of variance ``gain / in_features`` and zero bias.

    Args:
        in_features: Features that come in, the last dimension.
        out_features: Features that go out.
        gain: 2 where a rectifier follows (He et al. 2015, arXiv:1502.01852), 1 where nothing does.
    """
    layer = nn.Linear(in_features, out_features)
    uniform_(layer.weight, gain / layer.in_features)
    nn.init.zeros_(layer.bias)
    return layer


def uniform_(weight: Tensor, variance: float) -> None:
    """Fills ``weight`` from the uniform distribution with mean 0 and this variance."""
    bound = (3.0 * variance) ** 0.5
    nn.init.uniform_(weight, -bound, bound)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Returns a batch normalisation over ``(batch, channels, height, width)``."""
    return nn.BatchNorm2d(channels)


class ConvBNAct(nn.Sequential):
    """Convolution, batch normalisation, activation.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        kernel: Height and width of the kernel, odd.
        stride: 1 keeps height and width, 2 halves them.
        activation: A name of :data:`ACTIVATIONS`; ``"identity"`` for none.
        groups: ``in_channels`` makes the convolution depthwise.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        activation: str = "relu",
        groups: int = 1,
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv=conv(in_channels, out_channels, kernel, stride=stride, groups=groups),
            norm=batch_norm(out_channels),
        )
        if activation != "identity":
            layers["activation"] = nonlinearity(activation)
        super().__init__(layers)


class SqueezeExcitation(nn.Module):
    """Weights each channel by what the whole image says (Hu et al. 2018, arXiv:1709.01507).

    Args:
        channels: Channels that come in and go out.
        reduction: How many times narrower the layer between is.
        activation: The activation of the layer between.
    """

    def __init__(self, channels: int, *, reduction: int = 4, activation: str = "relu") -> None:
        super().__init__()
        squeezed = (channels + reduction - 1) // reduction
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Sequential(
            linear(channels, squeezed),
            nonlinearity(activation),
            linear(squeezed, channels, gain=1.0),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.gate(self.pool(x).flatten(1))
        return x * gate[:, :, None, None]


class Residual(nn.Module):
    """``activation(branch(x) + x)``, or ``activation(branch(x))`` without the skip.

    Args:
        branch: Any module; with the skip, one that keeps the shape.
        skip: Whether the input is added.
        activation: A name of :data:`ACTIVATIONS`.
    """

    def __init__(
        self, branch: nn.Module, *, skip: bool = True, activation: str = "identity"
    ) -> None:
        super().__init__()
        self.branch = branch
        self.skip = skip
        self.activation = nonlinearity(activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)
        z: Tensor = self.activation(y + x if self.skip else y)
        return z

    def extra_repr(self) -> str:
        return f"skip={self.skip}"


class ConvBlock(Residual):
    """A dense convolution, with squeeze-excitation or a skip where asked for.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        kernel: Height and width of the kernel, odd.
        stride: 1 keeps height and width, 2 halves them.
        activation: A name of :data:`ACTIVATIONS`, applied last.
        squeeze: Whether a :class:`SqueezeExcitation` follows the convolution.
        skip: Whether the input is added; needs stride 1 and as many channels out as in.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        activation: str = "relu",
        squeeze: bool = False,
        skip: bool = False,
    ) -> None:
        branch: OrderedDict[str, nn.Module] = OrderedDict(
            conv=ConvBNAct(in_channels, out_channels, kernel, stride=stride, activation="identity")
        )
        if squeeze:
            branch["squeeze"] = SqueezeExcitation(out_channels, activation=activation)
        super().__init__(nn.Sequential(branch), skip=skip, activation=activation)


class SeparableConv(Residual):
    """A depthwise and a pointwise convolution (MobileNet, Howard et al. 2017, arXiv:1704.04861).

    Takes what :class:`ConvBlock` takes; the squeeze-excitation stands at the end of the branch.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        activation: str = "relu",
        squeeze: bool = False,
        skip: bool = False,
    ) -> None:
        branch: OrderedDict[str, nn.Module] = OrderedDict(
            depthwise=ConvBNAct(
                in_channels,
                in_channels,
                kernel,
                stride=stride,
                activation=activation,
                groups=in_channels,
            ),
            pointwise=ConvBNAct(in_channels, out_channels, 1, activation="identity"),
        )
        if squeeze:
            branch["squeeze"] = SqueezeExcitation(out_channels, activation=activation)
        super().__init__(nn.Sequential(branch), skip=skip, activation=activation)


class InvertedBottleneck(Residual):
    """Widen, convolve depthwise, narrow (MobileNetV2, Sandler et al. 2018, arXiv:1801.04381).

    The narrow output has no activation; the squeeze-excitation stands behind the depthwise
    convolution (MobileNetV3, Howard et al. 2019, arXiv:1905.02244). Takes what
    :class:`ConvBlock` takes, and ``expansion``: how many times wider the middle is.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        expansion: int = 4,
        stride: int = 1,
        activation: str = "relu",
        squeeze: bool = False,
        skip: bool = False,
    ) -> None:
        middle = in_channels * expansion
        branch: OrderedDict[str, nn.Module] = OrderedDict(
            expand=ConvBNAct(in_channels, middle, 1, activation=activation),
            depthwise=ConvBNAct(
                middle, middle, kernel, stride=stride, activation=activation, groups=middle
            ),
        )
        if squeeze:
            branch["squeeze"] = SqueezeExcitation(middle, activation=activation)
        branch["project"] = ConvBNAct(middle, out_channels, 1, activation="identity")
        super().__init__(nn.Sequential(branch), skip=skip)


class Head(nn.Sequential):
    """Average over height and width, dropout, linear layer.

    Maps ``(batch, channels, height, width)`` to ``(batch, outputs)``.

    Args:
        in_channels: Channels that come in.
        outputs: Classes, or 1 for regression.
        dropout: The share of features dropped in training, in [0, 1).
    """

    def __init__(self, in_channels: int, outputs: int, *, dropout: float = 0.0) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten()
        )
        if dropout:
            layers["dropout"] = nn.Dropout(dropout)
        layers["linear"] = linear(in_channels, outputs, gain=1.0)
        super().__init__(layers)
