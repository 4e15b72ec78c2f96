"""Does a recorded run add up? The check of the identity alone, without a contribution for each example."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad

from pkverify.network.decompose import ends_of, make_queries, require_steps
from pkverify.network.gauss import gauss_rule
from pkverify.network.guard import clip_factor
from pkverify.network.layers.batches import Batch
from pkverify.network.numerics import exact_arithmetic
from pkverify.network.optimizers import Moment, StepSplit
from pkverify.network.path import TrainingPath, splits_of
from pkverify.network.replay import Passed, passed
from pkverify.network.segment import Queries
from pkverify.network.sweep import checked_factor
from pkverify.network.training import OutputOf, Params


@dataclass(frozen=True)
class Identity:
    """Whether the outputs changed as the gradients of the named examples say.

    Attributes:
        initial_output: The outputs at the first weights, ``[q, C]``.
        final_output: The outputs at the last weights, ``[q, C]``.
        residual: What the gradients of the named examples, the decay and the momentum leave unexplained, ``[q, C]``.
    """

    initial_output: Tensor
    final_output: Tensor
    residual: Tensor

    @property
    def relative_residual(self) -> float:
        """The norm of all residuals relative to that of all changes of the outputs."""
        change, missed = float((self.final_output - self.initial_output).norm()), float(self.residual.norm())
        return missed / change if change else missed


def identity(
    path: TrainingPath, x_query: Batch, *, output: OutputOf | None = None, nodes: int | None = None
) -> Identity:
    """Check that the steps of a run are those of its optimiser on the gradients of the named examples, in output units.

    The steps are made again from gradients that are computed again, by one backward pass a step; no gradient of one
    example is needed. A made step is the recorded one plus a miss. Along the recorded step the integral of the query's
    gradient *is* the difference of the outputs; so only the miss is carried to the outputs, by the derivative of the
    queries along it. With ``nodes`` the whole made step is integrated instead, by a Gauss rule of so many nodes.

    Args:
        path: A recorded run.
        x_query: The inputs, q along the first axis.
        output: What is looked at; that of the recording when left out.
        nodes: Gauss nodes a segment; None for the miss alone.

    Returns:
        The two outputs and the residual.

    Raises:
        InputError: If the path is unfinished or its files were altered.

    Example:
        >>> from pkverify.network.record import record
        >>> model = torch.nn.Linear(1, 1, bias=False).double()
        >>> x = torch.ones(1, 1).double()
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        >>> with record(model, optimizer, loss=torch.sum, x=x) as path:
        ...     model(x).sum().backward()
        ...     optimizer.step()
        >>> identity(path, x).residual.abs().item() < 1e-15
        True
    """
    require_steps(path)
    queries = make_queries(path, x_query, output, 4)
    initial, final = ends_of(path, queries)
    device = queries.study.device
    buffers = {name: buffer.to(device, copy=True) for name, buffer in path.initial_buffers.items()}
    explained = explained_over(path, queries, path.points, buffers, nodes=nodes)
    return Identity(initial, final, -explained if nodes is None else final - initial - explained)


def explained_over(
    path: TrainingPath,
    queries: Queries,
    points: range,
    buffers: Params,
    *,
    nodes: int | None = None,
    compare: bool = False,
) -> Tensor:
    """What the steps from some points on explain of the outputs, made again from the gradients of the named examples.

    Args:
        path: The path.
        queries: The queries.
        points: The points.
        buffers: The momentum before these steps, made again; taken along in place.
        nodes: Gauss nodes a segment; for None the recorded steps are taken off, and minus the residual is left.
        compare: Also compare the norms of each step's gradient with those recorded.

    Returns:
        ``[q, C]``.

    Raises:
        InputError: With ``compare``, if the gradient of a step is not the recorded one.
    """
    training, function = path.training, path.training.function
    device = queries.study.device
    made = path.weights(points.start).to(device, copy=True)
    explained, carrier = made.new_zeros(queries.count, queries.outputs), _Carrier(queries, made)
    moments = list(path.moments())
    for place, end in _with_ends(path, points, moments, device):
        step, params, change = path.steps[place.number], function.unflatten(place.weights), end - place.weights
        gradient = place.gradient
        if gradient is None:
            with exact_arithmetic():
                gradient = training.gradient(params, step.batches)
        if compare:
            checked_factor(path, place.number, gradient)
        gradient = {name: g for name, g in gradient.items() if name not in step.absent}
        factor = 1.0
        if path.header.clip_norm is not None and gradient:
            factor = clip_factor(torch.stack([g.norm() for g in gradient.values()]).norm(), path.header.clip_norm)
        statistics = {entry: function.unflatten(flat) for entry, flat in place.statistics.items()}
        splits = splits_of(path.header, step.settings, moments[place.number], statistics)
        _made(splits, params, gradient, buffers, factor, function.unflatten(made))
        if nodes is None:
            made = carrier.carry(place.weights, change, made)
        else:
            for u, share in zip(*gauss_rule(nodes), strict=True):
                explained += share * _along(queries, place.weights + u * change, made)
    return carrier.total(path.weights(points.stop).to(device)) if nodes is None else explained


class _Carrier:
    """Takes the misses of consecutive steps to the outputs.

    A miss is carried by the derivative at the middle of its step. Where two in a row are no more than rounding, both
    are carried at the weights between them, which halves the work and changes what rounding left by less than itself.
    """

    def __init__(self, queries: Queries, like: Tensor) -> None:
        self._queries = queries
        self._sum = like.new_zeros(queries.count, queries.outputs)
        self._waiting: Tensor | None = None
        self._free = torch.empty_like(like)

    def carry(self, start: Tensor, change: Tensor, made: Tensor) -> Tensor:
        """Add the miss of the step from ``start`` along ``change``; both vectors are used up, and one is given back."""
        miss = made.sub_(change)
        small = _norm(miss) <= torch.finfo(miss.dtype).eps ** 0.5 * _norm(change)
        if self._waiting is None and small:
            self._waiting, free = miss, self._free
            return free
        if self._waiting is not None:
            if small:
                miss = self._waiting.add_(miss)
            else:
                self._sum += _differences(self._queries, start, self._waiting)
            self._free, self._waiting = self._waiting, None
        at = start if small else change.mul_(0.5).add_(start)
        self._sum += _differences(self._queries, at, miss)
        return made

    def total(self, end: Tensor) -> Tensor:
        """What all misses do to the outputs, ``[q, C]``; ``end`` are the weights after the last step."""
        if self._waiting is not None:
            self._sum += _differences(self._queries, end, self._waiting)
        return self._sum


def _norm(vector: Tensor) -> float:
    return float(torch.linalg.vector_norm(vector))


def _with_ends(
    path: TrainingPath, points: range, moments: Sequence[Mapping[str, Moment]], device: torch.device
) -> Iterator[tuple[Passed, Tensor]]:
    """Each step with the weights after it; where they were kept, those that were kept."""
    before: Passed | None = None
    for place in passed(path, points, moments, device):
        if before is not None:
            yield before, place.weights
        before = place
    if before is not None:
        yield before, path.weights(points.stop).to(device)


def _made(
    splits: Mapping[str, StepSplit], params: Params, gradient: Params, buffers: Params, factor: float, made: Params
) -> None:
    """The changes of one step, written into ``made``; gradients and buffers are used up and taken along, in place."""
    for name, split in splits.items():
        change, pull = made[name].zero_(), gradient.get(name)
        if pull is None:
            continue
        if split.sign * factor != 1.0:
            pull.mul_(split.sign * factor)
        if split.coupled_decay:
            pull.add_(params[name], alpha=split.coupled_decay)
        if isinstance(split.take, Tensor) or split.take:
            held = buffers.get(name)
            buffers[name] = pull * split.take if held is None else _add(held.mul_(split.keep), pull, split.take)
        if name in buffers:
            _add(change, buffers[name], split.from_buffer)
        _add(change, pull, split.from_gradient)
        if split.decoupled_decay:
            change.add_(params[name], alpha=split.decoupled_decay)
        change.neg_()


def _add(total: Tensor, tensor: Tensor, factor: float | Tensor) -> Tensor:
    if isinstance(factor, Tensor):
        return total.addcmul_(tensor, factor)
    return total.add_(tensor, alpha=factor) if factor else total


def _differences(queries: Queries, weights: Tensor, miss: Tensor) -> Tensor:
    """The derivative of all outputs ``[q, C]`` along a miss ``[d]``, by a central difference; the miss is used up.

    It has about ten digits, which is more than a miss has; and it takes two passes of the queries, where forward-mode
    differentiation takes nearly as much as a gradient.
    """
    length = _norm(miss)
    if not length:
        return weights.new_zeros(queries.count, queries.outputs)
    stride = torch.finfo(weights.dtype).eps ** (1 / 3) * (_norm(weights) or 1.0)
    upper = torch.add(weights, miss, alpha=stride / length)
    lower = torch.sub(weights, miss, alpha=stride / length, out=miss)
    return (queries.values(upper) - queries.values(lower)).mul_(length / (2 * stride))


def _along(queries: Queries, weights: Tensor, direction: Tensor) -> Tensor:
    """The derivative of all outputs ``[q, C]`` along a direction ``[d]``."""
    function = queries.function
    with exact_arithmetic(), forward_ad.dual_level(), warnings.catch_warnings():
        # On first use torch's forward mode loads its own decompositions through torch.jit, and calls that deprecated.
        warnings.filterwarnings("ignore", ".*torch.jit.script", DeprecationWarning)
        outputs = function(function.unflatten(forward_ad.make_dual(weights, direction)), queries.x)
        slope = forward_ad.unpack_dual(outputs).tangent
    return torch.zeros_like(outputs) if slope is None else slope.detach()
