import errno
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ogive import task as tasks
from ogive._whole import write_whole
from ogive.errors import SettingError, TrialFailed
from ogive.estimators import (
    Bench,
    Curve,
    Recipe,
    Run,
    Stopping,
    Training,
    ZeroCost,
    predict,
    run_trial,
    step_seconds,
    train,
    wake,
)
from ogive.estimators import _batches as batches
from ogive.estimators import _train as module
from ogive.executors import WorkerPool
from ogive.nn import build
from ogive.space import Architecture
from ogive.task import Split

NONE = Architecture({})


def network(choose, task):
    return nn.Sequential(
        nn.Conv2d(task.channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(8 * (task.height // 2) * (task.width // 2), task.outputs),
    )


def perceptron(choose, task):
    width = len(task.train.inputs[:1][0])
    return nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, task.outputs))


@pytest.fixture(scope="module")
def digits():
    return tasks.load("digits")


@pytest.fixture(scope="module")
def diabetes():
    return tasks.load("diabetes")


RICH = Recipe(
    epochs=9, batch_size=64, lr=5e-3, shift=0.1, rotate=10.0, mixup=0.2, ema=0.5, clip=1.0
)


def run_in(path, **settings):
    path.mkdir()
    return Run(folder=path, seed=3, **settings)


@pytest.mark.parametrize("recipe", [RICH, RICH.replace(optimizer="sgd", lr=0.05, ema=0.0)])
def test_a_promoted_trial_ends_where_training_from_scratch_would(digits, tmp_path, recipe):
    training = Training(network, digits, recipe)
    training(NONE, run_in(tmp_path / "low", fidelity=1 / 9))
    training(NONE, run_in(tmp_path / "middle", fidelity=1 / 3, parent=tmp_path / "low"))
    gone_on = training(NONE, run_in(tmp_path / "full", parent=tmp_path / "middle"))
    scratch = training(NONE, run_in(tmp_path / "scratch"))
    first, second = (
        load_file(tmp_path / name / "model.safetensors") for name in ("full", "scratch")
    )
    assert all(torch.equal(first[name], second[name]) for name in second)
    assert gone_on["accuracy"] == scratch["accuracy"]
    assert gone_on["epochs"] < scratch["epochs"] == 9


@pytest.mark.parametrize(
    ("lr", "patience", "ends"),
    [(2e-2, 8, "before the decay"), (2e-3, 20, "in the decay"), (2e-3, 60, "never")],
)
def test_patience_goes_on_with_a_promoted_trial(diabetes, tmp_path, lr, patience, ends):
    recipe = Recipe(epochs=60, batch_size=32, lr=lr, patience=patience, decay=0.3)
    training = Training(perceptron, diabetes, recipe)
    training(NONE, run_in(tmp_path / "low", fidelity=1 / 3))
    gone_on = training(NONE, run_in(tmp_path / "full", parent=tmp_path / "low"))
    scratch = training(NONE, run_in(tmp_path / "scratch"))
    first, second = (
        load_file(tmp_path / name / "model.safetensors") for name in ("full", "scratch")
    )
    assert all(torch.equal(first[name], second[name]) for name in second)
    assert gone_on["best_epoch"] == scratch["best_epoch"]
    if ends == "before the decay":
        assert gone_on["epochs"] == 0
    assert (scratch["epochs"] == 60) == (ends == "never")


@pytest.fixture(scope="module")
def thirds(digits, tmp_path_factory):
    """A training, and what a third of it and all of it left behind."""
    training = Training(network, digits, RICH.replace(epochs=3))
    folder = tmp_path_factory.mktemp("thirds")
    training(NONE, run_in(folder / "low", fidelity=1 / 3))
    training(NONE, run_in(folder / "scratch"))
    return training, folder / "low", folder / "scratch"


@pytest.mark.parametrize(
    "damage", ["missing", "cut off", "of another network", "of another form", "half of it"]
)
def test_without_a_usable_checkpoint_it_trains_from_scratch(thirds, tmp_path, damage):
    training, low, scratch = thirds
    path = shutil.copytree(low, tmp_path / "low") / "checkpoint.pt"
    if damage == "missing":
        path.unlink()
    elif damage == "cut off":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "of another network":
        torch.save({"epoch": 1.0, "network": nn.Linear(2, 2).state_dict()}, path)
    elif damage == "of another form":
        torch.save(torch.ones(3), path)
    else:
        state = torch.load(path, weights_only=True)
        torch.save({**state, "average": None}, path)
    training(NONE, run_in(tmp_path / "full", parent=tmp_path / "low"))
    first, second = (load_file(run / "model.safetensors") for run in (tmp_path / "full", scratch))
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_with_a_cosine_every_training_is_from_scratch(digits, tmp_path):
    training = Training(network, digits, RICH.replace(epochs=3, schedule="cosine"))
    training(NONE, run_in(tmp_path / "low", fidelity=1 / 3))
    full = training(NONE, run_in(tmp_path / "full", parent=tmp_path / "low"))
    assert full["epochs"] == 3


def test_the_final_training_goes_on_with_all_data(digits, tmp_path):
    recipe = Recipe(epochs=4, batch_size=64, lr=5e-3)
    Training(network, digits, recipe)(NONE, run_in(tmp_path / "finalist"))
    final = Training(network, digits, recipe, epochs=8, fit_on="all")
    metrics = final(NONE, run_in(tmp_path / "final", parent=tmp_path / "finalist"))
    assert set(metrics) == {"epochs", "train_seconds"}
    assert metrics["epochs"] == pytest.approx(6, abs=0.2)
    assert (tmp_path / "final" / "model.safetensors").exists()


def test_with_patience_the_final_training_starts_afresh(diabetes, tmp_path):
    recipe = Recipe(epochs=20, batch_size=32, patience=5)
    Training(perceptron, diabetes, recipe)(NONE, run_in(tmp_path / "finalist"))
    final = Training(perceptron, diabetes, recipe, epochs=7, fit_on="all")
    gone_on = final(NONE, run_in(tmp_path / "final", parent=tmp_path / "finalist"))
    assert gone_on["epochs"] == 7
    final(NONE, run_in(tmp_path / "alone"))
    first, second = (
        load_file(tmp_path / name / "model.safetensors") for name in ("final", "alone")
    )
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_what_it_leaves_behind_is_what_it_measured(digits, tmp_path):
    metrics = Training(network, digits, RICH)(NONE, run_in(tmp_path / "run"))
    trained = build(network, digits, NONE)
    trained.load_state_dict(load_file(tmp_path / "run" / "model.safetensors"))
    outputs = predict(trained, digits, digits.validation)
    assert (
        digits.score(outputs, digits.validation.targets)["accuracy"] == metrics["accuracy"] > 0.8
    )
    lines = (tmp_path / "run" / "curve.jsonl").read_text().splitlines()
    curve = [json.loads(line) for line in lines]
    assert [epoch["step"] for epoch in curve] == list(range(1, 10))
    assert curve[-1]["accuracy"] == metrics["accuracy"]


def test_a_deadline_is_kept_with_the_learning_rate_decayed(digits, tmp_path, clock):
    training = Training(network, digits, RICH.replace(epochs=10_000))
    clock(module, look=0.001)
    metrics = training(NONE, run_in(tmp_path / "run", deadline=1.0))
    assert metrics["train_seconds"] <= 1.0  # All epochs would take hundreds.
    assert 1 < metrics["epochs"] < 2000
    assert metrics["accuracy"] > 0.5
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_loss_that_is_not_a_number_ends_the_trial(digits):
    recipe = Recipe(epochs=5, optimizer="sgd", lr=100.0, batch_size=64)
    with pytest.raises(TrialFailed, match="finite"):
        Training(network, digits, recipe)(NONE, Run())


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2"])
def test_one_that_learns_nothing_of_a_value_ends_half_way(metric):
    def stuck(choose, task):
        layer = nn.Linear(task.shape[0], 1)
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, 0.5)
        layer.weight.requires_grad_(False)
        return layer

    diabetes = tasks.load("diabetes", metric=metric)
    recipe = Recipe(epochs=40, batch_size=32, lr=1e-8, warmup=0.0)
    with pytest.raises(TrialFailed, match="constant prediction"):
        Training(stuck, diabetes, recipe)(NONE, Run())


