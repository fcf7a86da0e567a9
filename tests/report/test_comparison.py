"""The page of a comparison, read back with a parser."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from ogive.report import write_comparison


class Page(HTMLParser):
    """Words outside of scripts and styles, tags, and ids."""

    def __init__(self, text):
        super().__init__()
        self.words, self.tags, self.hidden = [], [], 0
        self.source = text
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def row(name: str, mean: float | None, error: float | None = 0.01) -> dict[str, Any]:
    figures = {
        "signal_mean": mean,
        "signal_se": error,
        "report_mean": None if mean is None else mean + 2,
        "report_se": error,
        "report_sd": 0.1,
        "regret_mean": None if mean is None else 91.6 - mean,
    }
    return {
        "strategy": name,
        "queries": 100,
        "seeds": 4,
        **figures,
        "seconds_per_proposal": 0.00123,
        "median_until_best": None,
        "median_until_top": 42.0,
        "after": [{"spent": 50, **figures}, {"spent": 1000.0, **figures}],
    }


def make(*rows: dict[str, Any], **changed: Any) -> dict[str, Any]:
    curve = {"at": [1, 50, 1000], "signal_mean": [None, 80, 91], "report_mean": [None, 82, 93]}
    curve |= {"signal_se": [None, 1, 0.1], "report_se": [None, 1, 0.1]}
    return {
        "table": "nb201",
        "benchmark": "NAS-Bench-201",
        "architectures": 15625,
        "protocol": "queries",
        "signal": "val_acc",
        "report": "test_acc",
        "cost": None,
        "budget": 1000.0,
        "at": [50, 1000.0],
        "seeds": [0, 1, 2, 3],
        "goal": {"signal": 91.6, "report": 94.3},
        "rows": list(rows),
        "curves": {r["strategy"]: curve for r in rows},
    } | changed


@pytest.fixture
def page(tmp_path):
    def render(summary):
        path = tmp_path / "report.html"
        write_comparison(summary, path)
        return Page(path.read_text(encoding="utf-8"))

    return render


def test_a_comparison_is_told_whole(page):
    shown = page(make(row("random", 90.0), row("evolution:population=5", 91.5)))
    for words in (
        "evolution:population=5 and random on nb201",
        "evolution:population=5 is ahead after 1,000 trainings.",
        "15,625 architectures of NAS-Bench-201",
        "4 seeds a strategy",
        "91.6 the best val_acc",
        "Regret after so many full trainings",
        "1.6 ± 0.01",
        "> 1,000",
        "1.2 ms",
        "0 to 3",
    ):
        assert words in shown.text, words
    names = re.findall(r"random|evolution:population=5", shown.text)
    assert names.index("evolution:population=5") < names.index("random")  # the best first
    charts = [a["id"] for _, a in shown.tags if a.get("id", "").startswith("chart-")]
    assert charts == ["chart-progress", "chart-reported"]


def test_one_seed_and_one_training_are_said_as_such(page):
    shown = page(make(row("a", 91.5), row("b", 90.0), seeds=[0], budget=1, at=[1]))
    assert "1 seed a strategy" in shown.text
    assert "after 1 training" in shown.text
    assert not re.search(r"1 (seed|training)s", shown.text)


def test_a_tie_is_called_a_tie(page):
    near = page(make(row("a", 91.50), row("b", 91.49), row("c", 90.0)))
    assert "a is ahead after 1,000 trainings; b cannot be told from it" in near.text
    one_seed = page(make(row("a", 91.5, None), row("b", 90.0, None)))
    assert "b cannot be told from it" in one_seed.text
    assert "3 strategies on nb201" in near.text
    many = page(make(*(row(name, 91.5) for name in "abcdefg")))
    assert "b, c, d, and 3 others cannot be told" in many.text


def test_by_time_what_is_reported_decides(page):
    quick, good = row("quick", 91.5), row("good", 90.0)
    good["report_mean"] = 94.0
    shown = page(make(quick, good, protocol="time"))
    assert "good is ahead after 1,000 seconds." in shown.text
    assert "Regret after so many seconds of training" in shown.text


def test_a_budget_that_is_no_whole_number_is_said_as_it_is(page):
    short = make(row("a", None, None), protocol="time", budget=0.5, at=[0.125, 0.5])
    text = page(short).text
    assert "within 0.5 seconds" in text
    assert "strategy 0.125 0.5 test_acc" in text
    assert "> 0.5" in text


def test_two_objectives_show_the_share_of_the_front(page):
    goal = {"signal": 1.0, "report": 1.0}
    shown = page(make(row("a", 0.9), protocol="objectives", cost="latency", goal=goal))
    assert "Share of the front's hypervolume after so many full trainings" in shown.text
    assert "0.9 ± 0.01" in shown.text
    assert "the best 16" not in shown.text
    assert "latency" in shown.text


def test_nothing_found_is_said(page):
    shown = page(make(row("short", None, None)))
    assert "No strategy has finished a full training within 1,000 trainings" in shown.text


def test_it_opens_without_a_network_and_names_are_never_markup(page):
    evil = "\"'></script><script>alert(1)</script><b>"
    shown = page(make(row(evil, 91.0), row("b", 90.0), table=evil, report=evil))
    assert not [a for _, a in shown.tags if a.get("src") or a.get("href")]
    assert "alert(1)" in shown.text
    assert shown.source.count("<script>alert(1)") == 0


def test_every_line_is_in_the_legend_and_more_than_colours_differ(page):
    shown = page(make(*(row(f"s{n}", 91.0 - math.sqrt(n)) for n in range(12))))
    styles = [a["style"] for tag, a in shown.tags if tag == "i"]
    assert len(styles) == len(set(styles)) == 12
    assert [a["data-group"] for tag, a in shown.tags if tag == "button"] == [
        str(n) for n in range(12)
    ]
    assert [a for tag, a in shown.tags if tag == "meta" and a.get("name") == "viewport"]
