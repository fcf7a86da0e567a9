import io
import json
import sys
from datetime import datetime

import pytest

from ogive.engine import search, summarize
from ogive.errors import MissingExtra, SettingError
from ogive.executors import SerialExecutor
from ogive.report import to_optuna
from ogive.space import Condition, Decision, SearchSpace

optuna = pytest.importorskip("optuna")

SPACE = SearchSpace(
    [
        Decision("op", "categorical", options=("conv", "skip", None)),
        Decision("shape", "categorical", options=((1, 2), (3, 4))),
        Decision("lr", "real", low=1e-3, high=1.0, log=True),
        Decision("width", "ordinal", options=(8, 16, 64)),
        Decision("inputs", "subset", options=("a", "b", "c"), sizes=(1, 2)),
        Decision(
            "kernel",
            "integer",
            low=1,
            high=9,
            step=2,
            conditions=((Condition("op", frozenset(["conv"])),),),
        ),
    ]
)


def estimate(architecture, run):
    if architecture["op"] is None:
        raise ValueError("no operation")
    for epoch in (1, 2):
        run.report(epoch, {"score": epoch / 2 * architecture["width"], "loss": 1 / epoch})
    return {"score": float(architecture["width"]), "ms": architecture["lr"]}


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    """What a search in a run folder says, with one more trial that a limit ruled out."""
    folder = tmp_path_factory.mktemp("runs") / "night"
    search(
        SPACE,
        estimator=estimate,
        maximize="score",
        minimize="ms",
        strategy="random",
        executor=SerialExecutor(),
        workers=1,
        trials=10,
        out=folder,
    )
    told = json.loads(json.dumps(summarize(folder)))
    more = {"number": 10, "state": "rejected", "error": "over", "costs": {"params": 9.0}}
    nothing = {"values": [], "metrics": {}, "curve": []}
    rejected = {**told["trials"][0], **more, **nothing}
    return told | {"trials": [*told["trials"], rejected]}


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


@pytest.fixture(scope="module")
def written(summary, tmp_path_factory):
    """The URL of its study."""
    url = f"sqlite:///{tmp_path_factory.mktemp('written')}/study.db"
    to_optuna(summary, url)
    return url


def test_a_study_has_what_the_summary_has(summary, written):
    study = optuna.load_study(study_name="night", storage=written)
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["score", "ms"]
    states = {"complete": "COMPLETE", "failed": "FAIL", "rejected": "PRUNED"}
    for told, trial in zip(summary["trials"], study.trials, strict=True):
        assert trial.number == told["number"]
        assert trial.state.name == states[told["state"]]
        architecture = told["architecture"]
        assert trial.params["op"] == architecture["op"]
        assert trial.params["width"] == architecture["width"]
        assert trial.params["lr"] == pytest.approx(architecture["lr"])
        assert trial.params["shape"] == str(tuple(architecture["shape"]))
        taken = [option for option in "abc" if trial.params[f"inputs[{option}]"]]
        assert taken == architecture["inputs"]
        assert trial.params.get("kernel") == architecture.get("kernel")
        assert trial.user_attrs["role"] == told["role"]
        assert trial.duration == trial.datetime_complete - trial.datetime_start
        if told["state"] == "complete":
            assert trial.values == [told["metrics"]["score"], told["metrics"]["ms"]]
            assert trial.intermediate_values == {
                1: told["metrics"]["score"] / 2, 2: told["metrics"]["score"],
            }  # fmt: skip
            assert trial.user_attrs["score"] == told["metrics"]["score"]
        else:
            assert trial.values is None
            assert trial.user_attrs["error"] == told["error"]
    assert {trial.state.name for trial in study.trials} == set(states.values())
    assert study.trials[10].user_attrs["params"] == 9.0
    begun = datetime.fromisoformat(summary["created"]).timestamp()
    first = summary["trials"][0]["started"]
    assert study.trials[0].datetime_start.timestamp() == pytest.approx(begun + first)


def test_the_distributions_are_those_of_the_space(summary):
    trials = to_optuna(summary, optuna.storages.InMemoryStorage()).trials
    found = {name: among for trial in trials for name, among in trial.distributions.items()}
    kinds = optuna.distributions
    assert found.pop("op") == kinds.CategoricalDistribution(("conv", "skip", None))
    assert found.pop("shape") == kinds.CategoricalDistribution(("(1, 2)", "(3, 4)"))
    assert found.pop("lr") == kinds.FloatDistribution(1e-3, 1.0, log=True)
    assert found.pop("width") == kinds.CategoricalDistribution((8, 16, 64))
    assert found.pop("kernel") == kinds.IntDistribution(1, 9, step=2)
    assert set(found) == {"inputs[a]", "inputs[b]", "inputs[c]"}


def test_a_running_trial_is_one_and_the_final_training_is_none(summary, url):
    last = {**summary["trials"][0], "number": 11, "state": "running", "ended": None, "values": []}
    final = {**summary["trials"][0], "number": 12, "role": "final", "values": []}
    study = to_optuna(summary | {"trials": [*summary["trials"], last, final]}, url)
    assert len(study.trials) == 12
    assert study.trials[11].state.name == "RUNNING"


def test_it_is_written_anew_but_nothing_else_is_lost(summary, url):
    optuna.create_study(study_name="mine", storage=url)
    for _ in range(2):
        assert len(to_optuna(summary, url).trials) == 11
    with pytest.raises(SettingError, match="another one that is called 'mine'"):
        to_optuna(summary, url, name="mine")
    assert sorted(optuna.get_all_study_names(url)) == ["mine", "night"]


def test_a_storage_of_optuna_will_do(summary):
    storage = optuna.storages.InMemoryStorage()
    assert to_optuna(summary, storage).study_name == "night"
    assert len(optuna.load_study(study_name="night", storage=storage).trials) == 11


@pytest.mark.parametrize("bad", ["study.db", "nosuch://x/y", "sqlite:////no/such/folder/study.db"])
def test_a_database_that_cannot_be_opened_is_told(summary, bad):
    with pytest.raises(SettingError, match=r"sqlite:///study\.db"):
        to_optuna(summary, bad)


def test_without_optuna_the_command_is_named(summary, url, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ogive\[optuna\]'"):
        to_optuna(summary, url)


def test_its_dashboard_opens_it(written):
    dashboard = pytest.importorskip("optuna_dashboard")
    app = dashboard.wsgi(written)

    def get(path):
        said = []
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "localhost",
            "SERVER_PORT": "80", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
        }  # fmt: skip
        body = b"".join(app(environ, lambda status, headers, *_: said.append(status)))
        assert said == ["200 OK"]
        return json.loads(body)

    (listed,) = get("/api/studies")["study_summaries"]
    assert listed["study_name"] == "night"
    study = get(f"/api/studies/{listed['study_id']}")
    assert len(study["trials"]) == 11
    assert study["objective_names"] == ["score", "ms"]


def test_what_was_stopped_is_pruned(summary, url):
    complete = next(t for t in summary["trials"] if t["state"] == "complete")
    metrics = {**complete["metrics"], "stopped_at": 1.0, "expected": 3.0}
    stopped = complete | {"metrics": metrics, "values": [3.0, complete["values"][1]]}
    study = to_optuna(summary | {"trials": [stopped]}, url)
    (trial,) = study.trials
    assert trial.state.name == "PRUNED"
    assert trial.value is None
    assert trial.intermediate_values[2] == complete["metrics"]["score"]  # what it had reached
    assert trial.user_attrs["expected"] == 3.0
