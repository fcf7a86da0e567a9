"""torch's optimizers without torch's compiler.

Their methods import it when first called, only to say that it shall leave them alone: that takes
a process longer than the rest of torch, and every worker is a process of its own.
"""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch
from torch.optim import Optimizer

__all__ = ["SGD", "AdamW"]

T = TypeVar("T", bound=Optimizer)

_KEPT_FROM_THE_COMPILER = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def _eager(optimizer: type[T]) -> type[T]:
    """The same optimizer, its methods as they stand in torch's source, below their decorators."""
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in _KEPT_FROM_THE_COMPILER}
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods)


AdamW = _eager(torch.optim.AdamW)
SGD = _eager(torch.optim.SGD)
