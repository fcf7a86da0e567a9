"""What all share that learn a policy from the rewards of its samples."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from functools import partial
from random import Random
from statistics import NormalDist
from typing import Any

import numpy as np

from ogive.errors import SettingError, did_you_mean
from ogive.space import Architecture, SearchSpace
from ogive.strategies._distributions import Array
from ogive.strategies._pareto import comparable
from ogive.strategies._policy import Controller, Independent, Policy
from ogive.strategies._untried import Batch, Tried
from ogive.trial import Proposal, Trial

__all__ = ["Adam", "PolicyGradient", "Rewards", "make_policy", "propose", "require"]


def require(holds: bool, rule: str, **setting: Any) -> None:
    """Raises a SettingError that names the rule and the setting, unless the rule holds."""
    if not holds:
        [(name, value)] = setting.items()
        raise SettingError(f"{rule} must hold, but got {name}={value!r}.")


def make_policy(name: str, space: SearchSpace, seed: int) -> Policy:
    """Returns the policy of that name, ``independent`` or ``lstm``.

    Raises:
        SettingError: If there is none, or the seed is negative.
    """
    require(seed >= 0, "0 <= seed", seed=seed)
    match name:
        case "independent":
            return Independent(space)
        case "lstm":
            return Controller(space, seed=seed)
    known = did_you_mean(name, ["independent", "lstm"])
    raise SettingError(f"A policy must be a known one, but got policy={name!r}.{known}")


def propose(
    policy: Policy, tried: Tried, n: int, start_from: Iterable[Architecture], rng: Random
) -> list[Proposal]:
    """Returns up to ``n`` new architectures, drawn from the policy while it has any."""
    batch = Batch(tried, n, start_from)
    draw = partial(policy.sample, rng)
    while batch.wanting and (batch.follow(draw, rng) or batch.sample(rng)):
        pass
    return batch.proposals()


class Rewards:
    """Values to rewards: the normal score of a value's rank among those so far.

    Rewards so have mean 0 and variance 1 whatever the objective measures, and one network that
    hardly learned does not hide the differences between all others. A longer training ranks above
    every shorter one. A trial that failed or was rejected ranks as the worst so far, but is not
    ranked itself: a limit may reject most of a space.
    """

    def __init__(self) -> None:
        self._ranked: list[tuple[float, float]] = []  # fidelity and value, the worst first

    def take(self, trial: Trial) -> float:
        """Returns the reward of a trial that ended, and remembers its value."""
        if not comparable(trial):
            return NormalDist().inv_cdf(0.5 / (len(self._ranked) + 1))
        result = (trial.fidelity, trial.value)
        insort(self._ranked, result)
        rank = (bisect_left(self._ranked, result) + bisect_right(self._ranked, result)) / 2
        return NormalDist().inv_cdf(rank / len(self._ranked))


class Adam:
    """Gradient ascent in steps of about equal size (Kingma & Ba 2015, arXiv:1412.6980).

    Args:
        policy: Whose parameters are moved.
        learning_rate: The size of a step; by default what suits the policy.

    Raises:
        SettingError: Unless the learning rate is positive.
    """

    def __init__(self, policy: Policy, learning_rate: float | None = None) -> None:
        self._policy = policy
        self._rate = policy.learning_rate if learning_rate is None else learning_rate
        require(self._rate > 0, "0 < learning_rate", learning_rate=learning_rate)
        self._mean = np.zeros_like(policy.parameters)
        self._square = np.zeros_like(policy.parameters)
        self._steps = 0

    def ascend(self, gradient: Array) -> None:
        """Moves the policy up a gradient, shaped like its parameters (Algorithm 1)."""
        self._steps += 1
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.999 * self._square + 0.001 * gradient**2
        mean = self._mean / (1 - 0.9**self._steps)
        square = self._square / (1 - 0.999**self._steps)
        self._policy.parameters += self._rate * mean / (np.sqrt(square) + 1e-8)

    def state_dict(self) -> dict[str, Any]:
        """Returns what it remembers, as JSON."""
        return {
            "mean": self._mean.tolist(),
            "square": self._square.tolist(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Goes on from what :meth:`state_dict` gave."""
        self._mean, self._square = np.array(state["mean"]), np.array(state["square"])
        self._steps = state["steps"]


class PolicyGradient:
    """REINFORCE with a moving average as its baseline (Williams 1992).

    Args:
        policy: What learns.
        learning_rate: Of :class:`Adam`; by default what suits the policy.
        decay: The share of the baseline that a reward leaves.
        entropy: The weight of the policy's entropy beside the rewards, in nats.
        baseline: Where it begins; at the first reward where nothing is said.

    Raises:
        SettingError: If a setting is out of its range.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        learning_rate: float | None = None,
        decay: float = 0.9,
        entropy: float = 0.02,
        baseline: float | None = None,
    ) -> None:
        require(0 <= decay < 1, "0 <= decay < 1", decay=decay)
        require(entropy >= 0, "0 <= entropy", entropy=entropy)
        self.policy = policy
        self._adam = Adam(policy, learning_rate)
        self._decay, self._entropy, self._baseline = decay, entropy, baseline

    def learn(self, architecture: Architecture, reward: float) -> None:
        """Makes an architecture likelier if its reward is above the baseline, else less so."""
        baseline = reward if self._baseline is None else self._baseline
        # The sum over decisions of the gradient of log P, times R - b. The gradient of a decision's
        # entropy is that of its log P times -log P, estimated by the same sample.
        weights = reward - baseline - self._entropy * self.policy.log_probs(architecture)
        self._adam.ascend(self.policy.gradient(architecture, weights))
        self._baseline = self._decay * baseline + (1 - self._decay) * reward

    def state_dict(self) -> dict[str, Any]:
        """Returns the policy's parameters and what else is remembered, as JSON."""
        return {
            "parameters": self.policy.parameters.tolist(),
            "adam": self._adam.state_dict(),
            "baseline": self._baseline,
        }

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Goes on from what :meth:`state_dict` gave."""
        self.policy.parameters[:] = state["parameters"]
        self._adam.load_state_dict(state["adam"])
        self._baseline = state["baseline"]
