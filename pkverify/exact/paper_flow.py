"""Gradient flows of counterexamples: closed forms that were proved for the problem, read off in balls.

Nothing here is a reference number: a flow whose closed form is not proved, line by line, is refused.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from typing import Any

import sympy as sp

from pkverify.arithmetic.ball import Ball, divided, is_positive, real_part, spanning
from pkverify.errors import UntreatableError
from pkverify.exact.ball_evaluation import evaluate, evaluate_real
from pkverify.exact.closed_forms import ClosedForm
from pkverify.exact.formulas import Formulas
from pkverify.exact.identity import is_identity
from pkverify.exact.proof import Proof
from pkverify.exact.route import prove
from pkverify.exact.zero_test import Outcome
from pkverify.problem import Problem

Expr = Any

BITS = 256
_PIECES = 64


class ProvedFlow:
    """The flow of a problem, its closed form proved; all numbers are balls, to be asked for at ``BITS`` bits.

    Queries and examples are counted from 0.

    Args:
        problem: The problem.
        form: Its closed form, where none of the families of the exact route fits.

    Raises:
        UntreatableError: If there is no closed form, or a line of its proof stays open.
    """

    def __init__(self, problem: Problem, form: ClosedForm | None = None) -> None:
        self.problem = problem
        self._proof = prove(problem) if form is None else Proof(Formulas(problem), form)
        for line in self._proof.flow_lines:
            if line.outcome is not Outcome.ZERO:
                raise UntreatableError(f"the closed form is not proved: {line.statement}", line.detail or "left open")

    @cached_property
    def progress(self) -> Expr:
        """The variable in which the closed form is written."""
        return self._proof.form.progress

    def parameters(self) -> tuple[Ball, ...]:
        """The parameters at the horizon."""
        return tuple(self._proof.path.value(param, BITS) for param in self._proof.form.params)

    def initial(self, query: int) -> Ball:
        """The output at a query before training."""
        return evaluate_real(self._terms(query).initial)

    def final(self, query: int) -> Ball:
        """The output at a query at the horizon."""
        return self._proof.path.value(self._terms(query).output, BITS)

    def kernel(self, query: int, example: int) -> Ball:
        """The path kernel, by rigorous quadrature of the tangent kernel along the path."""
        return self._proof.path.quadrature(self._terms(query).kernel_rates[example][0], BITS)

    def contribution(self, query: int, example: int) -> Ball:
        """``-integral L'_i K_t dt``, by rigorous quadrature."""
        return self._proof.path.quadrature(self._terms(query).rates[example], BITS)

    def weight(self, query: int, example: int) -> Ball:
        """The weight ``a_i`` at a query.

        Raises:
            BallDomainError: If the path kernel may be 0.
        """
        return divided(self.contribution(query, example), self.kernel(query, example))

    def kernel_vanishes(self, query: int, example: int) -> bool:
        """Whether the tangent kernel is identically 0 along the path, as an identity."""
        return is_identity(self._terms(query).kernel_rates[example][0], sp.Integer(0))

    def kernel_equals(self, query: int, example: int, value: Fraction) -> bool:
        """Whether the path kernel is exactly this number: an identity between closed forms, proved by its derivative."""
        primitive = self._terms(query).kernels[example][0]
        lines = self._proof.kernel_lines(self.problem.query_inputs[query], 0)
        if primitive is None or any(line.outcome is not Outcome.ZERO for line in lines):
            return False
        form = self._proof.form
        if not form.is_explicit_in_time:
            return False
        at_end = primitive.xreplace({form.time: sp.Rational(*self.problem.horizon.as_integer_ratio())})
        return is_identity(at_end, sp.Rational(*value.as_integer_ratio()))

    def slope_lead(self, first: int, second: int) -> bool:
        """Whether ``-L'`` of one example is greater than that of another at every time of the path, proved in balls."""
        slopes = [self._along(self._proof.formulas.loss_derivatives[k][0]) for k in (first, second)]
        return self.is_positive_on_path(sp.expand(slopes[1] - slopes[0]))

    def is_positive_on_path(self, expression: Expr) -> bool:
        """Whether balls prove an expression in the progress variable positive on all of the path."""
        low, high = self._proof.path.span
        width = (high - low) / _PIECES
        return all(
            is_positive(real_part(evaluate(expression, {self.progress: spanning(low + k * width, low + (k + 1) * width)})))
            for k in range(_PIECES)
        )

    def _along(self, expression: Expr) -> Expr:
        return self._proof.formulas.along(expression, self._proof.form.params)

    def _terms(self, query: int) -> Any:
        return self._proof.terms(self.problem.query_inputs[query], 0)




