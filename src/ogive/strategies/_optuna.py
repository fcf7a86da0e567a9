"""Any sampler of Optuna (Akiba et al. 2019, arXiv:1907.10902) as a strategy."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from ogive.errors import SettingError, did_you_mean, optional
from ogive.space import Architecture, Decision, SearchSpace, Value
from ogive.strategies._base import Strategy
from ogive.strategies._untried import Batch, Tried
from ogive.trial import Proposal, Trial

if TYPE_CHECKING:
    import optuna

__all__ = ["OptunaSampler"]

_NAME = "told"

_OTHERS = {"BaseGASampler", "BaseSampler", "PartialFixedSampler"}
"""Those of ``optuna.samplers`` that are not whole; a space is fixed with ``SearchSpace.fix``."""


class OptunaSampler(Strategy):
    """Asks a sampler of Optuna, of which it keeps nothing but a study of what it was told.

    Decisions are suggested one after the other, as Optuna's users write it: those that others
    rule out are never asked, an ordinal one is the integer of its place, and a subset is a yes or
    no for each of its options (put right at random where the sizes do not admit it).

    The study holds a trial an architecture, with the values of its longest training. What failed
    and what a limit rejected is a pruned trial without a value: to TPE the worst that there is,
    while most samplers look at complete trials only. A sampler is made anew for each ``ask``, with
    a seed from its ``rng``, so that it cannot remember what no journal has; what samplers note on
    trials as they go (the generation of NSGA-II, the state of CMA-ES) is noted again when a trial
    is told.

    Args:
        space: What to search.
        sampler: The name of one of ``optuna.samplers``; or a function that takes ``seed`` and the
            settings and returns a sampler.
        sampler_settings: Its arguments. A ``seed`` among them is the same for each ``ask``, which
            a scrambled ``QMCSampler`` needs.
        start_from: Architectures to try first.

    Raises:
        MissingExtra: If Optuna, or what the sampler stands on, is not installed.
        SettingError: If there is no such sampler, it does not take the settings, or it cannot
            search the space.
    """

    multiobjective = True
    passes_on = "sampler_settings"

    def __init__(
        self,
        space: SearchSpace,
        *,
        sampler: str | Callable[..., optuna.samplers.BaseSampler] = "TPESampler",
        sampler_settings: Mapping[str, Any] | None = None,
        start_from: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.space = space
        self.sampler = sampler
        self.sampler_settings = dict(sampler_settings or {})
        self.start_from = tuple(map(space.validate, start_from))
        self._make = _maker(sampler)
        self._tried = Tried(space)
        self._told: list[Trial] = []
        self._objectives = 1
        self._cache: _Study | None = None
        self._suggestion(self._scratch(0), Random(0))  # What it cannot do it says when asked.

    def ask(self, n: int, rng: Random) -> list[Proposal]:
        batch = Batch(self._tried, n, self.start_from)
        if batch.wanting:
            self._fill(batch, rng)
        return batch.proposals()

    def _fill(self, batch: Batch, rng: Random) -> None:
        # What the sampler suggested counts as running to the next suggestion.
        suggest = partial(self._suggestion, self._scratch(rng.getrandbits(32)), rng)
        while batch.wanting and (batch.follow(suggest, rng) or batch.sample(rng)):
            pass

    def _suggestion(self, study: optuna.Study, rng: Random) -> Architecture:
        with self._calling():
            return self.space.walk(partial(_suggested, study.ask(), rng))

    def tell(self, trial: Trial) -> None:
        self._tried.add(trial.architecture)
        self._told.append(trial)
        self._objectives = len(trial.values) or self._objectives

    def _scratch(self, seed: int) -> optuna.Study:
        """A copy of the study of all that was told, with a new sampler."""
        with self._calling():
            if self._cache is None or self._cache.objectives != self._objectives:
                self._cache = _Study(self.space, self._objectives, self._sampler(0))
            self._cache.read(self._told)
            return self._cache.copy(self._sampler(seed))

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        return self._make(**{"seed": seed, **self.sampler_settings})

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """Without a line for each decision that is conditional; with a message for what fails."""
        library = _optuna()
        before = library.logging.get_verbosity()
        library.logging.set_verbosity(library.logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", library.exceptions.ExperimentalWarning)
                yield
        except (TypeError, ValueError) as error:
            raise SettingError(
                "A sampler must take its settings, and be able to search the space for the "
                f"objectives, but {self.sampler!r} with {self.sampler_settings} is not: {error}"
            ) from error
        finally:
            library.logging.set_verbosity(before)


class _Study:
    """A study in memory, brought up to date with what a strategy was told."""

    def __init__(
        self, space: SearchSpace, objectives: int, sampler: optuna.samplers.BaseSampler
    ) -> None:
        library = _optuna()
        self.space = space
        self.objectives = objectives
        self._storage = library.storages.InMemoryStorage()
        self._study: optuna.Study = library.create_study(
            study_name=_NAME,
            storage=self._storage,
            sampler=sampler,
            directions=["maximize"] * objectives,
        )
        # These two note nothing that they could not do without, and would take their time for it.
        free = library.samplers.TPESampler, library.samplers.GPSampler
        self._notes = not isinstance(sampler, free)
        self._numbers: dict[Architecture, int] = {}
        self._read = 0

    def copy(self, sampler: optuna.samplers.BaseSampler) -> optuna.Study:
        """Returns a study that a sampler may write to.

        A storage in memory replaces the trials that it changes, so that the copy can share them.
        """
        shared = {id(trial): trial for trial in self._study.get_trials(deepcopy=False)}
        storage = copy.deepcopy(self._storage, shared)
        study: optuna.Study = _optuna().load_study(
            study_name=_NAME, storage=storage, sampler=sampler
        )
        return study

    def read(self, told: Sequence[Trial]) -> None:
        """Takes in those of the trials that it has not read yet."""
        for trial in told[self._read :]:
            if trial.architecture not in self._numbers:
                self._numbers[trial.architecture] = self._begin(trial.architecture)
            if trial.ended:
                self._end(self._numbers[trial.architecture], trial)
        self._read = len(told)

    def _begin(self, architecture: Architecture) -> int:
        fixed: dict[str, Any] = {}
        for path, value in architecture.items():
            fixed |= _parameters(self.space[path], value)
        self._study.enqueue_trial(fixed)
        trial = self._study.ask()
        if self._notes:
            trial.relative_params  # noqa: B018  # samplers make their notes while they find them
        self.space.walk(partial(_suggested, trial, Random(0)))
        return trial.number

    def _end(self, number: int, trial: Trial) -> None:
        # In memory these are the trials themselves. Telling the study would not do: it takes one
        # result of a trial, and here that of a longer training may follow.
        frozen = self._study.get_trials(deepcopy=False)[number]
        states = _optuna().trial.TrialState
        measured = bool(trial.values) and not any(map(math.isnan, trial.values))
        frozen.state = states.COMPLETE if measured else states.PRUNED
        frozen.values = list(trial.values) if measured else None


def _optuna() -> Any:
    return optional("optuna", "optuna")


def _maker(
    sampler: str | Callable[..., optuna.samplers.BaseSampler],
) -> Callable[..., optuna.samplers.BaseSampler]:
    samplers = _optuna().samplers
    if callable(sampler):
        return sampler
    names = {name for name in samplers.__all__ if name.endswith("Sampler")} - _OTHERS
    if sampler not in names:
        raise SettingError(
            f"sampler is the name of one of optuna.samplers, but got {sampler!r}."
            f"{did_you_mean(sampler, names)}"
        )
    if sampler == "CmaEsSampler":  # It would say so at its second trial.
        optional("cmaes", "optuna")
    maker: Callable[..., optuna.samplers.BaseSampler] = getattr(samplers, sampler)
    return maker


# Decisions as Optuna's parameters


def _suggested(trial: optuna.Trial, rng: Random, decision: Decision) -> Value:
    """Asks Optuna for a decision, unless it is none."""
    path, options = decision.path, decision.options
    if decision.size == 1:
        return decision.default()
    match decision.kind:
        case "categorical":
            labels = [_label(option) for option in options]
            return options[labels.index(trial.suggest_categorical(path, labels))]
        case "ordinal":
            return options[trial.suggest_int(path, 0, len(options) - 1)]
        case "integer":
            low, high = int(decision.low), int(decision.high)
            return trial.suggest_int(path, low, high, step=decision.step, log=decision.log)
        case "real":
            return trial.suggest_float(path, decision.low, decision.high, log=decision.log)
        case "subset":
            taken = [trial.suggest_categorical(name, (False, True)) for name in decision.members]
            return _admitted(decision, taken, rng)


def _parameters(decision: Decision, value: Value) -> dict[str, Any]:
    """The parameters for which :func:`_suggested` gives this value."""
    match decision.kind:
        case "categorical":
            return {decision.path: _label(value)}
        case "ordinal":
            return {decision.path: decision.options.index(value)}
        case "subset":
            assert isinstance(value, tuple)
            taken = [option in value for option in decision.options]
            return dict(zip(decision.members, taken, strict=True))
        case _:
            return {decision.path: value}


def _label(option: Value) -> Any:
    """The option as Optuna may store it."""
    return repr(option) if isinstance(option, tuple) else option


def _admitted(decision: Decision, taken: Sequence[bool], rng: Random) -> Value:
    """The options taken; as few as can be, drawn at random, are changed to have a right number."""
    wanted = min(decision.sizes, key=lambda size: abs(size - sum(taken)))
    places = sorted(range(len(taken)), key=lambda i: (not taken[i], rng.random()))[:wanted]
    return tuple(decision.options[i] for i in sorted(places))
