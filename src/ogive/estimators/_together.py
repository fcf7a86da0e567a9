"""Training many small networks at once, each to the result that it would have alone.

A step of a network of a few thousand weights is mostly the overhead of its operators; networks
that are computed together (:class:`ogive.nn.Stack`) share it. Each keeps its own seed, and with it
its initialisation, the order of its batches and its dropout; its own patience, curve, checkpoint
and errors. What differs from training alone is the rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ogive import nn as readings
from ogive.estimators._batches import Data, learned
from ogive.estimators._recipe import Recipe
from ogive.estimators._run import Run
from ogive.estimators._train import (
    Course,
    Training,
    _optimizer,
    _Trainer,
    device_of,
)
from ogive.nn import Stack, why_not_stacked
from ogive.space import Architecture

__all__ = ["Outcome", "bunches", "size_class", "train_together"]

Outcome = dict[str, float] | Exception
"""The metrics of a trial, or why there are none."""

_CLASSES = (32, 64, 128)
"""Networks whose widest layer is in the same of these ranges are stacked; wider ones gain
nothing: their products take longer than the operators' overhead, and more so when padded."""

_FEWEST = 4
"""Fewer than so many networks are quicker one after the other."""

_EVALUATION_BATCH = 512


def size_class(network: nn.Module, recipe: Recipe) -> int | None:
    """Returns with which networks one is trained quickest, or ``None`` for alone.

    Networks with batch normalisation go alone under AdamW: what a batch normalisation hides, such
    as a bias before it, has a gradient of nothing but rounding, which AdamW scales to full steps.
    Two such trainings that differ by one rounding end apart, and stacked is one of those.
    """
    if why_not_stacked(network) is not None:
        return None
    if recipe.optimizer == "adamw" and any(
        isinstance(m, nn.BatchNorm1d) for m in network.modules()
    ):
        return None
    layers = (m for m in network.modules() if isinstance(m, nn.Linear))
    widest = max((m.out_features for m in layers), default=0)
    return next((limit for limit in _CLASSES if widest <= limit), None)


def train_together(
    training: Training, architectures: Sequence[Architecture], runs: Sequence[Run]
) -> list[Outcome]:
    """Trains architectures as ``training`` would each of them, at once where that is quicker.

    On a GPU, in 16 bits and for other data than tables they are trained one after the other.

    Returns:
        For each its metrics, or the exception that its training raised: one that fails costs the
        others nothing.
    """
    outcomes: dict[int, Outcome] = {}
    for numbers in bunches(training, architectures, runs):
        asked = [(architectures[n], runs[n]) for n in numbers]
        found = _stacked(training, asked) if len(asked) > 1 else None
        found = found or [_alone(training, a, _sharing(run, len(asked))) for a, run in asked]
        outcomes |= zip(numbers, found, strict=True)
    return [outcomes[number] for number in range(len(outcomes))]


def bunches(
    training: Training, architectures: Sequence[Architecture], runs: Sequence[Run]
) -> list[list[int]]:
    """Returns which are trained at once, as indices; the largest bunch first.

    What is quicker alone, or cannot be stacked, is a bunch of its own.
    """
    groups: dict[object, list[int]] = {}
    for number, (architecture, run) in enumerate(zip(architectures, runs, strict=True)):
        groups.setdefault(_kind(training, architecture, run), []).append(number)
    found = []
    for kind, numbers in groups.items():
        stacked = kind is not None and len(numbers) >= _FEWEST
        found += [numbers] if stacked else [[number] for number in numbers]
    return sorted(found, key=len, reverse=True)


def _kind(training: Training, architecture: Architecture, run: Run) -> object:
    """What networks that are trained together have in common; ``None`` for one to train alone."""
    if training.task.kind != "tabular" or training.precision != "fp32":
        return None
    if run.inherits is not None or not training.part(run.fidelity).goes_on:
        return None
    if device_of(run.device).type != "cpu":
        return None
    try:
        network = training.built(architecture, run.seed)
        recipe = training.recipe_of(architecture).scaled(network)
        size = size_class(network, recipe)
    except Exception:  # noqa: BLE001  # whatever it is, it comes again, and is this trial's
        return None
    new = run.parent is None  # What goes on stands at another step.
    return None if size is None else (size, recipe, run.fidelity, run.threads, new)


