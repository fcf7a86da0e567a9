import pytest
import torch
from torch import nn

from ogive import task
from ogive.nn import (
    ConvBNAct,
    Head,
    InvertedBottleneck,
    SeparableConv,
    Supernet,
    conv,
    record,
)


@pytest.fixture(scope="module")
def digits():
    return task.load("digits")


@pytest.fixture
def images():
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Scaled(nn.Module):
    """Has a tensor that says nothing of channels."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.factor * x


class Folded(nn.Module):
    """Counts on all channels."""

    def forward(self, x):
        return x.reshape(-1, 8, 8, 8)


def mixture(digits, options, parts=4, width=8):
    """A stem, a layer and a head, with the layer's options mixed."""

    def network(choose, data):
        return nn.Sequential(
            conv(data.channels, width), choose.layer("op", options(choose)), Head(width, 10)
        )

    supernet = Supernet(network, digits, record(network, digits))
    return supernet.mix(parts=parts), supernet


def test_the_first_channels_are_mixed_and_the_rest_go_by(digits, images):
    mixed, supernet = mixture(
        digits, lambda _: {"conv": lambda: nn.Conv2d(8, 8, 3, padding=1), "skip": nn.Identity}
    )
    assert mixed.partial == {"op"}
    mixed.weights["op"] = torch.tensor([0.3, 0.7])
    outputs = mixed(images)
    mixed.bind()
    stem, layer, head = mixed.network
    x = stem(images)
    shared = {name: each for name, each in supernet.named_parameters() if "[conv]" in name}
    [weight] = [each for name, each in shared.items() if name.endswith("weight")]
    [bias] = [each for name, each in shared.items() if name.endswith("bias")]
    assert weight.shape == (8, 8, 3, 3)
    own = nn.functional.conv2d(x[:, :2], weight[:2, :2], bias[:2], padding=1)
    mixed_part = 0.3 * own + 0.7 * x[:, :2]
    joined = torch.cat([mixed_part, x[:, 2:]], dim=1)
    shuffled = joined[:, [0, 2, 4, 6, 1, 3, 5, 7]]  # of each quarter the first, then the second
    torch.testing.assert_close(layer(x), shuffled)
    torch.testing.assert_close(outputs, head(shuffled))
    outputs.sum().backward()
    assert weight.grad[:2, :2].abs().min() > 0
    assert not weight.grad[2:].any()
    assert not weight.grad[:, 2:].any()


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("separable", lambda: SeparableConv(8, 8, 3)),
        ("block", lambda: ConvBNAct(8, 8, 3, groups=8)),
        ("bottleneck", lambda: InvertedBottleneck(8, 8)),
        ("pool", lambda: nn.MaxPool2d(3, 1, 1)),
        ("activation", nn.GELU),
    ],
)
def test_common_layers_can_be_narrowed(name, option, digits, images):
    mixed, _ = mixture(digits, lambda _: {name: option, "skip": nn.Identity})
    assert mixed.partial == {"op"}
    mixed.weights["op"] = torch.tensor([0.5, 0.5])
    assert mixed(images).shape == (3, 10)
    mixed.bind()
    for place, shared, _ in mixed._bound:
        if f"[{name}]" in place.name and place.attribute != "num_batches_tracked":
            assert place.tensor.shape[0] * 4 == shared.shape[0]


@pytest.mark.parametrize(
    "option",
    [
        pytest.param(Scaled, id="a tensor of its own"),
        pytest.param(Folded, id="code that counts on all channels"),
        pytest.param(lambda: conv(8, 8, groups=2), id="grouped"),
        pytest.param(lambda: nn.ConvTranspose2d(8, 8, 1), id="transposed"),
    ],
)
def test_what_cannot_be_narrowed_stays_whole(option, digits, images):
    mixed, _ = mixture(digits, lambda _: {"odd": option, "skip": nn.Identity})
    assert not mixed.partial
    mixed.weights["op"] = torch.tensor([0.0, 1.0])
    stem, _, head = mixed.network
    torch.testing.assert_close(mixed(images), head(stem(images)))


def test_a_layer_that_changes_the_shape_stays_whole(digits, images):
    mixed, _ = mixture(
        digits, lambda _: {"conv": lambda: conv(8, 8, stride=2), "pool": lambda: nn.MaxPool2d(2)}
    )
    assert not mixed.partial
    assert mixture(digits, lambda _: {"conv": lambda: conv(6, 6), "skip": nn.Identity}, width=6)[
        0
    ].partial == frozenset()  # 6 channels have no quarter  # fmt: skip


def test_a_layer_in_a_layer_computes_on_the_channels_of_the_outer(digits, images):
    def options(choose):
        def deep():
            inner = choose.layer("inner", {"conv": lambda: conv(8, 8), "skip": nn.Identity})
            return nn.Sequential(conv(8, 8), inner)

        return {"deep": deep, "skip": nn.Identity}

    mixed, _ = mixture(digits, options)
    assert mixed.partial == {"op"}
    inner = next(path for path in mixed.decisions if path != "op")
    results = []
    for share in (0.0, 0.5):
        mixed.weights |= {
            "op": torch.tensor([0.5, 0.5]),
            inner: torch.tensor([share, 1.0 - share]),
        }
        results.append(mixed(images))
    assert (results[0] - results[1]).abs().max() > 1e-6
