"""Training one network: a pure function of the network, the data, the recipe and the run."""

from __future__ import annotations

import copy
import math
import pickle
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ogive import nn as readings
from ogive._whole import write_whole
from ogive.errors import SettingError, TrialFailed
from ogive.estimators._batch import Batch
from ogive.estimators._batches import Batches, Data, FitOn, laid_out, lay_out, learned
from ogive.estimators._bench import RecipeLike
from ogive.estimators._fidelity import Fidelity, Part, check_fidelities, fidelities
from ogive.estimators._optimizers import SGD, AdamW
from ogive.estimators._recipe import Recipe
from ogive.estimators._run import Run
from ogive.estimators._schedule import Schedule
from ogive.nn import Heir, NetworkFunction
from ogive.space import Architecture
from ogive.task import METRICS, Split, Task, standard_error

__all__ = [
    "FitOn",
    "Precision",
    "Training",
    "autocast",
    "decided",
    "device_of",
    "optimizer_of",
    "predict",
    "step_seconds",
    "train",
]

Precision = Literal["fp32", "bf16"]

_EVALUATION_BATCH = 512

_MODEL, _CHECKPOINT = "model.safetensors", "checkpoint.pt"

_LOOK = 64
"""Samples on which new layers of a network that inherits are tried."""

_NO_PROGRESS = 0.5
"""The share of a training after which it must be better than predicting a constant."""

_SETTLED = 100
"""Steps before which that says nothing: the running statistics of a batch normalisation are yet to
come near those of the weights, which still move fast."""

_DAMAGED = (
    OSError,
    RuntimeError,
    LookupError,
    TypeError,
    ValueError,
    EOFError,
    pickle.UnpicklingError,
)
"""What reading a checkpoint that is missing, cut off or of another network raises."""


def device_of(name: str) -> torch.device:
    """Returns the device of a name; ``auto`` is CUDA, else Apple's MPS, else the CPU."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def predict(
    module: nn.Module,
    task: Task,
    split: Split,
    *,
    device: str | torch.device = "auto",
    precision: Precision = "fp32",
) -> npt.NDArray[np.float32]:
    """Returns the finished outputs of a network, without its preprocessing, on a split.

    Returns:
        ``(n, outputs)``: probabilities, or values in the target's units.
    """
    where = device_of(device) if isinstance(device, str) else device
    outputs = _outputs(module.to(where).eval(), task, split, where, precision)
    finished: npt.NDArray[np.float32] = task.finisher().to(where)(outputs).cpu().numpy()
    return finished


def train(
    network: nn.Module,
    task: Task,
    recipe: Recipe,
    run: Run,
    *,
    fit_on: FitOn = "train",
    precision: Precision = "fp32",
) -> dict[str, float]:
    """Trains a network in place, to the weights that are evaluated.

    With ``run.folder`` it leaves behind ``model.safetensors`` (those weights) and ``checkpoint.pt``
    (the state at the start of the decay, from which a longer training goes on).

    A longer training that goes on from ``run.parent`` ends, bit for bit, where the same training
    from scratch would (with a trapezoid and on one device): each step draws from the run's seed
    and its own number only. ``run.deadline`` is the one place where time enters the result: a
    training that is too slow for it moves through its schedule by time.

    Args:
        network: Fresh, as the seed initialised it.
        task: Gives data, loss and metrics.
        recipe: Says how.
        run: Says for how long, from which seed and where.
        fit_on: ``all`` trains on the validation split too, and measures nothing.
        precision: ``bf16`` computes under autocast.

    With ``run.stopping`` it ends after the first epoch that makes it unlikely to end better than
    the best, with the weights and the metrics that it has then.

    Returns:
        The metrics on the validation split, ``loss``, the standard error of the task's metric (as
        ``accuracy_se``, say), ``epochs`` trained in this run, and ``train_seconds``; of one that
        was stopped also ``stopped_at``, in epochs, and what the goal's metric was ``expected`` to
        end as.

    Raises:
        TrialFailed: If the loss is not a number, or no better than a constant prediction half-way,
            after a hundred steps at least.
        SettingError: If the recipe would mix the codes of categories.
    """
    with readings.threads(run.threads), torch.random.fork_rng(_cuda()):
        return _Trainer(network, task, recipe, run, fit_on, precision).fit()


@dataclass(frozen=True)
class _Best:
    """The weights of the epoch with the lowest validation loss so far."""

    loss: float
    epoch: int
    weights: Mapping[str, Tensor]


Course = Generator[float, None, dict[str, float]]


class Seat(Protocol):
    """The place of one network among several that are trained together.

    Its weights are elsewhere while it has one: its own network, optimizer and average are what
    they were when they were last handed back.
    """

    def outputs(self) -> Tensor:
        """Raw outputs ``(n, outputs)`` on the validation split."""

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights that are evaluated."""

    def hand_back(self) -> None:
        """Writes weights and moments into the network, its optimizer and its average."""

    def leave(self) -> None:
        """Hands back, and ends it."""


