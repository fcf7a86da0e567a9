"""A pool of architectures that were looked at cheaply, before any is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ogive.errors import OgiveError, SettingError
from ogive.estimators._proxies import aggregate_ranks, rank_shares
from ogive.estimators._run import Estimator, Run, number, plain
from ogive.space import Architecture, PoolSpace, SearchSpace

__all__ = ["Screened", "screen"]


@dataclass(frozen=True)
class Screened:
    """Architectures and what is known of them: side information for a strategy with a model.

    ``BayesianOptimization(screened.space, features=screened.numbers)`` searches among them.

    Attributes:
        space: The pool of them.
        values: By metric, a number each, in the order of the pool; NaN where it failed or does not
            apply.
    """

    space: PoolSpace
    values: Mapping[str, NDArray[np.float64]]

    def numbers(self, architecture: Architecture) -> list[float]:
        """Returns for each metric the share of the pool that is no better, from 0 to 1.

        Where a metric does not apply, that is a half.

        Raises:
            SettingError: If the architecture is not in the pool.
        """
        place = self._places.get(self.space.canonical(architecture))
        if place is None:
            raise SettingError(
                "What was screened is known of the pool alone, but the architecture is not in it: "
                f"{dict(architecture)}. Give the strategy the pool's space, screened.space."
            )
        found: list[float] = self._shares[place].tolist()
        return found

    def best(self, count: int) -> list[Architecture]:
        """Returns those with the best ranks by all metrics together; see ``aggregate_ranks``."""
        order = np.argsort(-aggregate_ranks(self.values), kind="stable")
        pool = list(self.space.enumerate())
        return [pool[place] for place in order[:count].tolist()]

    @cached_property
    def _places(self) -> dict[Architecture, int]:
        return {self.space.canonical(a): i for i, a in enumerate(self.space.enumerate())}

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        shares = rank_shares(np.stack(list(self.values.values())))
        # A proxy that does not apply to a network says neither good nor bad of it.
        return np.nan_to_num(shares, nan=0.5).T


def screen(estimator: Estimator, space: SearchSpace, count: int, *, seed: int = 0) -> Screened:
    """Draws architectures and asks a cheap estimator, such as ``ZeroCost``, for each.

    Args:
        estimator: Its metrics are better when they are larger.
        space: Where they are drawn from.
        count: How many; equal ones count once, so there may be fewer.
        seed: Of the draws, and of each run.

    Raises:
        SettingError: Unless ``count >= 1``.
        OgiveError: If the estimator fails for each of them; its own.
    """
    if count < 1:
        raise SettingError(f"count >= 1 must hold, but got count={count}.")
    rng = Random(seed)
    pool = PoolSpace(space, [space.sample(rng) for _ in range(count)])
    found: list[Mapping[str, Any]] = []
    failure: OgiveError | None = None
    for architecture in pool.enumerate():
        try:
            found.append(plain(estimator(architecture, Run(seed=seed))))
        except OgiveError as error:
            failure = error
            found.append({})
    numbers = ((n, v) for metrics in found for n, v in metrics.items())
    names = [*dict.fromkeys(n for n, v in numbers if isinstance(v, int | float))]
    if failure is not None and not names:
        raise failure
    return Screened(pool, {n: np.array([number(m, n) for m in found]) for n in names})
