from collections import OrderedDict

import pytest
from torch import nn

from ogive import task
from ogive.estimators import Recipe
from ogive.nn import ConvBNAct, Head, record


def network(choose, data):
    width = choose.value("width", (4, 8))

    def block(choose, i):
        return choose.layer(
            "op",
            {
                "conv": lambda: ConvBNAct(width, width, choose.value("kernel", (1, 3))),
                "skip": nn.Identity,
                "pool": lambda: nn.AvgPool2d(3, 1, 1),
            },
        )

    return nn.Sequential(
        OrderedDict(
            stem=ConvBNAct(data.channels, width, stride=2),
            stack=choose.repeat("blocks", (1, 2), block),
            head=Head(width, data.outputs),
        )
    )


def layers(choose, data):
    """Two layers of which one may help; either may lose everything."""

    def layer(name):
        return choose.layer(
            name,
            {
                "zero": lambda: Scale(0.0),
                "linear": lambda: nn.Sequential(nn.Linear(64, 64), nn.Tanh()),
                "skip": nn.Identity,
            },
        )

    return nn.Sequential(
        nn.Flatten(), layer("first"), layer("second"), nn.Linear(64, data.outputs)
    )


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


@pytest.fixture(scope="session")
def digits():
    return task.load("digits")


@pytest.fixture(scope="session")
def space(digits):
    return record(network, digits)


@pytest.fixture(scope="session")
def short():
    return Recipe(batch_size=64, epochs=2, lr=0.01)


@pytest.fixture(scope="session", name="network")
def the_network():
    return network


@pytest.fixture(scope="session", name="layers")
def the_layers():
    return layers


@pytest.fixture(scope="session")
def scale():
    return Scale
