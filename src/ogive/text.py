"""Numbers, names and times as people read them: one form for the terminal and the report."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

MINUS = "\N{MINUS SIGN}"

NOTHING = "\N{EN DASH}"
"""What stands where there is no number."""

_SHARES = frozenset({"accuracy", "balanced_accuracy", "macro_f1", "auc"})
"""Metrics between 0 and 1 that are read in per cent."""

_COSTS = {
    "params": ("parameters", ""),
    "size_mb": ("size", " MiB"),
    "macs": ("multiply-adds", ""),
    "memory_mb": ("memory", " MiB"),
    "latency_ms": ("latency", " ms"),
}
_METRICS = {"auc": "AUC", "r2": "R²", "rmse": "RMSE", "mae": "MAE", "macro_f1": "macro F1"}


_NUMBER = re.compile(r"\d+([.,]\d+)*(e[+-]?\d+)?")


def finite(data: Any) -> Any:
    """The same JSON with ``None`` for every number that is not finite, which JSON cannot say."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {str(key): finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite(value) for value in data]
    return data


def is_share(metric: str) -> bool:
    """Whether a metric is read in per cent."""
    return metric in _SHARES


def label(name: str) -> str:
    """A metric's or a cost's name in words."""
    if name in _COSTS:
        return _COSTS[name][0]
    return _METRICS.get(name, name.replace("_", " "))


def axis_label(name: str) -> str:
    """The same with its unit."""
    unit = "%" if is_share(name) else _COSTS.get(name, ("", ""))[1].strip()
    return f"{label(name)} ({unit})" if unit else label(name)


def scaled(metric: str, value: float) -> float:
    """A metric's value in the unit that it is read in."""
    return 100 * value if is_share(metric) else value


def number(value: Any, digits: int = 4) -> str:
    """A number to some significant digits; a dash where there is none."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    shown = f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else f"{float(shown):,.0f}"
    return shown.replace("-", MINUS)


def score(metric: str, value: Any) -> str:
    """A metric's value: ``98.7 %`` for shares, four digits for others."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NOTHING
    return f"{100 * value:.2f} %" if is_share(metric) else number(value)


def gap(metric: str, value: Any) -> str:
    """A difference of two values of a metric, with its sign."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NOTHING
    shown = f"{100 * abs(value):.2f}" if is_share(metric) else number(abs(value), 3)
    return f"{MINUS if value < 0 else '+'}{shown}"


def gap_unit(metric: str) -> str:
    """What a difference of two values is counted in."""
    return " points" if is_share(metric) else ""


def count(value: Any) -> str:
    """A count to three digits: ``41.3k``, ``1.2M``."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NOTHING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:  # which is one of them in three digits
            return number(value / size, 3) + unit
    return number(value, 3)


def several(amount: float, of: str) -> str:
    """An amount with what it is of: ``1 seed``, ``12,000 seconds``."""
    return f"{amount:,.9g} {of}{'' if amount == 1 else 's'}"


def size(architectures: Any) -> str:
    """How many architectures a space has: ``15,625``, ``2.9e+11``."""
    if not isinstance(architectures, int):
        return "infinitely many"
    # A space of some hundred decisions has more than a float can hold.
    return f"{architectures:,}" if architectures < 1e6 else f"{Decimal(architectures):.2g}"


def cost(name: str, value: Any) -> str:
    """A cost with its unit."""
    unit = _COSTS.get(name, ("", ""))[1]
    return (number(value, 3) if unit else count(value)) + unit


def duration(seconds: Any) -> str:
    """``48 s``, ``3 min 12 s``, ``2 h 5 min``."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return NOTHING
    if seconds < 10:
        return f"{number(seconds, 2)} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def told_by(summary: Mapping[str, Any], trial: Mapping[str, Any]) -> tuple[str, bool]:
    """The metric that says how good a trial is, and whether it was measured on validation.

    It is the goal; but what an estimator measures is not known of a network that was then trained.
    """
    goal: str = [*summary["maximize"], *summary["minimize"]][0]
    own: str | None = (summary["task"] or {}).get("metric")
    metric = own if own and goal not in {**trial["metrics"], **trial["costs"]} else goal
    return metric, metric == own or summary.get("estimator") is None


def stopped(told: Mapping[str, Any]) -> str:
    """What became of the trials that would not have reached the best."""
    return (
        f"Full trainings stopped early: {told['trials']}, each when it was less than "
        f"{number(100 * told['below'])} % likely to end better than the best. "
        f"Epochs saved: {number(told['epochs'], 3)}."
    )


def shorten(text: str, length: int) -> str:
    """The text, or its two ends where it is longer than ``length``."""
    if len(text) <= length:
        return text
    front = (length - 1) // 2
    return f"{text[:front]}…{text[len(text) - (length - 1 - front) :]}"


def gist(reason: str) -> str:
    """A reason without its numbers, so that like reasons are counted together."""
    return " ".join(_NUMBER.sub("…", reason).split()) or "no reason was given"


def clock(seconds: float) -> str:
    """A time as a clock shows it: ``0:07``, ``12:30``, ``1:02:09``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
