"""Where benchmarks write their figures, with what they were measured on."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("OGIVE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def machine():
    """What the figures were measured on, and by which code."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": commit.stdout.strip(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def processor():
    """Its name: one with instructions for bf16 trains a convolution twice as fast."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def outcome(result, metric):
    """What a whole search ended with."""
    summary = result.summary
    return {
        "test": round(result.test[metric], 5),
        "validation": round(summary["best"]["metrics"][metric], 5),
        "costs": summary["best"]["costs"],
        "trials": len(summary["trials"]),
        "epochs": summary["plan"]["epochs"],
        "architecture": summary["best"]["architecture"],
    }


def record(name, rows):
    """Appends rows to a result file, each with the machine it was measured on."""
    path = RESULTS / f"{name}.json"
    known = json.loads(path.read_text()) if path.exists() else []
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(known + [{**row, "machine": machine()} for row in rows], indent=1))
