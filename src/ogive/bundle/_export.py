"""A trained network in every form, each loaded afresh and scored before it is handed over."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import nn

from ogive import text
from ogive._whole import check_room, write_whole
from ogive.bundle._card import card_text
from ogive.errors import BundleError
from ogive.space import Architecture
from ogive.task import Task, Value

__all__ = ["TOLERANCE", "Agreement", "check", "deployed", "write"]

TOLERANCE = 1e-3
"""How far outputs may differ: probabilities by so much, values by so much of their deviation."""

_ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""What is lost of a value in fp32: of values that hardly differ, as 1,000,000 and 1,000,001."""

_SCRIPTS = files("ogive.bundle") / "scripts"
_PATIENCE = 180.0
"""Seconds that a verifying process may take."""

Array = npt.NDArray[Any]


def deployed(task: Task, network: nn.Module) -> nn.Module:
    """Returns a network as it is exported: raw inputs in, probabilities or values out."""
    return nn.Sequential(task.normalizer(), network, task.finisher()).eval()


def check(network: nn.Module, task: Task) -> None:
    """Exports a network, trained or not, and throws the forms away.

    Raises:
        BundleError: If a form cannot be exported.
    """
    with tempfile.TemporaryDirectory() as folder:
        _export(deployed(task, network.cpu()), task.validation.take([0])[0], Path(folder))


def write(
    folder: str | Path,
    network: nn.Module,
    task: Task,
    architecture: Architecture,
    card: Mapping[str, Any],
    *,
    samples: int = 64,
) -> dict[str, Any]:
    """Exports a trained network and verifies every form before anything stands at ``folder``.

    A bundle that stands there already is replaced only by one that is verified.

    Args:
        folder: Where the bundle goes.
        network: Trained, without preprocessing, on the CPU.
        task: Gives preprocessing, labels and real samples of the validation split.
        architecture: Of the network.
        card: What is known of the network, as JSON.
        samples: How many rows each form is scored on.

    Returns:
        For each form the largest difference, whether the labels agree, and the tolerance.

    Raises:
        BundleError: If a form cannot be exported, loaded, or does not agree with the network.
    """
    final = Path(folder).absolute()
    final.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        verification = _written(part, network, task, architecture, card, samples)
        _replace(part, final)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return verification


def _written(
    folder: Path,
    network: nn.Module,
    task: Task,
    architecture: Architecture,
    card: Mapping[str, Any],
    samples: int,
) -> dict[str, Any]:
    module = deployed(task, network.cpu())
    # Over the whole split: a folder's first rows are of one class.
    rows = np.linspace(0, len(task.validation) - 1, samples).round().astype(np.int64)
    raw = task.validation.take(np.unique(rows))[0]
    with torch.no_grad():
        expected = module(raw).numpy()
    weights = {name: value.contiguous().clone() for name, value in network.state_dict().items()}
    write_whole(folder / "model.safetensors", lambda part: save_file(weights, part))
    _export(module, raw, folder)
    _dump(folder / "architecture.json", architecture.to_json())
    _dump(folder / "preprocessing.json", task.preprocessing())
    shutil.copyfile(str(_SCRIPTS / f"predict_{task.kind}.py"), folder / "predict.py")
    verification = _verified(folder, raw.numpy(), Agreement(expected, task))
    whole = {**card, "architecture": architecture.to_json(), "verification": verification}
    _dump(folder / "card.json", whole)
    (folder / "README.md").write_text(card_text(whole), encoding="utf-8")
    return verification


