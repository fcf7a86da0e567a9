"""A search, for another process: python searches.py RUN TRIALS SECONDS."""

import sys
import time

from ogive.engine import search
from ogive.executors import SerialExecutor
from ogive.space import Decision, SearchSpace

SPACE = SearchSpace([Decision(f"d{i}", "ordinal", options=(0, 1, 2, 3)) for i in range(6)])


def slow(seconds):
    def estimate(architecture, run):
        ran = run.folder.parents[1] / "ran"
        ran.mkdir(exist_ok=True)
        with (ran / str(run.number)).open("a") as file:
            file.write(".")
        time.sleep(seconds)
        return {"value": float(sum(architecture.values()))}

    return estimate


def run(folder, trials, seconds):
    search(
        SPACE,
        estimator=slow(seconds),
        maximize="value",
        strategy="evolution",
        executor=SerialExecutor(),
        workers=1,
        trials=trials,
        out=folder,
    )


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
