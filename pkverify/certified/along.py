"""Functions of time along a certified trajectory: the tangent kernel and the loss derivatives, enclosed on intervals.

A step's polynomial, disc and tube are all that is used; the series are expanded again where they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from pkverify.arithmetic.ball import Ball, real, spanning, working_precision
from pkverify.arithmetic.ball_series import (
    around,
    coefficients,
    horner,
    integrals_of_products,
    norm_bound,
    product_coefficients,
    series,
    series_precision,
    upper_bound,
)
from pkverify.certified import bounds
from pkverify.certified.enclosed import Enclosed, enclosed
from pkverify.certified.enclosure import Enclosure
from pkverify.certified.step import Step
from pkverify.certified.system import BallSystem, RowValues, make_system


@dataclass(frozen=True)
class Stretch:
    """A function of time over one step: a polynomial in tau, and how far the function may be from it.

    Attributes:
        step: The step.
        values: Coefficients, as balls.
        error: Bound of the difference on [0, 1].
        bits: Precision to evaluate it with.
    """

    step: Step
    values: list[Ball]
    error: Ball
    bits: int

    def at(self, tau: Fraction) -> Enclosed:
        """The value at one tau in [0, 1]."""
        with working_precision(self.bits):
            return enclosed(around(horner(self.values, real(tau)), self.error))

    def over(self, first: Fraction, last: Fraction) -> Enclosed:
        """The range over an interval of tau, in mean-value form."""
        with working_precision(self.bits):
            slope = horner([(k + 1) * c for k, c in enumerate(self.values[1:])], spanning(first, last))
            half = real((last - first) / 2)
            middle = horner(self.values, real((first + last) / 2))
            return enclosed(around(middle, slope.abs_upper() * half + self.error))

    def time(self, tau: Fraction) -> Fraction:
        """The time at a tau."""
        return self.step.start + tau * self.step.length


class PathView:
    """The rows of a certified trajectory, expanded again step by step.

    Args:
        enclosure: The trajectory.
    """

    def __init__(self, enclosure: Enclosure) -> None:
        self.enclosure = enclosure
        with working_precision(enclosure.bits):
            self.system: BallSystem = make_system(enclosure.problem, enclosure.queries)
        self._visited: dict[int, _Visit] = {}

    def path_kernels(self, most_pairs: int) -> list[list[list[list[Enclosed]]]]:
        """The integrals of the tangent kernels, from power series: a second route to those of the enclosure.

        No node of a quadrature is used: the rows are expanded along p, their products integrated term by term, and what
        the series leave out is bounded by Cauchy's estimate.

        Args:
            most_pairs: The first queries are taken, as many as make no more pairs with examples; at least one.

        Returns:
            [q][m][C][C], the query's output first; q may be less than the number of queries.
        """
        system, outputs = self.system, range(self.system.outputs)
        rows = system.query_rows[: max(most_pairs // system.examples, 1)]
        lefts = [(row, c) for row in rows for c in outputs]
        rights = [(i, o) for i in range(system.examples) for o in outputs]
        sums = {(left, right): real(0) for left in lefts for right in rights}
        for number, step in enumerate(self.enclosure.steps):
            visit = self._visit(number, step)
            with working_precision(self.enclosure.bits):
                vectors = [[visit.series[row].jacobian[o] for row, o in side] for side in (lefts, rights)]
                for left, line in zip(lefts, integrals_of_products(*vectors), strict=True):
                    for right, value in zip(rights, line, strict=True):
                        sums[left, right] += real(step.length) * around(value, visit.product_error(step, left, right))
        with working_precision(self.enclosure.bits):
            return [
                [[[enclosed(sums[(row, c), (i, o)]) for o in outputs] for c in outputs] for i in range(system.examples)]
                for row in rows
            ]

    def displacement(self) -> list[Enclosed]:
        """``-integral grad L(w) dt`` over the steps, from power series: d numbers, those of ``w(T) - w(0)``."""
        sums = [real(0)] * self.system.size
        for number, step in enumerate(self.enclosure.steps):
            visit = self._visit(number, step)
            with series_precision(self.enclosure.bits, step.order + 1):
                entries = zip(*map(self.system.total_gradient, (visit.series, visit.disc, visit.near)), strict=True)
                for j, (entry, on_disc, nearby) in enumerate(entries):
                    value = sum((c / (k + 1) for k, c in enumerate(coefficients(entry))), real(0))
                    error = upper_bound(on_disc) * visit.tail + upper_bound(nearby) * _movement(step)
                    sums[j] -= real(step.length) * around(value, error)
        with working_precision(self.enclosure.bits):
            return list(map(enclosed, sums))

    def tangent_kernel(self, query: int, output: int, example: int, other: int = 0) -> Iterator[Stretch]:
        """``K_t`` between a query's output and an example's, step by step."""
        row = self.system.query_rows[query]
        for number, step in enumerate(self.enclosure.steps):
            visit = self._visit(number, step)
            with working_precision(self.enclosure.bits):
                values: list[Ball] = []
                pairs = zip(visit.series[row].jacobian[output], visit.series[example].jacobian[other], strict=True)
                for left, right in pairs:
                    values = _added(values, product_coefficients(coefficients(left), coefficients(right)))
                error = visit.product_error(step, (row, output), (example, other))
                yield Stretch(step, values, error, self.enclosure.bits)

    def loss_derivative(self, example: int, output: int = 0) -> Iterator[Stretch]:
        """``dL_i/dy`` of an example along the path, step by step; with the factor 1/m of a mean."""
        for step in self.enclosure.steps:
            with series_precision(self.enclosure.bits, step.order + 1):
                polynomials = step.balls()
                along = [series(p, step.order + 1) for p in polynomials]
                value = self.system.loss_derivatives_at(example, along)[output]
                limits = [
                    self.system.loss_derivatives_at(example, box, is_complex=True)[output]
                    for box in (
                        bounds.disc_box(polynomials, step.disc),
                        bounds.path_neighbourhood(polynomials, step.margin),
                    )
                ]
                error = upper_bound(limits[0]) * bounds.cauchy_tail(step.disc, step.order)
                error += upper_bound(limits[1]) * _movement(step)
                yield Stretch(step, coefficients(value), upper_bound(error), self.enclosure.bits)

    def _visit(self, number: int, step: Step) -> _Visit:
        if number not in self._visited:
            with series_precision(self.enclosure.bits, step.order + 1):
                polynomials = step.balls()
                self._visited[number] = _Visit(
                    self.system.evaluate([series(p, step.order + 1) for p in polynomials]),
                    self.system.evaluate(bounds.disc_box(polynomials, step.disc), is_complex=True),
                    self.system.evaluate(bounds.path_neighbourhood(polynomials, step.margin), is_complex=True),
                    bounds.cauchy_tail(step.disc, step.order),
                )
        return self._visited[number]


@dataclass(frozen=True)
class _Visit:
    series: list[RowValues]
    disc: list[RowValues]
    near: list[RowValues]
    tail: Ball

    def product_error(self, step: Step, left: tuple[int, int], right: tuple[int, int]) -> Ball:
        """How far the product of two rows' series may be from their tangent kernel, for a row and an output each."""
        cut, moved = (
            norm_bound(rows[left[0]].jacobian[left[1]]) * norm_bound(rows[right[0]].jacobian[right[1]])
            for rows in (self.disc, self.near)
        )
        return upper_bound(cut * bounds.series_part(self.tail) + moved * _movement(step))


def _movement(step: Step) -> Ball:
    """How far a function moves from p to the true path, relative to its bound nearby."""
    error = real(step.error_sup)
    return bounds.lipschitz_part(error, real(step.margin) - error)


def _added(left: list[Ball], right: list[Ball]) -> list[Ball]:
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    return [c + shorter[k] if k < len(shorter) else c for k, c in enumerate(longer)]
