"""What networks are made of, what their parts take, and what follows for networks."""

import json
import math
from collections import Counter
from random import Random

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from ogive.errors import SettingError
from ogive.hardware import (
    LatencyPredictor,
    OperationTable,
    Part,
    decided_parts,
    learn_latency,
    macs,
    measure_latency,
    network_parts,
    operations,
)
from ogive.space import Decision, SearchSpace


class Like:
    """A task as far as costs need one."""

    def __init__(self, *shape):
        self.shape = shape

    def example(self, n, device="cpu"):
        return torch.zeros((n, *self.shape), device=device)


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


IMAGES = Like(3, 8, 8)


def small():
    convolution = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), Residual(convolution), Residual(convolution), nn.Flatten(),
        nn.Linear(256, 5),
    )  # fmt: skip


def test_a_network_is_the_operations_that_it_calls():
    network = small()
    found = operations(network, IMAGES)
    kinds = [operation.part.kind for operation in found]
    twice = ["Conv2d (3, 3) depthwise", "Residual"]
    assert kinds == ["Conv2d (1, 1)", *twice, *twice, "Flatten", "Linear"]
    assert sum(operation.part.macs for operation in found) == macs(network, IMAGES)
    assert found[-1].part.numbers == 256 + 5 + 256 * 5 + 5
    assert found[0].shape == (3, 8, 8)
    assert max(network_parts(network, IMAGES).values()) == 2  # what is called twice counts twice
    assert next(network.parameters()).device.type == "cpu"
    for module in [*network.modules(), *(o.module for o in found if o.module is not None)]:
        assert not module._forward_hooks and not module._forward_pre_hooks


def test_the_multiplications_of_the_parts_are_those_of_the_network():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)  # attention beside its layers
    network = nn.Sequential(nn.Flatten(2), Residual(Residual(layer)), nn.Conv1d(3, 4, 1))
    rows = Like(3, 2, 4)
    found = network_parts(network, rows)
    assert sum(part.macs * times for part, times in found.items()) == macs(network, rows)
    (attention,) = (part for part in found if part.kind == "MultiheadAttention")
    assert attention.numbers > 3 * 8 * 8 < attention.macs


def test_decisions_are_parts_by_value_and_place():
    space = SearchSpace(
        [
            Decision("a.op", "categorical", options=("conv", "pool")),
            Decision("b.op", "categorical", options=("conv", "pool")),
            Decision("in", "subset", options=("x", "y", "z"), sizes=(2,)),
            Decision("kernel", "categorical", options=((3, 5), (5, 3))),
            Decision("share", "real", low=0.0, high=2.0),
        ]
    )
    decided = {"a.op": "pool", "b.op": "pool", "in": ("x", "z"), "kernel": (5, 3), "share": 0.5}
    parts = decided_parts(space, space.validate(decided))
    kinds = Counter(part.kind for part in parts)
    assert kinds["('conv', 'pool') = 'pool'"] == 2
    assert kinds["((3, 5), (5, 3)) = (5, 3)"] == 1
    assert len(parts) == 6
    assert parts[Part("share", "share")] == 0.25


def drawn(n, rng):
    """Networks of parts with known times, and those times: kinds have a rate, parts deviate."""
    parts = [Part(f"kind {i % 3}", str(i), macs=float(10 + i)) for i in range(15)]
    cost = {p: (1 + i % 3) * p.macs * (1 + 0.1 * np.sin(i)) for i, p in enumerate(parts)}
    networks = [
        {part: float(count) for part, count in zip(parts, rng.integers(0, 4, 15), strict=True)}
        for _ in range(n)
    ]
    return networks, [50 + sum(cost[p] * c for p, c in some.items()) for some in networks]


def test_sums_of_parts_are_learned_from_few_networks():
    rng = np.random.default_rng(0)
    (known, times), (new, truth) = drawn(40, rng), drawn(200, rng)
    noisy = np.array(times) * rng.normal(1, 0.02, 40)
    predictor = LatencyPredictor().fit(known, noisy)
    predicted = predictor.predict(new)
    assert np.abs(predicted / truth - 1).mean() < 0.02
    assert 0.005 < predictor.error.relative < 0.04
    assert predictor.error.spearman > 0.95


def test_a_machine_that_was_busy_now_and_then_misleads_nobody():
    rng = np.random.default_rng(3)
    (known, times), (new, truth) = drawn(60, rng), drawn(200, rng)
    measured = np.array(times) * rng.normal(1, 0.01, 60)
    measured[::8] *= 1.5
    off = np.abs(LatencyPredictor().fit(known, measured).predict(new) / truth - 1)
    assert off.mean() < 0.02


