import math
from dataclasses import replace

import numpy as np
import pytest

from ogive.space import Architecture, Decision, SearchSpace
from ogive.strategies._known import Known
from ogive.testing import ended, running
from ogive.trial import Proposal

SPACE = SearchSpace([Decision("d", "integer", low=0, high=99)])


def known(results):
    """Of ``(d, fidelity, value)``, told in order."""
    told = Known(SPACE)
    for number, (d, fidelity, value) in enumerate(results):
        trial = running(number, Proposal(Architecture({"d": d}), fidelity))
        told.tell(trial)
        told.tell(ended(trial, value))
    return told


def worth(results):
    forms, values = known(results).values()
    return dict(zip([form["d"] for form in forms], values[:, 0], strict=True))


def test_the_longest_training_counts():
    assert worth([(0, 0.1, 0.2), (0, 1.0, 0.9), (0, 0.3, 0.5)]) == {0: 0.9}


def test_short_trainings_are_carried_on_by_what_networks_with_both_gave():
    # What a tenth of the epochs gives, all of them give twice, and 0.1 more.
    results = [(d, 0.1, d / 100) for d in range(10)]
    results += [(d, 1.0, 0.1 + 2 * d / 100) for d in (9, 7, 5)]
    found = worth(results)
    for d in range(10):
        assert found[d] == pytest.approx(0.1 + 2 * d / 100)


def test_over_several_rungs():
    results = [(d, 1 / 9, d / 100) for d in range(9)]
    results += [(d, 1 / 3, 0.1 + d / 100) for d in range(6, 9)]
    results += [(8, 1.0, 0.1 + 0.2 + 8 / 100)]
    assert worth(results)[0] == pytest.approx(0.3)


def test_where_no_network_had_both_the_distributions_are_taken_to_be_alike():
    results = [(d, 0.1, d / 100) for d in range(5)]
    results += [(50 + d, 1.0, 0.5 + 3 * d / 100) for d in range(5)]
    found = worth(results)
    assert found[3] == pytest.approx(found[53])


def test_failures_and_rejections():
    told = known([(0, 0.1, 0.5), (1, 0.1, None), (0, 1.0, None), (2, 1.0, 0.7)])
    trial = running(9, Proposal(Architecture({"d": 3})))
    told.tell(trial)
    assert told.begun == 4
    assert told.running == [Architecture({"d": 3})]
    told.tell(replace(trial, state="rejected"))
    forms, values = told.values()
    assert [form["d"] for form in forms] == [0, 1, 2]
    assert np.isnan(values[:2]).all()
    assert values[2, 0] == 0.7
    forms, labels = told.labels()
    assert dict(zip([form["d"] for form in forms], labels, strict=True)) == {
        0: 1, 1: 1, 2: 1, 3: -1
    }  # fmt: skip
    assert told.begun == len(told) - 1 == 3


def test_several_objectives():
    told = Known(SPACE)
    trial = running(0, Proposal(Architecture({"d": 0})))
    told.tell(replace(trial, state="complete", values=(1.0, -2.0)))
    other = running(1, Proposal(Architecture({"d": 1})))
    told.tell(replace(other, state="complete", values=(1.0, math.inf)))
    _, values = told.values()
    assert values[0].tolist() == [1.0, -2.0]
    assert np.isnan(values[1]).all()


def test_what_failed_is_not_among_the_best():
    told = known([(0, 1.0, 0.5), (1, 1.0, None), (2, 1.0, 0.7), (3, 1.0, None)])
    assert [form["d"] for form in told.best(8)] == [2, 0]
    assert known([(0, 1.0, None)]).best(3) == []
