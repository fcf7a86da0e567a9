"""What happens to the winner: measured again, tested once, exported, verified, reported."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from ogive import bundle, report
from ogive import task as tasks
from ogive.engine._finals import Finals
from ogive.engine._loop import trial_folder
from ogive.engine._objectives import exceeded
from ogive.engine._setup import Setup
from ogive.engine._state import SearchState
from ogive.errors import LimitError
from ogive.estimators import predict
from ogive.trial import Trial

__all__ = ["Chosen", "choose", "export", "graph", "handed_over", "test", "write_report"]


class Chosen:
    """The network to hand over.

    Attributes:
        trial: The trial that won, measured on the validation split.
        final: The trial with the weights; trained further, where there was time for that.
        network: The trained network, without preprocessing.
        costs: Measured again, with nothing else running.
    """

    def __init__(
        self, setup: Setup, trial: Trial, final: Trial, costs: Mapping[str, float]
    ) -> None:
        self.trial = trial
        self.final = final
        self.costs = dict(costs)
        self.network = trained(setup, final)


def trained(setup: Setup, trial: Trial) -> nn.Module:
    """Returns the network of a trial with the weights it ended with, ready to predict."""
    network = setup.build(trial.architecture)
    network.load_state_dict(load_file(_weights(setup, trial)))
    return network.eval()


def _weights(setup: Setup, trial: Trial) -> Path:
    return trial_folder(setup.folder, trial.number) / "model.safetensors"


def choose(setup: Setup, finals: Finals, state: SearchState) -> Chosen | None:
    """Returns the best network whose costs, measured again, are within the limits.

    Returns ``None`` where no trial left a network behind. Once the test split was opened for one,
    it stays that one.

    Raises:
        LimitError: If there are networks, but none within the limits.
    """
    if state.tested is not None:  # The test split was opened for it: there is no other choice.
        trial, weights = (state.trials[state.tested[name]] for name in ("number", "weights"))
        return Chosen(setup, trial, weights, setup.costs(trial.architecture))
    reasons = []
    for trial in _candidates(setup, finals, state):
        costs = setup.costs_within(trial.architecture)
        reason = exceeded(costs, setup.limits)
        if reason is None:
            final = finals.final(state, trial)
            assert final is not None
            return Chosen(setup, trial, final, costs)
        reasons.append(reason)
    if reasons:
        raise LimitError(
            "The final network must meet the limits, but measured again none of the finalists "
            f"did: the best one's {reasons[0]}. Search with a limit somewhat lower, or on a "
            "machine that does nothing else."
        )
    return None


def handed_over(setup: Setup, state: SearchState) -> Chosen:
    """Returns what a search that is complete handed over."""
    assert state.handed is not None
    trial, final = (state.trials[state.handed[name]] for name in ("number", "weights"))
    return Chosen(setup, trial, final, state.handed["costs"])


def _candidates(setup: Setup, finals: Finals, state: SearchState) -> Iterator[Trial]:
    for trial in finals.candidates(state):
        final = finals.final(state, trial)
        if final is not None and _weights(setup, final).exists():
            yield trial


def test(setup: Setup, finals: Finals, state: SearchState, chosen: Chosen) -> dict[str, Any]:
    """Opens the sealed test split, for the final network and the reference beside it."""
    task = setup.task
    assert task is not None
    split = task.unseal()
    targets = np.asarray(split.targets)
    outputs = predict(chosen.network, task, split)
    told: dict[str, Any] = {
        "number": chosen.trial.number,
        "weights": chosen.final.number,
        "metrics": task.score(outputs, targets),
        "interval": tasks.interval(task.metric, outputs, targets).to_json(),
    }
    reference = finals.final(state, finals.reference(state))
    if reference is not None:
        others = predict(trained(setup, reference), task, split)
        told["reference"] = task.score(others, targets)
        told["difference"] = tasks.difference(task.metric, outputs, others, targets).to_json()
        told["same"] = reference.architecture == chosen.trial.architecture
    return told


def export(setup: Setup, chosen: Chosen, summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Writes the verified bundle, if one is wanted: where it is and how far its forms agree."""
    assert setup.task is not None
    folder = setup.folder / "bundle"
    if not setup.bundle:
        shutil.rmtree(folder, ignore_errors=True)  # What was the best when it was interrupted.
        return None
    card = {
        name: summary[name]
        for name in (
            "ogive",
            "command",
            "seed",
            "task",
            "limits",
            "test",
            "reference",
            "environment",
        )
    }
    card |= {
        "space": summary["space"]["name"],
        "costs": chosen.costs,
        "validation": dict(chosen.trial.metrics),
        "recipe": setup.recipe_of(chosen.trial.architecture).to_json(),
    }
    verification = bundle.write(
        folder, chosen.network, setup.task, chosen.trial.architecture, card
    )
    return {"path": str(folder), "verification": verification}


def graph(setup: Setup, chosen: Chosen) -> dict[str, Any] | None:
    """The winner's layers and what flows between them, where that can be followed."""
    assert setup.task is not None
    # Of a network that cannot be followed torch raises dozens of kinds; a result needs no picture.
    with torch.no_grad(), suppress(Exception):
        return report.network_graph(chosen.network, setup.task.example(1, device="cpu"))
    return None


def write_report(summary: Mapping[str, Any], folder: Path) -> Path:
    path = folder / "report.html"
    report.write(dict(summary), path)
    return path
