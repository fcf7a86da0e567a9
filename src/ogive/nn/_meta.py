"""Running networks on the meta device, for their shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Shapes"]

_ATEN = torch.ops.aten

_ALIKE = frozenset(
    {
        _ATEN.celu.default,
        _ATEN.elu.default,
        _ATEN.gelu.default,
        _ATEN.hardsigmoid.default,
        _ATEN.hardswish.default,
        _ATEN.hardtanh.default,
        _ATEN.leaky_relu.default,
        _ATEN.mish.default,
        _ATEN.relu.default,
        _ATEN.softplus.default,
    }
)
"""What gives a tensor like its first, and takes a millisecond or more to say so."""


class Shapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answers at once what the meta device takes milliseconds for.

    There torch composes batch normalisation and activations of their parts, in Python; a quarter of
    a second for a network, where all that is asked is what shape the outputs have.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keeps torch from importing its compiler, for seconds, to leave this out of it."""
        return False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        first = args[0] if args else None
        if isinstance(first, Tensor) and first.is_meta and first.is_floating_point():
            if func in _ALIKE:
                return torch.empty_like(first)
            if func is _ATEN.native_batch_norm.default:
                # And the means and deviations that are kept for the backward pass.
                of = torch.promote_types(first.dtype, torch.float32)
                mean, deviation = (first.new_empty(first.shape[1], dtype=of) for _ in range(2))
                return torch.empty_like(first), mean, deviation
        return func(*args, **(kwargs or {}))
