"""ENAS (Pham et al. 2018, arXiv:1802.03268): a controller learns which shared weights to use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase

from ogive import nn as readings
from ogive.errors import SettingError
from ogive.estimators import Batches, Data, Precision, Recipe, Run, autocast
from ogive.nn import NetworkFunction, Supernet
from ogive.oneshot._course import Course, Stateful
from ogive.oneshot._inherited import Inherited
from ogive.oneshot._weights import SharedWeights, cuda_devices
from ogive.space import Architecture, SearchSpace
from ogive.strategies import Policy, PolicyGradient, make_policy
from ogive.task import METRICS, Metric, Task

__all__ = ["Derived", "search_by_controller"]

_REWARDS = {"auc": "balanced_accuracy", "rmse": "r2", "mae": "r2"}
"""What rewards where the metric has units, or needs classes that a mini-batch may lack."""

_DRAWS = 1000
"""Samples after which a policy is taken to have nothing that is valid."""

_IDLE = 100
"""Samples in a row after which it is taken to have nothing else that is new."""


@dataclass(frozen=True)
class Derived:
    """What a controller has learned to prefer.

    Attributes:
        space: What it searched.
        scores: The task's metric of the candidates, with the weights that they inherit, on the
            validation split; the best first.
        policy: The trained policy.
        supernet: The shared weights.
    """

    space: SearchSpace
    scores: Mapping[Architecture, float]
    policy: Policy
    supernet: Supernet

    @property
    def best(self) -> Architecture:
        """The candidate of the best score."""
        return next(self.ranked())

    def ranked(self) -> Iterator[Architecture]:
        """Yields the candidates, the best first.

        ``ogive.search(start_from=derived)`` tries the first few first.
        """
        return iter(self.scores)


def search_by_controller(
    network: NetworkFunction,
    task: Task,
    *,
    policy: Literal["lstm", "independent"] = "lstm",
    controller_steps: int | None = None,
    learning_rate: float | None = None,
    entropy: float = 0.01,
    samples: int = 100,
    candidates: int = 10,
    space: SearchSpace | None = None,
    recipe: Recipe | None = None,
    run: Run | None = None,
    precision: Precision = "fp32",
    progress: bool = False,
) -> Derived:
    """Trains shared weights, and a controller that learns which of them to use.

    In turn, an epoch each: the weights on one half of the training split, with architectures
    drawn from the controller; and the controller, whose reward is the task's metric of what it
    drew on a mini-batch of the other half (section 2.2). With ``run.folder`` the state is written
    after every epoch, and the same call goes on from there, to the same result.

    Args:
        network: The network function.
        task: Its training split is learned from; its validation split ranks the candidates.
        policy: ``lstm``: the controller of the paper. ``independent``: a distribution for each
            decision, which learns faster and knows nothing of what depends on what.
        controller_steps: Of the controller in an epoch; as many as of the weights by default.
        learning_rate: Of the controller's Adam; by default what suits the policy.
        entropy: The weight of the policy's entropy, in nats, beside the reward.
        samples: Architectures drawn from the trained policy.
        candidates: Of those the best on one mini-batch, which the validation split then ranks.
        space: What may be chosen; all that the function asks by default.
        recipe: How the weights are trained; the task's default. ``ema`` and ``patience`` have no
            meaning here.
        run: Gives seed, device, threads, folder, and the share of the epochs.
        precision: ``bf16`` computes under autocast.
        progress: Whether a bar is shown.

    Raises:
        SettingError: If a setting is out of its range.
        TrialFailed: If the loss is not a number.
    """
    for name, value in (
        ("controller_steps", controller_steps),
        ("samples", samples),
        ("candidates", candidates),
    ):
        if value is not None and value < 1:
            raise SettingError(f"1 <= {name} must hold, but got {name}={value}.")
    space = readings.record(network, task) if space is None else space
    recipe = Recipe.default(task) if recipe is None else recipe
    run = Run() if run is None else run
    gradient = PolicyGradient(
        make_policy(policy, space, run.seed), learning_rate=learning_rate, entropy=entropy
    )
    settings = {"policy": policy, "learning_rate": learning_rate, "entropy": entropy}
    with readings.threads(run.threads), torch.random.fork_rng(cuda_devices()):
        search = _Search(
            network, task, gradient, controller_steps, settings, recipe, run, precision
        )
        search.fit(progress)
        return search.derive(samples, candidates)


class _Search:
    def __init__(
        self,
        network: NetworkFunction,
        task: Task,
        gradient: PolicyGradient,
        controller_steps: int | None,
        settings: Mapping[str, object],
        recipe: Recipe,
        run: Run,
        precision: Precision,
    ) -> None:
        self._task, self._run, self._precision = task, run, precision
        self._gradient, self._policy = gradient, gradient.policy
        self._space = space = self._policy.space
        self._metric = METRICS[_REWARDS.get(task.metric, task.metric)]
        learned, rewarding = task.train.halves()
        epochs = max(1, round(recipe.epochs * run.fidelity))
        self._weights = weights = SharedWeights(
            network, task, space, recipe, run, split=learned, epochs=epochs, precision=precision
        )
        self._supernet = weights.supernet
        self._for_rewards = Batches(
            Data(rewarding, task, weights.device), task, _plain(recipe), seed=run.seed + 1
        )
        self._weight_steps = weights.batches.steps
        self._controller_steps = controller_steps or self._weight_steps
        self._epoch = self._weight_steps + self._controller_steps
        identity = {"method": "enas", **settings, **weights.identity,
                    "controller_steps": self._controller_steps}  # fmt: skip
        state: dict[str, Stateful] = {**weights.state, "controller": gradient}
        self._course = Course(run, identity, state, epochs * self._epoch, self._epoch)

    def fit(self, progress: bool) -> None:
        for step in self._course.steps("searching by a controller" if progress else None):
            epoch, place = divmod(step, self._epoch)
            if place < self._weight_steps:
                loss = self._step_weights(epoch * self._weight_steps + place)
                self._course.note(loss=loss)
            else:
                place -= self._weight_steps
                self._step_controller(epoch * self._controller_steps + place)

    # The two phases of section 2.2

    def _step_weights(self, step: int) -> float:
        weights = self._weights
        inputs, targets = weights.batches(step)
        route = self._supernet.route(self._drawn(Random(f"{self._run.seed} weights {step}")))
        # Eq. 1 with M = 1: one architecture's gradient stands for the expectation.
        loss = weights.loss(weights.outputs(route, inputs), targets)
        weights.clear()
        loss.backward()  # type: ignore[no-untyped-call]
        weights.descend(step, loss.item())
        return loss.item()

    def _step_controller(self, step: int) -> None:
        architecture = self._drawn(Random(f"{self._run.seed} controller {step}"))
        reward = self._reward(architecture, self._for_rewards(step))
        if not math.isfinite(reward):  # a mini-batch that tells nothing
            return
        surprise = -float(self._policy.log_probs(architecture).sum())
        self._course.note(reward=reward, entropy=surprise)  # whose mean is the policy's, in nats
        self._gradient.learn(architecture, reward)

    @torch.no_grad()
    def _reward(self, architecture: Architecture, batch: tuple[Tensor, Tensor]) -> float:
        """The metric on a mini-batch, greater is better; minus infinity where it is undefined."""
        inputs, targets = batch
        route = self._supernet.route(architecture)
        # Normalised by the batch, as the weights were trained: the statistics that were tracked
        # are of all architectures together.
        for module in route.network.modules():
            module.training = isinstance(module, _NormBase)
        with autocast(self._weights.device, self._precision):
            outputs = route(inputs)
        finished = self._task.finisher().to(self._weights.device)(outputs.float()).cpu().numpy()
        value = self._metric.function(finished, targets.cpu().numpy())
        return _worth(value, self._metric)

    def _drawn(self, rng: Random) -> Architecture:
        for _ in range(_DRAWS):
            architecture = self._policy.sample(rng)
            if self._space.reason_invalid(architecture) is None:
                return architecture
        return self._space.sample(rng)

    # Deriving architectures, the end of section 2.2

    def derive(self, samples: int, candidates: int) -> Derived:
        """Samples several, rewards each on one mini-batch, and ranks the best of them."""
        batch = self._for_rewards(0)
        rewards = {a: self._reward(a, batch) for a in self._distinct(samples)}
        chosen = sorted(rewards, key=rewards.__getitem__, reverse=True)[:candidates]
        # Deviation: the paper takes the best on the mini-batch; here the whole validation split
        # ranks the few best, each with statistics of its own.
        estimate, metric = Inherited(self._supernet, self._task), self._task.metric
        scores = {a: estimate(a, self._run)[metric] for a in chosen}
        ranked = sorted(chosen, key=lambda a: _worth(scores[a], METRICS[metric]), reverse=True)
        return Derived(self._space, {a: scores[a] for a in ranked}, self._policy, self._supernet)

    def _distinct(self, samples: int) -> list[Architecture]:
        rng = Random(f"{self._run.seed} derive")
        found: dict[Architecture, Architecture] = {}
        idle = 0
        while len(found) < samples and idle < _IDLE:
            drawn = self._drawn(rng)
            form = self._space.canonical(drawn)
            idle = idle + 1 if form in found else 0
            found.setdefault(form, drawn)
        return list(found.values())


def _worth(value: float, metric: Metric) -> float:
    if not math.isfinite(value):
        return -math.inf
    return value if metric.greater_is_better else -value


def _plain(recipe: Recipe) -> Recipe:
    """Returns the recipe without augmentation."""
    return recipe.replace(
        flip=False, shift=0.0, rotate=0.0, zoom=0.0, crop=0.0, cutout=0.0, mixup=0.0
    )