def test_a_network_that_learns_nothing_ends_half_way(digits, tmp_path):
    def constant(choose, task):
        stuck = network(choose, task)
        for parameter in stuck.parameters():
            nn.init.zeros_(parameter)
            parameter.requires_grad_(False)
        stuck[-1].bias.requires_grad_(True)
        return stuck

    run = run_in(tmp_path / "run")
    with pytest.raises(TrialFailed, match="constant prediction"):
        Training(constant, digits, Recipe(epochs=20, batch_size=64, lr=1e-4))(NONE, run)
    assert len((tmp_path / "run" / "curve.jsonl").read_text().splitlines()) == 10
    # After a few dozen steps, what is measured says more of batch statistics than of the network.
    early = Training(constant, digits, Recipe(epochs=4, batch_size=64, lr=1e-4))(NONE, Run())
    assert early["accuracy"] < 0.2


def test_patience_keeps_the_best_epoch(diabetes, tmp_path):
    recipe = Recipe(epochs=300, batch_size=32, lr=2e-2, patience=8)
    metrics = Training(perceptron, diabetes, recipe)(NONE, run_in(tmp_path / "run"))
    lines = (tmp_path / "run" / "curve.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == metrics["epochs"]
    assert metrics["epochs"] < 300
    assert metrics["loss"] == pytest.approx(min(losses))
    assert metrics["best_epoch"] == 1 + int(np.argmin(losses))


def test_a_training_says_how_sure_the_score_of_the_kept_weights_is(diabetes):
    kept = build(perceptron, diabetes, NONE)
    recipe = Recipe(epochs=60, batch_size=32, lr=2e-2, patience=8)
    metrics = train(kept, diabetes, recipe, Run(seed=1))
    assert metrics["best_epoch"] < metrics["epochs"]
    outputs, targets = predict(kept, diabetes, diabetes.validation), diabetes.validation.targets
    error = tasks.standard_error(diabetes.metric, outputs, np.asarray(targets))
    assert metrics["r2_se"] == pytest.approx(error, rel=1e-4)
    assert "r2_se" not in train(kept, diabetes, recipe, Run(), fit_on="all")


def test_a_split_too_large_for_memory_trains_alike(digits, monkeypatch):
    recipe = Recipe(epochs=2, batch_size=64, shift=0.1)
    held = Training(network, digits, recipe)(NONE, Run(seed=1))
    monkeypatch.setattr(batches, "_IN_MEMORY", 0)
    streamed = Training(network, digits, recipe)(NONE, Run(seed=1))
    assert held["accuracy"] == streamed["accuracy"]
    assert held["loss"] == pytest.approx(streamed["loss"])


def test_a_training_draws_from_its_seed_and_leaves_no_trace(digits):
    training = Training(network, digits, RICH.replace(epochs=1))
    torch.manual_seed(0)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first = training(NONE, Run(seed=1))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    torch.manual_seed(99)
    again, other = training(NONE, Run(seed=1)), training(NONE, Run(seed=2))
    assert first["loss"] == again["loss"] != other["loss"]


def test_kernels_of_three_dimensions_are_trained_on_images_too(digits):
    def spatial(choose, task):
        return nn.Sequential(
            nn.Unflatten(1, (1, 1)), nn.Conv3d(1, 4, (1, 3, 3)), nn.Flatten(), nn.Linear(144, 10)
        )

    metrics = Training(spatial, digits, Recipe(epochs=1))(NONE, Run(device="cpu"))
    assert metrics["accuracy"] > 0.2


def test_a_network_of_ones_own_is_trained_without_a_trace(diabetes):
    made = perceptron(None, diabetes)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    train(made, diabetes, Recipe(epochs=1), Run(threads=2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads


def test_validation_inputs_are_never_held_as_a_whole(digits, monkeypatch):
    asked = []
    take = Split.take

    def counted(split, indices=slice(None)):
        found = take(split, indices)
        asked.append(len(found[1]))
        return found

    monkeypatch.setattr(Split, "take", counted)
    monkeypatch.setattr(batches, "_IN_MEMORY", 0)
    monkeypatch.setattr(module, "_EVALUATION_BATCH", 100)
    Training(network, digits, Recipe(epochs=1, batch_size=64))(NONE, Run())
    assert max(asked[1:]) == 100  # First comes a look at what surrounds the images.


def test_the_codes_of_categories_are_not_mixed(tmp_path):
    rows = np.arange(60)
    frame = pd.DataFrame(
        {"a": rows % 7 + 0.5, "b": np.array(["x", "y", "z"])[rows % 3], "t": rows}
    )
    table = tasks.load(frame, target="t")
    with pytest.raises(SettingError, match="Set mixup=0"):
        train(perceptron(None, table), table, Recipe(epochs=1, mixup=0.2), Run())


def test_a_recipe_may_be_chosen(digits):
    def recipe(choose):
        return Recipe(epochs=1, batch_size=64, lr=choose.real("lr", 1e-4, 1e-1, log=True))

    training = Training(network, digits, recipe)
    slow, quick = (training(Architecture({"recipe.lr": lr}), Run()) for lr in (1e-4, 1e-2))
    assert slow["loss"] > quick["loss"]


def test_it_reaches_workers_with_its_data(digits):
    training = cloudpickle.loads(
        cloudpickle.dumps(Training(network, digits, RICH.replace(epochs=1)))
    )
    assert (
        training(NONE, Run())["loss"]
        == Training(network, digits, RICH.replace(epochs=1))(NONE, Run())["loss"]
    )


def test_half_precision_learns_as_well(digits):
    recipe = Recipe(epochs=6, batch_size=64, lr=5e-3)
    full, half = (
        Training(network, digits, recipe, precision=precision)(NONE, Run())["accuracy"]
        for precision in ("fp32", "bf16")
    )
    assert abs(full - half) < 0.03


def test_steps_are_timed(digits):
    seconds = step_seconds(network, digits, NONE, RICH, steps=3)
    assert 0 < seconds < 1


@pytest.fixture(scope="module")
def against():
    """Eight trainings that went better than any network here can."""
    losses = tuple(Curve.of_losses((1, 2, 3), (0.1 + 0.01 * i,) * 3) for i in range(8))
    ends = tuple(0.999 - 0.001 * i for i in range(8))
    return Stopping(0.05, greater=True, step=1e-3, losses=losses, ends=ends, best=0.999)


SHORT = Recipe(epochs=3, batch_size=64, lr=5e-3)


def test_a_training_that_will_not_reach_the_best_is_stopped(digits, tmp_path, against):
    training = Training(network, digits, SHORT)
    found = training(NONE, run_in(tmp_path / "stopped", stopping=against))
    assert found["stopped_at"] == found["epochs"] == 1
    assert found["expected"] == min(against.ends)  # It is behind all of them.
    # It hands over what it has reached: the first epoch of the whole training.
    whole = training(NONE, run_in(tmp_path / "whole"))
    curves = [(tmp_path / name / "curve.jsonl").read_text() for name in ("stopped", "whole")]
    assert curves[1].startswith(curves[0])
    assert found["accuracy"] == json.loads(curves[0])["accuracy"]
    assert (tmp_path / "stopped" / "model.safetensors").exists()
    # To be beaten with ease, it stops nothing, and changes nothing.
    easy = training(NONE, run_in(tmp_path / "easy", stopping=replace(against, best=-1e6)))
    assert {**easy, "train_seconds": 0} == {**whole, "train_seconds": 0}


def test_of_weights_that_are_kept_the_best_are_judged(diabetes, tmp_path):
    patient = Training(
        perceptron, diabetes, Recipe(epochs=20, batch_size=32, lr=2e-2, patience=50)
    )
    whole = patient(NONE, run_in(tmp_path / "whole"))
    lines = (tmp_path / "whole" / "curve.jsonl").read_text().splitlines()
    losses = [json.loads(x)["loss"] for x in lines]
    first = min(n for n, (a, b) in enumerate(pairwise(losses), 1) if b > a)
    # Between what is kept and what it has become: stopped only if the latter were judged.
    between = (losses[first] + min(losses[:first])) / 2
    curves = tuple(Curve.of_losses((first, 20), (between * (1 + 0.01 * i),) * 2) for i in range(8))
    ends = tuple(50 + i for i in range(8))
    against = Stopping(0.5, greater=False, step=0.0, losses=curves, ends=ends, best=51.0)
    assert against.judge(first + 1, losses[first]).chance < 0.5
    found = patient(NONE, run_in(tmp_path / "judged", stopping=against))
    assert {**found, "train_seconds": 0} == {**whole, "train_seconds": 0}


def test_one_that_is_pressed_for_time_is_not_compared(digits, tmp_path, against, monkeypatch):
    monkeypatch.setattr(module._Trainer, "_elapsed", lambda trainer, origin: 0.9)
    found = Training(network, digits, SHORT)(NONE, run_in(tmp_path / "run", stopping=against))
    assert "stopped_at" not in found
    assert found["epochs"] == 3


def test_a_disk_that_fills_while_tensors_are_written_is_said_to_be_full(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root on Linux")
    tensors = {"weight": torch.zeros(1 << 18)}
    try:
        for write in (
            lambda path: torch.save(tensors, path),
            lambda path: save_file(tensors, path),
        ):
            with pytest.raises(OSError, match="No space left") as caught:
                write_whole(folder / "model", write)
            assert caught.value.errno == errno.ENOSPC
            assert not list(folder.iterdir())
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_draws_are_seeded_as_torch_does_but_on_the_cpu_alone(monkeypatch):
    everywhere = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = torch.rand(3)
        monkeypatch.setattr(torch, "manual_seed", everywhere.append)
        batches.reseed(5, torch.device("cpu"))
        assert torch.equal(torch.rand(3), expected)
    assert not everywhere  # which would write down a stack trace in each step
    batches.reseed(6, torch.device("cuda"))
    assert everywhere == [6]


def test_a_worker_imports_nothing_slow_that_it_does_not_need(digits):
    recipe = Recipe(epochs=1)

    def slow():
        return {"torch._dynamo", "pandas", "sqlalchemy"} & set(sys.modules)

    def trained(optimizer):
        train(build(network, digits, NONE), digits, recipe.replace(optimizer=optimizer), Run())
        return slow()

    def looked_at():
        ZeroCost(network, digits, ["naswot"])(NONE, Run())
        return slow()

    with WorkerPool(1) as pool:
        found = [pool.submit(trained, optimizer).result() for optimizer in ("adamw", "sgd")]
        found.append(pool.submit(looked_at).result())
    assert found == [set(), set(), set()]


def test_a_worker_that_asks_an_estimator_of_the_users_own_needs_no_torch():
    def estimate(architecture, run):
        return {"torch": float("torch" in sys.modules)}

    bench = Bench(None, None, Recipe(), estimate)
    asked = "search", 1.0, "fp32", NONE, Run()
    with WorkerPool(1, shared=bench) as pool:
        pool.submit(wake, bench).result()
        assert pool.submit(run_trial, bench, *asked).result() == {"torch": 0.0}
