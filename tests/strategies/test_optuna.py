from dataclasses import replace
from random import Random

import pytest

from ogive.errors import MissingExtra, SettingError
from ogive.space import Architecture, Condition, Decision, SearchSpace
from ogive.strategies import ASHA, OptunaSampler, by_name
from ogive.testing import StrategyContract, ended, play, running, synthetic
from ogive.trial import Proposal, Trial

optuna = pytest.importorskip("optuna")


def quick_gp(seed, n_startup_trials=5):
    """Optuna's, with less of a search for its best proposal: that takes most of its time."""
    sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=n_startup_trials)
    sampler._n_preliminary_samples, sampler._n_local_search, sampler._tol = 64, 2, 0.01
    return sampler


SAMPLERS = {
    "RandomSampler": {},
    "TPESampler": {"n_startup_trials": 5},
    "GPSampler": {"n_startup_trials": 5},
    "CmaEsSampler": {},
    "NSGAIISampler": {"population_size": 4},
    "NSGAIIISampler": {"population_size": 4},
    "QMCSampler": {},
}

SPACE = SearchSpace(
    [
        Decision("op", "categorical", options=("conv", "skip", None)),
        Decision("lr", "real", low=1e-4, high=1.0, log=True),
        Decision("width", "ordinal", options=(8, 16, 64)),
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


def objective(trial):
    """The same space as an objective that a user of Optuna writes."""
    decided = {
        "op": trial.suggest_categorical("op", ["conv", "skip", None]),
        "lr": trial.suggest_float("lr", 1e-4, 1.0, log=True),
        "width": (8, 16, 64)[trial.suggest_int("width", 0, 2)],
    }
    if decided["op"] == "conv":
        decided["kernel"] = trial.suggest_int("kernel", 1, 9, step=2)
    return Architecture(decided)


def worth(architecture, _=1.0):
    return architecture["width"] * architecture["lr"] + architecture.get("kernel", 0)


def of(name):
    sampler = quick_gp if name == "GPSampler" else name

    def make(space):
        return OptunaSampler(space, sampler=sampler, sampler_settings=SAMPLERS[name])

    return make


class Contract(StrategyContract):
    """Those rules that need few trials; in test_contract.py stands one sampler with all of them."""

    def __init__(self, name):
        self.make = of(name)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    "rule",
    [
        "test_one_batch_has_no_architecture_twice",
        "test_running_trials_are_known",
        "test_a_finished_space_ends_with_nothing_left",
        "test_a_space_of_one_architecture",
        "test_its_settings_are_json_and_name_it",
        "test_it_can_be_pickled",
    ],
)
def test_every_sampler_keeps_to_the_contract(name, rule):
    getattr(Contract(name), rule)()


@pytest.mark.parametrize("name", SAMPLERS)
def test_asking_is_seen_by_no_one_and_a_replay_goes_on_alike(name):
    """A search that is killed: what it asked is lost, and what it was told is told again."""
    told = play(of(name)(SPACE), worth, 14, workers=2, seed=3)
    whole, replayed = of(name)(SPACE), of(name)(SPACE)
    for trial in told:
        for strategy in (whole, replayed):
            strategy.tell(running(trial.number, trial.proposal))
            strategy.tell(trial)
        whole.ask(trial.number % 3, Random(trial.number))
    assert whole.ask(2, Random(9)) == replayed.ask(2, Random(9)) == whole.ask(2, Random(9))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", sorted(SAMPLERS.keys() - {"NSGAIIISampler"}))
def test_it_proposes_what_optuna_would(name):
    """NSGA-III is left out: it draws when a generation ends, and here that is no one's seed."""
    make = quick_gp if name == "GPSampler" else getattr(optuna.samplers, name)
    study = optuna.create_study(direction="maximize")
    suggested = []
    for number in range(12):
        seed = Random(f"7:{number}").getrandbits(32)
        study.sampler = make(**SAMPLERS[name], seed=seed)
        trial = study.ask()
        suggested.append(objective(trial))
        study.tell(trial, worth(suggested[-1]))
    proposed = [trial.architecture for trial in play(of(name)(SPACE), worth, 12, seed=7)]
    assert proposed == suggested


@pytest.mark.parametrize("name", ["NSGAIISampler", "NSGAIIISampler"])
def test_generations_follow_each_other(name):
    strategy = of(name)(SPACE)
    play(strategy, worth, 13)
    (key,) = {key for t in trials_of(strategy) for key in t.system_attrs if "generation" in key}
    generations = [t.system_attrs[key] for t in trials_of(strategy)]
    assert generations == [0] * 4 + [1] * 4 + [2] * 4 + [3]


def test_brute_force_tries_each_architecture_of_a_finite_space_once():
    space = SPACE.narrow({"op": ["conv", "skip"]}).fix({"lr": 0.1})
    strategy = OptunaSampler(space, sampler="BruteForceSampler")
    trials = play(strategy, worth, 100)
    assert len(trials) == space.size == 18
    assert {trial.architecture for trial in trials} == set(space.enumerate())


def test_a_grid_comes_first():
    grid = {"op": ["skip"], "lr": [0.01, 0.1], "width": [0, 2]}
    strategy = OptunaSampler(
        SPACE, sampler="GridSampler", sampler_settings={"search_space": grid, "seed": 1}
    )
    tried = {t.architecture for t in play(strategy, worth, 4)}
    assert tried == {
        Architecture({"op": "skip", "lr": lr, "width": width})
        for lr in (0.01, 0.1)
        for width in (8, 64)
    }


def test_a_factory_of_ones_own():
    def factory(seed, multivariate):
        return optuna.samplers.TPESampler(seed=seed, multivariate=multivariate)

    strategy = OptunaSampler(SPACE, sampler=factory, sampler_settings={"multivariate": False})
    assert len(play(strategy, worth, 15)) == 15
    assert strategy.settings()["sampler"].endswith("factory")
    assert strategy.settings()["sampler_settings"] == {"multivariate": False}


# What a study holds


class Stuck(optuna.samplers.RandomSampler):
    """Suggests the same whatever it was told."""

    def sample_independent(self, study, trial, name, among):
        if isinstance(among, optuna.distributions.CategoricalDistribution):
            return among.choices[0]
        return among.low


def test_a_sampler_that_only_repeats_itself_is_gone_on_from():
    strategy = OptunaSampler(SPACE, sampler=Stuck)
    first, second, third = strategy.ask(3, Random(0))
    assert dict(first.architecture) == {"op": "conv", "lr": 1e-4, "width": 8, "kernel": 1}
    for proposal in (second, third):
        changed = first.architecture.items() - proposal.architecture.items()
        assert {path for path, _ in changed} <= {"op", "kernel"} or len(changed) == 1


def trials_of(strategy):
    return strategy._scratch(0).trials


def test_what_is_proposed_is_valid_where_no_change_leads_to_what_is():
    """Nothing valid is near most of what the sampler suggests."""
    space = SearchSpace(
        [Decision(f"d{i}", "ordinal", options=tuple(range(6))) for i in range(6)],
        valid=lambda a: None if len(set(a.values())) == 1 else "they differ",
    )
    proposals = OptunaSampler(space, sampler="RandomSampler").ask(6, Random(0))
    assert {p.architecture for p in proposals} == set(space.enumerate())


def test_the_study_says_what_was_told():
    strategy = OptunaSampler(SPACE)
    architectures = [SPACE.sample(Random(seed)) for seed in range(4)]
    trials = [running(number, Proposal(a)) for number, a in enumerate(architectures)]
    for trial in trials:
        strategy.tell(trial)
    strategy.tell(ended(trials[0], 0.5))
    strategy.tell(ended(trials[1], None))
    strategy.tell(replace(trials[2], state="rejected", costs={"params": 9.0}))
    told = trials_of(strategy)
    assert [t.state.name for t in told] == ["COMPLETE", "PRUNED", "PRUNED", "RUNNING"]
    assert [t.values for t in told] == [[0.5], None, None, None]
    for trial, architecture in zip(told, architectures, strict=True):
        assert objective(trial) == architecture  # A frozen trial suggests what it holds.


def test_the_longest_training_of_an_architecture_counts():
    strategy = OptunaSampler(SPACE)
    architecture = SPACE.sample(Random(0))
    short, long = Proposal(architecture, 0.1), Proposal(architecture, 1.0, parent=0)
    strategy.tell(ended(running(0, short), 0.5))
    strategy.tell(running(1, long))
    assert [t.values for t in trials_of(strategy)] == [[0.5]]
    strategy.tell(ended(running(1, long), 0.8))
    assert [t.values for t in trials_of(strategy)] == [[0.8]]
    strategy.tell(Trial(2, long, "failed"))
    assert [t.state.name for t in trials_of(strategy)] == ["PRUNED"]


@pytest.mark.parametrize("name", ["TPESampler", "GPSampler", "NSGAIISampler", "NSGAIIISampler"])
def test_several_objectives(name):
    strategy = of(name)(SPACE)
    front = []
    for number in range(12):
        trial = running(number, strategy.ask(1, Random(number))[0])
        strategy.tell(trial)
        values = (trial.architecture["lr"], -float(trial.architecture["width"]))
        strategy.tell(replace(trial, state="complete", values=values))
        front.append(values)
    assert strategy._scratch(0).directions == [optuna.study.StudyDirection.MAXIMIZE] * 2
    assert [tuple(t.values) for t in trials_of(strategy)] == front


def test_a_sampler_for_one_objective_says_so():
    strategy = OptunaSampler(SPACE, sampler="CmaEsSampler")
    for number in range(3):
        trial = running(number, Proposal(SPACE.sample(Random(number))))
        strategy.tell(replace(trial, state="complete", values=(1.0, 2.0)))
    with pytest.raises(SettingError, match="multi-objective"):
        strategy.ask(1, Random(0))


def test_subsets_have_a_right_size_and_are_known_again():
    space = SearchSpace(
        [Decision("inputs", "subset", options=("a", "b", "c", "d"), sizes=(1, 3))],
        valid=lambda a: "no a" if "a" not in a["inputs"] else None,
    )
    strategy = OptunaSampler(space)
    trials = play(strategy, lambda a, _: float(len(a["inputs"])), 50)
    assert {t.architecture["inputs"] for t in trials} == {
        ("a",), ("a", "b", "c"), ("a", "b", "d"), ("a", "c", "d"),
    }  # fmt: skip
    for trial, told in zip(trials_of(strategy), trials, strict=True):
        taken = tuple(o for o in "abcd" if trial.params[f"inputs[{o}]"])
        assert taken == told.architecture["inputs"]


def test_options_of_a_subset_that_read_alike_have_names_of_their_own():
    space = SearchSpace([Decision("heads", "subset", options=(1, "1", 2), sizes=(1, 2))])
    trials = play(OptunaSampler(space), lambda *_: 1.0, 20)
    assert {t.architecture["heads"] for t in trials} == set(space["heads"].values())
    assert space["heads"].members == ["heads[1]", "heads['1']", "heads[2]"]


def test_options_that_optuna_cannot_store():
    space = SearchSpace([Decision("shape", "categorical", options=((1, 2), (3, 4), "flat"))])
    trials = play(OptunaSampler(space), lambda *_: 1.0, 10)
    assert {t.architecture["shape"] for t in trials} == {(1, 2), (3, 4), "flat"}


def test_it_learns():
    problem = synthetic(3)

    def best(name):
        return max(t.value for t in play(of(name)(problem.space), problem.value, 60, seed=5))

    assert best("TPESampler") > best("RandomSampler") + 0.02


def test_it_proposes_for_asha():
    problem = synthetic(3)
    trials = play(ASHA(problem.space, proposer=of("TPESampler")(problem.space)), problem.value, 60)
    assert sum(trial.fidelity == 1 for trial in trials) >= 3


# Errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "TPESampler", "sampler_settings": {"startup": 3}}, "startup"),
        ({"sampler": "TPSampler"}, "Did you mean 'TPESampler'"),
        ({"sampler": "BruteForceSampler"}, "infinite"),
        ({"sampler": "GridSampler", "sampler_settings": {"search_space": {"a": [1]}}}, "grid"),
        ({"sampler": "QMCSampler", "sampler_settings": {"qmc_type": "x"}}, "qmc_type"),
    ],
)
def test_a_wrong_setting_is_named_before_the_search(settings, message):
    with pytest.raises(SettingError, match=message):
        by_name("optuna", SPACE, **settings)


@pytest.mark.parametrize(
    ("package", "sampler"), [("optuna", "TPESampler"), ("cmaes", "CmaEsSampler")]
)
def test_what_is_missing_is_said_with_the_command(monkeypatch, package, sampler):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtra, match=r"pip install 'ogive\[optuna\]'"):
        OptunaSampler(SPACE, sampler=sampler)


def test_settings_behind_the_name_are_the_samplers():
    strategy = by_name("optuna:TPESampler,multivariate=true,n_startup_trials=3", SPACE)
    assert strategy.sampler_settings == {"multivariate": True, "n_startup_trials": 3}
    with pytest.raises(SettingError, match="multivariat"):
        by_name("optuna:TPESampler,multivariat=true", SPACE)
