"""The hand-written training, against finite differences and against torch."""

import numpy as np
import pytest
import torch
from torch import nn

from ogive.strategies._ensemble import Ensemble

DRAWS = np.random.default_rng(0)
X = DRAWS.uniform(-1, 1, (40, 3))
Y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2]


def test_the_gradient_is_that_of_finite_differences():
    ensemble = Ensemble([3, 5, 4], members=3, dtype=np.float64)
    ensemble.parameters += DRAWS.normal(0, 0.1, ensemble.parameters.shape)  # biases, too

    def loss():
        return np.abs(ensemble(X) - Y).mean(1).sum()

    slopes = ensemble.gradient(X, Y)
    for place in range(len(slopes)):
        kept = ensemble.parameters[place]
        ensemble.parameters[place] = kept + 1e-6
        above = loss()
        ensemble.parameters[place] = kept - 1e-6
        below = loss()
        ensemble.parameters[place] = kept
        assert slopes[place] == pytest.approx((above - below) / 2e-6, abs=1e-6)


def test_it_trains_as_torch_does():
    members, steps = 2, 60
    ensemble = Ensemble([3, 6, 5], members=members, dtype=np.float64)
    networks = [
        nn.Sequential(
            nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1)
        ).double()
        for _ in range(members)
    ]
    layers = ensemble._layers(ensemble.parameters)
    x, y = torch.tensor(X), torch.tensor(Y)
    expected = []
    for member, network in enumerate(networks):
        with torch.no_grad():
            for parameter, own in zip(network.parameters(), layers, strict=True):
                parameter.copy_(torch.tensor(own[member].T.reshape(parameter.shape)))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.l1_loss(network(x)[:, 0], y).backward()
            optimizer.step()
            schedule.step()
        expected.append(network(x)[:, 0].detach().numpy())
    ensemble.fit(X, Y, steps=steps, rate=0.01)
    np.testing.assert_allclose(ensemble(X), expected, atol=1e-9)


def test_it_learns_a_function_and_knows_where_it_does_not():
    ensemble = Ensemble([3, 20, 20, 20], members=5)
    seen = DRAWS.uniform(-1, 1, (300, 3))
    ensemble.fit(seen, np.sin(2 * seen[:, 0]) + seen[:, 1] * seen[:, 2], steps=300, rate=0.01)
    near = ensemble(X)
    assert near.shape == (5, 40)
    assert np.abs(near.mean(0) - Y).mean() < 0.1  # their standard deviation is .7
    assert near.std(0).mean() < 0.5 * ensemble(4 * X).std(0).mean()


def test_the_same_points_give_the_same_members_and_other_seeds_others():
    first, second, other = (Ensemble([3, 8], members=2, seed=seed) for seed in (0, 0, 1))
    for ensemble in (first, second, other):
        ensemble.fit(X, Y, steps=10, rate=0.01)
    assert np.array_equal(first.parameters, second.parameters)
    assert not np.allclose(first(X), other(X))
    assert not np.allclose(first(X)[0], first(X)[1])
