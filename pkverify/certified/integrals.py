"""Enclosures of all path integrals, step by step: inner products of Jacobians and gradients of pairs of rows.

Each step is integrated by Gauss's rule. All rows are evaluated at its nodes once, and all pairs are one product of
matrices: a further query costs its own values at the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, log2

from pkverify.arithmetic.ball import Ball, real, working_precision
from pkverify.arithmetic.ball_functions import gauss_rule
from pkverify.arithmetic.ball_series import (
    Matrix,
    around,
    inner_products,
    magnitude_bits,
    norm_bound,
    polynomial_values,
    upper_bound,
    zero_matrix,
)
from pkverify.certified import bounds
from pkverify.certified.follow import StepValues, log2_of
from pkverify.certified.step import Step
from pkverify.certified.system import BallSystem, RowValues

Column = tuple[int, int | None]  # a row and one of its outputs, or None for its gradient

_EXTRA_BITS = 16  # of the working precision, beyond the coefficients of p
_UNUSED_BITS = 20  # of those coefficients, that no integral need be exact to
_SHARE_BITS = 4  # binary digits by which the rule's error is below what comes from the distance to the path


class PathIntegrals:
    """Sums, over the steps of a trajectory, the integrals of ``J_query . column``.

    Columns are, for each example, its Jacobian's C lines and its gradient, and the gradient of the penalty.
    """

    def __init__(self, system: BallSystem) -> None:
        self._system = system
        self._lefts: list[Column] = [
            (row, c) for row in dict.fromkeys([*system.query_rows, *system.box_rows]) for c in range(system.outputs)
        ]
        self._rights: list[Column] = [(i, o) for i in range(system.examples) for o in [*range(system.outputs), None]]
        if system.penalty_row is not None:
            self._rights.append((system.penalty_row, None))
        self._sums = zero_matrix(len(self._lefts), len(self._rights))
        self._errors = zero_matrix(len(self._lefts), len(self._rights))
        self._places = {column: k for k, column in enumerate(self._rights)}
        self._rows = {column: k for k, column in enumerate(self._lefts)}

    def add(self, step: Step, values: StepValues) -> None:
        """Add the integrals over one step.

        Raises:
            BallDomainError: Where a row is not finite.
        """
        with working_precision(step.bits + _EXTRA_BITS):
            length, sup = real(step.length), real(step.error_sup)
            on_disc = [_sizes(values.limits, side) for side in (self._lefts, self._rights)]
            nearby = [_sizes(values.near, side) for side in (self._lefts, self._rights)]
            moved = bounds.lipschitz_part(sup, real(step.margin) - sup)
            count = node_count(step.disc, min(_bits_for_units(step, on_disc), _bits_for(moved, on_disc, nearby)))
            cut, moved = length * bounds.quadrature_tail(step.disc, count), length * moved
            self._sums += self._gauss_sums(step, values.polynomials, count)
            self._errors += inner_products(
                [[cut * m, moved * n] for m, n in zip(on_disc[0], nearby[0], strict=True)],
                [[m, n] for m, n in zip(on_disc[1], nearby[1], strict=True)],
            )

    def integral(self, query_row: int, output: int, row: int, other: int | None) -> Ball:
        """The integral for a query's output, and an example's output or (None) its gradient, or the penalty's."""
        place = self._rows[query_row, output], self._places[row, other]
        return around(self._sums[place], self._errors[place])

    def _gauss_sums(self, step: Step, polynomials: Sequence[Sequence[Ball]], count: int) -> Matrix:
        """Gauss's sum over the step for each pair: node after node, vectors are put end to end."""
        rule = gauss_rule(count, step.bits + _EXTRA_BITS)
        lefts: list[list[Ball]] = [[] for _ in self._lefts]
        rights: list[list[Ball]] = [[] for _ in self._rights]
        points = polynomial_values(polynomials, [node for node, _ in rule])
        for point, (_, weight) in zip(points, rule, strict=True):
            rows, share = self._system.evaluate(point), weight * real(step.length)
            for values, column in zip(lefts, self._lefts, strict=True):
                values.extend(share * value for value in _vector(rows, column))
            for values, column in zip(rights, self._rights, strict=True):
                values.extend(_vector(rows, column))
        return inner_products(lefts, rights)


def node_count(disc: Fraction, bits: float) -> int:
    """How many nodes make Gauss's error about ``2**-bits``, for a function bounded by 1 on the disc."""
    half_axis = 2 * float(disc) - 1
    ratio = half_axis + (half_axis * half_axis - 1) ** 0.5
    return max(ceil((bits + 1 - log2(1 - ratio**-2)) / (2 * log2(ratio))), 1)


def _vector(rows: Sequence[RowValues], column: Column) -> list[Ball]:
    row, output = column
    return rows[row].gradient if output is None else rows[row].jacobian[output]


def _bits_for_units(step: Step, on_disc: Sequence[Sequence[Ball]]) -> float:
    """Binary digits of the rule for which its error is far below the digits that the step was made for."""
    size = sum(max(map(magnitude_bits, side), default=0) for side in on_disc)
    return step.bits - _UNUSED_BITS + size + log2_of(step.length)


def _bits_for(moved: Ball, on_disc: Sequence[Sequence[Ball]], nearby: Sequence[Sequence[Ball]]) -> float:
    """Binary digits of the rule for which its error is, for every pair, small beside what else is not known."""
    grown = sum(
        max((magnitude_bits(m) - magnitude_bits(n) + 1 for m, n in zip(*side, strict=True)), default=0)
        for side in zip(on_disc, nearby, strict=True)
    )
    return grown + _SHARE_BITS - magnitude_bits(upper_bound(moved))


def _sizes(rows: Sequence[RowValues], columns: Sequence[Column]) -> list[Ball]:
    return [norm_bound(_vector(rows, column)) for column in columns]
