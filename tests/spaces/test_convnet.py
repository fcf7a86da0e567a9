"""The space of image networks: every member runs, the hand-made ones are what they claim."""

from __future__ import annotations

import copy
import io
import math
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ogive.nn import build, check, record
from ogive.space import Architecture, SearchSpace
from ogive.spaces import convnet
from ogive.task import Task, load


def images(channels: int, height: int, width: int, classes: int) -> Task:
    rng = np.random.default_rng(0)
    labels = np.arange(5 * classes) % classes
    pixels = rng.integers(0, 256, (len(labels), height, width, channels), dtype=np.uint8)
    return load((pixels, labels))


@pytest.fixture(scope="module")
def task() -> Task:
    return images(1, 28, 28, 10)


@pytest.fixture(scope="module")
def space(task: Task) -> SearchSpace:
    return record(convnet, task)


def references(task: Task) -> list[dict[str, Any]]:
    return [dict(reference) for reference in vars(convnet)["references"](task)]


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def cost(task: Task, architecture: dict[str, Any]) -> int:
    with torch.device("meta"):
        return parameters(build(convnet, task, architecture))


def sampled(space: SearchSpace, task: Task, count: int, limit: int) -> list[Architecture]:
    """Draws architectures of at most ``limit`` parameters."""
    rng, found = Random(0), []
    while len(found) < count:
        architecture = space.sample(rng)
        if cost(task, dict(architecture)) <= limit:
            found.append(architecture)
    return found


# Every member runs


@settings(max_examples=8)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    classes=st.integers(2, 12),
    seed=st.integers(0, 2**32),
)
def test_every_member_maps_images_to_classes(
    channels: int, height: int, width: int, classes: int, seed: int
) -> None:
    task = images(channels, height, width, classes)
    space = record(convnet, task)
    check(convnet, task, space, samples=2, seed=seed)
    module = build(convnet, task, space.sample(Random(seed))).eval()
    output = module(torch.randn(2, channels, height, width))
    assert output.shape == (2, classes)
    assert output.isfinite().all()


@pytest.mark.parametrize(
    ("height", "width", "stages"),
    [(8, 8, 3), (16, 16, 3), (32, 32, 3), (64, 48, 4), (8, 200, 3), (96, 130, 5), (224, 224, 5)],
)
def test_larger_images_get_more_stages(height: int, width: int, stages: int) -> None:
    task = images(3, height, width, 3)
    space = record(convnet, task)
    check(convnet, task, space, samples=6)
    assert f"stages.{stages - 1}.blocks" in space
    assert f"stages.{stages}.blocks" not in space
    assert 1e8 <= space.size <= 1e20


@pytest.mark.parametrize("side", [8, 16, 28, 32, 64, 96, 224])
def test_the_last_stage_sees_a_small_image(side: int) -> None:
    task = images(1, side, side, 2)
    with torch.device("meta"):
        module = build(convnet, task, references(task)[0])
    seen: list[tuple[int, ...]] = []
    module.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2:]))
    module(task.example(1, device="meta"))
    assert all(2 <= pixels <= 8 for pixels in seen[0])


def test_gradient_reaches_every_parameter(space: SearchSpace, task: Task) -> None:
    for architecture in sampled(space, task, 8, limit=60_000):
        torch.manual_seed(0)
        module = build(convnet, task, architecture)
        output = module(torch.randn(4, *task.shape))
        (output * torch.randn_like(output)).sum().backward()
        missed = [path for path, p in module.named_parameters() if p.grad is None]
        assert not missed, (missed, architecture)


def test_the_stem_passes_no_pixel_over() -> None:
    task = images(1, 224, 224, 2)
    space = record(convnet, task)
    strides = [int(stride) for stride in space["stem.stride"].options]
    assert min(space["stem.kernel"].options) >= max(strides)


# No two members are the same network


def test_a_stage_of_one_block_has_no_skip_to_decide(space: SearchSpace) -> None:
    short = space.complete({"stages.0.blocks": 1})
    long = space.complete({"stages.0.blocks": 2})
    assert "stages.0.skip" not in short
    assert "stages.0.skip" in long


def test_only_inverted_bottlenecks_decide_their_expansion(space: SearchSpace) -> None:
    for operation in space["stages.1.operation"].options:
        architecture = space.complete({"stages.1.operation": operation})
        assert ("stages.1.expansion" in architecture) == (operation == "inverted")


