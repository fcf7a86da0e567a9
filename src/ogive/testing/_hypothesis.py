"""Random search spaces, small enough to be enumerated, and random architectures of a space."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from ogive.space import Architecture, Condition, Decision, SearchSpace

__all__ = ["architectures", "spaces"]


@st.composite
def spaces(draw: DrawFn, *, most: int = 6, finite: bool = True) -> SearchSpace:
    """Search spaces of every kind of decision, with conditions that nest and join.

    Args:
        draw: Given by Hypothesis.
        most: The largest number of decisions.
        finite: Whether reals of more than one value are left out.
    """
    decisions: list[Decision] = []
    for number in range(draw(st.integers(1, most))):
        conditions = draw(_conditions(decisions))
        decisions.append(draw(_decisions(f"d{number}", conditions, finite=finite)))
    return SearchSpace(decisions, name="random")


def architectures(space: SearchSpace) -> SearchStrategy[Architecture]:
    """Architectures of a space, as it draws them."""
    return st.integers(0, 2**32).map(lambda seed: space.sample(Random(seed)))


@st.composite
def _decisions(
    draw: DrawFn, path: str, conditions: tuple[tuple[Condition, ...], ...], *, finite: bool
) -> Decision:
    kinds = ["categorical", "ordinal", "integer", "subset"] + ([] if finite else ["real"])
    kind = draw(st.sampled_from(kinds))
    count = draw(st.integers(1, 3))
    if kind == "categorical":
        return Decision(path, "categorical", options=tuple("abc"[:count]), conditions=conditions)
    if kind == "ordinal":
        values = draw(st.lists(st.integers(-5, 5), min_size=1, max_size=3, unique=True))
        return Decision(path, "ordinal", options=tuple(sorted(values)), conditions=conditions)
    if kind == "subset":
        sizes = draw(st.lists(st.integers(0, count), min_size=1, max_size=2, unique=True))
        options = tuple("abc"[:count])
        return Decision(
            path, "subset", options=options, sizes=tuple(sorted(sizes)), conditions=conditions
        )
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -3, 4))
    if kind == "integer":
        step = 1 if log else draw(st.integers(1, 3))
        high = low + step * draw(st.integers(0, 3))
        return Decision(
            path, "integer", low=low, high=high, step=step, log=log, conditions=conditions
        )
    end = low + draw(st.floats(0.1, 10))
    return Decision(path, "real", low=float(low), high=end, log=log, conditions=conditions)


@st.composite
def _conditions(draw: DrawFn, earlier: list[Decision]) -> tuple[tuple[Condition, ...], ...]:
    parents = [d for d in earlier if d.kind in ("categorical", "ordinal", "subset")]
    if not parents or draw(st.booleans()):
        return ((),)
    conjunctions = []
    for _ in range(draw(st.integers(1, 2))):
        parent = draw(st.sampled_from(parents))
        values = draw(st.sets(st.sampled_from(parent.options), min_size=1))
        # Inside an option of the parent, and so inside whatever the parent is inside of.
        outer = draw(st.sampled_from(parent.conditions))
        conjunctions.append((*outer, Condition(parent.path, frozenset(values))))
    return tuple(dict.fromkeys(conjunctions))
