"""A bundle that was written, loaded to predict with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from ogive.errors import BundleError
from ogive.space import Architecture
from ogive.task import files_below, raw_inputs

__all__ = ["Bundle", "load"]

_BATCH = 256


@dataclass(frozen=True)
class Bundle:
    """A network ready to predict; needs ONNX Runtime, not torch.

    Attributes:
        folder: Where it stands.
        labels: The names of the classes; empty for a regression.
        architecture: What the network is.
        card: What is known of it.
        preprocessing: How data become raw inputs.
    """

    folder: Path
    labels: tuple[str, ...]
    architecture: Architecture
    card: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    _session: onnxruntime.InferenceSession

    def predict(self, data: Any) -> npt.NDArray[Any]:
        """Returns a label a sample, or a value in the target's units.

        Args:
            data: Files, a table, or arrays, as :func:`ogive.task.raw_inputs` takes them.

        Raises:
            TaskError: If the data is unlike the training data.
        """
        outputs = self.predict_proba(data)
        if not self.labels:
            return outputs[:, 0]
        named: npt.NDArray[Any] = np.array(self.labels)[outputs.argmax(axis=1)]
        return named

    def predict_proba(self, data: Any) -> npt.NDArray[np.float32]:
        """Returns probabilities ``(n, classes)``, or values ``(n, 1)``."""
        raw = raw_inputs(self.preprocessing, data)
        parts = (raw[start : start + _BATCH] for start in range(0, len(raw), _BATCH))
        return np.concatenate([self._session.run(None, {"input": part})[0] for part in parts])

    def names(self, path: Path, count: int) -> list[str]:
        """What the samples of a path are called: an image by its file, a row by its number."""
        if path.is_dir():
            return [str(file) for file in files_below(path)]
        return [str(path)] if count == 1 else [f"{path}:{place}" for place in range(count)]


def load(folder: str | Path) -> Bundle:
    """Loads a bundle.

    Raises:
        BundleError: If something of it is missing or damaged.
    """
    path = Path(folder)
    preprocessing = _json(path, "preprocessing.json")
    if "labels" not in preprocessing or "inputs" not in preprocessing:
        raise BundleError(
            f"A bundle's preprocessing.json holds labels and inputs, but that of {path} holds "
            f"{', '.join(preprocessing) or 'nothing'}. Export it again."
        )
    try:
        session = onnxruntime.InferenceSession(
            path / "model.onnx", providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime has a dozen exceptions without a common base.
        raise BundleError(
            f"A bundle holds a model.onnx that loads, but {path} does not: {error}. Export it again."
        ) from error
    return Bundle(
        folder=path,
        labels=tuple(preprocessing["labels"]),
        architecture=Architecture.from_json(_json(path, "architecture.json")),
        card=_json(path, "card.json"),
        preprocessing=preprocessing,
        _session=session,
    )


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        data: dict[str, Any] = dict(json.loads((folder / name).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise BundleError(
            f"A bundle holds a readable {name}, but {folder} does not: {error}. Name the folder "
            "that ogive search wrote (RUN/bundle), or export it again."
        ) from error
    return data
