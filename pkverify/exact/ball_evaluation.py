"""The value of a SymPy expression, enclosed in a ball: our own walk over the expression, none of SymPy's ``evalf``.

Inside, everything is complex: antiderivatives of real functions pass through logarithms of negative numbers whose
imaginary parts cancel only at the end. ``evaluate_real`` asks that they may have cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import sympy as sp

from pkverify.arithmetic.ball import (
    Ball,
    BallAlgebra,
    BallDomainError,
    complex_ball,
    divided,
    imaginary_unit,
    integer_power,
    real_part,
    sign,
    to_decimal,
    working_precision,
)
from pkverify.arithmetic.ball_functions import hypergeometric, incomplete_beta, integral, lambert_w
from pkverify.errors import UntreatableError
from pkverify.exact.algebra import fraction

Expr = Any

# Beyond this the expression is almost surely 0, or at a tie between two decimals.
MOST_BITS = 1 << 16

_ANALYTIC = BallAlgebra(is_complex=True)


def evaluate(expression: Expr, values: Mapping[Expr, Fraction | Ball] | None = None, *, analytic: bool = False) -> Ball:
    """Enclose an expression at given values of its symbols, at the working precision.

    Args:
        expression: A SymPy expression of elementary functions, Lambert's W, erf, Max, Abs, hyper, betainc,
            lowergamma, and definite integrals of these.
        values: A rational or a ball for each symbol.
        analytic: Refuse balls on which the expression may not be analytic (branch cuts, kinks), instead of returning
            the hull over both sides of a cut; rigorous quadrature needs this.

    Returns:
        A finite complex ball.

    Raises:
        BallDomainError: At a pole, at a symbol without a value, or (``analytic``) at a cut.
        UntreatableError: If it contains a function outside that list.

    Example:
        >>> from pkverify.arithmetic.ball import ball_text
        >>> x = sp.Symbol("x")
        >>> ball_text(evaluate_real(sp.exp(x) / 2, {x: Fraction(0)}), 5)
        '0.50000'
    """
    known: dict[Expr, Ball] = {
        symbol: complex_ball(value) if isinstance(value, Fraction | int) else _as_complex(value)
        for symbol, value in (values or {}).items()
    }

    def walk(node: Expr) -> Ball:
        if node not in known:
            result = _combine(node, walk, analytic)
            if not result.is_finite():
                raise BallDomainError(f"{node} has no finite enclosure here")
            known[node] = result
        return known[node]

    return walk(sp.sympify(expression))


def evaluate_real(expression: Expr, values: Mapping[Expr, Fraction | Ball] | None = None) -> Ball:
    """Enclose an expression that is known to be real; see :func:`evaluate`.

    Raises:
        BallDomainError: As :func:`evaluate`, or if the value is proved not to be real.
        UntreatableError: As :func:`evaluate`.
    """
    return real_part(evaluate(expression, values))


def decimal_value(enclose: Callable[[int], Ball], digits: int) -> str | None:
    """A number to so many significant digits, each of them right, raising the precision until they are settled.

    Args:
        enclose: Computes a real ball around the number at the working precision, which it is also told.
        digits: Significant decimal digits.

    Returns:
        The decimal, or None where ``MOST_BITS`` do not settle it: the number is 0, or at a tie of two decimals.

    Example:
        >>> decimal_value(lambda _: evaluate_real(sp.sqrt(2)), 20)
        '1.4142135623730950488'
    """
    bits = 64 + 4 * digits
    while bits <= MOST_BITS:
        with working_precision(bits):
            try:
                text = to_decimal(enclose(bits), digits)
            except BallDomainError:
                # A divisor or a logarithm's argument is not yet separated from 0; more bits may do it.
                text = None
        if text is not None:
            return text
        bits *= 2
    return None


def _as_complex(value: Ball) -> Ball:
    return value + complex_ball(0)


def _combine(node: Expr, walk: Callable[[Expr], Ball], analytic: bool) -> Ball:  # noqa: FBT001 - a dispatch
    if node.is_Rational:
        return complex_ball(fraction(node))
    if node.is_Add:
        return _ANALYTIC.add([walk(term) for term in node.args])
    if node.is_Mul:
        product = complex_ball(1)
        for factor in node.args:
            product = product * walk(factor)
        return product
    if node is sp.pi:
        return _ANALYTIC.pi()
    if node is sp.I:
        return imaginary_unit()
    if node is sp.E:
        return complex_ball(1).exp()
    if isinstance(node, sp.exp):
        return walk(node.exp).exp()
    if node.is_Pow:
        return _power(node.base, node.exp, walk, analytic)
    if node.is_Symbol:
        raise BallDomainError(f"the symbol {node} has no value")
    if type(node) in _ARGUMENTWISE:
        return _ARGUMENTWISE[type(node)](walk(node.args[0]), analytic)
    if type(node) in _OTHERS:
        return _OTHERS[type(node)](node, walk, analytic)
    raise UntreatableError(f"{type(node).__name__} has no ball evaluation", f"it stands in {str(node)[:80]}")


def _power(base: Expr, exponent: Expr, walk: Callable[[Expr], Ball], analytic: bool) -> Ball:  # noqa: FBT001
    if exponent.is_Integer:
        return integer_power(walk(base), int(exponent))
    value: Ball = walk(base)
    if exponent.is_Rational and exponent > 0 and value.is_zero():
        return value
    if exponent == sp.Rational(1, 2):
        return _ANALYTIC.call("sqrt", value) if analytic else value.sqrt()
    return (_log(value, analytic) * walk(exponent)).exp()


def _log(value: Ball, analytic: bool) -> Ball:  # noqa: FBT001
    return _ANALYTIC.call("log", value) if analytic else value.log()


def _atan(value: Ball, analytic: bool) -> Ball:  # noqa: FBT001
    return _ANALYTIC.call("atan", value) if analytic else value.atan()


def _atanh(value: Ball, analytic: bool) -> Ball:  # noqa: FBT001
    return (_log(1 + value, analytic) - _log(1 - value, analytic)) / 2


def _absolute(value: Ball, analytic: bool) -> Ball:  # noqa: FBT001
    if analytic:
        return _ANALYTIC.call("abs", value)
    return _as_complex(abs(real_part(value)))


def _lambert(node: Expr, walk: Callable[[Expr], Ball], analytic: bool) -> Ball:  # noqa: FBT001
    del analytic  # the cut is refused in any case
    if len(node.args) > 1:
        raise UntreatableError(
            f"{node} is not on the principal branch", "only that branch of Lambert's W has a ball evaluation"
        )
    return lambert_w(walk(node.args[0]))


def _maximum(node: Expr, walk: Callable[[Expr], Ball], analytic: bool) -> Ball:  # noqa: FBT001
    first, *rest = (walk(argument) for argument in node.args)
    for other in rest:
        if not analytic:
            first = _as_complex(real_part(first).max(real_part(other)))
            continue
        order = sign((first - other).real)
        if order == 0:
            raise BallDomainError(f"{node} may touch its kink")
        first = first if order > 0 else other
    return first


def _hyper(node: Expr, walk: Callable[[Expr], Ball], analytic: bool) -> Ball:  # noqa: FBT001
    upper, lower, argument = node.ap, node.bq, walk(node.argument)
    if len(upper) == len(lower) + 1:  # the cut is [1, oo)
        _log(1 - argument, analytic=True)
    del analytic
    return hypergeometric([walk(a) for a in upper], [walk(b) for b in lower], argument)


def _betainc(node: Expr, walk: Callable[[Expr], Ball], analytic: bool) -> Ball:  # noqa: FBT001
    del analytic
    a, b, start, end = (real_part(walk(argument)) for argument in node.args)
    first = incomplete_beta(a, b, start) if node.args[2] != 0 else complex_ball(0)
    return _as_complex(incomplete_beta(a, b, end) - first)


def _lowergamma(node: Expr, walk: Callable[[Expr], Ball], analytic: bool) -> Ball:  # noqa: FBT001
    order, end = (walk(argument) for argument in node.args)
    # end^s/s F(s; s+1; -end), entire but for the power.
    series = hypergeometric([order], [order + 1], -end)
    return divided((_log(end, analytic) * order).exp() * series, order)


def _integral(node: Expr, walk: Callable[[Expr], Ball], analytic: bool) -> Ball:  # noqa: FBT001
    """A definite integral in one variable, by rigorous quadrature between real ends."""
    del analytic  # between real ends, and refused wherever the integrand is not analytic
    if len(node.limits) != 1 or len(node.limits[0]) != 3 or node.function.free_symbols > {node.limits[0][0]}:
        raise UntreatableError(f"{str(node)[:80]} has no ball evaluation", "it is no definite integral of one variable")
    variable, start, end = node.limits[0]
    ends = (real_part(walk(start)), real_part(walk(end)))
    return _as_complex(integral(lambda s: evaluate(node.function, {variable: s}, analytic=True), *ends))


_ARGUMENTWISE: dict[type, Callable[[Ball, bool], Ball]] = {
    sp.log: _log,
    sp.sin: lambda value, _: value.sin(),
    sp.cos: lambda value, _: value.cos(),
    sp.tan: lambda value, _: divided(value.sin(), value.cos()),
    sp.cot: lambda value, _: divided(value.cos(), value.sin()),
    sp.sinh: lambda value, _: value.sinh(),
    sp.cosh: lambda value, _: value.cosh(),
    sp.tanh: lambda value, _: divided(value.sinh(), value.cosh()),
    sp.coth: lambda value, _: divided(value.cosh(), value.sinh()),
    sp.atan: _atan,
    sp.atanh: _atanh,
    sp.erf: lambda value, _: value.erf(),
    sp.Abs: _absolute,
}
_OTHERS: dict[type, Callable[[Expr, Callable[[Expr], Ball], bool], Ball]] = {
    sp.Max: _maximum,
    sp.hyper: _hyper,
    sp.betainc: _betainc,
    sp.lowergamma: _lowergamma,
    sp.LambertW: _lambert,
    sp.Integral: _integral,
}
