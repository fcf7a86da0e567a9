"""Training a supernet by sampling paths: a few architectures a step, over one set of weights."""

from __future__ import annotations

from collections import Counter
from random import Random

import torch
from torch import Tensor, nn

from ogive import nn as readings
from ogive.errors import SettingError, did_you_mean
from ogive.estimators import Precision, Recipe, Run
from ogive.nn import NetworkFunction, Supernet
from ogive.oneshot._course import Course
from ogive.oneshot._paths import DISTILLED, PATHS
from ogive.oneshot._weights import SharedWeights, cuda_devices
from ogive.space import SearchSpace
from ogive.task import Task

__all__ = ["train_supernet"]


def train_supernet(
    network: NetworkFunction,
    task: Task,
    *,
    method: str = "fairnas",
    space: SearchSpace | None = None,
    recipe: Recipe | None = None,
    run: Run | None = None,
    precision: Precision = "fp32",
    progress: bool = False,
) -> Supernet:
    """Trains all networks of a space at once, over one set of weights.

    With ``run.folder`` its state is written after every epoch, and the same call goes on from
    there, to the same weights as if it had never stopped.

    Args:
        network: The network function.
        task: Its training split is learned from; nothing else is looked at.
        method: A name of :data:`PATHS`: which architectures a step runs.
        space: What may be chosen; all that the function asks by default.
        recipe: How to train; the task's default. ``ema`` and ``patience`` have no meaning here.
        run: Gives seed, device, threads, folder, and the share of the epochs.
        precision: ``bf16`` computes under autocast.
        progress: Whether a bar is shown.

    Raises:
        SettingError: If there is no method of that name.
        TrialFailed: If the loss is not a number.
    """
    if method not in PATHS:
        raise SettingError(
            f"A way to train a supernet is one of {', '.join(PATHS)}, but got {method!r}."
            + did_you_mean(method, PATHS)
        )
    space = readings.record(network, task) if space is None else space
    recipe = Recipe.default(task) if recipe is None else recipe
    run = Run() if run is None else run
    with readings.threads(run.threads), torch.random.fork_rng(cuda_devices()):
        training = _Training(network, task, method, space, recipe, run, precision)
        return training.fit(progress)


class _Training:
    def __init__(
        self,
        network: NetworkFunction,
        task: Task,
        method: str,
        space: SearchSpace,
        recipe: Recipe,
        run: Run,
        precision: Precision,
    ) -> None:
        self._task, self._run, self._space = task, run, space
        self._paths, self._distilled = PATHS[method], method in DISTILLED
        self._weights = weights = SharedWeights(
            network,
            task,
            space,
            recipe,
            run,
            split=task.train,
            epochs=recipe.epochs * run.fidelity,
            precision=precision,
        )
        identity = {"method": method, **weights.identity}
        total, epoch = weights.schedule.total, weights.batches.steps
        self._course = Course(run, identity, weights.state, total, epoch)

    def fit(self, progress: bool) -> Supernet:
        for step in self._course.steps("training a supernet" if progress else None):
            self._course.note(loss=self._step(step))
        return self._weights.supernet

    def _step(self, step: int) -> float:
        weights, rng = self._weights, Random(f"{self._run.seed} {step}")
        inputs, targets = weights.batches(step)
        paths = self._paths(self._space, rng, weights.schedule.progress(step))
        weights.clear()
        teacher: Tensor | None = None
        total = 0.0
        for architecture, count in Counter(paths).items():
            outputs = weights.outputs(weights.supernet.route(architecture), inputs)
            loss = self._loss(outputs, targets, teacher) * (count / len(paths))
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            if self._distilled and teacher is None:
                teacher = outputs.detach()
        weights.descend(step, total)
        return total

    def _loss(self, outputs: Tensor, targets: Tensor, teacher: Tensor | None) -> Tensor:
        if teacher is None:
            return self._weights.loss(outputs, targets)
        if self._task.problem == "regression":
            return nn.functional.mse_loss(outputs, teacher)
        # In-place distillation: only the teacher's answer counts (Yu & Huang 2019, section 3.3).
        return nn.functional.cross_entropy(outputs, teacher.softmax(dim=1))
