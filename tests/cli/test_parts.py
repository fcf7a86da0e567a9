"""Small parts of the command line, without a search."""

import errno
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ogive import text
from ogive.cli._call import _function
from ogive.cli._exits import EXITS, exit_code, guarded
from ogive.cli._print import _failures, _tested, _trials, _used, print_json
from ogive.cli._search import _costs, _limits, _named
from ogive.cli._spaces import _shortest
from ogive.errors import (
    ArchitectureError,
    JournalMismatch,
    MissingExtra,
    OgiveError,
    SettingError,
)
from ogive.space import Condition
from ogive.text import told_by


@pytest.mark.parametrize(
    ("text", "name", "most"),
    [
        ("latency_ms=5", "latency_ms", 5.0),
        ("params=50k", "params", 50_000.0),
        ("macs = 1.5M", "macs", 1.5e6),
        ("params=50_000", "params", 50_000.0),
        ("macs=2e9", "macs", 2e9),
    ],
)
def test_limits(text, name, most):
    assert _limits([text]) == {name: most}


@pytest.mark.parametrize(
    "texts", [["params"], ["params="], ["params=k"], ["latency_ms=5ms"], ["params=1", "params=2"]]
)
def test_limits_that_are_refused(texts):
    with pytest.raises(SettingError, match=r"params|latency_ms"):
        _limits(texts)


def test_costs():
    given = ["latency_ms=phone.json", " energy = costs.py:energy "]
    assert _costs(given) == {"latency_ms": "phone.json", "energy": "costs.py:energy"}


@pytest.mark.parametrize("texts", [["energy"], ["=energy.py:f"], ["energy="], ["a=b", "a=c"]])
def test_costs_that_are_refused(texts):
    with pytest.raises(SettingError, match=r"energy|'a'"):
        _costs(texts)


def test_functions_of_one_file_know_the_same_classes(tmp_path):
    path = tmp_path / "file_of_two.py"
    path.write_text("class A: pass\ndef one(): return A\ndef two(): return A\n")
    one, two = (_function(f"{path}:{name}", "--cost", SettingError) for name in ("one", "two"))
    assert one() is two()


def test_a_run_is_named_after_its_data(tmp_path, monkeypatch):
    folder = tmp_path / "photos.v2"
    folder.mkdir()
    file = folder / "train.csv"
    file.touch()
    monkeypatch.chdir(folder)
    assert [_named(type(file)(text)) for text in ("digits", str(folder), ".", str(file))] == [
        "digits", "photos.v2", "photos.v2", "train",
    ]  # fmt: skip


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_json_that_is_printed_is_json(value):
    def refuse(constant):
        raise AssertionError(constant)

    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("builtins.print", lines.append)
        print_json(value)
    json.loads(lines[0], parse_constant=refuse)


def test_what_is_no_number_is_null(capsys):
    print_json({"loss": float("inf"), "curve": ({"loss": float("nan")}, {"loss": 0.5})})
    found = json.loads(capsys.readouterr().out)
    assert found == {"loss": None, "curve": [{"loss": None}, {"loss": 0.5}]}


def test_what_is_counted_in_mebibytes_says_so():
    assert text.cost("size_mb", 2.0) == "2 MiB"
    assert text.axis_label("memory_mb") == "memory (MiB)"


def test_a_count_that_rounds_up_has_the_next_unit():
    assert [text.count(n) for n in (999, 999_499, 999_500, -999_999_999)] == [
        "999",
        "999k",
        "1M",
        "−1G",
    ]


def every(kind):
    return [kind, *(each for child in kind.__subclasses__() for each in every(child))]


def test_every_error_has_a_documented_code():
    for kind in every(OgiveError):
        error = kind("package", "extra") if kind is MissingExtra else kind("said")
        code = exit_code(error)
        assert code in EXITS
        assert code != 0
        assert (code == 1) == (kind is OgiveError)


def test_the_nearest_kind_of_an_error_decides():
    assert exit_code(ArchitectureError("")) == 4
    assert exit_code(JournalMismatch("")) == 7


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EROFS, "--out"),
        (errno.EACCES, "--out"),
        (errno.ENOENT, "Check the path"),
    ],
)
def test_the_system_says_no(capsys, number, cure):
    with pytest.raises(SystemExit) as caught, guarded():
        raise OSError(number, "it says no", "/some/where")
    err = capsys.readouterr().err
    assert caught.value.code == 7
    assert err.startswith("error: ")
    assert "/some/where" in err
    assert cure in err


