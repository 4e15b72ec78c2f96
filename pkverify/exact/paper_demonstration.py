"""What a counterexample or an example shows: facts that were decided exactly or by balls, and numbers to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from pkverify.arithmetic.ball import BallDomainError, sign, working_precision
from pkverify.exact.ball_evaluation import decimal_value, evaluate_real
from pkverify.exact.identity import is_identity

Expr = Any

_BITS = 256
_DIGITS = 20


@dataclass(frozen=True)
class Demonstration:
    """Facts, each with whether it came out, and the numbers that a reader may want.

    Attributes:
        facts: A statement and whether it was established; never an estimate.
        values: Names and decimals (or closed forms) as text, all digits right.

    Example:
        >>> Demonstration((("1 < 2", True), ("2 < 1", False))).failed
        '2 < 1'
    """

    facts: tuple[tuple[str, bool], ...]
    values: tuple[tuple[str, str], ...] = ()

    @property
    def holds(self) -> bool:
        """Whether there are facts, and all of them came out."""
        return bool(self.facts) and all(established for _, established in self.facts)

    @property
    def failed(self) -> str:
        """The first fact that did not come out; empty where all did."""
        return next((statement for statement, established in self.facts if not established), "")


def solves(path: Sequence[Expr], rates: Sequence[Expr], start: Sequence[Expr], time: Expr) -> bool:
    """Whether a path, as formulas in time, is proved to have these derivatives and this start."""
    return all(
        is_identity(sp.diff(each, time), rate) and is_identity(each.subs(time, 0), first)
        for each, rate, first in zip(path, rates, start, strict=True)
    )


def is_integral(candidate: Expr, integrand: Expr, variable: Expr, lower: Expr = 0) -> bool:
    """Whether a formula is proved to be the integral of another from ``lower`` to the variable.

    Example:
        >>> t = sp.Symbol("t")
        >>> is_integral(1 - sp.exp(-t), sp.exp(-t), t), is_integral(-sp.exp(-t), sp.exp(-t), t)
        (True, False)
    """
    derivative = is_identity(sp.diff(candidate, variable), integrand)
    return derivative and is_identity(sp.sympify(candidate).subs(variable, lower), sp.Integer(0))


def is_zero(value: Expr) -> bool:
    """Whether a number or formula is proved to be 0.

    Example:
        >>> is_zero(1 - sp.exp(-1) * sp.E), is_zero(1 - sp.exp(-1) * sp.exp(sp.Rational(1000001, 1000000)))
        (True, False)
    """
    value = sp.sympify(value)
    # A ball first: exponents such as 1 + 1e-6 would become polynomials of degree a million.
    if not value.free_symbols and sign_of(value):
        return False
    return is_identity(value, sp.Integer(0))


def sign_of(value: Expr) -> int:
    """The sign of a real number that its ball proves; 0 where it proves none.

    Example:
        >>> sign_of(sp.exp(1) - 3), sign_of(sp.exp(1) - sp.exp(1))
        (-1, 0)
    """
    with working_precision(_BITS):
        try:
            return sign(evaluate_real(sp.sympify(value)))
        except BallDomainError:
            return 0


def text_of(value: Expr, digits: int = _DIGITS) -> str:
    """A real number in decimals, each right; ``"0"`` for what is proved to be 0.

    Example:
        >>> text_of(sp.exp(-1), 10)
        '0.3678794412'
    """
    value = sp.sympify(value)
    if is_zero(value):
        return "0"
    return decimal_value(lambda _: evaluate_real(value), digits) or "not settled"
