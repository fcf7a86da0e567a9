"""Latency as the sum of a network's parts, learned from a few networks that were measured."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ogive._whole import write_whole
from ogive.errors import SettingError
from ogive.hardware._latency import Engine, measure_latency
from ogive.hardware._parts import Part, Parts, network_parts, operations
from ogive.hardware._table import OperationTable
from ogive.strategies import Additive, GaussianProcess, Posterior
from ogive.task import Task

__all__ = ["LatencyPredictor", "PredictionError", "learn_latency"]

_Floats = NDArray[np.float64]

_SIZES = ("calls", "multiplications", "numbers moved")

_WEIGHTS = (0.5, 0.5, 0.1)
"""What the blocks of a design are expected to explain, as shares of the targets' variance."""

_FREEDOM = 4.0
"""Degrees of freedom of the errors: what else a machine does falls on few measurements, and hard."""

_REWEIGHTED = 3
"""Times that measurements are weighed anew, after which their weights hardly change."""

_FOLDS = 10
_FEWEST = 10
"""Networks, below which an error of folds says nothing."""


@dataclass(frozen=True, slots=True)
class PredictionError:
    """How far predictions were off on networks that the predictor had not seen, by folds.

    Attributes:
        relative: The mean of ``|predicted - measured| / measured``.
        spearman: The rank correlation of predicted and measured.
        networks: How many.
    """

    relative: float
    spearman: float
    networks: int


