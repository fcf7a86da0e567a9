"""What a training at a fidelity leaves out, and that a full one leaves out nothing."""

import cloudpickle
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ogive import task as tasks
from ogive.errors import SettingError
from ogive.estimators import Recipe, Run, Training, train_together
from ogive.nn import ConvBNAct, Head, build_narrow
from ogive.space import Architecture

RECIPE = Recipe(epochs=4, batch_size=64, lr=5e-3, shift=0.1)
WIDE = Architecture({"width": 24, "depth": 2, "kernel": 3})


def network(choose, task):
    width = choose.value("width", (8, 16, 24))
    return nn.Sequential(
        ConvBNAct(task.channels, width, choose.value("kernel", (3, 5)), stride=2),
        choose.repeat("depth", (1, 2), lambda _, i: ConvBNAct(width, width)),
        Head(width, task.outputs),
    )


@pytest.fixture(scope="module")
def images():
    """Some of the digits at 16 x 16."""
    digits = tasks.load("digits")
    parts = [split.take() for split in (digits.train, digits.validation)]
    inputs = np.concatenate([raw[:, 0].numpy() for raw, _ in parts])
    targets = np.concatenate([labels.numpy() for _, labels in parts])
    inputs = inputs.repeat(2, axis=1).repeat(2, axis=2)
    return tasks.load((inputs[:640], targets[:640]))


class Seen(nn.Module):
    """Passes images on and keeps their shapes."""

    def __init__(self):
        super().__init__()
        self.shapes = set()

    def forward(self, x):
        self.shapes.add(tuple(x.shape[1:]))
        return x


def run_in(path, **settings):
    path.mkdir()
    return Run(folder=path, seed=3, **settings)


def weights(path):
    return load_file(path / "model.safetensors")


@pytest.fixture(scope="module")
def plain(images, tmp_path_factory):
    """A folder with what a training leaves behind, and its metrics."""
    folder = tmp_path_factory.mktemp("trainings") / "plain"
    return folder, Training(network, images, RECIPE)(WIDE, run_in(folder))


@pytest.mark.parametrize("fidelity", ["data", "resolution", "width", ("width", "data", "epochs")])
def test_in_full_they_are_all_the_plain_training(images, plain, tmp_path, fidelity):
    folder, metrics = plain
    other = Training(network, images, RECIPE, fidelity=fidelity)(WIDE, run_in(tmp_path / "other"))
    first, second = weights(folder), weights(tmp_path / "other")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert other["epochs"] == metrics["epochs"] == 4
    assert (tmp_path / "other" / "checkpoint.pt").exists()


@pytest.mark.parametrize("fidelity", ["data", "resolution", "width", ("data", "epochs")])
def test_what_a_longer_training_is_not_it_does_not_go_on_from(images, tmp_path, fidelity):
    training = Training(network, images, RECIPE, fidelity=fidelity)
    training(WIDE, run_in(tmp_path / "low", fidelity=0.25))
    assert not (tmp_path / "low" / "checkpoint.pt").exists()
    assert (tmp_path / "low" / "model.safetensors").exists() == (fidelity != "width")
    # Nor does a shorter one go on from a checkpoint that is there.
    Training(network, images, RECIPE)(WIDE, run_in(tmp_path / "full", fidelity=0.25))
    anew = training(WIDE, run_in(tmp_path / "half", fidelity=0.5, parent=tmp_path / "full"))
    assert anew["epochs"] == pytest.approx(2, abs=0.25)
    assert anew["loss"] == training(WIDE, Run(seed=3, fidelity=0.5))["loss"]


def test_a_share_of_the_data_costs_that_share_of_the_steps(images):
    training = Training(network, images, RECIPE, fidelity="data")
    part = training.part(0.25).task(images)
    assert part.size("train") == round(images.size("train") / 4)
    assert part.size("validation") == images.size("validation")
    quarter = training(WIDE, Run(fidelity=0.25))
    assert quarter["epochs"] == 1.0
    # The same rows, whatever the seed and wherever it is pickled to.
    again = cloudpickle.loads(cloudpickle.dumps(training)).part(0.25).task(images)
    assert np.array_equal(np.asarray(again.train.inputs), np.asarray(part.train.inputs))
    raw = images.train.take()[0][:64]
    assert torch.equal(part.normalizer()(raw), images.normalizer()(raw))


