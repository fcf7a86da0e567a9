"""The alarm for a collapse of a differentiable search: how sharp a minimum its mixtures are in.

Zela et al. 2020, arXiv:1909.09656: where the dominant eigenvalue of the validation loss's Hessian
with respect to the mixtures grows fast, what the search prefers from then on generalises badly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = [
    "ITERATIONS",
    "History",
    "Sharpness",
    "Watched",
    "dominant_eigenvalue",
    "twice_differentiable",
]

ITERATIONS = 10
"""Of power iteration in an epoch; each begins with the vector that the last one ended with."""

_WINDOW = 5
"""k of section 4.3: epochs that are smoothed over, and that are looked back."""

_RATIO = 0.75
"""An earlier eigenvalue that is less than this share of a later one sounds the alarm."""

_SETTLED = 1 / 3
"""The share of the measured epochs after which growth is no longer that of the first learning."""


def dominant_eigenvalue(
    loss: Tensor,
    parameters: Sequence[Tensor],
    start: Tensor,
    *,
    iterations: int = ITERATIONS,
    tolerance: float = 0.01,
) -> tuple[float, Tensor]:
    """Returns the Hessian's eigenvalue that is largest in magnitude, by power iteration.

    Its products with a vector are exact: the gradient of a gradient (Pearlmutter 1994).

    Args:
        loss: A scalar, with its graph.
        parameters: With respect to which the Hessian is taken; ``n`` numbers together.
        start: Where to begin, ``(n,)``; not zero.
        iterations: At most so many products.
        tolerance: Ends it when the eigenvalue changes by no more than this share.

    Returns:
        The eigenvalue with its sign, and its vector ``(n,)`` of length 1.
    """
    gradient = _flat(
        torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
    )
    vector, value = start / start.norm(), 0.0
    for _ in range(iterations if gradient.requires_grad else 0):
        product = _flat(
            torch.autograd.grad(
                gradient @ vector, parameters, retain_graph=True, materialize_grads=True
            )
        )
        before, value = value, float(vector @ product)  # the Rayleigh quotient
        norm = product.norm()
        if not norm > 0:  # flat, or not a number
            break
        vector = product / norm
        if abs(value - before) <= tolerance * abs(value):
            break
    return value, vector.detach()


def twice_differentiable() -> Any:
    """Returns a context in which attention is computed by what has a second derivative."""
    return sdpa_kernel(SDPBackend.MATH)


class Sharpness:
    """The dominant eigenvalue, epoch by epoch, and what its growth says.

    Args:
        size: How many parameters all mixtures have together.
        device: Where those are.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        self._vector = torch.randn(size, generator=generator).to(device)
        self._epochs: list[int] = []
        self._values: list[float] = []

    def measure(self, loss: Tensor, parameters: Sequence[Tensor], epoch: int) -> float:
        """Measures the eigenvalue after an epoch, counted from 1, and remembers it."""
        start = self._vector.to(parameters[0])
        value, self._vector = dominant_eigenvalue(loss, parameters, start)
        self._epochs.append(epoch)
        self._values.append(value)
        return value

    def note(self) -> str | None:
        """Returns what to say of the search and to do about it, if the alarm has sounded."""
        smooth = self._smoothed()
        # Deviation: at first it grows in healthy searches too, with what the weights learn.
        for early in range(int(_SETTLED * len(smooth)), len(smooth) - _WINDOW):
            late = early + _WINDOW
            # Section 4.3: stop if smoothed(i - k) / smoothed(i) < 0.75, and go back to i - k.
            if 0 < smooth[early] < _RATIO * smooth[late]:
                return (
                    f"The search may have collapsed: by epoch {self._epochs[late]} the dominant "
                    "eigenvalue of the validation loss's Hessian in the mixtures grew from "
                    f"{smooth[early]:.3g} to {smooth[late]:.3g}, after which what is preferred "
                    "generalises badly (Zela et al. 2020, arXiv:1909.09656). Search for "
                    f"{self._epochs[early]} epochs, or raise the recipe's weight_decay."
                )
        return None

    def _smoothed(self) -> list[float]:
        """Mean magnitudes over the window around each epoch, which is cut off at both ends."""
        reach, sizes = _WINDOW // 2, [abs(value) for value in self._values]
        around = [sizes[max(0, i - reach) : i + reach + 1] for i in range(len(sizes))]
        return [sum(each) / len(each) for each in around]

    def state_dict(self) -> dict[str, Any]:
        """Returns what it remembers."""
        return {"vector": self._vector, "epochs": self._epochs, "values": self._values}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Goes on from what :meth:`state_dict` gave."""
        self._vector = state["vector"]
        self._epochs, self._values = list(state["epochs"]), list(state["values"])


@dataclass(frozen=True, slots=True)
class Watched:
    """Where a search by gradient stood after an epoch.

    Attributes:
        epoch: Counted from 1.
        skips: The share of layers that prefer a skip.
        eigenvalue: The dominant one of the validation loss's Hessian in the mixtures; ``None``
            where it was not measured.
    """

    epoch: int
    skips: float
    eigenvalue: float | None


class History:
    """What was watched, epoch by epoch."""

    def __init__(self) -> None:
        self.epochs: list[Watched] = []

    def state_dict(self) -> dict[str, Any]:
        """Returns what it remembers."""
        return {"epochs": [astuple(each) for each in self.epochs]}

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Goes on from what :meth:`state_dict` gave."""
        self.epochs = [Watched(*each) for each in state["epochs"]]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([each.flatten() for each in tensors])
