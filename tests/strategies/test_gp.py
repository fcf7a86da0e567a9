"""The process against its definition, written out slowly, and against finite differences."""

import math

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from ogive.strategies._gp import Additive, GaussianProcess, Product

RNG = np.random.default_rng(0)
GROUPS = np.array([0, 0, 1, 2])
TERMS = (Product(GROUPS, 1.0), Additive(GROUPS, 0.5))
POINTS = [RNG.random((12, 4)), RNG.random((12, 4))]
TARGETS = RNG.standard_normal(12)
PARAMETERS = RNG.standard_normal(8) * 0.5 - 1


def slowly(parameters, a, b):
    """The kernel of two points."""
    weights = np.exp(parameters)
    squares = ((a[0] - b[0]) ** 2 * weights[[0, 0, 1, 2]]).sum()
    return weights[3] * math.exp(-squares) + (a[1] * b[1] * weights[[4, 4, 5, 6]]).sum()


def matrix(parameters, a, b):
    rows = [[slowly(parameters, x, y) for y in zip(*b, strict=True)] for x in zip(*a, strict=True)]
    return np.array(rows)


def test_the_kernel_is_what_it_says():
    process = GaussianProcess(TERMS)
    other = [part[:5] + 0.1 for part in POINTS]
    expected = matrix(PARAMETERS, POINTS, other)
    assert np.allclose(process.kernel(PARAMETERS, POINTS, other), expected)
    diagonal = np.diag(matrix(PARAMETERS, POINTS, POINTS))
    assert np.allclose(process.diagonal(PARAMETERS, POINTS), diagonal)


def test_the_gradient_of_the_fit_is_that_of_its_loss():
    process = GaussianProcess(TERMS)
    _, gradient = process._loss(PARAMETERS, POINTS, TARGETS)
    numeric = approx_fprime(PARAMETERS, lambda p: process._loss(p, POINTS, TARGETS)[0], 1e-6)
    assert np.allclose(gradient, numeric, rtol=1e-3, atol=1e-3)


def test_the_posterior_is_that_of_the_book():
    process = GaussianProcess(TERMS)
    first, last = ([part[rows] for part in POINTS] for rows in (slice(8), slice(8, 12)))
    posterior = process.posterior(PARAMETERS, first, TARGETS[:8]).after(last, TARGETS[8:])
    new = [part[:4] + 0.05 for part in POINTS]
    known = matrix(PARAMETERS, POINTS, POINTS) + np.eye(12) * math.exp(PARAMETERS[-1])
    across = matrix(PARAMETERS, new, POINTS)
    covariance = matrix(PARAMETERS, new, new) - across @ np.linalg.solve(known, across.T)
    mean, deviation = posterior.predict(new)
    assert np.allclose(mean, across @ np.linalg.solve(known, TARGETS), atol=1e-5)
    assert np.allclose(posterior.mean(new), mean)
    assert np.allclose(deviation**2, np.diag(covariance), atol=1e-5)
    assert np.allclose(posterior.covariance(new), covariance, atol=1e-5)


def test_fitting_finds_what_matters():
    points = RNG.random((60, 3))
    values = np.sin(9 * points[:, 2])
    values = (values - values.mean()) / values.std()
    process = GaussianProcess([Product(np.arange(3), 1.0)])
    parameters = process.fit([points], values)
    assert parameters[2] > max(parameters[:2]) + 2
    assert math.exp(parameters[-1]) < 0.05  # There is no noise.
    new = RNG.random((200, 3))
    mean, _ = process.posterior(parameters, [points], values).predict([new])
    assert np.corrcoef(mean, np.sin(9 * new[:, 2]))[0, 1] > 0.99


def test_noise_is_estimated():
    points = RNG.random((80, 1))
    values = np.sin(3 * points[:, 0]) + RNG.normal(0, 0.5, 80)
    values = (values - values.mean()) / values.std()
    process = GaussianProcess([Product(np.zeros(1, dtype=int), 3.0)])
    share = math.exp(process.fit([points], values)[-1])
    assert share == pytest.approx(0.25 / (0.25 + np.sin(3 * points[:, 0]).var()), rel=0.5)
