"""Zero-cost proxies of what a network does with a batch: can it tell inputs apart?

Each changes the network it is given: :func:`ogive.estimators.proxies` gives it a copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ogive.errors import SettingError
from ogive.estimators._batch import Batch

__all__ = ["jacov", "naswot", "zen"]

_aten = torch.ops.aten
_RECTIFIERS = frozenset(
    {
        _aten.relu,
        _aten.relu_,
        _aten.leaky_relu,
        _aten.leaky_relu_,
        _aten.hardtanh,  # relu6
        _aten.hardtanh_,
        _aten._prelu_kernel,  # noqa: SLF001  # the operator's name
    }
)

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

_STABILISER = 1e-5
"""k of Mellor et al. 2020."""

_SINGULAR = 1e-9
"""Of the largest eigenvalue: what is less is zero but for rounding."""

_MIXTURE = 1e-2
"""Alpha of Lin et al. 2021: how far the second input lies from the first."""

_MOMENTUM = 0.1
"""Of running variances: torch's own, and so that of the published figures."""


def jacov(network: nn.Module, batch: Batch) -> float:
    """How little input gradients correlate (Mellor et al. 2020, arXiv:2006.04647v1).

    The Kullback-Leibler divergence of the eigenvalues of the correlations, with its sign turned.

    Raises:
        SettingError: If all inputs are codes of categories.
    """
    inputs = batch.inputs.detach().requires_grad_()
    outputs = network.train()(inputs)
    found = torch.autograd.grad(outputs.sum(), inputs, allow_unused=True)
    (gradient,) = cast("tuple[Tensor | None, ...]", found)
    if gradient is None:
        if any(isinstance(m, nn.Embedding) for m in network.modules()):
            raise SettingError(
                "jacov reads the gradients of inputs, but the network embeds codes of categories, "
                "which have none. Leave it out."
            )
        return math.nan
    with np.errstate(invalid="ignore", divide="ignore"):  # a sample may have no gradient
        correlations = np.corrcoef(gradient.flatten(1).double().cpu().numpy())
    if not np.isfinite(correlations).all():
        return math.nan
    values = np.linalg.eigvalsh(correlations) + _STABILISER
    return -float((np.log(values) + 1 / values).sum())


def naswot(network: nn.Module, batch: Batch) -> float:
    """How differently samples switch rectifiers (Mellor et al. 2021, arXiv:2006.04647v3).

    The logarithm of the determinant of the kernel matrix, whose entries count the rectifiers that
    two samples switch alike. Leaky, parametric and clipped ones count too: they bend at zero.

    Where samples switch every rectifier alike the determinant is zero, and its logarithm as computed
    would be whatever the rounding is. Eigenvalues below a billionth of the largest count as that, so
    that of two such networks the one that tells more samples apart has more. Minus infinity is left
    to those that tell none apart.

    Raises:
        SettingError: If nothing is rectified.
    """
    kernel = _Switches(len(batch.inputs))
    with torch.no_grad(), kernel:
        network.train()(batch.inputs)
    if not kernel.units:
        raise SettingError(
            "naswot counts which rectifiers are on, but the network has no ReLU (nor leaky, "
            "parametric or clipped one). Leave it out, or choose jacov, which needs none."
        )
    values = np.linalg.eigvalsh(kernel.matrix.cpu().double().numpy())
    least = _SINGULAR * values[-1]
    return float(np.log(np.maximum(values, least)).sum()) if values[-2] > least else -math.inf


class _Switches(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what rectifiers get while it is on, be they modules or functions."""

    def __init__(self, samples: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.matrix = torch.zeros(samples, samples, dtype=torch.float64)
        self.units = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keeps torch from importing its compiler, for seconds, to leave this out of it."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func.overloadpacket in _RECTIFIERS and len(args[0]) == len(self.matrix):
            self._count(args[0])
        return func(*args, **(kwargs or {}))

    def _count(self, x: Tensor) -> None:
        on = (x.flatten(1) > 0).float()
        each = on.sum(1)
        # Both on, and both off: on·on' + (1 - on)(1 - on)' multiplied out. Exact below 2^24.
        alike = 2 * on @ on.T - each - each[:, None] + on.shape[1]
        self.matrix += alike.to(self.matrix)
        self.units += on.shape[1]


def zen(network: nn.Module, batch: Batch) -> float:
    """The Zen-score (Lin et al. 2021, arXiv:2102.01063, Algorithm 1).

    The logarithm of how far a small change of a random input moves the features before the global
    average, plus the logarithms of what the batch normalisations divided by. Weights and inputs are
    drawn from the normal distribution by the batch's seed; the data counts for its shape only.
    Residual connections stay, and distances are sums of absolute values, as in published comparisons; the paper takes
    the connections away, and the Euclidean distance.

    Raises:
        SettingError: If there is no batch normalisation, or if inputs are codes of categories.
    """
    norms = [m for m in network.modules() if isinstance(m, _BATCH_NORMS)]
    if not norms or any(m.running_var is None for m in norms):
        raise SettingError(
            "zen reads the variances of batch normalisations, but the network has none that keeps "
            "them. Leave it out, or choose naswot or synflow, which need none."
        )
    if any(isinstance(m, nn.Embedding) for m in network.modules()):
        raise SettingError(
            "zen moves inputs by a little, but the network embeds codes of categories, which "
            "cannot be moved. Leave it out, or choose naswot or synflow."
        )
    generator = batch.generator()
    _draw_normal(network, generator)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = _MOMENTUM
    shape, device = batch.inputs.shape, batch.inputs.device
    first, second = (torch.randn(shape, generator=generator).to(device) for _ in range(2))
    features = _last_features(network.train())
    with torch.no_grad():
        moved = features(first + _MIXTURE * second)
        distance = (features(first) - moved).abs().flatten(1).sum(1).mean()
        # The running variance after both passes, which still remembers the 1 it began with: a
        # quirk of the published figures, which rank by it; the paper means the batch's own.
        scales = [norm.running_var.mean().sqrt().log() for norm in norms]  # type: ignore[union-attr]
        return float(distance.log() + torch.stack(scales).sum())


def _draw_normal(network: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
            else:
                parameter.fill_(float(name.endswith("weight")))  # scales 1, biases 0


def _last_features(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Returns the way from an input to the features before the global average.

    That is what the last module gave that has more than one place; without places, the output.
    """
    seen: list[Tensor] = []

    def see(_: nn.Module, __: Any, out: Any) -> None:
        if isinstance(out, Tensor) and out.dim() > 2 and math.prod(out.shape[2:]) > 1:
            seen[:] = [out]

    for module in network.modules():
        module.register_forward_hook(see)

    def features(inputs: Tensor) -> Tensor:
        seen.clear()
        outputs: Tensor = network(inputs)
        return seen[0] if seen else outputs

    return features
