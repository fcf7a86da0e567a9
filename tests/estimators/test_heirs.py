"""Trainings that begin with the weights of another architecture."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ogive import task as tasks
from ogive.errors import ArchitectureError, SettingError
from ogive.estimators import Recipe, Run, Training, train_together
from ogive.nn import ConvBNAct, Head
from ogive.space import Architecture

SMALL, LARGE = (
    Architecture({"width": width, "depth": 1, "activation": "relu"}) for width in (8, 12)
)
RECIPE = Recipe(epochs=8, batch_size=64, lr=1e-2)


def network(choose, task):
    width = choose.value("width", (8, 12))
    activation = choose.value("activation", ("relu", "gelu"))
    return nn.Sequential(
        ConvBNAct(task.channels, width, activation=activation),
        choose.repeat("depth", (1, 2), lambda _, i: ConvBNAct(width, width)),
        Head(width, task.outputs),
    )


@pytest.fixture(scope="module")
def digits():
    return tasks.load("digits")


@pytest.fixture(scope="module")
def training(digits):
    return Training(network, digits, RECIPE)


@pytest.fixture(scope="module")
def parent(training, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parent")
    training(SMALL, Run(folder=folder, seed=1))
    return folder


def heir_of(left, parent=SMALL, **settings):
    return Run(parent=left, inherits=parent, seed=2, **settings)


def test_an_heir_begins_where_its_parent_ended(training, parent, tmp_path):
    short = Run(seed=2, fidelity=1 / 8)
    scratch = training(LARGE, short)
    heir = training(LARGE, heir_of(parent, fidelity=1 / 8, folder=tmp_path))
    assert heir["epochs"] == scratch["epochs"] == 1
    assert heir["loss"] < scratch["loss"] - 0.5
    assert heir["inherited"] == 1
    assert "inherited" not in scratch
    # What it leaves behind is its own, and a longer training of it goes on from there.
    longer = training(LARGE, Run(parent=tmp_path, seed=2, fidelity=1 / 2))
    assert longer["epochs"] < 4
    with torch.random.fork_rng([]):
        torch.manual_seed(99)
        again = training(LARGE, heir_of(parent, fidelity=1 / 8))
    assert again["loss"] == heir["loss"]


def test_the_parents_checkpoint_is_not_gone_on_from(training, parent):
    # One of the same shapes: only its weights are for the heir, not how far it was trained.
    assert torch.load(parent / "checkpoint.pt", weights_only=True)["epoch"] > 3
    found = training(
        Architecture({**SMALL, "activation": "gelu"}), heir_of(parent, fidelity=1 / 8)
    )
    assert found["epochs"] == found["inherited"] == 1


@pytest.fixture(scope="module")
def scratch(training):
    """The metrics of the larger network, trained in full."""
    return training(LARGE, Run(seed=2))


@pytest.mark.parametrize("damage", ["missing", "cut off", "of another network", "no weights"])
def test_without_its_parents_weights_it_trains_in_full(
    training, parent, scratch, tmp_path, damage
):
    path = tmp_path / "model.safetensors"
    if damage == "cut off":
        path.write_bytes((parent / "model.safetensors").read_bytes()[:500])
    elif damage == "of another network":
        save_file(nn.Linear(2, 2).state_dict(), path)
    elif damage == "no weights":
        path.write_text("nothing")
    found = training(LARGE, heir_of(tmp_path, fidelity=1 / 8))
    assert found["inherited"] == 0
    assert found["epochs"] == 8
    assert found["loss"] == scratch["loss"]


def test_an_heir_leaves_no_trace_in_the_generator(training, parent):
    before = torch.get_rng_state()
    training(LARGE, heir_of(parent, fidelity=1 / 8))
    assert torch.equal(before, torch.get_rng_state())


def test_a_part_of_the_data_goes_with_inheritance_and_narrower_widths_do_not(digits, parent):
    part = Training(network, digits, RECIPE, fidelity="data")
    assert part(LARGE, heir_of(parent, fidelity=1 / 4))["inherited"] == 1
    with pytest.raises(SettingError, match="inherit=0"):
        Training(network, digits, RECIPE, fidelity="width")(LARGE, heir_of(parent, fidelity=1 / 4))


def test_a_network_that_cannot_be_built_says_so(training, parent):
    with pytest.raises(ArchitectureError):
        training(Architecture({**SMALL, "depth": 3}), heir_of(parent, fidelity=1 / 8))


def test_heirs_are_trained_one_by_one(tmp_path):
    def perceptron(choose, task):
        width = choose.value("width", (8, 16))
        return nn.Sequential(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, task.outputs))

    old, new = (Architecture({"width": width}) for width in (8, 16))
    training = Training(perceptron, tasks.load("diabetes"), Recipe(epochs=8, lr=1e-2))
    training(old, Run(folder=tmp_path))
    runs = [Run(seed=seed, parent=tmp_path, inherits=old, fidelity=0.5) for seed in range(4)]
    for outcome in train_together(training, [new] * 4, runs):
        assert outcome["inherited"] == 1


def test_weights_are_those_of_the_parent(training, parent, tmp_path):
    still = Training(training.network, training.task, RECIPE.replace(lr=1e-8, weight_decay=0.0))
    still(LARGE, heir_of(parent, fidelity=1 / 8, folder=tmp_path))
    old, new = (load_file(folder / "model.safetensors") for folder in (parent, tmp_path))
    assert torch.allclose(old["0.conv.weight"], new["0.conv.weight"][:8], atol=1e-5)
    assert torch.allclose(old["0.conv.weight"][:4], new["0.conv.weight"][8:], atol=1e-5)
