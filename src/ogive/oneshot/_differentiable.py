"""Architectures by gradient descent: each layer a mixture whose weights are learned."""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ogive import nn as readings
from ogive.errors import SettingError, SpaceError, did_you_mean
from ogive.estimators import Batches, Data, Precision, Recipe, Run, autocast
from ogive.nn import Mixture, NetworkFunction, Supernet
from ogive.oneshot._collapse import History, Sharpness, Watched, twice_differentiable
from ogive.oneshot._course import Course, Stateful
from ogive.oneshot._weights import SharedWeights, cuda_devices
from ogive.space import Architecture, SearchSpace
from ogive.task import Task

__all__ = ["RELAXATIONS", "Found", "Relaxation", "search_by_gradient"]

_SKIPS = 0.6
"""The share of layers that are skips from which on a search is said to have collapsed."""

_AFFORDABLE = 150
"""Steps of an epoch from which on measuring the sharpness costs less than a tenth of it.

Once it takes as long as 3 to 7 steps of DARTS or DrNAS, or 10 to 20 of GDAS.
"""


class Relaxation(ABC):
    """How the parameters of a decision become the weights of its options."""

    start: float = 1e-3
    """The standard deviation of the parameters at first."""

    lr: float = 3e-4
    """Of Adam, for the parameters."""

    decay: float = 1e-3
    """Adam's weight decay of them: Liu et al. 2019, arXiv:1806.09055, appendix A.1.1."""

    @abstractmethod
    def weights(self, alpha: Tensor, progress: float) -> Tensor:
        """Returns ``(options,)``, at a share of the training that is done."""

    def penalty(self, alphas: Sequence[Tensor]) -> Tensor:
        """What is added to the validation loss."""
        return torch.zeros((), device=alphas[0].device)

    def probabilities(self, alpha: Tensor) -> Tensor:
        """Returns ``(options,)``: how much each option is preferred in the end."""
        return alpha.softmax(dim=0)


class Softmax(Relaxation):
    """DARTS: every option, weighted by a softmax (eq. 2 of Liu et al. 2019, arXiv:1806.09055)."""

    def weights(self, alpha: Tensor, progress: float) -> Tensor:  # noqa: ARG002
        return alpha.softmax(dim=0)


class HardGumbel(Relaxation):
    """GDAS: one option a step, drawn, with the softmax's gradient.

    Eq. 3 to 5 of Dong & Yang 2019, arXiv:1910.04465; the temperature falls from 10 to 0.1. The
    other options are not computed, so that only the one drawn gives its weight a gradient.
    """

    def weights(self, alpha: Tensor, progress: float) -> Tensor:
        temperature = 10.0 + (0.1 - 10.0) * progress
        return nn.functional.gumbel_softmax(alpha, tau=temperature, hard=True, dim=0)


class Dirichlet(Relaxation):
    """DrNAS: weights drawn from a Dirichlet distribution whose concentration is learned.

    Eq. 3 of Chen et al. 2021, arXiv:2006.10355, with its anchor (eq. 6): the divergence from the
    uniform distribution, times 0.001, which takes the place of the others' weight decay. The
    paper's progressive learning is left out.
    """

    lr = 6e-4
    decay = 0.0

    def weights(self, alpha: Tensor, progress: float) -> Tensor:  # noqa: ARG002
        drawn: Tensor = torch.distributions.Dirichlet(self._beta(alpha)).rsample()
        return drawn

    def penalty(self, alphas: Sequence[Tensor]) -> Tensor:
        total = torch.zeros((), device=alphas[0].device)
        for alpha in alphas:
            beta = self._beta(alpha)
            learned = torch.distributions.Dirichlet(beta)
            anchor = torch.distributions.Dirichlet(torch.ones_like(beta))
            total = total + torch.distributions.kl_divergence(learned, anchor)
        return 1e-3 * total

    def probabilities(self, alpha: Tensor) -> Tensor:
        beta = self._beta(alpha)
        return beta / beta.sum()  # the mean of the distribution

    @staticmethod
    def _beta(alpha: Tensor) -> Tensor:
        return nn.functional.elu(alpha) + 1.0 + 1e-6


