"""Ready-made search spaces: network functions that a task's default is taken from.

What takes torch is imported when first used: the spaces of benchmark tables do without, and
strategies are compared on them in seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ogive.spaces._nasbench101 import nasbench101_cell, nasbench101_space
from ogive.spaces._nasbench201_cells import nasbench201_space

if TYPE_CHECKING:
    from ogive.spaces._convnet import convnet
    from ogive.spaces._mlp import mlp
    from ogive.spaces._nasbench201 import nasbench201
    from ogive.spaces._ready import SPACES, by_name, default

__all__ = [
    "SPACES",
    "by_name",
    "convnet",
    "default",
    "mlp",
    "nasbench101_cell",
    "nasbench101_space",
    "nasbench201",
    "nasbench201_space",
]

_HOMES = {
    "SPACES": "_ready",
    "by_name": "_ready",
    "convnet": "_convnet",
    "default": "_ready",
    "mlp": "_mlp",
    "nasbench201": "_nasbench201",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ogive.spaces' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"ogive.spaces.{_HOMES[name]}"), name)
    return value
