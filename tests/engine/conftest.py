import pytest

from ogive.engine import Budget, search, summarize
from ogive.engine._setup import set_up
from ogive.executors import SerialExecutor


class Enough(Exception):
    """Ends a search whose trials are over."""


@pytest.fixture
def tried(tmp_path):
    """Runs a search up to the handover, which takes seconds and has its own tests; summarizes it."""

    def run(network, task, **settings):
        def stop(snapshot):
            if snapshot.phase == "handover":
                raise Enough

        defaults = {
            "executor": SerialExecutor(),
            "workers": 1,
            "bundle": False,
            "out": tmp_path / "run",
        }
        with pytest.raises(Enough):
            search(network, task, **({"progress": stop} | defaults | settings))
        return summarize(tmp_path / "run")

    return run


@pytest.fixture
def prepared(tmp_path):
    """Makes the setup of a search of digits, with the defaults but for what is given."""

    def prepare(network, limits, recipe=None, costs=None, task="digits", maximize=None):
        return set_up(
            network,
            task,
            budget=Budget(trials=2),
            limits=limits,
            maximize=maximize,
            minimize=(),
            strategy="random",
            start_from=(),
            estimator=None,
            recipe=recipe,
            fidelity="epochs",
            seed=0,
            folder=tmp_path,
            costs=costs,
            bundle=False,
        )

    return prepare
