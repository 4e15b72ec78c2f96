"""The gradient of each query, averaged over one straight segment of weights: exact up to rounding, or reported as not.

``f(w + change) - f(w)`` is the average of ``grad f`` over the segment, times ``change``. The average is taken at Gauss
nodes, whose number grows until two things hold: the average times the change gives the difference of the outputs, and
the gradients along some random directions, read at the same nodes, are resolved. See ``docs/devdocs``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.func import jacrev

from pkverify.network.gauss import LEVELS, gauss_rule, tails
from pkverify.network.kinks import Line, decisions
from pkverify.network.layers import Study, study
from pkverify.network.layers.batches import Batch, count, mapped, rows
from pkverify.network.layers.contraction import merged
from pkverify.network.layers.factor import Dense
from pkverify.network.layers.gradients import GradientFactors, capture
from pkverify.network.numerics import exact_arithmetic, rounding_floor
from pkverify.network.training import ModelFunction, Params

_PROBES = 2  # random directions along which the gradients are watched
_ALIKE = 10.0  # by how much coefficients along a probe may exceed those along the change
_CELLS = 16  # into how many cells a segment is cut in the search for kinks
_TURNS = (4, 8, 16)  # nodes on a piece between two kinks, before it is halved
_MOST_KINKS = 20_000  # among all queries of one segment


@dataclass(frozen=True)
class SegmentMean:
    """The averaged gradients of all queries on one segment.

    Attributes:
        gradients: For each query ``C`` gradients.
        error: What the average times the change misses of the difference of the outputs, ``[q, C]``.
        converged: Whether the error and the estimate of what it cannot see are within the tolerance.
        nodes: The most nodes that a query took.
        kinks: How many kinks the queries have on the segment.
    """

    gradients: GradientFactors
    error: Tensor
    converged: bool
    nodes: int
    kinks: int


class Queries:
    """Queries whose gradients are averaged over segments.

    Args:
        function: The model.
        x: The queries.
        tolerance: Relative to the largest change of the query's outputs on a segment.
        most_nodes: How many nodes a segment, or a piece between two kinks, may take.
    """

    def __init__(self, function: ModelFunction, x: Batch, tolerance: float, most_nodes: int) -> None:
        self.function = function
        device = next(function.model.parameters()).device
        self.x = mapped(x, lambda tensor: tensor.to(device))
        self.count = count(x, "x_query")
        self.tolerance = tolerance
        self.most_nodes = most_nodes
        self.levels = tuple(level for level in LEVELS if level <= most_nodes) or LEVELS[:1]
        dtype = next(function.model.parameters()).dtype
        self.study = study(function.model, x, output=function.output, params=list(function.shapes), dtype=dtype)
        self.outputs = self.study.outputs
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(0, 2, (_PROBES, function.size), generator=generator)
        self._probes = (2 * signs - 1).to(self.study.device, dtype)
        self._bends: bool | None = None
        self._size_of_outputs = 1.0
        self._level, self._wait, self._segments = 0, 8, 0

    def values(self, weights: Tensor) -> Tensor:
        """The outputs ``[q, C]`` at flat weights."""
        with torch.no_grad(), exact_arithmetic():
            return self.function(self.function.unflatten(weights), self.x)

    def captured(self, weights: Tensor, factor: float = 1.0, some: Tensor | None = None) -> GradientFactors:
        """The gradients of all outputs at flat weights, times a factor."""

        def seeds(raw: Tensor) -> Tensor:
            eye = factor * torch.eye(self.outputs, dtype=raw.dtype, device=raw.device)
            return eye.reshape(self.outputs, *raw.shape[1:]).expand(len(raw), -1, *raw.shape[1:])

        x = self.x if some is None else rows(self.x, some)
        state = self.function.state | self.function.unflatten(weights)
        return capture(self.study, x, seeds, weights=state)

    def mean(self, start: Tensor, change: Tensor, difference: Tensor) -> SegmentMean:
        """The gradients averaged over the segment from ``start`` to ``start + change``.

        Args:
            start: Weights ``[d]``.
            change: Their change ``[d]``.
            difference: The difference of the outputs between the ends ``[q, C]``.

        Returns:
            The average.
        """
        if self._bends is None:
            with torch.no_grad():
                one = rows(self.x, slice(0, 1))
                self._bends = bool(decisions(self.function, self.function.unflatten(start), one).numel())
        if not self._bends:
            mean, fine = self._smooth(start, change, difference)
            if bool(fine.all()):
                return mean
        return self._bent(start, change, difference)

    def _along(self, change: Tensor) -> Params:
        """The change and the probes as vectors ``[1 + probes, *shape]``."""
        return self.function.unflatten(torch.cat([change[None], self._probes]))

    def _smooth(
        self, start: Tensor, change: Tensor, difference: Tensor, some: Tensor | None = None
    ) -> tuple[SegmentMean, Tensor]:
        """The averages with one rule for all queries, and for which of them it is enough ``[q]``."""
        along = self._along(change)
        first = self._first_level()
        for place in range(first, len(self.levels)):
            nodes, weights = gauss_rule(self.levels[place])
            parts = [self.captured(start + u * change, w, some) for u, w in zip(nodes, weights, strict=True)]
            slopes = torch.stack([part.against(along) / w for part, w in zip(parts, weights, strict=True)], -1)
            found = slopes[0] @ torch.tensor(weights, dtype=slopes.dtype, device=slopes.device)
            error = (difference - found).abs()
            size = slopes.abs().amax((-1, -2))  # [directions, q]
            fine = ~(error > self._allowed(_mean_size(slopes[0], weights), difference)).any(-1)
            fine &= ~self._rough(slopes, size)
            if bool(fine.all()) or place + 1 == len(self.levels):
                self._learn(first, place)
                return SegmentMean(_summed(parts), error, bool(fine.all()), len(nodes), 0), fine
        raise AssertionError("there is at least one level")

    def _first_level(self) -> int:
        """Where to begin: with what the last segment took, and now and then with less."""
        if self._level and self._segments >= self._wait:
            self._segments = 0
            return self._level - 1
        return self._level

    def _learn(self, first: int, taken: int) -> None:
        self._wait = 8 if taken > first else max(1, self._wait // 2)
        self._level, self._segments = taken, self._segments + 1

    def _rough(self, slopes: Tensor, size: Tensor) -> Tensor:
        """Which functions ``[n functions]`` are not resolved along some probe.

        The average is known to be right along the change itself, where the true difference of the outputs stands
        beside it. A probe is resolved where its own estimate says so, or where its last coefficients are no larger
        than those along the change: both fall at one rate, which is that of the gradient.

        Args:
            slopes: Along the change and the probes, ``[directions, functions, C, nodes]``.
            size: What each is relative to, ``[directions, functions]``.

        Returns:
            ``[functions]``.
        """
        last, estimate = (found.amax(-1) for found in tails(slopes))
        relative = last / size.clamp_min(torch.finfo(size.dtype).tiny)
        resolved = (estimate <= self.tolerance * size) | (relative <= _ALIKE * relative[:1])
        return ~resolved.all(0)

    def _allowed(self, size: Tensor, difference: Tensor, terms: Tensor | float = 0.0) -> Tensor:
        """The error ``[q, 1]`` that is allowed to an integral over slopes whose absolute values integrate to ``[q]``.

        ``terms`` says how large the terms are that may cancel in the outputs: their rounding does not cancel.
        """
        rounding = rounding_floor(size.dtype) * (self._size_of_outputs + terms + difference.abs().amax(-1))
        return (self.tolerance * size + rounding)[:, None]

    def note_outputs(self, values: Tensor) -> None:
        """Take the size of the outputs as the measure of their rounding."""
        self._size_of_outputs = float(values.abs().max()) if values.numel() else 1.0

    def _bent(self, start: Tensor, change: Tensor, difference: Tensor) -> SegmentMean:
        """As ``_smooth`` where a query has no kink on the segment; in pieces where it has, or where that fails."""
        line = Line(self.function, start, change, self.x)
        everybody = torch.arange(self.count, device=start.device)
        kinks = line.kinks(everybody, _CELLS, _MOST_KINKS) if self._bends else [[] for _ in range(self.count)]
        shapes = self.function.shapes
        gradients = {name: start.new_zeros(self.count, self.outputs, *shape) for name, shape in shapes.items()}
        error = torch.zeros_like(difference)
        nodes, converged = 0, True
        plain = everybody[[i for i, positions in enumerate(kinks) if not positions]]
        if len(plain) and self._bends:
            mean, fine = self._smooth(start, change, difference[plain], plain)
            for name, part in mean.gradients.materialize().items():
                gradients[name][plain] = part
            error[plain], nodes = mean.error, mean.nodes
            plain = plain[~fine]
        rest = torch.cat([plain, everybody[[i for i, positions in enumerate(kinks) if positions]]])
        if len(rest):
            pieces = self._pieces(line, rest, [kinks[i] for i in rest.tolist()])
            for name, part in pieces.gradients.items():
                gradients[name][rest] = part
            error[rest] = (difference[rest] - pieces.average).abs()
            nodes, converged = max(nodes, pieces.nodes), pieces.converged
        uses = {name: ((None, Dense(part)),) for name, part in gradients.items()}
        whole = GradientFactors(difference, {n: tuple(s) for n, s in shapes.items()}, uses, self.outputs)
        return SegmentMean(whole, error, converged, nodes, sum(map(len, kinks)))

    def _pieces(self, line: Line, which: Tensor, kinks: list[list[float]]) -> _Pieces:
        """The averages of some queries, piece by piece.

        A piece lies between two kinks. It is taken with more nodes, and then halved, until what is true of a segment is
        true of it: so kinks that were not found, and narrow peaks, are closed in on.
        """
        dtype, device = line.start.dtype, line.start.device
        along = self._along(line.change)
        sizes = self.function.unflatten(line.start.abs())
        edges = [[0.0, *positions, 1.0] for positions in kinks]
        owner = torch.tensor([k for k, e in enumerate(edges) for _ in e[1:]], device=device)
        ends = torch.tensor([pair for e in edges for pair in pairwise(e)], dtype=dtype, device=device)
        gradients = {n: line.start.new_zeros(len(which), self.outputs, *s) for n, s in self.function.shapes.items()}
        average = line.start.new_zeros(len(which), self.outputs)
        size = line.start.new_zeros(1 + _PROBES, len(which))
        whole = line.start.new_zeros(len(which))  # the integral of the absolute slopes, as far as it is known
        finished = torch.zeros_like(whole)
        spent = torch.zeros(len(which), dtype=torch.long, device=device)
        converged, turn = True, 0
        while len(owner):
            nodes, shares = (torch.tensor(v, dtype=dtype, device=device) for v in gauss_rule(_TURNS[turn]))
            width = ends[:, 1] - ends[:, 0]
            at = (ends[:, :1] + width[:, None] * nodes).reshape(-1)
            jacobians = self._jacobians(line, which[owner].repeat_interleave(len(nodes)), at)
            slopes = line.start.new_zeros(1 + _PROBES, len(at), self.outputs)
            terms = line.start.new_zeros(len(at) * self.outputs)  # what a relative change of each weight by 1 would do
            for name, jacobian in jacobians.items():
                flat = jacobian.reshape(len(at) * self.outputs, -1)
                slopes += (along[name].reshape(1 + _PROBES, -1) @ flat.T).reshape(slopes.shape)
                terms += flat.abs() @ sizes[name].reshape(-1)
            slopes = slopes.reshape(1 + _PROBES, len(owner), len(nodes), self.outputs).movedim(2, 3)
            size = size.scatter_reduce(1, owner.expand(1 + _PROBES, -1), slopes.abs().amax((-1, -2)), "amax")
            found = (slopes[0] @ shares) * width[:, None]
            amount = _mean_size(slopes[0], shares) * width
            whole = torch.maximum(whole, finished.index_add(0, owner, amount))
            difference = self._values(line, which[owner], ends[:, 1]) - self._values(line, which[owner], ends[:, 0])
            # Half of what is allowed goes by the piece's own amount, half by its length.
            allowed = (amount + whole[owner] * width) / 2
            missed = (
                (difference - found).abs() > self._allowed(allowed, difference, terms.reshape(len(owner), -1).amax(-1))
            ).any(-1)
            rough = self._rough(slopes * width[:, None, None], size[:, owner])
            spent.index_add_(0, owner, torch.full_like(owner, len(nodes)))
            over = spent[owner] >= self.most_nodes
            done = ~(missed | rough) | over
            converged = converged and not bool(((missed | rough) & over).any())
            weights = (done[:, None] * width[:, None] * shares).reshape(-1)
            owners = owner.repeat_interleave(len(nodes))
            for name, jacobian in jacobians.items():
                gradients[name].index_add_(0, owners, jacobian * weights.reshape(-1, *[1] * (jacobian.ndim - 1)))
            average.index_add_(0, owner, done[:, None] * found)
            finished.index_add_(0, owner, done * amount)
            owner, ends = owner[~done], ends[~done]
            turn += 1
            if turn == len(_TURNS):
                turn -= 1
                owner = owner.repeat(2)
                middle = ends.mean(1, keepdim=True)
                ends = torch.cat([torch.cat([ends[:, :1], middle], 1), torch.cat([middle, ends[:, 1:]], 1)])
        return _Pieces(gradients, average, int(spent.max()), converged)

    def _values(self, line: Line, queries: Tensor, at: Tensor) -> Tensor:
        """Outputs ``[pairs, C]`` of queries at positions on the line."""
        with torch.no_grad(), exact_arithmetic():
            return torch.cat(line.mapped(lambda x, u: self.function(line.params(u), x)[0], queries, at))

    def _jacobians(self, line: Line, queries: Tensor, at: Tensor) -> Params:
        """Jacobians ``[pairs, C, *shape]`` of queries at positions on the line."""

        def one(x: Batch, u: Tensor) -> Params:
            return jacrev(lambda params: self.function(params, x)[0])(line.params(u))

        with exact_arithmetic():
            parts = line.mapped(one, queries, at)
        return {name: torch.cat([part[name] for part in parts]) for name in self.function.shapes}


@dataclass(frozen=True)
class _Pieces:
    gradients: Params
    average: Tensor
    nodes: int
    converged: bool


def _mean_size(slopes: Tensor, weights: Tensor | Sequence[float]) -> Tensor:
    """The mean of the absolute values ``[..., C, nodes]`` by a rule's weights, the largest over the outputs ``[...]``.

    An error is held against this and not against the largest slope: a narrow peak is high, and integrates to little.
    """
    shares = torch.as_tensor(weights, dtype=slopes.dtype, device=slopes.device)
    return (slopes.abs() @ shares).amax(-1)


def _summed(parts: Sequence[GradientFactors]) -> GradientFactors:
    """The sum of gradients of the same examples at several weights; factors of one kind are put side by side."""
    first = parts[0]
    uses = {name: merged([use for part in parts for use in part.uses[name]]) for name in first.shapes}
    return replace(first, uses=uses)


def restricted(gradients: GradientFactors, names: Sequence[str]) -> GradientFactors:
    """The same gradients in some of the parameters only."""
    return replace(
        gradients,
        shapes={name: gradients.shapes[name] for name in names},
        uses={name: gradients.uses[name] for name in names},
    )


def captured_examples(
    found: Study, function: ModelFunction, weights: Tensor, x: Batch, seeds: Callable[[Tensor], Tensor]
) -> GradientFactors:
    """The gradients of training examples at flat weights, seeded by a function of their outputs."""
    return capture(found, x, seeds, weights=function.state | function.unflatten(weights))
