"""Enclosures of all path integrals, step by step: inner products of Jacobians and gradients of pairs of rows."""

from __future__ import annotations

from pkverify.arithmetic.ball import Ball, real
from pkverify.arithmetic.ball_series import around, integrals_of_products, norm_bound, series_precision
from pkverify.certified import bounds
from pkverify.certified.follow import StepValues
from pkverify.certified.step import Step
from pkverify.certified.system import BallSystem, RowValues

Column = tuple[int, int | None]  # a row and one of its outputs, or None for its gradient


class PathIntegrals:
    """Sums, over the steps of a trajectory, the integrals of ``J_query . column``.

    Columns are, for each example, its Jacobian's C lines and its gradient, and the gradient of the penalty.
    """

    def __init__(self, system: BallSystem) -> None:
        self._lefts: list[Column] = [
            (row, c) for row in dict.fromkeys([*system.query_rows, *system.box_rows]) for c in range(system.outputs)
        ]
        self._rights: list[Column] = [(i, o) for i in range(system.examples) for o in [*range(system.outputs), None]]
        if system.penalty_row is not None:
            self._rights.append((system.penalty_row, None))
        self._totals = [[real(0)] * len(self._rights) for _ in self._lefts]
        self._places = {column: k for k, column in enumerate(self._rights)}
        self._rows = {column: k for k, column in enumerate(self._lefts)}

    def add(self, step: Step, values: StepValues) -> None:
        """Add the integrals over one step."""
        length, sup = real(step.length), real(step.error_sup)
        lefts = [_vector(values.series, column) for column in self._lefts]
        rights = [_vector(values.series, column) for column in self._rights]
        cut = length * bounds.series_part(values.tail)
        moved = length * bounds.lipschitz_part(sup, real(step.margin) - sup)
        errors = [_Bounds(values.limits, self._lefts, self._rights), _Bounds(values.near, self._lefts, self._rights)]
        with series_precision(step.bits + 16, step.order + 1):
            integrals = integrals_of_products(lefts, rights)
            for a, line in enumerate(integrals):
                total = self._totals[a]
                for b, value in enumerate(line):
                    error = cut * errors[0].product(a, b) + moved * errors[1].product(a, b)
                    total[b] += around(length * value, error)

    def integral(self, query_row: int, output: int, row: int, other: int | None) -> Ball:
        """The integral for a query's output, and an example's output or (None) its gradient, or the penalty's."""
        return self._totals[self._rows[query_row, output]][self._places[row, other]]


def _vector(rows: list[RowValues], column: Column) -> list[Ball]:
    row, output = column
    return rows[row].gradient if output is None else rows[row].jacobian[output]


class _Bounds:
    """Bounds of the lengths of all columns on one complex box."""

    def __init__(self, rows: list[RowValues], lefts: list[Column], rights: list[Column]) -> None:
        self._lefts = [norm_bound(_vector(rows, column)) for column in lefts]
        self._rights = [norm_bound(_vector(rows, column)) for column in rights]

    def product(self, left: int, right: int) -> Ball:
        return self._lefts[left] * self._rights[right]