class _Trainer:
    """One training: the state of a network, and the course that it takes."""

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        recipe: Recipe,
        run: Run,
        fit_on: FitOn,
        precision: Precision,
        data: Data | None = None,
    ) -> None:
        self._begun = self._ready = time.monotonic()
        recipe = recipe.scaled(network)
        if recipe.mixup and task.kind == "tabular" and task.cardinalities:
            raise SettingError(
                f"mixup is for numbers only, but got mixup={recipe.mixup} for a table with "
                f"{len(task.cardinalities)} columns of categories. Set mixup=0."
            )
        self.task, self.recipe, self.run, self._precision = task, recipe, run, precision
        self._device = device_of(run.device)
        self.network = network.to(self._device)
        if task.kind == "images":  # Twice as fast as channels-first, in either precision.
            lay_out(self.network)
        self._validated = fit_on == "train"
        data = data or Data(learned(task, fit_on), task, self._device)
        self.batches = Batches(data, task, recipe, seed=run.seed)
        self._steps = self.batches.steps
        epochs = recipe.epochs
        self._schedule = Schedule(
            recipe,
            total=max(1, round(epochs * run.fidelity * self._steps)),
            full=max(1, round(epochs * self._steps)),
        )
        self.optimizer = optimizer_of(self.network, recipe, self._device)
        self.average = _Average(self.network, recipe.ema * self._steps) if recipe.ema else None
        self.seat: Seat | None = None  # Where it is trained together with others.
        self.made = 0
        self._measured: int | None = None  # The step of the last validation.
        self._answers: tuple[npt.NDArray[Any], npt.NDArray[Any]]  # Its outputs, and the targets.
        self._validation_seconds = 0.0
        self._best: _Best | None = None

    # The whole of it

    def fit(self) -> dict[str, float]:
        return self.finish(self.course())

    def finish(self, course: Course) -> dict[str, float]:
        """Makes the steps that a course asks for, by itself."""
        while True:
            try:
                factor = next(course)
            except StopIteration as end:
                metrics: dict[str, float] = end.value
                return metrics
            self.step(factor)

    def course(self) -> Course:
        """All of a training but its steps: yields the learning rate's factor for each of them."""
        self._go_on_from_parent()
        first, saved = self.made, False
        origin = self._schedule.progress(first)
        metrics: dict[str, float] = {}
        stopped: dict[str, float] = {}
        self._ready = time.monotonic()
        ended = self._out_of_patience()  # A parent that ended early is as far as this one gets.
        # However short the time is, there is a step: no network is measured as it was made.
        while not ended and (
            self.made == first or self._schedule.progress(self.made, self._elapsed(origin)) < 1
        ):
            elapsed = self._elapsed(origin)
            if not saved and self._schedule.decaying(self.made, elapsed):
                self._save_checkpoint()
                saved = True
            yield self._schedule.factor(self.made, elapsed)
            self._expect_validation(time.monotonic() - self._ready, self.made - first)
            whole = self.made % self._steps == 0
            if whole and self._validated and self.made < self._schedule.total:
                metrics = self._validate()
                self._check_progress(metrics, elapsed)
                stopped = self._stopped(metrics, elapsed)
                ended = bool(stopped) or self._out_of_patience()
        if not saved:
            self._save_checkpoint()
        if self._validated and self._measured != self.made:
            metrics = self._validate()
        metrics = self._settle(metrics)
        if self._validated:
            metric = self.task.metric
            metrics[f"{metric}_se"] = standard_error(metric, *self._answers)
        return {
            **metrics,
            "epochs": (self.made - first) / self._steps,
            "train_seconds": time.monotonic() - self._begun,
            **stopped,
        }

    def _expect_validation(self, seconds: float, steps: int) -> None:
        """Before the first validation: a forward pass takes about a third of a step."""
        if self._validated and self._measured is None:
            batches = len(self.task.validation) / self.batches.size
            self._validation_seconds = 0.4 * batches * seconds / steps

    def step(self, factor: float) -> None:
        """One step of the optimizer, drawing from the seed and the step's number only."""
        inputs, targets = self.batches(self.made)
        self.network.train()
        with autocast(self._device, self._precision):
            outputs = self.network(inputs)
        loss = self.task.loss(outputs.float(), targets, smoothing=self.recipe.label_smoothing)
        if not math.isfinite(loss.item()):
            raise self.diverged(loss.item())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * factor
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.network, self.made)
        self.made += 1

    def diverged(self, loss: float) -> TrialFailed:
        return TrialFailed(
            f"The loss must be finite, but was {loss} in epoch "
            f"{self.made / self._steps:.1f} (step {self.made}). A lower learning rate than "
            f"{self.recipe.lr} or gradient clipping may help."
        )

    def begin_again(self, share: float) -> None:
        """Its clock begins now, with a share of its time: it waited for others."""
        if self.run.deadline is not None:
            self.run = replace(self.run, deadline=share * self.run.deadline)
        self._begun = self._ready = time.monotonic()

    def _elapsed(self, origin: float) -> float:
        """How far time has moved through the schedule; what lay behind at the start stays so."""
        if self.run.deadline is None:
            return 0.0
        # What came before the first step, the last validation and the writing must fit in, too.
        others = self._ready - self._begun + 1.2 * self._validation_seconds
        usable = max(1e-3, 0.97 * self.run.deadline - others)
        share = min(1.0, (time.monotonic() - self._ready) / usable)
        return origin + (1 - origin) * share

    # Measuring

    @property
    def _evaluated(self) -> nn.Module:
        return self.network if self.average is None else self.average.module

    def _validate(self) -> dict[str, float]:
        """Measures and reports; with patience it keeps the weights, if they are the best so far."""
        begun = time.monotonic()
        metrics = self._measure()
        self.run.report(self.made / self._steps, metrics)
        better = self._best is None or metrics["loss"] < self._best.loss
        if self.recipe.patience is not None and better:
            self._best = _Best(metrics["loss"], round(self.made / self._steps), self._weights())
        self._measured = self.made
        self._validation_seconds = time.monotonic() - begun
        return metrics

    def _weights(self) -> dict[str, Tensor]:
        """A copy of the weights that are evaluated."""
        if self.seat is not None:
            return self.seat.weights()
        return {k: v.detach().clone() for k, v in self._evaluated.state_dict().items()}

    def _measure(self) -> dict[str, float]:
        task, split = self.task, self.task.validation
        if self.seat is not None:
            outputs = self.seat.outputs()
        else:
            outputs = _outputs(self._evaluated.eval(), task, split, self._device, self._precision)
        if not bool(torch.isfinite(outputs).all()):
            raise TrialFailed(
                "The outputs must be finite, but some on the validation split are not after "
                f"epoch {self.made / self._steps:.1f}."
            )
        finished = task.finisher().to(self._device)(outputs).cpu().numpy()
        targets = torch.as_tensor(split.targets, device=self._device)
        if targets.is_floating_point():
            targets = targets.float()
        self._answers = finished, np.asarray(split.targets)
        return {
            **task.score(*self._answers),
            "loss": float(task.loss(outputs, targets)),
        }

    @cached_property
    def _constant(self) -> dict[str, float]:
        return _constant(self.task)

    def _check_progress(self, metrics: Mapping[str, float], elapsed: float) -> None:
        half = self._schedule.progress(self.made, elapsed) >= _NO_PROGRESS
        if not half or self.made < _SETTLED:
            return
        constant, metric = self._constant, self.task.metric
        loss = self._kept_loss(metrics)
        sign = 1 if METRICS[metric].greater_is_better else -1
        if loss >= constant["loss"] and sign * metrics[metric] <= sign * constant[metric]:
            raise TrialFailed(
                f"A network must do better than a constant prediction by half of its training, "
                f"but after epoch {self.made / self._steps:.1f} its {metric} is "
                f"{metrics[metric]:.4g} and the constant's {constant[metric]:.4g}."
            )

    def _kept_loss(self, metrics: Mapping[str, float]) -> float:
        """What counts are the weights that are kept, should a network be past its best."""
        return metrics["loss"] if self._best is None else self._best.loss

    def _stopped(self, metrics: Mapping[str, float], elapsed: float) -> dict[str, float]:
        """Says where the training is stopped, if it is, and what it was expected to end as."""
        at, stopping = self._schedule.progress(self.made), self.run.stopping
        # One that time moves through its schedule is ahead of where the others were.
        if stopping is None or self._schedule.progress(self.made, elapsed) > at:
            return {}
        epoch = self.made / self._steps
        judged = stopping.judge(epoch, self._kept_loss(metrics))
        if judged is None or judged.chance >= stopping.below:
            return {}
        return {"stopped_at": epoch, "expected": judged.expected}

    def _out_of_patience(self) -> bool:
        if self._best is None or self.recipe.patience is None:
            return False
        return self.made // self._steps - self._best.epoch >= self.recipe.patience

    def _settle(self, metrics: dict[str, float]) -> dict[str, float]:
        """Leaves the network with the weights that count, and writes them down."""
        if self.seat is not None:
            self.seat.leave()
        if self._best is not None:
            self._evaluated.load_state_dict(self._best.weights)
            metrics = {**self._measure(), "best_epoch": float(self._best.epoch)}
        if self.average is not None:
            self.network.load_state_dict(self.average.module.state_dict())
        if self.run.folder is not None:
            weights = {
                name: value.detach().cpu().contiguous().clone()
                for name, value in self.network.state_dict().items()
            }
            write_whole(self.run.folder / _MODEL, lambda path: save_file(weights, path))
        return metrics

    # Checkpoints

    def _save_checkpoint(self) -> None:
        if self.run.folder is None or self.recipe.schedule == "cosine":
            return
        if self.seat is not None:
            self.seat.hand_back()
        state = {
            "epoch": self.made / self._steps,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.module.state_dict(),
            "best": None if self._best is None else asdict(self._best),
        }
        write_whole(self.run.folder / _CHECKPOINT, lambda path: torch.save(state, path))

    def _go_on_from_parent(self) -> None:
        patient = self.recipe.patience is not None
        if self.run.parent is None or self.recipe.schedule == "cosine":
            return
        if patient and not self._validated:  # It may have been trained past its best already.
            return
        modules = [self.network, *([] if self.average is None else [self.average.module])]
        fresh = [copy.deepcopy(module.state_dict()) for module in modules]
        try:
            path = self.run.parent / _CHECKPOINT
            state = torch.load(path, map_location=self._device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average is not None:
                self.average.module.load_state_dict(state["average"])
            best = _Best(**state["best"]) if patient and state["best"] else None
            step = round(state["epoch"] * self._steps)
        except _DAMAGED:
            # From scratch, then: the same result, only later.
            for module, weights in zip(modules, fresh, strict=True):
                module.load_state_dict(weights)
            self.optimizer = optimizer_of(self.network, self.recipe, self._device)
            return
        self.made, self._best = min(step, self._schedule.total - 1), best


class _Average:
    """An exponential moving average of weights and buffers.

    Args:
        network: What is averaged.
        horizon: Steps after which a weight's share has fallen to 1/e.
    """

    def __init__(self, network: nn.Module, horizon: float) -> None:
        self.module = copy.deepcopy(network)
        self._keep = math.exp(-1 / max(1e-9, horizon))

    def share(self, step: int) -> float:
        """Of the newest weights; larger at first, so that the initial ones are soon forgotten."""
        return 1 - min(self._keep, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        share = self.share(step)
        pairs = zip(self.module.state_dict().values(), network.state_dict().values(), strict=True)
        for mine, new in pairs:
            # A buffer that stays as it is may be infinite, and has no mean with itself.
            if mine.is_floating_point() and not torch.equal(mine, new):
                mine.lerp_(new, share)
            else:
                mine.copy_(new)


def optimizer_of(
    network: nn.Module, recipe: Recipe, device: torch.device
) -> torch.optim.Optimizer:
    """Returns the optimizer of a recipe, at its learning rate."""
    # Biases and the scales of normalisations are one-dimensional; decay is not for them.
    decayed = [p for p in network.parameters() if p.requires_grad and p.dim() > 1]
    free = [p for p in network.parameters() if p.requires_grad and p.dim() <= 1]
    return _optimizer(free, decayed, recipe, device)


def _optimizer(
    free: list[nn.Parameter], decayed: list[nn.Parameter], recipe: Recipe, device: torch.device
) -> torch.optim.Optimizer:
    groups = [{"params": free, "weight_decay": 0.0}]
    if recipe.optimizer == "adamw":
        groups.append({"params": decayed, "weight_decay": recipe.weight_decay})
        return AdamW(groups, lr=recipe.lr, fused=device.type in ("cpu", "cuda"))
    groups.append({"params": decayed, "weight_decay": recipe.weight_decay})
    return SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Computes in a precision on a device while it is entered."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@torch.no_grad()
def _outputs(
    module: nn.Module, task: Task, split: Split, device: torch.device, precision: Precision
) -> Tensor:
    """Raw outputs ``(n, outputs)`` in fp32."""
    normalizer = task.normalizer().to(device).eval()
    found = []
    for raw, _ in split.batches(_EVALUATION_BATCH):
        with autocast(device, precision):
            found.append(module(laid_out(normalizer(raw.to(device)))).float())
    return torch.cat(found)


def _constant(task: Task) -> dict[str, float]:
    """What predicting the training split's class shares, or its mean, scores on validation."""
    split = task.validation
    targets = np.asarray(split.targets)
    known = np.asarray(task.train.targets)
    if task.problem == "classification":
        shares = np.bincount(known, minlength=task.outputs) / len(known)
        finished = np.tile(shares, (len(targets), 1))
        seen = shares[targets]
        loss = float(-np.log(np.maximum(seen, 1e-12)).mean())
    else:
        finished = np.full((len(targets), 1), known.mean())
        loss = float(((targets - known.mean()) ** 2).mean() / max(1e-12, known.var()))
    return {**task.score(finished, targets), "loss": loss}


@dataclass(frozen=True)
class Training:
    """The estimator that trains: how good is a network after so many epochs?

    At a fidelity below 1 it trains for less, and ``fidelity`` says of what:

    * ``epochs``: that share of the epochs. The one fidelity of which a longer training goes on:
      with any other one it begins anew, and nothing is left behind from which it could.
    * ``data``: that share of the training split, the same rows for every network; each class
      keeps its share, and a larger part contains a smaller one.
    * ``resolution``: images whose sides are its square root as long, at least 8 pixels, in
      training and in validation. The network must take images of any size.
    * ``width``: a network whose widths are its square root as large. It leaves no weights behind,
      for they are not the architecture's.

    Of several fidelities each makes a training ``fidelity ** (1 / k)`` as dear, so that together
    they cost about the share that was asked for: of ``("data", "epochs")`` at 1/4 half of the rows
    for half of the epochs, of ``("resolution", "epochs")`` sides of 0.71 for half of the epochs.
    At fidelity 1 all of them are the full training. ``epochs`` among the metrics are counted in
    epochs of that one, by the same rule.

    Attributes:
        network: The network function.
        task: What networks are for.
        recipe: How they are trained, or a function that chooses it.
        epochs: The length of a full training; the recipe's own if not given.
        fit_on: ``train``, or ``all`` for train + validation.
        precision: What it computes in.
        fidelity: What there is less of, one or several.
        widths: The paths of the decisions that are widths, as a pattern of :mod:`fnmatch`.

    Raises:
        SettingError: If a fidelity is unknown, or there are no images that could be smaller; when
            called, if a network has no widths or does not take smaller images.
    """

    network: NetworkFunction
    task: Task
    recipe: RecipeLike
    epochs: float | None = None
    fit_on: FitOn = "train"
    precision: Precision = "fp32"
    fidelity: Fidelity | Sequence[Fidelity] = "epochs"
    widths: str = readings.WIDTHS

    def __post_init__(self) -> None:
        check_fidelities(fidelities(self.fidelity), self.task)

    def __call__(self, architecture: Architecture, run: Run) -> dict[str, float]:
        """Builds the network from the run's seed, trains it, and returns its metrics.

        With ``run.inherits`` it begins with the weights of the run's parent
        (:func:`ogive.nn.inherit`), and the metrics say what share of its own come from there:
        ``inherited``. Where there is nothing to inherit, since the parent's files are gone or
        another network's, it trains in full: a shorter training from scratch says nothing beside
        those of heirs.
        """
        if run.inherits is None:
            return self._trained(architecture, run)
        heir = self._heir(architecture, run.inherits, run)
        run = replace(run, parent=None, inherits=None)
        if heir is None:
            scratch = self._trained(architecture, replace(run, fidelity=1.0))
            return {**scratch, "inherited": 0.0}
        return {**self._trained(architecture, run, heir.network), "inherited": heir.share}

    def _trained(
        self, architecture: Architecture, run: Run, network: nn.Module | None = None
    ) -> dict[str, float]:
        part, recipe = self.part(run.fidelity), self.recipe_of(architecture)
        task = part.task(self.task)
        if network is None:
            network = self.built(architecture, run.seed, part.width)
        if part.side < 1:
            _check_size(network, task)
        shorter = replace(run, fidelity=part.epochs, parent=run.parent if part.goes_on else None)
        metrics = train(
            network, task, recipe, shorter, fit_on=self.fit_on, precision=self.precision
        )
        if run.folder is not None and not part.goes_on:
            (run.folder / _CHECKPOINT).unlink(missing_ok=True)
            if part.width < 1:
                (run.folder / _MODEL).unlink()
        return {**metrics, "epochs": metrics["epochs"] * part.epoch}

    def _heir(self, architecture: Architecture, parent: Architecture, run: Run) -> Heir | None:
        """The network with the weights of the run's parent, if they are there."""
        if run.parent is None:
            return None
        if self.part(run.fidelity).width < 1:
            raise SettingError(
                "A network that inherits weights has the widths of its architecture, but the "
                "fidelity 'width' makes it narrower. Take another fidelity, or inherit=0."
            )
        inputs = Batch.of(self.task, _LOOK).inputs
        with readings.threads(run.threads), torch.random.fork_rng(_cuda()):
            torch.manual_seed(run.seed)
            try:
                weights = load_file(run.parent / _MODEL)
                return readings.inherit(
                    self.network, self.task, architecture, parent, weights, inputs
                )
            except (*_DAMAGED, SafetensorError):
                return None

    def part(self, fidelity: float) -> Part:
        """Returns what is left of a training at a fidelity."""
        return Part.of(fidelities(self.fidelity), fidelity)

    def built(self, architecture: Architecture, seed: int, width: float = 1.0) -> nn.Module:
        """Returns the network of an architecture as a seed initialises it, or a narrower one."""
        with torch.random.fork_rng(_cuda()):
            torch.manual_seed(seed)
            if width < 1:
                return readings.build_narrow(
                    self.network, self.task, architecture, width, self.widths
                )
            return readings.build(self.network, self.task, architecture)

    def recipe_of(self, architecture: Architecture) -> Recipe:
        """Returns what an architecture is trained with."""
        recipe = decided(self.recipe, architecture)
        return recipe if self.epochs is None else recipe.replace(epochs=self.epochs)


def decided(recipe: RecipeLike, architecture: Architecture) -> Recipe:
    """Returns the recipe that an architecture is trained with."""
    return recipe if isinstance(recipe, Recipe) else readings.decide(recipe, architecture)


def _check_size(network: nn.Module, task: Task) -> None:
    """Sees whether a network takes the images of a task that it was not built for."""
    try:
        with torch.no_grad():
            network.eval()(task.example(2))
    except RuntimeError as error:
        raise SettingError(
            f"With the fidelity 'resolution' a network takes images of any size, but not those of "
            f"{task.shape}: {error}. End it with Head(width, task.outputs), which averages over "
            "height and width, or take another fidelity."
        ) from error


def _cuda() -> list[int]:
    return list(range(torch.cuda.device_count()))


def step_seconds(
    network: NetworkFunction,
    task: Task,
    architecture: Architecture,
    recipe: Recipe,
    *,
    threads: int = 1,
    precision: Precision = "fp32",
    steps: int = 6,
    seconds: float = 1.0,
) -> float:
    """Measures the seconds of a training step in this process, undisturbed.

    Args:
        network: The network function.
        task: Gives the data.
        architecture: What to build.
        recipe: Gives batch size, optimizer and augmentation.
        threads: What torch may use.
        precision: What to compute in.
        steps: How many steps, after two to warm up.
        seconds: Stop measuring after so long.
    """
    with readings.threads(threads), torch.random.fork_rng(_cuda()):
        module = readings.build(network, task, architecture)
        trainer = _Trainer(module, task, recipe, Run(), "train", precision)
        times: list[float] = []
        end = time.monotonic() + seconds
        for count in range(steps + 2):
            begun = time.perf_counter()
            trainer.step(1e-3)
            if count >= 2:
                times.append(time.perf_counter() - begun)
            if times and time.monotonic() > end:
                break
    # The quicker steps say what the machine can do; what else it is doing now will pass.
    return float(np.quantile(times, 0.2))
