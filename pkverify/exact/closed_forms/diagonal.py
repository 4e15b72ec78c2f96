"""Diagonal quadratic forms y = sum_k q_k(x) w_k^2, one example, squared loss: such as diagonal linear networks.

Each parameter grows at the rate 2 q_k(x_1) eta', where eta' = -L' is the same for all: so w_k = w_k(0) e^(2 q_k eta),
and the flow is that of the one number eta,

    eta' = c (y* - f(eta)),      f(eta) = sum_k q_k w_k(0)^2 e^(4 q_k eta).

For beta_j = u_j^2 - v_j^2 with y = beta . x, and u = v = alpha at the start, beta_j = 2 alpha^2 sinh(4 x_1j eta). When
eta is reached is the integral of 1/eta', which stays one. f grows with eta, so there is one limit at most. A query
whose form is a multiple of the example's has the path kernel log(r_0/r_T)/c, r = y* - y, times that multiple; for
another one the kernel is an integral.
"""

from __future__ import annotations

from fractions import Fraction

import sympy as sp

from pkverify.exact.algebra import fraction, rational
from pkverify.exact.closed_forms.recognition import squared_scale
from pkverify.exact.closed_forms.record import ClosedForm, Expr, Integrand
from pkverify.exact.formulas import Formulas, target_value
from pkverify.exact.identity import is_identity
from pkverify.problem import Vector


def recognise(formulas: Formulas) -> ClosedForm | None:
    """The flow, if the model is a diagonal quadratic form, with one example and the squared loss."""
    problem = formulas.problem
    scale = squared_scale(formulas)
    if scale is None or problem.regularizer is not None or len(problem.data) != 1 or problem.model.output_count != 1:
        return None
    form = _form(formulas, problem.data.inputs[0])
    if form is None or not any(form) or any(_form(formulas, point) is None for point in problem.query_inputs):
        return None
    eta, time, variable = sp.Symbol("eta", real=True), sp.Symbol("t", real=True), sp.Symbol("h", real=True)
    path = tuple(w * sp.exp(rational(2 * q) * eta) for w, q in zip(formulas.start, form, strict=True))
    level = _value(form, path)
    factor, target = rational(scale), rational(target_value(problem, 0))
    rate = factor * (target - level)
    first = level.xreplace({eta: sp.Integer(0)})

    def primitive(integrand: Integrand) -> Expr | None:
        if integrand.kind == "regularizer":
            return sp.Integer(0)
        query = _form(formulas, integrand.query)
        if query is None:
            return None
        if integrand.kind == "contribution":
            output = _value(query, path)
            return output - output.xreplace({eta: sp.Integer(0)})
        # What a parameter does that starts, and so stays, at 0 is nothing.
        pairs = [(there, here) for there, here, w in zip(query, form, formulas.start, strict=True) if w * here != 0]
        multiple = pairs[0][0] / pairs[0][1]
        if any(there != multiple * here for there, here in pairs):
            return None
        return -rational(multiple) / factor * sp.log((target - level) / (target - first))

    return ClosedForm(
        "diagonal quadratic form, one example",
        eta,
        sp.Integer(0),
        rate,
        path,
        sp.Integral((1 / rate).xreplace({eta: variable}), (variable, sp.Integer(0), eta)),
        None,
        primitive,
        time,
        meaning="the integral of -L' over time",
    )


def _form(formulas: Formulas, point: Vector) -> list[Fraction] | None:
    """The rational q with output = sum q_k w_k^2, or None."""
    (output,) = formulas.outputs(point)
    origin = dict.fromkeys(formulas.params, sp.Integer(0))
    halves = [sp.diff(output, w, 2).xreplace(origin) / 2 for w in formulas.params]
    if not all(half.is_Rational for half in halves):
        return None
    found = [fraction(half) for half in halves]
    return found if is_identity(output, _value(found, formulas.params)) else None


def _value(form: list[Fraction], weights: tuple[Expr, ...]) -> Expr:
    return sp.Add(*(rational(q) * w**2 for q, w in zip(form, weights, strict=True)))