def _sharing(run: Run, others: int) -> Run:
    """One of several that have a clock in common, and now go one after the other."""
    return run if run.deadline is None else replace(run, deadline=run.deadline / others)


def _alone(training: Training, architecture: Architecture, run: Run) -> Outcome:
    try:
        return training(architecture, run)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is this trial's
        return error


def _stacked(
    training: Training, asked: Sequence[tuple[Architecture, Run]]
) -> list[Outcome] | None:
    """Trains all at once; ``None`` where they turn out not to go together."""
    device = torch.device("cpu")
    data = Data(learned(training.task, training.fit_on), training.task, device)
    validation = Data(training.task.validation, training.task, device)
    with readings.threads(asked[0][1].threads), torch.random.fork_rng([]):
        trainers = [
            _Trainer(
                training.built(architecture, run.seed),
                training.task,
                training.recipe_of(architecture),
                run,
                training.fit_on,
                training.precision,
                data,
            )
            for architecture, run in asked
        ]
        try:
            return _Group(trainers, data, validation).fit()
        except Exception:  # noqa: BLE001  # it comes again, where it belongs
            for _, run in asked:
                if run.folder is not None:
                    (run.folder / "curve.jsonl").unlink(missing_ok=True)
            return None


@dataclass(eq=False)
class _Member:
    """One training of a group, where it stands and what came of it."""

    trainer: _Trainer
    course: Course
    factor: float = 1.0
    outcome: Outcome | None = None

    def advance(self) -> None:
        """Goes on to the next step, or to the end."""
        try:
            self.factor = next(self.course)
        except StopIteration as end:
            self.outcome = end.value
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this trial's
            self.outcome = error


class _Group:
    """Trainings in step with each other."""

    def __init__(self, trainers: Sequence[_Trainer], data: Data, validation: Data) -> None:
        self._members = [_Member(trainer, trainer.course()) for trainer in trainers]
        self._data, self._validation = data, validation

    def fit(self) -> list[Outcome]:
        for member in self._members:
            member.advance()
        # Those that go on from a checkpoint may stand elsewhere; each goes with its like.
        steps: dict[int, list[_Member]] = {}
        for member in self._members:
            if member.outcome is None:
                steps.setdefault(member.trainer.made, []).append(member)
        going = sum(map(len, steps.values()))
        for members in steps.values():
            if len(steps) > 1:
                for member in members:
                    member.trainer.begin_again(share=len(members) / going)
            self._train(members)
            for member in members:
                if isinstance(member.outcome, dict):  # What each is said to have taken adds up.
                    member.outcome["train_seconds"] /= len(members)
        return [m.outcome for m in self._members if m.outcome is not None]

    def _train(self, members: list[_Member]) -> None:
        members = sorted(members, key=lambda m: _layers(m.trainer.network))
        # A clock that runs for all leaves no time for the last ones to go one after the other.
        timed = any(member.trainer.run.deadline is not None for member in members)
        while len(members) >= (1 if timed else _FEWEST):
            table = _Table([m.trainer for m in members], self._data, self._validation)
            # As networks end, what is left is brought together once it is half.
            fewer = len(members) // 2
            while len(members) > fewer:
                table.step(members)
                for member in members:
                    if member.outcome is None:
                        member.advance()
                members = [m for m in members if m.outcome is None]
            for member in members:
                assert member.trainer.seat is not None
                member.trainer.seat.leave()
        for member in members:
            self._finish(member)

    def _finish(self, member: _Member) -> None:
        try:
            member.trainer.step(member.factor)
            member.outcome = member.trainer.finish(member.course)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this trial's
            member.outcome = error


