import dataclasses
import json
import math
from functools import partial

import pytest
import torch
from torch import nn

from ogive.estimators import Recipe, Run
from ogive.nn import record
from ogive.oneshot import search_by_gradient
from ogive.oneshot._collapse import Sharpness, dominant_eigenvalue
from ogive.oneshot._course import Course
from ogive.oneshot._differentiable import _Search

CPU = Run(device="cpu")


def layers(choose, data):
    def options():
        return {"tanh": nn.Tanh, "linear": lambda: nn.Linear(8, 8), "skip": nn.Identity}

    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 8), choose.layer("a", options()), nn.BatchNorm1d(8),
        choose.layer("b", options()), nn.Linear(8, data.outputs),
    )  # fmt: skip


@pytest.fixture(scope="module")
def search(digits):
    recipe = Recipe(batch_size=64, epochs=1)
    made = _Search(
        layers,
        digits,
        "darts",
        1,
        None,
        0.0,
        True,
        1,
        {},
        record(layers, digits),
        recipe,
        CPU,
        "fp32",
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for alpha in made._alphas.values():
            alpha.copy_(torch.randn(3, generator=generator))
    made._supernet.double()
    made._alphas.double()
    made._mixture = made._supernet.mix()
    return made


def loss_of(search):
    inputs, targets = search._for_alphas(0)
    return search._mixed_loss((inputs.double(), targets), search._relaxation.probabilities)


def exact_hessian(search, alphas):
    """Row by row, each the gradient of one component of the gradient."""
    gradient = torch.cat(torch.autograd.grad(loss_of(search), alphas, create_graph=True))
    rows = (torch.autograd.grad(each, alphas, retain_graph=True) for each in gradient)
    return torch.stack([torch.cat(row) for row in rows])


def test_the_eigenvalue_is_that_of_the_exact_hessian(search):
    alphas = list(search._alphas.values())
    values, vectors = torch.linalg.eigh(exact_hessian(search, alphas))
    place = values.abs().argmax()
    start = torch.ones(6, dtype=torch.double) + torch.arange(6)
    value, vector = dominant_eigenvalue(
        loss_of(search), alphas, start, iterations=500, tolerance=1e-12
    )
    assert value == pytest.approx(values[place].item(), rel=1e-4)
    assert abs(vector @ vectors[:, place]) == pytest.approx(1, abs=1e-4)
    assert values.abs().sort().values[-2] < 0.95 * abs(value)  # there is another to take it for


def test_it_has_the_sign_of_a_hessian_that_is_known():
    matrix = torch.tensor([[-3.0, 1.0], [1.0, 2.0]], dtype=torch.double)
    x = torch.tensor([0.3, -0.1], dtype=torch.double, requires_grad=True)
    value, _ = dominant_eigenvalue(
        x @ matrix @ x / 2, [x], torch.tensor([1.0, 1.0]).double(), iterations=99, tolerance=1e-9
    )
    assert value == pytest.approx(torch.linalg.eigvalsh(matrix)[0].item(), rel=1e-6)
    flat, vector = dominant_eigenvalue(x.sum(), [x], torch.ones(2).double())
    assert flat == 0
    assert torch.isfinite(vector).all()


def sharpness(values):
    made = Sharpness(3, torch.device("cpu"))
    made.load_state_dict(
        {"vector": torch.ones(3), "epochs": list(range(3, 3 + len(values))), "values": values}
    )
    return made


def test_the_alarm_sounds_when_the_smoothed_eigenvalue_grows_fast():
    assert sharpness([]).note() is None
    assert sharpness([0.2] * 20).note() is None
    assert sharpness([0.2] * 4 + [3.0]).note() is None  # there is no epoch to go back to
    assert sharpness([0.2, 0.2, 0.2, 0.3] * 5).note() is None  # it only wavers
    slow = [1.05**i for i in range(20)]  # 1.05 ** -5 > 0.75
    assert sharpness(slow).note() is None
    learning = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert sharpness(learning + [0.7] * 16).note() is None  # the weights learn at first
    note = sharpness([0.2] * 10 + [1.0] * 5).note()
    # Smoothed, place 10 is (2 * 0.2 + 3 * 1.0) / 5 = 0.68 > 0.2 / 0.75, and 5 is the first third.
    assert "by epoch 13 " in note
    assert "from 0.2 to 0.68" in note
    assert "Search for 8 epochs" in note


class Killed(Exception):
    """Stands for kill -9."""


def test_the_eigenvalues_are_kept_across_a_kill(digits, tmp_path, monkeypatch):
    recipe = Recipe(batch_size=128, epochs=4, lr=1e-3)

    def run(folder, alarm=True):
        folder.mkdir(exist_ok=True)
        return search_by_gradient(
            layers, digits, method="darts", alarm=alarm, recipe=recipe, warmup=0.25,
            alpha_lr=0.05, run=dataclasses.replace(CPU, folder=folder),
        )  # fmt: skip

    def curve(folder):
        return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]

    whole = run(tmp_path / "whole")
    measured = [line.get("eigenvalue") for line in curve(tmp_path / "whole")]
    assert measured[0] is None  # while the weights are warmed up
    assert all(math.isfinite(value) and value for value in measured[1:])
    note, noted = Course.note, []

    def until(course, **values):
        noted.append(values)
        if len(noted) == 4 * 3 + 2:
            raise Killed
        note(course, **values)

    monkeypatch.setattr(Course, "note", until)
    with pytest.raises(Killed):
        run(tmp_path / "cut")
    monkeypatch.setattr(Course, "note", note)
    assert run(tmp_path / "cut").preferences == whole.preferences
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    state = torch.load(tmp_path / "cut" / "oneshot.pt", weights_only=True)["state"]["sharpness"]
    assert state["values"] == measured[1:]
    without = run(tmp_path / "without", alarm=None)  # short epochs are not measured by themselves
    assert without.preferences == whole.preferences
    assert not any("eigenvalue" in line for line in curve(tmp_path / "without"))


