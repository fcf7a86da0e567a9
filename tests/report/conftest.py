"""Summaries that look like those of real searches."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

Summary = dict[str, Any]

DECISIONS = [
    {"path": "width", "kind": "ordinal", "options": [8, 16, 32, 64]},
    {"path": "blocks", "kind": "integer", "low": 1, "high": 4},
    {"path": "op", "kind": "categorical", "options": ["conv", "separable", "bottleneck"]},
    {"path": "act", "kind": "categorical", "options": ["relu", "silu", "gelu"]},
    {
        "path": "expand",
        "kind": "ordinal",
        "options": [2, 4, 6],
        "conditions": [[{"parent": "op", "values": ["bottleneck"]}]],
    },
    {"path": "squeeze", "kind": "categorical", "options": [False, True]},
    {"path": "recipe.lr", "kind": "real", "low": 1e-4, "high": 1e-1, "log": True},
]


def sample_architecture(rng: random.Random) -> dict[str, Any]:
    drawn: dict[str, Any] = {
        "width": rng.choice([8, 16, 32, 64]),
        "blocks": rng.randint(1, 4),
        "op": rng.choice(["conv", "separable", "bottleneck"]),
        "act": rng.choice(["relu", "silu", "gelu"]),
        "squeeze": rng.random() < 0.5,
        "recipe.lr": 10 ** rng.uniform(-4, -1),
    }
    if drawn["op"] == "bottleneck":
        drawn["expand"] = rng.choice([2, 4, 6])
    return drawn


def measure(architecture: dict[str, Any], fidelity: float, rng: random.Random) -> Summary:
    """A score that depends on width, operation and learning rate, and on nothing else."""
    error = 0.02 + 0.25 / architecture["width"]
    error *= {"conv": 1.0, "separable": 1.5, "bottleneck": 0.8}[architecture["op"]]
    error *= 1 + 0.6 * (math.log10(architecture["recipe.lr"]) + 2.4) ** 2
    accuracy = 1 - min(0.9, error / fidelity**0.4) + rng.gauss(0, 0.003)
    params = 40.0 * architecture["width"] ** 2 * architecture["blocks"]
    return {
        "metrics": {"accuracy": min(accuracy, 1.0), "log_loss": 4 * (1 - accuracy)},
        "costs": {
            "params": params,
            "macs": 60 * params,
            "latency_ms": 0.1 + params / 60_000 + abs(rng.gauss(0, 0.02)),
        },
    }


def make_summary(trials: int = 120, *, seed: int = 0, seconds: float = 180.0) -> Summary:
    """A finished search of ``trials`` trials, its finalists and its reference."""
    rng = random.Random(seed)
    records: list[Summary] = []
    done: list[Summary] = []  # What may be promoted.

    def add(role: str, architecture: dict[str, Any], fidelity: float, parent: int | None) -> None:
        number = len(records)
        ended = seconds * (number + 1) / (trials + 8)
        measured = measure(architecture, fidelity, rng)
        accuracy = measured["metrics"]["accuracy"]
        epochs = max(1, round(12 * fidelity))
        record = {
            "number": number,
            "role": role,
            "state": "complete",
            "architecture": architecture,
            "fidelity": fidelity,
            "parent": parent,
            **measured,
            "error": None,
            "seconds": 3 * fidelity,
            "started": ended - 3 * fidelity,
            "ended": ended,
            "values": [accuracy],
            "curve": [
                {
                    "step": float(epoch + 1),
                    "accuracy": accuracy - 0.5 * math.exp(-1 - epoch / 2),
                    "loss": 2 / (1 + epoch),
                }
                for epoch in range(epochs)
            ],
        }
        if role == "search" and rng.random() < 0.08:
            state, error = rng.choice(
                [
                    ("failed", f"The loss was not a number at epoch {rng.randint(1, 4)}."),
                    ("failed", "The worker process died (signal 9): it was out of memory."),
                    ("rejected", f"params={measured['costs']['params']:.0f} exceeds 50000."),
                ]
            )
            record |= {"state": state, "error": error, "metrics": {}, "values": [], "curve": []}
        records.append(record)
        if record["state"] == "complete" and fidelity < 1:
            done.append(record)

    for _ in range(trials):
        if done and rng.random() < 0.25:
            parent = max(rng.sample(done, min(5, len(done))), key=lambda r: r["values"])
            add("search", parent["architecture"], parent["fidelity"] * 3, parent["number"])
        else:
            add("search", sample_architecture(rng), 1 / 9, None)
    complete = sorted((r for r in records if r["values"]), key=lambda r: r["values"], reverse=True)
    for record in complete[:3]:
        add("finalist", record["architecture"], 1.0, None)
    reference = sample_architecture(rng) | {"width": 32, "op": "conv", "recipe.lr": 0.004}
    reference.pop("expand", None)
    add("reference", reference, 1.0, None)
    finalists = [r for r in records if r["role"] == "finalist"]
    best = max(finalists, key=lambda r: r["values"], default=None)
    return {
        "ogive": "0.1.0",
        "run": "runs/digits",
        "command": [
            "/usr/bin/ogive",
            "search",
            "digits",
            "--limit",
            "params=50000",
            "--seed",
            str(seed),
        ],
        "status": "complete",
        "created": "2026-03-01T12:00:00+00:00",
        "task": {
            "name": "digits",
            "kind": "images",
            "problem": "classification",
            "rows": {"train": 1077, "validation": 360, "test": 360},
            "shape": [1, 8, 8],
            "outputs": 10,
            "labels": [str(n) for n in range(10)],
            "metric": "accuracy",
            "notes": ["12 duplicate images were kept in the split of their first copy."],
        },
        "space": {"name": "convnet", "size": 31_104, "decisions": DECISIONS},
        "strategy": {"name": "ASHA", "eta": 3, "min_fidelity": 1 / 9},
        "seed": seed,
        "limits": {"params": 50_000},
        "maximize": ["accuracy"],
        "minimize": [],
        "trials": records,
        "best": best
        and {key: best[key] for key in ("number", "architecture", "metrics", "costs")},
        "reference": {
            **{key: records[-1][key] for key in ("number", "architecture", "metrics", "costs")},
            "test": {"accuracy": 0.975, "log_loss": 0.12},
            "difference": {
                "metric": "accuracy",
                "value": 0.0083,
                "low": -0.0028,
                "high": 0.0194,
                "verdict": "tie",
            },
        },
        "test": {
            "accuracy": 0.9833,
            "log_loss": 0.0712,
            "interval": {"metric": "accuracy", "low": 0.9641, "high": 0.9923, "level": 0.95},
        },
        "budget": {
            "seconds": 180,
            "trials": None,
            "epochs": None,
            "used": {"seconds": 176.2, "trials": len(records), "epochs": 341.5},
        },
        "environment": {
            "python": "3.11.7",
            "torch": "2.13.0",
            "device": "cpu",
            "platform": "Linux-x86_64",
            "cores": 2,
            "precision": "bf16",
            "threads": 1,
        },
        "graph": None,
        "bundle": {"path": "runs/digits/bundle", "verification": {"onnx": 1.2e-6, "pt2": 0.0}},
    }


@pytest.fixture(scope="session")
def make() -> Callable[..., Summary]:
    return make_summary