def _layers(network: nn.Module) -> list[str]:
    """Sorts those beside each other that are alike, from the end, which all have, backwards."""
    leaves = (
        m for m in network.modules() if not isinstance(m, nn.Dropout) and not [*m.children()]
    )
    return [type(module).__name__ for module in leaves][::-1]


class _Table:
    """Networks side by side, with one optimizer and one average over all of them."""

    def __init__(self, trainers: Sequence[_Trainer], data: Data, validation: Data) -> None:
        self.trainers = list(trainers)
        self._data, self._validation = data, validation
        networks = [trainer.network for trainer in trainers]
        self._stack = Stack(networks, trainers[0].task.shape[0])
        self._recipe = trainers[0].recipe
        self._generators = [torch.Generator() for _ in trainers]
        self._drawing = [
            any(isinstance(m, nn.Dropout) for m in network.modules()) for network in networks
        ]
        self._loss = torch.func.vmap(trainers[0].task.loss)
        self._average: Tensor | None = None
        self._evaluated: tuple[int, Tensor] | None = None
        self._at = trainers[0].made
        self._optimizer = self._one_optimizer()
        self._gather_average()
        for seat, trainer in enumerate(trainers):
            trainer.seat = _Seat(self, seat)

    def _one_optimizer(self) -> torch.optim.Optimizer:
        """One optimizer over all; goes on from the moments of each one's own."""
        stack = self._stack
        cut, end = stack.free, len(stack.gradients)
        parameters = []
        for part in (slice(0, cut), slice(cut, end)):
            parameter = nn.Parameter(stack.values[part])
            parameter.grad = stack.gradients[part]
            parameters.append(parameter)
        free, decayed = parameters
        optimizer = _optimizer([free], [decayed], self._recipe, torch.device("cpu"))
        for name in self._moments(self.trainers[0]):
            whole = torch.zeros(end)
            for seat, trainer in enumerate(self.trainers):
                stack.write(seat, self._moments(trainer)[name], whole)
            optimizer.state[free][name] = whole[:cut]
            optimizer.state[decayed][name] = whole[cut:]
        first: dict[str, Any] = next(iter(self.trainers[0].optimizer.state.values()), {})
        for name, value in first.items():
            if torch.is_tensor(value) and value.dim() == 0:
                for parameter in parameters:
                    optimizer.state[parameter][name] = value.clone()
        return optimizer

    @staticmethod
    def _moments(trainer: _Trainer) -> dict[str, dict[str, Tensor]]:
        """What an optimizer keeps for each weight: by kind, then by the parameter's name."""
        found: dict[str, dict[str, Tensor]] = {}
        for name, parameter in trainer.network.named_parameters():
            for kind, value in trainer.optimizer.state.get(parameter, {}).items():
                if torch.is_tensor(value) and value.dim() > 0:
                    found.setdefault(kind, {})[name] = value
        return found

    def _gather_average(self) -> None:
        for seat, trainer in enumerate(self.trainers):
            if trainer.average is not None:
                if self._average is None:
                    self._average = torch.zeros_like(self._stack.values)
                self._stack.write(seat, trainer.average.module.state_dict(), self._average)

    # A step of all

    def step(self, members: Sequence[_Member]) -> None:
        """One step of the optimizer for all; a loss that is no number ends its own training."""
        first = members[0].trainer
        inputs, targets, generators = self._batch()
        outputs = self._stack(inputs, generators).float()
        smoothing = self._recipe.label_smoothing
        losses = self._loss(outputs, targets, smoothing=smoothing)
        found = losses.tolist()
        for member in members:
            loss = found[self.trainers.index(member.trainer)]
            if not math.isfinite(loss):
                member.outcome = member.trainer.diverged(loss)
        self._stack.gradients.zero_()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        if self._recipe.clip is not None:
            self._clip(self._recipe.clip)
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.lr * min(member.factor for member in members)
        self._optimizer.step()
        if self._average is not None:
            assert first.average is not None
            self._average.lerp_(self._stack.values, first.average.share(self._at))
        self._at += 1
        for member in members:
            if member.outcome is None:
                member.trainer.made += 1

    def _batch(self) -> tuple[Tensor, Tensor, list[torch.Generator]]:
        """Each network's own samples, and the generator of its dropout."""
        rows = torch.stack([trainer.batches.rows(trainer.made) for trainer in self.trainers])
        inputs, targets = self._data.take(rows.flatten())
        inputs = inputs.view(*rows.shape, *inputs.shape[1:])
        targets = targets.view(*rows.shape, *targets.shape[1:])
        mixed = []
        for seat, trainer in enumerate(self.trainers):
            if not (self._drawing[seat] or self._recipe.mixup):
                continue
            rng = np.random.default_rng([trainer.run.seed, trainer.made])
            self._generators[seat].manual_seed(int(rng.integers(1 << 62)))
            if self._recipe.mixup:
                mixed.append(trainer.batches.mixed(inputs[seat], targets[seat], rng))
        if mixed:
            inputs, targets = (torch.stack(each) for each in zip(*mixed, strict=True))
        return inputs, targets, self._generators

    def _clip(self, largest: float) -> None:
        """:func:`torch.nn.utils.clip_grad_norm_` for each network by itself."""
        gradients, owner = self._stack.gradients, self._stack.owner
        squares = torch.zeros(len(self._stack)).index_add_(0, owner, gradients.square())
        gradients.mul_((largest / (squares.sqrt() + 1e-6)).clamp(max=1.0)[owner])

    # What a seat asks for

    @torch.no_grad()
    def outputs(self, seat: int) -> Tensor:
        """Raw outputs on the validation split; computed for all networks at once."""
        if self._evaluated is None or self._evaluated[0] != self._at:
            own = self._stack.values.clone()
            if self._average is not None:
                self._stack.values.copy_(self._average)
            found = []
            for rows in torch.split(torch.arange(len(self._validation)), _EVALUATION_BATCH):
                inputs = self._validation.take(rows)[0]
                found.append(self._stack(inputs.expand(len(self._stack), *inputs.shape)))
            self._stack.values.copy_(own)
            self._evaluated = self._at, torch.cat(found, dim=1)
        return self._evaluated[1][seat].contiguous()

    def weights(self, seat: int, *, averaged: bool) -> dict[str, Tensor]:
        """A copy of a network's weights and buffers, as its ``state_dict`` names them."""
        trainer = self.trainers[seat]
        source = self._stack.values
        if averaged and self._average is not None:
            source = self._average
        state = {name: value.detach() for name, value in trainer.network.state_dict().items()}
        for name in state:
            if name.endswith("num_batches_tracked"):
                state[name] = torch.tensor(trainer.made)
        return state | self._stack.read(seat, source)

    def hand_back(self, seat: int) -> None:
        """Writes a network's weights and moments to where its trainer keeps them."""
        trainer = self.trainers[seat]
        if trainer.average is not None:
            trainer.average.module.load_state_dict(self.weights(seat, averaged=True))
        trainer.network.load_state_dict(self.weights(seat, averaged=False))
        free, decayed = (group["params"][0] for group in self._optimizer.param_groups)
        parameters = dict(trainer.network.named_parameters())
        for kind, value in self._optimizer.state[free].items():
            if not torch.is_tensor(value):
                continue
            if value.dim() == 0:
                for parameter in parameters.values():
                    trainer.optimizer.state[parameter][kind] = value.clone()
                continue
            whole = torch.cat([value, self._optimizer.state[decayed][kind]])
            for name, own in self._stack.read(seat, whole).items():
                trainer.optimizer.state[parameters[name]][kind] = own


@dataclass(frozen=True)
class _Seat:
    """One network's place; what its trainer sees of the others."""

    table: _Table
    number: int

    def outputs(self) -> Tensor:
        return self.table.outputs(self.number)

    def weights(self) -> dict[str, Tensor]:
        return self.table.weights(self.number, averaged=True)

    def hand_back(self) -> None:
        self.table.hand_back(self.number)

    def leave(self) -> None:
        self.hand_back()
        self.table.trainers[self.number].seat = None
