"""The one budget of a search, and how it is shared out over the parts of one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ogive.errors import BudgetError, SettingError
from ogive.estimators import Precision, Recipe

__all__ = ["Budget", "Plan", "plan", "seconds_of"]

_UNITS = {
    "ms": 1e-3,
    "s": 1,
    "sec": 1,
    "m": 60,
    "min": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
}
_DURATION = re.compile(
    r"\s*(\d+(?:\.\d+)?)\s*(ms|[a-z]+?)(?:s|utes?|onds?)?(?=\s|\d|$)", re.IGNORECASE
)

_HANDOVER_SHARE = 0.12
_HANDOVER_SECONDS = 25.0
"""What the export, its verification and the report take at most (measured: 8 to 20 s)."""

_REPORT_SECONDS = 6.0
"""What the report alone takes at most, with the test before it (measured: 1 to 3 s)."""

_USUAL_START = 10.0
"""Seconds until the plan is made, on a machine that does nothing else."""

_LONGEST_HANDOVER = 0.25
"""The largest share of the time that is kept for the export on a slow machine."""

_FINALS_SHARE = 0.65
"""How much of the time the finalists and the final training may take, when they can use it."""

_PATIENT_SHARE = 0.5
"""What part of its epochs a training with patience uses, about."""

_FINAL_LENGTH = 2.0
"""A playoff and a final training, in full trainings; each goes on from a checkpoint before it."""


def seconds_of(duration: str | float) -> float:
    """Returns the seconds of ``"30min"``, ``"1h 30min"``, ``"90s"`` or a number of seconds.

    Raises:
        SettingError: If it is none of these, or not positive.
    """
    seconds = _parsed(duration) if isinstance(duration, str) else float(duration)
    if not seconds > 0 or not math.isfinite(seconds):
        raise SettingError(
            f"A duration is positive and reads like '90s', '30min' or '1h30min', but got "
            f"{duration!r}."
        )
    return seconds


def _parsed(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    parts = _DURATION.findall(text)
    if "".join(f"{n}{u}" for n, u in parts) == "" or _DURATION.sub("", text).strip():
        return math.nan
    if any(unit.lower() not in _UNITS for _, unit in parts):
        return math.nan
    return sum(float(number) * _UNITS[unit.lower()] for number, unit in parts)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a whole search may use, with its finals and its report inside it.

    Attributes:
        seconds: Wall-clock time during which any process works on the search.
        trials: Trainings of any length, those of the finals included.
        epochs: Epochs of training in all of them.
    """

    seconds: float | None = None
    trials: int | None = None
    epochs: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("epochs", 1)):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise SettingError(f"{name} >= {least} must hold, but got {name}={value}.")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """How the budget is shared out, decided once and then kept by every process of the search.

    Attributes:
        epochs: The length of a full training (fidelity 1).
        final_epochs: How long playoff and final training are meant to be; with a budget of time
            they go on while there is some. A finalist's is their beginning, or, with patience,
            says after how many epochs the final one ends.
        full_seconds: What a full training of the reference takes, in measured seconds.
        finalists: How many trials are trained in full at the end of the search.
        reference: Whether a hand-made reference is trained beside them.
        refit: Whether the winner is trained once more, on train + validation.
        finals_seconds: Time kept for finalists, reference, playoff and final trainings.
        finals_epochs: Epochs kept for them.
        finals_trials: Trials kept for them.
        handover_seconds: Time kept for test, export, verification and report.
        workers: Trials side by side.
        threads: Threads of each.
        precision: What trials compute in.
        alone: Threads of a final training that runs alone.
        playoff: Whether the best two are trained longer before one is chosen.
        scaled: Whether the reference is smaller than it was designed, to fit the limits.
    """

    epochs: float
    final_epochs: float
    full_seconds: float
    finalists: int
    reference: bool
    refit: bool
    finals_seconds: float
    finals_epochs: float
    finals_trials: int
    handover_seconds: float
    workers: int
    threads: int
    precision: Precision
    alone: int = 1
    playoff: bool = False
    scaled: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        return cls(**data)

    def rounds(self, trainings: int) -> int:
        """How many times all workers together must train to get through so many trainings."""
        return math.ceil(trainings / self.workers)