@pytest.mark.parametrize(("share", "side"), [(0.5, 11), (0.25, 8), (0.01, 8)])
def test_smaller_images_are_trained_and_validated_on(images, share, side):
    seen = Seen()

    def watched(choose, task):
        return nn.Sequential(seen, network(choose, task))

    training = Training(watched, images, RECIPE.replace(epochs=1), fidelity="resolution")
    training(WIDE, Run(fidelity=share))
    assert seen.shapes == {(1, side, side)}


def test_a_smaller_image_is_the_mean_of_what_it_covers(images):
    raw = torch.randint(0, 255, (5, 1, 16, 16), dtype=torch.uint8)
    small, large = images.shrunk(8, 8).normalizer()(raw), images.normalizer()(raw)
    assert torch.allclose(
        small, large.unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5)), atol=1e-6
    )


def test_a_narrower_network_has_smaller_widths_and_nothing_else(images):
    made = build_narrow(network, images, WIDE, 0.5)
    convolutions = [m for m in made.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [12, 12, 12]
    assert [m.kernel_size for m in convolutions] == [(3, 3)] * 3
    named = build_narrow(network, images, Architecture({**WIDE, "width": 8}), 0.01, "w*")
    assert named[0].conv.out_channels == 1
    training = Training(network, images, RECIPE.replace(epochs=2), fidelity="width")
    assert training(WIDE, Run(fidelity=0.25))["epochs"] == 0.5


def test_wide_layers_stay_multiples_of_eight(images):
    def wide(choose, task):
        return nn.Sequential(nn.Flatten(), nn.Linear(256, choose.integer("hidden_width", 1, 500)))

    widths = {
        n: build_narrow(wide, images, Architecture({"hidden_width": n}), 0.5)[1].out_features
        for n in (3, 62, 75, 500)
    }
    assert widths == {3: 2, 62: 31, 75: 40, 500: 248}


def test_several_share_the_cost_between_them(images):
    training = Training(network, images, RECIPE, fidelity=("data", "epochs", "resolution"))
    part = training.part(1 / 8)
    assert (part.data, part.epochs, part.side) == pytest.approx((1 / 2, 1 / 2, 2**-0.5))
    assert part.epochs * part.epoch == pytest.approx(1 / 8)
    metrics = training(WIDE, Run(fidelity=1 / 8))
    assert metrics["epochs"] == pytest.approx(0.5, abs=0.05)


def test_tables_are_trained_together_on_their_part():
    def perceptron(choose, task):
        return nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, task.outputs))

    diabetes, recipe = tasks.load("diabetes"), Recipe(epochs=4, batch_size=32, lr=1e-2)
    training = Training(perceptron, diabetes, recipe, fidelity="data")
    runs = [Run(seed=seed, fidelity=0.5) for seed in range(4)]
    together = train_together(training, [Architecture({})] * 4, runs)
    assert [found["loss"] for found in together] == [
        training(Architecture({}), run)["loss"] for run in runs
    ]


def test_what_cannot_be_less_is_refused(images):
    with pytest.raises(SettingError, match=r"'depths'.*Did you mean"):
        Training(network, images, RECIPE, fidelity="depths")
    with pytest.raises(SettingError, match="once each"):
        Training(network, images, RECIPE, fidelity=("data", "data"))
    with pytest.raises(SettingError, match="more than 8 pixels"):
        Training(network, tasks.load("digits"), RECIPE, fidelity="resolution")
    with pytest.raises(SettingError, match=r"'\*channels'.*decided width, depth, kernel"):
        Training(network, images, RECIPE, fidelity="width", widths="*channels")(
            WIDE, Run(fidelity=0.5)
        )

    def flat(choose, task):
        return nn.Sequential(nn.Flatten(), nn.Linear(256, task.outputs))

    with pytest.raises(SettingError, match=r"images of any size.*\(1, 8, 8\)"):
        Training(flat, images, RECIPE, fidelity="resolution")(Architecture({}), Run(fidelity=0.1))