RELAXATIONS: Mapping[str, type[Relaxation]] = MappingProxyType(
    {"darts": Softmax, "gdas": HardGumbel, "drnas": Dirichlet}
)
"""Differentiable methods by name."""


@dataclass(frozen=True)
class Found:
    """What a differentiable search prefers.

    Attributes:
        space: What it searched.
        preferences: For the path of each decision, its options and how much each is preferred. A
            branch of a subset is as strong as the strongest option of its layer, times the weight
            of its edge; options that make zeros of anything are none there.
        edges: For the name of each :class:`ogive.nn.Sum` and the path of each subset, how much each
            term or branch is preferred, where that was learned.
        fixed: What the other decisions were.
        notes: What should be known of the result, such as that it has collapsed.
        history: What was watched after each epoch, for signs of a collapse.
        supernet: The shared weights.
    """

    space: SearchSpace
    preferences: Mapping[str, Mapping[str, float]]
    edges: Mapping[str, tuple[float, ...]]
    fixed: Mapping[str, Any]
    notes: tuple[str, ...]
    history: tuple[Watched, ...]
    supernet: Supernet

    @property
    def best(self) -> Architecture:
        """The architecture of the most preferred options.

        Raises:
            SpaceError: If the space rules out all that have the other decisions as they were.
        """
        best = next(self.ranked(), None)
        if best is None:
            first = self._completed({path: self._ordered(path)[0][1] for path in self.preferences})
            raise SpaceError(
                "A search by gradient learns about layers with the other decisions as they are, "
                f"but the space rules all of these out, such as {dict(first)}: "
                f"{self.space.reason_invalid(first)}. Decide others, as in fixed={{'width': 8}}."
            )
        return best

    def ranked(self) -> Iterator[Architecture]:
        """Yields architectures, the most preferred first, by the product of the preferences.

        ``ogive.search(start_from=found)`` tries the first few first.
        """
        ordered = [self._ordered(path) for path in self.preferences]

        def cost(ranks: tuple[int, ...]) -> float:
            return sum(values[rank][0] for values, rank in zip(ordered, ranks, strict=True))

        first = (0,) * len(ordered)
        queue, queued, yielded = [(cost(first), first)], {first}, set()
        while queue:
            _, ranks = heapq.heappop(queue)
            chosen = {
                path: values[rank][1]
                for path, values, rank in zip(self.preferences, ordered, ranks, strict=True)
            }
            architecture = self._completed(chosen)
            if architecture not in yielded and self.space.reason_invalid(architecture) is None:
                yielded.add(architecture)
                yield architecture
            for i, (path, rank) in enumerate(zip(self.preferences, ranks, strict=True)):
                after = (*ranks[:i], rank + 1, *ranks[i + 1 :])
                if path in architecture and rank + 1 < len(ordered[i]) and after not in queued:
                    queued.add(after)
                    heapq.heappush(queue, (cost(after), after))

    def _ordered(self, path: str) -> list[tuple[float, Any]]:
        """The values of a decision, the most preferred first, with minus the logarithm of that."""
        decision = self.space[path]
        costs = {option: -math.log(max(p, 1e-300)) for option, p in self.preferences[path].items()}
        values: list[tuple[float, Any]] = [(cost, option) for option, cost in costs.items()]
        if decision.kind == "subset":  # the top k: section 2.4 of Liu et al. 2019
            chosen = combinations(costs, decision.sizes[-1])
            values = [(sum(costs[option] for option in some), some) for some in chosen]
        return sorted(values, key=lambda value: value[0])

    def _completed(self, chosen: Mapping[str, Any]) -> Architecture:
        known = {**self.fixed, **chosen}
        return self.space.walk(
            lambda d: known[d.path] if d.path in known else readings.largest_value(d)
        )


