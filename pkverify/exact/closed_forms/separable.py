"""Models y = P(w) phi(x) under the squared loss: products of scalars (deep linear), and powers of one weight.

Along the flow p = P(w) obeys p' = S (p* - p) |grad P|^2, so every path kernel is

    K(x, x_i) = phi(x) phi(x_i)/S  log((p* - p_0)/(p* - p_T)),      S = sum phi_i^2,   p* = sum phi_i y_i / S

whatever P is: only the time at which p gets there depends on it. For a product u v the number d = u^2 - v^2 is kept,
and s = u + v makes everything rational; for balanced products and for powers s is the common size of the factors. For
three unequal factors or more s is the smallest of them; the elapsed time is then an elliptic integral, or worse, and
stays one.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import prod

import sympy as sp

from pkverify.exact.algebra import rational
from pkverify.exact.checked import InitialValueProblem, checked_flow
from pkverify.exact.closed_forms.rational_powers import MOST_ROOTS, primitive
from pkverify.exact.closed_forms.recognition import anchored, squared_scale
from pkverify.exact.closed_forms.record import ClosedForm, Expr, Integrand
from pkverify.exact.formulas import Formulas
from pkverify.exact.identity import is_identity
from pkverify.problem import Vector


@dataclass(frozen=True)
class Fit:
    """What the data say: ``strength`` is S and ``best`` is p*; ``scale`` is the factor of each example's loss."""

    scale: Expr
    strength: Expr
    best: Expr


def recognise(formulas: Formulas) -> ClosedForm | None:
    """The flow of a separable model whose P is a product of its parameters, or a power of its only one."""
    problem = formulas.problem
    scale = squared_scale(formulas)
    if scale is None or problem.regularizer is not None or problem.model.output_count != 1:
        return None
    shape = _shape(formulas)
    if shape is None:
        return None
    level, power = shape
    phis = [_phi(formulas, level, point) for point in problem.data.inputs]
    queries = {point: _phi(formulas, level, point) for point in problem.query_inputs}
    if any(phi is None for phi in (*phis, *queries.values())):
        return None
    known = [phi for phi in phis if phi is not None]
    strength = scale * sum(phi**2 for phi in known)
    if strength == 0:
        return None
    best = scale * sum(phi * row[0] for phi, row in zip(known, problem.data.targets, strict=True)) / strength
    fit = Fit(rational(scale), rational(strength), rational(best))
    if power is not None:
        return _single_size(formulas, fit, known, power)
    if len(formulas.params) == 2:
        return _two_factors(formulas, fit, known)
    return _single_size(formulas, fit, known, 0) or _unequal_sizes(formulas, fit, known)


def _shape(formulas: Formulas) -> tuple[Expr, int | None] | None:
    """P, and its exponent where it is a power of one parameter."""
    first, *others = formulas.params
    if others:
        return sp.Mul(first, *others), None
    return _power_shape(formulas, first)


def _power_shape(formulas: Formulas, w: Expr) -> tuple[Expr, int] | None:
    (output,) = formulas.generic_outputs
    for power in range(2, MOST_ROOTS + 1):
        if is_identity(output, w**power * output.xreplace({w: sp.Integer(1)})):
            return w**power, power
    return None


def _phi(formulas: Formulas, level: Expr, point: Vector) -> Fraction | None:
    (output,) = formulas.outputs(point)
    phi = output.xreplace(dict.fromkeys(formulas.params, sp.Integer(1)))
    if not phi.is_Rational or not is_identity(output, phi * level):
        return None
    return Fraction(int(phi.p), int(phi.q))


@cache
def level_integral() -> tuple[Expr, dict[str, Expr]]:
    """SymPy's integral of (y - f p)/(p* - p) in p, 0 at p0: what an example with target y and feature f gathers.

    Example:
        >>> integral, s = level_integral()
        >>> integral.xreplace({s["f"]: sp.Integer(0), s["y"]: sp.Integer(1)})
        -log((-P + p)/(-P + p0))
    """
    s = {name: sp.Symbol(name, real=True) for name in ("y", "f", "p", "P", "p0")}
    found = sp.integrate((s["y"] - s["f"] * s["p"]) / (s["P"] - s["p"]), s["p"])
    return anchored(found, s["p"], s["p0"]), s


