"""The arithmetic behind the charts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive.report._charts import against, front, over_time
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


def test_what_was_stopped_is_drawn_where_it_was_expected_and_wins_nothing():
    summary = search_of([(0.5, 3), (0.6, 2)]).summary
    first = summary["trials"][0]
    metrics = {"score": 0.1, "expected": 0.55, "stopped_at": 2.0}
    stopped = {**first, "number": 2, "architecture": {"n": 2}, "metrics": metrics, "ended": 2.0}
    stopped["costs"] = {"cost": 1.0}
    search = read({**summary, "trials": [*summary["trials"], stopped]})
    assert search.score(search.rows[2]) == 0.55
    drawn = over_time(search)
    assert "stopped: expected" in drawn
    assert "as expected when stopped after epoch 2" in drawn
    (against_cost,) = against(search, ["cost"])
    assert "stopped" not in against_cost
