"""An ensemble of small networks in numpy: its members are trained in the same matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Ensemble"]

Array = NDArray[Any]
"""Of single precision by default, which takes half the time."""

_BETAS = (0.9, 0.99)
_TINY = 1e-8


class Ensemble:
    """Perceptrons with rectifiers, which differ in the weights that their training begins with.

    Args:
        widths: Of the input and the hidden layers; the output is one number.
        members: How many networks.
        seed: Of the first weights.
        dtype: Of parameters and of what is computed with them.

    Attributes:
        parameters: Of all members and layers, in one row.
    """

    def __init__(
        self, widths: Sequence[int], *, members: int, seed: int = 0, dtype: Any = np.float32
    ) -> None:
        self._shapes = [
            (members, rows, outputs)
            for inputs, outputs in pairwise([*widths, 1])
            for rows in (inputs, 1)  # weights, biases
        ]
        self.parameters: Array = np.zeros(sum(map(math.prod, self._shapes)), dtype=dtype)
        draws = np.random.default_rng(seed)
        for weights in self._layers(self.parameters)[::2]:
            # The variance with which rectifiers keep that of their inputs (He et al. 2015, eq. 10).
            weights[:] = draws.standard_normal(weights.shape) * (2 / weights.shape[1]) ** 0.5

    def __call__(self, inputs: Array) -> Array:
        """Returns what each member makes of each point, ``(members, points)``.

        Args:
            inputs: Shape ``(points, columns)``.
        """
        *_, outputs = _forward(self._layers(self.parameters), self._own(inputs))
        return outputs[..., 0]

    def fit(self, inputs: Array, targets: Array, *, steps: int, rate: float) -> None:
        """Trains each member on all points at once (Adam: Kingma & Ba 2015, Algorithm 1).

        The loss is the mean absolute error. The rate falls to zero along half a cosine.

        Args:
            inputs: Shape ``(points, columns)``.
            targets: Shape ``(points,)``.
            steps: How many.
            rate: The first one.
        """
        x, y = self._own(inputs), self._own(targets)
        mean, square, slopes, change, scale = (np.zeros_like(self.parameters) for _ in range(5))
        layers, of_layers = self._layers(self.parameters), self._layers(slopes)
        for step in range(1, steps + 1):
            _differentiate(layers, x, y, of_layers)
            np.subtract(slopes, mean, out=change)
            change *= 1 - _BETAS[0]
            mean += change
            slopes *= slopes
            slopes -= square
            slopes *= 1 - _BETAS[1]
            square += slopes
            now = rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
            now /= 1 - _BETAS[0] ** step
            unbiased = math.sqrt(1 - _BETAS[1] ** step)
            np.sqrt(square, out=scale)
            scale += unbiased * _TINY
            np.multiply(now * unbiased, mean, out=change)
            change /= scale
            self.parameters -= change

    def gradient(self, inputs: Array, targets: Array) -> Array:
        """Returns the derivative of the members' losses by all parameters, in their order."""
        slopes = np.empty_like(self.parameters)
        layers = self._layers(self.parameters)
        _differentiate(layers, self._own(inputs), self._own(targets), self._layers(slopes))
        return slopes

    def _own(self, numbers: Array) -> Array:
        return numbers.astype(self.parameters.dtype, copy=False)

    def _layers(self, row: Array) -> list[Array]:
        """Returns views of a row of parameters: weights and biases of one layer after another."""
        ends = np.cumsum([0, *map(math.prod, self._shapes)]).tolist()
        parts = (row[start:end] for start, end in pairwise(ends))
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]


def _forward(layers: Sequence[Array], inputs: Array) -> list[Array]:
    """Returns the input of each layer, and the output of the last, ``(members, points, 1)``."""
    values = [inputs]
    for weights, biases in zip(layers[:-2:2], layers[1:-2:2], strict=True):
        hidden = values[-1] @ weights
        hidden += biases
        values.append(np.maximum(hidden, 0, out=hidden))
    return [*values, values[-1] @ layers[-2] + layers[-1]]


def _differentiate(layers: Sequence[Array], x: Array, y: Array, slopes: Sequence[Array]) -> None:
    """Writes the derivative of the mean absolute error of each member into ``slopes``."""
    *values, outputs = _forward(layers, x)
    back = np.sign(outputs - y[:, None]) / len(y)
    for i in reversed(range(len(values))):
        np.matmul(values[i].swapaxes(-1, -2), back, out=slopes[2 * i])
        np.add.reduce(back, 1, keepdims=True, out=slopes[2 * i + 1])
        if i:  # through the rectifiers below
            back = back @ layers[2 * i].swapaxes(-1, -2)
            back *= values[i] > 0
