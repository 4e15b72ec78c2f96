"""The one integral behind the scalar families: s^k / (P - s^N), in real elementary functions.

SymPy 1.14 integrates it wrongly for N = 3 and a positive symbol P, and with complex logarithms in general. Here it is
put together from its residues at the roots of s^N = P, two conjugate roots at a time, so that it is real and without a
jump on every interval free of poles. Nothing is taken on trust: whoever uses it differentiates it back.
"""

from __future__ import annotations

import sympy as sp

# cos(2 pi/N) is written with square roots up to here, and the check of the derivative can use them.
MOST_ROOTS = 6


def primitive(power: int, count: int, target: sp.Expr, variable: sp.Expr, start: sp.Expr) -> sp.Expr | None:
    """An antiderivative of ``variable**power / (target - variable**count)`` that is 0 at ``start``.

    Logarithms have positive arguments wherever no pole lies between ``start`` and ``variable``.

    Args:
        power: k, any integer.
        count: N, from 1 to ``MOST_ROOTS``.
        target: P, a real number.
        variable: s; positive where k is negative.
        start: Where the antiderivative is 0.

    Returns:
        The antiderivative, or None for an N beyond the limit.

    Example:
        >>> s = sp.Symbol("s", positive=True)
        >>> primitive(0, 1, sp.Integer(3), s, sp.Integer(1))
        -log(3/2 - s/2)
        >>> primitive(1, 2, sp.Integer(0), s, sp.Integer(1))
        -log(s)
    """
    if not 1 <= count <= MOST_ROOTS:
        return None
    if target == 0:
        return -_monomial(power - count, variable, start)
    if power >= count:
        lower = primitive(power - count, count, target, variable, start)
        return None if lower is None else target * lower - _monomial(power - count, variable, start)
    if power < 0:
        higher = primitive(power + count, count, target, variable, start)
        return None if higher is None else (higher + _monomial(power, variable, start)) / target
    if power == count - 1:
        return -sp.log((target - variable**count) / (target - start**count)) / count
    size = sp.Pow(abs(target), sp.Rational(1, count))
    scaled = _sum_of_residues(power, count, sp.sign(target), variable / size, start / size)
    return size ** (power + 1 - count) * scaled


def _monomial(power: int, variable: sp.Expr, start: sp.Expr) -> sp.Expr:
    if power == -1:
        return sp.log(variable / start)
    return (variable ** (power + 1) - start ** (power + 1)) / (power + 1)


def _sum_of_residues(power: int, count: int, sign: sp.Expr, u: sp.Expr, start: sp.Expr) -> sp.Expr:
    """Antiderivative of u^k / (sign - u^N), 0 at ``start``: the sum of residue times log(u - root) over the roots."""
    terms: list[sp.Expr] = []
    for k in range(count):
        # The roots are exp(i turn pi/N); the residue at one of them is -sign root^(k+1) / N.
        turn = 2 * k + (1 if sign < 0 else 0)
        cosine, cosine_of_residue = _cosine(turn, count), _cosine((power + 1) * turn, count)
        if turn % count == 0:
            terms.append(cosine_of_residue * sp.log((u - cosine) / (start - cosine)))
        elif turn < count:  # together with its conjugate: twice the real part
            sine, sine_of_residue = _sine(turn, count), _sine((power + 1) * turn, count)
            modulus = (u**2 - 2 * u * cosine + 1) / (start**2 - 2 * start * cosine + 1)
            angles = sp.atan((u - cosine) / sine) - sp.atan((start - cosine) / sine)
            terms.append(cosine_of_residue * sp.log(modulus) - 2 * sine_of_residue * angles)
    return -sign * sp.Add(*terms) / count


def _cosine(turn: int, count: int) -> sp.Expr:
    return sp.cos(sp.pi * sp.Rational(turn, count))


def _sine(turn: int, count: int) -> sp.Expr:
    """sin(turn pi/N) as a multiple of sin(pi/N): the two nested roots of N = 5 are not independent, so one must do."""
    angle = sp.pi / count
    return sp.sin(angle) * sp.expand(sp.chebyshevu(turn - 1, sp.cos(angle))) if turn % count else sp.Integer(0)
