"""A run folder, read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ogive.engine import summarize

__all__ = ["read"]


def read(folder: Path) -> dict[str, Any]:
    """The journal's summary, with the bundle that an interrupted search left beside it.

    Raises:
        JournalError: If there is no readable journal.
    """
    summary = summarize(folder)
    written = folder / "summary.json"
    if summary["status"] == "interrupted" and written.exists():
        left = json.loads(written.read_text())
        summary |= {name: left.get(name) for name in ("graph", "bundle")}
    return summary
