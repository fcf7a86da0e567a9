import dataclasses
import math
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn

from ogive.errors import SettingError, SpaceError
from ogive.estimators import Recipe, Run
from ogive.nn import Mixture, Sum, annotate, record
from ogive.oneshot import RELAXATIONS, search_by_gradient
from ogive.oneshot._differentiable import Dirichlet, HardGumbel, Softmax, _Search

CPU = Run(device="cpu")


@pytest.mark.parametrize("method", RELAXATIONS)
def test_it_learns_not_to_take_what_gives_nothing(method, digits, layers):
    recipe = Recipe(batch_size=64, epochs=6, lr=3e-3)
    found = search_by_gradient(
        layers, digits, method=method, alpha_lr=0.05, recipe=recipe, run=CPU
    )
    for options in found.preferences.values():
        assert sum(options.values()) == pytest.approx(1, abs=1e-5)
        assert min(options, key=options.__getitem__) == "zero"
    assert "zero" not in found.best.values()


@pytest.fixture
def tiny(digits):
    """A search of second order in double precision, and two batches."""

    def network(choose, data):
        def layer():
            return {"tanh": nn.Tanh, "linear": lambda: nn.Linear(4, 4), "skip": nn.Identity}

        return nn.Sequential(
            nn.Linear(4, 4), choose.layer("a", layer()), choose.layer("b", layer()),
            nn.Linear(4, data.outputs),
        )  # fmt: skip

    search = _Search(
        network,
        digits,
        "darts",
        2,
        None,
        0.0,
        None,
        1,
        {},
        record(network, digits),
        Recipe(),
        CPU,
        "fp32",
    )
    search._supernet.double()
    search._alphas.double()
    search._mixture = search._supernet.mix()
    generator = torch.Generator().manual_seed(0)
    batches = [
        (
            torch.randn(16, 4, generator=generator, dtype=torch.double),
            torch.randint(10, (16,), generator=generator),
        )
        for _ in range(2)
    ]
    return search, batches


def test_the_second_order_gradient_is_the_exact_one(tiny):
    search, (learned, batch) = tiny
    rate = 0.05
    before = {k: v.clone() for k, v in search._supernet.state_dict().items()}
    _, found = search._unrolled(batch, learned, 0.0, rate)
    for name, value in search._supernet.state_dict().items():  # nothing has moved
        assert torch.equal(value, before[name])

    alphas, mixture = list(search._alphas.values()), search._mixture
    loss = search._loss(learned, 0.0)
    gradients = torch.autograd.grad(loss, mixture.shared, create_graph=True)
    moved = dict(zip(map(id, mixture.shared), gradients, strict=True))
    bound = [(p, t - rate * moved[id(t)], part) for p, t, part in mixture._bound]
    search._mixture = Mixture(mixture.network, bound, mixture._own, mixture.weights, {})
    exact = torch.autograd.grad(search._loss(batch, 0.0), alphas)
    search._mixture = mixture
    first = torch.autograd.grad(search._loss(batch, 0.0), alphas)
    for a, b, c in zip(found, exact, first, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-7)
        assert (a - c).abs().max() > 10 * (a - b).abs().max()  # the first order is another


