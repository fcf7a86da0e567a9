"""A network that inherits computes what the other one did, however much wider or deeper it is."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from ogive import task as tasks
from ogive.nn import ConvBlock, ConvBNAct, Head, build, inherit, record
from ogive.space import Architecture
from ogive.spaces import by_name

STAGES = 3


@pytest.fixture(scope="module")
def digits():
    return tasks.load("digits")


@pytest.fixture(scope="module")
def diabetes():
    return tasks.load("diabetes")


def batch(task):
    return task.normalizer()(task.train.take(slice(0, 32))[0])


def grown(network, task, parent, changes):
    """A network of random weights and statistics, and one that inherits from it."""
    space = record(network, task)
    parent = space.validate(space.complete(parent))
    child = space.validate(space.complete({**parent, **changes}))
    torch.manual_seed(0)
    old = build(network, task, parent)
    for module in old.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.2)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0.0, 0.2)
            nn.init.uniform_(module.running_var, 0.05, 0.2)
    return old.eval(), inherit(network, task, child, parent, old.state_dict(), batch(task))


def apart(old, heir, task):
    """How far outputs differ, as a share of how far they spread; in fp64, of weights in fp32."""
    with torch.no_grad():
        first, second = (
            deepcopy(network).eval().double()(batch(task).double())
            for network in (old, heir.network)
        )
    return float((first - second).abs().max() / first.std())


def convnet_of(operation, *, squeeze, skip, activation="relu"):
    decided = {"activation": activation, "width": 8}
    for i in range(STAGES):
        stage = {"blocks": 2, "operation": operation, "squeeze": squeeze, "skip": skip}
        stage |= {"downsample": "conv"} if i else {}
        stage |= {"expansion": 2} if operation == "inverted" else {}
        decided |= {f"stages.{i}.{name}": value for name, value in stage.items()}
    return decided


@pytest.mark.parametrize("operation", ["plain", "separable", "inverted"])
@pytest.mark.parametrize("squeeze", [False, True])
@pytest.mark.parametrize("skip", [False, True])
def test_a_wider_convnet_computes_the_same(digits, operation, squeeze, skip):
    parent = convnet_of(operation, squeeze=squeeze, skip=skip, activation="silu")
    changes = [{"width": 12}, {"stages.1.growth_percent": 175}, {"stages.1.kernel": 5}]
    changes += [{"stages.1.expansion": 3}] if operation == "inverted" else []
    for change in changes:
        old, heir = grown(by_name("convnet"), digits, parent, change)
        assert apart(old, heir, digits) < 1e-5, change
        assert heir.share == 1
        assert heir.cut == heir.identities == ()


@pytest.mark.parametrize(
    ("operation", "squeeze", "skip"),
    [
        ("plain", False, False),
        ("plain", True, True),
        ("separable", False, False),
        ("separable", False, True),
        ("inverted", True, True),
    ],
)
def test_a_deeper_convnet_computes_the_same(digits, operation, squeeze, skip):
    parent = convnet_of(operation, squeeze=squeeze, skip=skip)
    old, heir = grown(by_name("convnet"), digits, parent, {"stages.1.blocks": 4})
    assert apart(old, heir, digits) < 1e-5
    assert heir.identities == ("stage1.2", "stage1.3")
    assert heir.cut == ()


@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_what_cannot_be_the_identity_is_as_it_was_initialised(digits, activation):
    parent = convnet_of("inverted", squeeze=False, skip=False, activation=activation)
    change = {"stages.1.blocks": 3}
    _, heir = grown(by_name("convnet"), digits, parent, change)
    assert heir.identities == ()
    norm = heir.network.stage1[2].branch.project.norm
    assert torch.equal(norm.weight, torch.ones_like(norm.weight))
    assert torch.equal(norm.running_mean, torch.zeros_like(norm.weight))
    assert norm.num_batches_tracked == 0


def test_a_new_layer_is_the_identity_in_training_too(digits):
    parent = convnet_of("plain", squeeze=False, skip=False)
    _, heir = grown(by_name("convnet"), digits, parent, {"stages.1.blocks": 3})
    got = []
    block = heir.network.stage1[2]
    block.register_forward_hook(lambda _, given, gave: got.append((given[0], gave)))
    heir.network.eval()(batch(digits))
    inputs = got[0][0]
    assert inputs.std() > 0.01
    assert torch.allclose(block.train()(inputs), inputs, atol=1e-4)


PLAIN = {"body": "plain", "plain.blocks": 1, "width": 8}
RESIDUAL = {"body": "residual", "residual.blocks": 1, "residual.hidden_percent": 100, "width": 8}


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("embedding", ["linear", "piecewise", "periodic"])
@pytest.mark.parametrize(
    ("parent", "change", "identities"),
    [
        (PLAIN, {"width": 12}, ()),
        (PLAIN, {"plain.blocks": 3}, ("body.1.1", "body.1.2")),
        (RESIDUAL, {"width": 32}, ()),
        (RESIDUAL, {"residual.hidden_percent": 200}, ()),
        (RESIDUAL, {"residual.blocks": 2}, ("body.0.1",)),
    ],
)
def test_a_larger_mlp_computes_the_same(diabetes, norm, embedding, parent, change, identities):
    parent = {**parent, "norm": norm, "numbers.embedding": embedding, "activation": "relu"}
    old, heir = grown(by_name("mlp"), diabetes, parent, change)
    assert apart(old, heir, diabetes) < 1e-5
    assert heir.identities == identities
    assert heir.cut == ()


def test_a_layer_normalisation_is_the_same_at_a_multiple_of_the_width(diabetes):
    parent = {**RESIDUAL, "norm": "layer", "numbers.embedding": "linear"}
    old, double = grown(by_name("mlp"), diabetes, parent, {"width": 16})
    assert apart(old, double, diabetes) < 1e-5


def test_features_that_were_pixels_are_wider_too(digits):
    def flat(choose, task):
        width = choose.value("width", (3, 4, 5, 6))
        return nn.Sequential(
            ConvBNAct(task.channels, width),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(width * 16, 10),
            nn.ReLU(),
            nn.Linear(10, task.outputs),
        )

    old, heir = grown(flat, digits, {"width": 3}, {"width": 5})
    assert apart(old, heir, digits) < 1e-5
    assert heir.share == 1


def blocks(choose, task):
    width = choose.value("width", (8, 16))

    def block(_, i):
        return choose.layer(
            "operation",
            {
                "plain": lambda: ConvBlock(width, width, skip=True),
                "wide": lambda: ConvBlock(width, width, 5, skip=True),
            },
        )

    return nn.Sequential(
        ConvBNAct(task.channels, width), choose.repeat("depth", (1, 2), block), Head(width, 10)
    )


def test_copies_of_a_channel_learn_different_things(digits):
    _, heir = grown(blocks, digits, {"width": 8}, {"width": 16})
    child = heir.network.train()
    child(batch(digits)).square().sum().backward()
    gradient = child[0].conv.weight.grad
    first, second = gradient[:8].flatten(1), gradient[8:].flatten(1)
    assert (torch.cosine_similarity(first, second) < 0.999).all()


def test_options_share_nothing_and_narrower_layers_take_the_leading_channels(digits):
    old, other = grown(blocks, digits, {"width": 8, "operation": "plain"}, {"operation": "wide"})
    own, new = old.state_dict(), other.network.state_dict()
    assert torch.equal(own["0.conv.weight"], new["0.conv.weight"])
    assert not torch.equal(own["1.0.branch.conv.norm.weight"], new["1.0.branch.conv.norm.weight"])
    assert 0 < other.share < 0.5
    old, less = grown(blocks, digits, {"width": 16}, {"width": 8})
    own, new = old.state_dict(), less.network.state_dict()
    name = "1.0.branch.conv.conv.weight"
    assert torch.equal(own[name][:8, :8], new[name])


def test_a_smaller_kernel_is_the_middle_of_the_larger(digits):
    def one(choose, task):
        kernel = choose.value("kernel", (3, 5))
        return nn.Sequential(ConvBNAct(task.channels, 8, kernel), Head(8, task.outputs))

    old, smaller = grown(one, digits, {"kernel": 5}, {"kernel": 3})
    assert torch.equal(old[0].conv.weight[:, :, 1:4, 1:4], smaller.network[0].conv.weight)


class Crossed(nn.Module):
    """Computes with channels in a way that nothing follows."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return self.norm(x.roll(1, dims=1))


