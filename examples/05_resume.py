"""Nothing is lost: a search is stopped in the middle, and the same call goes on."""

import ogive
from ogive import SerialExecutor
from ogive.testing import synthetic

problem = synthetic()


class Stopped(Exception):
    """Stands for a power cut."""


def until(last):
    def estimate(architecture, run):
        return {"value": problem.value(architecture, run.fidelity)}

    def watch(snapshot):
        if snapshot.counts.get("complete", 0) >= last:
            raise Stopped

    return estimate, watch


def search(last):
    estimate, watch = until(last)
    return ogive.search(
        problem.space,
        estimator=estimate,
        maximize="value",
        strategy="evolution",
        executor=SerialExecutor(),
        trials=100,
        out="runs/example-resume",
        progress=watch,
    )


try:
    search(last=40)
except Stopped:
    print("stopped with", len(ogive.summarize("runs/example-resume")["trials"]), "trials")

result = search(last=1000)
print("ended with", len(result.trials), "trials, numbered", list(result.trials.index)[:3], "…")
