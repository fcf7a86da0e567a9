"""Gaussian processes (Rasmussen & Williams 2006) with a kernel for architectures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.linalg.blas import dtrmm
from scipy.optimize import minimize

__all__ = ["Additive", "Floats", "GaussianProcess", "Points", "Posterior", "Product", "Term"]

Floats = NDArray[np.float64]

Points = Sequence[Floats]
"""The same points for each term of a kernel: arrays of shape ``(points, columns of the term)``."""

_NOISE = 0.02
"""Expected variance of the noise, as a share of that of the targets."""

_JITTER = 1e-8

_ITERATIONS = 40

_BLOCK = 512
"""Points that are predicted at once: what is known of them by all data should fit the cache."""


@dataclass(frozen=True)
class Term(ABC):
    """One summand of a kernel, with a weight for each group of columns.

    Attributes:
        groups: For each column the group that it belongs to, from 0.
        weight: What weights are expected to be about.
    """

    groups: NDArray[np.intp]
    weight: float

    def start(self) -> Floats:
        """Returns the parameters to begin with: the weights' logarithms, and what is added."""
        return np.full(int(self.groups.max()) + 1, math.log(self.weight))

    @abstractmethod
    def __call__(self, parameters: Floats, a: Floats, b: Floats) -> Floats:
        """Returns the kernel's values, ``(len(a), len(b))``."""

    @abstractmethod
    def diagonal(self, parameters: Floats, x: Floats) -> Floats:
        """Returns the kernel's value for each point and itself."""

    @abstractmethod
    def gradient(self, parameters: Floats, x: Floats, values: Floats, outer: Floats) -> Floats:
        """Returns what ``sum(outer * kernel)`` changes by with the parameters.

        Args:
            parameters: Where.
            x: The points, ``(n, columns)``.
            values: The kernel's values for them, ``(n, n)``.
            outer: Symmetric, ``(n, n)``.
        """

    def prior(self, parameters: Floats) -> tuple[float, Floats]:
        """Returns the negative logarithm of the prior, but for a constant, and its gradient.

        Weights are drawn towards their mean: with few data they are all but tied, and the more
        there are, the freer. The tails are those of Student's t with two degrees of freedom, for
        the few decisions that matter much more than others.
        """
        mean = float(parameters.mean())
        off, away = parameters - mean, mean - math.log(self.weight)
        value = 1.5 * float(np.log1p(off**2 / 2).sum()) + 0.5 * away**2
        pull = 1.5 * off / (1 + off**2 / 2)
        return value, pull - pull.mean() + away / len(parameters)


class Product(Term):
    """``amplitude * exp(-sum_g weight_g * |x_g - y_g|^2)``: alike are those alike in everything."""

    def start(self) -> Floats:
        return np.append(super().start(), 0.0)

    def __call__(self, parameters: Floats, a: Floats, b: Floats) -> Floats:
        scale = np.exp(0.5 * parameters[self.groups])
        values = _squared_distances(a * scale, b * scale)
        np.subtract(parameters[-1], values, out=values)
        np.exp(values, out=values)
        return values

    def diagonal(self, parameters: Floats, x: Floats) -> Floats:
        return np.full(len(x), math.exp(parameters[-1]))

    def gradient(self, parameters: Floats, x: Floats, values: Floats, outer: Floats) -> Floats:
        product = outer * values
        # sum_ij p_ij (x_i - x_j)^2 = 2 (sum_i x_i^2 p_i. - x' p x), for every column at once.
        columns = 2 * (product.sum(1) @ (x * x) - np.einsum("ij,ij->j", x, product @ x))
        weights = np.bincount(self.groups, columns, len(parameters) - 1)
        return np.append(-np.exp(parameters[:-1]) * weights, product.sum())

    def prior(self, parameters: Floats) -> tuple[float, Floats]:
        value, gradient = super().prior(parameters[:-1])
        amplitude = float(parameters[-1])
        return value + 0.5 * amplitude**2, np.append(gradient, amplitude)


