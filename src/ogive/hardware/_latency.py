"""How long a network takes for a batch, measured."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol
from unittest.mock import patch

import numpy as np
import onnxruntime
import torch
from torch import nn

from ogive import nn as readings
from ogive.errors import SettingError

__all__ = ["Engine", "Latency", "Shaped", "measure_latency"]

Engine = Literal["onnxruntime", "torch"]


class Shaped(Protocol):
    """What a measurement needs of a task."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""


_WARM_UP_SECONDS = 0.05
_SECONDS = 0.3
_FEWEST, _MOST = 15, 500


@dataclass(frozen=True, slots=True)
class Latency:
    """Measured times of a forward pass in milliseconds.

    Attributes:
        median_ms: Half of the runs were quicker.
        spread_ms: The distance between the quartiles.
        runs: How many were measured.
    """

    median_ms: float
    spread_ms: float
    runs: int


def measure_latency(
    network: nn.Module,
    task: Shaped,
    *,
    engine: Engine = "onnxruntime",
    threads: int = 1,
    batch: int = 1,
    seconds: float = _SECONDS,
) -> Latency:
    """Measures a network on this machine's CPU, after warming up.

    Args:
        network: On the CPU; its weights do not matter.
        task: Gives the input.
        engine: ``onnxruntime``, as a bundle is deployed, or ``torch`` (traced and frozen).
        threads: What the engine may use.
        batch: Samples in a pass.
        seconds: How long to measure for, roughly.

    Raises:
        SettingError: If the network cannot be exported to ONNX, where that is the engine's form.
    """
    training = network.training
    with torch.random.fork_rng(devices=[]):
        inputs = torch.rand((batch, *task.shape))
    with readings.threads(threads), torch.inference_mode(mode=engine == "torch"):
        network.eval()
        run = _frozen(network, inputs) if engine == "torch" else _session(network, inputs, threads)
        times = _times(lambda: run(inputs), seconds)
    network.train(training)
    low, middle, high = np.quantile(times, (0.25, 0.5, 0.75)) * 1e3
    return Latency(float(middle), float(high - low), len(times))


def _times(run: Callable[[], object], seconds: float) -> list[float]:
    end = time.perf_counter() + _WARM_UP_SECONDS
    run()
    while time.perf_counter() < end:
        run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _FEWEST or (time.perf_counter() < end and len(times) < _MOST):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return times


def _frozen(network: nn.Module, inputs: torch.Tensor) -> Callable[..., object]:
    with warnings.catch_warnings():
        # Tracing warns of python branches on shapes; the input's shape here is the only one.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, inputs, check_trace=False)  # type: ignore[no-untyped-call]
        frozen: Callable[..., object] = torch.jit.freeze(traced)
        return frozen


def _session(
    network: nn.Module, inputs: torch.Tensor, threads: int
) -> Callable[[torch.Tensor], object]:
    file = io.BytesIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        # Torch prints the graph of what it cannot export, whatever its own switch says.
        patch.object(torch._C, "_jit_onnx_log", create=True),  # noqa: SLF001
    ):
        # The older exporter is quick (0.1 s against 2 s) and as good for measuring.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                network,
                (inputs,),
                file,  # type: ignore[arg-type]  # it takes files, too
                dynamo=False,
                input_names=["input"],
                opset_version=17,
            )
        except Exception as error:
            raise SettingError(
                "What is measured in ONNX Runtime must be exported to ONNX (opset 17), but "
                f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}. Measure it "
                "with engine='torch'; in a search, by a cost of your own in place of latency_ms."
            ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"input": inputs.numpy()}
    return lambda _: session.run(None, feed)
