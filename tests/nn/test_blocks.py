"""The building blocks: what they compute, what they cost, and where they run."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ogive.errors import SettingError
from ogive.nn._blocks import (
    ACTIVATIONS,
    ConvBlock,
    ConvBNAct,
    Head,
    InvertedBottleneck,
    Residual,
    SeparableConv,
    SqueezeExcitation,
    conv,
    linear,
    nonlinearity,
)
from ogive.nn._tabular import (
    NORMALISATIONS,
    CategoryEmbedding,
    ColumnLinear,
    Columns,
    LinearBlock,
    NormAct,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    ResidualLinearBlock,
    normalisation,
)

IMAGE = (2, 8, 9, 7)  # odd sides, higher than wide
ROWS = (6, 5)

IMAGE_BLOCKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv": (lambda: ConvBNAct(8, 12, 5), (2, 12, 9, 7)),
    "strided": (lambda: ConvBNAct(8, 12, stride=2, activation="gelu"), (2, 12, 5, 4)),
    "depthwise": (lambda: ConvBNAct(8, 8, groups=8, activation="silu"), (2, 8, 9, 7)),
    "squeeze": (lambda: SqueezeExcitation(8), IMAGE),
    "plain": (lambda: ConvBlock(8, 12, squeeze=True), (2, 12, 9, 7)),
    "plain skip": (lambda: ConvBlock(8, 8, 5, skip=True, activation="mish"), IMAGE),
    "separable": (lambda: SeparableConv(8, 12, stride=2), (2, 12, 5, 4)),
    "separable skip": (lambda: SeparableConv(8, 8, squeeze=True, skip=True), IMAGE),
    "inverted": (lambda: InvertedBottleneck(8, 12, expansion=3, stride=2), (2, 12, 5, 4)),
    "inverted skip": (lambda: InvertedBottleneck(8, 8, squeeze=True, skip=True), IMAGE),
    "head": (lambda: Head(8, 3, dropout=0.1), (2, 3)),
}
ROW_BLOCKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "piecewise": (lambda: PiecewiseLinearEmbedding(5, 4, 3), (6, 15)),
    "periodic": (lambda: PeriodicEmbedding(5, 4, 0.1, 3), (6, 15)),
    "categories": (lambda: CategoryEmbedding((2, 3, 2, 5, 2), 3), (6, 15)),
    "both": (lambda: Columns(3, linear(3, 7), _categories((2, 4), 7)), (6, 7)),
    "linear": (lambda: LinearBlock(5, 7, norm="layer", dropout=0.2), (6, 7)),
    "norm": (lambda: NormAct(5), ROWS),
    "residual": (lambda: ResidualLinearBlock(5, 9, norm="none"), ROWS),
}
BLOCKS = IMAGE_BLOCKS | ROW_BLOCKS


def _categories(cardinalities: tuple[int, ...], features: int) -> nn.Module:
    return nn.Sequential(
        CategoryEmbedding(cardinalities, 4), linear(4 * len(cardinalities), features)
    )


def _input(name: str, device: str = "cpu") -> Tensor:
    """Images are random; rows hold 0 and 1, which are numbers and codes alike."""
    torch.manual_seed(0)
    if name in IMAGE_BLOCKS:
        return torch.randn(IMAGE, device=device)
    return torch.randint(0, 2, ROWS, device=device).float()


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# Where they run


@pytest.mark.parametrize("name", BLOCKS)
def test_shape_on_the_cpu_and_on_the_meta_device(name: str) -> None:
    make, shape = BLOCKS[name]
    assert make()(_input(name)).shape == shape
    with torch.device("meta"):
        module = make()
    output = module(_input(name, "meta"))
    assert output.shape == shape
    assert output.is_meta


@pytest.mark.parametrize("name", BLOCKS)
def test_gradient_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    module = BLOCKS[name][0]()
    output = module(_input(name))
    (output * torch.randn_like(output)).sum().backward()
    for path, parameter in module.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.abs().sum() > 0, path


@pytest.mark.parametrize("name", BLOCKS)
def test_bfloat16_stays_near_float32(name: str) -> None:
    torch.manual_seed(0)
    module, x = BLOCKS[name][0]().eval(), _input(name)
    if name in IMAGE_BLOCKS:
        module = module.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    exact = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = module(x)
    torch.testing.assert_close(rough.float(), exact, atol=0.1, rtol=0.05)
    if exact.dim() == 4:
        assert rough.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", BLOCKS)
def test_exported_program_agrees(name: str) -> None:
    module, x = BLOCKS[name][0]().eval(), _input(name)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.testing.assert_close(program.module()(x), module(x))


# What they compute


@given(st.sampled_from([1, 3, 5]), st.integers(1, 3), st.sampled_from([1, 2]))
def test_convolutions_have_a_small_variance_for_their_fan_in(
    kernel: int, tens: int, stride: int
) -> None:
    torch.manual_seed(0)
    weight = conv(30 * tens, 240, kernel, stride=stride).weight
    expected = 1 / 3 / (30 * tens * kernel * kernel)
    assert weight.var().item() == pytest.approx(expected, rel=0.1)


def test_depthwise_convolutions_count_only_their_own_inputs() -> None:
    torch.manual_seed(0)
    assert conv(512, 512, 3, groups=512).weight.var().item() == pytest.approx(1 / 3 / 9, rel=0.1)


def test_signal_keeps_its_size_through_twenty_rectifiers() -> None:
    torch.manual_seed(0)
    deep = nn.Sequential(*(nn.Sequential(linear(256, 256), nn.ReLU()) for _ in range(20)))
    assert 0.2 < deep(torch.randn(64, 256)).std().item() < 5


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_leave_their_input_alone(name: str) -> None:
    x = torch.linspace(-3, 3, 7)
    nonlinearity(name)(x)
    assert torch.equal(x, torch.linspace(-3, 3, 7))


def test_unknown_names_are_met_with_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"'rellu'.*Did you mean 'relu'"):
        nonlinearity("rellu")
    with pytest.raises(SettingError, match=r"'bach'.*Did you mean 'batch'"):
        normalisation("bach", 3)


def test_residual_adds_before_its_activation() -> None:
    branch, x = nn.Conv2d(3, 3, 1), torch.randn(2, 3, 4, 4)
    assert torch.equal(Residual(branch, activation="relu")(x), (branch(x) + x).relu())
    assert torch.equal(Residual(branch, skip=False, activation="relu")(x), branch(x).relu())


def test_squeeze_excitation_scales_whole_channels_between_nothing_and_all() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 32, 5, 4) + 0.5
    share = SqueezeExcitation(32)(x) / x
    torch.testing.assert_close(share, share[:, :, :1, :1].expand_as(share))
    assert share.min() >= 0
    assert share.max() <= 1
    assert share.std() > 0.01


def test_squeeze_excitation_keeps_a_channel_of_a_narrow_layer() -> None:
    # 3 channels squeezed four times are rounded up to 1: (3 + 1) + (3 + 3).
    assert _parameters(SqueezeExcitation(3)) == 10


def test_head_is_the_mean_and_a_linear_layer() -> None:
    head, x = Head(6, 4), torch.randn(3, 6, 5, 7)
    torch.testing.assert_close(head(x), head.linear(x.mean((2, 3))))


def test_costs_by_hand() -> None:
    # Weights, and two for each normalised channel.
    assert _parameters(ConvBNAct(8, 12, 5)) == 8 * 12 * 25 + 2 * 12
    assert _parameters(ConvBlock(8, 12)) == 8 * 12 * 9 + 2 * 12
    assert _parameters(SeparableConv(8, 12, 5)) == 8 * 25 + 2 * 8 + 8 * 12 + 2 * 12
    assert (
        _parameters(InvertedBottleneck(8, 12, expansion=3))
        == 8 * 24 + 2 * 24 + 24 * 9 + 2 * 24 + 24 * 12 + 2 * 12
    )
    assert _parameters(LinearBlock(5, 7, norm="none")) == 5 * 7 + 7
    assert _parameters(ResidualLinearBlock(5, 9)) == 2 * 5 + 5 * 9 + 9 + 9 * 5 + 5


# Columns of a table


def _encoded(value: float, edges: list[float]) -> list[float]:
    """Equation 1 of Gorishniy et al. 2022, case by case."""
    bins = len(edges) - 1
    encoding = []
    for t in range(1, bins + 1):
        low, high = edges[t - 1], edges[t]
        if value < low and t > 1:
            encoding.append(0.0)
        elif value >= high and t < bins:
            encoding.append(1.0)
        else:
            encoding.append((value - low) / (high - low))
    return encoding


@given(st.floats(-20, 20, width=32), st.integers(2, 9))
def test_piecewise_linear_encoding_is_the_papers(value: float, bins: int) -> None:
    module = PiecewiseLinearEmbedding(2, bins, 3)
    edges = [*module.start.tolist(), (module.start[-1] + module.length[-1]).item()]
    encoding = module.encode(torch.tensor([[0.0, value]]))[0, 1]
    expected = torch.tensor(_encoded(value, edges))
    torch.testing.assert_close(encoding, expected, atol=1e-4, rtol=1e-4)


def test_bins_hold_equal_shares_of_a_normal_column() -> None:
    torch.manual_seed(0)
    starts = PiecewiseLinearEmbedding(1, 8).start[1:]
    counts = torch.bincount(torch.bucketize(torch.randn(80_000), starts), minlength=8)
    assert counts.tolist() == pytest.approx([10_000] * 8, rel=0.05)


def test_periodic_encoding_is_the_papers() -> None:
    torch.manual_seed(0)
    module, x = PeriodicEmbedding(2, 3, 0.5), torch.randn(4, 2)
    angle = 2 * math.pi * module.frequencies[1] * x[2, 1]
    expected = torch.stack((torch.sin(angle), torch.cos(angle)), dim=1).flatten()
    torch.testing.assert_close(module.encode(x)[2, 1], expected)
    assert PeriodicEmbedding(50, 50, 0.5).frequencies.std().item() == pytest.approx(0.5, rel=0.1)


def test_column_linear_is_one_linear_layer_a_column() -> None:
    module, x = ColumnLinear(3, 4, 5), torch.randn(6, 3, 4)
    for column in range(3):
        expected = x[:, column] @ module.weight[column] + module.bias[column]
        torch.testing.assert_close(module(x)[:, column], expected)


def test_every_code_of_every_column_has_a_row_of_its_own() -> None:
    module = CategoryEmbedding((2, 3), 4)
    codes = torch.tensor([[0, 0], [1, 1], [1, 2]]).float()
    vectors = module(codes).unflatten(1, (4, 2)).transpose(1, 2).flatten(0, 1).unique(dim=0)
    assert module.table.num_embeddings == 5
    assert len(vectors) == 5


def test_an_embedding_refuses_a_code_beyond_its_table() -> None:
    with pytest.raises(IndexError):
        CategoryEmbedding((2, 3), 4)(torch.tensor([[0.0, 3.0]]))


def test_columns_are_the_same_as_side_by_side_before_one_layer() -> None:
    torch.manual_seed(0)
    numbers, categories = linear(3, 7), _categories((2, 4), 7)
    x = torch.tensor([[0.5, -1.0, 2.0, 1.0, 3.0]])
    expected = numbers(x[:, :3]) + categories(x[:, 3:])
    torch.testing.assert_close(Columns(3, numbers, categories)(x), expected)
    torch.testing.assert_close(Columns(3, numbers)(x), numbers(x[:, :3]))
    torch.testing.assert_close(Columns(0, None, categories)(x[:, 3:]), categories(x[:, 3:]))


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_normalisations_keep_the_shape(name: str) -> None:
    assert normalisation(name, 5)(torch.randn(ROWS)).shape == ROWS


@pytest.mark.parametrize(
    ("embedding", "x"),
    [
        (lambda width: PiecewiseLinearEmbedding(3, 4, width), torch.randn(5, 3)),
        (lambda width: PeriodicEmbedding(3, 4, 0.5, width), torch.randn(5, 3)),
        (lambda width: PeriodicEmbedding(3, width, 0.5, 4), torch.randn(5, 3)),
        (lambda width: CategoryEmbedding((2, 3, 2), width), torch.tensor([[1.0, 2.0, 0.0]])),
    ],
    ids=["piecewise", "periodic", "frequencies", "categories"],
)
def test_a_narrower_embedding_is_the_beginning_of_a_wider_one(embedding, x):
    narrow, wide = embedding(2), embedding(4)
    for (name, small), large in zip(narrow.named_parameters(), wide.parameters(), strict=True):
        with torch.no_grad():
            small.copy_(large[tuple(slice(side) for side in small.shape)])
            if name == "linear.weight":  # of frequencies that the narrow one has not
                large[:, small.shape[1] :] = 0
    expected = wide(x)
    torch.testing.assert_close(narrow(x), expected[:, : narrow(x).shape[1]])
