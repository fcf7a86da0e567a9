import dataclasses
import math
from random import Random

import pytest
import torch
from torch import nn

from ogive.engine import search
from ogive.errors import SettingError, TrialFailed
from ogive.estimators import Recipe, Run
from ogive.executors import SerialExecutor
from ogive.nn import Supernet, record
from ogive.oneshot import PATHS, Inherited, train_supernet
from ogive.oneshot._course import Course
from ogive.oneshot._supernet import _Training

CPU = Run(device="cpu")


@pytest.mark.parametrize("method", PATHS)
def test_a_supernet_learns(method, network, digits, space, short):
    fresh = train_supernet(
        network, digits, method=method, space=space, recipe=short,
        run=dataclasses.replace(CPU, fidelity=1e-6),
    )  # fmt: skip
    longer = short.replace(epochs=6)
    trained = train_supernet(network, digits, method=method, space=space, recipe=longer, run=CPU)
    rng = Random(0)
    architectures = [space.sample(rng) for _ in range(6)]

    def mean(supernet):
        estimate = Inherited(supernet, digits)
        return sum(estimate(a, CPU)["accuracy"] for a in architectures) / 6

    assert mean(trained) > mean(fresh) + 0.1


class Killed(Exception):
    """Stands for kill -9."""


def test_a_training_that_was_killed_goes_on_to_the_same_weights(
    network, digits, short, tmp_path, monkeypatch
):
    def train(folder):
        folder.mkdir(exist_ok=True)
        run = dataclasses.replace(CPU, folder=folder)
        return train_supernet(network, digits, recipe=short, run=run)

    whole = train(tmp_path / "whole").state_dict()
    note = Course.note
    noted = []

    def until(course, **values):
        noted.append(values)
        if len(noted) == 30:  # in the second epoch
            raise Killed
        note(course, **values)

    monkeypatch.setattr(Course, "note", until)
    with pytest.raises(Killed):
        train(tmp_path / "cut")
    monkeypatch.setattr(Course, "note", note)
    resumed = train(tmp_path / "cut").state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    lines = (tmp_path / "cut" / "curve.jsonl").read_text().splitlines()
    assert len(lines) == 2
    run = dataclasses.replace(CPU, folder=tmp_path / "cut")
    with pytest.raises(SettingError, match="another seed"):
        train_supernet(network, digits, recipe=short, run=dataclasses.replace(run, seed=5))
    with pytest.raises(SettingError, match="another precision"):
        train_supernet(network, digits, recipe=short, run=run, precision="bf16")


def test_what_a_gpu_has_written_goes_on_without_one(tmp_path, monkeypatch):
    run = dataclasses.replace(CPU, folder=tmp_path)
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
        steps = Course(run, {}, {"layer": first}, total=3, epoch=1).steps()
        assert [next(steps), next(steps)] == [0, 1]  # the state after step 0 is written
    assert list(Course(run, {}, {"layer": second}, total=3, epoch=1).steps()) == [1, 2]
    assert torch.equal(first.weight, second.weight)


def test_a_method_that_is_none(network, digits):
    with pytest.raises(SettingError, match="Did you mean 'spos'"):
        train_supernet(network, digits, method="spso")


def test_a_loss_that_is_no_number_ends_it(network, digits, short):
    wild = short.replace(lr=99.0, weight_decay=9.0, optimizer="sgd")
    with pytest.raises(TrialFailed, match="finite"):
        train_supernet(network, digits, recipe=wild, run=CPU)


def test_any_strategy_searches_with_inherited_weights(network, digits, space, short, tmp_path):
    supernet = train_supernet(network, digits, space=space, recipe=short, run=CPU)
    result = search(
        network, digits, estimator=Inherited(supernet, digits), strategy="evolution",
        executor=SerialExecutor(), workers=1, recipe=short, trials=8, bundle=False,
        out=tmp_path / "run",
    )  # fmt: skip
    searched = result.trials[result.trials["role"] == "search"]
    assert len(searched) >= 4
    assert result.test["accuracy"] > 0.2  # the winner was trained in full
    estimate = Inherited(supernet, digits)
    first = result.summary["trials"][0]
    again = estimate(first["architecture"], CPU)
    assert math.isclose(first["metrics"]["accuracy"], again["accuracy"], abs_tol=2e-3)


def training(network, digits, space, method, recipe):
    return _Training(network, digits, method, space, recipe, CPU, "fp32")


@pytest.mark.parametrize(("method", "taught"), [("sandwich", True), ("fairnas", False)])
def test_the_largest_teaches_the_others(
    method, taught, network, digits, space, short, monkeypatch
):
    one, teachers, given = training(network, digits, space, method, short), [], []
    outputs, loss = one._weights.outputs, one._loss

    def noted(route, inputs):
        given.append(outputs(route, inputs))
        return given[-1]

    def told(of, targets, teacher):
        teachers.append(teacher)
        return loss(of, targets, teacher)

    monkeypatch.setattr(one._weights, "outputs", noted)
    monkeypatch.setattr(one, "_loss", told)
    one._step(0)
    assert teachers[0] is None
    assert len(teachers) > 2
    for teacher in teachers[1:]:
        assert torch.equal(teacher, given[0]) if taught else teacher is None


@pytest.mark.parametrize("clip", [None, 0.05])
def test_a_step_goes_down_the_mean_gradient_of_its_paths(clip, network, digits, space):
    recipe = Recipe(
        optimizer="sgd",
        momentum=0.0,
        weight_decay=0.0,
        lr=0.1,
        batch_size=64,
        warmup=0.0,
        clip=clip,
    )
    one, other = (training(network, digits, space, "fairnas", recipe) for _ in range(2))
    before = {name: p.detach().clone() for name, p in one._weights.supernet.named_parameters()}
    one._step(0)
    inputs, targets = other._weights.batches(0)
    paths = PATHS["fairnas"](space, Random("0 0"), 0.0)
    for architecture in paths:
        loss = digits.loss(
            other._weights.outputs(other._weights.supernet.route(architecture), inputs), targets
        )
        (loss / len(paths)).backward()
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(other._weights.supernet.parameters(), clip)
    for name, parameter in other._weights.supernet.named_parameters():
        gradient = torch.zeros(()) if parameter.grad is None else parameter.grad
        after = dict(one._weights.supernet.named_parameters())[name]
        torch.testing.assert_close(after, before[name] - 0.1 * gradient)


@pytest.mark.parametrize("samples", [257, 258])
def test_rows_beyond_a_batch_weigh_as_much_as_the_others(samples, digits):
    def flat(choose, data):
        width = choose.value("width", (4, 8))
        return nn.Sequential(
            nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, width), nn.Linear(width, data.outputs)
        )

    supernet = Supernet(flat, digits, record(flat, digits))
    norm = Inherited(supernet, digits, samples=samples).network({"width": 4}, device="cpu")[1]
    rows = torch.linspace(0, len(digits.train) - 1, samples).long()
    inputs = digits.normalizer()(digits.train.take(rows)[0]).flatten(1)
    torch.testing.assert_close(norm.running_mean, inputs.mean(0), rtol=0, atol=0.01)
    torch.testing.assert_close(norm.running_var, inputs.var(0), rtol=0.1, atol=0.01)
