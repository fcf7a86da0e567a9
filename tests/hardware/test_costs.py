import json
import math
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ogive import task as tasks
from ogive.errors import SettingError
from ogive.hardware import CHEAP, COSTS, costs, macs, measure_latency, memory_mb, params, size_mb


class Like:
    """A task as far as costs need one."""

    def __init__(self, *shape):
        self.shape = shape

    def example(self, n, device="cpu"):
        return torch.zeros((n, *self.shape), device=device)


def test_parameters_and_size():
    network = nn.Sequential(nn.Linear(10, 5), nn.BatchNorm1d(5))
    assert params(network) == 10 * 5 + 5 + 2 * 5
    numbers = 65 + 5 + 5  # The running mean and variance are kept in the file, too.
    assert size_mb(network) == pytest.approx((4 * numbers + 8) / 2**20)
    network[0].weight.requires_grad_(False)
    assert params(network) == 15


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (nn.Linear(10, 5), (10,), 50),
        (nn.Conv2d(3, 8, 3, padding=1), (3, 16, 16), 3 * 8 * 9 * 256),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (8, 16, 16), 8 * 9 * 256),
        (nn.Conv2d(3, 8, 3, stride=2), (3, 17, 17), 3 * 8 * 9 * 64),
        # Queries, keys, values and the output; then scores and their use, for 7 tokens of 16.
        (
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
            (7, 16),
            7 * 4 * 16 * 16 + 2 * 7 * 7 * 16 + 7 * 2 * 16 * 32,
        ),
    ],
)
def test_macs_are_as_counted_by_hand(network, shape, expected):
    assert macs(network, Like(*shape)) == expected
    assert macs(network.eval(), Like(*shape)) == expected
    assert not network.training
    assert next(network.parameters()).device.type == "cpu"


def test_macs_of_a_recurrent_layer():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(6, 8, batch_first=True)

        def forward(self, x):
            return self.lstm(x)[0][:, -1]

    assert macs(Last(), Like(5, 6)) == 5 * 4 * 8 * (6 + 8)


def test_memory_grows_with_the_batch_by_what_is_saved():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
    one, three = (memory_mb(network, Like(1, 8, 8), batch) for batch in (1, 3))
    # A sample keeps its input (once as saved, once as the batch) and the activation's output.
    assert (three - one) * 2**20 / 2 == pytest.approx(4 * (64 + 64 + 256), rel=0.01)
    assert one * 2**20 > 4 * 4 * params(network)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from there")
def test_memory_is_about_what_a_process_takes():
    script = """
        import re, psutil, torch
        from torch import nn
        torch.set_num_threads(1)
        network = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
        def step(batch):
            network(torch.rand(batch, 3, 64, 64)).sum().backward()
            for parameter in network.parameters():
                parameter.data -= parameter.grad
                parameter.grad = None
        step(2)
        before = psutil.Process().memory_info().rss / 2**20
        step(128)
        status = open("/proc/self/status").read()  # ru_maxrss knows the parent's, too
        print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) / 1024 - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )
    counted = memory_mb(network, Like(3, 64, 64), 128)
    assert 0.6 < counted / float(done.stdout) < 1.4


@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_a_larger_network_takes_longer(engine):
    task = Like(3, 32, 32)
    small, large = (
        measure_latency(nn.Conv2d(3, width, 5), task, engine=engine, seconds=0.1)
        for width in (4, 256)
    )
    assert 0 < small.median_ms < large.median_ms
    assert large.runs >= 15
    assert large.spread_ms >= 0


def test_what_cannot_be_exported_is_measured_in_torch(capfd):
    network = nn.Sequential(nn.Flatten(), nn.RMSNorm(64))
    with pytest.raises(SettingError, match=r"exported to ONNX .*rms_norm.*engine='torch'"):
        measure_latency(network, Like(1, 8, 8), seconds=0.01)
    assert measure_latency(network, Like(1, 8, 8), engine="torch", seconds=0.01).median_ms > 0
    assert capfd.readouterr() == ("", "")


def test_measuring_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    measure_latency(network, Like(1, 8, 8), seconds=0.05)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_costs_by_name():
    task = tasks.load("digits")
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    found = costs(network, task)
    assert set(found) == set(COSTS)
    assert found["params"] == 650
    with torch.device("meta"):
        meta = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert costs(meta, task, CHEAP) == {name: found[name] for name in CHEAP}


def test_an_unknown_cost_says_what_was_meant():
    with pytest.raises(SettingError, match="Did you mean 'latency_ms'"):
        costs(nn.Linear(1, 1), Like(1), ["latency"])


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), np.int64(3), torch.tensor([3])])
def test_a_cost_of_ones_own_may_be_any_number(value):
    found = costs(nn.Linear(1, 1), Like(1), ["own"], own={"own": lambda *_: value})
    assert json.loads(json.dumps(found)) == {"own": 3}


@pytest.mark.parametrize("value", [None, "much", math.nan, torch.ones(2)])
def test_a_cost_that_is_no_number_is_refused(value):
    with pytest.raises(SettingError, match="own returned"):
        costs(nn.Linear(1, 1), Like(1), ["own"], own={"own": lambda *_: value})