def plan(
    budget: Budget,
    *,
    epoch_seconds: float,
    recipe: Recipe,
    reference: bool,
    workers: int,
    threads: int,
    precision: Precision,
    alone: int = 1,
    spent: float = 0.0,
    checks: float = 0.0,
    scaled: bool = False,
    bundle: bool = True,
) -> Plan:
    """Shares a budget out.

    With a budget of time, a full training is as long as the recipe wants it, or as long as the
    finals' share of the time allows; the search gets the rest.

    Args:
        budget: What there is.
        epoch_seconds: What an epoch of the reference takes beside other workers' trials.
        recipe: Says how long a training should be.
        reference: Whether there is a hand-made reference.
        workers: Trials side by side.
        threads: Threads of each.
        precision: What trials compute in.
        alone: Threads of a training that runs alone.
        spent: Seconds of the budget that are used already.
        checks: Seconds that it took to get here with the data at hand.
        scaled: Whether the reference is smaller than it was designed, to fit the limits.
        bundle: Whether the winner is exported.

    Raises:
        BudgetError: If it does not reach for a trial and for one epoch of each of the finals.
    """
    refit = budget.trials != 1
    patient = recipe.patience is not None
    # Where trials alone are counted, every training is as long as its recipe wants.
    timed = budget.seconds is not None or budget.epochs is not None
    contested = refit and timed and not patient
    count = _finalists(budget, workers, reference, playoff=contested, refit=refit)
    reference = reference and count > 0
    first, refits = count + reference, (1 + reference) * refit
    pair = 2 if contested and first > 1 else 0
    longest = 1.0 if patient else _FINAL_LENGTH
    # What a longer training need not do again: it goes on where a shorter one's decay began.
    done = 0.0 if patient or recipe.schedule == "cosine" else 1 - recipe.decay

    def length(trainings: Callable[[int], float], epochs: float, final: float) -> float:
        """The epochs of the finals, where ``trainings`` counts how many wait for one another."""
        return (
            trainings(first) * epochs
            + trainings(pair) * (final - done * epochs)
            + trainings(refits) * (final - done * (final if pair else epochs))
        )

    def rounds(trainings: int) -> float:
        return math.ceil(trainings / workers) * (_PATIENT_SHARE if patient else 1.0)

    fulls = length(rounds, 1.0, longest)
    epochs, finals_seconds, handover = float(recipe.epochs), 0.0, 0.0
    if budget.epochs is not None:
        # The search gets at least as many epochs as the finals.
        trainings = length(float, 1.0, longest)
        epochs = min(epochs, max(1.0, budget.epochs / (2 * max(1.0, trainings))))
    if budget.seconds is not None:
        handover = _handover(budget.seconds, checks, bundle)
        each = max(1.0, fulls) * epoch_seconds
        affordable = _FINALS_SHARE * (budget.seconds - spent - handover) / each
        if affordable < 1:
            least = _least(each / _FINALS_SHARE + spent, checks, bundle)
            raise BudgetError(
                f"The budget must reach for one epoch of each final training, but an epoch takes "
                f"about {epoch_seconds:.2g} s here and the budget is {budget.seconds:.0f} s. "
                f"Give it at least {math.ceil(least)} s, or use less data or smaller images."
            )
        epochs = min(epochs, affordable)
    final_epochs = min(float(recipe.epochs), longest * epochs)
    if final_epochs <= epochs:
        pair = 0  # The finalists are as long as a final training: there is nothing to see anew.
    if budget.seconds is not None:
        # Short of the recipe's end, the longer ones are as long as was counted above; else less.
        finals_seconds = length(rounds, epochs, final_epochs) * epoch_seconds
    finals_epochs = length(float, epochs, final_epochs)
    if budget.epochs is not None and budget.epochs < finals_epochs + epochs:
        raise BudgetError(
            f"The budget must reach for a trial beside the finals, but those take "
            f"{finals_epochs:.3g} epochs and the budget is {budget.epochs:.3g}. Give it at least "
            f"{math.ceil(finals_epochs + epochs)} epochs."
        )
    return Plan(
        epochs=epochs,
        final_epochs=final_epochs,
        full_seconds=epochs * epoch_seconds,
        finalists=count,
        reference=reference,
        playoff=pair > 0,
        refit=refit,
        finals_seconds=finals_seconds,
        finals_epochs=finals_epochs,
        finals_trials=first + pair + refits,
        handover_seconds=handover,
        workers=workers,
        threads=threads,
        precision=precision,
        alone=alone,
        scaled=scaled,
    )


def _handover(seconds: float, checks: float, bundle: bool) -> float:
    """The part of a budget that is kept for what comes after the last training."""
    # A machine on which it took long to get here will take long over the export, too.
    slowness = max(1.0, checks / _USUAL_START)
    usual = min(_HANDOVER_SECONDS if bundle else _REPORT_SECONDS, _HANDOVER_SHARE * seconds)
    return min(usual * slowness, _LONGEST_HANDOVER * seconds)


def _least(work: float, checks: float, bundle: bool) -> float:
    """The budget that leaves so many seconds beside its handing over."""
    least = work
    while work + _handover(least, checks, bundle) - least > 0.01:
        least = work + _handover(least, checks, bundle)
    return least


def _finalists(
    budget: Budget, workers: int, reference: bool, *, playoff: bool, refit: bool
) -> int:
    """As many finalists as fill the workers beside the reference, if the budget reaches for them.

    Each takes a trial, and an epoch at least; half of them are the search's.
    """
    count = 3 if workers > 1 else 2
    extra = reference + 2 * playoff + (1 + reference) * refit
    most = min(budget.trials or math.inf, budget.epochs or math.inf)
    while count and 2 * (count + extra) > most:
        count -= 1
    return count