def search_by_gradient(
    network: NetworkFunction,
    task: Task,
    *,
    method: str = "drnas",
    order: int = 1,
    alpha_lr: float | None = None,
    warmup: float = 0.1,
    alarm: bool | None = None,
    parts: int = 1,
    edges: bool = False,
    fixed: Mapping[str, Any] | None = None,
    space: SearchSpace | None = None,
    recipe: Recipe | None = None,
    run: Run | None = None,
    precision: Precision = "fp32",
    progress: bool = False,
) -> Found:
    """Learns which options of ``choose.layer`` to take, by gradient descent.

    Weights and mixtures are trained in turn, each on a half of the training split (algorithm 1
    of Liu et al. 2019, arXiv:1806.09055). With ``run.folder`` it goes on where it was.

    Args:
        network: The network function.
        task: Its training split is learned from; nothing else is looked at.
        method: A name of :data:`RELAXATIONS`.
        order: 1 takes the weights as they are, 2 as they will be after a step (eq. 7 and 8),
            at about three times the cost.
        alpha_lr: The learning rate of the mixtures; the method's own, which suits trainings of
            thousands of steps. A short one needs a larger.
        warmup: The share of the training in which the weights are trained alone.
        alarm: Whether the sharpness of the validation loss is measured after each epoch, which
            tells a collapse (Zela et al. 2020, arXiv:1909.09656); by default where an epoch is
            so long that it costs little. It needs about three times the memory of a step.
        parts: 4 has the options of a layer compute on a quarter of its channels, in about a
            quarter of their memory: the partial channels of PC-DARTS (Xu et al. 2020,
            arXiv:1907.05737). The weights of the other channels are not trained: train what is
            found, and do not rank by what it inherits.
        edges: Whether the terms of each :class:`ogive.nn.Sum` and the branches of each
            ``choose.subset`` get weights that are learned, too: the edge normalisation of
            PC-DARTS, which is ``method="darts", parts=4, edges=True, warmup=0.3``.
        fixed: What other decisions are; the largest, or the first, where it is silent.
        space: What may be chosen; all that the function asks by default.
        recipe: How the weights are trained; the task's default.
        run: Gives seed, device, threads, folder, and the share of the epochs.
        precision: ``bf16`` computes under autocast.
        progress: Whether a bar is shown.

    Raises:
        SettingError: If there is no such method or order, a setting is out of its range, no layer
            has channels to part, or there is neither a sum nor a subset whose terms could have
            weights.
        SpaceError: If the space decides for no layer, what a layer's options give does not add
            up, or what is fixed is not of the space.
        TrialFailed: If the loss is not a number.
    """
    if method not in RELAXATIONS:
        raise SettingError(
            f"A differentiable method is one of {', '.join(RELAXATIONS)}, but got {method!r}."
            + did_you_mean(method, RELAXATIONS)
        )
    if order not in (1, 2):
        raise SettingError(f"order is 1 or 2, but got order={order}.")
    if parts < 1:
        raise SettingError(f"1 <= parts must hold, but got parts={parts}.")
    if not 0 <= warmup <= 1:
        raise SettingError(f"0 <= warmup <= 1 must hold, but got warmup={warmup}.")
    if alpha_lr is not None and not alpha_lr > 0:
        raise SettingError(f"alpha_lr > 0 must hold, but got alpha_lr={alpha_lr}.")
    space = readings.record(network, task) if space is None else space
    recipe = Recipe.default(task) if recipe is None else recipe
    run = Run() if run is None else run
    with readings.threads(run.threads), torch.random.fork_rng(cuda_devices()):
        search = _Search(
            network,
            task,
            method,
            order,
            alpha_lr,
            warmup,
            alarm,
            parts,
            fixed or {},
            space,
            recipe,
            run,
            precision,
            edges=edges,
        )
        return search.fit(progress)


