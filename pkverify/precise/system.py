"""The augmented system of a problem over a number type: the flow, and every path integral beside it.

A *row* is the graph seen by one example, one query, or the regulariser. Gradients are kept factored, as a constant
times a varying base: the 15 entries of a layer's gradient may share three bases, and the integral of a product of two
gradients is then a sum over pairs of bases. For each pair the integral over a step is bilinear in the two coefficient
lists, so the sum over one side (``moments``) is shared by all queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from pkverify.arithmetic.ball import Ball, agree, dyadic, working_precision
from pkverify.arithmetic.fixed_point import FixedPoint
from pkverify.arithmetic.rationals import IrrationalError, Rationals
from pkverify.arithmetic.real_balls import RealBalls
from pkverify.graph import ProblemGraph
from pkverify.jets import Expansion, KinkError
from pkverify.problem import Problem, Vector

Factor = tuple[int, int | None]  # (constant coefficient, varying base or None), as values and nodes of one row
_BALL_BITS = 100  # so many more for the balls that look at rounding
Branches = Mapping[int, Mapping[int, int]]  # row -> kink argument -> side


@dataclass(frozen=True)
class Row:
    """One expansion and the factored gradients read from it.

    Attributes:
        expansion: The graph for this row.
        jacobian: C lists of d factors; empty for the regulariser.
        gradient: d factors of the loss (or penalty) gradient; empty for a query.
        factors: The nodes of all of these and of the outputs: (constant coefficient, varying base or None).
    """

    expansion: Expansion
    jacobian: tuple[tuple[Factor, ...], ...]
    gradient: tuple[Factor, ...]
    factors: frozenset[tuple[int, int | None]]


# One path integral: the bases of two rows, as (row, node); None stands for the constant 1.
Slot = tuple[int, int | None]
Pair = tuple[Slot, Slot]


@dataclass(frozen=True)
class _Balls:
    """The rows once more, over balls, and the parameters that they share."""

    params: list[list[Ball]]
    expansions: list[Expansion]


class AugmentedSystem:
    """Flow and path integrals of a problem, ready to be expanded step by step.

    Args:
        problem: The problem.
        compiled: Its graph.
        numbers: The number type.
        queries: The query inputs; a query that is a training input shares that example's row.

    Attributes:
        params: One coefficient list a parameter.
        rows: Examples first (m of them), then the regulariser where there is one, then the remaining queries.
        row_inputs: For each row, its inputs.
        query_rows: For each query, its row.
        pairs: The pairs of bases whose products are integrated.
    """

    def __init__(
        self, problem: Problem, compiled: ProblemGraph, numbers: FixedPoint, queries: Sequence[Vector]
    ) -> None:
        self.problem = problem
        self.compiled = compiled
        self.numbers = numbers
        self.params: list[list[int]] = [[] for _ in compiled.params]
        self.rows: list[Row] = []
        self.row_inputs: list[Vector] = []
        self._leaves: list[Mapping[tuple[str, int], Fraction]] = []
        self._balls: _Balls | None = None
        for inputs, targets in zip(problem.data.inputs, problem.data.targets, strict=True):
            wanted = [*compiled.outputs, *compiled.loss_derivatives]
            self.rows.append(self._row(inputs, targets, compiled.jacobian, compiled.gradient, wanted))
        self.example_count = len(self.rows)
        self.penalty_row = self.example_count if compiled.penalty is not None else None
        if compiled.penalty is not None:
            self.rows.append(self._row((), (), (), compiled.penalty_gradient, []))
        place = {inputs: number for number, inputs in reversed(list(enumerate(problem.data.inputs)))}
        self.query_rows: list[int] = []
        for query in queries:
            if query not in place:
                place[query] = len(self.rows)
                self.rows.append(self._row(query, (), compiled.jacobian, (), compiled.outputs))
            self.query_rows.append(place[query])
        self._flow = [self._flow_component(j) for j in range(len(self.params))]
        self.pairs = self._needed_pairs()
        self._sources = sorted({right for _, right in self.pairs}, key=_slot_order)

    def expand(self, state: Sequence[int], step: Fraction, order: int, branches: Branches) -> None:
        """Expand everything at a state, in the time variable tau with t = t_0 + step * tau.

        Parameters get coefficients 0 ... order, everything else 0 ... order - 1. The denominator of the step is a
        power of two, so that the product with it is exact before it is rounded.

        Raises:
            DomainError, KinkError: If the graph cannot be evaluated here.
        """
        mantissa, shift = step.numerator, step.denominator.bit_length() - 1
        for series, value in zip(self.params, state, strict=True):
            series.clear()
            series.append(value)
        for number, row in enumerate(self.rows):
            row.expansion.start(branches.get(number))
        for k in range(order):
            for series, (constant, term) in zip(self.params, self._flow, strict=True):
                rate = term(k) + constant if k == 0 else term(k)
                series.append(-((rate * mantissa) >> shift) // (k + 1))
            if k + 1 < order:
                for row in self.rows:
                    row.expansion.advance(k + 1)

    def bases(self) -> list[list[int]]:
        """The coefficient lists whose products are integrated."""
        slots = {slot for pair in self.pairs for slot in pair if slot[1] is not None}
        return [self._series(slot) for slot in sorted(slots, key=_slot_order)]

    def integrals(self, weights: Sequence[int], step: Fraction) -> dict[Pair, int]:
        """For each pair of bases, the integral of their product over the step.

        Args:
            weights: ``r**(k+1) / (k+1)`` for k = 0 ... 2 (order - 1), where r is the part of the step that is taken.
            step: The step; it is multiplied in at the end, where it cannot underflow.
        """
        numbers, order = self.numbers, (len(weights) + 1) // 2
        mantissa, shift = step.numerator, step.denominator.bit_length() - 1
        # A parameter may be a base itself, and its series is one order longer than the others.
        moments = {
            slot: numbers.moments(self._series(slot)[:order], weights) if slot[1] is not None else list(weights[:order])
            for slot in self._sources
        }
        result: dict[Pair, int] = {}
        for left, right in self.pairs:
            moment = moments[right]
            value = moment[0] if left[1] is None else numbers.dot(self._series(left), moment)
            result[left, right] = (value * mantissa) >> shift
        return result

    def inner_product(
        self, left: Sequence[Factor], left_row: int, right: Sequence[Factor], right_row: int
    ) -> dict[Pair, int]:
        """The inner product of two factored gradients as a combination of pairs of bases: pair -> coefficient."""
        result: dict[Pair, int] = {}
        for (a, base_a), (b, base_b) in zip(left, right, strict=True):
            if a != 0 and b != 0:
                pair = (left_row, base_a), (right_row, base_b)
                result[pair] = result.get(pair, self.numbers.zero) + self.numbers.multiply(a, b)
        return result

    def evaluate_objective(self) -> None:
        """Evaluate every loss, and the penalty, where the parameters are.

        Raises:
            DomainError: If one is undefined there.
        """
        params = [series[:1] for series in self.params]
        nodes = [self.compiled.loss] * self.example_count
        nodes += [] if self.compiled.penalty is None else [self.compiled.penalty]
        for node, leaves in zip(nodes, self._leaves, strict=False):
            with suppress(KinkError):  # the flow itself tells what becomes of kinks
                Expansion(self.compiled.graph, [node], self.numbers, leaves, params).start()

    def is_accurate(self, state: Sequence[int], tolerance: float) -> bool:
        """Whether outputs and gradients are right at a state where the rows were just expanded.

        Only the error of evaluating them there counts: balls, whose precision is relative, evaluate them again. What
        underflows to 0 in units may stand in the denominator of another number, and nothing else would show it.

        Args:
            state: The parameters.
            tolerance: Binary logarithm of the error allowed, relative to max(1, |value|).

        Raises:
            BallDomainError: If balls cannot tell a value from a pole, or from an edge of its function's domain.
        """
        bits = self.numbers.bits
        with working_precision(bits + _BALL_BITS):
            again = self._balls or self._expand_in_balls()
            self._balls = again
            for series, value in zip(again.params, state, strict=True):
                series[:] = [dyadic(value, -bits)]
            allowed = dyadic(1, ceil(tolerance))
            for row, expansion in zip(self.rows, again.expansions, strict=True):
                expansion.start(row.expansion.branches)
                for constant, base in row.factors:
                    found, value = row.expansion.constants[constant], expansion.constants[constant]
                    if base is not None:
                        found = self.numbers.multiply(found, row.expansion.series[base][0])
                        value = value * expansion.series[base][0]
                    if not agree(value, dyadic(found, -bits), allowed):
                        return False
        return True

    def _expand_in_balls(self) -> _Balls:
        """The rows over balls."""
        balls, params = RealBalls(), [list[Ball]() for _ in self.params]
        wanted = [{node for pair in row.factors for node in pair if node is not None} for row in self.rows]
        return _Balls(params, [
            Expansion(self.compiled.graph, sorted(nodes), balls, leaves, params)
            for nodes, leaves in zip(wanted, self._leaves, strict=True)
        ])  # fmt: skip

    def vanishes_at_start(self, row: int, node: int) -> bool:
        """Whether a node of a row is exactly 0 at the initial parameters, as far as rational arithmetic can tell."""
        params = [[value] for value in self.problem.initial]
        try:
            expansion = Expansion(self.compiled.graph, [node], Rationals(), self._leaves[row], params)
            expansion.start()
        except (IrrationalError, ZeroDivisionError, KinkError):
            return False
        return expansion.series[node][0] == 0

    def _row(
        self,
        inputs: Vector,
        targets: Vector,
        jacobian: Iterable[Sequence[int]],
        gradient: Sequence[int],
        wanted: Sequence[int],
    ) -> Row:
        self.row_inputs.append(inputs)
        graph = self.compiled.graph
        leaves = {("input", k): v for k, v in enumerate(inputs)} | {("target", k): v for k, v in enumerate(targets)}
        self._leaves.append(leaves)
        factors = [[graph.factor(node) for node in row] for row in (*jacobian, gradient)]
        judged = {pair for row in factors for pair in row} | {graph.factor(node) for node in wanted}
        used = {node for pair in judged for node in pair if node is not None} | set(wanted)
        expansion = Expansion(graph, sorted(used), self.numbers, leaves, self.params)
        values = [tuple((expansion.constants[c], base) for c, base in row) for row in factors]
        return Row(expansion, tuple(values[:-1]), values[-1], frozenset(judged))

    def _flow_component(self, j: int):
        """The j-th component of the total gradient: its constant part, and its coefficient of order k."""
        coefficients: list[int] = []
        series: list[list[int]] = []
        constant = self.numbers.zero
        for row in self.rows:
            if not row.gradient:
                continue
            coefficient, base = row.gradient[j]
            if base is None:
                constant += coefficient
            else:
                coefficients.append(coefficient)
                series.append(row.expansion.series[base])
        zero = self.numbers.zero
        return constant, self.numbers.combination(coefficients, series) if series else lambda _: zero

    def _needed_pairs(self) -> list[Pair]:
        needed: dict[Pair, None] = {}
        for query in sorted(set(self.query_rows)):
            for left in self.rows[query].jacobian:
                for number, row in enumerate(self.rows[: self.example_count + (self.penalty_row is not None)]):
                    for right in (*row.jacobian, row.gradient):
                        needed.update(dict.fromkeys(self.inner_product(left, query, right, number)))
        return list(needed)

    def _series(self, slot: Slot) -> list[int]:
        row, node = slot
        assert node is not None
        return self.rows[row].expansion.series[node]


def _slot_order(slot: Slot) -> tuple[int, int]:
    return slot[0], -1 if slot[1] is None else slot[1]
