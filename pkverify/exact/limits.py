"""What a closed form tends to as the horizon goes to infinity (claim T1d), where that can be read off safely.

SymPy's ``limit`` is not asked about nested roots: what is read off is a rule about exponentials that die out, a value
at the end of the path, or a logarithm whose argument is proved to vanish there.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from pkverify.exact.closed_forms.record import ClosedForm
from pkverify.exact.identity import is_identity

Expr = Any


def limit_at_infinity(form: ClosedForm, expression: Expr) -> Expr | None:
    """The limit of an expression in the progress variable as time goes to infinity; None where it is not read off.

    Returns:
        A number, or an infinity where the expression diverges.

    Example:
        >>> t = sp.Symbol("t", real=True)
        >>> end = ClosedForm("", t, sp.Integer(0), sp.Integer(1), (), t, sp.oo, lambda _: None, t)
        >>> limit_at_infinity(end, 2 - 3 * sp.exp(-5 * t)), limit_at_infinity(end, 1 - 2 * t)
        (2, -oo)
    """
    if form.is_explicit_in_time:
        remains = _without_decays(expression, form.time)
        return None if remains is None else _polynomial_limit(remains, form.time)
    if form.limit is None:
        return None
    if form.limit.is_infinite:
        return _rational_limit(form, expression)
    for logarithm in expression.atoms(sp.log):
        if is_identity(logarithm.args[0].subs(form.progress, form.limit), sp.Integer(0)):
            return sp.sign(_share(expression, logarithm).subs(form.progress, form.limit)) * -sp.oo
    value = expression.subs(form.progress, form.limit)
    return None if value.has(sp.nan, sp.zoo, sp.oo, -sp.oo) else sp.radsimp(sp.expand(value))


def limit_of_ratio(form: ClosedForm, numerator: Expr, denominator: Expr) -> Expr | None:
    """The limit of a quotient, also where both parts diverge: linearly in time, or like one common logarithm."""
    above, below = limit_at_infinity(form, numerator), limit_at_infinity(form, denominator)
    if above is None or below is None or below == 0:
        return None
    if below.is_finite:
        return sp.radsimp(above / below) if above.is_finite else None
    if above.is_finite:
        return sp.Integer(0)
    if form.is_explicit_in_time:
        tops = [_without_decays(part, form.time) for part in (numerator, denominator)]
        polynomials = [sp.Poly(part, form.time) for part in tops]
        if polynomials[0].degree() != polynomials[1].degree():
            return None
        return sp.radsimp(polynomials[0].LC() / polynomials[1].LC())
    logarithms = [
        logarithm
        for logarithm in denominator.atoms(sp.log)
        if is_identity(logarithm.args[0].subs(form.progress, form.limit), sp.Integer(0))
    ]
    if len(logarithms) != 1:
        return None
    shares = [_share(part, logarithms[0]) for part in (numerator, denominator)]
    return None if any(share.has(form.progress) for share in shares) else shares[0] / shares[1]


def _share(expression: Expr, logarithm: Expr) -> Expr:
    """The coefficient of a logarithm."""
    mark = sp.Dummy()
    return sp.diff(expression.xreplace({logarithm: mark}), mark)


def _without_decays(expression: Expr, time: Expr) -> Expr | None:
    """The expression without the terms that decay: exp(-m t) with m > 0, also times powers of t; None if one grows."""
    rates = {node: sp.expand(node.exp).coeff(time, 1) for node in expression.atoms(sp.exp) if node.has(time)}
    if not all(rate.is_negative for rate in rates.values()):
        return None
    return sp.expand(expression.xreplace(dict.fromkeys(rates, sp.Integer(0))))


def _polynomial_limit(expression: Expr, time: Expr) -> Expr | None:
    if not expression.has(time):
        return expression
    if not expression.is_polynomial(time):
        return None
    leading = sp.Poly(expression, time).LC()
    return sp.sign(leading) * sp.oo if leading.is_nonzero else None


def _rational_limit(form: ClosedForm, expression: Expr) -> Expr | None:
    """The limit at infinity of a function of e^(z/b) and its logarithms, by SymPy."""
    if expression.count_ops() > 80 or not (expression.atoms(sp.exp) or expression.has(form.progress)):
        return None
    value = sp.limit(expression, form.progress, form.limit)
    return value if value.is_number and not value.has(sp.nan, sp.zoo, sp.AccumBounds, sp.Limit) else None
