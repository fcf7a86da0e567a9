"""Pages that open without a network: templates, with Plotly's script inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

__all__ = ["write_page"]

_PAGES = Environment(
    loader=PackageLoader("ogive.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(template: str, view: Mapping[str, Any], path: str | Path) -> None:
    """Writes a page, whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    page = _PAGES.get_template(template).render(plotly=get_plotlyjs(), **view)
    part = Path(f"{path}.part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)
