"""The page, read back with a parser."""

import copy
import math
import re
from html.parser import HTMLParser

import pytest

from ogive.report import write
from ogive.report._charts import curves
from ogive.report._records import read


class Page(HTMLParser):
    """The words and the tags of a page, without its scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.words, self.tags, self.ids, self._hidden = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._hidden += tag in ("script", "style")
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def charts(self):
        return [name for name in self.ids if name.startswith("chart-")]


@pytest.fixture
def page(tmp_path):
    def render(summary):
        path = tmp_path / "report.html"
        write(summary, path)
        return Page(path.read_text(encoding="utf-8"))

    return render


@pytest.fixture(scope="module")
def finished(make, tmp_path_factory):
    """The page of a finished search of 60 trials, with all of its parts."""
    path = tmp_path_factory.mktemp("finished") / "report.html"
    write(make(60), path)
    return Page(path.read_text(encoding="utf-8"))


def without(summary, *names):
    return summary | dict.fromkeys(names)


def test_a_finished_search_is_told_whole(finished):
    for words in (
        "98.33 % accuracy on digits",
        "95 % interval 96.41 % to 99.23 %",
        "A tie: +0.83 points accuracy on the test split (−0.28 to +1.94)",
        "accuracy on validation",
        "What each decision was worth",
        "An ensemble of networks. The predictions have a rank correlation of 0.",
        "The loss was not a number at epoch …",
        "12 duplicate images were kept in the split of their first copy.",
        "ogive search digits --limit params=50000 --seed 0",
        "ogive.load_bundle('runs/digits/bundle')",
        "31,104 architectures",
    ):
        assert words in finished.text, words
    assert finished.charts == [
        "chart-over-time", "chart-against-0", "chart-against-1", "chart-against-2", "chart-curves",
        "chart-predicted",
    ]  # fmt: skip


def test_it_opens_without_a_network(finished):
    tags = finished.tags
    assert not [a for _, a in tags if a.get("src") or a.get("href")]
    assert not [tag for tag, _ in tags if tag in ("link", "iframe", "img")]


def test_each_picture_has_a_label(finished):
    labels = [a["aria-label"] for _, a in finished.tags if a.get("role") == "img"]
    assert len(labels) == len(finished.charts)
    assert labels[:2] == [
        "Chart: accuracy (%) by time (s)", "Chart: accuracy (%) by parameters"
    ]  # fmt: skip


def test_it_is_made_for_phones(finished):
    tags = finished.tags
    viewport = [a["content"] for tag, a in tags if tag == "meta" and a.get("name") == "viewport"]
    assert viewport == ["width=device-width, initial-scale=1"]
    for tag, attributes in tags:
        width = re.search(r"\bwidth:\s*(\d+)px", attributes.get("style") or "")
        assert tag == "svg" or width is None or int(width[1]) <= 100


def test_names_are_words_and_never_markup(make, page, finished):
    summary = make(40)
    evil = "\"'></script><script>alert(1)</script><b>"
    summary["task"]["name"] = summary["task"]["notes"][0] = evil
    summary["maximize"] = [evil]
    summary["limits"] = {evil: 1}
    summary["by_gradient"] = {"notes": [evil], "history": [{"epoch": 1, "skips": 0.5}]}
    summary["bundle"]["path"] = summary["run"] = evil
    for trial in summary["trials"]:
        trial["metrics"] = {evil: trial["metrics"]["accuracy"]} if trial["metrics"] else {}
        trial["costs"] = {evil: trial["number"] + 1}
        trial["architecture"] = {
            evil + path: f"{evil}{v}" for path, v in trial["architecture"].items()
        }
        trial["curve"] = [
            {"step": point["step"], evil: point["accuracy"]} for point in trial["curve"]
        ]
        trial["error"] = trial["error"] and evil
    summary["best"] |= {
        key: summary["trials"][summary["best"]["number"]][key]
        for key in ("architecture", "metrics", "costs")
    }
    summary["graph"] = {
        "nodes": [
            {"id": name, "name": evil, "type": kind, "detail": evil, "shape": [1], "params": 1}
            for name, kind in (("a", "input"), ("b", evil), ("c", "output"))
        ],
        "edges": [["a", "b"], ["b", "c"]],
        "params": 1,
    }
    shown = page(summary)
    assert evil in shown.text
    assert scripts_beside_charts(shown) == scripts_beside_charts(finished)
    assert any(a.get("aria-label") == f"Chart: {evil} by epoch" for _, a in shown.tags)


def scripts_beside_charts(page):
    return sum(tag == "script" for tag, _ in page.tags) - len(page.charts)


@pytest.mark.parametrize("trials", [0, 1, 2, 19])
def test_few_trials(make, page, trials):
    shown = page(make(trials))
    assert "at least 20 are needed" in shown.text


def test_no_trial_yet(make, page):
    summary = without(make(0), "best", "reference", "test", "bundle") | {"trials": []}
    assert "No network yet for digits" in page(summary | {"status": "running"}).text
    shown = page(summary | {"status": "interrupted"})
    assert "No network was found for digits" in shown.text
    assert shown.charts == []


def test_no_trial_complete(make, page):
    summary = without(make(30), "best", "reference", "test", "bundle")
    for trial in summary["trials"]:
        trial |= {"state": "failed", "metrics": {}, "values": [], "curve": [], "error": "Too big."}
    shown = page(summary)
    assert "0 trials complete; 34 failed" in shown.text
    assert "Too big." in shown.text


def test_running_trials_have_no_end(make, page):
    summary = make(9)
    for trial in summary["trials"][-3:]:
        trial |= {"state": "running", "ended": None, "metrics": {}, "values": [], "seconds": None}
    assert "3 running" in page(summary).text


def test_interrupted_says_that_the_test_split_is_sealed(make, page):
    summary = without(make(9), "test", "bundle") | {"status": "interrupted"}
    summary["reference"] |= {"test": None, "difference": None}
    text = page(summary).text
    assert "The test split is still sealed; give the same command again to go on." in text
    assert "There is no comparison: the test split is still sealed." in text
    assert "validation accuracy on digits" in text


def test_no_reference(make, page):
    assert "hand-made reference" not in page(without(make(9), "reference")).text


def test_a_reference_that_failed(make, page):
    summary = make(9)
    summary["reference"] |= {"state": "failed", "metrics": {}, "test": None, "difference": None}
    assert "the training of the reference failed" in page(summary).text


def test_where_the_reference_won_the_next_best_stands_beside_it(make, page):
    summary = make(9)
    reference = summary["reference"]
    summary["best"] = {
        key: reference[key] for key in ("number", "architecture", "metrics", "costs")
    }
    finalists = [t for t in summary["trials"] if t["role"] == "finalist"]
    best = max(t["metrics"]["accuracy"] for t in finalists)
    text = page(summary).text
    assert "The search found nothing clearly better than the hand-made reference" in text
    ours = f"{100 * best:.2f} %"
    theirs = f"{100 * reference['metrics']['accuracy']:.2f} %"
    assert f"best other reference accuracy {ours} {theirs}" in text
    assert "A tie" not in text


def test_what_was_trained_is_told_by_the_task_where_an_estimator_measures_the_goal(make, page):
    summary = make(9)
    reference = summary["reference"]
    summary["best"] = {
        key: reference[key] for key in ("number", "architecture", "metrics", "costs")
    }
    told = page(summary).text
    best = re.search(r"best other reference accuracy [\d.]+ % [\d.]+ %", told)[0]
    shown = page(summary | {"maximize": ["readout"], "estimator": "readout"})
    assert best in shown.text
    assert "chart-curves" in shown.charts


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("better", "The found network is better: "), ("worse", "The found network is worse: ")],
)
def test_the_verdict_is_said(make, page, verdict, words):
    summary = make(9)
    summary["reference"]["difference"]["verdict"] = verdict
    assert words in page(summary).text


def test_values_that_are_not_finite_are_dashes(make, page):
    summary = make(40)
    for trial in summary["trials"][::3]:
        trial["metrics"] = dict.fromkeys(trial["metrics"], math.nan)
        trial["costs"] = trial["costs"] | {"latency_ms": math.inf}
    summary["test"]["log_loss"] = math.inf
    summary["best"]["costs"]["latency_ms"] = math.nan
    summary["space"]["size"] = "inf"
    shown = page(summary)
    assert "infinitely many architectures" in shown.text
    assert not re.search(r"\b(nan|inf)\b", shown.text)


def test_a_package_that_was_run_is_named_as_it_was_called(make, page):
    summary = make(5)
    summary["command"][0] = "/usr/lib/python3/site-packages/ogive/__main__.py"
    assert "command python -m ogive search digits --limit" in page(summary).text


def test_a_space_beyond_the_largest_float_is_counted(make, page):
    summary = make(5)
    summary["space"]["size"] = 10**400
    assert "1.0e+400 architectures" in page(summary).text


def test_further_objectives_are_charts_too(make, page, finished):
    summary = make(40) | {"maximize": ["accuracy"], "minimize": ["log_loss", "params"]}
    assert len(page(summary).charts) == len(finished.charts) + 1


def test_what_is_made_small_is_shown_as_such(make, page):
    summary = make(9) | {"maximize": [], "minimize": ["log_loss"]}
    assert "log loss on digits" in page(summary).text


def test_a_metric_that_only_the_estimator_knows(make, page):
    """What was trained in the end is told by the task's own metric, the rest by the estimator's."""
    summary = make(9) | {"maximize": ["readout"], "estimator": "readout"}
    for trial in summary["trials"]:
        if trial["role"] == "search":
            trial["metrics"] = {"readout": 0.5}
    for part, accuracy in ("best", 0.9712), ("reference", 0.9605):
        summary[part]["metrics"] = {"accuracy": accuracy}
    text = page(summary).text
    assert "98.33 % accuracy on digits" in text
    assert "97.12 % validation accuracy" in text
    assert "accuracy on validation 97.12 % 96.05 %" in text
    summary["best"] = summary["trials"][0]
    text = page(summary | {"test": None}).text
    assert "0.5 readout on digits" in text
    assert "Scores are the estimator's" in text


def test_a_limit_that_is_not_met_is_said(make, page):
    summary = make(9)
    params = summary["best"]["costs"]["params"]
    assert " not met" not in page(summary | {"limits": {"params": params}}).text
    assert " not met" in page(summary | {"limits": {"params": params - 1}}).text


@pytest.mark.slow
def test_ten_thousand_trials_stay_small(make, tmp_path):
    write(make(10_000), tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 8e6


def test_the_same_summary_gives_the_same_page_and_stays_as_it_was(make, tmp_path):
    summary = make(30)
    before = copy.deepcopy(summary)
    pages = []
    for name in ("a", "b"):
        write(summary, tmp_path / name)
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    assert summary == before


def test_a_report_that_cannot_be_written_leaves_the_last_one(make, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("the last one")
    (tmp_path / "report.html.part").mkdir()
    with pytest.raises(OSError, match=r"report\.html\.part"):
        write(make(1), path)
    assert path.read_text() == "the last one"


def test_the_curve_of_a_training_that_went_on_begins_where_it_did(make):
    summary = make(20)
    for trial in summary["trials"]:
        for point in trial["curve"]:
            point["step"] += 700.25
    assert '"x":[701.25,702.25' in curves(read(summary))
