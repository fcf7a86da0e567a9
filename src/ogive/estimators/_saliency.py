"""Zero-cost proxies of the weights and their gradients: how much hangs on them?

As metrics of whole networks: Abdelfattah et al. 2021 (arXiv:2101.08134, section 3.2), whose sums
over the parameters are followed. Weights are the parameters of two and more dimensions, of
convolutions, linear layers and embeddings; biases and normalisations do not count.

Each changes the network it is given: :func:`ogive.estimators.proxies` gives it a copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ogive.errors import SettingError
from ogive.estimators._batch import Batch

__all__ = ["fisher", "grad_norm", "grasp", "l2_norm", "plain", "snip", "synflow", "zico"]

_NORMALISATIONS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.RMSNorm,
)

_CHANNELLED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""Layers whose weights have the channels that come out as their first dimension."""


def l2_norm(network: nn.Module, _: Batch) -> float:
    """The sum of the layers' weight norms (Abdelfattah et al. 2021, arXiv:2101.08134)."""
    return sum(float(w.detach().norm()) for w in weights_of(network))


def plain(network: nn.Module, batch: Batch) -> float:
    """The sum of weight times gradient (Abdelfattah et al. 2021, arXiv:2101.08134).

    A normalisation after a layer makes the layer's sum zero, but for rounding, whatever the
    architecture: what is left comes from layers without one, and hangs on how these were drawn.
    """
    pairs = _weights_and_gradients(network, batch)
    return sum(float((w.detach() * g).sum()) for w, g in pairs)


def snip(network: nn.Module, batch: Batch) -> float:
    """The sum of the absolute weight times gradient (Lee et al. 2019, arXiv:1810.02340)."""
    # The gradient of a mask of ones on the weights is the weight times its own gradient.
    pairs = _weights_and_gradients(network, batch)
    return sum(float((w.detach() * g).abs().sum()) for w, g in pairs)


def grad_norm(network: nn.Module, batch: Batch) -> float:
    """The sum of the layers' gradient norms (Abdelfattah et al. 2021, arXiv:2101.08134)."""
    return sum(float(g.norm()) for _, g in _weights_and_gradients(network, batch))


def grasp(network: nn.Module, batch: Batch) -> float:
    """Minus weight times Hessian times gradient, summed (Wang et al. 2020, arXiv:2002.07376).

    The sign is that of Abdelfattah et al. 2021. It takes the time of four gradients and thrice
    their memory. A difference of gradients is no way around: rectifiers bend too often.

    Raises:
        SettingError: If torch has no second derivative of one of the layers.
    """
    weights = weights_of(network)
    with sdpa_kernel(SDPBackend.MATH):  # of attention, what has a second derivative
        gradients = _gradients(_loss(network, batch), weights, create_graph=True)
    product = torch.stack([(g.detach() * g).sum() for g in gradients]).sum()
    if not product.requires_grad:  # no loss is curved
        return 0.0
    try:
        curved = _gradients(product, weights)  # H g, of the same pass as g
    except RuntimeError as error:
        if "not implemented" not in str(error):
            raise
        raise SettingError(
            "grasp is for layers with a second derivative, but one of the network has none: "
            f"{str(error).splitlines()[0]} Leave it out, or choose snip or grad_norm."
        ) from error
    return -sum(float((w.detach() * h).sum()) for w, h in zip(weights, curved, strict=True))