def test_relaxations_are_distributions():
    torch.manual_seed(0)
    alpha = torch.tensor([0.3, -0.2, 1.0], requires_grad=True)
    for relaxation in (Softmax(), HardGumbel(), Dirichlet()):
        weights = relaxation.weights(alpha, 0.5)
        assert weights.sum().item() == pytest.approx(1, abs=1e-5)
        assert (weights >= 0).all()
        assert relaxation.probabilities(alpha).argmax() == 2
        (weights * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
        assert alpha.grad is not None
        alpha.grad = None
    drawn = HardGumbel().weights(alpha, 1.0)
    assert sorted(drawn.tolist()) == [0.0, 0.0, 1.0]
    assert Dirichlet().penalty([torch.zeros(3)]).item() == pytest.approx(0, abs=1e-6)
    assert Dirichlet().penalty([torch.ones(3)]).item() > 0


@pytest.mark.parametrize("order", [1, 2])
def test_what_holds_concentrations_back_is_their_divergence_from_the_uniform(order, digits):
    def network(choose, data):  # whatever is taken computes the same
        either = choose.layer("either", {"one": nn.Identity, "other": nn.Identity})
        return nn.Sequential(nn.Flatten(), nn.Linear(64, data.outputs), either)

    search = _Search(
        network, digits, "drnas", order, None, 0.0, None, 1, {}, record(network, digits),
        Recipe(), CPU, "fp32",
    )  # fmt: skip
    [alpha] = search._learned
    with torch.no_grad():
        alpha.copy_(torch.tensor([1.0, 3.0]))
    search._step_alphas(0, search._weights.batches(0), 0.5)
    beta = torch.tensor([2.0, 4.0], requires_grad=True)  # 1 + elu(alpha)
    total = beta.sum()
    divergence = torch.lgamma(total) - torch.lgamma(beta).sum() - torch.lgamma(torch.tensor(2.0))
    divergence = divergence + ((beta - 1) * (beta.digamma() - total.digamma())).sum()
    [slope] = torch.autograd.grad(1e-3 * divergence, beta)
    first_moment = search._adam.state[alpha]["exp_avg"] / 0.5  # the gradient, with any decay
    torch.testing.assert_close(first_moment, slope, rtol=1e-3, atol=1e-6)


def test_it_goes_on_where_it_was(digits, tmp_path, network, short):
    def search(folder, epochs_of=1.0):
        folder.mkdir(exist_ok=True)
        return search_by_gradient(
            network, digits, method="gdas", recipe=short, alpha_lr=0.01,
            run=dataclasses.replace(CPU, folder=folder),
        )  # fmt: skip

    first = search(tmp_path / "run")
    again = search(tmp_path / "run")  # complete: nothing is left to do
    other = search(tmp_path / "other")
    assert first.preferences == again.preferences == other.preferences
    assert len((tmp_path / "run" / "curve.jsonl").read_text().splitlines()) == 2


def test_architectures_come_in_the_order_of_their_preference(digits, network, short):
    found = search_by_gradient(network, digits, recipe=short, alpha_lr=0.1, run=CPU)
    ranked = list(found.ranked())
    assert found.best == ranked[0]
    assert len(ranked) == len(set(ranked))

    def log_preference(architecture):
        return sum(
            math.log(options[architecture[path]])
            for path, options in found.preferences.items()
            if path in architecture
        )

    values = [log_preference(a) for a in ranked]
    assert values == sorted(values, reverse=True)
    assert all(found.space.validate(a) == a for a in islice(ranked, 5))


def test_where_nothing_with_these_widths_is_valid_there_is_no_best(digits, network, short):
    def small(architecture):
        return "it is too wide" if architecture["width"] > 4 else None

    ruled = annotate(valid=small)(lambda choose, data: network(choose, data))
    recipe = short.replace(epochs=1)
    found = search_by_gradient(ruled, digits, recipe=recipe, run=CPU)
    with pytest.raises(SpaceError, match=r"'width': 8.*it is too wide.*Decide others"):
        _ = found.best
    found = search_by_gradient(ruled, digits, fixed={"width": 4}, recipe=recipe, run=CPU)
    assert found.best["width"] == 4


def test_a_collapse_is_told(digits, layers):
    search = _collapsed(digits, layers)
    assert any("collapsed" in note for note in search.notes)


@pytest.mark.parametrize(
    ("alphas", "collapsed"), [((2.0, 1.0, 0.0), True), ((2.0, 0.0, 1.0), False)]
)
def test_a_collapse_is_seen_behind_zeros_that_are_not_taken(digits, scale, alphas, collapsed):
    class Cell(nn.Module):
        def __init__(self, choose):
            super().__init__()
            operations = {
                "zero": lambda: scale(0.0), "skip": nn.Identity, "linear": lambda: nn.Linear(8, 8),
            }  # fmt: skip
            branches = {name: lambda name=name: choose.layer(name, operations) for name in "abc"}
            self.branches = choose.subset("node", branches, 2)

        def forward(self, x):
            return sum(branch(x) for branch in self.branches.values())

    def network(choose, data):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Cell(choose), nn.Linear(8, 10))

    search = _Search(
        network, digits, "darts", 1, None, 1.0, None, 1, {}, record(network, digits),
        Recipe(batch_size=64, epochs=1), CPU, "fp32",
    )  # fmt: skip
    with torch.no_grad():
        for alpha in search._alphas.values():
            alpha.copy_(torch.tensor(alphas))
    found = search.fit(False)
    assert found.best["a"] == ("skip" if collapsed else "linear") or "a" not in found.best["node"]
    assert any("collapsed" in note for note in found.notes) == collapsed
    assert found.history[-1].skips == (1.0 if collapsed else 0.0)


