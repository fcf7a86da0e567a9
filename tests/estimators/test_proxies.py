"""Zero-cost proxies: equal to pencil and paper, to the published columns, and without a trace."""

from __future__ import annotations

import copy
import math
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import nn

import ogive
from ogive.errors import SettingError, TrialFailed
from ogive.estimators import PROXIES, Batch, Run, ZeroCost, aggregate_ranks, proxies, screen
from ogive.hardware import macs, params
from ogive.space import Architecture
from ogive.spaces import convnet, nasbench201
from ogive.strategies import BayesianOptimization


def batch(size=8, side=8, channels=3):
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randn(size, channels, side, side, generator=draws)
    return Batch(inputs, torch.arange(size) % 3)


def convolutional(*, norm=True, activation=nn.ReLU, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4) if norm else nn.Identity(),
        activation(),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.BatchNorm2d(5) if norm else nn.Identity(),
        activation(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )


def one(network, name, data=None):
    return proxies(network, data or batch(), [name])[name]


class Rows(nn.Module):
    """An image as a sequence of its rows, of twice as many numbers as it is wide."""

    def forward(self, x):
        return torch.cat([x[:, 0], x[:, 1]], dim=2)


class Codes(nn.Module):
    def forward(self, x):
        return x.abs().long().clamp(max=4).flatten(1)


# By pencil and paper


@pytest.fixture
def linear():
    """Outputs ``w x`` for one number, a squared loss: gradients and Hessian by hand."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False))
    nn.init.constant_(network[0].weight, 3.0)
    inputs, targets = (
        torch.tensor([[1.0], [2.0], [3.0], [4.0]]),
        torch.tensor([1.0, 3.0, 2.0, 5.0]),
    )
    return network, Batch(inputs, targets, lambda out, wanted: ((out[:, 0] - wanted) ** 2).mean())


def test_saliencies_of_one_weight(linear):
    network, data = linear
    x, y, w = np.array([1, 2, 3, 4.0]), np.array([1, 3, 2, 5.0]), 3.0
    each = 2 * x * (w * x - y)
    gradient, hessian = each.mean(), 2 * (x * x).mean()
    found = proxies(
        network, data,
        ["l2_norm", "plain", "snip", "grad_norm", "grasp", "fisher", "synflow", "zico"],
    )  # fmt: skip
    halves = np.array([each[:2].mean(), each[2:].mean()])
    assert found == pytest.approx(
        {
            "l2_norm": w,
            "plain": w * gradient,
            "snip": abs(w * gradient),
            "grad_norm": abs(gradient),
            "grasp": -w * hessian * gradient,
            "fisher": 0.5 * ((w * each / 4) ** 2).mean(),
            "synflow": math.log(w),
            "zico": math.log(np.abs(halves).mean() / halves.std()),
        },
        rel=1e-5,
    )


def test_grasp_is_the_hessian_times_the_gradient():
    """The whole Hessian of a small network, entry by entry."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 3))
    data = Batch(torch.randn(6, 2), torch.arange(6) % 3)
    first, second = (network[i].weight.detach() for i in (0, 3))

    def loss(w):
        replaced = {"0.weight": w[:6].view(3, 2), "3.weight": w[6:].view(3, 3)}
        outputs = torch.func.functional_call(copy.deepcopy(network), replaced, (data.inputs,))
        return data.loss(outputs, data.targets)

    w = torch.cat([first.flatten(), second.flatten()])
    hessian = torch.autograd.functional.hessian(loss, w)
    gradient = torch.autograd.functional.jacobian(loss, w)
    assert one(network, "grasp", data) == pytest.approx(float(-w @ hessian @ gradient), rel=1e-4)


def test_fisher_counts_a_channel_as_often_as_it_has_weights():
    network, data = nn.Sequential(nn.Flatten(), nn.Linear(2, 3)), Batch(
        torch.randn(4, 2, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0])
    )  # fmt: skip
    outputs = network(data.inputs).detach()
    gradient = (outputs.softmax(1) - nn.functional.one_hot(data.targets, 3)) / 4
    expected = float((outputs * gradient).square().mean(0).sum() / 2 * 2)
    assert one(network, "fisher", data) == pytest.approx(expected, rel=1e-5)