def _export(module: nn.Module, raw: torch.Tensor, folder: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    path = folder / "model.pt2"
    with _exporting(
        path, "by torch.export", "A Python branch on values of tensors", "torch.where"
    ):
        program = torch.export.export(
            module, (raw[[0, -1]],), dynamic_shapes=({0: batch},), strict=False
        )
        torch.export.save(program, path)
    path = folder / "model.onnx"
    with _exporting(path, "to ONNX", "An operator that ONNX has not", "others"):
        exported = torch.onnx.export(
            program, input_names=["input"], output_names=["output"], dynamo=True, verbose=False
        )
        assert exported is not None
        exported.save(path, external_data=False)


@contextmanager
def _exporting(path: Path, how: str, usual: str, instead: str) -> Iterator[None]:
    try:
        with _quiet():
            yield
    except OSError:
        raise
    except Exception as error:  # The exporters raise dozens of kinds.
        check_room(path, error)
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        first = next(iter(str(root).splitlines()), "").rstrip(".")
        raise BundleError(
            f"A network must be exportable {how}, but {type(root).__name__}: {first}. {usual} is "
            f"the usual cause: use {instead}. Or search without a bundle: bundle=False, "
            "--no-bundle."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporters' progress to themselves; what is wrong they raise."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


# Verification


class Agreement:
    """Whether outputs are the trained network's: probabilities, or values by their deviation."""

    def __init__(self, expected: Array, task: Task) -> None:
        self._expected, self._labelled = expected, bool(task.labels)
        spread = task.target.std if isinstance(task.target, Value) else 1.0
        self._scale = max(spread, _ROUNDING / TOLERANCE * float(np.abs(expected).max()))

    def of(self, name: str, found: Array) -> dict[str, Any]:
        """Returns how far a form's outputs differ, and whether its labels agree.

        Raises:
            BundleError: If they are not the trained network's.
        """
        difference = float(np.abs(found - self._expected).max()) / self._scale
        same = not self._labelled or self._same_labels(found)
        if not difference <= TOLERANCE or not same:
            raise BundleError(
                f"An exported network must agree with the trained one within {TOLERANCE:g}, but "
                f"the {name} form differs by {difference:.3g}{'' if same else ' and in its labels'}. "
                "A branch of Python on values, or a layer that behaves otherwise when exported, "
                "is the usual cause."
            )
        return {"difference": difference, "labels_agree": same}

    def _same_labels(self, found: Array) -> bool:
        """Whether the best class is the same, but for ties within the tolerance."""
        rows, best = np.arange(len(found)), found.argmax(axis=1)
        missed = self._expected.max(axis=1) - self._expected[rows, best]
        return bool((missed <= TOLERANCE).all())


def _verified(folder: Path, raw: Array, agreement: Agreement) -> dict[str, Any]:
    """Scores each form in a process of its own, side by side."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        paths = {name: Path(scratch) / f"{name}.npy" for name in ("onnx", "pt2", "safetensors")}
        np.save(Path(scratch) / "raw.npy", raw)
        common = [str(folder), str(Path(scratch) / "raw.npy")]
        scripts = {"onnx": ("onnx",), "torch": ("pt2", "safetensors")}
        running = {
            name: _start(f"verify_{name}.py", [*common, *(str(paths[form]) for form in forms)])
            for name, forms in scripts.items()
        }
        agreed = {}
        try:
            for name, process in running.items():
                _finish(name, process)
                for form in scripts[name]:
                    agreed[form] = agreement.of(form, np.load(paths[form]))
        finally:
            for process in running.values():
                with process:  # Those that another one's failure left.
                    process.kill()
    return {
        **agreed,
        "samples": len(raw),
        "tolerance": TOLERANCE,
        "seconds": round(time.monotonic() - begun, 2),
    }


def _start(script: str, arguments: list[str]) -> subprocess.Popen[str]:
    # -I: isolated from the environment and the working directory, as on another machine.
    return subprocess.Popen(  # noqa: S603  # our own script
        [sys.executable, "-I", "-W", "ignore", str(_SCRIPTS / script), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C is for the search, which lets this end
    )


def _finish(name: str, process: subprocess.Popen[str]) -> None:
    try:
        _, said = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise BundleError(
            f"An exported network must load within {_PATIENCE:.0f} s, but the {name} form did not."
        ) from None
    if process.returncode:
        last = said.strip().splitlines()[-1] if said.strip() else f"exit code {process.returncode}"
        raise BundleError(
            f"An exported network must load in a fresh process, but the {name} form did not: {last}"
        )


def _replace(part: Path, final: Path) -> None:
    part.chmod(0o755)  # as any new folder; a temporary one is private
    if final.exists():
        older = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
        final.replace(older / "bundle")
        try:
            part.replace(final)
        except OSError:
            (older / "bundle").replace(final)
            older.rmdir()
            raise
        shutil.rmtree(older, ignore_errors=True)
    else:
        part.replace(final)


def _dump(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(text.finite(data), indent=1), encoding="utf-8")
