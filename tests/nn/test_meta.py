from contextlib import nullcontext

import pytest
import torch
from torch import nn

from ogive.nn import Shapes
from ogive.nn._meta import _ALIKE


def kept(network, inputs, mode):
    """The output of a network, and all that its backward pass keeps: shapes, strides and kinds."""
    saved = []

    def pack(tensor):
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), mode:
        output = network(inputs)
    return [(t.shape, t.stride(), t.dtype, t.device) for t in (output, *saved)]


ACTIVATIONS = [
    nn.CELU, nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.Mish,
    nn.ReLU, nn.Softplus,
]  # fmt: skip


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(8),
        nn.BatchNorm2d(8, affine=False),
        nn.BatchNorm2d(8, track_running_stats=False),
        nn.InstanceNorm2d(8),
        *(activation() for activation in ACTIVATIONS),
    ],
    ids=str,
)
def test_shapes_are_those_of_the_device(layer, dtype, train):
    layer = layer.to("meta", dtype).train(train)
    with torch.device("meta"):
        x = torch.empty(4, 8, 5, 6, dtype=dtype, requires_grad=True)
    for inputs in (x, x.to(memory_format=torch.channels_last), x[..., ::2]):
        assert kept(layer, inputs, Shapes()) == kept(layer, inputs, nullcontext())


def test_every_activation_is_tried():
    assert len(ACTIVATIONS) == len(_ALIKE)


def test_what_does_not_fit_is_an_error_as_ever():
    with torch.device("meta"), Shapes(), pytest.raises(RuntimeError):
        nn.BatchNorm2d(8)(torch.empty(4, 7, 5, 5))


def test_numbers_are_computed():
    with Shapes():
        assert torch.relu(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]
