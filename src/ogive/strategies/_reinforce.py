"""REINFORCE (Williams 1992) over architectures (Zoph & Le 2017, arXiv:1611.01578, Section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal

from ogive.space import SearchSpace
from ogive.strategies._base import Strategy
from ogive.strategies._policy_gradient import PolicyGradient, Rewards, make_policy, propose
from ogive.strategies._untried import Tried
from ogive.trial import Proposal, Trial

__all__ = ["Reinforce"]


class Reinforce(Strategy):
    """Draws architectures from a policy, and makes those likelier that beat what it draws.

    The algorithm of the paper, with one update a trial, except that

    * a reward is the normal score of a value's rank rather than a cubed accuracy, which works for
      any objective; what failed or was rejected is the worst;
    * no network is tried twice: when the policy draws what was tried only, its last sample is
      mutated until it is new;
    * trials may end late: they move the policy as it is then, not as it was when it drew them.

    Args:
        space: What to search.
        policy: ``independent``: each decision has a distribution of its own. ``lstm``: a
            controller that knows the decisions before; it needs more trials.
        learning_rate: The size of a step of Adam; by default .1, for the LSTM .005.
        decay: The share of the baseline, a moving average of rewards, that a trial leaves.
        entropy: The weight of the policy's entropy beside the rewards, in nats.
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
        decay: float = 0.9,
        entropy: float = 0.02,
        seed: int = 0,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.space = space
        self.policy = policy
        self.learning_rate = learning_rate
        self.decay = decay
        self.entropy = entropy
        self.seed = seed
        self.start_from = tuple(map(space.validate, start_from))
        self._policy = make_policy(policy, space, seed)
        self._gradient = PolicyGradient(
            self._policy,
            learning_rate=learning_rate,
            decay=decay,
            entropy=entropy,
            baseline=0.0,  # the mean of normal scores
        )
        self._tried = Tried(space)
        self._rewards = Rewards()

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        return propose(self._policy, self._tried, n, self.start_from, rng)

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
        if not trial.ended:
            return
        self._gradient.learn(trial.architecture, self._rewards.take(trial))
