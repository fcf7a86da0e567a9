"""One point of a search space."""

from __future__ import annotations

import hashlib
import json
from collections.abc import ItemsView, Iterator, Mapping
from typing import Any

Value = bool | int | float | str | None | tuple[Any, ...]
"""What a decision may be decided as: JSON, with tuples for lists."""

__all__ = ["Architecture", "Value", "freeze"]


def freeze(value: Any) -> Value:
    """Turns the lists of JSON into the tuples of an architecture."""
    return tuple(freeze(item) for item in value) if isinstance(value, list | tuple) else value


class Architecture(Mapping[str, Value]):
    """The decided decisions of one network: path → value, active decisions only.

    Frozen, hashable, equal where the decisions are equal in whatever order they were given, and
    JSON both ways. It knows nothing of its space: :meth:`SearchSpace.validate` checks one.

    Args:
        decided: The value of each path.
        frozen: Whether ``decided`` may be kept as it is: a dictionary that nobody else changes, with
            tuples and no lists.
    """

    __slots__ = ("_decided", "_hash", "_key")

    def __init__(self, decided: Mapping[str, Any], *, frozen: bool = False) -> None:
        self._decided: dict[str, Value]
        if frozen and isinstance(decided, dict):
            self._decided = decided
        else:
            self._decided = {
                path: freeze(value) if isinstance(value, list) else value
                for path, value in decided.items()
            }
        self._hash: int | None = None
        self._key: str | None = None

    def __getitem__(self, path: str) -> Value:
        return self._decided[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decided)

    def __len__(self) -> int:
        return len(self._decided)

    def __contains__(self, path: object) -> bool:
        return path in self._decided

    def items(self) -> ItemsView[str, Value]:
        return self._decided.items()  # three times as fast as the one that a mapping is given

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Architecture):
            return self._decided == other._decided
        return NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._decided.items()))
        return self._hash

    def __repr__(self) -> str:
        return f"Architecture({self._decided!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Architecture, (self._decided,)

    @property
    def key(self) -> str:
        """A name for it that is the same in every process: 16 hexadecimal digits."""
        if self._key is None:
            text = json.dumps(self._decided, sort_keys=True, separators=(",", ":"))
            self._key = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self._key

    def replace(self, decided: Mapping[str, Value]) -> Architecture:
        """Returns the same architecture with these decisions decided otherwise."""
        changed = {path: freeze(value) for path, value in decided.items()}
        return Architecture({**self._decided, **changed}, frozen=True)

    def to_json(self) -> dict[str, Any]:
        return dict(self._decided)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Architecture:
        return cls(data)
