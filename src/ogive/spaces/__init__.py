"""Ready-made search spaces: network functions that a task's default is taken from.

What takes torch is imported when first used: the spaces of benchmark tables do without, and
strategies are compared on them in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ogive._doors import when_used
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

__getattr__ = when_used(
    __name__,
    {
        "SPACES": "ogive.spaces._ready",
        "by_name": "ogive.spaces._ready",
        "convnet": "ogive.spaces._convnet",
        "default": "ogive.spaces._ready",
        "mlp": "ogive.spaces._mlp",
        "nasbench201": "ogive.spaces._nasbench201",
    },
)
