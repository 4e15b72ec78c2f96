"""Real balls as a number type of Taylor expansions: every coefficient that comes out is enclosed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from pkverify.arithmetic.ball import Ball, BallAlgebra, divided, real


class RealBalls:
    """Arithmetic on real balls, at the working precision of the moment.

    Raises:
        BallDomainError: From an operation that touches a pole or a branch cut, or is not finite.

    Example:
        >>> balls = RealBalls()
        >>> third = balls.reciprocal(balls.number(Fraction(3)))
        >>> bool(balls.multiply(third, balls.number(Fraction(3))).contains(1))
        True
    """

    def __init__(self) -> None:
        self.zero = real(0)
        self.one = real(1)
        self._algebra = BallAlgebra()

    def number(self, value: Fraction) -> Ball:
        return real(value)

    def pi(self) -> Ball:
        return self._algebra.pi()

    def multiply(self, left: Ball, right: Ball) -> Ball:
        return left * right

    def divide_integer(self, value: Ball, divisor: int) -> Ball:
        return value / divisor

    def reciprocal(self, value: Ball) -> Ball:
        return divided(self.one, value)

    def function(self, name: str, value: Ball, exponent: Fraction | None = None) -> Ball:
        return self._algebra.call(name, value) if exponent is None else self._algebra.power(value, exponent)

    def product(self, left: Sequence[Ball], right: Sequence[Ball]) -> Callable[[], Ball]:
        return lambda: sum((a * b for a, b in zip(left, reversed(right), strict=True)), self.zero)

    def combination(self, coefficients: Sequence[Ball], series: Sequence[Sequence[Ball]]) -> Callable[[int], Ball]:
        return lambda k: sum((c * s[k] for c, s in zip(coefficients, series, strict=True)), self.zero)
