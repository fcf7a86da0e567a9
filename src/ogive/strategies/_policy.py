"""Policies: distributions over the architectures of a space that a gradient can move.

Both policies of neural architecture search by reinforcement learning: every decision for itself
(Ying et al. 2019, arXiv:1902.09635), and an LSTM that walks from decision to decision
(Zoph & Le 2017, arXiv:1611.01578, Section 3.1; Bello et al. 2017, arXiv:1709.07417, write the
update rules of optimisers with one). They are written in numpy, gradients by hand:
products of this size take a tensor library longer to start than to compute, and are too small to
be split among threads, whose number would change their last digits.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np

from ogive.space import Architecture, Decision, SearchSpace, Value
from ogive.strategies._distributions import Array, Distribution, distribution

__all__ = ["Controller", "Independent", "Policy"]

_ONE = np.ones(1)


class Policy(ABC):
    """Decides one active decision after the other, at random.

    What ``valid`` rules out in a space has a probability too: who samples draws again.

    Attributes:
        space: Whose architectures are drawn.
        parameters: What the probabilities depend on: one flat array, to be changed in place.
        learning_rate: A step size of :class:`ogive.strategies._policy_gradient.Adam` that suits.
    """

    space: SearchSpace
    parameters: Array
    learning_rate: float

    @abstractmethod
    def sample(self, rng: Random) -> Architecture:
        """Draws an architecture."""

    @abstractmethod
    def log_probs(self, architecture: Architecture) -> Array:
        """Returns the log-probability of each decision, given those before it.

        Their sum is the log-probability of the architecture. Shape ``(active decisions,)``, in the
        space's order.
        """

    @abstractmethod
    def gradient(self, architecture: Architecture, weights: Array) -> Array:
        """Returns the gradient of ``weights @ log_probs(architecture)``, shaped like ``parameters``."""


@dataclass(frozen=True, slots=True)
class _Head:
    """A decision's distribution, and the places of its numbers and features among all."""

    distribution: Distribution
    theta: slice
    features: slice


class _Heads:
    """The heads of a space's decisions, side by side."""

    def __init__(self, space: SearchSpace) -> None:
        self._by_path: dict[str, _Head] = {}
        self.size = self.features = 0
        for decision in space.decisions:
            d = distribution(decision)
            theta = slice(self.size, self.size + d.size)
            features = slice(self.features, self.features + d.features)
            self._by_path[decision.path] = _Head(d, theta, features)
            self.size, self.features = theta.stop, features.stop

    def __getitem__(self, path: str) -> _Head:
        return self._by_path[path]

    def decided(self, architecture: Architecture) -> list[tuple[_Head, Value]]:
        """The heads of the active decisions, in order, and what was decided."""
        return [
            (head, architecture[path])
            for path, head in self._by_path.items()
            if path in architecture
        ]


class Independent(Policy):
    """Each decision has a distribution of its own, whatever else is decided."""

    learning_rate = 0.1

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._heads = _Heads(space)
        self.parameters = np.zeros(self._heads.size)

    def sample(self, rng: Random) -> Architecture:
        def decide(decision: Decision) -> Value:
            head = self._heads[decision.path]
            return head.distribution.draw(self.parameters[head.theta], rng)

        return self.space.walk(decide)

    def log_probs(self, architecture: Architecture) -> Array:
        return np.array(
            [
                head.distribution.log_prob(self.parameters[head.theta], value)
                for head, value in self._heads.decided(architecture)
            ]
        )

    def gradient(self, architecture: Architecture, weights: Array) -> Array:
        found = np.zeros_like(self.parameters)
        for weight, (head, value) in zip(weights, self._heads.decided(architecture), strict=True):
            score = head.distribution.score(self.parameters[head.theta], value)
            found[head.theta] = weight * score
        return found