def _primitives(formulas: Formulas, fit: Fit, phis: list[Fraction], level: Expr, start: Expr):
    """The path kernels and contributions, as functions of the progress variable inside ``level``."""
    gathered, s = level_integral()
    targets = [row[0] for row in formulas.problem.data.targets]
    product = sp.Mul(*formulas.params) if len(formulas.params) > 1 else _shape(formulas)[0]  # type: ignore[index]

    def primitive_of(integrand: Integrand) -> Expr | None:
        if integrand.kind == "regularizer":
            return sp.Integer(0)
        here = _phi(formulas, product, integrand.query)
        there = phis[integrand.example]
        if here is None:
            return None
        factor = rational(here * there) / fit.strength
        is_kernel = integrand.kind == "kernel"
        values = {
            s["y"]: sp.Integer(1) if is_kernel else rational(targets[integrand.example]),
            s["f"]: sp.Integer(0) if is_kernel else rational(there),
            s["P"]: fit.best,
            s["p0"]: start,
        }
        whole = gathered.xreplace(values).xreplace({s["p"]: level})
        return factor * whole if is_kernel else fit.scale * factor * whole

    return primitive_of


def _single_size(formulas: Formulas, fit: Fit, phis: list[Fraction], power: int) -> ClosedForm | None:
    """One weight to a power, or a balanced product: |w_j| = s for every j, p = +-s^N, s' = c s^(N-1) (P - s^N)."""
    start = formulas.problem.initial
    size = abs(start[0])
    if size == 0 or any(abs(value) != size for value in start):
        return None
    count, factor = (power, power) if power else (len(start), 1)
    if count > MOST_ROOTS:
        return None
    signs = [1 if value > 0 else -1 for value in start]
    sign = sp.Integer(signs[0] ** power if power else prod(signs))
    s, time = sp.Symbol("s", positive=True), sp.Symbol("t", real=True)
    target, speed = sign * fit.best, factor * fit.strength
    begin = rational(size)
    elapsed = primitive(1 - count, count, target, s, begin)
    if elapsed is None:
        return None
    limit = sp.Pow(target, sp.Rational(1, count)) if target > 0 else sp.Integer(0)
    explicit = None
    if count == 2:
        explicit = sp.sqrt(_logistic_growth(2 * speed, target, begin**2, time))
    return ClosedForm(
        f"w^{count}" if power else f"balanced product of {count} scalars",
        s,
        begin,
        speed * s ** (count - 1) * (target - s**count),
        tuple(sign_j * s for sign_j in signs),
        elapsed / speed,
        limit,
        _primitives(formulas, fit, phis, sign * s**count, sign * begin**count),
        time,
        explicit=explicit,
        meaning="the common absolute value of the weights",
    )


def _logistic_growth(rate: Expr, capacity: Expr, start: Expr, time: Expr) -> Expr:
    """The solution of r' = rate r (capacity - r), r(0) = start, from the generic one."""
    solution, s = riccati(), _RICCATI
    if capacity == 0:
        return start / (1 + rate * start * time)
    # r' = -rate (r - capacity) (r - 0)
    return solution.xreplace({s["k"]: rate, s["a"]: capacity, s["b"]: sp.Integer(0), s["r0"]: start, s["t"]: time})


