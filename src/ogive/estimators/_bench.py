"""What a worker process needs and does; apart from the loop, whose imports it can do without.

What trains is reached through the package, whose names are imported when first used: a worker that
asks a user's own estimator starts without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ogive import estimators
from ogive.errors import OgiveError, TrialFailed
from ogive.estimators._fidelity import Fidelity
from ogive.estimators._recipe import Recipe
from ogive.estimators._run import Estimator, Run, plain
from ogive.space import Architecture
from ogive.trial import Role

if TYPE_CHECKING:
    from ogive.estimators import Outcome, Precision, Training
    from ogive.nn import NetworkFunction
    from ogive.task import Task

__all__ = ["Bench", "RecipeLike", "measure_speed", "run_trial", "run_trials", "wake"]

RecipeLike = Recipe | Callable[[Any], Recipe]
"""How networks are trained: a recipe, or a function of a :class:`~ogive.nn.Chooser`."""


@dataclass(frozen=True)
class Bench:
    """What workers need to try an architecture; shipped to each of them once.

    Attributes:
        network: The network function, or ``None`` where only ``estimator`` is asked.
        task: What networks are for, or ``None`` likewise.
        recipe: How they are trained, or a function that chooses it.
        estimator: A user's own for the trials of the search, or ``None`` to train.
        fidelity: What there is less of in a training below fidelity 1.
    """

    network: NetworkFunction | None
    task: Task | None
    recipe: RecipeLike
    estimator: Estimator | None
    fidelity: tuple[Fidelity, ...] = ("epochs",)

    def recipe_of(self, architecture: Architecture) -> Recipe:
        """Returns the recipe that an architecture is trained with."""
        return estimators.decided(self.recipe, architecture)

    def training(self, role: Role, epochs: float, precision: Precision) -> Training:
        """Returns the estimator that trains; ``epochs`` is the length of a full training."""
        assert self.network is not None and self.task is not None
        return estimators.Training(
            self.network,
            self.task,
            self.recipe,
            epochs=epochs,
            fit_on="all" if role == "final" else "train",
            precision=precision,
            fidelity=self.fidelity,
        )


def run_trial(
    bench: Bench,
    role: Role,
    epochs: float,
    precision: Precision,
    architecture: Architecture,
    run: Run,
) -> dict[str, float]:
    """Runs one trial; ``epochs`` is the length of a full training."""
    if role == "search" and bench.estimator is not None:
        return plain(bench.estimator(architecture, run))
    return bench.training(role, epochs, precision)(architecture, run)


def run_trials(
    bench: Bench,
    role: Role,
    epochs: float,
    precision: Precision,
    architectures: Sequence[Architecture],
    runs: Sequence[Run],
) -> list[Outcome]:
    """Runs several trials at once; see :func:`train_together`."""
    return estimators.train_together(bench.training(role, epochs, precision), architectures, runs)


def wake(bench: Bench) -> None:
    """Has a worker import what its trials will need."""
    if bench.network is not None:
        _ = estimators.train_together


def measure_speed(
    bench: Bench, architecture: Architecture, threads: int
) -> dict[Precision, float]:
    """Measures the seconds of a training step in each precision.

    Raises:
        TrialFailed: If the network cannot be trained for a step.
    """
    assert bench.network is not None and bench.task is not None
    recipe = bench.recipe_of(architecture)
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    try:
        return {
            precision: estimators.step_seconds(
                bench.network,
                bench.task,
                architecture,
                recipe,
                threads=threads,
                precision=precision,
            )
            for precision in precisions
        }
    except OgiveError:
        raise
    except Exception as error:
        raise TrialFailed(
            f"A network must be trainable for a step, but {type(error).__name__}: {error}. "
            f"The architecture: {dict(architecture)}"
        ) from error
