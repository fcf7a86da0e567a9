"""The arithmetic behind the charts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive.report._charts import front, over_time
from ogive.report._records import read, thin

scores = st.floats(0, 1).map(lambda x: round(x, 2))
points = st.lists(st.tuples(scores, scores), min_size=1, max_size=12)


def search_of(points, *, greater=True):
    trials = [
        {
            "number": number,
            "role": "search",
            "state": "complete",
            "architecture": {"n": number},
            "metrics": {"score": score},
            "costs": {"cost": cost},
            "ended": float(number),
        }
        for number, (score, cost) in enumerate(points)
    ]
    goal = {"maximize": ["score"]} if greater else {"minimize": ["score"]}
    return read({"trials": trials, **goal})


@given(points, st.booleans())
def test_the_front_is_what_no_other_beats(points, greater):
    search = search_of(points, greater=greater)
    sign = 1 if greater else -1

    def beaten(point):
        return any(
            sign * p[0] >= sign * point[0] and p[1] <= point[1] and p != point for p in points
        )

    expected = {point for point in points if not beaten(point)}
    found = [points[row.number] for row in front(search, search.rows, "cost")]
    assert sorted(found) == sorted(expected)  # of equal points, one


@given(st.integers(0, 60), st.integers(1, 20), st.sets(st.integers(0, 59)))
def test_thinning_keeps_what_it_must_and_little_more(n, most, keep):
    rows = search_of([(0.5, 0.5)] * n).rows if n else []
    kept = [row.number for row in thin(rows, most, keep=keep)]
    assert kept == sorted(set(kept))
    assert {number for number in keep if number < n} <= set(kept)
    assert len(kept) <= max(most + len(keep), min(n, most))
    if n <= most:
        assert len(kept) == n


@pytest.mark.parametrize("greater", [True, False])
def test_trials_without_an_end_are_not_drawn(greater):
    search = search_of([(0.1, 1), (0.2, 2)], greater=greater)
    assert over_time(search)
    assert over_time(read(search.summary | {"trials": []})) == ""
