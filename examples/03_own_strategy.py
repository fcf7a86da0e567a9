"""A strategy of one's own: a fold over trials, here a simple hill climber."""

import ogive
from ogive import Proposal, SerialExecutor, Strategy
from ogive.testing import synthetic


class HillClimber(Strategy):
    """Mutates the best so far; starts from a random architecture."""

    def __init__(self, space):
        self.space = space
        self._best = None

    def ask(self, n, rng):
        if self._best is None:
            return [Proposal(self.space.sample(rng)) for _ in range(n)]
        return [Proposal(self.space.mutate(self._best.architecture, rng)) for _ in range(n)]

    def tell(self, trial):
        if trial.state == "complete" and (self._best is None or trial.value > self._best.value):
            self._best = trial


problem = synthetic()


def estimate(architecture, run):
    return {"value": problem.value(architecture, run.fidelity)}


for strategy in (HillClimber(problem.space), "random", "evolution"):
    result = ogive.search(
        problem.space,
        estimator=estimate,
        maximize="value",
        strategy=strategy,
        executor=SerialExecutor(),
        trials=200,
    )
    print(result.summary["strategy"]["name"], round(result.best.value, 3))
