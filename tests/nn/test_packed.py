"""Where torch keeps several tensors in one, a narrower network has the leading part of each."""

import pytest
import torch
from torch import nn

from ogive import task
from ogive.nn import Supernet, build, inherit, record
from ogive.space import Architecture

NARROW, WIDE = Architecture({"width": 4}), Architecture({"width": 6})

PACKED = {"mix.in_proj": 3, "mix.weight_ih": 4, "mix.weight_hh": 4, "mix.bias": 4}
"""How many tensors are one in the names that begin so: queries, keys and values; gates."""


class Attention(nn.Module):
    """Over the rows of an image."""

    def __init__(self, width, outputs):
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.mix = nn.MultiheadAttention(width, width // 2, batch_first=True)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        x = self.embed(x.flatten(1, 2))
        return self.head(self.mix(x, x, x)[0].mean(1))


class Recurrent(nn.Module):
    """Two layers in both directions: the second takes the outputs of both, side by side."""

    def __init__(self, width, outputs):
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.mix = nn.LSTM(
            width, width, 2, batch_first=True, bidirectional=True, proj_size=width // 2
        )
        self.cell = nn.GRUCell(4, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(self.cell(self.mix(self.embed(x.flatten(1, 2)))[0][:, -1, :4]))


class Sequence(nn.Module):
    def __init__(self, layer, outputs):
        super().__init__()
        self.layer = layer
        directions = 2 if layer.bidirectional else 1
        self.head = nn.Linear(directions * layer.hidden_size, outputs)

    def forward(self, x):
        return self.head(self.layer(x.flatten(1, 2))[0][:, -1])


@pytest.fixture(scope="module")
def digits():
    return task.load("digits")


def parts(name, tensor):
    """Those that are packed in one, as a list of rows of columns."""
    rows = next((count for prefix, count in PACKED.items() if name.startswith(prefix)), 1)
    if name.startswith("cell"):
        rows = 3
    return [
        part
        for row in tensor.chunk(rows)
        for part in (row.chunk(2, dim=1) if name.startswith("mix.weight_ih_l1") else [row])
    ]


def same_leading_parts(narrow, wide):
    for name, tensor in narrow.items():
        for less, more in zip(parts(name, tensor), parts(name, wide[name]), strict=True):
            assert torch.equal(less, more[tuple(map(slice, less.shape))]), name


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("kind", [Attention, Recurrent])
def test_networks_of_a_supernet_share_the_leading_part_of_each(kind, digits):
    def network(choose, data):
        return kind(choose.value("width", (4, 6)), data.outputs)

    supernet = Supernet(network, digits, record(network, digits))
    narrow, wide = (supernet.extract(a).eval() for a in (NARROW, WIDE))
    same_leading_parts(narrow.state_dict(), wide.state_dict())
    route, images = supernet.route(NARROW), digits.example(2)
    route.network.eval()
    assert torch.equal(route(images), narrow(images))


@pytest.mark.parametrize("kind", [Attention, Recurrent])
@pytest.mark.parametrize(("parent", "child"), [(NARROW, WIDE), (WIDE, NARROW)])
def test_an_heir_has_the_leading_part_of_each(kind, parent, child, digits):
    def network(choose, data):
        return kind(choose.value("width", (4, 6)), data.outputs)

    old = build(network, digits, parent).state_dict()
    heir = inherit(network, digits, child, parent, old, digits.example(2)).network.state_dict()
    same_leading_parts(*((old, heir) if child is WIDE else (heir, old)))


def test_what_takes_both_directions_shares_nothing_with_what_takes_one(digits):
    def network(choose, data):
        width, both = choose.value("width", (3, 5)), choose.value("both", (False, True))
        return Sequence(nn.LSTM(8, width, 2, batch_first=True, bidirectional=both), data.outputs)

    parent, child = (Architecture({"width": w, "both": b}) for w, b in ((5, False), (3, True)))
    old = build(network, digits, parent).state_dict()
    torch.manual_seed(0)
    fresh = build(network, digits, child).layer
    torch.manual_seed(0)
    heir = inherit(network, digits, child, parent, old, digits.example(2)).network.layer
    assert torch.equal(heir.weight_ih_l1, fresh.weight_ih_l1)
    assert not torch.equal(heir.weight_ih_l0, fresh.weight_ih_l0)