class _Search:
    def __init__(
        self,
        network: NetworkFunction,
        task: Task,
        method: str,
        order: int,
        alpha_lr: float | None,
        warmup: float,
        alarm: bool | None,
        parts: int,
        fixed: Mapping[str, Any],
        space: SearchSpace,
        recipe: Recipe,
        run: Run,
        precision: Precision,
        *,
        edges: bool = False,
    ) -> None:
        self._space, self._precision = space, precision
        self._order, self._warmup = order, warmup
        self._fixed, self._relaxation = dict(fixed), RELAXATIONS[method]()
        learned, validating = task.train.halves()
        self._weights = weights = SharedWeights(
            network,
            task,
            space,
            recipe,
            run,
            split=learned,
            epochs=recipe.epochs * run.fidelity,
            precision=precision,
        )
        self._supernet = weights.supernet
        self._mixture: Mixture = self._supernet.mix(fixed, parts=parts)
        # An option must not make up for its weight by a scale of its own (Liu et al. 2019, appendix
        # A.1.1): the normalisations in the mixtures have none.
        with torch.no_grad():
            for tensor in self._mixture.scales:
                tensor.requires_grad_(False)
        if not self._mixture.decisions:
            raise SpaceError(
                "A differentiable search learns which option of choose.layer to take, but none "
                "is left to decide. Ask for layers, or use another strategy."
            )
        if parts > 1 and not self._mixture.partial:
            raise SettingError(
                f"With parts={parts} a layer's options must keep the shape of what they get, have "
                f"channels divisible by {parts}, and consist of convolutions, linear layers and "
                "batch normalisations, but no layer does. Use parts=1."
            )
        sums = self._mixture.sums
        # A sum that is called like a subset is that of its branches: one of both has the weights.
        self._branching = [path for path in self._mixture.branches if edges and path not in sums]
        if edges and not (sums or self._branching):
            raise SettingError(
                "With edges=True the terms of each ogive.nn.Sum and the branches of each "
                "choose.subset get weights, but the network has none. Add up with a Sum where "
                "several layers meet, or leave edges out."
            )
        branches = {path: len(self._mixture.branches[path]) for path in self._branching}
        self._terms = {**sums, **branches} if edges else {}
        torch.manual_seed(run.seed)
        self._alphas = nn.ParameterDict(
            {
                _key(path): nn.Parameter(
                    self._relaxation.start * torch.randn(len(options), device=weights.device)
                )
                for path, options in self._mixture.decisions.items()
            }
        )
        self._betas = nn.ParameterDict(
            {
                _key(name): nn.Parameter(1e-3 * torch.randn(inputs, device=weights.device))
                for name, inputs in self._terms.items()
            }
        )
        self._learned = [*self._alphas.values(), *self._betas.values()]
        self._for_alphas = Batches(
            Data(validating, task, weights.device), task, recipe, seed=run.seed + 1
        )
        self._adam = torch.optim.Adam(
            self._learned,
            lr=alpha_lr or self._relaxation.lr,
            betas=(0.5, 0.999),
            weight_decay=self._relaxation.decay,
        )
        size = sum(alpha.numel() for alpha in self._alphas.values())
        self._sharpness = Sharpness(size, weights.device)
        self._history = History()
        self._alarm = weights.batches.steps >= _AFFORDABLE if alarm is None else alarm
        identity = {"method": method, "order": order, "alpha_lr": alpha_lr, "warmup": warmup,
                    "parts": parts, "edges": edges, "fixed": dict(fixed), "scales": False,
                    **weights.identity}  # fmt: skip
        state: dict[str, Stateful] = {
            **weights.state,
            "alphas": self._alphas,
            "betas": self._betas,
            "adam": self._adam,
            "sharpness": self._sharpness,
            "history": self._history,
        }
        total, epoch = weights.schedule.total, weights.batches.steps
        self._course = Course(run, identity, state, total, epoch)

    def fit(self, progress: bool) -> Found:
        weights = self._weights
        for step in self._course.steps("searching by gradient" if progress else None):
            done = weights.schedule.progress(step)
            learned = weights.batches(step)
            noted = {}
            if done >= self._warmup:
                noted["alpha_loss"] = self._step_alphas(step, learned, done)
            noted["loss"] = self._step_weights(step, learned, done)
            epoch, place = divmod(step + 1, weights.batches.steps)
            if self._alarm and done >= self._warmup and place == 0:
                noted["eigenvalue"] = self._sharpness_after(epoch)
            if place == 0:
                skips = len(self._skipped(self._preferences())) / len(self._alphas)
                self._history.epochs.append(Watched(epoch, skips, noted.get("eigenvalue")))
            self._course.note(**noted)
        preferences = self._preferences()
        return Found(
            self._space,
            self._with_branches(preferences),
            {name: tuple(each.tolist()) for name, each in self._edges().items()},
            self._fixed,
            self._notes(preferences),
            tuple(self._history.epochs),
            self._supernet,
        )

    # Algorithm 1

    def _step_weights(self, step: int, batch: tuple[Tensor, Tensor], done: float) -> float:
        loss = self._loss(batch, done)
        self._weights.clear()
        loss.backward()  # type: ignore[no-untyped-call]
        self._weights.descend(step, loss.item())
        return loss.item()

    def _step_alphas(self, step: int, learned: tuple[Tensor, Tensor], done: float) -> float:
        batch = self._for_alphas(step)
        alphas = list(self._alphas.values())
        if self._order == 1:
            loss = self._loss(batch, done) + self._relaxation.penalty(alphas)
            found: Sequence[Tensor | None]
            found = torch.autograd.grad(loss, self._learned, allow_unused=True)
        else:
            loss, found = self._unrolled(batch, learned, done, self._weights.rate(step))
        for parameter, gradient in zip(self._learned, found, strict=True):
            parameter.grad = gradient
        self._adam.step()
        return loss.item()

    def _unrolled(
        self,
        batch: tuple[Tensor, Tensor],
        learned: tuple[Tensor, Tensor],
        done: float,
        rate: float,
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The gradient at the weights after a step of plain gradient descent, eq. 7 and 8."""
        alphas = self._learned
        shared = [tensor for tensor in self._mixture.shared if tensor.requires_grad]
        kept = [p.detach().clone() for p in shared]
        again = _same_draws(self._weights.device)
        inner = torch.autograd.grad(self._loss(learned, done), shared, allow_unused=True)
        self._move(shared, kept, inner, -rate)  # w' = w - xi * grad_w L_train(w, alpha)
        loss = self._loss(batch, done) + self._relaxation.penalty(list(self._alphas.values()))
        found = torch.autograd.grad(loss, [*alphas, *shared], allow_unused=True)
        direct, outer = found[: len(alphas)], found[len(alphas) :]
        epsilon = 0.01 / max(1e-12, _norm(outer))  # footnote 2 of the paper
        sides = []
        for sign in (1.0, -1.0):
            again()
            self._move(shared, kept, outer, sign * epsilon)  # w+ and w-
            sides.append(torch.autograd.grad(self._loss(learned, done), alphas, allow_unused=True))
        self._move(shared, kept, outer, 0.0)
        result: list[Tensor | None] = []
        for gradient, plus, minus in zip(direct, *sides, strict=True):
            if gradient is None or plus is None or minus is None:
                result.append(gradient)
            else:
                result.append(gradient - rate * (plus - minus) / (2 * epsilon))
        return loss, result

    @staticmethod
    @torch.no_grad()
    def _move(
        shared: Sequence[Tensor],
        kept: Sequence[Tensor],
        direction: Sequence[Tensor | None],
        size: float,
    ) -> None:
        for weight, before, along in zip(shared, kept, direction, strict=True):
            weight.copy_(before if along is None else before + size * along)

    def _loss(self, batch: tuple[Tensor, Tensor], done: float) -> Tensor:
        with autocast(self._weights.device, self._precision):
            return self._mixed_loss(batch, lambda alpha: self._relaxation.weights(alpha, done))

    def _mixed_loss(
        self, batch: tuple[Tensor, Tensor], weights: Callable[[Tensor], Tensor]
    ) -> Tensor:
        inputs, targets = batch
        for path in self._mixture.decisions:
            self._mixture.weights[path] = weights(self._alphas[_key(path)])
        edges = self._edges()
        self._mixture.edge_weights.update(edges)
        self._mixture.weights.update({path: edges[path] for path in self._branching})
        self._mixture.network.train()
        outputs = self._mixture(inputs)
        return self._weights.loss(outputs.float(), targets)

    def _edges(self) -> dict[str, Tensor]:
        """The weights of the terms of each sum (Xu et al. 2020, section 3.3), where learned."""
        return {name: self._betas[_key(name)].softmax(dim=0) for name in self._terms}

    def _sharpness_after(self, epoch: int) -> float:
        """The alarm's eigenvalue, always on the same mini-batch, so that only the search moves it.

        What is drawn has no second derivative: the weights are the preferences, which for DARTS
        are the weights that it computes with.
        """
        with twice_differentiable():
            loss = self._mixed_loss(self._for_alphas(0), self._relaxation.probabilities)
            return self._sharpness.measure(loss, list(self._alphas.values()), epoch)

    # What came of it

    def _preferences(self) -> dict[str, dict[str, float]]:
        """How much each option of each decision is preferred."""
        found = {}
        for path, options in self._mixture.decisions.items():
            alpha = self._alphas[_key(path)].detach()
            values = self._relaxation.probabilities(alpha).tolist()
            found[path] = dict(zip(options, values, strict=True))
        return found

    def _with_branches(
        self, preferences: Mapping[str, Mapping[str, float]]
    ) -> dict[str, Mapping[str, float]]:
        """These, and how strong the branches of each subset are.

        As strong as the strongest option that does not make zeros (section 2.4 of Liu et al.
        2019), times the weight of the edge (section 3.3 of Xu et al. 2020).
        """
        found = dict(preferences)
        branches, edges = self._mixture.branches, self._edges()
        zeros = self._zeros if branches else {}
        for path, layers in branches.items():
            weights = edges[path].tolist() if path in edges else [1.0] * len(layers)
            strengths = {}
            for (option, layer), weight in zip(layers.items(), weights, strict=True):
                strengths[option] = weight
                if layer is not None and layer in preferences:
                    own = preferences[layer]
                    found[layer] = {o: p for o, p in own.items() if o not in zeros[layer]} or own
                    strengths[option] *= max(found[layer].values())
            found[path] = strengths
        return found

    @cached_property
    def _zeros(self) -> Mapping[str, frozenset[str]]:
        return self._mixture.zeros(self._for_alphas(0)[0])

    def _skipped(self, preferences: Mapping[str, Mapping[str, float]]) -> list[str]:
        """The layers whose most preferred option, of those that are taken, is a skip."""
        skips, taken = self._mixture.skips, self._with_branches(preferences)
        return [p for p in preferences if max(taken[p], key=taken[p].__getitem__) in skips[p]]

    def _notes(self, preferences: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
        count = len(self._skipped(preferences))
        sharp = self._sharpness.note()
        notes = () if sharp is None else (sharp,)
        if count < _SKIPS * len(preferences):
            return notes
        collapsed = (
            f"The search has collapsed: {count} of {len(preferences)} layers are skips. Shared weights "
            "learn skips first (Zela et al. 2020, arXiv:1909.09656): stop it earlier, warm the "
            "weights up for longer, or raise their weight decay."
        )
        return (*notes, collapsed)


def _key(path: str) -> str:
    """What a path is called among parameters, whose names have no dots."""
    return path.replace(".", "/")


def _same_draws(device: torch.device) -> Callable[[], None]:
    """Returns what brings torch's generators back to where they are now."""
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def again() -> None:
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, device)

    return again


def _norm(tensors: Sequence[Tensor | None]) -> float:
    return math.sqrt(sum(float(each.square().sum()) for each in tensors if each is not None))