def test_a_fault_of_our_own_is_kept_in_a_file(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("OGIVE_DEBUG", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as caught, guarded():
        _ = {}["missing"]
    err = capsys.readouterr().err
    (kept,) = tmp_path.iterdir()
    assert caught.value.code == 1
    assert str(kept) in err
    assert "Traceback" not in err
    assert "missing" in kept.read_text()


def test_a_fault_of_our_own_is_shown_to_who_asks(capsys, monkeypatch):
    monkeypatch.setenv("OGIVE_DEBUG", "1")
    with pytest.raises(SystemExit), guarded():
        _ = {}["missing"]
    assert "Traceback" in capsys.readouterr().err


VALUES = ("a", "b", "c")

WAYS = st.lists(
    st.dictionaries(
        st.sampled_from("xyz"), st.frozensets(st.sampled_from(VALUES), min_size=1)
    ).map(lambda way: tuple(Condition(parent, values) for parent, values in way.items())),
    min_size=1,
)


@given(WAYS, st.fixed_dictionaries({name: st.sampled_from(VALUES) for name in "xyz"}))
def test_fewer_ways_say_the_same(ways, decided):
    def holds(some):
        return any(all(condition.holds(decided) for condition in way) for way in some)

    fewer = _shortest(ways)
    assert holds(fewer) == holds(ways)
    assert len(fewer) <= len(ways)


def test_a_way_that_another_one_covers_is_not_said():
    wide = (Condition("operation", frozenset({"inverted"})),)
    narrow = (Condition("blocks", frozenset({2, 3})), *wide)
    assert _shortest([narrow, wide]) == [wide]


def told(verdict, *, same=False):
    ends = {"value": 0.01, "low": -0.02, "high": 0.04}
    return {
        "best": {"architecture": {"width": 8}},
        "test": None,
        "reference": {
            "architecture": {"width": 8 if same else 16},
            "metrics": {"accuracy": 0.9},
            "test": {"accuracy": 0.97},
            "difference": {"metric": "accuracy", "verdict": verdict, **ends},
        },
    }


def test_the_verdict_on_the_reference():
    (line,) = _tested(told("tie"))
    assert line == (
        "reference: accuracy 97.00 % on test; the found network is +1.00 points (−2.00 to +4.00): "
        "a tie"
    )
    (line,) = _tested(told("worse"))
    assert line.endswith(": worse")
    (line,) = _tested(told("tie", same=True))
    assert line == "reference: it is the network found; the search had nothing clearly better"


@pytest.mark.parametrize(
    ("metrics", "own", "estimator", "said"),
    [
        ({"accuracy": 0.9}, "accuracy", None, ("accuracy", True)),
        ({"macro_f1": 0.9}, "accuracy", None, ("macro_f1", True)),
        ({"readout": 0.9}, "accuracy", "readout", ("readout", False)),
        ({"accuracy": 0.9}, "accuracy", "readout", ("accuracy", True)),
        ({"value": 7.0}, None, "<lambda>", ("value", False)),
    ],
)
def test_a_trial_is_told_by_what_was_measured_of_it(metrics, own, estimator, said):
    """What was trained after an estimator had ranked it lacks the estimator's metric."""
    goal = next(iter(metrics)) if estimator != "readout" else "readout"
    summary = {
        "maximize": [goal], "minimize": [], "task": own and {"metric": own}, "estimator": estimator,
    }  # fmt: skip
    assert told_by(summary, {"metrics": metrics, "costs": {"params": 9.0}}) == said


def test_what_was_trained_after_an_estimator_had_ranked_it_is_in_the_table():
    def trial(number, role, values, **metrics):
        return {
            "number": number, "role": role, "state": "complete", "fidelity": 1.0, "values": values,
            "metrics": metrics, "costs": {}, "seconds": 1.0,
        }  # fmt: skip

    table = _trials({
        "maximize": ["readout"], "minimize": [], "task": {"metric": "rmse"}, "estimator": "readout",
        "trials": [
            trial(0, "search", [7.0], readout=7.0),
            trial(1, "finalist", [-0.5], rmse=0.5),
            trial(2, "reference", [-0.25], rmse=0.25),
            trial(3, "final", []),
        ],
    })  # fmt: skip
    cells = {column.header: list(column.cells) for column in table.columns}
    assert cells["trial"] == ["2", "1", "0"]
    assert cells["RMSE"] == ["0.25", "0.5", text.NOTHING]
    assert cells["readout"] == [text.NOTHING, text.NOTHING, "7"]


def test_like_reasons_are_counted_together():
    trials = [
        {"state": "rejected", "error": f"params is {n}, over the limit of 3000"} for n in range(9)
    ]
    trials += [{"state": "failed", "error": None}, {"state": "complete", "error": None}]
    assert list(_failures({"trials": trials})) == [
        "9 rejected: params is …, over the limit of …",
        "1 failed: no reason was given",
    ]


def test_one_trial_is_no_trials():
    used = {"seconds": 60.0, "trials": 1, "epochs": 5.0}
    assert "1 of 1 trial, 5 epochs" in _used({"budget": {"trials": 1, "used": used}})
    assert "1 trial, 5 epochs" in _used({"budget": {"seconds": 90.0, "used": used}})
    assert "2 of 30 trials," in _used({"budget": {"trials": 30, "used": {**used, "trials": 2}}})
