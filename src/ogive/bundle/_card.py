"""The card of a bundle: what the network is, for whom, how good, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ogive.text import number

__all__ = ["card_text"]

_PAGES = Environment(
    loader=PackageLoader("ogive.bundle", "scripts"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701  # It is Markdown in a file, not a page.
)
_PAGES.filters["number"] = number


def card_text(card: Mapping[str, Any]) -> str:
    """Returns the card as Markdown."""
    known: dict[str, Any] = dict.fromkeys(_PARTS)
    return _PAGES.get_template("card.md.j2").render({**known, **card})


_PARTS = (
    "ogive task limits costs test validation reference seed environment recipe command space"
    " verification architecture"
).split()