def _unequal_sizes(formulas: Formulas, fit: Fit, phis: list[Fraction]) -> ClosedForm | None:
    """A product of several factors: all w_j^2 - w_k^2 are kept, and the smallest factor s gives the others by roots."""
    start = formulas.problem.initial
    if len(start) > MOST_ROOTS:
        return None
    # The smallest may cross 0, and no other one can: s^2 plus what is kept stays above 0.
    least = min(range(len(start)), key=lambda k: abs(start[k]))
    s, time, variable = sp.Symbol("s", real=True), sp.Symbol("t", real=True), sp.Symbol("sigma", real=True)
    factors: list[Expr] = []
    for place, value in enumerate(start):
        kept = rational(value**2 - start[least] ** 2)
        sign = 1 if value > 0 else -1
        # A factor of the same size goes along with s, sign for sign.
        equal = s if place == least or value == start[least] else -s
        factors.append(equal if kept == 0 else sign * sp.sqrt(s**2 + kept))
    level = sp.Mul(*factors)
    begin = rational(start[least])
    rate = fit.strength * (fit.best - level) * sp.Mul(*(f for place, f in enumerate(factors) if place != least))
    return ClosedForm(
        f"product of {len(start)} scalars",
        s,
        begin,
        rate,
        tuple(factors),
        sp.Integral((1 / rate).xreplace({s: variable}), (variable, begin, s)),
        None,
        _primitives(formulas, fit, phis, level, level.xreplace({s: begin})),
        time,
        meaning=f"the parameter {formulas.params[least]}",
    )


_RICCATI = {name: sp.Symbol(name, real=True) for name in ("t", "k", "a", "b", "r0")}


@cache
def riccati() -> Expr:
    """The solution of r' = -k (r - a)(r - b), r(0) = r0, from the linear equation of q = (r - a)/(r - b).

    Example:
        >>> solution = riccati()
        >>> solution.xreplace({_RICCATI["t"]: sp.Integer(0)}).simplify()
        r0
    """
    s, q = _RICCATI, sp.Function("q")
    t, a, b = s["t"], s["a"], s["b"]
    start = (s["r0"] - a) / (s["r0"] - b)
    # q' = q (r'/(r - a) - r'/(r - b)) = -k (a - b) q, which SymPy solves at once; the equation for r takes it seconds.
    ratio = sp.dsolve(sp.Eq(q(t).diff(t), -s["k"] * (a - b) * q(t)), q(t), ics={q(0): start}).rhs
    solution = (a - b * ratio) / (1 - ratio)
    state, unit = sp.Dummy("r", real=True), (Fraction(1, 10), Fraction(9, 10))
    equation = InitialValueProblem(-s["k"] * (state - a) * (state - b), state, t, s["r0"])
    checked_flow(solution, equation, dict.fromkeys(s.values(), unit))
    return solution


def _two_factors(formulas: Formulas, fit: Fit, phis: list[Fraction]) -> ClosedForm | None:
    """A product u v: d = u^2 - v^2 is kept, s = u + v obeys s' = S (p* - p) s with p = (s^2 - d^2/s^2)/4."""
    u0, v0 = formulas.problem.initial
    # Where u + v = 0, the product -u (-v) has a sum that is not.
    mirror = 1 if u0 + v0 != 0 else -1
    v0 = mirror * v0
    if u0 + v0 == 0:
        return None
    begin, kept = rational(u0 + v0), rational(u0**2 - v0**2)
    best = mirror * fit.best
    s, time = sp.Symbol("s", real=True), sp.Symbol("t", real=True)
    level = (s**2 - kept**2 / s**2) / 4
    root = sp.sqrt(kept**2 + 4 * best**2)
    upper, lower = 2 * best + root, 2 * best - root
    square = s**2
    # r = s^2 obeys r' = -(S/2) (r - upper)(r - lower).
    half = fit.strength / 2
    if root == 0:
        elapsed = (1 / square - 1 / begin**2) / half
        growth = begin**2 / (1 + half * begin**2 * time)
    else:
        ratio = (square - upper) * (begin**2 - lower) / ((square - lower) * (begin**2 - upper))
        elapsed = -sp.log(ratio) / (half * (upper - lower))
        values = {"t": time, "k": half, "a": upper, "b": lower, "r0": begin**2}
        growth = riccati().xreplace({_RICCATI[name]: value for name, value in values.items()})
    direction = sp.sign(begin)
    return ClosedForm(
        "product of two scalars",
        s,
        begin,
        fit.strength * (best - level) * s,
        ((s + kept / s) / 2, mirror * (s - kept / s) / 2),
        elapsed,
        direction * sp.sqrt(upper),
        _primitives(formulas, fit, phis, mirror * level, mirror * level.xreplace({s: begin})),
        time,
        explicit=direction * sp.sqrt(growth),
        meaning="u + v" if mirror == 1 else "u - v",
    )
