"""Ball arithmetic: numbers that carry a proof of where they are. The only door to python-flint besides the verifier.

A *ball* is a midpoint and a radius; every operation returns a ball that contains the true result for all points of
its operands. FLINT signals poles by balls that are not finite, and some branch cuts not at all: ``BallAlgebra`` raises
``BallDomainError`` in both cases, so that a number that comes out is a number that is proved.

Precision is a setting of the whole process in FLINT; ``working_precision`` is the one place that touches it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import acb, arb, ctx, fmpq

from pkverify.rational import decimal_text

# python-flint ships no types: a ball is an ``arb`` (real) or an ``acb`` (complex).
Ball = Any


_LARGEST_EXPONENT = 10**6  # beyond 2**1000000 a rational takes longer to write than anybody waits


class BallDomainError(ArithmeticError):
    """A function was asked for on a ball that touches a pole or a branch cut of it: no finite enclosure exists."""


@contextmanager
def working_precision(bits: int) -> Generator[None]:
    """Compute with so many bits inside the block, and restore what was set before, also after an error.

    Example:
        >>> with working_precision(200):
        ...     narrow = radius(real(Fraction(1, 3)))
        >>> narrow < Fraction(1, 2**200)
        True
    """
    if bits < 2:
        raise ValueError(f"a working precision of {bits} bits: balls need at least 2")
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


# Making balls, and reading them exactly.


def real(value: Fraction | int) -> Ball:
    """A real ball that contains a rational: it alone where it fits into the working precision, else the next few."""
    exact = Fraction(value)
    return arb(fmpq(exact.numerator, exact.denominator))


def complex_ball(value: Fraction | int) -> Ball:
    """The complex ball of a rational, with imaginary part exactly 0."""
    return acb(real(value))


def imaginary_unit() -> Ball:
    """The ball of i alone."""
    return acb(0, 1)


def dyadic(mantissa: int, exponent: int) -> Ball:
    """The ball of ``mantissa * 2**exponent`` alone."""
    return arb((mantissa, exponent))


def spanning(lower: Fraction, upper: Fraction) -> Ball:
    """A real ball that contains every number between two rationals, and hardly more (radii have 30 bits)."""
    return real(lower).union(real(upper))


def midpoint(ball: Ball) -> Fraction:
    """The midpoint of a real ball, exactly."""
    return _exact(ball.mid())


def radius(ball: Ball) -> Fraction:
    """The radius of a real ball, exactly."""
    return _exact(ball.rad())


def endpoints(ball: Ball) -> tuple[Fraction, Fraction]:
    """The two ends of a finite real ball, exactly.

    Example:
        >>> endpoints(real(Fraction(3, 4)))
        (Fraction(3, 4), Fraction(3, 4))
    """
    middle, half = midpoint(ball), radius(ball)
    return middle - half, middle + half


def _exact(dyadic: Ball) -> Fraction:
    if not dyadic.is_finite():
        raise BallDomainError(f"{dyadic} is not finite")
    mantissa, exponent = dyadic.man_exp()
    if abs(int(exponent)) > _LARGEST_EXPONENT:
        raise BallDomainError("the value is too large, or too small, to be written out")
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


# What a ball proves.


def excludes_zero(ball: Ball) -> bool:
    """Whether the ball proves that its number is not 0: finite, and 0 outside it.

    Example:
        >>> excludes_zero(real(1)), excludes_zero(spanning(Fraction(-1), Fraction(1))), excludes_zero(real(1) / real(0))
        (True, False, False)
    """
    return bool(ball.is_finite()) and not ball.contains(0)


def is_positive(ball: Ball) -> bool:
    """Whether the ball proves that its real number is greater than 0."""
    return bool(ball.is_finite()) and bool(ball > 0)


def agree(ball: Ball, other: Ball, allowed: Ball) -> bool:
    """Whether two real balls prove their numbers to differ by at most ``allowed * max(1, |other|)``.

    Example:
        >>> agree(real(Fraction(1, 3)), dyadic(85, -8), dyadic(1, -8)), agree(real(1), real(2), dyadic(1, -8))
        (True, False)
    """
    difference = abs(ball - other)
    return bool(difference <= allowed) or bool(difference <= allowed * abs(other))


def sign(ball: Ball) -> int:
    """The sign that a real ball proves, 0 where it proves none."""
    return 1 if is_positive(ball) else -1 if is_positive(-ball) else 0


def real_part(ball: Ball) -> Ball:
    """The real part of a ball whose number is known to be real.

    Raises:
        BallDomainError: If the imaginary part proves the contrary, or is not finite.
    """
    if not ball.is_finite():
        raise BallDomainError("the value is not finite: a pole, or a ball too wide")
    if isinstance(ball, arb):
        return ball
    if not ball.imag.contains(0):
        raise BallDomainError(f"the value {ball} is not real")
    return ball.real


# Decimals.


def to_decimal(ball: Ball, digits: int) -> str | None:
    """The number in a real ball to so many significant digits, or None where the ball leaves a digit open.

    Every digit is right: the number is rounded to the nearest decimal, which all points of the ball share.

    Example:
        >>> with working_precision(100):
        ...     to_decimal(real(Fraction(2, 3)), 12), to_decimal(real(Fraction(2, 3)), 50)
        ('0.666666666667', None)
    """
    if not ball.is_finite():
        return None
    lower, upper = endpoints(ball)
    texts = {decimal_text(end, digits, trim_exact=True) for end in (lower, upper)}
    return texts.pop() if len(texts) == 1 else None


def ball_text(ball: Ball, digits: int = 20) -> str:
    """A ball for a reader, midpoint and radius: ``[0.333 +/- 3.4e-4]``."""
    return str(ball.str(digits))


# Functions.


def integer_power(base: Ball, exponent: int) -> Ball:
    """A whole power by repeated multiplication: FLINT's own power of a ball around 0 is not a number.

    Raises:
        BallDomainError: If a negative power is asked of a ball that may contain 0.
    """
    if exponent < 0:
        return divided(type(base)(1), integer_power(base, -exponent))
    result, square = type(base)(1), base
    while exponent:
        if exponent & 1:
            result = result * square
        exponent >>= 1
        if exponent:
            square = square * square
    return result


def divided(numerator: Ball, divisor: Ball) -> Ball:
    """A quotient, refused where the divisor may be 0."""
    if not excludes_zero(divisor):
        raise BallDomainError(f"division by {divisor}, which may be 0")
    return numerator / divisor


def refuse_cut(ball: Ball, what: str) -> None:
    """Refuse balls that touch (-oo, 0], the branch cut of log and of roots."""
    if isinstance(ball, arb):
        if not is_positive(ball):
            raise BallDomainError(f"{what} of {ball}, which may not be positive")
    elif not (is_positive(ball.real) or excludes_zero(ball.imag)):
        raise BallDomainError(f"{what} of {ball}, which may touch the branch cut")


def _log(ball: Ball) -> Ball:
    refuse_cut(ball, "logarithm")
    return ball.log()


def _sqrt(ball: Ball) -> Ball:
    if ball == 0:
        return ball
    refuse_cut(ball, "square root")
    return ball.sqrt()


def _atan(ball: Ball) -> Ball:
    # The cuts are the imaginary axis from i and -i outwards.
    if isinstance(ball, acb) and ball.real.contains(0) and not abs(ball.imag) < 1:
        raise BallDomainError(f"arc tangent of {ball}, which may touch the branch cut")
    return ball.atan()


def _sigmoid(ball: Ball) -> Ball:
    return divided(type(ball)(1), 1 + (-ball).exp())


def _softplus(ball: Ball) -> Ball:
    # exp(-x) keeps its digits where exp(x) would swallow the 1.
    if isinstance(ball, arb) and ball.mid() > 0:
        return ball + _log(1 + (-ball).exp())
    return _log(1 + ball.exp())


def _tan(ball: Ball) -> Ball:
    return divided(ball.sin(), ball.cos())


def _tanh(ball: Ball) -> Ball:
    return ball.tanh() if isinstance(ball, arb) else divided(ball.sinh(), ball.cosh())


def _relu(ball: Ball) -> Ball:
    if isinstance(ball, arb):
        return ball.max(arb(0))
    direction = sign(ball.real)
    if direction == 0:
        raise BallDomainError(f"relu of {ball}, which may touch its kink")
    return ball if direction > 0 else acb(0)


def _abs(ball: Ball) -> Ball:
    if isinstance(ball, arb):
        return abs(ball)
    direction = sign(ball.real)
    if direction == 0:
        raise BallDomainError(f"absolute value of {ball}, which may touch its kink")
    return ball if direction > 0 else -ball


_FUNCTIONS: dict[str, Callable[[Ball], Ball]] = {
    "exp": lambda ball: ball.exp(),
    "log": _log,
    "sqrt": _sqrt,
    "sin": lambda ball: ball.sin(),
    "cos": lambda ball: ball.cos(),
    "tan": _tan,
    "sinh": lambda ball: ball.sinh(),
    "cosh": lambda ball: ball.cosh(),
    "tanh": _tanh,
    "atan": _atan,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "relu": _relu,
    "abs": _abs,
    "erf": lambda ball: ball.erf(),
}


@dataclass(frozen=True)
class BallAlgebra:
    """The algebra of balls: replay a model or a loss over it and every number that comes out is enclosed.

    Over complex balls (``is_complex``) each function is the analytic continuation of the real one from the real axis,
    refused where the ball touches a cut or a kink: what comes out is analytic on the ball, as Cauchy's bound needs it.

    Raises:
        BallDomainError: From any operation that touches a pole, a branch cut or (complex) a kink, or is not finite.

    Example:
        >>> from pkverify.expression import parse_expression
        >>> product = parse_expression("x*(1 - x)", ["x"]).build(BallAlgebra(), {"x": real(Fraction(1, 4))})
        >>> endpoints(product)
        (Fraction(3, 16), Fraction(3, 16))
    """

    is_complex: bool = False

    def number(self, value: Fraction) -> Ball:
        return complex_ball(value) if self.is_complex else real(value)

    def pi(self) -> Ball:
        return acb.pi() if self.is_complex else arb.pi()

    def add(self, terms: Sequence[Ball]) -> Ball:
        return sum(terms[1:], terms[0])

    def multiply(self, left: Ball, right: Ball) -> Ball:
        return left * right

    def divide(self, left: Ball, right: Ball) -> Ball:
        return divided(left, right)

    def power(self, base: Ball, exponent: Fraction) -> Ball:
        if exponent.denominator == 1:
            return integer_power(base, exponent.numerator)
        if exponent == Fraction(1, 2):
            return _sqrt(base)
        if base == 0 and exponent > 0:
            return base
        return (_log(base) * real(exponent)).exp()

    def call(self, function: str, argument: Ball) -> Ball:
        result = _FUNCTIONS[function](argument)
        if not result.is_finite():
            raise BallDomainError(f"{function} of {argument} has no finite enclosure")
        return result
