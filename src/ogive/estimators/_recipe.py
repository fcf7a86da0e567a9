"""How a network is trained: one frozen record of numbers, the same for every network of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from ogive.errors import SettingError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from ogive.task import Task

__all__ = ["Recipe"]

_NARROWEST = 4
"""The fewest inputs of a matrix that count as a width."""

_MOST_FASTER = 8.0
"""How many times its learning rate a narrow network has at most."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained.

    Attributes:
        optimizer: ``"adamw"`` (Loshchilov & Hutter 2019) or ``"sgd"`` with Nesterov momentum.
        lr: The learning rate after the warm-up.
        lr_width: The width for which ``lr`` is meant, as the mean number of inputs of a network's
            matrices (channels, or features); a narrower network learns faster in proportion, up
            to eight times, and a wider one slower. Under AdamW the rate that is best goes with
            1/width (Yang et al. 2022, arXiv:2203.03466); under SGD it does not, and ``lr`` is the
            same for all, as it is with ``None``.
        weight_decay: Decoupled for AdamW; never on biases and normalisation (one-dimensional
            parameters).
        momentum: Of SGD; AdamW keeps its usual betas.
        batch_size: Samples a step.
        epochs: Passes over the training split at fidelity 1.
        schedule: ``"trapezoid"`` (warm up, hold, decay; Hägele et al. 2024, arXiv:2405.18392) or
            ``"cosine"`` (Loshchilov & Hutter 2017). Only a trapezoid lets a trial go on from
            the checkpoint of a shorter one: until its decay begins, a shorter training *is* the
            beginning of a longer one. With a cosine the learning rate depends on the length from
            the first step, so a promoted trial is trained from scratch.
        warmup: The share of the full training in which the learning rate rises linearly from 0.
        decay: The share of a training, at its end, in which a trapezoid falls to 0.
        label_smoothing: The share of the target spread over all classes; 0 for regression.
        clip: The largest global norm of the gradient, or ``None``.
        ema: The horizon, in epochs, of the moving average of the weights that is evaluated and
            kept; 0 keeps the last weights.
        flip: Mirrors half of the images left to right.
        shift: The largest shift, as a share of each side.
        rotate: The largest rotation to either side, in degrees.
        zoom: The largest change of size, as a share: from ``1 / (1 + zoom)`` to ``1 + zoom`` times.
        crop: The largest share of each side that a random crop cuts away before the rest is
            enlarged to full size.
        cutout: The side of a square that is blanked (DeVries & Taylor 2017), as a share of the
            image's side.
        mixup: The alpha of mixup's Beta distribution (Zhang et al. 2018).
        patience: Ends the training when the validation loss has not improved for so many
            epochs, and keeps the weights of the best epoch; ``None`` trains to the end and keeps
            the last. Without a validation split (``fit_on="all"``) a training starts afresh and
            goes to its end: a search makes it as long as the best epoch of the finalist.

    Every augmentation is off at 0 (or ``False``) and is drawn anew for each sample.
    """

    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 4e-3
    lr_width: float | None = None
    weight_decay: float = 0.05
    momentum: float = 0.9
    batch_size: int = 128
    epochs: int = 30
    schedule: Literal["trapezoid", "cosine"] = "trapezoid"
    warmup: float = 0.02
    decay: float = 0.5
    label_smoothing: float = 0.0
    clip: float | None = None
    ema: float = 0.0
    flip: bool = False
    shift: float = 0.0
    rotate: float = 0.0
    zoom: float = 0.0
    crop: float = 0.0
    cutout: float = 0.0
    mixup: float = 0.0
    patience: int | None = None

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise SettingError(
                    f"{name} is {' or '.join(map(repr, allowed))}, but got {getattr(self, name)!r}."
                )
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise SettingError(f"{low} <= {name} <= {high} must hold, but got {name}={value}.")

    @classmethod
    def default(cls, task: Task) -> Self:
        """Returns what serves a kind of data well, whatever the network."""
        # A network learns little in a handful of steps: small data gets more of them an epoch.
        batch = 2 ** round(math.log2(max(1.0, task.size("train") / 32)))
        if task.kind == "images":
            # A mirrored photograph shows the same thing; a mirrored letter or digit does not, and
            # those are grey.
            flip = task.channels > 1
            return cls(
                lr_width=64.0,
                batch_size=min(128, max(32, batch)),
                label_smoothing=0.1,
                shift=0.08,
                rotate=10.0,
                zoom=0.08,
                flip=flip,
            )
        batch = min(256, max(16, batch))
        return cls(lr=2e-3, batch_size=batch, epochs=100, decay=0.3, patience=20)

    def scaled(self, network: nn.Module) -> Self:
        """Returns the recipe for one network, with the learning rate for its width."""
        if self.lr_width is None or self.optimizer != "adamw":
            return self
        matrices = [p for p in network.parameters() if p.dim() > 1]
        # Of what has few inputs, as depthwise convolutions and the first layer, that is no width.
        widths = [p.shape[1] for p in matrices if p.shape[1] >= _NARROWEST]
        if not widths:
            return replace(self, lr_width=None)
        factor = min(_MOST_FASTER, self.lr_width * len(widths) / sum(widths))
        return replace(self, lr=min(self.lr * factor, _RANGES["lr"][1]), lr_width=None)

    def replace(self, **changes: Any) -> Self:
        """Returns the recipe with some fields changed."""
        return replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        known = {field.name for field in fields(cls)}
        for name in data:
            if name not in known:
                raise SettingError(f"A recipe has no field {name!r}.{did_you_mean(name, known)}")
        return cls(**data)


_CHOICES = {"optimizer": ("adamw", "sgd"), "schedule": ("trapezoid", "cosine")}

_RANGES: Mapping[str, tuple[float, float]] = {
    "lr": (1e-8, 100.0),
    "lr_width": (1.0, 1e6),
    "weight_decay": (0.0, 10.0),
    "momentum": (0.0, 0.9999),
    "batch_size": (1, 1 << 20),
    "epochs": (1, 1_000_000),
    "warmup": (0.0, 1.0),
    "decay": (0.0, 1.0),
    "label_smoothing": (0.0, 0.99),
    "clip": (1e-6, 1e6),
    "ema": (0.0, 1000.0),
    "shift": (0.0, 0.5),
    "rotate": (0.0, 180.0),
    "zoom": (0.0, 4.0),
    "crop": (0.0, 0.95),
    "cutout": (0.0, 1.0),
    "mixup": (0.0, 10.0),
    "patience": (1, 1_000_000),
}