def test_fisher_looks_at_what_a_layer_gave_whatever_works_in_place_on_it():
    plain, inplace = (convolutional(norm=False, activation=nn.SiLU) for _ in range(2))
    inplace[2].inplace = inplace[5].inplace = True
    assert one(inplace, "fisher") == one(plain, "fisher")


def test_synflow_is_the_sum_over_ways_and_looks_at_no_data():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False))
    ways = float((network[2].weight.abs() @ network[0].weight.abs()).sum().detach())
    found = one(network, "synflow", Batch(torch.randn(4, 3), torch.tensor([0, 1, 0, 1])))
    assert found == pytest.approx(math.log(2 * ways))  # each of the two layers has all of it
    assert one(convolutional(), "synflow") == one(convolutional(norm=False), "synflow")


def test_naswot_counts_the_rectifiers_that_are_switched_alike():
    inputs = torch.tensor([[1.0, 1, 1, 1], [-1, 1, 1, 1], [1, -1, -1, 1], [-1, -1, -1, -1]])
    alike = [
        [sum((a > 0) == (b > 0) for a, b in zip(x, y, strict=True)) for y in inputs.tolist()]
        for x in inputs.tolist()
    ]
    data = Batch(inputs, torch.tensor([0, 1, 0, 1]))
    expected = np.linalg.slogdet(np.array(alike, dtype=float))[1]
    for activation in (nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU()):
        network = nn.Sequential(activation, nn.Linear(4, 2))
        assert one(network, "naswot", data) == pytest.approx(expected)


def test_naswot_is_the_lower_the_more_samples_are_switched_alike():
    rows = torch.randn(12, 40, generator=torch.Generator().manual_seed(0))
    found = []
    for different in range(12, 1, -1):
        data = Batch(rows[torch.arange(12) % different], torch.arange(12) % 2)
        found.append(one(nn.ReLU(), "naswot", data))
        order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
        shuffled = Batch(data.inputs[order], data.targets[order])
        assert one(nn.ReLU(), "naswot", shuffled) == pytest.approx(found[-1], rel=1e-6)
    assert np.isfinite(found).all()
    assert found == sorted(found, reverse=True)
    assert min(-np.diff(found)) > 5


def test_naswot_sees_functions():
    class Functional(nn.Module):
        def forward(self, x):
            return nn.functional.relu(x)

    data = batch()
    assert one(Functional(), "naswot", data) == one(nn.ReLU(), "naswot", data)


def test_jacov_of_samples_whose_gradients_do_not_correlate():
    """Each sample's gradient is a row of a matrix with known correlations."""
    rows = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1], [2, 2, -2, -2]])

    class Rows(nn.Module):
        def forward(self, x):
            return (x * rows).sum(1, keepdim=True)

    correlations = np.corrcoef(rows.numpy())
    values = np.linalg.eigvalsh(correlations) + 1e-5
    found = one(Rows(), "jacov", Batch(torch.ones(4, 4), torch.zeros(4)))
    assert found == pytest.approx(-(np.log(values) + 1 / values).sum(), rel=1e-6)


def test_zen_adds_what_normalisations_took_away():
    """A larger gain before a normalisation would be lost behind it, but for its variance."""
    found = [one(convolutional(seed=seed), "zen") for seed in (0, 1)]
    assert found[0] == found[1]  # weights are its own
    wide = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU())
    deep = nn.Sequential(wide, nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 3))
    # A convolution of 9 * 64 squares of mean 1/2 has the variance 288, of which .19 are remembered.
    gain = one(nn.Sequential(deep, head), "zen") - one(nn.Sequential(wide, head), "zen")
    assert gain == pytest.approx(0.5 * math.log(0.19 * 288 + 0.81), abs=0.35)


def test_parameters_and_operations_are_the_costs():
    network = convolutional()
    task = SimpleNamespace(example=lambda n, device="cpu": torch.zeros(n, 3, 8, 8, device=device))
    expected = {"params": params(network), "macs": macs(network, task)}
    assert proxies(network, batch(), ["params", "macs"]) == expected