class Controller(Policy):
    """An LSTM reads what was decided last and says how the next active decision is drawn.

    One layer of few units, for hundreds of trials; the paper's two layers of 35 are for
    thousands. Its readout begins at zero: the first architectures are drawn evenly.

    Args:
        space: Whose architectures are drawn.
        units: How many numbers the LSTM remembers.
        seed: Of the weights that it begins with.
    """

    learning_rate = 0.005

    def __init__(self, space: SearchSpace, *, units: int = 24, seed: int = 0) -> None:
        self.space = space
        self._heads = _Heads(space)
        self._shapes = (
            (4 * units, 2 * units + 1),
            (1 + self._heads.features, units),
            (self._heads.size, units + 1),
        )
        rng = np.random.default_rng(seed)
        bound = units**-0.5
        self.parameters = rng.uniform(-bound, bound, sum(map(math.prod, self._shapes)))
        self._weights(self.parameters).readout[:] = 0.0

    def _weights(self, flat: Array) -> _Weights:
        ends = np.cumsum([math.prod(shape) for shape in self._shapes]).tolist()
        parts = [flat[start:end] for start, end in pairwise([0, *ends])]
        return _Weights(*map(np.reshape, parts, self._shapes))

    def sample(self, rng: Random) -> Architecture:
        run = _Run(self._weights(self.parameters))

        def decide(decision: Decision) -> Value:
            head = self._heads[decision.path]
            value = head.distribution.draw(run.ask(head), rng)
            run.answer(head, value)
            return value

        return self.space.walk(decide)

    def log_probs(self, architecture: Architecture) -> Array:
        run = _Run(self._weights(self.parameters))
        found = []
        for head, value in self._heads.decided(architecture):
            found.append(head.distribution.log_prob(run.ask(head), value))
            run.answer(head, value)
        return np.array(found)

    def gradient(self, architecture: Architecture, weights: Array) -> Array:
        run = _Run(self._weights(self.parameters))
        scores = []
        for weight, (head, value) in zip(weights, self._heads.decided(architecture), strict=True):
            scores.append(weight * head.distribution.score(run.ask(head), value))
            run.answer(head, value)
        found = np.zeros_like(self.parameters)
        run.back(scores, self._weights(found))
        return found


@dataclass(frozen=True, slots=True)
class _Weights:
    """A controller's parameters, by what they do.

    Attributes:
        cell: From an input, the last output and 1, to three gates and a candidate: shape
            ``(4 * units, 2 * units + 1)``.
        embedding: From the features of a decided value to an input; the first row is the first
            input: ``(1 + features, units)``.
        readout: From an output and 1 to the ``theta`` of every decision: ``(size, units + 1)``.
    """

    cell: Array
    embedding: Array
    readout: Array


@dataclass(frozen=True, slots=True)
class _Step:
    """What the LSTM computed for one decision, kept for the way back."""

    head: _Head
    inputs: Array
    enter: Array
    keep: Array
    leave: Array
    candidate: Array
    before: Array
    squashed: Array

    def back(self, by_output: Array, by_memory: Array) -> tuple[Array, Array]:
        """The gradient by the gates and by the memory before, given those by what came out."""
        by_memory = by_memory + by_output * self.leave * (1 - self.squashed**2)
        by_gates = np.concatenate(
            [
                by_memory * self.candidate * self.enter * (1 - self.enter),
                by_memory * self.before * self.keep * (1 - self.keep),
                by_output * self.squashed * self.leave * (1 - self.leave),
                by_memory * self.enter * (1 - self.candidate**2),
            ]
        )
        return by_gates, by_memory * self.keep


class _Run:
    """A controller's way through one architecture, and its gradient on the way back.

    The LSTM is Hochreiter & Schmidhuber's (1997) with Gers' forget gates (2000).
    """

    def __init__(self, weights: _Weights) -> None:
        self._weights = weights
        self._steps: list[_Step] = []
        self._answers: list[Array] = []
        self._input = weights.embedding[0]
        self._output = self._memory = np.zeros_like(self._input)

    def ask(self, head: _Head) -> Array:
        """Returns the ``theta`` of the next decision."""
        inputs = np.concatenate([self._input, self._output, _ONE])
        z = (self._weights.cell @ inputs).reshape(4, -1)
        enter, keep, leave = 0.5 + 0.5 * np.tanh(0.5 * z[:3])
        candidate = np.tanh(z[3])
        before = self._memory
        self._memory = keep * before + enter * candidate
        squashed = np.tanh(self._memory)
        self._output = leave * squashed
        self._steps.append(_Step(head, inputs, enter, keep, leave, candidate, before, squashed))
        readout = self._weights.readout[head.theta]
        theta: Array = readout[:, :-1] @ self._output + readout[:, -1]
        return theta

    def answer(self, head: _Head, value: Value) -> None:
        """Takes in how the decision was decided."""
        self._answers.append(head.distribution.describe(value))
        self._input = self._answers[-1] @ self._weights.embedding[1:][head.features]

    def back(self, by_theta: Sequence[Array], gradient: _Weights) -> None:
        """Adds to ``gradient`` what the gradients by each decision's ``theta`` come to."""
        units = len(self._input)
        by_input, by_output, by_memory = np.zeros((3, units))
        steps = list(zip(by_theta, self._steps, self._answers, strict=True))
        for by_head, step, answer in reversed(steps):
            theta, features = step.head.theta, step.head.features
            gradient.embedding[1:][features] += answer[:, None] * by_input
            gradient.readout[theta, :-1] += by_head[:, None] * (step.leave * step.squashed)
            gradient.readout[theta, -1] += by_head
            by_output = by_output + by_head @ self._weights.readout[theta, :-1]
            by_gates, by_memory = step.back(by_output, by_memory)
            gradient.cell[:] += by_gates[:, None] * step.inputs
            by_inputs = by_gates @ self._weights.cell
            by_input, by_output = by_inputs[:units], by_inputs[units:-1]
        gradient.embedding[0] += by_input