def test_the_stated_error_is_that_of_new_networks_where_there_is_nothing_to_learn():
    rng = np.random.default_rng(1)
    (known, _), (new, _) = drawn(40, rng), drawn(400, rng)
    times, truth = (np.exp(rng.normal(0, 0.3, n)) for n in (40, 400))
    predictor = LatencyPredictor().fit(known, times)
    off = np.abs(predictor.predict(new) / truth - 1).mean()
    assert predictor.error.relative == pytest.approx(off, rel=0.35)
    assert abs(predictor.error.spearman) < 0.4


def test_networks_that_all_take_the_same_time_are_not_ranked():
    parts, _ = drawn(12, np.random.default_rng(1))
    predictor = LatencyPredictor().fit(parts, [2.0] * 12)
    assert predictor.predict(parts) == pytest.approx([2.0] * 12)
    assert predictor.error.spearman == 0


def test_parts_that_were_never_measured_take_what_their_kind_takes():
    rng = np.random.default_rng(2)
    predictor = LatencyPredictor().fit(*drawn(40, rng))
    base = {Part("kind 0", "0", macs=10.0): 20.0}
    more = {**base, Part("kind 0", "new", macs=30.0): 10.0}
    first, second = predictor.predict([base, more])
    assert second - first == pytest.approx(300, rel=0.35)
    strange = predictor.predict([{**base, Part("another", "", macs=1e9): 1.0}])
    assert strange[0] == pytest.approx(first)


def test_what_cannot_be_learned_from_is_refused(tmp_path):
    rng = np.random.default_rng(3)
    parts, times = drawn(12, rng)
    with pytest.raises(SettingError, match="at least 10"):
        LatencyPredictor().fit(parts[:9], times[:9])
    for time in (0.0, math.inf, math.nan):
        with pytest.raises(SettingError, match="positive time"):
            LatencyPredictor().fit(parts, [time, *times[1:]])
    with pytest.raises(SettingError, match="none of 12 networks has a part"):
        LatencyPredictor().fit([{}] * 12, times)
    with pytest.raises(SettingError, match="must be fitted"):
        LatencyPredictor().predict(parts)
    with pytest.raises(SettingError, match="must be fitted"):
        LatencyPredictor().save(tmp_path / "none.json")
    for text in ("{", "[1]", '{"parts": []}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(SettingError, match=r"other\.json is not that"):
            LatencyPredictor.load(tmp_path / "other.json")
    with pytest.raises(SettingError, match=r"none\.json is not that"):
        LatencyPredictor.load(tmp_path / "none.json")


def test_a_table_measures_each_operation_once_and_reads_off_others_of_its_kind():
    table = OperationTable(seconds=0.01)
    widths = (64, 128, 256, 512)
    for width in widths:
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, width), nn.Linear(width, width))
        assert table.measure(operations(network, IMAGES)) > 0
        assert table.measure(operations(network, IMAGES)) == 0
    new = nn.Sequential(nn.Flatten(), nn.Linear(192, 1500), nn.Linear(1500, 1500))
    read, known = (table[operations(module, IMAGES)[-1].part] for module in (new, network))
    assert read > known > 0
    assert table[Part("unheard of", "")] == 0
    again = OperationTable.from_json(json.loads(json.dumps(table.to_json())))
    assert again[operations(new, IMAGES)[-1].part] == read
    assert again.measure(operations(network, IMAGES)) == 0


def test_a_predictor_stands_in_for_measuring(tmp_path):
    def network(depth, width):
        layers = [nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)]
        return nn.Sequential(nn.Conv2d(3, width, 3), *layers)

    rng = Random(0)
    networks = [network(rng.randint(1, 6), rng.choice((8, 32, 64))) for _ in range(14)]
    predictor = learn_latency(networks, Like(3, 16, 16), seconds=0.02)
    with torch.device("meta"):
        new = [network(depth, width) for depth, width in ((1, 8), (3, 32), (6, 64))]
    predicted = [predictor(module, Like(3, 16, 16), 128) for module in new]
    predictor.save(tmp_path / "here.json")
    loaded = LatencyPredictor.load(tmp_path / "here.json")
    assert [loaded(module, Like(3, 16, 16), 128) for module in new] == predicted
    measured = [
        measure_latency(network(*size), Like(3, 16, 16), seconds=0.05).median_ms
        for size in ((1, 8), (3, 32), (6, 64))
    ]
    assert spearmanr(predicted, measured)[0] == pytest.approx(1)
