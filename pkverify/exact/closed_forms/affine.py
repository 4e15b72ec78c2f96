"""Flows whose loss gradient is affine in the parameters: w' = c - H w, with H symmetric and rational.

Linear models under the squared loss, with several inputs and outputs, bias and ridge, belong here; so do the location
of a Gaussian (output: log density) and every model that is linear at the examples, whatever it does at the query.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import sympy as sp

from pkverify.exact.checked import InitialValueProblem, checked_antiderivative, checked_flow
from pkverify.exact.closed_forms.record import ClosedForm, Expr, Integrand
from pkverify.exact.formulas import Formulas
from pkverify.exact.identity import is_identity

# The spectrum is written with square roots; more parameters would rarely have one.
_MOST_PARAMS = 12
_MOST_TERMS = 4000


@cache
def scalar_flow() -> tuple[Expr, dict[str, Expr]]:
    """SymPy's solution of w' = c - h w, w(0) = w0, and its symbols.

    Example:
        >>> solution, s = scalar_flow()
        >>> sp.simplify(solution - (s["c"] / s["h"] + (s["w0"] - s["c"] / s["h"]) * sp.exp(-s["h"] * s["t"])))
        0
    """
    symbols = {name: sp.Symbol(name, real=True) for name in ("t", "c", "w0")} | {"h": sp.Symbol("h", positive=True)}
    t, c, start, h = (symbols[name] for name in ("t", "c", "w0", "h"))
    w = sp.Function("w")
    solution = sp.dsolve(sp.Eq(w(t).diff(t), c - h * w(t)), w(t), ics={w(0): start})
    state = sp.Dummy("w", real=True)
    ranges = dict.fromkeys(symbols.values(), (Fraction(1, 2), Fraction(2)))
    checked_flow(solution.rhs, InitialValueProblem(c - h * state, state, t, start), ranges)
    return sp.expand(solution.rhs), symbols


@cache
def exponential_moment(power: int) -> tuple[Expr, Expr, Expr]:
    """SymPy's antiderivative of t^power exp(-m t) in t, with its symbols t and m (m not 0).

    Example:
        >>> moment, t, m = exponential_moment(1)
        >>> sp.expand(moment)
        -t*exp(-m*t)/m - exp(-m*t)/m**2
    """
    t, m = sp.Symbol("t", real=True), sp.Symbol("m", positive=True)
    ranges = dict.fromkeys((t, m), (Fraction(1, 2), Fraction(2)))
    return checked_antiderivative(t**power * sp.exp(-m * t), t, ranges).expression, t, m


def recognise(formulas: Formulas) -> ClosedForm | None:
    """The flow, if the gradient is affine over the rationals and H has eigenvalues with square roots at most."""
    count = len(formulas.params)
    if count > _MOST_PARAMS:
        return None
    parts = _affine_parts(formulas)
    if parts is None:
        return None
    hessian, constant = parts
    values = _eigenvalues(hessian)
    if values is None:
        return None
    time = sp.Symbol("t", real=True)
    decays = {value: sp.Dummy(f"E{k}") for k, value in enumerate(values) if value != 0}
    path = sp.zeros(count, 1)
    start = sp.Matrix(formulas.start)
    solution, s = scalar_flow()
    for value in values:
        # The part of the flow in one eigenspace is a scalar flow, with rate of decay ``value``.
        projector = sp.eye(count)
        for other in values:
            if other != value:
                projector = projector * (hessian - other * sp.eye(count)) / (value - other)
        begin, push = (projector * start).applyfunc(sp.radsimp), (projector * constant).applyfunc(sp.radsimp)
        for place in range(count):
            if value == 0:
                path[place] += begin[place] + push[place] * time
            else:
                terms = solution.xreplace({sp.exp(-s["h"] * s["t"]): decays[value]})
                path[place] += terms.xreplace({s["h"]: value, s["c"]: push[place], s["w0"]: begin[place]})
    unfolded = {symbol: sp.exp(-value * time) for value, symbol in decays.items()}
    tidy = [_tidy(entry, (time, *decays.values())) for entry in path]
    params = tuple(entry.xreplace(unfolded) for entry in tidy)
    folded = {exponential: symbol for symbol, exponential in unfolded.items()}

    def primitive(integrand: Integrand) -> Expr | None:
        return _primitive(integrand.expression.xreplace(folded), time, {e: v for v, e in decays.items()})

    return ClosedForm("affine", time, sp.Integer(0), sp.Integer(1), params, time, sp.oo, primitive, time, explicit=time)


def _affine_parts(formulas: Formulas) -> tuple[Expr, Expr] | None:
    """H and c with gradient = H w - c, or None."""
    count = len(formulas.params)
    origin = dict.fromkeys(formulas.params, sp.Integer(0))
    hessian, constant = sp.zeros(count, count), sp.zeros(count, 1)
    for row, part in enumerate(formulas.gradient):
        polynomial = sp.expand(part)
        if not polynomial.is_polynomial(*formulas.params):
            return None
        constant[row] = -polynomial.xreplace(origin)
        for column, symbol in enumerate(formulas.params):
            hessian[row, column] = sp.diff(polynomial, symbol).xreplace(origin)
        entries = [*hessian.row(row), constant[row]]
        if not all(entry.is_Rational for entry in entries):
            return None
        line = sp.Add(*(a * w for a, w in zip(hessian.row(row), formulas.params, strict=True))) - constant[row]
        if not is_identity(polynomial, line):
            return None
    return hessian, constant


def _eigenvalues(hessian: Expr) -> list[Expr] | None:
    """The distinct eigenvalues, if all are rational or quadratic; None otherwise."""
    characteristic = sp.Poly(hessian.charpoly().all_coeffs(), sp.Dummy("h"))
    _, factors = characteristic.factor_list()
    values: list[Expr] = []
    for factor, _ in factors:
        if factor.degree() > 2:
            return None
        values += sp.roots(factor, multiple=True)
    return sorted(set(values), key=sp.default_sort_key)


def _primitive(integrand: Expr, time: Expr, decays: dict[Expr, Expr]) -> Expr | None:
    """Integrate a polynomial in t and in the exponentials term by term, from time 0."""
    generators = [time, *decays]
    if not integrand.is_polynomial(*generators):
        return None
    polynomial = sp.Poly(integrand, *generators, domain="EX")
    if len(polynomial.terms()) > _MOST_TERMS:
        return None
    total: list[Expr] = []
    for (power, *counts), coefficient in polynomial.terms():
        rate = sp.Add(*(count * value for count, value in zip(counts, decays.values(), strict=True)))
        if not counts or is_identity(rate, sp.Integer(0)):
            total.append(sp.radsimp(coefficient) * time ** (power + 1) / (power + 1))
            continue
        moment, t, m = exponential_moment(power)
        whole = moment.xreplace({m: sp.radsimp(rate)}).xreplace({t: time})
        total.append(sp.radsimp(coefficient) * (whole - whole.xreplace({time: sp.Integer(0)})))
    return sp.Add(*total)


def _tidy(entry: Expr, generators: tuple[Expr, ...]) -> Expr:
    """A polynomial in the generators, each of its coefficients with a rational denominator."""
    terms = sp.Poly(entry, *generators, domain="EX").terms()
    monomials = [(sp.Mul(*(g**n for g, n in zip(generators, counts, strict=True))), value) for counts, value in terms]
    return sp.Add(*(sp.radsimp(sp.expand(value)) * monomial for monomial, value in monomials))
