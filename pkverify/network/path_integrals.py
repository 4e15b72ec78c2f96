"""Contributions and path kernels of a gradient flow, by Gauss nodes inside its steps.

A step is cut where the gradient of a query jumps (a ReLU changes its side), for that query, and where that of a
training example does, for all. On every piece two Gauss-Legendre rules of different size are compared; where they
differ by more than the tolerance allows, the piece is done again with more nodes. The integrals are never part of the
state: a Gram matrix would then be needed at every stage, and its error would steer the steps. Nothing is adjusted
afterwards: the residual of the identity is what is left over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.flow_kinks import FlowKinks
from pkverify.network.gauss import gauss_rule
from pkverify.network.numerics import exact_arithmetic
from pkverify.network.tangents import Output, Rates, rates, states_per_pass

if TYPE_CHECKING:
    from pkverify.network.flow import Trajectory

_FIRST_NODES = {5: 3, 8: 4}
_MORE = 2
MOST_NODES = 12


@dataclass(frozen=True)
class PathIntegrals:
    """The path integrals of a flow for ``q`` queries, ``m`` examples and ``C`` outputs.

    Attributes:
        initial_output: ``y_0(x)``, ``[q, C]``.
        final_output: ``y_T(x)`` from the final weights, ``[q, C]``.
        contributions: ``-integral L'_i K_t(x, x_i) dt``, ``[q, m, C]``.
        regularizer_term: ``-integral grad f(x) . grad R dt``, ``[q, C]``; zeros without a regulariser.
        path_kernel: ``integral K_t(x, x_i) dt``, ``[q, m, C, C]``, or None where it was not asked for.
        self_kernel: ``integral |grad f(x)|^2 dt`` for each output, ``[q, C]``.
        quadrature_error: Estimate of the largest error that the rules leave, relative to ``max(1, |value|)``.
        step_nodes: For each step the nodes of its finest rule, on one piece of it.
        nodes: Evaluations of the integrands.
        unconverged: Steps on which the rules still differed with the most nodes.
    """

    initial_output: Tensor
    final_output: Tensor
    contributions: Tensor
    regularizer_term: Tensor
    path_kernel: Tensor | None
    self_kernel: Tensor
    quadrature_error: float
    step_nodes: tuple[int, ...]
    nodes: int
    unconverged: tuple[int, ...] = ()

    @property
    def most_nodes(self) -> int:
        """The nodes of the finest rule that was used."""
        return max(self.step_nodes)

    @property
    def residual(self) -> Tensor:
        """``final_output - (initial_output + regularizer_term + sum of contributions)``, ``[q, C]``, as it came out."""
        return self.final_output - (self.initial_output + self.regularizer_term + self.contributions.sum(1))


def path_integrals(
    trajectory: Trajectory,
    x_query: Tensor,
    *,
    output: Output | None = None,
    path_kernel: bool = True,
    tolerance: float | None = None,
    nodes: int | None = None,
) -> PathIntegrals:
    """Integrate contributions and path kernels along a flow.

    Args:
        trajectory: The flow.
        x_query: The query inputs ``[q, ...]``.
        output: What is decomposed, from the model's outputs ``[n, C]`` to others, row by row, such as
            ``torch.log_softmax(z, 1)``; the outputs themselves when left out.
        path_kernel: Whether the path kernel of every pair is kept, too: ``C`` times as many numbers as contributions.
        tolerance: Of the quadrature, relative to ``max(1, |value|)``; that of the flow's steps when left out.
        nodes: Gauss nodes a step, of the coarser rule; chosen by the order of the flow when left out.

    Returns:
        The integrals.

    Raises:
        InputError: For arguments out of range.

    Example:
        >>> from torch import nn
        >>> from pkverify.network.flow import gradient_flow
        >>> line = nn.Linear(1, 1, bias=False).double()
        >>> _ = nn.init.zeros_(line.weight)
        >>> one = torch.ones(1, 1, dtype=torch.float64)
        >>> flow = gradient_flow(line, lambda o, t: ((o - t) ** 2).sum() / 2, one, 2 * one, horizon=3.0)
        >>> found = path_integrals(flow, 4 * one)  # K(x, x') = x x' T
        >>> round(found.path_kernel.item(), 9), abs(found.residual.item()) < 1e-9
        (12.0, True)
    """
    first = _FIRST_NODES[trajectory.order] if nodes is None else nodes
    if not 1 <= first <= MOST_NODES - _MORE:
        raise InputError(f"nodes {nodes}", f"a step takes 1 to {MOST_NODES - _MORE} nodes", "choose one of these")
    aim = max(trajectory.rtol, 1e-14) if tolerance is None else tolerance
    if not aim > 0:
        raise InputError(f"tolerance {tolerance}", "the rules never agree exactly", "give a positive number")
    objective = trajectory.objective
    queries = objective.placed(x_query, objective.dtype, objective.device)
    run = _Quadrature(trajectory, queries, output, path_kernel)
    with torch.no_grad():
        ends = [objective.outputs(state, queries) for state in (trajectory.initial, trajectory.final)]
        ends = [(end if output is None else output(end)).double() for end in ends]
    waiting, coarse, count = run.pieces(), first, 0
    lower = run.integrate(waiting, coarse)
    total, error, unconverged = _Sums(len(queries)), 0.0, set[int]()
    finest = [coarse] * trajectory.step_count
    count += coarse * len(waiting)
    while waiting:
        coarse += _MORE
        upper = run.integrate(waiting, coarse)
        count += coarse * len(waiting)
        again: list[int] = []
        for place, piece in enumerate(waiting):
            # A piece's share of the tolerance: by its length or, where there are many short ones, by their number.
            share = max(run.length(piece) / trajectory.horizon, 1 / trajectory.step_count)
            gap, size = upper[place].distance(lower[place])
            too_far = gap > max(aim * max(share, size), 50 * torch.finfo(objective.dtype).eps * size)
            if too_far and coarse + _MORE <= MOST_NODES:
                again.append(place)
                continue
            if too_far:
                unconverged.add(piece.step)
            total.add(upper[place], piece.queries)
            error += gap
            finest[piece.step] = max(finest[piece.step], coarse)
        waiting, lower = [waiting[place] for place in again], [upper[place] for place in again]
    done = total.values
    largest = max(1.0, float(done.contributions.abs().max()), float(done.kernel_size()))
    return PathIntegrals(
        initial_output=ends[0],
        final_output=ends[1],
        contributions=done.contributions,
        regularizer_term=done.regularizer_term,
        path_kernel=done.path_kernel,
        self_kernel=done.self_kernel,
        quadrature_error=error / largest,
        step_nodes=tuple(finest),
        nodes=count,
        unconverged=tuple(sorted(unconverged)),
    )


@dataclass(frozen=True)
class _Part:
    """The integrals over one step, in float64."""

    contributions: Tensor
    regularizer_term: Tensor
    self_kernel: Tensor
    path_kernel: Tensor | None

    def distance(self, other: _Part) -> tuple[float, float]:
        """The largest difference between two rules, and the largest number."""
        mine, theirs = self.tensors(), other.tensors()
        gap = max(float((a - b).abs().max()) for a, b in zip(mine, theirs, strict=True))
        return gap, max(float(a.abs().max()) for a in mine)

    def tensors(self) -> list[Tensor]:
        found = (getattr(self, f.name) for f in fields(self))
        return [value for value in found if isinstance(value, Tensor)]

    def kernel_size(self) -> Tensor:
        """The largest entry of the path kernels."""
        return (self.self_kernel if self.path_kernel is None else self.path_kernel).abs().max()


class _Sums:
    """Parts added up, each to the rows of its queries."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._values: _Part | None = None

    @property
    def values(self) -> _Part:
        assert self._values is not None
        return self._values

    def add(self, part: _Part, queries: Tensor | None) -> None:
        if self._values is None:
            shaped = [
                None if t is None else t.new_zeros(self._count, *t.shape[1:])
                for t in (part.contributions, part.regularizer_term, part.self_kernel, part.path_kernel)
            ]
            self._values = _Part(*shaped)  # pyright: ignore[reportArgumentType] - only the kernel may be None
        for mine, more in zip(self._values.tensors(), part.tensors(), strict=True):
            if queries is None:
                mine.add_(more)
            else:
                mine.index_add_(0, queries, more)


