import pytest

from ogive.engine import Budget
from ogive.engine._setup import set_up


@pytest.fixture
def prepared(tmp_path):
    """Makes the setup of a search of digits, with the defaults but for what is given."""

    def prepare(network, limits, recipe=None, costs=None):
        return set_up(
            network,
            "digits",
            budget=Budget(trials=2),
            limits=limits,
            maximize=None,
            minimize=(),
            strategy="random",
            start_from=(),
            estimator=None,
            recipe=recipe,
            fidelity="epochs",
            seed=0,
            folder=tmp_path,
            costs=costs,
        )

    return prepare
