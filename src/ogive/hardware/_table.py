"""What single operations take on this machine, each distinct one measured once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import nn

from ogive.hardware._latency import Engine, measure_latency
from ogive.hardware._parts import Operation, Part

__all__ = ["OperationTable"]


class OperationTable:
    """Milliseconds by operation; what was not measured is read off those of its kind.

    Args:
        engine: As for :func:`measure_latency`.
        threads: What the engine may use.
        batch: Samples in a pass.
        seconds: How long each operation is measured for, roughly.
    """

    def __init__(
        self,
        *,
        engine: Engine = "onnxruntime",
        threads: int = 1,
        batch: int = 1,
        seconds: float = 0.03,
    ) -> None:
        self._engine, self._threads = engine, threads
        self._batch, self._seconds = batch, seconds
        self._ms: dict[Part, float] = {}
        self._lines: dict[str, NDArray[np.float64]] = {}

    def __len__(self) -> int:
        return len(self._ms)

    def __getitem__(self, part: Part) -> float:
        """The measured time, or what the times of its kind give for its sizes, or 0."""
        if part in self._ms:
            return self._ms[part]
        if part.kind not in self._lines:
            return 0.0
        return float(_sizes(part) @ self._lines[part.kind])

    def measure(self, operations: Iterable[Operation]) -> int:
        """Measures what is not known yet, and returns how many that were.

        Operations that cannot be run alone (several inputs, indices) are left out.
        """
        before = len(self)
        for operation in operations:
            if operation.part not in self._ms and operation.shape is not None:
                assert operation.module is not None
                self._ms[operation.part] = self._measured(operation.module, operation.shape)
        if len(self) > before:
            self._lines = _lines(self._ms)
        return len(self) - before

    def to_json(self) -> dict[str, Any]:
        return {
            "engine": self._engine,
            "threads": self._threads,
            "batch": self._batch,
            "seconds": self._seconds,
            "ms": [[*astuple(part), ms] for part, ms in self._ms.items()],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> OperationTable:
        settings = {name: value for name, value in saved.items() if name != "ms"}
        table = cls(**settings)
        table._ms = {Part(*part): ms for *part, ms in saved["ms"]}
        table._lines = _lines(table._ms)
        return table

    def _measured(self, module: nn.Module, shape: tuple[int, ...]) -> float:
        latency = measure_latency(
            _filled(module),
            _Shaped(shape),
            engine=self._engine,
            threads=self._threads,
            batch=self._batch,
            seconds=self._seconds,
        )
        return latency.median_ms


@dataclass(frozen=True)
class _Shaped:
    shape: tuple[int, ...]


def _filled(module: nn.Module) -> nn.Module:
    """Returns a module of the meta device on the CPU, filled with ones."""
    # What memory holds by chance may be slow to compute with.
    module = module.to_empty(device="cpu")
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data.fill_(1)
    return module.eval()


def _sizes(part: Part) -> NDArray[np.float64]:
    return np.array([1.0, part.macs, part.numbers])


def _lines(ms: dict[Part, float]) -> dict[str, NDArray[np.float64]]:
    """For each kind, what a call, a multiplication and a number take: least relative squares."""
    kinds: defaultdict[str, list[Part]] = defaultdict(list)
    for part in ms:
        kinds[part.kind].append(part)
    lines = {}
    for kind, parts in kinds.items():
        sizes = np.array([_sizes(part) for part in parts])
        scale = sizes.max(0)
        scale[scale == 0] = 1.0
        times = np.array([ms[part] for part in parts])
        lines[kind] = nnls(sizes / scale / times[:, None], np.ones(len(parts)))[0] / scale
    return lines
