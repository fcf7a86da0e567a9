"""What is asked of a space before anything is trained."""

from __future__ import annotations

import copy

import pytest
from torch import nn

from ogive.errors import SpaceError
from ogive.hardware import macs
from ogive.nn import annotate, build, check, record
from ogive.space import Architecture
from ogive.task import load

TASK = load("digits")


@pytest.mark.parametrize(
    ("canonical", "said"),
    [
        (lambda a: Architecture({"width": a["width"]}), "'bias' is missing"),
        (lambda a: a.replace({"bias": not a["bias"]}), "its own form is"),
        (dict, "unhashable"),
    ],
)
def test_a_canonical_form_is_one_of_the_space(canonical, said):
    def network(choose, task):
        width = choose.value("width", (4, 8))
        first = nn.Linear(64, width, bias=choose.value("bias", (False, True)))
        return nn.Sequential(nn.Flatten(), first, nn.Linear(width, task.outputs))

    annotated = annotate(canonical=canonical)(network)
    with pytest.raises(SpaceError, match=f"must be one of its space.*{said}"):
        check(annotated, TASK, record(annotated, TASK))
    same = annotate(canonical=lambda a: a.replace({"bias": False}))(network)
    check(same, TASK, record(same, TASK))


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
def test_layers_with_the_older_norms_of_weights_can_be_copied():
    def normed(choose, task):
        first = nn.utils.weight_norm(nn.Linear(64, choose.value("width", (4, 8))))
        last = nn.utils.spectral_norm(nn.Linear(first.out_features, task.outputs))
        return nn.Sequential(nn.Flatten(), first, last)

    built = build(normed, TASK, {"width": 4})
    assert macs(built, TASK) == 64 * 4 + 4 * 10
    copied = copy.deepcopy(built)
    copied(TASK.example(2)).sum().backward()
    assert all(parameter.grad is not None for parameter in copied.parameters())
