"""Fifty kill -9 at random moments: is a trial lost, doubled or renumbered?

python benchmarks/kills.py [--kills 50]
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from _results import record

from ogive.engine import summarize
from ogive.journal import open_journal

SEARCH = Path(__file__).parents[1] / "tests" / "engine" / "searches.py"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--trials", type=int, default=3500)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) / "run"
    command = [sys.executable, str(SEARCH), str(folder), str(given.trials), "0.05"]
    rng = random.Random(0)
    kills = 0
    while kills < given.kills:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(2 + 3 * rng.random())  # Importing takes about half of it.
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    subprocess.run(command, check=True)
    events = [event for _, event in open_journal(folder / "journal.db").read()]
    count = {
        kind: Counter(e["number"] for e in events if e["kind"] == kind)
        for kind in ("started", "ended", "taken")
    }
    trials = summarize(folder)["trials"]
    row = {
        "kills": kills,
        "trials": len(trials),
        "complete": sum(trial["state"] == "complete" for trial in trials),
        "numbered_in_order": [t["number"] for t in trials] == list(range(len(trials))),
        "doubled_starts": sum(n - 1 for n in count["started"].values()),
        "doubled_ends": sum(n - 1 for n in count["ended"].values()),
        "repeated_architectures": len(trials) - len({str(t["architecture"]) for t in trials}),
        "run_again": sum(count["taken"].values()),
    }
    record("kills", [row])
    print(row)


if __name__ == "__main__":
    main()
