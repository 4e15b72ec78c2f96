"""A flow in doubles, ready for many queries at once: what a search for counterexamples looks at first."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, product

import numpy as np

from pkverify.arithmetic.quadrature import gauss_legendre
from pkverify.checks.arrays import Array, ArrayAlgebra
from pkverify.checks.paper.algebras import DualAlgebra
from pkverify.precise.route import solve_precise
from pkverify.problem import Problem, Vector

CLEAR = 1e-3  # by so much a weight must leave the range of -L'_i, or fall behind another one
_GRID = 960  # steps of the grid
_REACH = 5  # the grid reaches so many times the spread of the known inputs beyond them
_LINES = 24
_NODES = 8  # Gauss nodes a step of the flow
_PILOT = 15


def lines(problem: Problem) -> list[tuple[Vector, Vector]]:
    """Where queries are looked for: (origin, direction) pairs.

    The input itself for models of one input; else lines through pairs of training inputs and queries, then those
    along each input.
    """
    known = list(dict.fromkeys((*problem.data.inputs, *problem.query_inputs)))
    width = problem.model.input_count
    if width == 1:
        low, high = min(known)[0], max(known)[0]
        return [((low,), (max(high - low, Fraction(1)),))]
    through = [(p, tuple(b - a for a, b in zip(p, q, strict=True))) for p, q in combinations(known, 2)]
    units = [tuple(Fraction(int(j == k)) for j in range(width)) for k in range(width)]
    along = [(p, unit) for p, unit in product(known, units)]
    return [*through[: _LINES - min(len(along), _LINES // 2)], *along][:_LINES]


class Scan:
    """The path in doubles: nodes and weights of a quadrature in time, gradients and loss derivatives at them."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.solution = solve_precise(problem, _PILOT, problem.data.inputs)
        path, exact = self.solution.path, self.solution.path.numbers.fraction
        times: list[Fraction] = []
        weights: list[float] = []
        for segment in path.segments:
            for node, weight in gauss_legendre(_NODES, 17):
                times.append(segment.start + node * segment.length)
                weights.append(float(weight * segment.length))
        ends = [Fraction(0), problem.horizon]
        states = [[float(exact(v)) for v in path.params_at(t)] for t in (*times, *ends)]
        self.params = [np.array(column) for column in zip(*states, strict=True)]  # the ends come last
        self.weights = np.array([*weights, 0.0, 0.0])
        rows = [self._example(i) for i in range(len(problem.data))]
        self.gradients = [gradient for gradient, _ in rows]
        self.slopes = [slope for _, slope in rows]  # L'_i

    def tangent_kernels(self, queries: Array) -> list[Array]:
        """For each example, K_t at the nodes for each query: [query, time]."""
        width = self.problem.model.input_count
        slopes = self._gradient([queries[:, k : k + 1] for k in range(width)], [p[None, :] for p in self.params])
        shape = (len(queries), len(self.weights))
        return [
            np.broadcast_to(sum(a * b[None, :] for a, b in zip(slopes, each, strict=True)), shape)
            for each in self.gradients
        ]

    def grid(self, line: tuple[Vector, Vector]) -> tuple[list[Vector], Array]:
        """The queries on a line, exactly and in doubles."""
        origin, direction = line
        places = [Fraction(k * (2 * _REACH + 1), _GRID) - _REACH for k in range(_GRID + 1)]
        queries = [tuple(o + s * d for o, d in zip(origin, direction, strict=True)) for s in places]
        return queries, np.array([[float(v) for v in query] for query in queries])

    def _example(self, i: int) -> tuple[list[Array], Array]:
        """Gradient of the output and derivative of the loss at one example, along the path."""
        problem, algebra = self.problem, ArrayAlgebra()
        inputs = [np.float64(float(v)) for v in problem.data.inputs[i]]
        gradient = [np.broadcast_to(g, self.weights.shape) for g in self._gradient(inputs, self.params)]
        output = problem.model.build(algebra, self.params, inputs)[0]
        duals = DualAlgebra(algebra, 1)
        targets = [duals.constant(np.float64(float(v))) for v in problem.data.targets[i]]
        loss = problem.loss.build(duals, [duals.param(output, 0)], targets)
        slope = loss.slopes[0] * float(problem.example_scale)
        return gradient, np.broadcast_to(slope, self.weights.shape)

    def _gradient(self, inputs: Sequence[Array], params: Sequence[Array]) -> Sequence[Array]:
        duals = DualAlgebra(ArrayAlgebra(), len(params))
        built = self.problem.model.build(
            duals, [duals.param(p, j) for j, p in enumerate(params)], [duals.constant(v) for v in inputs]
        )
        return built[0].slopes


def weights_of(scan: Scan, tangent: Array, i: int) -> tuple[Array, Array]:
    """Path kernel and weight of an example at each query."""
    kernel = tangent @ scan.weights
    return kernel, -(tangent @ (scan.weights * scan.slopes[i])) / kernel


def range_of(scan: Scan, i: int) -> tuple[float, float, float]:
    """The range of -L'_i at the nodes, and by how much a number must leave it to be outside for sure."""
    values = -scan.slopes[i]
    low, high = float(values.min()), float(values.max())
    jumps = float(np.abs(np.diff(values[:-2])).max(initial=0.0))
    return low, high, jumps + CLEAR * max(abs(low), abs(high))


def absolute_range(scan: Scan, i: int) -> str:
    """The range of |L'_i| at the nodes, as text."""
    values = np.abs(scan.slopes[i])
    return f"[{values.min():.8g}, {values.max():.8g}]"


def typical_size(values: Array) -> float:
    """The median of the absolute values: what a kernel is like on this line, its far ends left aside."""
    finite = np.abs(values[np.isfinite(values)])
    return float(np.median(finite)) if finite.size else np.inf
