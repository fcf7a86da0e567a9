import copy
from collections import OrderedDict
from random import Random

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from ogive import spaces, task
from ogive.errors import ArchitectureError, SpaceError
from ogive.nn import Head, Supernet, build, calibrate, check, conv, largest, record
from ogive.nn._largest import missed, options_of
from ogive.space import Condition, Decision, SearchSpace


@pytest.fixture(scope="module")
def digits():
    return task.load("digits")


def network(choose, data):
    width = choose.value("width", (4, 8))

    def block(choose, i):
        return choose.layer(
            "op",
            {
                "conv": lambda: nn.Sequential(
                    conv(width, width, choose.value("kernel", (1, 3))), nn.BatchNorm2d(width)
                ),
                "skip": nn.Identity,
            },
        )

    return nn.Sequential(
        OrderedDict(
            stem=conv(data.channels, width),
            stack=choose.repeat("blocks", (1, 2), block),
            activation=nn.ReLU(),
            head=Head(width, data.outputs),
        )
    )


@pytest.fixture
def supernet(digits):
    return Supernet(network, digits, record(network, digits))


@pytest.fixture
def images():
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_every_route_computes_what_its_extracted_network_does(supernet, images):
    architectures = list(supernet.space.enumerate())
    assert len(architectures) == 24
    for architecture in architectures:
        route = supernet.route(architecture)
        alone = supernet.extract(architecture)
        for module in (route.network, alone):
            module.eval()
        assert torch.equal(route(images), alone(images))
        assert not any(p is q for p in alone.parameters() for q in supernet.parameters())


@pytest.mark.parametrize("name", ["convnet", "mlp", "nasbench201"])
def test_routes_of_ready_made_spaces_compute_what_their_networks_do(name):
    data = task.load("breast_cancer" if name == "mlp" else "digits")
    function = getattr(spaces, name)
    space = record(function, data)
    if name == "convnet":  # as many places, in less memory
        space = space.narrow({"width": (4, 8)})
    if name == "nasbench201":  # every operation, and two edges to take any
        some = {"0-1": "nor_conv_3x3", "0-2": "nor_conv_1x1", "1-2": "skip_connect"}
        space = space.fix({**some, "0-3": "avg_pool_3x3"})
    supernet = Supernet(function, data, space)
    inputs = data.normalizer()(data.train.take(slice(0, 2))[0])
    rng = Random(0)
    with torch.no_grad():
        for _ in range(6 if name == "nasbench201" else 12):
            architecture = space.sample(rng)
            route, alone = supernet.route(architecture), supernet.extract(architecture)
            route.network.eval()
            assert torch.equal(route(inputs), alone.eval()(inputs))


def test_routes_that_are_kept_ready_hold_no_weights_of_their_own(supernet, images):
    for architecture in supernet.space.enumerate():
        supernet(architecture, images)
    shared = {t.untyped_storage().data_ptr() for t in supernet.state_dict().values()}
    for architecture in supernet.space.enumerate():
        for tensor in supernet.route(architecture).network.state_dict().values():
            assert tensor.untyped_storage().data_ptr() in shared


def test_an_extracted_network_is_as_the_function_builds_it(supernet, digits):
    architecture = supernet.space.sample(Random(1))
    alone = supernet.extract(architecture)
    built = build(network, digits, architecture)
    assert str(alone) == str(built)
    shapes = {name: value.shape for name, value in built.state_dict().items()}
    assert {name: value.shape for name, value in alone.state_dict().items()} == shapes


def test_a_narrower_network_has_the_leading_channels_and_the_middle_of_a_kernel(supernet):
    wide = {"width": 8, "blocks": 1, "blocks.0.op": "conv", "blocks.0.kernel": 3}
    narrow = {"width": 4, "blocks": 1, "blocks.0.op": "conv", "blocks.0.kernel": 1}
    whole = supernet.extract(wide).stack[0][0].weight
    part = supernet.extract(narrow).stack[0][0].weight
    assert torch.equal(part, whole[:4, :4, 1:2, 1:2])


def test_what_a_kernel_is_computed_from_is_cut_as_the_kernel(digits):
    def normed(choose, data):
        width, kernel = choose.value("width", (2, 4)), choose.value("kernel", (1, 3))
        return nn.Sequential(
            weight_norm(conv(data.channels, width, kernel)), Head(width, data.outputs)
        )

    supernet = Supernet(normed, digits, record(normed, digits))
    whole, part = (
        supernet.extract({"width": width, "kernel": kernel})[0].parametrizations.weight.original1
        for width, kernel in ((4, 3), (2, 1))
    )
    assert torch.equal(part, whole[:2, :, 1:2, 1:2])