class Additive(Term):
    """``sum_g weight_g * x_g . y_g``: a function of each group, added up (Duvenaud et al. 2011)."""

    def __call__(self, parameters: Floats, a: Floats, b: Floats) -> Floats:
        return (a * np.exp(parameters[self.groups])) @ b.T

    def diagonal(self, parameters: Floats, x: Floats) -> Floats:
        return (x * x) @ np.exp(parameters[self.groups])

    def gradient(self, parameters: Floats, x: Floats, values: Floats, outer: Floats) -> Floats:  # noqa: ARG002  # a linear kernel needs the points alone
        columns = np.einsum("ij,ij->j", x, outer @ x)
        return np.exp(parameters) * np.bincount(self.groups, columns, len(parameters))


class GaussianProcess:
    """A Gaussian process with a sum of terms as its kernel.

    Targets are expected to be of zero mean and unit variance.
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = tuple(terms)
        self._ends = np.cumsum([len(term.start()) for term in terms])

    def fit(self, points: Points, targets: Floats) -> Floats:
        """Returns the parameters that are the most probable a posteriori (eq. 5.8 with a prior)."""
        start = np.concatenate([term.start() for term in self._terms] + [[math.log(_NOISE)]])
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

    def posterior(self, parameters: Floats, points: Points, targets: Floats) -> Posterior:
        """Returns the process after these targets."""
        matrix = self.kernel(parameters, points, points)
        matrix[np.diag_indices_from(matrix)] += math.exp(parameters[-1]) + _JITTER
        return Posterior(self, parameters, points, targets, cholesky(matrix, lower=True))

    def _split(self, parameters: Floats) -> list[Floats]:
        return np.split(parameters[:-1], self._ends[:-1])

    def kernel(self, parameters: Floats, a: Points, b: Points) -> Floats:
        parts = zip(self._terms, self._split(parameters), a, b, strict=True)
        total: Floats = sum(term(own, x, y) for term, own, x, y in parts)  # type: ignore[assignment]
        return total

    def diagonal(self, parameters: Floats, x: Points) -> Floats:
        """Returns the variance of each point before any data."""
        parts = zip(self._terms, self._split(parameters), x, strict=True)
        total: Floats = sum(term.diagonal(own, own_x) for term, own, own_x in parts)  # type: ignore[assignment]
        return total

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

    @cached_property
    def _inverse(self) -> Floats:
        """Of the factor: to multiply by it takes a third of the time of solving."""
        inverse: Floats = solve_triangular(self.factor, np.eye(len(self.targets)), lower=True)
        return inverse

    @property
    def left_out(self) -> Floats:
        """How far each target is from what the others say of it (eq. 5.12), ``(n,)``."""
        inverse = cho_solve((self.factor, True), np.eye(len(self.targets)))
        off: Floats = self._weights / np.diag(inverse)
        return off

    def after(self, points: Points, targets: Floats) -> Posterior:
        """Returns the process after further data, with the same parameters."""
        joined = [np.vstack(pair) for pair in zip(self.points, points, strict=True)]
        return self.process.posterior(self.parameters, joined, np.append(self.targets, targets))

    def mean(self, points: Points) -> Floats:
        """Returns the expected value at each point (eq. 2.25)."""
        return self._across(points) @ self._weights

    def predict(self, points: Points) -> tuple[Floats, Floats]:
        """Returns mean and standard deviation, without the noise, at each point (eq. 2.25, 2.26)."""
        n = len(points[0])
        mean, left = np.empty(n), self.process.diagonal(self.parameters, points)
        for start in range(0, n, _BLOCK):
            block = slice(start, start + _BLOCK)
            across = self._across([part[block] for part in points])
            mean[block] = across @ self._weights
            solved = dtrmm(1.0, self._inverse, across.T, lower=True, overwrite_b=True)
            left[block] -= np.einsum("ij,ij->j", solved, solved)
        return mean, np.sqrt(np.maximum(left, 1e-12))

    def covariance(self, points: Points) -> Floats:
        """Returns the covariance between points, ``(n, n)`` (eq. 2.24)."""
        solved = solve_triangular(self.factor, self._across(points).T, lower=True)
        return self.process.kernel(self.parameters, points, points) - solved.T @ solved

    def _across(self, points: Points) -> Floats:
        return self.process.kernel(self.parameters, points, self.points)


def _squared_distances(a: Floats, b: Floats) -> Floats:
    squares: Floats = a @ b.T
    squares *= -2
    squares += np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)[None]
    np.maximum(squares, 0.0, out=squares)
    return squares