class Halved(Crossed):
    def forward(self, x):
        first, second = x.chunk(2, dim=1)
        return self.norm(torch.cat([second, first], dim=1))


class Untraceable(Crossed):
    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


@pytest.mark.parametrize("kind", [Crossed, Halved, Untraceable])
def test_what_cannot_be_followed_is_cut_and_named(digits, kind):
    def crossed(choose, task):
        width = choose.value("width", (8, 12))
        return nn.Sequential(
            ConvBNAct(task.channels, width), kind(width), Head(width, task.outputs)
        )

    old, heir = grown(crossed, digits, {"width": 8}, {"width": 12})
    assert set(heir.cut) >= {"0.conv.weight", "1.norm.weight", "2.linear.weight"}
    assert torch.equal(heir.network[0].conv.weight[:8], old[0].conv.weight)
    assert 0 < heir.share < 1


def test_channels_that_must_be_of_one_size_are_not_widened_apart(digits):
    def fixed(choose, task):
        width = choose.value("width", (8, 12))
        return nn.Sequential(
            ConvBNAct(task.channels, width), nn.Conv2d(width, 12, 1), Head(12, task.outputs)
        )

    old, heir = grown(fixed, digits, {"width": 8}, {"width": 12})
    assert apart(old, heir, digits) < 1e-5
    assert torch.equal(heir.network[1].bias, old[1].bias)


def test_weights_of_another_network_are_refused(digits):
    old, _ = grown(blocks, digits, {"width": 8}, {"width": 16})
    parent = Architecture({"width": 16, "depth": 1, "operation": "plain"})
    with pytest.raises(ValueError, match="weights must be those of"):
        inherit(blocks, digits, parent, parent, old.state_dict(), batch(digits))
