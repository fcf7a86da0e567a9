import pytest
import torch

from ogive.errors import TrialFailed
from ogive.estimators import Recipe, Run
from ogive.oneshot._weights import SharedWeights


@pytest.fixture
def weights(network, digits, space):
    """Weights that plain gradient descent without momentum or decay moves."""
    recipe = Recipe(epochs=4, optimizer="sgd", momentum=0.0, weight_decay=0.0, lr=0.1, clip=None)
    return SharedWeights(
        network, digits, space, recipe, Run(seed=1), split=digits.train, epochs=4, precision="fp32"
    )


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_step_is_as_long_as_the_schedule_says_there(weights, share):
    step = round(share * weights.schedule.total)
    assert share == 0 or weights.rate(step) != weights.rate(0)
    tensor = next(weights.supernet.parameters())
    before = tensor.detach().clone()
    tensor.grad = torch.ones_like(tensor)
    weights.descend(step, 1.0)
    assert torch.allclose(before - tensor.detach(), torch.full_like(before, weights.rate(step)))


def test_networks_run_as_in_training_whatever_they_were_before(weights, space):
    route = weights.supernet.route(next(space.enumerate()))
    inputs, _ = weights.batches(0)
    route.network.train()
    expected = route(inputs)
    route.network.eval()
    assert torch.equal(weights.outputs(route, inputs), expected)


def test_no_step_follows_a_loss_that_is_no_number(weights):
    with pytest.raises(TrialFailed, match="step 3 of shared weights"):
        weights.descend(3, float("nan"))
