import pytest

from ogive.engine._preflight import Speed, _reference_of, alone, fastest
from ogive.engine._setup import references


@pytest.mark.parametrize(
    ("seconds", "taken"),
    [(0.10, 1), (0.09, 1), (0.06, 2)],
    ids=["as fast", "hardly faster", "faster"],
)
def test_several_threads_are_taken_where_they_earn_it(seconds, taken):
    one = Speed(workers=1, threads=1, precision="fp32", seconds=0.10)
    two = Speed(workers=1, threads=2, precision="fp32", seconds=seconds)
    assert fastest([one, two]).threads == fastest([two, one]).threads == taken
    pair = Speed(workers=2, threads=1, precision="fp32", seconds=0.10)
    other = Speed(workers=1, threads=4, precision="bf16", seconds=0.01)
    assert alone(pair, [pair, two, other]) == taken


def test_the_precision_with_the_most_steps_a_second_is_taken():
    wide = Speed(workers=2, threads=1, precision="fp32", seconds=0.10)
    quick = Speed(workers=2, threads=1, precision="bf16", seconds=0.08)
    assert fastest([wide, quick]) is quick
    hardly = Speed(workers=2, threads=1, precision="bf16", seconds=0.09)
    assert fastest([wide, hardly]) is fastest([hardly, wide]) is wide
    many = Speed(workers=4, threads=1, precision="fp32", seconds=0.15)
    assert fastest([wide, quick, many]) is many


@pytest.mark.parametrize("most", [1, 1_000, 20_000, 10**9])
def test_the_reference_is_the_largest_that_meets_the_limits(most, prepared):
    setup = prepared(None, {"params": most})
    known = references(setup)
    fitting = [a for a in known if setup.costs(a, ("params",))["params"] <= most]
    scaled = len(fitting) < len(known)
    assert _reference_of(setup) == (next(iter(fitting), None), scaled)