def test_only_the_routed_weights_take_gradients(supernet, images):
    architecture = {"width": 4, "blocks": 1, "blocks.0.op": "skip"}
    route = supernet.route(architecture)
    route(images).sum().backward()
    touched = {name for name, p in supernet.named_parameters() if p.grad is not None}
    assert len(touched) == len(route.shared) == 3
    stem = next(p for name, p in supernet.named_parameters() if "stem" in name)
    assert stem.grad[:4].abs().sum() > 0
    assert stem.grad[4:].abs().sum() == 0


def test_tied_weights_are_one(digits, images):
    class Tied(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.first, self.body = nn.Linear(64, width), nn.Linear(width, width)
            self.again, self.head = nn.Linear(width, width), nn.Linear(width, 10)
            self.again.weight = self.body.weight

        def forward(self, x):
            return self.head(self.again(self.body(self.first(x.flatten(1)))))

    def tied(choose, data):
        return Tied(choose.value("width", (4, 6)))

    supernet = Supernet(tied, digits, record(tied, digits))
    assert sum("body" in name or "again" in name for name in supernet.state_dict()) == 3
    for width in (4, 6):
        alone, route = supernet.extract({"width": width}), supernet.route({"width": width})
        assert alone.again.weight is alone.body.weight
        assert torch.equal(route(images), alone(images))
        for network_of in (alone, route):
            network_of(images).square().mean().backward()
        shared = next(p for name, p in supernet.named_parameters() if "body:Linear/w" in name)
        torch.testing.assert_close(shared.grad[:width, :width], alone.body.weight.grad)
        supernet.zero_grad()


def test_what_a_network_freezes_stays_frozen(digits, images):
    def frozen(choose, data):
        first = nn.Linear(64, choose.value("width", (4, 6))).requires_grad_(False)
        return nn.Sequential(nn.Flatten(), first, nn.Linear(first.out_features, data.outputs))

    supernet = Supernet(frozen, digits, record(frozen, digits))
    trained = {name for name, p in supernet.named_parameters() if p.requires_grad}
    assert trained == {name for name in supernet.state_dict() if "/2:Linear/" in name}
    assert len(trained) == 2
    for width in (4, 6):
        supernet({"width": width}, images).sum().backward()
    assert all((p.grad is not None) == (n in trained) for n, p in supernet.named_parameters())


def test_a_step_of_an_optimizer_on_a_route_is_the_step_of_its_network(supernet, images):
    architecture = {"width": 8, "blocks": 2, "blocks.0.op": "conv", "blocks.1.op": "conv",
                    "blocks.0.kernel": 3, "blocks.1.kernel": 3}  # fmt: skip
    alone, route = supernet.extract(architecture), supernet.route(architecture)
    for module, parameters in ((alone, alone.parameters()), (route, supernet.parameters())):
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        module(images).square().mean().backward()
        optimizer.step()
    after = supernet.extract(architecture).state_dict()
    for name, value in alone.state_dict().items():  # statistics of normalisations, too
        torch.testing.assert_close(value, after[name])


def test_weights_are_saved_and_loaded(supernet, digits, tmp_path, images):
    other = Supernet(network, digits, supernet.space, seed=1)
    architecture = largest(supernet.space)
    assert not torch.equal(supernet(architecture, images), other(architecture, images))
    supernet.save(tmp_path / "weights.safetensors")
    other.load(tmp_path / "weights.safetensors")
    assert torch.equal(supernet(architecture, images), other(architecture, images))
    smaller = Supernet(network, digits, supernet.space.fix({"width": 4}))
    with pytest.raises(SpaceError, match="its own space"):
        smaller.load(tmp_path / "weights.safetensors")


def test_the_seed_decides_the_weights(supernet, digits):
    again = Supernet(network, digits, supernet.space)
    for name, value in supernet.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_a_network_draws_the_same_constants_each_time(digits, images, tmp_path):
    class Features(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.register_buffer("directions", torch.randn(64, 16))
            self.head = nn.Sequential(nn.Linear(16, width), nn.Linear(width, 10))

        def forward(self, x):
            return self.head(torch.cos(x.flatten(1) @ self.directions))

    def features(choose, data):
        return Features(choose.value("width", (4, 6)))

    supernet = Supernet(features, digits, record(features, digits))
    architecture = {"width": 4}
    before = torch.get_rng_state()
    alone = supernet.extract(architecture)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    for other in (supernet.extract(architecture), supernet.route(architecture)):
        assert torch.equal(other(images), alone(images))
    assert torch.equal(supernet.mix(architecture)(images), alone(images))
    supernet.save(tmp_path / "weights.safetensors")
    loaded = Supernet(features, digits, supernet.space, seed=1)
    assert not torch.equal(loaded(architecture, images), alone(images))
    loaded.load(tmp_path / "weights.safetensors")
    assert torch.equal(loaded(architecture, images), alone(images))


def test_constants_do_not_hang_on_the_layers_before_them(digits):
    class Noise(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("noise", torch.randn(8))

        def forward(self, x):
            return x + self.noise

    def noisy(choose, data):
        options = {"linear": lambda: nn.Linear(8, 8), "a": Noise, "b": Noise}
        some = choose.subset("some", options, 2)
        stack = choose.repeat("depth", (1, 2), lambda _, i: Noise())
        return nn.Sequential(choose.layer("op", options), stack, *some.values(), Noise())

    supernet = Supernet(noisy, digits, record(noisy, digits))
    mixture = supernet.mix().network
    assert len({tuple(m.noise.tolist()) for m in mixture.modules() if isinstance(m, Noise)}) == 7
    for architecture in supernet.space.enumerate():
        op, stack, *some, last = supernet.route(architecture).network
        branches = [mixture[2 + "linear a b".split().index(o)] for o in architecture["some"]]
        alike = [mixture[0].options[architecture["op"]], *mixture[1][: len(stack)], *branches]
        assert torch.equal(last.noise, mixture[-1].noise)
        for mine, its in zip([op, *stack, *some], alike, strict=True):
            assert isinstance(mine, nn.Linear) or torch.equal(mine.noise, its.noise)


def test_buffers_that_a_layer_changes_are_shared(digits, images, tmp_path):
    class Counted(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layer = nn.Linear(64, width)
            self.register_buffer("seen", torch.zeros(()))
            self.register_buffer("mean", torch.randn(64))
            self.register_buffer("scale", torch.tensor(1 / width))

        def forward(self, x):
            x = x.flatten(1)
            if self.training:
                self.seen = self.seen + len(x)
                self.mean.lerp_(x.mean(0), 0.1)  # in place
            return self.layer(x - self.mean) * self.seen * self.scale

    def counted(choose, data):
        counts = nn.Sequential(Counted(choose.value("width", (4, 6))), nn.Dropout(0.0))
        if choose.value("extra", (0, 1)):
            counts.append(nn.Tanh())
        return nn.Sequential(counts, nn.Linear(counts[0].layer.out_features, data.outputs))

    supernet = Supernet(counted, digits, record(counted, digits))
    architectures = [{"width": width, "extra": extra} for width in (4, 6) for extra in (0, 1)]
    for architecture in architectures[:3]:
        supernet(architecture, images)
    resumed = Supernet(counted, digits, supernet.space)
    early = resumed.route(architectures[0])  # made before the state is loaded, as a mixture is
    resumed.load_state_dict(supernet.state_dict())
    early(images)
    seen = [each.extract(architectures[0])[0][0].seen for each in (supernet, resumed)]
    assert seen[1] == seen[0] + len(images)
    supernet.save(tmp_path / "weights.safetensors")
    loaded = Supernet(counted, digits, supernet.space, seed=1)
    loaded.load(tmp_path / "weights.safetensors")
    for architecture in architectures:
        route = supernet.route(architecture)
        alone, again = (each.extract(architecture).eval() for each in (supernet, loaded))
        assert alone[0][0].scale == 1 / architecture["width"]
        route.network.eval()
        expected = route(images)
        assert torch.equal(expected, alone(images))
        assert torch.equal(expected, again(images))
    assert alone[0][0].seen == 3 * len(images)


def test_what_no_architecture_had_is_refused(supernet, digits):
    small = Supernet(network, digits, supernet.space.fix({"width": 4}))
    with pytest.raises(SpaceError, match=r"\(4, 1, 3, 3\).*\(8, 1, 3, 3\) is needed"):
        small.route({"width": 8, "blocks": 1, "blocks.0.op": "skip"})


def test_layers_that_wait_for_an_input_are_refused(digits):
    def lazy(choose, data):
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(choose.value("width", (4, 8))))

    space = record(lazy, digits)
    for reading in (Supernet, check):
        with pytest.raises(SpaceError, match="LazyLinear at '1' waits for its first input"):
            reading(lazy, digits, space)


def test_a_mixture_of_one_option_each_is_its_route(supernet, images):
    fixed = {"width": 8, "blocks": 2, "blocks.0.kernel": 3, "blocks.1.kernel": 3}
    mixture = supernet.mix(fixed)
    assert mixture.decisions == {"blocks.0.op": ("conv", "skip"), "blocks.1.op": ("conv", "skip")}
    mixture.weights |= {"blocks.0.op": torch.tensor([1.0, 0.0]),
                        "blocks.1.op": torch.tensor([0.0, 1.0])}  # fmt: skip
    route = supernet.route(
        {"width": 8, "blocks": 2, "blocks.0.op": "conv", "blocks.0.kernel": 3,
         "blocks.1.op": "skip"}
    )  # fmt: skip
    for network_of in (mixture, route):
        network_of.network.eval()
    assert torch.equal(mixture(images), route(images))


def test_a_mixture_is_the_weighted_sum_and_its_weights_take_gradients(supernet, images):
    mixture = supernet.mix({"width": 4, "blocks": 1, "blocks.0.kernel": 3})
    weights = torch.tensor([0.25, 0.75], requires_grad=True)
    mixture.weights["blocks.0.op"] = weights
    mixture.network.eval()
    stem, layer = mixture.network.stem, mixture.network.stack[0]
    mixture.bind()
    x = stem(images)
    expected = 0.25 * layer.options["conv"](x) + 0.75 * x
    torch.testing.assert_close(layer(x), expected)
    mixture(images).sum().backward()
    assert (weights.grad != 0).all()


def test_copies_of_a_layer_have_its_option(digits, images):
    def copied(choose, data):
        def linear(activation):
            return lambda: nn.Sequential(nn.Linear(8, 8), activation)

        layer = choose.layer("op", {"relu": linear(nn.ReLU()), "tanh": linear(nn.Tanh())})
        copies = (copy.deepcopy(layer) for _ in range(2))  # as nn.TransformerEncoder does
        return nn.Sequential(*copies, nn.Flatten(), nn.Linear(64, data.outputs))

    supernet = Supernet(copied, digits, record(copied, digits))
    relu, tanh = (supernet.route({"op": option}) for option in ("relu", "tanh"))
    assert len({*relu.shared, *tanh.shared}) == 2 * 2 * 2 + 2
    mixture = supernet.mix()
    mixture.weights["op"] = torch.tensor([0.0, 1.0])
    assert torch.equal(mixture(images), tanh(images))
    assert not any("ogive" in name for name in vars(relu.network[0]))


def test_a_layer_that_two_options_have_is_one_for_each(digits, images):
    def double(choose, data):
        first, both = nn.Linear(64, 64), nn.Linear(64, 64)
        tied = nn.Linear(64, 64)
        tied.weight = first.weight

        def of(activation):
            return lambda: nn.Sequential(both, activation, tied)

        layer = choose.layer("op", {"relu": of(nn.ReLU()), "tanh": of(nn.Tanh())})
        return nn.Sequential(nn.Flatten(), first, layer, nn.Linear(64, data.outputs))

    supernet = Supernet(double, digits, record(double, digits))
    mixture = supernet.mix()
    for i, option in enumerate(("relu", "tanh")):
        mixture.weights["op"] = torch.eye(2)[i]
        route = supernet.route({"op": option})
        assert torch.equal(mixture(images), route(images))
        assert {id(each) for each in route.shared} <= {id(each) for each in mixture.shared}


class Times(nn.Module):
    def forward(self, x, *, factor):
        return factor * x


def test_a_mixture_passes_named_inputs_on(digits, images):
    class Network(nn.Sequential):
        def forward(self, x):
            return self[1](self[0](x), factor=2)

    def named(choose, data):
        return Network(nn.PixelUnshuffle(2), choose.layer("op", {"a": Times, "b": Times}))

    for parts in (1, 2):  # the example that is tried for partial channels among it
        mixture = Supernet(named, digits, record(named, digits)).mix(parts=parts)
        mixture.weights["op"] = torch.tensor([0.25, 0.5])
        assert torch.equal(mixture(images), 1.5 * nn.functional.pixel_unshuffle(images, 2))


@pytest.mark.parametrize(
    ("other", "given"),
    [
        (lambda: nn.AvgPool2d(2), r"\(3, 1, 8, 8\).*\(3, 1, 4, 4\)"),
        (lambda: nn.LSTM(8, 8), "tuple"),
    ],
)
def test_what_does_not_add_up_is_no_mixture(other, given, digits, images):
    def unlike(choose, data):
        return choose.layer("op", {"stay": nn.Identity, "other": other})

    mixture = Supernet(unlike, digits, record(unlike, digits)).mix()
    mixture.weights["op"] = torch.tensor([0.5, 0.5])
    inputs = images if "(" in given else images[:, 0]
    with pytest.raises(SpaceError, match=rf"'op' give .*{given}.*fixed=\{{'op': 'stay'\}}"):
        mixture(inputs)


@pytest.mark.parametrize(
    ("fixed", "message"),
    [({"widht": 4}, "Did you mean 'width'"), ({"width": 6}, r"'width' must be one of \(4, 8\)")],
)
def test_what_is_fixed_in_a_mixture_is_of_the_space(fixed, message, supernet):
    with pytest.raises(ArchitectureError, match=message):
        supernet.mix(fixed)


def test_a_mixture_has_what_a_narrower_space_has(digits, images):
    space = record(network, digits).narrow({"width": (4,), "blocks": (1,)})
    narrow = Supernet(network, digits, space.narrow({"blocks.0.op": ("skip",)}))
    mixture = narrow.mix()
    assert mixture.decisions == {}
    assert len(mixture.network.stack) == 1
    mixture.network.eval()
    route = narrow.route({"width": 4, "blocks": 1, "blocks.0.op": "skip"})
    route.network.eval()
    assert torch.equal(mixture(images), route(images))


def test_a_mixture_has_reals_at_their_largest(digits):
    def dropping(choose, data):
        layer = choose.layer("op", {"a": nn.Identity, "b": nn.ReLU})
        drop = nn.Dropout(choose.real("rate", 0.1, 0.5))
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), layer, drop, nn.Linear(4, 10))

    mixture = Supernet(dropping, digits, record(dropping, digits)).mix()
    assert mixture.network[3].p == 0.5


def test_what_few_architectures_have_is_held_too(digits):
    """An option of an option: a draw in sixty has it."""

    def nested(choose, data):
        def inner(outer):
            return choose.layer(
                f"inner{outer}",
                {f"{i}": lambda i=i: nn.Sequential(nn.Linear(8, 8 + i), nn.Linear(8 + i, 8))
                 for i in range(10)},
            )  # fmt: skip

        outer = choose.layer("outer", {f"{i}": lambda i=i: inner(i) for i in range(6)})
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), outer, nn.Linear(8, 10))

    space = record(nested, digits)
    for seed in range(4):
        supernet = Supernet(nested, digits, space, seed=seed)
        for architecture in space.enumerate():
            supernet.route(architecture)


