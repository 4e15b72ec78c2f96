"""The exact split of a recorded path: one backward sweep over its steps.

With the averaged query gradient ``g_s`` of each segment, momentum is traced back to the step that put it there by
``A_r = from_buffer_r g_r + keep_{r+1} A_{r+1}``: what a unit put into the buffer at step ``r`` does to the output, from
there to the end. So the work grows as the number of steps, and no step is split over earlier ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.attribution import Unconverged
from pkverify.network.guard import clip_factor
from pkverify.network.layers import GradientFactors, study
from pkverify.network.layers.batches import Batch, rows
from pkverify.network.numerics import exact_arithmetic
from pkverify.network.optimizers import Moment, StepSplit
from pkverify.network.path import Step, TrainingPath, splits_of
from pkverify.network.replay import passed_back
from pkverify.network.segment import Queries, SegmentMean, captured_examples, restricted
from pkverify.network.training import Params

_NORM_SAME = {torch.float64: 1e-7, torch.float32: 1e-3}


@dataclass(frozen=True)
class Split:
    """What one sweep gives for its queries, and how well its quadrature went."""

    contributions: Tensor
    regularizer_term: Tensor
    initial_momentum_term: Tensor
    path_kernel: Tensor | None
    kernel_size: Tensor | None
    unconverged: tuple[Unconverged, ...]
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class StepGradients:
    """The gradients of the examples of one step.

    Attributes:
        indices: The position of each example ``[n]``.
        losses: Their loss gradients.
        outputs: Their output gradients, where the path kernel is wanted.
        factor: By how much clipping scaled them.
    """

    indices: Tensor
    losses: GradientFactors
    outputs: GradientFactors | None
    factor: float


class TrainingGradients:
    """The gradients of the training examples along a path, computed again step by step.

    Args:
        path: The path.
        kernels: Whether output gradients are wanted too.
        wanted: Positions of the examples that are wanted; all when left out. Indices then count from its start.
    """

    def __init__(self, path: TrainingPath, *, kernels: bool, wanted: range | None = None) -> None:
        self._path = path
        self._kernels = kernels
        self.wanted = range(path.training.examples.count) if wanted is None else wanted
        function, examples = path.training.function, path.training.examples
        x, _ = examples.take(torch.arange(min(2, examples.count)))
        dtype = next(function.model.parameters()).dtype
        self._study = study(function.model, x, output=function.output, params=list(function.shapes), dtype=dtype)
        self.outputs = self._study.outputs

    def at(self, number: int, weights: Tensor) -> list[StepGradients]:
        """The gradients of step ``number``, one entry a backward pass, at flat weights.

        Raises:
            InputError: If their sum is not the gradient that the optimiser found.
        """
        if len(self.wanted) < self._path.training.examples.count:
            return self._some(number, weights)
        step, training = self._path.steps[number], self._path.training
        parts: list[tuple[Tensor, GradientFactors, GradientFactors | None]] = []
        for batch in step.batches:
            x, y = training.examples.take(batch.indices)

            def seeds(raw: Tensor, y: Batch | None = y, weight: float = batch.weight) -> Tensor:
                return training.seeds(raw, y) * weight

            losses = captured_examples(self._study, training.function, weights, x, seeds)
            outputs = (
                captured_examples(self._study, training.function, weights, x, self._each) if self._kernels else None
            )
            parts.append((training.indices(batch).to(weights.device), losses, outputs))
        factor = self._factor(number, [losses for _, losses, _ in parts])
        return [StepGradients(indices, losses, outputs, factor) for indices, losses, outputs in parts]

    def _some(self, number: int, weights: Tensor) -> list[StepGradients]:
        """As ``at`` for the wanted examples alone; the derivatives of the loss are still those of the whole batch."""
        step, training, found = self._path.steps[number], self._path.training, list[StepGradients]()
        params = training.function.unflatten(weights)
        factor = self._clipped(number, step, params) if self._path.header.clip_norm is not None else 1.0
        for batch in step.batches:
            indices = training.indices(batch)
            here = ((indices >= self.wanted.start) & (indices < self.wanted.stop)).nonzero().reshape(-1)
            if not len(here):
                continue
            x, y = training.examples.take(batch.indices)
            with torch.no_grad(), exact_arithmetic():
                raw = training.function.raw(params, x)
            here = here.to(raw.device)
            seeds, some = (training.seeds(raw, y) * batch.weight)[here], rows(x, here)
            losses = captured_examples(self._study, training.function, weights, some, lambda _, seeds=seeds: seeds)
            outputs = (
                captured_examples(self._study, training.function, weights, some, self._each) if self._kernels else None
            )
            places = indices.to(raw.device)[here] - self.wanted.start
            found.append(StepGradients(places, losses, outputs, factor))
        return found

    def _clipped(self, number: int, step: Step, params: Params) -> float:
        with exact_arithmetic():
            gradient = self._path.training.gradient(params, step.batches)
        return checked_factor(self._path, number, gradient)

    def _each(self, raw: Tensor) -> Tensor:
        eye = torch.eye(self.outputs, dtype=raw.dtype, device=raw.device)
        return eye.reshape(self.outputs, *raw.shape[1:]).expand(len(raw), -1, *raw.shape[1:])

    def _factor(self, number: int, losses: Sequence[GradientFactors]) -> float:
        """The factor of clipping; and a look at whether this is the gradient that was recorded."""
        total: Params = {}
        for part in losses:
            for name, tensor in part.total().items():
                total[name] = total[name] + tensor if name in total else tensor
        return checked_factor(self._path, number, total)


def checked_factor(path: TrainingPath, number: int, gradient: Params) -> float:
    """The factor by which a step's gradient was clipped; and a look at whether it is the gradient that was recorded.

    Args:
        path: The path.
        number: The step.
        gradient: The gradient of its named examples, computed again, before clipping.

    Returns:
        The factor.

    Raises:
        InputError: If its norms are not those that the optimiser found.
    """
    step = path.steps[number]
    norms = torch.stack([tensor.norm() for tensor in gradient.values()]).double().cpu()
    norms = torch.where(step.norms > 0, norms, 0.0) if step.absent else norms
    factor = clip_factor(norms.norm(), path.header.clip_norm)
    scale = max(float(step.norms.norm()), factor * float(norms.norm()))
    dtype = next(iter(gradient.values())).dtype
    if not float((factor * norms - step.norms).abs().max()) <= _NORM_SAME[dtype] * scale + torch.finfo(dtype).eps:
        raise InputError(
            f"step {number}: the gradient of the named examples is not the one that the optimiser found "
            f"(norms {factor * float(norms.norm()):.6g} and {float(step.norms.norm()):.6g})",
            "who was in the step, the loss, or the inputs differ from the run, or gradients were clipped",
            "record with guard=True to find the cause at the step where it happens",
        )
    return factor


def is_plain(path: TrainingPath) -> bool:
    """Whether no step keeps anything of an earlier one, or divides: then no dense vector is needed.

    Args:
        path: The path.

    Returns:
        True for gradient descent without momentum.
    """
    rule = path.header.rule
    return not path.initial_buffers and all(
        rule.buffer(group) is None and not rule.statistics(group) for step in path.steps for group in step.settings
    )


def sweep(
    path: TrainingPath,
    queries: Queries,
    gradients: TrainingGradients,
    outputs: Tensor,
    moments: Sequence[Mapping[str, Moment]],
    *,
    kernels: bool,
    points: range | None = None,
    carried: Carried | None = None,
) -> Split:
    """Split the change of the queries' outputs over the examples of all steps, or of those from some points on.

    Args:
        path: The path.
        queries: The queries.
        gradients: The training side.
        outputs: The outputs of the queries at the weights after the last of these steps, ``[q, C]``.
        moments: How far each parameter has come, for each step.
        kernels: Whether the path kernel is wanted.
        points: The points of the path whose steps are split; all when left out.
        carried: What the steps after them have left of each query; it is taken back through these steps, in place.

    Returns:
        The parts, with the pairs (query, output) along one axis: ``[q * C, ...]``.
    """
    m, lines = len(gradients.wanted), queries.count * queries.outputs
    parts = _Parts(
        contributions=outputs.new_zeros(lines, m),
        regularizer=outputs.new_zeros(lines),
        kernel=outputs.new_zeros(lines, m, gradients.outputs) if kernels else None,
        kernel_size=outputs.new_zeros(lines, m, gradients.outputs) if kernels else None,
    )
    function, plain = path.training.function, is_plain(path)
    carried = Carried() if carried is None else carried
    points = path.points[:] if points is None else points
    missed: list[Unconverged] = []
    nodes: list[int] = []
    following, after = path.weights(points.stop).to(outputs.device), outputs
    for place in passed_back(path, points, moments, outputs.device):
        before = queries.values(place.weights)
        mean = queries.mean(place.weights, following - place.weights, after - before)
        nodes.append(mean.nodes)
        if not mean.converged:
            missed.append(Unconverged(place.number, float(mean.error.max()), mean.nodes))
        params = function.unflatten(place.weights)
        statistics = {entry: function.unflatten(flat) for entry, flat in place.statistics.items()}
        splits = splits_of(path.header, path.steps[place.number].settings, moments[place.number], statistics)
        examples = gradients.at(place.number, place.weights)
        if plain:
            _plain_step(parts, mean, splits, params, examples)
        else:
            dense = {name: t.flatten(0, 1) for name, t in mean.gradients.materialize().items()}
            _dense_step(parts, carried.back(dense, splits), dense, splits, params, examples)
        following, after = place.weights, before
    return Split(
        parts.contributions,
        parts.regularizer,
        carried.of(path.initial_buffers if points.start == 0 else {}, outputs.new_zeros(lines)),
        parts.kernel,
        parts.kernel_size,
        tuple(reversed(missed)),
        tuple(reversed(nodes)),
    )


@dataclass
class _Parts:
    """What a sweep adds up; ``[rows, m]``, ``[rows]``, ``[rows, m, C']``."""

    contributions: Tensor
    regularizer: Tensor
    kernel: Tensor | None
    kernel_size: Tensor | None

    def add(self, step: StepGradients, product: Callable[[GradientFactors], Tensor], sign: float) -> None:
        """Give each example of a step its share; an example that is there twice gets two."""
        share = product(step.losses)
        self.contributions.index_add_(1, step.indices, share, alpha=-sign * step.factor)
        if self.kernel is not None and self.kernel_size is not None and step.outputs is not None:
            kernel = product(step.outputs)
            self.kernel.index_add_(1, step.indices, kernel)
            self.kernel_size.index_add_(1, step.indices, kernel.abs())


class Carried:
    """What a unit in the buffer does to the outputs, from the step at hand to the end: ``[rows, *shape]`` each.

    Args:
        held: It, by parameter name, after the steps that were taken already.
        keep: The share of the buffer that the last of these steps (the first in time) kept.
    """

    def __init__(self, held: Params | None = None, keep: Mapping[str, float | Tensor] | None = None) -> None:
        self._held: Params = dict(held or {})
        self._keep: dict[str, float | Tensor] = dict(keep or {})

    @property
    def state(self) -> tuple[Params, dict[str, float | Tensor]]:
        """``held`` and ``keep`` as they are now; from them the steps before can be taken at another time or place."""
        return self._held, self._keep

    def back(self, dense: Params, splits: Mapping[str, StepSplit]) -> dict[str, _Share]:
        """One step back: what a unit of the step's own gradient does to the outputs."""
        shares: dict[str, _Share] = {}
        for name, split in splits.items():
            g, held = dense[name], self._held.get(name)
            if held is not None and not _is(self._keep[name], 1.0):
                held.mul_(self._keep[name])
            if not _is(split.from_buffer, 0.0):
                held = g * split.from_buffer if held is None else _added(held, g, split.from_buffer)
            if held is not None:
                self._held[name], self._keep[name] = held, split.keep
            direct = not _is(split.from_gradient, 0.0)
            if held is None or _is(split.take, 0.0):
                if direct:
                    shares[name] = _share(g, split.from_gradient)
            elif direct:
                shares[name] = _Share(_added(held * split.take, g, split.from_gradient), 1.0)
            else:
                shares[name] = _share(held, split.take)
        return shares

    def of(self, buffers: Params, zero: Tensor) -> Tensor:
        """The part of the buffers with which the path began, ``[rows]``."""
        total = zero
        for name, buffer in buffers.items():
            if name in self._held:
                held = (self._held[name] * self._keep[name]).flatten(1)
                total = total - held @ buffer.to(held.device).reshape(-1)
        return total


@dataclass(frozen=True)
class _Share:
    """A tensor ``[rows, *shape]`` times a number that is not multiplied out."""

    tensor: Tensor
    factor: float


def _share(tensor: Tensor, factor: float | Tensor) -> _Share:
    return _Share(tensor * factor, 1.0) if isinstance(factor, Tensor) else _Share(tensor, factor)


def _is(value: float | Tensor, number: float) -> bool:
    return not isinstance(value, Tensor) and value == number


def _added(total: Tensor, tensor: Tensor, factor: float | Tensor) -> Tensor:
    return total.addcmul_(tensor, factor) if isinstance(factor, Tensor) else total.add_(tensor, alpha=factor)


def _dense_step(
    parts: _Parts,
    shares: Mapping[str, _Share],
    dense: Params,
    splits: Mapping[str, StepSplit],
    params: Params,
    gradients: Sequence[StepGradients],
) -> None:
    groups: dict[tuple[float, float], Params] = {}
    for name, split in splits.items():
        w = params[name].reshape(-1)
        if split.decoupled_decay:
            parts.regularizer.sub_(dense[name].flatten(1) @ w, alpha=split.decoupled_decay)
        if name in shares:
            share = shares[name]
            groups.setdefault((split.sign, share.factor), {})[name] = share.tensor
            if split.coupled_decay:
                parts.regularizer.sub_(share.tensor.flatten(1) @ w, alpha=split.coupled_decay * share.factor)
    for (sign, factor), vectors in groups.items():
        for step in gradients:
            parts.add(step, lambda some, vectors=vectors, factor=factor: some.against(vectors).mul_(factor), sign)


def _plain_step(
    parts: _Parts,
    mean: SegmentMean,
    splits: Mapping[str, StepSplit],
    params: Params,
    gradients: Sequence[StepGradients],
) -> None:
    groups: dict[tuple[float, float], list[str]] = {}
    decay: Params = {}
    for name, split in splits.items():
        rate = split.from_gradient
        assert not isinstance(rate, Tensor)
        if rate:
            groups.setdefault((split.sign, rate), []).append(name)
        if rate * split.coupled_decay:
            decay[name] = (rate * split.coupled_decay) * params[name][None]
    if decay:
        parts.regularizer.sub_(mean.gradients.against(decay).reshape(-1))
    for (sign, rate), names in groups.items():
        queries = restricted(mean.gradients, names)

        def product(
            some: GradientFactors, queries: GradientFactors = queries, names: Sequence[str] = names, rate: float = rate
        ) -> Tensor:
            return rate * queries.inner(restricted(some, names)).transpose(1, 2).flatten(0, 1)

        for step in gradients:
            parts.add(step, product, sign)