# Without a trace


def test_every_proxy_leaves_the_network_and_the_generators_as_they_were():
    network = convolutional().eval()
    network[0].requires_grad_(False)
    network[8].weight.grad = torch.ones_like(network[8].weight)
    before, state = copy.deepcopy(network), torch.get_rng_state()
    storages = [p.data_ptr() for p in network.parameters()]
    with torch.no_grad():  # wherever it is called
        proxies(network, batch(), seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert [p.data_ptr() for p in network.parameters()] == storages
    for (name, now), then in zip(
        network.state_dict().items(), before.state_dict().values(), strict=True
    ):
        assert torch.equal(now, then), name
    for now, then in zip(network.parameters(), before.parameters(), strict=True):
        assert now.requires_grad == then.requires_grad
    graded = [name for name, p in network.named_parameters() if p.grad is not None]
    assert graded == ["8.weight"]
    assert bool((network[8].weight.grad == 1).all())
    assert not any(module.training or module._forward_hooks for module in network.modules())


def test_values_come_from_the_seed_alone():
    data, network = batch(), convolutional(seed=0)
    dropped = nn.Sequential(nn.Dropout(0.5), network)
    assert proxies(dropped, data, ["snip"]) == proxies(dropped, data, ["snip"])
    drawn = [proxies(convolutional(seed=s), data, ["snip", "zen"], seed=7) for s in (1, 2)]
    assert drawn[0] == drawn[1]
    assert proxies(network, data, ["snip"], seed=7) != proxies(network, data, ["snip"], seed=8)


def bag():
    return nn.Sequential(Rows(), Codes(), nn.EmbeddingBag(5, 4), nn.Linear(4, 3))


def spatial():
    return nn.Sequential(
        nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    )


def transformer():
    layer = nn.TransformerEncoderLayer(16, 2, 8, 0.0, batch_first=True)
    return nn.Sequential(Rows(), layer, nn.Flatten(), nn.Linear(128, 3))


@pytest.mark.parametrize("make", [spatial, transformer])
def test_networks_of_other_layers_have_values_too(make):
    names = [name for name in PROXIES if name != "zen"]  # which needs batch normalisations
    assert all(math.isfinite(value) for value in proxies(make(), batch(), names).values())


# Where one does not apply


@pytest.mark.parametrize(
    ("name", "network", "message"),
    [
        ("naswot", convolutional(activation=nn.Tanh), "no ReLU.*choose jacov"),
        ("zen", convolutional(norm=False), "variances of batch normalisations.*has none"),
        ("zen", nn.BatchNorm2d(3, track_running_stats=False), "has none that keeps"),
        ("snip", nn.ReLU(), "trainable ones, but ReLU has none"),
        ("grasp", bag(), "second derivative, but one of the network has none: .*embedding_bag"),
        ("fisher", nn.ReLU(), "convolutions or linear layers, but there are none in ReLU"),
        ("naswott", convolutional(), "Did you mean 'naswot'"),
    ],
)
def test_a_proxy_that_does_not_apply_says_so(name, network, message):
    with pytest.raises(SettingError, match=message):
        proxies(network, batch(), [name])


@pytest.mark.parametrize("name", ["zen", "jacov"])
def test_codes_of_categories_are_not_moved_and_have_no_gradient(name):
    class Embedded(nn.Sequential):
        def forward(self, x):
            return super().forward(x[:, 0].long())

    network = Embedded(nn.Embedding(3, 4), nn.BatchNorm1d(4))
    with pytest.raises(SettingError, match="embeds codes of categories"):
        proxies(network, Batch(torch.ones(4, 1), torch.zeros(4)), [name])


def test_names_are_no_text():
    with pytest.raises(SettingError, match=r"give \['snip'\]"):
        proxies(convolutional(), batch(), "snip")


def test_a_batch_is_checked():
    with pytest.raises(SettingError, match=r"at least 4 samples.*got 3 inputs"):
        Batch(torch.ones(3, 2), torch.ones(3))


@pytest.mark.parametrize("name", ["synflow", "jacov", "naswot"])
def test_a_network_that_nothing_comes_through_fails_its_trial(name):
    dead = convolutional()
    dead[8] = nn.Linear(5, 3)
    for parameter in dead.parameters():
        nn.init.zeros_(parameter)
    with pytest.raises(TrialFailed, match=f"must be a finite number, but {name} is"):
        one(dead, name)


def test_a_network_that_is_cut_through_fails_its_trial():
    class Cut(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    network = nn.Sequential(nn.Conv2d(3, 4, 3), Cut(), convolutional()[1:6], convolutional()[6:])
    with pytest.raises(TrialFailed, match="jacov is nan"):
        one(network, "jacov")
    assert one(network, "snip") > 0  # what comes after the cut


def test_zen_is_the_architectures_and_not_the_momentum_s():
    network = convolutional()
    before = one(network, "zen")
    network[1].momentum = 0.5
    network[1].running_var.fill_(7.0)
    assert one(network, "zen") == before


# Joined


def test_joined_ranks_are_sums_of_logarithms():
    joined = aggregate_ranks({"a": [1.0, 2.0, 3.0], "b": [30.0, 10.0, 20.0]})
    expected = np.log(np.array([[1, 2, 3], [3, 1, 2]]) / 3).sum(0)
    assert joined == pytest.approx(expected)
    assert np.argmax(joined) == 2  # second best by one and best by the other


def test_equal_values_share_a_rank_and_nan_is_the_worst():
    joined = aggregate_ranks({"a": [5.0, 5.0, np.nan, -np.inf]})
    assert joined == pytest.approx(np.log(np.array([3.5, 3.5, 1.5, 1.5]) / 4))
    with pytest.raises(SettingError, match="over the same architectures"):
        aggregate_ranks({"a": [1.0], "b": [1.0, 2.0]})
    with pytest.raises(SettingError, match="over the same architectures"):
        aggregate_ranks({})


def test_a_proxy_that_says_nothing_of_one_is_left_out_of_its_score():
    joined = aggregate_ranks({"a": [1.0, 2.0, 3.0, np.nan], "b": [np.nan, 1.0, 2.0, np.nan]})
    # Four are ranked by a, and three by b: of the last, which both fail for, it is the worst.
    shares = np.array([[2 / 4, 3 / 4, 4 / 4, 1 / 4], [np.nan, 2 / 3, 3 / 3, 1 / 3]])
    assert joined == pytest.approx(2 * np.nanmean(np.log(shares), axis=0))


def test_a_space_with_other_activations_is_not_ranked_by_them(task):
    def plain(choose, task):
        kind = choose.value("activation", ("relu", "silu"))
        width = choose.value("width", (4, 64))
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.ReLU() if kind == "relu" else nn.SiLU(),
            nn.Linear(width, task.outputs),
        )  # fmt: skip

    estimate = ZeroCost(plain, task, ["synflow", "naswot"], samples=8)
    smooth = estimate(ogive.Architecture({"activation": "silu", "width": 64}), ogive.Run())
    assert set(smooth) == {"synflow"}
    with pytest.raises(SettingError, match="naswot"):
        ZeroCost(plain, task, ["naswot"])(
            ogive.Architecture({"activation": "silu", "width": 64}), ogive.Run()
        )
    screened = screen(estimate, ogive.record(plain, task), 60)
    best = screened.best(2)
    assert {a["width"] for a in best} == {64}
    assert screened.numbers(ogive.Architecture({"activation": "silu", "width": 64}))[1] == 0.5


@given(st.lists(st.tuples(st.integers(-99, 99), st.integers(-99, 99)), min_size=1, max_size=9))
def test_what_is_better_by_every_proxy_is_better_joined(pairs):
    joined = aggregate_ranks({"a": [a for a, _ in pairs], "b": [b for _, b in pairs]})
    for i, x in enumerate(pairs):
        for j, y in enumerate(pairs):
            if x[0] > y[0] and x[1] > y[1]:
                assert joined[i] > joined[j]


# As an estimator


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    return ogive.load((images, np.arange(60) % 3))


def test_a_search_by_proxies(task):
    space = ogive.record(convnet, task)
    result = ogive.search(
        space,
        task,
        estimator=ZeroCost(convnet, task, ["synflow", "params"], samples=4),
        maximize="synflow",
        strategy="random",
        executor=ogive.SerialExecutor(),
        trials=5,
        seed=0,
    )
    values = result.trials["synflow"]
    assert len(set(values)) > 1
    assert result.best.value == max(values)


def test_an_estimate_is_the_seeds(task):
    estimator = ZeroCost(convnet, task, ["snip"], samples=8)
    architecture = ogive.record(convnet, task).sample(Random(0))
    first = estimator(architecture, Run(seed=1, device="cpu"))
    assert first == estimator(architecture, Run(seed=1, device="cpu"))
    assert first != estimator(architecture, Run(seed=2, device="cpu"))
    with pytest.raises(SettingError, match="Did you mean 'snip'"):
        ZeroCost(convnet, task, ["snips"])


def test_what_was_screened_is_side_information(task):
    space = ogive.record(convnet, task)
    screened = screen(ZeroCost(convnet, task, ["params", "l2_norm"], samples=4), space, 12)
    pool = list(screened.space.enumerate())
    assert len(pool) == len(screened.values["params"]) > 1
    shares = np.array([screened.numbers(a) for a in pool])
    best = pool[int(np.argmax(screened.values["params"]))]
    assert screened.numbers(best)[0] == shares[:, 0].max() == 1
    assert screened.best(1)[0] == pool[int(np.log(shares).sum(1).argmax())]
    assert all(0 < share <= 1 for share in shares.flat)
    strategy = BayesianOptimization(screened.space, features=screened.numbers, initial=2)
    result = ogive.search(
        space,
        estimator=lambda architecture, _: {"value": screened.numbers(architecture)[0]},
        strategy=strategy,
        executor=ogive.SerialExecutor(),
        trials=5,
    )
    assert result.best.value == 1  # found among the first: the numbers say it
    outside = next(a for s in range(99) if (a := space.sample(Random(10**6 + s))) not in pool)
    with pytest.raises(SettingError, match=r"not in it.*screened\.space"):
        screened.numbers(outside)


def test_what_fails_is_screened_as_the_worst():
    space = ogive.SearchSpace([ogive.Decision("width", "ordinal", options=(1, 2, 3))])

    def even(architecture, _):
        if architecture["width"] != 2:
            raise TrialFailed("A width is even here.")
        return {"value": 1.0}

    screened = screen(even, space, 30)
    assert screened.best(1) == [Architecture({"width": 2})]
    assert screened.numbers(Architecture({"width": 3})) == [0.5]  # shared by the two that failed
    with pytest.raises(TrialFailed, match="is even"):
        screen(lambda *_: even({"width": 1}, None), space, 3)
    with pytest.raises(SettingError, match="got count=0"):
        screen(even, space, 0)


# As published


def test_ranks_are_those_published(data):
    table = np.load(data / "nb201_zc.npz", allow_pickle=False)
    file = np.load(data / "cifar10_32x32_512.npz", allow_pickle=False)
    images = torch.from_numpy(file["x"][:4]).permute(0, 3, 1, 2).float() / 128 - 1
    few = Batch(images, torch.from_numpy(file["y"][:4].astype(np.int64)))
    alive = np.flatnonzero(table["unique_reachable"])
    rows = np.random.default_rng(1).choice(alive, 7, replace=False)
    names = {"synflow": 0.95, "params": 0.95, "zen": 0.9, "naswot": 0.8}
    columns = {"naswot": "c10_nwot"}
    found = [
        proxies(nasbench201.from_string(str(table["arch_str"][r]), classes=10), few, names, seed=0)
        for r in rows
    ]
    for name, least in names.items():
        published = table[columns.get(name, f"c10_{name}")][rows]
        assert spearmanr([f[name] for f in found], published)[0] >= least, name


def test_there_are_thirteen():
    assert list(PROXIES) == [
        "params", "macs", "l2_norm", "plain", "snip", "grad_norm", "grasp", "fisher", "synflow",
        "zico", "jacov", "naswot", "zen",
    ]  # fmt: skip
    assert all(proxy.__doc__ for proxy in PROXIES.values())