def test_what_a_rule_forbids_gives_its_size(digits):
    """The largest of all is forbidden, and each of its layers is not."""

    def two(choose, data):
        a, b = (choose.integer(name, 1, 64) for name in "ab")
        return nn.Sequential(nn.Flatten(), nn.Linear(64, a), nn.Linear(a, b), nn.Linear(b, 10))

    space = record(two, digits)
    capped = SearchSpace(
        space.decisions, valid=lambda x: None if x["a"] + x["b"] <= 70 else "it is too large"
    )
    supernet = Supernet(two, digits, capped)
    for widths in ((64, 6), (6, 64), (64, 1)):
        supernet.route(dict(zip("ab", widths, strict=True)))


def test_the_options_that_draws_missed_are_asked_for_under_all_they_hang_on():
    under = ((Condition("body", frozenset(["plain", "residual"])),),)
    space = SearchSpace(
        [
            Decision("body", "categorical", options=("none", "plain", "residual")),
            Decision("width", "ordinal", options=(1, 2, 3)),
            Decision("norm", "categorical", options=("batch", "layer"), conditions=under),
            Decision("parts", "subset", options=("a", "b", "c"), sizes=(1, 2)),
            Decision(
                "kind",
                "categorical",
                options=("x", "y"),
                conditions=(
                    (Condition("parts", frozenset(["c"])), Condition("width", frozenset([1, 2]))),
                ),
            ),
        ]
    )
    found = list(missed(space, Random(0), set()))
    assert {(a["body"], a["norm"]) for a in found if "norm" in a} == {
        (body, norm) for body in ("plain", "residual") for norm in ("batch", "layer")
    }
    assert {part for a in found for part in a["parts"]} == {"a", "b", "c"}
    assert {a["kind"] for a in found if "kind" in a} == {"x", "y"}
    assert all(a["width"] == 3 or "kind" in a for a in found)
    assert all(space.validate(a) == a for a in found)
    seen = {option for a in found for option in options_of(space, a)}
    assert not list(missed(space, Random(0), seen))