@dataclass(frozen=True)
class _Piece:
    """A part of a step, between 0 and 1, for some queries ``[n]`` or, with None, for all."""

    step: int
    start: float = 0.0
    end: float = 1.0
    queries: Tensor | None = None


class _Quadrature:
    """Gauss rules over the steps of one flow."""

    def __init__(self, trajectory: Trajectory, x: Tensor, output: Output | None, path_kernel: bool) -> None:  # noqa: FBT001
        self.trajectory, self.x, self.output, self.path_kernel = trajectory, x, output, path_kernel
        objective = trajectory.objective
        width = objective.outputs(trajectory.initial).shape[1]
        self.room = min(64, states_per_pass(objective, len(x) * width))

    def pieces(self) -> list[_Piece]:
        """All steps, cut at their kinks: one list for the queries without any, and one for each of the others."""
        steps = range(self.trajectory.step_count)
        kinks = FlowKinks(self.trajectory, self.x, self.output)
        if not kinks.bends:
            return [_Piece(step) for step in steps]
        found: list[_Piece] = []
        for step in steps:
            own, shared = kinks.of(step)
            plain = [query for query, positions in enumerate(own) if not positions]
            groups = [(plain, shared)] if plain else []
            groups += [([query], sorted({*shared, *positions})) for query, positions in enumerate(own) if positions]
            for queries, cuts in groups:
                who = None if len(queries) == len(own) else torch.tensor(queries, device=self.x.device)
                found += [_Piece(step, a, b, who) for a, b in pairwise([0.0, *cuts, 1.0])]
        return found

    def length(self, piece: _Piece) -> float:
        """How long a piece is, in the time of the flow."""
        times = self.trajectory.times
        return (times[piece.step + 1] - times[piece.step]) * (piece.end - piece.start)

    def integrate(self, pieces: Sequence[_Piece], count: int) -> list[_Part]:
        """The integrals over each of the pieces with so many nodes."""
        nodes, weights = gauss_rule(count)
        found: list[_Part] = []
        batch = max(1, self.room // count)
        start = 0
        while start < len(pieces):
            queries, stop = pieces[start].queries, start + 1
            while stop < min(start + batch, len(pieces)) and pieces[stop].queries is queries:
                stop += 1
            chosen = pieces[start:stop]
            states = torch.cat([
                self.trajectory.inside(p.step, [p.start + (p.end - p.start) * u for u in nodes]) for p in chosen
            ])  # fmt: skip
            with exact_arithmetic():
                rows = self._rates(states, self.x if queries is None else self.x[queries])
            for number, piece in enumerate(chosen):
                factors = self.length(piece) * torch.tensor(weights, dtype=torch.float64, device=states.device)
                found.append(_weighted(rows, slice(number * count, (number + 1) * count), factors))
            start = stop
        return found

    def _rates(self, states: Tensor, x: Tensor) -> list[Rates]:
        objective = self.trajectory.objective
        return [
            rates(objective, group, x, output=self.output, kernel=self.path_kernel) for group in states.split(self.room)
        ]


def _weighted(pieces: Sequence[Rates], at: slice, factors: Tensor) -> _Part:
    """Sums over the nodes of one step; accumulated in float64 whatever the model's dtype."""

    def total(name: str) -> Tensor:
        values = torch.cat([getattr(piece, name) for piece in pieces]) if len(pieces) > 1 else getattr(pieces[0], name)
        return torch.tensordot(factors, values[at].double(), dims=1)

    kernel = None if pieces[0].path_kernel is None else total("path_kernel")
    return _Part(total("contributions"), total("regularizer_term"), total("self_kernel"), kernel)
