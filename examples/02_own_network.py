"""A search space of one's own: a function that builds a network, and asks on the way."""

from torch import nn

import ogive


def network(choose, task):
    width = choose.value("width", (4, 8, 16))

    def block(choose, i):
        return choose.layer(
            "op",
            {
                "conv": lambda: conv(width, choose.value("kernel", (3, 5))),
                "skip": nn.Identity,
            },
        )

    return nn.Sequential(
        nn.Conv2d(task.channels, width, 3, padding=1),
        choose.repeat("blocks", range(1, 5), block),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, task.outputs),
    )


def conv(width, kernel):
    return nn.Sequential(
        nn.Conv2d(width, width, kernel, padding=kernel // 2), nn.BatchNorm2d(width), nn.ReLU()
    )


task = ogive.load("digits")
space = ogive.record(network, task)
print(space)

recipe = ogive.Recipe(epochs=5)  # of a full training; by default it follows from the data
result = ogive.search(network, task, recipe=recipe, trials=8, out="runs/example-network")
print(result.architecture, result.test["accuracy"])