def test_calibrated_statistics_are_those_of_the_data():
    norm = nn.BatchNorm1d(3)
    data = torch.randn(6, 50, 3, generator=torch.Generator().manual_seed(0)) * 2 + 1
    module = nn.Sequential(norm, nn.Dropout(0.5))
    assert not calibrate(module, data).training
    torch.testing.assert_close(norm.running_mean, data.mean(dim=(0, 1)))
    torch.testing.assert_close(norm.running_var, data.var(dim=1).mean(dim=0))
    assert norm.momentum == 0.1


def test_calibrated_statistics_of_instances_are_those_of_the_data():
    norm = nn.InstanceNorm1d(3, track_running_stats=True)
    data = torch.randn(4, 10, 3, 20, generator=torch.Generator().manual_seed(0)) * 2 + 1
    calibrate(norm, data)
    torch.testing.assert_close(norm.running_mean, data.mean(dim=(0, 1, 3)))
    torch.testing.assert_close(norm.running_var, data.var(dim=3).mean(dim=(0, 1)))
    assert norm.momentum == 0.1


def test_calibrated_spectral_norms_are_those_of_the_weights():
    layer = spectral_norm(nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(torch.tensor([1.0, 9, 2, 3]).diag())
    calibrate(layer, torch.zeros(9, 1, 4))
    torch.testing.assert_close(torch.linalg.matrix_norm(layer.weight, 2), torch.tensor(1.0))


def test_a_copy_has_its_own_weights(supernet, images):
    architecture = largest(supernet.space)
    supernet(architecture, images)
    other = copy.deepcopy(supernet)
    assert torch.equal(other(architecture, images), supernet(architecture, images))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert supernet(architecture, images).abs().sum() > other(architecture, images).abs().sum()


def test_a_supernet_that_is_moved_takes_its_routes_and_their_constants_along():
    data = task.load("breast_cancer")
    space = record(spaces.mlp, data).narrow({"width": (8, 16)})
    supernet = Supernet(spaces.mlp, data, space)
    architecture = space.complete({"numbers.embedding": "piecewise", "norm": "batch"})
    supernet.route(architecture)  # as it was before
    supernet.to("meta")  # as another device
    inputs = data.example(2, device="meta")
    assert supernet(architecture, inputs).device.type == "meta"
    assert {t.device.type for t in supernet.route(architecture).network.buffers()} == {"meta"}
    assert {t.device.type for t in supernet.extract(architecture).state_dict().values()} == {
        "meta"
    }


def test_options_may_be_called_what_modules_may_not(digits, images):
    def odd(choose, task):
        def block(choose, i):
            return choose.layer(
                "op",
                {
                    "x1.5": lambda: nn.Conv2d(task.channels, task.channels, 3, padding=1),
                    "type": nn.Identity,
                },
            )

        stack = choose.repeat("blocks", (1, 2), block)
        return nn.Sequential(stack, nn.Flatten(), nn.Linear(64, task.outputs))

    one = Supernet(odd, digits, record(odd, digits))
    mixture = one.mix({"blocks": 2})
    mixture.weights |= {"blocks.0.op": torch.tensor([1.0, 0.0]),
                        "blocks.1.op": torch.tensor([0.0, 1.0])}  # fmt: skip
    route = one.route({"blocks": 2, "blocks.0.op": "x1.5", "blocks.1.op": "type"})
    assert torch.equal(mixture(images), route(images))
    assert mixture.skips == {path: frozenset(["type"]) for path in mixture.decisions}

    def several(choose, task):
        return choose.subset("ops", {"x1.5": nn.Identity, "b": nn.Identity}, 1)

    with pytest.raises(SpaceError, match="x1\\.5"):
        record(several, digits)
