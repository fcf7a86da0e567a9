"""Files that are there whole or not at all, whatever ends the process that writes them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

__all__ = ["check_room", "write_whole"]

_NO_ROOM = 1 << 20
"""Bytes; a disk with less is full, where a file could not be written."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file whole or not at all.

    Raises:
        OSError: Also where the disk is full, which writers of tensors say in words of their own.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        write(part)
    except (RuntimeError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        check_room(path, error)
        raise
    part.replace(path)


def check_room(path: Path, error: Exception) -> None:
    """Raises an OSError, if what could not be written may have found no room on the disk."""
    if shutil.disk_usage(path.parent).free < _NO_ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
