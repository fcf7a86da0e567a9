"""Values of architectures, learned from others."""

from random import Random

import numpy as np
import pytest
from scipy.stats import spearmanr

from ogive.bench import read
from ogive.errors import SettingError
from ogive.space import Decision, Graph, SearchSpace
from ogive.strategies import PerformancePredictor
from ogive.testing import ended, running
from ogive.trial import Proposal


@pytest.fixture(scope="module")
def table(data):
    return read(data / "nb201.npz")


def drawn(table, n, seed):
    architectures = list({table.space.sample(Random(seed * 10_000 + i)): None for i in range(n)})
    column = table.columns["c10valid_val_acc_200_avg"]
    return architectures, [float(column[table.row(a)]) for a in architectures]


KINDS = pytest.mark.parametrize("kind", ["gp", "boosting", "ensemble"])


@KINDS
def test_cells_are_ranked_from_a_few_trained_ones_as_well_as_is_said(table, kind):
    new, truth = drawn(table, 400, 9)
    found, stated = [], []
    for seed in range(3):  # The correlation of one draw of 80 is itself uncertain by about 0.1.
        predictor = PerformancePredictor(table.space, kind=kind).fit(*drawn(table, 80, seed))
        assert predictor.ranking.beats_chance
        found.append(spearmanr(predictor.predict(new), truth)[0])
        stated.append(predictor.ranking.spearman)
    assert min(found) > 0.6
    assert np.mean(stated) == pytest.approx(np.mean(found), abs=0.15)


@KINDS
def test_where_there_is_nothing_to_learn_nothing_is_predicted(table, kind):
    architectures, values = drawn(table, 40, 2)
    rng = np.random.default_rng(1)  # One draw in a hundred is taken for something.
    for _ in range(3):
        predictor = PerformancePredictor(table.space, kind=kind)
        predictor.fit(architectures, rng.permutation(values).tolist())
        assert predictor.predict(architectures) is None
        assert not predictor.ranking.beats_chance
        assert "chance may well have" in predictor.explain()


def test_what_it_learned_before_is_forgotten(table):
    new, _ = drawn(table, 5, 9)
    predictor = PerformancePredictor(table.space)
    for seed in (0, 1):
        found = predictor.fit(*drawn(table, 40, seed)).predict(new)
        alone = PerformancePredictor(table.space).fit(*drawn(table, 40, seed)).predict(new)
        assert found.tolist() == alone.tolist()


def test_too_few_and_broken_trials_teach_nothing(table):
    architectures, values = drawn(table, 12, 3)
    broken = [*values[:9], float("nan"), float("-inf"), float("nan")][: len(values)]
    predictor = PerformancePredictor(table.space).fit(architectures, broken)
    assert predictor.ranking.networks == 9
    assert predictor.predict(architectures) is None


def test_a_kind_is_checked(table):
    with pytest.raises(SettingError, match="'gp' or 'boosting' or 'ensemble', but got"):
        PerformancePredictor(table.space, kind="forest")


@KINDS
def test_a_graph_and_proxies_say_what_decisions_do_not(kind):
    """What follows from decisions by no rule that a few networks teach."""
    space = SearchSpace(
        [Decision(f"d{i}", "categorical", options=tuple("abcdefghijklmnop")) for i in range(4)],
        graph=lambda a: Graph.of(
            ["input", "conv" if drawn_from(a["d0"], a["d1"]) % 2 else "pool", "output"],
            [(0, 1), (1, 2)],
        ),
    )

    def proxy(a):
        return [float(drawn_from(a["d2"], a["d3"]) % 7)]

    rng = Random(0)
    architectures = [space.sample(rng) for _ in range(90)]
    shown = [space.graph(a).operations[1] == "conv" for a in architectures]
    for told, values in (
        ({"graph": True}, shown),
        ({"side": proxy}, [proxy(a)[0] for a in architectures]),
    ):
        values = [float(value) for value in values]
        without, using = (
            PerformancePredictor(space, kind=kind, **more).fit(architectures, jittered(values))
            for more in ({}, told)
        )
        assert using.ranking.spearman > 0.6 > without.ranking.spearman + 0.2


def drawn_from(*options):
    return Random("".join(options)).getrandbits(8)


def jittered(values):
    return (np.array(values) + np.random.default_rng(0).normal(0, 0.01, len(values))).tolist()


def test_it_learns_from_the_trials_of_a_search_and_says_how_well(table):
    architectures, values = drawn(table, 50, 4)
    trials = []
    for number, (architecture, value) in enumerate(zip(architectures, values, strict=True)):
        begun = running(number, Proposal(architecture))
        trials += [begun, ended(begun, value)]
    trials.append(running(50, Proposal(drawn(table, 1, 5)[0][0])))
    predictor = PerformancePredictor(table.space, kind="ensemble").learn(trials)
    assert [ranking.networks for ranking in predictor.history] == [10, 20, 40, 50]
    assert predictor.history[-1] == predictor.ranking
    assert predictor.ranking.spearman > max(0.4, predictor.history[0].spearman - 0.3)
    alike = PerformancePredictor(table.space, kind="ensemble").fit(architectures, values)
    assert alike.ranking == predictor.ranking
    said = predictor.explain()
    assert said.startswith("An ensemble of networks. The predictions have a rank correlation of ")
    assert f"{predictor.ranking.spearman:.2f} with what 50 networks were worth" in said


def test_what_a_short_training_promises_is_learned_from(table):
    architectures, values = drawn(table, 40, 6)
    trials = []
    for number, (architecture, value) in enumerate(zip(architectures, values, strict=True)):
        # The half of them was trained for a third only, which measures a tenth of what they reach.
        short = number % 2
        begun = running(number, Proposal(architecture, 1 / 3 if short else 1.0))
        trials.append(ended(begun, value / 10 if short else value))
    assert PerformancePredictor(table.space).learn(trials).ranking.spearman > 0.4


def test_before_there_is_anything_to_learn_it_says_so(table):
    assert PerformancePredictor(table.space).learn([]).ranking.networks == 0
    assert "Nothing was learned" in PerformancePredictor(table.space).explain()
