"""Gradient flows of counterexamples: closed forms that were proved for the problem, read off in balls.

Nothing here is a reference number: a flow whose closed form is not proved, line by line, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from typing import Any

import sympy as sp

from pkverify.arithmetic.ball import Ball, divided, is_positive, real_part, spanning
from pkverify.arithmetic.ball_functions import integral as quadrature
from pkverify.errors import UntreatableError
from pkverify.exact.algebra import fraction
from pkverify.exact.ball_evaluation import evaluate, evaluate_real
from pkverify.exact.closed_forms import ClosedForm, Integrand
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

    def integral(self, expression: Expr, values: Mapping[Expr, Ball]) -> Ball:
        """The integral over time of an expression in the parameters and in symbols with values, along the path."""
        form = self._proof.form
        over = self._along(expression) / form.rate

        def along(s: Ball) -> Ball:
            return evaluate(over, {self.progress: s, **values}, analytic=True)

        return quadrature(along, fraction(form.start), self._proof.path.end(BITS))

    def kernels_agree(self, first: int, second: int, example: int) -> bool:
        """Whether two queries have exactly the same path kernel: an identity between proved closed forms."""
        ends: list[Expr] = []
        for query in (first, second):
            primitive = self._terms(query).kernels[example][0]
            lines = self._proof.kernel_lines(self.problem.query_inputs[query], 0)
            if primitive is None or any(line.outcome is not Outcome.ZERO for line in lines):
                return False
            ends.append(self._at_end(primitive))
        return is_identity(*ends)

    def initials_agree(self, first: int, second: int) -> bool:
        """Whether two queries have exactly the same output before training."""
        return is_identity(self._terms(first).initial, self._terms(second).initial)

    def final_is_multiple(self, first: int, second: int, factor: Fraction) -> bool:
        """Whether the output at the second query is exactly so many times the one at the first, at the horizon."""
        ends = [self._at_end(self._terms(query).output) for query in (first, second)]
        return is_identity(ends[0] * sp.Rational(*factor.as_integer_ratio()), ends[1])

    def start(self, query: int = 0, example: int = 0) -> tuple[Expr, Expr]:
        """Output and tangent kernel at time 0, as expressions without symbols."""
        terms = self._terms(query)
        return terms.initial, terms.kernel_rates[example][0].xreplace({self.progress: self._proof.form.start})

    def slope_lead(self, first: int, second: int) -> bool:
        """Whether ``-L'`` of one example is greater than that of another at every time of the path, proved in balls."""
        slopes = [self._along(self._proof.formulas.loss_derivatives[k][0]) for k in (first, second)]
        return self.is_positive_on_path(sp.expand(slopes[1] - slopes[0]))

    def slope_is_negative(self, example: int) -> bool:
        """Whether ``L'`` of an example is below 0 at every time of the path, proved in balls."""
        return self.is_positive_on_path(-self._along(self._proof.formulas.loss_derivatives[example][0]))

    def is_positive_on_path(self, expression: Expr) -> bool:
        """Whether balls prove an expression in the progress variable positive on all of the path."""
        low, high = self._proof.path.span
        width = (high - low) / _PIECES
        return all(
            is_positive(
                real_part(evaluate(expression, {self.progress: spanning(low + k * width, low + (k + 1) * width)}))
            )
            for k in range(_PIECES)
        )

    def _at_end(self, expression: Expr) -> Expr:
        """An expression at the horizon; as it is where the progress variable is not time itself."""
        form = self._proof.form
        if not form.is_explicit_in_time:
            return expression
        return expression.xreplace({form.time: sp.Rational(*self.problem.horizon.as_integer_ratio())})

    def _along(self, expression: Expr) -> Expr:
        return self._proof.formulas.along(expression, self._proof.form.params)

    def _terms(self, query: int) -> Any:
        return self._proof.terms(self.problem.query_inputs[query], 0)


def starts_alike(first: ProvedFlow, second: ProvedFlow) -> bool:
    """Whether two flows start with exactly the same output and tangent kernel, at their first query and example."""
    return all(is_identity(*pair) for pair in zip(first.start(), second.start(), strict=True))


def one_parameter_flow(problem: Problem) -> ProvedFlow:
    """The flow of a problem with one parameter, the parameter itself being the progress variable.

    Its elapsed time is an integral that stays one; balls enclose it, and with it the end of the path.
    """
    formulas = Formulas(problem)
    (weight,), (slope,), (start,) = formulas.params, formulas.gradient, formulas.start
    over = sp.Dummy("s", real=True)
    return ProvedFlow(
        problem,
        ClosedForm(
            family="one parameter",
            progress=weight,
            start=start,
            rate=-slope,
            params=(weight,),
            elapsed=sp.Integral((-1 / slope).xreplace({weight: over}), (over, start, weight)),
            limit=None,
            primitive=_no_primitive,
            time=sp.Dummy("t", nonnegative=True),
            meaning="the parameter",
        ),
    )


def _no_primitive(integrand: Integrand) -> None:
    """Nothing is integrated in closed form: quadrature encloses it."""
    del integrand


def squared_gap_and_cosine(flow: ProvedFlow, turns: int) -> tuple[Ball, Ball]:
    """Two maxima of ``sin(w x)`` at the trained w, so many turns apart, in the space of gradient paths.

    Args:
        flow: A flow of the model ``sin(w x)``.
        turns: k; the maxima are at ``x = (pi/2 + 2 pi k)/w_T`` and at ``x = pi/(2 w_T)``.

    Returns:
        ``K(x,x) + K(z,z) - 2 K(x,z)``, and ``K(x,z)/sqrt(K(x,x) K(z,z))``.
    """
    (w,) = (sp.Symbol(name, real=True) for name in flow.problem.model.params)
    far, near = sp.symbols("x_k x_0", real=True)
    (end,) = flow.parameters()
    places = {far: evaluate(sp.pi / 2 + 2 * sp.pi * turns) / end, near: evaluate(sp.pi / 2) / end}
    slopes = [x * sp.cos(w * x) for x in (far, near)]
    gap = flow.integral((slopes[0] - slopes[1]) ** 2, places)
    products = [flow.integral(a * b, places) for a, b in ((slopes[0], slopes[1]), (slopes[0],) * 2, (slopes[1],) * 2)]
    return gap, divided(products[0], (products[1] * products[2]).sqrt())
