"""An estimator of one's own: a plain function of an architecture that returns metrics.

Here networks are ranked by how well a linear readout of their untrained features does, which
takes a fraction of a second; the best ones are then trained in full.
"""

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifier

import ogive

task = ogive.load("digits")
normalize = task.normalizer()


def features(network, split):
    inputs, targets = split.take()
    with torch.no_grad():
        return network[:-1](normalize(inputs)).flatten(1).numpy(), np.asarray(targets)


def readout(architecture, run):
    torch.manual_seed(run.seed)
    network = ogive.build(convnet, task, architecture).eval()
    x, y = features(network, task.train)
    x_new, y_new = features(network, task.validation)
    return {"readout": RidgeClassifier().fit(x, y).score(x_new, y_new)}


def convnet(choose, task):
    width = choose.value("width", (4, 8, 16, 32))
    kernel = choose.value("kernel", (3, 5))
    stride = choose.value("stride", (1, 2))
    side = -(-task.height // stride)
    return torch.nn.Sequential(
        torch.nn.Conv2d(task.channels, width, kernel, stride, padding=kernel // 2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(width * side * side, task.outputs),
    )


result = ogive.search(
    convnet,
    task,
    estimator=readout,
    maximize="readout",
    strategy="random",
    recipe=ogive.Recipe(epochs=5),
    trials=14,
    bundle=False,  # the network is not to be deployed
)
print(result.architecture, result.test["accuracy"])
