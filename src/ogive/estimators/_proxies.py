"""Zero-cost proxies by name, and measuring them without a trace on the network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from ogive import hardware
from ogive import nn as readings
from ogive.errors import SettingError, TrialFailed, did_you_mean
from ogive.estimators import _activity as activity
from ogive.estimators import _saliency as saliency
from ogive.estimators._batch import Batch
from ogive.estimators._batches import laid_out, lay_out
from ogive.estimators._run import Run
from ogive.estimators._train import device_of
from ogive.nn import NetworkFunction
from ogive.space import Architecture
from ogive.task import Task

__all__ = ["PROXIES", "Proxy", "ZeroCost", "aggregate_ranks", "proxies"]

Proxy = Callable[[nn.Module, Batch], float]
"""How good might an untrained network become? The larger, the better."""


def params(network: nn.Module, _: Batch) -> float:
    """How many trainable numbers a network has."""
    return hardware.params(network)


def macs(network: nn.Module, batch: Batch) -> float:
    """Multiply-accumulate operations of one sample; see :func:`ogive.hardware.macs`."""
    return hardware.macs(network, batch)


PROXIES: Mapping[str, Proxy] = MappingProxyType(
    {
        "params": params,
        "macs": macs,
        "l2_norm": saliency.l2_norm,
        "plain": saliency.plain,
        "snip": saliency.snip,
        "grad_norm": saliency.grad_norm,
        "grasp": saliency.grasp,
        "fisher": saliency.fisher,
        "synflow": saliency.synflow,
        "zico": saliency.zico,
        "jacov": activity.jacov,
        "naswot": activity.naswot,
        "zen": activity.zen,
    }
)
"""Zero-cost proxies by name; each says in its docstring what it is and who proposed it. They
change the network that they are given: :func:`proxies` gives each a copy."""


def proxies(
    network: nn.Module,
    batch: Batch,
    names: Iterable[str] = tuple(PROXIES),
    *,
    seed: int | None = None,
    strict: bool = True,
) -> dict[str, float]:
    """Measures zero-cost proxies of a network, and leaves it as it was.

    Each works on a copy, so weights, gradients, buffers and modes stay; torch's generators do, too.

    Args:
        network: Untrained, on the device of the batch.
        batch: Some training data. The same for networks that are to be compared.
        names: Keys of :data:`PROXIES`.
        seed: Convolutions and linear layers are drawn anew from it, the way torch does by itself;
            if not given, the network's weights are taken as they are. The published figures are
            for torch's way. Where a network was made to begin otherwise, gradients are of another
            size, and ``grasp``, which is quadratic in them, ranks otherwise.
        strict: Whether a proxy that does not apply to the network is an error. Else it is left out,
            as long as another does.

    Raises:
        SettingError: If a name is no proxy, or a proxy does not apply to the network.
        TrialFailed: If a value is not finite: no signal or no gradient comes through the network,
            or it makes no difference between two samples.
    """
    names = _known(names)
    if seed is not None:
        network = _drawn_anew(network, seed)
    images = batch.inputs.dim() == 4
    if images:  # Half again as fast as channels-first.
        batch = replace(batch, inputs=laid_out(batch.inputs))
    found: dict[str, float] = {}
    refused: SettingError | None = None
    for name in names:
        with torch.random.fork_rng(_cuda()), torch.enable_grad():
            torch.manual_seed(batch.seed)  # of dropout
            mine = copy.deepcopy(network)
            if images:
                lay_out(mine)
            try:
                found[name] = PROXIES[name](mine, batch)
            except SettingError as error:
                if strict:
                    raise
                refused = error
                continue
        if not math.isfinite(found[name]):
            raise TrialFailed(
                f"A zero-cost proxy must be a finite number, but {name} is {found[name]}: nothing "
                "comes through the network, forth or back, or samples of the batch are all alike "
                "to it. Leave the proxy out if many networks of a space fail so."
            )
    if refused is not None and not found:
        raise refused
    return found


def _drawn_anew(network: nn.Module, seed: int) -> nn.Module:
    network = copy.deepcopy(network)
    with torch.random.fork_rng(_cuda()):
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
                module.reset_parameters()
    return network


def aggregate_ranks(values: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    """Joins proxies to one score (AZ-NAS: Lee & Ham 2024, arXiv:2403.19232, ranking aggregation).

    The sum over proxies of ``log(rank / n)``, where ``n`` architectures have ranks from 1, the
    worst, to ``n``. The logarithm punishes a bad rank by one proxy more than good ranks by others
    make up for. Equal values share the mean of their ranks. Where a proxy says nothing of an
    architecture (NaN), the mean of the others stands for it, each of a rank among those that it
    does say something of; where all say nothing, it comes last.

    Args:
        values: The values ``(n,)`` of each proxy, in the same order of architectures.

    Returns:
        ``(n,)``, at most 0; the larger, the better.

    Raises:
        SettingError: If there are no values, or not as many of each proxy.
    """
    columns = {name: np.asarray(column, dtype=np.float64) for name, column in values.items()}
    if len({column.shape for column in columns.values()}) != 1:
        shapes = {name: column.shape for name, column in columns.items()}
        raise SettingError(
            f"Proxies are joined over the same architectures, but got values of shapes {shapes}."
        )
    shares = rank_shares(np.stack(list(columns.values())))
    score: NDArray[np.float64] = len(shares) * np.nanmean(np.log(shares), axis=0)
    return score


def rank_shares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns of each value what share of those of its row is no better, NaN left out.

    Args:
        values: ``(proxies, architectures)``. What is NaN in all rows counts as the worst in each.
    """
    from scipy.stats import rankdata  # which takes most of a second

    silent = np.isnan(values).all(axis=0)
    told = np.where(silent, -np.inf, values)
    ranks = rankdata(told, axis=1, nan_policy="omit")
    shares: NDArray[np.float64] = ranks / (~np.isnan(told)).sum(axis=1, keepdims=True)
    return shares


@dataclass(frozen=True)
class ZeroCost:
    """The estimator that does not train: zero-cost proxies of an architecture's network.

    A proxy that does not apply to a network (``naswot`` without rectifiers) is not among its
    metrics; where ranks are joined, the others stand for it. It takes no notice of fidelity. The
    weights are drawn from the run's seed; the batch is the same for all architectures.

    Attributes:
        network: The network function.
        task: What networks are for.
        names: Keys of :data:`PROXIES`; each is a metric of that name.
        samples: How many a batch has. On NAS-Bench-201 more than 16 rank little better, and cost
            in proportion.

    Raises:
        SettingError: If a name is no proxy.
    """

    network: NetworkFunction
    task: Task
    names: Sequence[str] = ("synflow", "naswot")
    samples: int = 16

    def __post_init__(self) -> None:
        _known(self.names)

    def __call__(self, architecture: Architecture, run: Run) -> dict[str, float]:
        """Builds the network from the run's seed, and measures it."""
        device = device_of(run.device)
        batch = Batch.of(self.task, self.samples).to(device)
        with readings.threads(run.threads), torch.random.fork_rng(_cuda()):
            torch.manual_seed(run.seed)
            network = readings.build(self.network, self.task, architecture).to(device)
            return proxies(network, batch, self.names, seed=run.seed, strict=False)


def _known(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise SettingError(
            f"Proxies are a sequence of names, but got {names!r}: give [{names!r}]."
        )
    names = tuple(names)
    for name in names:
        if name not in PROXIES:
            raise SettingError(f"{name!r} is no zero-cost proxy.{did_you_mean(name, PROXIES)}")
    return names


def _cuda() -> list[int]:
    return list(range(torch.cuda.device_count()))