def fisher(network: nn.Module, batch: Batch) -> float:
    """The channels' Fisher information (Theis et al. 2018, arXiv:1801.05787).

    Half the squared sum over places of activation times gradient, on average over the batch, where
    an activation is what a convolution or a linear layer gives (Turner et al. 2020,
    arXiv:1906.04113). A channel counts as often as it has weights: the published
    implementation of Abdelfattah et al. 2021 spreads it over them before it sums.

    Raises:
        SettingError: If the network has neither convolutions nor linear layers.
    """
    layers = [m for m in network.modules() if isinstance(m, _CHANNELLED)]
    if not layers:
        raise SettingError(
            "fisher is for networks with convolutions or linear layers, but there are none in "
            f"{type(network).__name__}. Leave it out; snip and grad_norm take weights of any kind."
        )
    found: list[tuple[nn.Module, Tensor]] = []

    def keep(module: nn.Module, _: object, out: Tensor) -> Tensor:
        found.append((module, out))
        return out.clone()  # What comes next may work in place.

    for module in layers:
        module.register_forward_hook(keep)
    loss = _loss(network, batch)
    found = [(layer, out) for layer, out in found if out.requires_grad]  # not what is frozen
    gradients = _gradients(loss, [out for _, out in found])
    total = 0.0
    for (layer, out), gradient in zip(found, gradients, strict=True):
        product = out.detach() * gradient
        dim = product.dim() - 1 if isinstance(layer, nn.Linear) else 1
        places = [d for d in range(1, product.dim()) if d != dim]
        channels = product.sum(places) if places else product  # (batch, channels)
        weight = layer.weight
        assert isinstance(weight, Tensor)
        total += float(channels.square().mean(0).sum()) / 2 * weight[0].numel()
    return total


def synflow(network: nn.Module, batch: Batch) -> float:
    """The logarithm of the synaptic flow (Tanaka et al. 2020, arXiv:2006.05467, Algorithm 1).

    The sum of the absolute weight times gradient, where weights are replaced by their absolute values, the
    input by ones and the loss by the sum of the outputs. No data is looked at, and normalisations
    are left out: they would take away what is measured. In double precision, since it grows
    exponentially with depth; for the same reason the logarithm is what is returned.
    """
    _leave_out_normalisations(network)
    network.eval().double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    weights = weights_of(network)
    flow = network(torch.ones_like(batch.inputs[:1], dtype=torch.float64)).sum()
    products = zip(weights, _gradients(flow, weights), strict=True)
    total = sum(float((w.detach() * g).abs().sum()) for w, g in products)
    return math.log(total) if total > 0 else -math.inf


def zico(network: nn.Module, batch: Batch) -> float:
    """ZiCo (Li et al. 2023, arXiv:2301.11300).

    Over two halves of the batch: the sum over layers of the logarithm of the sum over weights of
    the mean absolute gradient by the gradient's standard deviation. Weights whose gradient is the same
    in both, and layers without any other, are left out.
    """
    half = len(batch.inputs) // 2
    weights = weights_of(network)
    parts = [
        _gradients(_loss(network, batch, slice(start, start + half)), weights)
        for start in (0, half)
    ]
    total = 0.0
    for pair in zip(*parts, strict=True):
        gradients = torch.stack(pair)
        deviation = gradients.std(0, correction=0)
        ratios = (gradients.abs().mean(0) / deviation)[deviation > 0]
        if len(ratios):
            total += math.log(float(ratios.sum()))
    return total


# What they share


def weights_of(network: nn.Module) -> list[Tensor]:
    """The trainable parameters of two and more dimensions.

    Raises:
        SettingError: If there are none.
    """
    weights: list[Tensor] = [p for p in network.parameters() if p.requires_grad and p.dim() > 1]
    if not weights:
        raise SettingError(
            "A zero-cost proxy of weights is for networks with trainable ones, but "
            f"{type(network).__name__} has none. Leave it out, or unfreeze the network."
        )
    return weights


def _weights_and_gradients(network: nn.Module, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    weights = weights_of(network)
    return list(zip(weights, _gradients(_loss(network, batch), weights), strict=True))


def _loss(network: nn.Module, batch: Batch, rows: slice = slice(None)) -> Tensor:
    """The loss in training mode: normalised by the batch's own statistics."""
    return batch.loss(network.train()(batch.inputs[rows]), batch.targets[rows])


def _gradients(
    value: Tensor, of: Sequence[Tensor], *, create_graph: bool = False
) -> tuple[Tensor, ...]:
    """Gradients, zero where the value does not depend on a tensor."""
    if not value.requires_grad:
        return tuple(map(torch.zeros_like, of))
    return torch.autograd.grad(
        value, of, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )


def _leave_out_normalisations(network: nn.Module) -> None:
    """Has normalisations give what they get; they stay, for a layer may look at those that it has."""
    for module in network.modules():
        if isinstance(module, _NORMALISATIONS):
            module.forward = nn.Identity().forward  # type: ignore[method-assign]
