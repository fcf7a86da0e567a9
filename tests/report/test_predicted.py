"""How well trials could be predicted, as the report tells it."""

import re

from ogive.report._predicted import predicted
from ogive.report._records import read


def test_it_is_learned_from_the_trials_and_shown_as_it_is_learned(make):
    found = predicted(read(make(120)))
    spearman = float(re.search(r"correlation of (\d\.\d\d)", found.sentence)[1])
    assert spearman > 0.5
    networks = int(re.search(r"what (\d+) networks", found.sentence)[1])
    assert f'"x":[10,20,40,80,{networks}]' in found.chart.replace(" ", "")


def test_where_values_are_nothing_but_chance_it_says_so(make):
    summary = make(60)
    for trial in summary["trials"]:
        if trial["metrics"]:
            trial["metrics"] = {"accuracy": (7919 * trial["number"] + 31) % 101 / 101}
    found = predicted(read(summary))
    assert found.sentence.startswith("An ensemble of networks. Nothing is predicted: chance may")


def test_of_what_is_made_small_the_smallest_are_the_best(make):
    summary = make(60)
    turned = summary | {"maximize": [], "minimize": ["error"]}
    turned["trials"] = [
        t | {"metrics": {"error": 1 - t["metrics"]["accuracy"]} if t["metrics"] else {}}
        for t in summary["trials"]
    ]
    assert predicted(read(turned)).sentence == predicted(read(summary)).sentence


def test_without_trials_or_decisions_there_is_nothing_to_say(make):
    assert predicted(read(make(60) | {"space": {}})) is None
    assert predicted(read(make(60) | {"trials": []})) is None
    few = predicted(read(make(3)))
    assert "Nothing was learned" in few.sentence
    assert few.chart == ""
