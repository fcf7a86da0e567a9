from random import Random

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ogive import spaces
from ogive import task as tasks
from ogive.nn import Residual, Stack, build, record, why_not_stacked

BATCH = 7


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"n{i}": rng.normal(size=90) for i in range(3)})
    frame["c"] = rng.choice(list("abcd"), 90)
    frame["d"] = rng.choice(list("xy"), 90)
    frame["target"] = rng.choice(["no", "yes", "maybe"], 90)
    return tasks.load(frame, target="target")


@pytest.fixture(scope="module")
def networks(table):
    function = spaces.default(table)
    space, rng, found = record(function, table), Random(3), []
    while len(found) < 14:
        architecture = space.sample(rng)
        if architecture["width"] <= 48:
            torch.manual_seed(len(found))
            found.append(build(function, table, architecture))
    return found


def batch(table, count):
    rows = torch.randint(0, len(table.train), (count, BATCH))
    raw, _ = table.train.take(rows.flatten())
    inputs = table.normalizer()(raw)
    return inputs.view(count, BATCH, -1)


def one_by_one(network, inputs, seed):
    """What a network gives alone, and the gradients of its weights."""
    network.zero_grad()
    torch.manual_seed(seed)
    outputs = network(inputs)
    outputs.square().sum().backward()
    return outputs, {name: p.grad for name, p in network.named_parameters()}


def test_networks_of_every_kind_compute_what_they_do_alone(table, networks):
    layers = {type(module).__name__ for network in networks for module in network.modules()}
    assert layers >= {"BatchNorm1d", "LayerNorm", "Dropout", "PeriodicEmbedding", "SiLU", "ReLU"}
    stack = Stack(networks, table.shape[0])
    inputs = batch(table, len(networks))
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(networks))]
    outputs = stack(inputs, generators)
    outputs.square().sum().backward()
    for number, network in enumerate(networks):
        alone, gradients = one_by_one(network.train(), inputs[number], number)
        torch.testing.assert_close(outputs[number], alone, atol=1e-5, rtol=1e-4)
        found = stack.read(number, stack.gradients)
        for name, gradient in gradients.items():
            scale = max(1.0, gradient.abs().max().item())
            torch.testing.assert_close(found[name], gradient, atol=1e-4 * scale, rtol=1e-3)
        state = network.state_dict()  # the running statistics among it
        for name, value in stack.read(number, stack.values).items():
            torch.testing.assert_close(value, state[name], atol=1e-5, rtol=1e-4)
    with torch.no_grad():
        evaluated = stack(inputs)
        for number, network in enumerate(networks):
            alone = network.eval()(inputs[number])
            torch.testing.assert_close(evaluated[number], alone, atol=1e-5, rtol=1e-4)


def test_what_is_padded_has_no_gradient(table, networks):
    stack = Stack(networks, table.shape[0])
    inputs = batch(table, len(networks))
    stack(inputs, [torch.Generator() for _ in networks]).square().sum().backward()
    used = torch.zeros_like(stack.gradients)
    for number, network in enumerate(networks):
        ones = {name: torch.ones_like(p) for name, p in network.named_parameters()}
        stack.write(number, ones, used)
    assert used.sum() == sum(p.numel() for n in networks for p in n.parameters()) < len(used)
    assert stack.gradients[used == 0].abs().max() == 0
    assert stack.gradients[used == 1].abs().max() > 0


def test_a_network_that_is_not_a_number_leaves_the_others_alone(table, networks):
    stack = Stack(networks, table.shape[0])
    stack.values[stack.owner.new_tensor(range(len(stack.owner)))[stack.owner == 2]] = torch.nan
    outputs = stack(batch(table, len(networks)), [torch.Generator() for _ in networks])
    outputs.square().sum().backward()
    finite = [bool(torch.isfinite(stack.gradients[stack.owner == n]).all()) for n in range(14)]
    assert finite == [n != 2 for n in range(14)]


def test_other_activations_and_a_bare_sequence():
    networks = [
        nn.Sequential(nn.Linear(3, width), nn.ELU(), nn.GELU(), nn.Linear(width, 2))
        for width in (4, 5, 9)
    ]
    stack, inputs = Stack(networks, 3), torch.randn(3, BATCH, 3)
    outputs = stack(inputs, [torch.Generator()] * 3)
    outputs.square().sum().backward()
    for number, network in enumerate(networks):
        alone, gradients = one_by_one(network, inputs[number], 0)
        torch.testing.assert_close(outputs[number], alone)
        torch.testing.assert_close(stack.read(number, stack.gradients), gradients)


def shared():
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), layer)


def hooked(of, kind):
    layer = nn.Linear(3, 3)
    getattr(of(layer), kind)(lambda *_: None)
    return nn.Sequential(layer, nn.ReLU())


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (nn.Sequential(nn.Conv2d(1, 1, 3)), "Conv2d"),
        (nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, momentum=None)), "BatchNorm1d"),
        (nn.Sequential(nn.Linear(3, 3, bias=False)), "bias"),
        (Residual(nn.Linear(3, 3)).double(), "32 bits"),
        (shared(), "share"),
        (hooked(lambda layer: layer, "register_forward_hook"), "hooks"),
        (hooked(lambda layer: layer, "register_forward_pre_hook"), "hooks"),
        (hooked(lambda layer: layer, "register_full_backward_hook"), "hooks"),
        (hooked(lambda layer: layer.weight, "register_hook"), "hooks"),
        (nn.Sequential(nn.Linear(3, 3), nn.ReLU()), None),
    ],
)
def test_it_says_why_a_network_cannot_be_one_of_many(network, reason):
    said = why_not_stacked(network)
    assert said is None if reason is None else reason in said
