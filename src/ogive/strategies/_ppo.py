"""Proximal policy optimisation (PPO; Schulman et al. 2017, arXiv:1707.06347) over architectures.

The way in which Zoph et al. (2018, arXiv:1707.07012) search for cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import numpy as np

from ogive.space import Architecture, SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._distributions import Array
from ogive.strategies._policy_gradient import Adam, Rewards, make_policy, propose, require
from ogive.strategies._untried import Tried
from ogive.trial import Proposal, Trial

__all__ = ["PPO"]


class PPO(Strategy):
    """Draws architectures from a policy, and learns from each batch of trials several times.

    Algorithm 1 of the paper, where an episode is an architecture and its decisions are the steps,
    except that

    * no value function is learned: an episode has one reward, at its end, and its advantage is
      how many standard deviations of the batch that is above the batch's mean;
    * rewards are normal scores of ranks; what failed or was rejected is the worst;
    * a batch is what ended last, whichever policy drew it: the old probabilities of each trial
      are those at its start;
    * no network is tried twice: when the policy draws what was tried only, its last sample is
      mutated until it is new.

    Args:
        space: What to search.
        policy: ``independent``: each decision has a distribution of its own. ``lstm``: a
            controller that knows the decisions before; it needs more trials.
        learning_rate: The size of a step of Adam; by default .1, for the LSTM .005.
        batch: How many trials are learned from together.
        epochs: How many steps are taken on a batch (K).
        clip: How far a decision's probability may move from its old one and still matter, as a
            share of it (epsilon).
        entropy: The weight of the policy's entropy beside the advantages, in nats.
        seed: Of the weights that the LSTM begins with.
        start_from: Architectures to try first.

    Raises:
        SettingError: If a setting is out of its range.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        policy: Literal["independent", "lstm"] = "independent",
        learning_rate: float | None = None,
        batch: int = 5,
        epochs: int = 4,
        clip: float = 0.2,
        entropy: float = 0.02,
        seed: int = 0,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        require(batch >= 2, "2 <= batch", batch=batch)
        require(epochs >= 1, "1 <= epochs", epochs=epochs)
        require(0 < clip < 1, "0 < clip < 1", clip=clip)
        require(entropy >= 0, "0 <= entropy", entropy=entropy)
        self.space = space
        self.policy = policy
        self.learning_rate = learning_rate
        self.batch = batch
        self.epochs = epochs
        self.clip = clip
        self.entropy = entropy
        self.seed = seed
        self.start_from = tuple(map(space.validate, start_from))
        self._policy = make_policy(policy, space, seed)
        self._adam = Adam(self._policy, learning_rate)
        self._tried = Tried(space)
        self._rewards = Rewards()
        self._old: dict[int, Array] = {}
        self._episodes: list[_Episode] = []

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        return propose(self._policy, self._tried, n, self.start_from, rng)

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
        if trial.number not in self._old:
            self._old[trial.number] = self._policy.log_probs(trial.architecture)
        if not trial.ended:
            return
        old = self._old.pop(trial.number)
        self._episodes.append(_Episode(trial.architecture, old, self._rewards.take(trial)))
        if len(self._episodes) == self.batch:
            self._learn()
            self._episodes = []

    def _learn(self) -> None:
        rewards = np.array([episode.reward for episode in self._episodes])
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-8)
        for _ in range(self.epochs):
            gradients = map(self._gradient, self._episodes, advantages.tolist())
            self._adam.ascend(np.mean(list(gradients), axis=0))

    def _gradient(self, episode: _Episode, advantage: float) -> Array:
        """The gradient of the clipped objective and the entropy bonus (Equation 9)."""
        new = self._policy.log_probs(episode.architecture)
        weights = _by_log_prob(new, episode.old, advantage, self.clip) - self.entropy * new
        return self._policy.gradient(episode.architecture, weights)


@dataclass(frozen=True, slots=True)
class _Episode:
    """An architecture that ended, the log-probabilities of its decisions then, and its reward."""

    architecture: Architecture
    old: Array
    reward: float


def _by_log_prob(new: Array, old: Array, advantage: float, clip: float) -> Array:
    """The derivative of min(r A, clip(r) A) (Equation 7) by log-probabilities, r = exp(new - old).

    It is that of r A, which is r A itself, until the clipped one is the less; then it is zero.
    """
    ratios = np.exp(new - old)
    unclipped = ratios < 1 + clip if advantage > 0 else ratios > 1 - clip
    return np.where(unclipped, ratios * advantage, 0.0)
