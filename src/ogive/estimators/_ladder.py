"""From many architectures to a few good ones: estimators one above the other, cheap to dear.

Successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943) over different estimators in place
of one at growing fidelities: each rung gets about the same time, and passes its best share up. Two
things are added. Some architectures drawn at random climb as far as they can be paid for before
any others do: what they take is what a rung costs, and how they are ranked says whether it is worth
its time. The best that a rung passes up could not say it, since a ranking agrees less among those
that it chose for being alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from contextlib import nullcontext, suppress
from dataclasses import KW_ONLY, asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from ogive import hardware
from ogive import nn as readings
from ogive.errors import BudgetError, LimitError, OgiveError, SettingError, TrialFailed
from ogive.estimators._answers import Answer, Answers
from ogive.estimators._proxies import aggregate_ranks
from ogive.estimators._run import Estimator, Run, number, plain
from ogive.journal import Journal, open_journal
from ogive.nn import NetworkFunction
from ogive.space import Architecture, SearchSpace
from ogive.task import Task

__all__ = ["Agreement", "Climbed", "Ladder", "Rung", "Step", "plan_rungs", "within"]

_CHANCE = 0.05
"""How probable so high an agreement may be between rankings that have nothing in common."""

_FEWEST = 8
"""Architectures that a test of agreement needs; of eight, Kendall's tau must be 1/2 or more."""

_PROBED = 0.25
"""The share of the time for architectures drawn at random."""

_LEAST, _MOST = 0.1, 0.5
"""The shares that are passed up where a rung states none: a ranking is for leaving out, but the very
best by a cheap one are not the best."""

_SLACK = 8
"""How many times as many as planned a rung may see, if they take less time than was measured."""