class LatencyPredictor:
    """Predicts milliseconds from the parts of a network.

    A Gaussian process that is linear in how often each part occurs. What a part takes is expected
    to be what its kind takes for a call, a multiplication and a number moved, and in proportion to
    its time in the table, if there is one; how much each part may differ from that is learned too
    (:class:`ogive.strategies.GaussianProcess`, most probable a posteriori). Errors count in
    relation to what was measured, and are those of Student's t: a network that was measured while
    the machine was busy counts the less, the further it is from what the others say of it (Lange,
    Little & Taylor 1989, "Robust statistical modeling using the t distribution").

    As it is called like one of :data:`COSTS`, it takes the place of a measurement:
    ``predictor(network, task, batch_size)`` builds nothing and runs nothing but the meta device.

    Args:
        table: Measured operations.
    """

    def __init__(self, table: OperationTable | None = None) -> None:
        self._table = table
        self._measured: tuple[Sequence[Parts], _Floats] | None = None
        self._fitted: _Fitted

    def fit(self, parts: Sequence[Parts], ms: Sequence[float]) -> LatencyPredictor:
        """Learns from measured networks.

        Args:
            parts: Of each network: :func:`network_parts`, or :func:`decided_parts`, or both.
            ms: What each took.

        Raises:
            SettingError: If these are fewer than 10, of different lengths, or not positive, or no
                network has a part.
        """
        if parts and not any(parts):
            raise SettingError(
                "A latency predictor learns from what networks consist of, but none of "
                f"{len(parts)} networks has a part. Give it network_parts or decided_parts of each."
            )
        times = np.asarray(ms, dtype=np.float64)
        positive = bool((np.isfinite(times) & (times > 0)).all())
        if len(parts) != len(times) or len(parts) < _FEWEST or not positive:
            raise SettingError(
                f"A latency predictor learns from at least {_FEWEST} networks, each with a "
                f"positive time, but got {len(parts)} networks and {len(times)} times, from "
                f"{times.min(initial=np.inf)} to {times.max(initial=0)}. Measure more."
            )
        self._measured = parts, times
        self._fitted = _Fitted(parts, times, self._table)
        self.__dict__.pop("error", None)
        return self

    def predict(self, parts: Sequence[Parts]) -> _Floats:
        """Returns the milliseconds of networks, ``(networks,)``, none of them negative.

        Raises:
            SettingError: Before :meth:`fit`.
        """
        self._known  # noqa: B018  # for its error
        return self._fitted.predict(parts)

    @cached_property
    def error(self) -> PredictionError:
        """What to expect of predictions for networks like the measured ones: ten folds of them.

        Raises:
            SettingError: Before :meth:`fit`.
        """
        parts, times = self._known
        # In no order that folds could follow, should a user's networks be sorted.
        fold = np.random.default_rng(0).permutation(len(parts)) % _FOLDS
        predicted = np.empty(len(parts))
        for held in range(_FOLDS):
            rest = [part for part, f in zip(parts, fold, strict=True) if f != held]
            fitted = _Fitted(rest, times[fold != held], self._table)
            out = [part for part, f in zip(parts, fold, strict=True) if f == held]
            predicted[fold == held] = fitted.predict(out)
        relative = float(np.abs(predicted / times - 1).mean())
        if np.ptp(predicted) == 0 or np.ptp(times) == 0:  # what ranks nothing agrees with nothing
            return PredictionError(relative, 0.0, len(parts))
        from scipy.stats import spearmanr  # which takes most of a second

        return PredictionError(relative, float(spearmanr(predicted, times)[0]), len(parts))

    def save(self, path: str | Path) -> None:
        """Writes what was measured as JSON, whole or not at all.

        Raises:
            SettingError: Before :meth:`fit`.
        """
        saved = self._to_json()
        write_whole(Path(path), lambda part: part.write_text(saved))

    @property
    def key(self) -> str:
        """Tells what it learned from, in 12 letters: another device has another one.

        Raises:
            SettingError: Before :meth:`fit`.
        """
        return hashlib.sha256(self._to_json().encode()).hexdigest()[:12]

    def _to_json(self) -> str:
        networks, times = self._known
        place = {
            part: i for i, part in enumerate(dict.fromkeys(p for some in networks for p in some))
        }
        return json.dumps(
            {
                "parts": [astuple(part) for part in place],
                "networks": [
                    [(place[p], count) for p, count in some.items()] for some in networks
                ],
                "ms": times.tolist(),
                "table": None if self._table is None else self._table.to_json(),
            }
        )

    @classmethod
    def load(cls, path: str | Path) -> LatencyPredictor:
        """Learns anew from what :meth:`save` wrote, on this machine or another one.

        Raises:
            SettingError: If that is not there, or something else.
        """
        try:
            saved = json.loads(Path(path).read_text())
            parts = [Part(*part) for part in saved["parts"]]
            networks = [{parts[i]: count for i, count in some} for some in saved["networks"]]
            table = None if saved["table"] is None else OperationTable.from_json(saved["table"])
            return cls(table).fit(networks, saved["ms"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise SettingError(
                f"A latency predictor is loaded from what its save wrote, but {path} is not that "
                f"({error}). Make one with learn_latency, and save it."
            ) from error

    def __call__(self, network: nn.Module, task: Task, _batch_size: int = 1) -> float:
        """Returns the predicted milliseconds of one network, a cost like any other."""
        return float(self.predict([network_parts(network, task)])[0])

    @property
    def _known(self) -> tuple[Sequence[Parts], _Floats]:
        if self._measured is None:
            raise SettingError(
                "A latency predictor must be fitted before it is asked. Call fit, or make it with "
                "learn_latency."
            )
        return self._measured


class _Fitted:
    """The process after some networks."""

    def __init__(
        self, parts: Sequence[Parts], times: _Floats, table: OperationTable | None
    ) -> None:
        self._design = _Design(parts, table)
        self._least = float(times.min()) / 100
        blocks = self._design(parts)
        weights = np.ones(len(times))
        for _ in range(_REWEIGHTED):
            self._posterior = self._weighed(blocks, times, weights)
            off = self._posterior.left_out / np.sqrt(weights)
            spread = np.median(np.abs(off)) / 0.6745  # a standard deviation, were they normal
            weights = (_FREEDOM + 1) / (_FREEDOM + (off / (spread + 1e-12)) ** 2)
            weights /= weights.mean()
        self._posterior = self._weighed(blocks, times, weights)

    def _weighed(self, blocks: Sequence[_Floats], times: _Floats, weights: _Floats) -> Posterior:
        """The process where measurements have weights."""
        # Rows and targets are divided by what was measured, so that errors are relative ones.
        self._middle = 1 / float(np.average(1 / times, weights=weights))
        share = self._middle / times * np.sqrt(weights)
        targets = (times - self._middle) * share
        self._spread = float(targets.std()) or 1.0
        targets /= self._spread
        points = [columns * share[:, None] for columns in blocks]
        process = GaussianProcess(
            [
                Additive(np.zeros(columns.shape[1], dtype=np.intp), weight)
                for columns, weight in zip(points, _WEIGHTS, strict=True)
            ]
        )
        return process.posterior(process.fit(points, targets), points, targets)

    def predict(self, parts: Sequence[Parts]) -> _Floats:
        if not parts:
            return np.empty(0)
        times = self._posterior.mean(self._design(parts)) * self._spread + self._middle
        return np.maximum(times, self._least)


class _Design:
    """Networks as the columns of a linear model, centred and of the same size a block.

    The blocks are how often each part occurs, by its expected weight; the totals of each kind; and
    a constant.
    """

    def __init__(self, parts: Sequence[Parts], table: OperationTable | None) -> None:
        self._table = table
        known = list(dict.fromkeys(part for some in parts for part in some))
        self._place = {part: i for i, part in enumerate(known)}
        self._kinds = {kind: i for i, kind in enumerate(dict.fromkeys(p.kind for p in known))}
        sizes = np.array([self._sizes(part)[1:] for part in known])
        mean = sizes.mean(0)
        self._weights = 0.5 + (sizes / np.where(mean > 0, mean, 1.0)).sum(1)
        blocks = self._columns(parts)
        self._centres = [block.mean(0) for block in blocks]
        spread = blocks[1].std(0)
        self._scales = [np.ones(len(known)), np.where(spread > 0, spread, np.inf)]
        self._lengths = [1.0, 1.0]
        rows = self(parts)[:2]
        self._lengths = [float(np.sqrt((row**2).sum(1).mean())) or 1.0 for row in rows]

    def __call__(self, parts: Sequence[Parts]) -> list[_Floats]:
        blocks = zip(self._columns(parts), self._centres, self._scales, self._lengths, strict=True)
        columns = [(block - centre) / scale / length for block, centre, scale, length in blocks]
        return [*columns, np.ones((len(parts), 1))]

    def _columns(self, parts: Sequence[Parts]) -> list[_Floats]:
        each = np.zeros((len(parts), len(self._place)))
        totals = np.zeros((len(parts), len(self._kinds), len(_SIZES) + (self._table is not None)))
        for row, some in enumerate(parts):
            for part, count in some.items():
                if part in self._place:
                    each[row, self._place[part]] = count
                if part.kind in self._kinds:
                    totals[row, self._kinds[part.kind]] += count * np.array(self._sizes(part))
        return [each * self._weights, totals.reshape(len(parts), -1)]

    def _sizes(self, part: Part) -> list[float]:
        """What the cost of a part is expected to be in proportion to."""
        sizes = [1.0, part.macs, part.numbers]
        return sizes if self._table is None else [*sizes, self._table[part]]


def learn_latency(
    networks: Iterable[nn.Module],
    task: Task,
    *,
    table: bool = True,
    engine: Engine = "onnxruntime",
    threads: int = 1,
    batch: int = 1,
    seconds: float = 0.3,
) -> LatencyPredictor:
    """Measures networks on this machine and returns what predicts others like them.

    Args:
        networks: On the CPU, at least 10; a few dozen for a space of many decisions.
        task: Gives the input.
        table: Whether each of their operations is measured alone, too.
        engine: As for :func:`measure_latency`.
        threads: What the engine may use.
        batch: Samples in a pass.
        seconds: How long each network is measured for, roughly.
    """
    measured = OperationTable(engine=engine, threads=threads, batch=batch) if table else None
    parts: list[Parts] = []
    times: list[float] = []
    for network in networks:
        found = operations(network, task)
        if measured is not None:
            measured.measure(found)
        parts.append(Counter(operation.part for operation in found))
        latency = measure_latency(
            network, task, engine=engine, threads=threads, batch=batch, seconds=seconds
        )
        times.append(latency.median_ms)
    return LatencyPredictor(measured).fit(parts, times)
