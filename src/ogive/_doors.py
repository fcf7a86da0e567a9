"""Doors of packages that import a name when it is first used: torch alone takes seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["when_used"]


def when_used(door: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns a module's ``__getattr__`` (PEP 562), and has ``dir`` show those names, too.

    Args:
        door: The module's name.
        homes: Where each name lives: a module, and after a colon what it is called there, if that
            is something else. For type checkers they are imported under ``TYPE_CHECKING``, too.
    """

    def imported(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {door!r} has no attribute {name!r}")
        module, _, attribute = homes[name].partition(":")
        value = getattr(import_module(module), attribute or name)
        setattr(sys.modules[door], name, value)
        return value

    module = sys.modules[door]
    module.__dir__ = lambda: sorted({*vars(module), *homes})  # type: ignore[method-assign]
    return imported
