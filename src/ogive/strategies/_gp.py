"""Gaussian processes (Rasmussen & Williams 2006) with a kernel for architectures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

__all__ = ["Floats", "GaussianProcess", "Points", "Posterior", "Term"]

Floats = NDArray[np.float64]

Points = Sequence[Floats]
"""The same points for each term of a kernel: arrays of shape ``(points, columns of the term)``."""

_SHRINKAGE = 1.0
"""Standard deviation of the logarithm of a weight around the mean of its term."""

_NOISE = 0.02
"""Expected variance of the noise, as a share of that of the targets."""

_JITTER = 1e-8

_ITERATIONS = 40


@dataclass(frozen=True)
class Term:
    """One summand of a kernel: ``amplitude * exp(-sum_g weight_g * |x_g - y_g|^2)``.

    Attributes:
        groups: For each column the group that it belongs to, from 0; a group has one weight.
        weight: What weights are expected to be about.
    """

    groups: NDArray[np.intp]
    weight: float

    @cached_property
    def size(self) -> int:
        """How many parameters it has: the logarithms of the weights and of the amplitude."""
        return int(self.groups.max()) + 2

    def __call__(self, parameters: Floats, a: Floats, b: Floats) -> Floats:
        """Returns the kernel's values, ``(len(a), len(b))``."""
        scale = np.exp(0.5 * parameters[self.groups])
        return np.exp(parameters[-1] - _squared_distances(a * scale, b * scale))  # type: ignore[no-any-return]

    def gradient(self, parameters: Floats, x: Floats, values: Floats, outer: Floats) -> Floats:
        """Returns what ``sum(outer * kernel)`` changes by with the parameters.

        Args:
            parameters: Where.
            x: The points, ``(n, columns)``.
            values: The kernel's values for them, ``(n, n)``.
            outer: Symmetric, ``(n, n)``.
        """
        product = outer * values
        # sum_ij p_ij (x_i - x_j)^2 = 2 (sum_i x_i^2 p_i. - x' p x), for every column at once.
        columns = 2 * (product.sum(1) @ (x * x) - np.einsum("ij,ij->j", x, product @ x))
        weights = np.bincount(self.groups, columns, self.size - 1)
        return np.append(-np.exp(parameters[:-1]) * weights, product.sum())

    def prior(self, parameters: Floats) -> tuple[float, Floats]:
        """Returns the negative logarithm of the prior, but for a constant, and its gradient.

        Weights are drawn towards their mean: with few data they are all but tied, and the more
        there are, the freer.
        """
        weights, amplitude = parameters[:-1], float(parameters[-1])
        mean = float(weights.mean())
        off, away = (weights - mean) / _SHRINKAGE**2, mean - math.log(self.weight)
        value = 0.5 * float(off @ (weights - mean)) + 0.5 * away**2 + 0.5 * amplitude**2
        return value, np.append(off + away / len(weights), amplitude)


class GaussianProcess:
    """A Gaussian process with a sum of terms as its kernel.

    Targets are expected to be of zero mean and unit variance.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = tuple(terms)
        self._ends = np.cumsum([term.size for term in terms])

    def fit(self, points: Points, targets: Floats) -> Floats:
        """Returns the parameters that are the most probable a posteriori (eq. 5.8 with a prior)."""
        start = np.concatenate(
            [np.append(np.full(t.size - 1, math.log(t.weight)), 0.0) for t in self._terms]
            + [np.array([math.log(_NOISE)])]
        )
        found = minimize(
            self._loss,
            start,
            (points, targets),
            jac=True,
            method="L-BFGS-B",
            bounds=[(low - 7.0, low + 5.0) for low in start],
            options={"maxiter": _ITERATIONS},
        )
        best: Floats = found.x
        return best

    def posterior(
        self, parameters: Floats, points: Points, targets: Floats, noise: Floats | float = 0.0
    ) -> Posterior:
        """Returns the process after these targets; ``noise`` adds to the variance of each."""
        matrix = self._kernel(parameters, points, points)
        matrix[np.diag_indices_from(matrix)] += np.exp(parameters[-1]) + _JITTER + noise
        return Posterior(self, parameters, points, targets, np.linalg.cholesky(matrix))

    def likeness(self, parameters: Floats, a: Points, b: Points) -> Floats:
        """Returns the correlation of each two points, in [0, 1], ``(len(a), len(b))``."""
        return self._kernel(parameters, a, b) / self._variance(parameters)

    def _split(self, parameters: Floats) -> list[Floats]:
        return np.split(parameters[:-1], self._ends[:-1])

    def _kernel(self, parameters: Floats, a: Points, b: Points) -> Floats:
        parts = zip(self._terms, self._split(parameters), a, b, strict=True)
        total: Floats = sum(term(own, x, y) for term, own, x, y in parts)  # type: ignore[assignment]
        return total

    def _variance(self, parameters: Floats) -> float:
        return float(sum(np.exp(own[-1]) for own in self._split(parameters)))

    def _loss(self, parameters: Floats, points: Points, targets: Floats) -> tuple[float, Floats]:
        """The negative logarithm of the posterior of the parameters, and its gradient."""
        split, n = self._split(parameters), len(targets)
        kernels = [t(own, x, x) for t, own, x in zip(self._terms, split, points, strict=True)]
        noise = math.exp(parameters[-1])
        matrix = sum(kernels) + (noise + _JITTER) * np.eye(n)
        factor = cho_factor(matrix, lower=True)
        weights = cho_solve(factor, targets)
        value = 0.5 * float(targets @ weights) + float(np.log(np.diag(factor[0])).sum())
        outer = 0.5 * (cho_solve(factor, np.eye(n)) - np.outer(weights, weights))  # eq. 5.9
        gradient = []
        for term, own, x, kernel in zip(self._terms, split, points, kernels, strict=True):
            prior, slope = term.prior(own)
            value += prior
            gradient.append(slope + term.gradient(own, x, kernel, outer))
        away = (parameters[-1] - math.log(_NOISE)) / 1.5
        gradient.append(np.array([np.trace(outer) * noise + away / 1.5]))
        return value + 0.5 * away**2, np.concatenate(gradient)


@dataclass(frozen=True)
class Posterior:
    """What a process knows after its data."""

    process: GaussianProcess
    parameters: Floats
    points: Points
    targets: Floats
    factor: Floats

    @cached_property
    def _weights(self) -> Floats:
        weights: Floats = cho_solve((self.factor, True), self.targets)
        return weights

    def mean(self, points: Points) -> Floats:
        """Returns the expected value at each point (eq. 2.25)."""
        return self._across(points) @ self._weights

    def predict(self, points: Points) -> tuple[Floats, Floats]:
        """Returns mean and standard deviation, without the noise, at each point (eq. 2.25, 2.26)."""
        across = self._across(points)
        solved = solve_triangular(self.factor, across.T, lower=True)
        left = self.process._variance(self.parameters) - np.einsum("ij,ij->j", solved, solved)
        return across @ self._weights, np.sqrt(np.maximum(left, 1e-12))

    def covariance(self, points: Points) -> Floats:
        """Returns the covariance between points, ``(n, n)`` (eq. 2.24)."""
        solved = solve_triangular(self.factor, self._across(points).T, lower=True)
        return self.process._kernel(self.parameters, points, points) - solved.T @ solved

    def _across(self, points: Points) -> Floats:
        return self.process._kernel(self.parameters, points, self.points)


def _squared_distances(a: Floats, b: Floats) -> Floats:
    lengths = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)[None]
    return np.maximum(lengths - 2 * (a @ b.T), 0.0)
