"""Fifty kill -9 at random moments: is a trial lost, doubled or renumbered, is a result another?

python benchmarks/kills.py quick        # one search of 3,500 trials that take 0.05 s each
python benchmarks/kills.py whole        # searches of digits, from the first trial to the report

A whole search that is killed again and again must end as its twin does that no one killed: with
the same trials, metric by metric, the same winner and the same test scores.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from _results import record

from ogive.engine import search, summarize
from ogive.estimators import Recipe
from ogive.journal import open_journal
from ogive.task import load

SEARCH = Path(__file__).parents[1] / "tests" / "engine" / "searches.py"


def killed(command, kills, lives, rng):
    """Starts a command until it ends by itself or was killed so often; yields at each kill."""
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(*lives))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            yield
        else:
            return


def events(folder):
    journal = folder / "journal.db"
    if not journal.exists():
        return []
    with open_journal(journal) as log:
        return [event for _, event in log.read()]


def counted(folder):
    """What must be so, however often it was killed."""
    count = {
        kind: Counter(e["number"] for e in events(folder) if e["kind"] == kind)
        for kind in ("started", "ended", "taken")
    }
    trials = summarize(folder)["trials"]
    return {
        "trials": len(trials),
        "complete": sum(trial["state"] == "complete" for trial in trials),
        "numbered_in_order": [t["number"] for t in trials] == list(range(len(trials))),
        "doubled_starts": sum(n - 1 for n in count["started"].values()),
        "doubled_ends": sum(n - 1 for n in count["ended"].values()),
        "run_again": sum(count["taken"].values()),
    }


def quick(given, folder, rng):
    command = [sys.executable, str(SEARCH), str(folder / "run"), str(given.trials), "0.05"]
    # Importing takes about half of a life.
    kills = sum(1 for _ in killed(command, given.kills, (2, 5), rng))
    subprocess.run(command, check=True)
    trials = summarize(folder / "run")["trials"]
    repeated = len(trials) - len({str(trial["architecture"]) for trial in trials})
    return {"kills": kills, **counted(folder / "run"), "repeated_architectures": repeated}


def phase(folder):
    """What a search was at when it was killed."""
    kinds = Counter(event["kind"] for event in events(folder))
    for name, kind in (("over", "done"), ("handover", "handing"), ("finals", "closed")):
        if kinds[kind]:
            return name
    return "search" if kinds["started"] else "preflight"


def ended(folder):
    """What a search found, without what hangs on the clock."""
    summary = summarize(folder)
    trials = [
        [t["number"], t["role"], t["state"], t["architecture"], t["metrics"]]
        for t in summary["trials"]
    ]
    for *_, metrics in trials:
        metrics.pop("train_seconds", None)
    return json.dumps([trials, summary["best"]["architecture"], summary["test"]])


def whole(given, folder, rng):
    phases, rows, same = Counter(), [], 0
    while sum(phases.values()) < given.kills:
        seed = len(rows)
        run, twin = (folder / f"{kind}-{seed}" for kind in ("killed", "twin"))
        command = [sys.executable, __file__, "one", str(run), str(seed)]
        for _ in killed(command, given.kills - sum(phases.values()), (5, 30), rng):
            phases[phase(run)] += 1
            print(f"seed {seed}: {dict(phases)}", flush=True)
        subprocess.run(command, check=True)
        begin(twin, run)
        command[command.index(str(run))] = str(twin)
        subprocess.run(command, check=True)
        rows.append(counted(run))
        same += ended(run) == ended(twin)
        opened = sum(event["kind"] == "tested" for event in events(run))
        rows[-1]["tests"] = opened
        print(rows[-1], ended(run) == ended(twin), flush=True)
    total = {
        name: all(row[name] for row in rows)
        if name == "numbered_in_order"
        else sum(row[name] for row in rows)
        for name in rows[0]
    }
    return {
        "kills": sum(phases.values()),
        "during": dict(phases),
        "searches": len(rows),
        "as_their_twins": same,
        **total,
    }


def begin(twin, run):
    """Writes the journal of a search that ended with its plan: precision is part of that."""
    twin.mkdir()
    with open_journal(twin / "journal.db") as log:
        for event in events(run):
            if event["kind"] in ("opened", "planned"):
                log.append(event)


def one(folder, seed):
    """A whole search, short enough for a few dozen lives."""
    search(
        None,
        "digits",
        trials=12,
        limits={"macs": 500_000},
        strategy="random",
        recipe=Recipe.default(load("digits")).replace(epochs=4),
        workers=1,
        seed=seed,
        out=folder,
    )


def main():
    if sys.argv[1:2] == ["one"]:
        one(sys.argv[2], int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("road", choices=["quick", "whole"])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--trials", type=int, default=3500)
    given = parser.parse_args()
    rng = random.Random(time.time_ns())
    begun = time.time()
    with tempfile.TemporaryDirectory() as folder:
        run = {"quick": quick, "whole": whole}[given.road]
        row = {"road": given.road, **run(given, Path(folder), rng)}
    row["seconds"] = round(time.time() - begun)
    record("kills", [row])
    print(row)


if __name__ == "__main__":
    main()