@pytest.mark.parametrize("settings", [{}, {"method": "darts", "order": 2}])
def test_normalisations_in_mixtures_have_no_scale_of_their_own(digits, network, short, settings):
    found = search_by_gradient(network, digits, recipe=short, run=CPU, **settings)
    state = found.supernet.state_dict()
    scales = {
        n: v for n, v in state.items() if "BatchNorm" in n and n.endswith(("/weight", "/bias"))
    }
    inside = {n: v for n, v in scales.items() if "[conv]" in n}
    assert len(inside) >= 2
    assert len(scales) > len(inside)
    for name, value in scales.items():
        plain = torch.full_like(value, float(name.endswith("weight")))
        assert torch.equal(value, plain) == (name in inside), name


def _collapsed(digits, layers):
    search = _Search(
        layers, digits, "darts", 1, None, 1.0, None, 1, {}, record(layers, digits),
        Recipe(batch_size=64, epochs=1), CPU, "fp32",
    )  # fmt: skip
    with torch.no_grad():
        for alpha in search._alphas.values():
            alpha.copy_(torch.tensor([0.0, 0.0, 2.0]))
    return search.fit(False)


def test_partial_channels_learn_and_leave_the_other_weights_alone(digits, network, short):
    before = search_by_gradient(
        network, digits, parts=4, warmup=1.0, recipe=short.replace(weight_decay=0.0),
        run=dataclasses.replace(CPU, fidelity=1e-6),
    ).supernet.state_dict()  # fmt: skip
    found = search_by_gradient(
        network, digits, parts=4, alarm=True, recipe=short.replace(weight_decay=0.0), run=CPU,
    )  # fmt: skip
    [name] = [n for n in before if "blocks" not in n and "stack" in n and "0[conv]" in n
              and n.endswith("conv:Conv2d/weight")]  # fmt: skip
    weight, start = found.supernet.state_dict()[name], before[name]
    assert weight.shape == (8, 8, 3, 3)
    assert not torch.equal(weight[:2, :2], start[:2, :2])
    assert torch.equal(weight[2:], start[2:])
    assert torch.equal(weight[:, 2:], start[:, 2:])


class Node(nn.Module):
    """Adds what three layers make of the same, of which the last is always zeros."""

    def __init__(self, choose, name):
        super().__init__()
        options = {"tanh": nn.Tanh, "skip": nn.Identity}
        self.layers = nn.ModuleList(choose.layer(f"{name}.{i}", options) for i in range(2))
        self.total = Sum(name, 3)

    def forward(self, x):
        return self.total(*(layer(x) for layer in self.layers), torch.zeros_like(x))


def summed(choose, data):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), Node(choose, "a.b"), nn.Linear(16, data.outputs)
    )


