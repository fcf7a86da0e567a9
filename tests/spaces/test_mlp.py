"""The space of tabular networks: every member runs and reads its columns as they are."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ogive.nn import build, check, record
from ogive.spaces import mlp
from ogive.task import Task, load


def table(numbers: int, categories: int, classes: int) -> Task:
    """A table of random columns; ``classes=0`` asks for a regression."""
    rng = np.random.default_rng(0)
    rows = max(60, 6 * classes)
    columns: dict[str, Any] = {f"number{i}": rng.normal(size=rows) for i in range(numbers)}
    for i in range(categories):
        columns[f"category{i}"] = rng.choice(list("abcd"), rows)
    columns["y"] = (
        [f"class{row % classes}" for row in range(rows)] if classes else rng.normal(size=rows)
    )
    return load(pd.DataFrame(columns), target="y")


def batch(task: Task, rows: int) -> Tensor:
    """Rows as a network sees them, with every code of every category within reach."""
    codes = [torch.randint(0, c, (rows, 1)).float() for c in task.cardinalities]
    return torch.cat([torch.randn(rows, task.numbers), *codes], dim=1)


def references(task: Task) -> list[dict[str, Any]]:
    return [dict(reference) for reference in vars(mlp)["references"](task)]


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@settings(max_examples=12)
@given(
    numbers=st.integers(0, 6),
    categories=st.integers(0, 3),
    classes=st.sampled_from([0, 2, 3, 7]),
    seed=st.integers(0, 2**32),
)
def test_every_member_maps_rows_to_outputs(
    numbers: int, categories: int, classes: int, seed: int
) -> None:
    if numbers + categories == 0:
        numbers = 1
    task = table(numbers, categories, classes)
    space = record(mlp, task)
    check(mlp, task, space, samples=4, seed=seed)
    torch.manual_seed(0)
    module = build(mlp, task, space.sample(Random(seed)))
    output = module(batch(task, 8))
    assert output.shape == (8, classes or 1)
    (output * torch.randn_like(output)).sum().backward()
    missed = [path for path, p in module.named_parameters() if p.grad is None]
    assert not missed, missed
    assert output.isfinite().all()


def test_what_a_table_lacks_is_not_decided() -> None:
    assert "categories.width" not in record(mlp, table(3, 0, 2))
    assert "numbers.embedding" not in record(mlp, table(0, 2, 2))


def test_an_additive_network_decides_nothing_of_hidden_layers() -> None:
    space = record(mlp, table(3, 1, 2))
    additive = space.complete({"body": "none"})
    assert not {"activation", "norm", "dropout", "plain.blocks", "residual.blocks"} & set(additive)


def test_an_additive_network_adds_one_function_a_column() -> None:
    task = table(3, 1, 0)
    space = record(mlp, task)
    decided = {"body": "none", "numbers.embedding": "piecewise"}
    module = build(mlp, task, space.complete(decided)).eval()
    base, moved = batch(task, 1), batch(task, 1)
    one, other, both = base.clone(), base.clone(), base.clone()
    one[:, 0] = both[:, 0] = moved[:, 0]
    other[:, 1] = both[:, 1] = moved[:, 1]
    change = module(one) - module(base) + module(other) - module(base)
    torch.testing.assert_close(module(both) - module(base), change, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("rows", "width"), [(60, 32), (2_000, 64), (30_000, 256)])
def test_the_reference_is_a_perceptron_as_wide_as_the_data_bear(rows: int, width: int) -> None:
    rng = np.random.default_rng(0)
    task = load((rng.normal(size=(rows, 3)), np.arange(rows) % 2))
    module = build(mlp, task, references(task)[0])
    hidden = (3 * width + width) + 2 * width + (width * width + width) + 2 * width
    assert parameters(module) == hidden + width * 2 + 2


@pytest.mark.parametrize(("numbers", "categories"), [(4, 0), (0, 2), (3, 2)])
def test_references_are_whole_members_largest_first(numbers: int, categories: int) -> None:
    task = table(numbers, categories, 2)
    space = record(mlp, task)
    family = references(task)
    assert [dict(space.validate(member)) for member in family] == family
    costs = [parameters(build(mlp, task, member)) for member in family]
    assert all(larger > smaller for larger, smaller in pairwise(costs))


# torch warns of its own use of a name it has deprecated.
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("embedding", ["linear", "piecewise", "periodic"])
def test_onnx_agrees(embedding: str) -> None:
    torch.manual_seed(0)
    task = table(3, 2, 4)
    body = {"linear": "none", "piecewise": "plain", "periodic": "residual"}[embedding]
    decided = {"numbers.embedding": embedding, "body": body}
    architecture = record(mlp, task).complete(decided, Random(0))
    module, x = build(mlp, task, architecture).eval(), batch(task, 5)
    program = torch.onnx.export(
        module,
        (x,),
        input_names=["input"],
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    for rows in (x, x[:1]):
        (output,) = session.run(None, {"input": rows.numpy()})
        torch.testing.assert_close(torch.from_numpy(output), module(rows), atol=1e-4, rtol=1e-3)


def test_piecewise_numbers_learn_a_step_that_a_linear_network_cannot() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    task = load(pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.abs(x[:, 0]) > 0.7}), target="y")
    accuracy = {
        embedding: _validated(task, {"body": "none", "width": 16, "numbers.embedding": embedding})
        for embedding in ("linear", "piecewise")
    }
    assert accuracy["piecewise"] > 0.9 > 0.7 > accuracy["linear"]


def _validated(task: Task, decided: dict[str, Any]) -> float:
    torch.manual_seed(0)
    module = build(mlp, task, record(mlp, task).complete(decided))
    normalizer = task.normalizer()
    raw, targets = task.train.take(np.arange(task.size("train")))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        task.loss(module(normalizer(raw)), targets).backward()
        optimizer.step()
    raw, targets = task.validation.take(np.arange(task.size("validation")))
    with torch.no_grad():
        guesses = module.eval()(normalizer(raw)).argmax(1)
    return (guesses == targets).float().mean().item()