@pytest.mark.parametrize("method", ["gdas", "drnas"])
def test_what_is_drawn_has_a_sharpness_too(method, digits):
    recipe = Recipe(batch_size=64, epochs=1)
    made = _Search(
        layers,
        digits,
        method,
        1,
        None,
        0.0,
        True,
        1,
        {},
        record(layers, digits),
        recipe,
        CPU,
        "fp32",
    )
    first, second = (made._sharpness_after(epoch) for epoch in (1, 2))
    assert first
    assert second == pytest.approx(first, rel=0.2)  # on the same mini-batch


def test_an_alarm_is_among_the_notes(digits):
    recipe = Recipe(batch_size=128, epochs=1)
    made = _Search(
        layers,
        digits,
        "darts",
        1,
        None,
        0.0,
        False,
        1,
        {},
        record(layers, digits),
        recipe,
        CPU,
        "fp32",
    )
    made._sharpness = sharpness([0.1] * 6 + [9.0] * 6)
    assert any("weight_decay" in note for note in made.fit(False).notes)


def test_what_is_watched_goes_on_after_a_kill_too(digits, tmp_path):
    recipe = Recipe(batch_size=128, epochs=3)
    search = partial(
        search_by_gradient, layers, digits, method="darts", recipe=recipe, alpha_lr=0.05
    )
    whole = search(alarm=True, warmup=0.5)
    assert [each.epoch for each in whole.history] == [1, 2, 3]
    assert [each.eigenvalue is None for each in whole.history] == [True, False, False]
    taken = [max(each, key=each.__getitem__) for each in whole.preferences.values()]
    assert whole.history[-1].skips == taken.count("skip") / 2
    run = dataclasses.replace(CPU, folder=tmp_path)
    assert search(alarm=True, warmup=0.5, run=run).history == whole.history
    assert search(alarm=True, warmup=0.5, run=run).history == whole.history  # read, not trained
    assert all(each.eigenvalue is None for each in search(alarm=False, warmup=0.5).history)