@pytest.mark.parametrize("order", [1, 2])
def test_the_edges_that_bring_something_are_preferred(order, digits):
    recipe = Recipe(batch_size=64, epochs=5, lr=3e-3)
    found = search_by_gradient(
        summed, digits, method="darts", order=order, edges=True, alpha_lr=0.05, recipe=recipe,
        run=CPU,
    )  # fmt: skip
    [weights] = found.edges.values()
    assert list(found.edges) == ["a.b"]
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert weights[2] < 0.2 < min(weights[:2])
    # What is found is a network of plain sums.
    route, plain = found.supernet.route(found.best), found.supernet.extract(found.best)
    x = digits.example(4)
    assert torch.equal(route(x), plain(x))
    parts = plain[2].layers
    hidden = plain[1](plain[0](x))
    assert torch.equal(plain[2](hidden), parts[0](hidden) + parts[1](hidden))


def test_edge_weights_are_those_of_a_softmax(digits):
    search = _Search(
        summed, digits, "darts", 1, None, 0.0, None, 1, {}, record(summed, digits), Recipe(),
        CPU, "fp32", edges=True,
    )  # fmt: skip
    mixture, network = search._mixture, search._mixture.network
    with torch.no_grad():
        search._betas["a/b"].copy_(torch.log(torch.tensor([0.5, 0.3, 0.2])))
    mixture.weights.update({path: torch.tensor([1.0, 0.0]) for path in mixture.decisions})
    mixture.edge_weights.update(search._edges())
    x = digits.example(4)
    output = mixture(x)  # which also binds the shared weights
    hidden = torch.tanh(network[1](network[0](x)))
    assert torch.allclose(output, network[3](0.8 * hidden), atol=1e-6)


class Inputs(nn.Module):
    """Adds up two of three branches, each with an operation."""

    def __init__(self, choose, scale, total):
        super().__init__()
        operations = {
            "zero": lambda: scale(0.0),
            "tanh": nn.Tanh,
            "linear": lambda: nn.Linear(8, 8),
        }
        options = {name: lambda name=name: choose.layer(name, operations) for name in "abc"}
        self.branches = choose.subset("node", options, 2)
        self.total = Sum("node", len(self.branches)) if total else None

    def forward(self, x):
        terms = [branch(x) for branch in self.branches.values()]
        return self.total(*terms) if self.total is not None else sum(terms)


def chosen_inputs(digits, scale, *, edges, total=False):
    def network(choose, data):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, 8), Inputs(choose, scale, total), nn.Linear(8, 10)
        )

    return _Search(
        network, digits, "darts", 1, None, 1.0, None, 1, {}, record(network, digits), Recipe(),
        dataclasses.replace(CPU, fidelity=1e-6), "fp32", edges=edges,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("edges", "strengths"),
    [
        (False, {"a": 0.3, "b": 0.5, "c": 0.45}),
        (True, {"a": 0.6 * 0.3, "b": 0.1 * 0.5, "c": 0.3 * 0.45}),
    ],
)
def test_a_node_gets_its_inputs_from_the_strongest_branches(edges, strengths, digits, scale):
    search = chosen_inputs(digits, scale, edges=edges)
    alphas = {"a": (0.6, 0.3, 0.1), "b": (0.1, 0.5, 0.4), "c": (0.15, 0.4, 0.45)}
    with torch.no_grad():
        for name, preferences in alphas.items():
            search._alphas[name].copy_(torch.log(torch.tensor(preferences)))
        if edges:
            search._betas["node"].copy_(torch.log(torch.tensor([0.6, 0.1, 0.3])))
    found = search.fit(False)
    assert found.preferences["node"] == pytest.approx(strengths, abs=1e-5)
    ranked = [dict(architecture) for architecture in found.ranked()]
    if edges:
        assert ranked[0] == {"node": ("a", "c"), "a": "tanh", "c": "linear"}
        assert ranked[1] == {"node": ("a", "c"), "a": "tanh", "c": "tanh"}
    else:
        assert ranked[0] == {"node": ("b", "c"), "b": "tanh", "c": "linear"}
    assert len(ranked) == 3 * 2 * 2
    assert not any("zero" in architecture.values() for architecture in ranked)