_PATIENCE = 2000
"""Draws in a row that bring nothing new within the limits, after which there is no more."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One estimator of a ladder.

    Attributes:
        name: What notes and the bar call it.
        estimator: How good is an architecture?
        metrics: One that ranks, or several whose ranks are joined; see ``aggregate_ranks``.
        share: Of the architectures that it sees, what part it passes up. If not given, so many
            that the next rung takes as long as this one, from a tenth to a half of them.
        fidelity: What the estimator is asked at.
        minimize: Whether small values are good.

    Raises:
        SettingError: If there is no metric, or the share or the fidelity is not in (0, 1].
    """

    name: str
    estimator: Estimator
    metrics: str | Sequence[str]
    _: KW_ONLY
    share: float | None = None
    fidelity: float = 1.0
    minimize: bool = False

    def __post_init__(self) -> None:
        if not self.metrics:
            raise SettingError(f"A rung ranks by a metric at least, but {self.name!r} has none.")
        for name, value in (("share", self.share), ("fidelity", self.fidelity)):
            if value is not None and not 0 < value <= 1:
                raise SettingError(f"0 < {name} <= 1 must hold, but got {name}={value}.")

    def scores(self, found: Iterable[Mapping[str, float]]) -> NDArray[np.float64]:
        """Returns a number for each of what its estimator returned; larger is better.

        Where all metrics are missing or not finite, an architecture is the worst.
        """
        sign = -1.0 if self.minimize else 1.0
        table = [{n: _finite(metrics, n) for n in self.names} for metrics in found]
        return aggregate_ranks({n: [sign * row[n] for row in table] for n in self.names})

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics, also where there is one."""
        return (self.metrics,) if isinstance(self.metrics, str) else tuple(self.metrics)

    def fails(self, metrics: Mapping[str, float]) -> bool:
        """Whether all of the metrics are missing or not finite."""
        return all(math.isnan(_finite(metrics, name)) for name in self.names)


def _finite(metrics: Mapping[str, float], name: str) -> float:
    value = number(metrics, name)
    return value if math.isfinite(value) else math.nan


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two neighbouring rungs rank architectures drawn at random.

    Attributes:
        tau: Kendall's rank correlation.
        chance: How probable one as high is where the rankings have nothing in common (one-sided).
        networks: How many architectures both saw.
    """

    tau: float
    chance: float
    networks: int

    @classmethod
    def of(cls, lower: NDArray[np.float64], upper: NDArray[np.float64]) -> Agreement:
        """Measures it between the scores ``(n,)`` of the same architectures."""
        if np.ptp(lower) == 0 or np.ptp(upper) == 0:  # what ranks nothing agrees with nothing
            return cls(0.0, 1.0, len(lower))
        from scipy.stats import kendalltau  # which takes most of a second

        found = kendalltau(lower, upper, alternative="greater")
        return cls(float(found.statistic), float(found.pvalue), len(lower))

    @property
    def beats_chance(self) -> bool:
        """Whether chance alone would agree as well in fewer than one of twenty ladders."""
        return self.chance < _CHANCE


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a rung.

    Attributes:
        name: The rung's.
        seconds: What an architecture takes, as measured before the climb.
        measured: How many architectures it saw, those drawn to measure it among them.
        failed: For how many of these it had no value.
        agreement: With the next rung that was kept; ``None`` for the last one, and where too few
            could be paid for.
        dropped: Whether it was left out for want of agreement.
    """

    name: str
    seconds: float
    measured: int
    failed: int
    agreement: Agreement | None
    dropped: bool


@dataclass(frozen=True)
class Climbed:
    """What a ladder found.

    Attributes:
        best: The architectures that the last rung saw, the best first: to start a search from.
        steps: What became of each rung.
        notes: In words what was dropped, or not tested, and why.
    """

    best: Sequence[Architecture]
    steps: Sequence[Step]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        return {
            "best": [architecture.to_json() for architecture in self.best],
            "steps": [asdict(step) for step in self.steps],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Climbed:
        steps = []
        for step in data["steps"]:
            found = step["agreement"]
            steps.append(Step(**{**step, "agreement": found and Agreement(**found)}))
        return cls([Architecture.from_json(each) for each in data["best"]], steps, data["notes"])


def plan_rungs(
    costs: Sequence[float], *, seconds: float, shares: Sequence[float | None] | None = None
) -> list[int]:
    """Returns how many architectures each rung sees, so that all of them take the time together.

    With ``c_i`` the costs and ``s_i`` the shares, the first rung sees ``n`` and the others
    ``n s_0``, ``n s_0 s_1`` and so on, where ``n (c_0 + s_0 c_1 + s_0 s_1 c_2 + ...) = seconds``.
    A share that is not given is ``c_i / c_{i+1}``, which gives both rungs the same time, but 1/10 at
    least and 1/2 at most. Where a rung would see less than one architecture it sees one.

    Args:
        costs: The seconds that an architecture takes on each rung.
        seconds: For all of it.
        shares: What each rung passes up; that of the last one is not used.

    Raises:
        SettingError: Unless the costs are positive, and there are as many shares.
        BudgetError: If the time does not reach for one architecture on each rung.
    """
    given = [None] * len(costs) if shares is None else list(shares)
    if not costs or not min(costs) > 0 or len(given) != len(costs):
        raise SettingError(
            f"Each rung has a positive cost and a share, but got costs={list(costs)} and "
            f"shares={given}."
        )
    parts = [1.0]
    for share, cost, dearer in zip(given, costs, costs[1:], strict=False):
        equal = min(_MOST, max(_LEAST, cost / dearer))
        parts.append(parts[-1] * (equal if share is None else share))
    left, full = seconds, len(costs)
    while full and left > 0:
        weights = sum(c * p for c, p in zip(costs[:full], parts[:full], strict=True))
        entering = left / weights
        if entering * parts[full - 1] >= 1 - 1e-9:
            seen = [max(1, int(entering * part + 1e-9)) for part in parts[:full]]
            return seen + [1] * (len(costs) - full)
        full -= 1  # one is what it sees, and that is paid first
        left -= costs[full]
    raise BudgetError(
        f"The time must reach for one architecture on each rung, which is {sum(costs):.3g} s, but "
        f"it is {seconds:.3g} s. Give it more, or leave the dearest rung out."
    )


def within(
    network: NetworkFunction,
    task: Task,
    limits: Mapping[str, float],
    *,
    costs: Mapping[str, hardware.Cost] | None = None,
    batch_size: int = 128,
) -> Callable[[Architecture], bool]:
    """Returns whether the network of an architecture costs no more than the limits.

    Args:
        network: The network function.
        task: What networks are for.
        limits: Keys of :data:`ogive.hardware.COSTS` or of ``costs``, each with the most that it
            may be.
        costs: Costs of your own; see :func:`ogive.search`.
        batch_size: Of training, for ``memory_mb``.
    """
    cheap = [name for name in limits if name in hardware.CHEAP and name not in (costs or {})]
    dear = [name for name in limits if name not in cheap]

    def fits(architecture: Architecture) -> bool:
        for names, device in ((cheap, "meta"), (dear, "cpu")):
            if not names:
                continue
            with torch.device(device):
                built = readings.build(network, task, architecture)
            found = hardware.costs(built, task, names, batch_size=batch_size, own=costs)
            if any(not found[name] <= limits[name] for name in names):
                return False
        return True

    return fits


@dataclass(frozen=True)
class Ladder:
    """Estimators from cheap to dear, each of which passes its best up to the next.

    Attributes:
        rungs: At least two, the cheapest first. The last one is what the others are measured by.
        probes: How many architectures drawn at random say what rungs cost and whether they agree.

    Raises:
        SettingError: If there are fewer than two rungs, two of one name, or fewer than 8 probes.
    """

    rungs: Sequence[Rung]
    probes: int = 16

    def __post_init__(self) -> None:
        names = [rung.name for rung in self.rungs]
        if len(names) < 2 or len(set(names)) < len(names):
            raise SettingError(f"A ladder has rungs of two names at least, but got {names}.")
        if self.probes < _FEWEST:
            raise SettingError(f"probes >= {_FEWEST} must hold, but got probes={self.probes}.")

    def climb(
        self,
        space: SearchSpace,
        *,
        seconds: float | None = None,
        count: int | None = None,
        fits: Callable[[Architecture], bool] | None = None,
        seed: int = 0,
        executor: Executor | None = None,
        journal: str | Path | Journal | None = None,
        progress: bool = False,
    ) -> Climbed:
        """Draws architectures and sends the best of them up.

        First the same few go up as far as a quarter of the time pays for. From the top down, a
        rung whose ranking of them does not agree with that of the next one (Kendall's tau,
        one-sided, at 5 %) is dropped, and its time is the next one's. The rest of the time is
        planned by :func:`plan_rungs`. An estimator that fails for an architecture, whatever it
        raises, ranks it last.

        With a count, and shares, the result hangs on the seed alone, and a rung that is dropped
        leaves the others as many as they had; with a time, it hangs on the machine too.

        Args:
            space: Where architectures are drawn from; equal ones count once.
            seconds: The time for all of it, or
            count: how many architectures enter; then each rung but the last states its share.
            fits: Whether an architecture is within the limits, such as :func:`within`; the others
                cost no rung anything.
            seed: Of the draws, and of each run.
            executor: Where estimators run; in this thread if not given. A
                ``WorkerPool(2, shared=ladder)`` gets the ladder once.
            journal: A file, a database URL or a :class:`Journal` of its own, where each answer is
                written. The same call goes on from there, whatever ended it: nothing is asked
                again, and the time that was spent counts. What is complete is returned.
            progress: Whether a bar is shown.

        Raises:
            SettingError: Unless there is either a time or a count, and shares for a count.
            LimitError: If no architecture is found within the limits.
            BudgetError: If the time does not reach for one architecture on each rung.
            TrialFailed: If the last rung fails for each architecture.
            JournalMismatch: If the journal is of a climb of other rungs, seed or space.
        """
        if (seconds is None) == (count is None):
            raise SettingError(
                "A ladder is given either a time or a count, but got "
                f"seconds={seconds}, count={count}."
            )
        if seconds is not None and not 0 < seconds < math.inf:
            raise SettingError(f"0 < seconds < inf must hold, but got seconds={seconds}.")
        if count is not None:
            if count % 1 or not count > 0:
                raise SettingError(f"A count is a whole number from 1, but got count={count}.")
            count = int(count)
        if count is not None and any(rung.share is None for rung in self.rungs[:-1]):
            raise SettingError(
                "With a count each rung but the last states what share it passes up, but "
                f"{next(r.name for r in self.rungs if r.share is None)!r} does not. Give it a "
                "share, or the ladder a time in seconds."
            )
        rungs = [[rung.name, rung.fidelity] for rung in self.rungs]
        identity = {"space": space.key, "seed": seed, "rungs": rungs}
        opened = open_journal(journal) if isinstance(journal, str | Path) else nullcontext(journal)
        with opened as log, Progress(console=Console(stderr=True), disable=not progress) as bar:
            answers = Answers(log, identity)
            if answers.result is not None:
                return Climbed.from_json(answers.result)
            pool = _drawn(space, fits, Random(seed))
            climbed = _Climb(self, pool, seconds, count, seed, executor, answers, bar).run()
            answers.end(climbed.to_json())
            return climbed


def _drawn(
    space: SearchSpace, fits: Callable[[Architecture], bool] | None, rng: Random
) -> Iterator[Architecture]:
    """Yields different architectures within the limits until there are no more to be found."""
    seen: set[Architecture] = set()
    idle = 0
    while idle < _PATIENCE:
        idle += 1
        architecture = space.sample(rng)
        form = space.canonical(architecture)
        if form in seen:
            continue
        seen.add(form)
        if fits is None or fits(architecture):
            idle = 0
            yield architecture


@dataclass
class _Seen:
    """What a rung has measured, and what that took."""

    rung: Rung
    found: dict[Architecture, Mapping[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    failed: int = 0
    failure: str = "it returned no number for its metrics."
    agreement: Agreement | None = None
    dropped: bool = False

    def ranked(self) -> list[Architecture]:
        order = np.argsort(-self.rung.scores(self.found.values()), kind="stable")
        architectures = list(self.found)
        return [architectures[place] for place in order.tolist()]

    def agreement_with(self, upper: _Seen) -> Agreement | None:
        both = [a for a in self.found if a in upper.found]
        if len(both) < _FEWEST:
            return None
        lower, higher = (s.rung.scores(s.found[a] for a in both) for s in (self, upper))
        return Agreement.of(lower, higher)


class _Climb:
    """One call of :meth:`Ladder.climb`: probe, drop, plan, climb."""

    def __init__(
        self,
        ladder: Ladder,
        pool: Iterator[Architecture],
        seconds: float | None,
        count: int | None,
        seed: int,
        executor: Executor | None,
        answers: Answers,
        bar: Progress,
    ) -> None:
        self._ladder, self._pool = ladder, pool
        self._seconds, self._count = seconds, count
        self._seed, self._executor, self._bar = seed, executor, bar
        self._record = answers
        self._seen = [_Seen(rung) for rung in ladder.rungs]
        self._notes: list[str] = []
        self._tasks = [bar.add_task(rung.name, total=None) for rung in ladder.rungs]
        self._end = math.inf if seconds is None else seconds

    def run(self) -> Climbed:
        probes = self._probed()
        counts = self._planned()
        self._drop()
        self._climb(probes, counts)
        top = self._seen[-1]
        if top.failed == len(top.found):
            raise TrialFailed(
                f"The last rung must have a value for some architecture, but {top.rung.name!r} "
                f"failed for all {top.failed}. The last: {top.failure}"
            )
        steps = [
            Step(s.rung.name, s.seconds, len(s.found), s.failed, s.agreement, s.dropped)
            for s in self._seen
        ]
        return Climbed(top.ranked(), steps, self._notes)

    # Before the climb

    def _probed(self) -> list[Architecture]:
        """Measures some architectures on each rung that can pay for enough of them."""
        probes = list(islice(self._pool, self._ladder.probes))
        if not probes:
            raise LimitError(
                "Some architectures must be within the limits, but none was found in "
                f"{_PATIENCE} draws. Raise the limits, or narrow the space to its smaller part."
            )
        for i, seen in enumerate(self._seen):
            seen.seconds = self._measure(i, probes[:1], math.inf)
            if self._seconds is not None and seen.seconds < _PROBED * self._seconds:
                # The first call of anything is slow.
                seen.seconds = self._measure(i, probes[1:2], math.inf)
            if self._payable(i) >= _FEWEST:
                seen.seconds = self._measure(i, probes[: self._payable(i)], math.inf)
        return probes

    def _payable(self, i: int) -> int:
        """How many architectures drawn at random a rung can pay for."""
        if self._seconds is not None:
            return int(_PROBED * self._seconds / len(self._seen) / self._seen[i].seconds)
        return self._planned()[i] // 2  # a half of its places

    def _planned(self) -> list[int]:
        """How many each rung sees, if all are kept."""
        if self._count is not None:
            counts = [self._count]
            for rung in self._ladder.rungs[:-1]:
                assert rung.share is not None
                counts.append(max(1, round(counts[-1] * rung.share)))
            return counts
        return plan_rungs(
            [seen.seconds for seen in self._seen],
            seconds=max(0.0, self._end - self._record.seconds),
            shares=[rung.share for rung in self._ladder.rungs],
        )

    def _drop(self) -> None:
        """Compares each rung with the next one that is kept, from the top down."""
        upper = self._seen[-1]
        for seen in reversed(self._seen[:-1]):
            found = seen.agreement = seen.agreement_with(upper)
            pair = f"{seen.rung.name!r} and {upper.rung.name!r}"
            if found is None:
                self._notes.append(
                    f"{pair}: not tested, since fewer than {_FEWEST} architectures drawn at "
                    "random could be paid for on both."
                )
            elif not found.beats_chance:
                seen.dropped = True
                bad = f" It failed for {seen.failed}; the last: {seen.failure}"
                why = bad if seen.failed else ""
                gain = "" if self._seconds is None else ", and its time goes to the next rung"
                self._notes.append(
                    f"{pair} do not agree (Kendall's tau {found.tau:.2f} over {found.networks} "
                    f"architectures, p = {found.chance:.2g}): {seen.rung.name!r} is dropped{gain}."
                    f"{why}"
                )
                continue
            upper = seen

    # The climb

    def _climb(self, probes: Sequence[Architecture], counts: Sequence[int]) -> None:
        costs = [seen.seconds for seen in self._seen]
        slices = [cost * number for cost, number in zip(costs, counts, strict=True)]
        # The plan in shares of what is left now, so that all of it ends in time.
        begun, whole, spent, saved = self._record.seconds, sum(slices), 0.0, 0.0
        below: _Seen | None = None
        for i, seen in enumerate(self._seen):
            spent += slices[i]
            if seen.dropped:
                saved += slices[i]
                continue
            most, until = counts[i], math.inf
            if self._seconds is not None:
                until = begun + (self._end - begun) * spent / whole
                most = _SLACK * (most + int(saved / costs[i]))
                saved = 0.0
            self._measure(i, self._candidates(below, probes, most), until, most)
            self._bar.update(self._tasks[i], total=len(seen.found))
            below = seen

    def _candidates(
        self, below: _Seen | None, probes: Sequence[Architecture], most: int
    ) -> Iterable[Architecture]:
        if below is None:
            return islice(chain(probes, self._pool), most)
        ranked = below.ranked()
        if self._seconds is not None:  # no more than its share, however quick the next rung is
            most = min(most, math.ceil(len(ranked) * (below.rung.share or _MOST)))
        return ranked[:most]

    def _measure(
        self,
        i: int,
        candidates: Iterable[Architecture],
        until: float,
        total: int | None = None,
    ) -> float:
        """Asks a rung for those that it has not seen; returns the seconds that each took."""
        seen, begun, before = self._seen[i], self._record.seconds, len(self._seen[i].found)
        if total is not None:
            self._bar.update(self._tasks[i], total=total)
        order = list(seen.found)
        inside = 0.0

        def new() -> Iterator[Architecture]:
            for architecture in candidates:
                if architecture not in seen.found:
                    order.append(architecture)
                    yield architecture

        for architecture, (answer, seconds) in self._answers(i, new(), until):
            inside += seconds
            self._record.note(seen.rung.name, architecture, answer, seconds)
            if isinstance(answer, str):
                seen.failure = answer
            metrics = seen.found[architecture] = {} if isinstance(answer, str) else answer
            seen.failed += seen.rung.fails(metrics)
            self._bar.update(self._tasks[i], completed=len(seen.found))
        # Of equals the first is the best: not the one that was answered first.
        seen.found = {a: seen.found[a] for a in order if a in seen.found}
        measured = len(seen.found) - before
        if not measured:
            return seen.seconds
        # Side by side they take less than each for itself, and more where workers still start.
        return max(1e-9, min(self._record.seconds - begun, inside)) / measured

    def _answers(
        self, i: int, candidates: Iterator[Architecture], until: float
    ) -> Iterator[tuple[Architecture, tuple[Answer, float]]]:
        """Asks for the first of them in any case, and for others while there is time."""
        running: dict[Future[tuple[Answer, float]], Architecture] = {}
        for place, architecture in enumerate(candidates):
            if place > 0 and self._record.seconds >= until:
                break
            known = self._record.known(self._seen[i].rung.name, architecture)
            asked = self._ladder, i, architecture, self._seed
            if known is not None:
                yield architecture, known
            elif self._executor is None:
                yield architecture, _tried(*asked)
            else:
                running[self._executor.submit(_tried, *asked)] = architecture
        left = None if until == math.inf else max(0.0, until - self._record.seconds)
        with suppress(TimeoutError):
            for future in as_completed(running, timeout=left):
                yield running.pop(future), _answer(future)
        # What has not begun is left out; what runs has cost its time already.
        begun = [f for f in running if f.running() or not f.cancel()]
        for future in as_completed(begun):
            yield running[future], _answer(future)


def _tried(ladder: Ladder, i: int, architecture: Architecture, seed: int) -> tuple[Answer, float]:
    """Asks an estimator; returns the seconds that it took, too."""
    rung, begun = ladder.rungs[i], time.monotonic()
    answer: Answer
    try:
        answer = plain(rung.estimator(architecture, Run(fidelity=rung.fidelity, seed=seed)))
    except Exception as error:  # noqa: BLE001  # an estimator may raise anything
        answer = _reason(error)
    return answer, time.monotonic() - begun


def _answer(future: Future[tuple[Answer, float]]) -> tuple[Answer, float]:
    """What a future holds; a worker that died is a failure of its architecture, too."""
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001  # whatever ended the worker
        return _reason(error), 0.0


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, OgiveError) else f"{type(error).__name__}: {error}"
