"""Exact rationals as a number type: what can be said of constants without any rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

VANISH_AT_ZERO = frozenset({"sqrt", "sin", "tan", "sinh", "tanh", "atan", "erf"})


class IrrationalError(Exception):
    """A value that is not rational was asked for."""


class Rationals:
    """Arithmetic on ``Fraction``; refuses pi and every function but where it is 0 at 0: all of it is exact."""

    zero = Fraction(0)
    one = Fraction(1)

    def number(self, value: Fraction) -> Fraction:
        return value

    def pi(self) -> Fraction:
        raise IrrationalError("pi")

    def multiply(self, left: Fraction, right: Fraction) -> Fraction:
        return left * right

    def reciprocal(self, value: Fraction) -> Fraction:
        return 1 / value

    def function(self, name: str, value: Fraction, exponent: Fraction | None = None) -> Fraction:
        if value == 0 and (name in VANISH_AT_ZERO if exponent is None else exponent > 0):
            return self.zero
        raise IrrationalError(name)

    def product(self, left: Sequence[Fraction], right: Sequence[Fraction]) -> Callable[[], Fraction]:
        return lambda: sum((a * b for a, b in zip(left, reversed(right), strict=True)), Fraction(0))

    def divide_integer(self, value: Fraction, divisor: int) -> Fraction:
        return value / divisor

    def combination(
        self, coefficients: Sequence[Fraction], series: Sequence[Sequence[Fraction]]
    ) -> Callable[[int], Fraction]:
        return lambda k: sum((c * s[k] for c, s in zip(coefficients, series, strict=True)), Fraction(0))