def test_one_changed_decision_changes_the_network(space: SearchSpace, task: Task) -> None:
    rng = Random(1)
    for _ in range(12):
        architecture = space.sample(rng)
        changed = space.mutate(architecture, rng)
        with torch.device("meta"):
            one, other = (build(convnet, task, a) for a in (architecture, changed))
        assert str(one) != str(other), (architecture, changed)


# The hand-made ones


def test_the_reference_is_the_classical_network(task: Task) -> None:
    by_hand = 9 * (1 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    by_hand += 2 * (2 * 32 + 2 * 64 + 2 * 128)  # scale and shift of each normalised channel
    by_hand += 128 * 10 + 10
    assert by_hand == 288_170
    module = build(convnet, task, references(task)[0])
    assert parameters(module) == by_hand
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [32, 32, 64, 64, 128, 128]
    assert {c.kernel_size for c in convolutions} == {(3, 3)}
    assert sum(isinstance(m, nn.MaxPool2d) for m in module.modules()) == 2


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 32), (3, 64), (3, 224)])
def test_references_are_whole_members_largest_first(channels: int, side: int) -> None:
    task = images(channels, side, side, 4)
    space = record(convnet, task)
    family = references(task)
    assert [dict(space.validate(member)) for member in family] == family
    costs = [cost(task, member) for member in family[::6]]
    assert all(larger >= smaller for larger, smaller in pairwise(costs))


def test_a_reference_comes_close_to_any_limit(task: Task) -> None:
    costs = [cost(task, reference) for reference in references(task)]
    for limit in (200_000, 100_000, 50_000, 20_000, 10_000, 5_000):
        first = next(c for c in costs if c <= limit)
        assert first >= 0.9 * limit, limit


def test_small_limits_leave_many_members(space: SearchSpace, task: Task) -> None:
    rng = Random(0)
    costs = [cost(task, dict(space.sample(rng))) for _ in range(60)]
    assert sum(c <= 50_000 for c in costs) >= 12
    assert sum(c <= 10_000 for c in costs) >= 3


# Handed over, and trained


# torch warns of its own use of a name that it has deprecated, and of its older exporter.
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("seed", "modern"), [(1, True), (2, False), (3, False)])
def test_onnx_agrees(space: SearchSpace, seed: int, modern: bool) -> None:
    torch.manual_seed(seed)
    task = images(1, 30, 28, 10)  # 15 rows are pooled to 8: rounded up, as in torch
    module = _with_history(build(convnet, task, space.sample(Random(seed))), task)
    x, file = torch.randn(3, *task.shape), io.BytesIO()
    if modern:
        shapes = ({0: torch.export.Dim.DYNAMIC},)
        program = torch.onnx.export(
            module, (x,), input_names=["input"], dynamic_shapes=shapes, verbose=False
        )
        program.save(file)
    else:
        axes = {"input": {0: "batch"}}
        torch.onnx.export(
            module, (x,), file, input_names=["input"], dynamic_axes=axes, dynamo=False
        )
    session = onnxruntime.InferenceSession(file.getvalue())
    for batch in (x, x[:1]):
        (output,) = session.run(None, {"input": batch.numpy()})
        torch.testing.assert_close(torch.from_numpy(output), module(batch), atol=1e-4, rtol=1e-3)


def test_exported_program_agrees(space: SearchSpace, task: Task) -> None:
    torch.manual_seed(0)
    module = _with_history(build(convnet, task, space.sample(Random(5))), task)
    x = torch.randn(3, *task.shape)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.testing.assert_close(program.module()(x[:2]), module(x[:2]))


def _with_history(module: nn.Module, task: Task) -> nn.Module:
    """Gives the normalisations statistics of their own, and returns the module for inference."""
    with torch.no_grad():
        module(torch.randn(16, *task.shape))
    return module.eval()


def test_a_small_reference_learns_digits() -> None:
    task = load("digits")
    small = next(r for r in references(task) if cost(task, r) <= 20_000)
    torch.manual_seed(0)
    module = _trained(build(convnet, task, small), task, epochs=6)
    images, targets = task.validation.take(np.arange(task.size("validation")))
    with torch.no_grad():
        guesses = module.eval()(task.normalizer()(images)).argmax(1)
    assert (guesses == targets).float().mean() > 0.95


def _trained(module: nn.Module, task: Task, epochs: int) -> nn.Module:
    raw, targets = task.train.take(np.arange(task.size("train")))
    inputs: Tensor = task.normalizer()(raw)
    steps = epochs * math.ceil(len(inputs) / 64)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            task.loss(module(inputs[rows]), targets[rows]).backward()
            optimizer.step()
            schedule.step()
    return copy.deepcopy(module)
