"""A search that begins from what a search by gradient prefers, and says what that says of itself."""

import io
from itertools import islice

import pytest
from rich.console import Console
from torch import nn

from ogive import task
from ogive.cli._print import print_summary
from ogive.engine import search, summarize
from ogive.errors import SettingError
from ogive.estimators import Recipe, Run
from ogive.executors import SerialExecutor
from ogive.oneshot import search_by_controller, search_by_gradient
from ogive.space import Decision, SearchSpace


class Nothing(nn.Module):
    def forward(self, x):
        return 0.0 * x


def layers(choose, data):
    def layer(name):
        return choose.layer(name, {"nothing": Nothing, "skip": nn.Identity})

    width = choose.value("width", (4, 8))
    first, last = nn.Linear(64, width), nn.Linear(width, data.outputs)
    return nn.Sequential(nn.Flatten(), first, layer("a"), layer("b"), last)


def skipless(choose, data):
    """One in which there is no skip to prefer."""
    options = {"nothing": Nothing, "tanh": nn.Tanh}
    return nn.Sequential(nn.Flatten(), choose.layer("a", options), nn.Linear(64, data.outputs))


def learned(network, **settings):
    recipe = Recipe(batch_size=128, epochs=3, lr=1e-2)
    return search_by_gradient(
        network,
        task.load("digits"),
        recipe=recipe,
        alpha_lr=0.2,
        run=Run(device="cpu"),
        **settings,
    )


@pytest.fixture(scope="module")
def found():
    return learned(layers, alarm=True)


def begun_from(found, folder, space=None):
    return search(
        found.space if space is None else space,
        estimator=lambda architecture, run: {"value": 1.0},
        maximize="value",
        start_from=found,
        strategy="random",
        executor=SerialExecutor(),
        trials=2,
        out=folder,
    )


def test_what_is_preferred_is_tried_first(found, tmp_path):
    result = begun_from(found, tmp_path / "run")
    tried = [trial["architecture"] for trial in result.summary["trials"]]
    assert tried == [dict(architecture) for architecture in islice(found.ranked(), 2)]
    assert tried[0] == {"width": 8, "a": "skip", "b": "skip"}


def test_what_a_controller_prefers_is_tried_first(tmp_path):
    recipe = Recipe(batch_size=128, epochs=2, lr=1e-2)
    derived = search_by_controller(
        layers, task.load("digits"), samples=6, recipe=recipe, run=Run(device="cpu")
    )
    result = begun_from(derived, tmp_path / "run")
    tried = [trial["architecture"] for trial in result.summary["trials"]]
    assert tried == [dict(architecture) for architecture in islice(derived.ranked(), 2)]


def test_a_collapse_is_in_the_report_with_what_to_do(found, tmp_path):
    result = begun_from(found, tmp_path / "run")
    page = result.report.read_text()
    assert "The search has collapsed: 2 of 2 layers are skips." in page
    assert "stop it earlier, warm the weights up for longer" in page
    assert "chart-by-gradient" in page
    assert "dominant eigenvalue" in page
    told = summarize(tmp_path / "run")["by_gradient"]
    assert told["notes"] == list(found.notes)
    assert [each["epoch"] for each in told["history"]] == [1, 2, 3]
    assert told["history"][-1]["skips"] == 1
    assert told["history"][-1]["eigenvalue"] == found.history[-1].eigenvalue
    screen = io.StringIO()
    print_summary(result.summary, Console(file=screen, width=200))
    assert "note: The search has collapsed" in screen.getvalue()


def test_no_alarm_is_said_to_be_one_only_if_it_was_measured(tmp_path):
    for alarm, said in ((True, "raised no alarm"), (False, "was not measured")):
        healthy = learned(skipless, alarm=alarm)
        assert not healthy.notes
        page = begun_from(healthy, tmp_path / str(alarm)).report.read_text()
        assert "Skips did not take over" in page
        assert said in page


def test_without_one_the_report_is_silent(tmp_path):
    space = SearchSpace([Decision("x", "ordinal", options=(1, 2))])
    result = begun_from((), tmp_path / "run", space)
    assert result.summary["by_gradient"] is None
    assert "search by gradient" not in result.report.read_text()


def test_of_a_similar_space_what_fits_is_tried(found, tmp_path):
    space = SearchSpace(
        [
            Decision("a", "categorical", options=("skip", "nothing")),
            Decision("new", "ordinal", options=(1, 2)),
        ]
    )
    result = begun_from(found, tmp_path / "run", space)
    assert result.summary["trials"][0]["architecture"] == {"a": "skip", "new": 1}
    other = SearchSpace([Decision("another", "ordinal", options=(1, 2))])
    with pytest.raises(SettingError, match="one-shot search to start from shares decisions"):
        begun_from(found, tmp_path / "other", other)