@pytest.mark.parametrize("total", [False, True])
def test_a_mixture_has_all_branches_each_with_its_weight(total, digits, scale):
    search = chosen_inputs(digits, scale, edges=True, total=total)
    assert list(search._betas) == ["node"]
    with torch.no_grad():
        search._betas["node"].copy_(torch.log(torch.tensor([0.5, 0.3, 0.2])))
        for name, zero in (("a", 1.0), ("b", 0.0), ("c", 0.0)):
            search._alphas[name].copy_(torch.tensor([zero, 1 - zero, 0.0]))
    x = digits.example(4) + 0.1
    search._mixed_loss((x, torch.zeros(4, dtype=torch.long)), lambda alpha: alpha)
    network = search._mixture.network
    hidden = network[1](network[0](x))
    assert torch.allclose(network[2](hidden), (0.3 + 0.2) * torch.tanh(hidden), atol=1e-6)
    alone = search._supernet.extract({"node": ("a", "b"), "a": "linear", "b": "tanh"})
    mixed = network[2].branches["a"].options["linear"]
    assert torch.equal(alone[2].branches["a"].weight, mixed.weight)


def test_bad_settings(digits, network, layers):
    with pytest.raises(SettingError, match="the network has none"):
        search_by_gradient(layers, digits, edges=True)
    with pytest.raises(SettingError, match="but no layer does"):
        search_by_gradient(layers, digits, parts=4)
    with pytest.raises(SettingError, match="1 <= parts"):
        search_by_gradient(layers, digits, parts=0)
    with pytest.raises(SettingError, match="Did you mean 'darts'"):
        search_by_gradient(network, digits, method="dart")
    with pytest.raises(SettingError, match="order is 1 or 2"):
        search_by_gradient(network, digits, order=3)
    with pytest.raises(SettingError, match="0 <= warmup <= 1"):
        search_by_gradient(network, digits, warmup=1.5)
    with pytest.raises(SettingError, match="alpha_lr > 0"):
        search_by_gradient(network, digits, alpha_lr=0.0)
    with pytest.raises(SpaceError, match="none is left"):
        search_by_gradient(
            lambda choose, data: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), digits
        )


@pytest.mark.parametrize(("progress", "temperature"), [(0.0, 10.0), (1.0, 0.1)])
def test_the_temperature_of_hard_draws_falls(progress, temperature):
    gradients = []
    for draw in (
        lambda alpha: HardGumbel().weights(alpha, progress),
        lambda alpha: nn.functional.gumbel_softmax(alpha, tau=temperature, hard=True, dim=0),
    ):
        torch.manual_seed(0)
        alpha = torch.tensor([0.3, -0.2, 1.0], requires_grad=True)
        (draw(alpha) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
        gradients.append(alpha.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_the_weights_are_warmed_up_before_the_mixtures_move(warmup, layers, digits, short):
    found = search_by_gradient(
        layers, digits, method="darts", alpha_lr=0.5, warmup=warmup, recipe=short, run=CPU
    )
    furthest = max(abs(p - 1 / 3) for each in found.preferences.values() for p in each.values())
    assert (furthest > 0.1) == (warmup == 0.0)


def test_weights_and_mixtures_learn_from_two_halves(layers, digits):
    search = _Search(
        layers,
        digits,
        "darts",
        1,
        None,
        0.0,
        None,
        1,
        {},
        record(layers, digits),
        Recipe(),
        CPU,
        "fp32",
    )
    for batches, half in zip(
        (search._weights.batches, search._for_alphas), digits.train.halves(), strict=True
    ):
        assert np.array_equal(batches._data._split.inputs, half.inputs)
    first, second = (set(map(bytes, np.asarray(half.inputs))) for half in digits.train.halves())
    assert len(first) + len(second) == len(digits.train)
    assert not first & second
