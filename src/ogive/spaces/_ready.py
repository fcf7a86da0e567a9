"""The ready-made network functions by name, and which of them suits a task."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ogive.errors import SettingError, did_you_mean
from ogive.nn import NetworkFunction
from ogive.spaces._convnet import convnet
from ogive.spaces._mlp import mlp
from ogive.spaces._nasbench201 import nasbench201
from ogive.task import Task

__all__ = ["SPACES", "by_name", "default"]

SPACES: Mapping[str, NetworkFunction] = MappingProxyType(
    {"convnet": convnet, "mlp": mlp, "nasbench201": nasbench201}
)
"""The ready-made spaces by name."""

_DEFAULTS: Mapping[str, NetworkFunction] = MappingProxyType({"images": convnet, "tabular": mlp})


def by_name(name: str) -> NetworkFunction:
    """Returns a ready-made space by its name in :data:`SPACES`.

    Raises:
        SettingError: There is none of that name.
    """
    if name not in SPACES:
        raise SettingError(
            f"A space must be named in ogive.spaces.SPACES, but got {name!r}."
            + did_you_mean(name, SPACES)
        )
    return SPACES[name]


def default(task: Task) -> NetworkFunction:
    """Returns the space that suits a task's kind of data.

    Raises:
        SettingError: There is no ready-made space for that kind.
    """
    if task.kind not in _DEFAULTS:
        raise SettingError(
            f"A ready-made space must exist for the task's kind of data, but there is none for "
            f"{task.kind!r}. Pass a network function of your own."
        )
    return _DEFAULTS[task.kind]
