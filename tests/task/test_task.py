"""What a task gives to a network: normalised inputs, a loss, finished outputs and scores."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from torch import nn

from ogive.task import METRICS, Task, load


def _tasks() -> dict[str, Task]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(9, 3, 80), "b": rng.choice(["x", "y"], 80), "c": rng.random(80)}
    )
    frame.loc[::7, "a"] = np.nan
    return {
        "digits": load("digits"),
        "diabetes": load("diabetes"),
        "mixed": load((frame, rng.choice(["n", "p"], 80))),
    }


TASKS = _tasks()


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param]


def _network(task: Task) -> nn.Module:
    features = int(np.prod(task.shape))
    return nn.Sequential(nn.Flatten(), nn.Linear(features, task.outputs))


def _deployed(task: Task) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(task.normalizer(), _network(task), task.finisher()).eval()


def test_the_normalizer_makes_what_the_network_sees(task: Task) -> None:
    raw, _ = task.train.take()
    normalizer = task.normalizer()
    seen = normalizer(raw)
    assert seen.shape == (len(task.train), *task.shape)
    assert seen.dtype == torch.float32
    assert torch.isfinite(seen).all()
    assert not list(normalizer.parameters())
    assert task.example(5).shape == (5, *task.shape)
    assert task.example(5, device="meta").device.type == "meta"


def test_images_are_standardised_by_the_training_split_alone() -> None:
    raw, _ = TASKS["digits"].train.take()
    seen = TASKS["digits"].normalizer()(raw)
    assert seen.mean().item() == pytest.approx(0, abs=1e-4)
    assert seen.std().item() == pytest.approx(1, abs=1e-3)


def test_numbers_are_centred_and_clipped_and_the_missing_are_the_median() -> None:
    normalizer = TASKS["mixed"].normalizer()
    raw, _ = TASKS["mixed"].train.take()
    middle = raw[:, 0].nanmedian()
    rows = torch.tensor([[middle, 0, 0.5, 2], [float("nan"), 0, 0.5, 2], [1e30, 0, -1e30, 99]])
    seen = normalizer(rows)
    assert seen[:2, 0].tolist() == pytest.approx([0, 0], abs=0.05)
    assert seen[2].tolist() == pytest.approx([3, 0, -3, 3], abs=0.01)  # 99 is no code: the last


def test_a_normalizer_is_a_copy(task: Task) -> None:
    task.normalizer().apply(lambda module: [buffer.zero_() for buffer in module.buffers()])
    raw, _ = task.validation.take(slice(4))
    assert task.normalizer()(raw).abs().sum() > 0


def test_deployed_it_exports_to_onnx_and_runs_the_same(task: Task, tmp_path: Path) -> None:
    model = _deployed(task)
    raw, _ = task.validation.take(slice(16))
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (DeprecationWarning, FutureWarning))  # type: ignore[arg-type]
        torch.onnx.export(
            model,
            (raw,),
            tmp_path / "model.onnx",
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: batch},),
        )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    name = session.get_inputs()[0].name
    for rows in (raw, raw[:1]):
        (outputs,) = session.run(None, {name: rows.numpy()})
        np.testing.assert_allclose(outputs, model(rows).detach(), rtol=1e-4, atol=1e-5)


def test_deployed_it_exports_as_a_program(task: Task) -> None:
    model = _deployed(task)
    raw, _ = task.validation.take(slice(16))
    exported = torch.export.export(model, (raw,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.testing.assert_close(exported.module()(raw[:5]), model(raw[:5]))


def test_the_finisher_gives_probabilities_or_units() -> None:
    outputs = torch.randn(7, 10)
    probabilities = TASKS["digits"].finisher()(outputs)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(7))
    diabetes = TASKS["diabetes"]
    mean = diabetes.finisher()(torch.zeros(3, 1))
    assert mean.shape == (3, 1)
    assert mean[0].item() == pytest.approx(diabetes.train.targets.mean(), rel=1e-5)


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_training_by_the_loss_lifts_the_score(name: str) -> None:
    """The loss, normaliser, finisher and score fit together: a linear model learns by them."""
    task = TASKS[name]
    network = _network(task)
    raw, targets = task.train.take()
    seen, finish = task.normalizer()(raw), task.finisher()
    before = task.score(finish(network(seen)).detach(), task.train.targets)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        task.loss(network(seen), targets).backward()
        optimizer.step()
    raw, _ = task.validation.take()
    finished = finish(network(task.normalizer()(raw))).detach()
    after = task.score(finished, task.validation.targets)
    assert after[task.metric] > max(0.3, before[task.metric])


def test_the_loss_takes_soft_targets_and_smoothing() -> None:
    task = TASKS["digits"]
    outputs, targets = torch.randn(8, 10), torch.arange(8)
    soft = nn.functional.one_hot(targets, 10).float()
    torch.testing.assert_close(task.loss(outputs, soft), task.loss(outputs, targets))
    assert task.loss(outputs, targets, smoothing=0.1) != task.loss(outputs, targets)


def test_for_balanced_accuracy_what_tells_nothing_apart_prefers_no_class() -> None:
    targets = np.repeat(["common", "some", "rare"], [900, 80, 20])
    for metric, alike in (("balanced_accuracy", True), ("accuracy", False)):
        task = load((np.random.default_rng(0).normal(size=(1000, 2)), targets), metric=metric)
        outputs = torch.zeros(len(task.train), 3, requires_grad=True)
        task.loss(outputs, task.train.take()[1]).backward()
        assert bool((outputs.grad.sum(0).abs() < 1e-5).all()) == alike


def test_a_loss_of_values_is_of_the_standardised_ones() -> None:
    task = TASKS["diabetes"]
    _, targets = task.train.take()
    assert task.loss(torch.zeros(len(targets), 1), targets).item() == pytest.approx(1, rel=1e-3)


def test_a_score_has_every_metric_of_its_problem(task: Task) -> None:
    raw, _ = task.validation.take()
    finished = _deployed(task)(raw).detach().numpy()
    scores = task.score(finished, task.validation.targets)
    assert task.metric in scores
    assert set(scores) <= set(METRICS)
    assert all(np.isfinite(value) for value in scores.values())
    broken = task.score(np.full_like(finished, np.nan), task.validation.targets)
    assert all(np.isnan(value) for value in broken.values())
    assert broken.keys() == scores.keys()


def test_imbalance_is_said_and_changes_the_objective() -> None:
    inputs = np.random.default_rng(0).normal(size=(300, 2))
    strong = load((inputs, np.where(np.arange(300) < 30, "rare", "common")))
    assert strong.metric == "balanced_accuracy"
    assert any("'common' has 270 samples, 'rare' has 30 (9.0 to 1)" in n for n in strong.notes)
    assert load((inputs, np.arange(300) % 2)).metric == "accuracy"
    assert any("with that one, training and prob" in note for note in strong.notes)
    assert load((inputs, np.arange(300) < 30), metric="auc").metric == "auc"


def test_it_describes_itself_in_json(task: Task) -> None:
    described = json.loads(json.dumps(task.describe()))
    assert described["rows"]["train"] == task.size("train")
    assert described["shape"] == list(task.shape)
    assert json.loads(json.dumps(task.preprocessing()))["labels"] == list(task.labels)


def test_only_its_own_kind_is_asked() -> None:
    assert TASKS["digits"].height == 8
    with pytest.raises(AttributeError, match=r"no 'numbers', but has channels, height, width"):
        _ = TASKS["digits"].numbers
    with pytest.raises(AttributeError, match=r"no 'channels', but has numbers, cardinalities"):
        _ = TASKS["mixed"].channels
    assert copy.deepcopy(TASKS["mixed"]).cardinalities == (4,)
