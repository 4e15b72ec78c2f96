"""Ball arithmetic: numbers that carry a proof of where they are. The only door to python-flint besides the verifier.

A *ball* is a midpoint and a radius; every operation returns a ball that contains the true result for all points of
its operands. FLINT signals poles by balls that are not finite, and some branch cuts not at all: ``BallAlgebra`` raises
``BallDomainError`` in both cases, so that a number that comes out is a number that is proved.

Precision is a setting of the whole process in FLINT; ``working_precision`` is the one place that touches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flint import acb, arb, ctx, fmpq

# python-flint ships no types: a ball is an ``arb`` (real) or an ``acb`` (complex).
Ball = Any


class BallDomainError(ArithmeticError):
    """A function was asked for on a ball that touches a pole or a branch cut of it: no finite enclosure exists."""


@contextmanager
def working_precision(bits: int) -> Iterator[None]:
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
    texts = {decimal_text(lower, digits), decimal_text(upper, digits)}
    return texts.pop() if len(texts) == 1 else None


def decimal_text(value: Fraction, digits: int) -> str:
    """A rational rounded to so many significant digits, ties to the even one; trailing zeros only in rounded ones.

    Example:
        >>> decimal_text(Fraction(1, 8), 5), decimal_text(Fraction(-2, 3), 4), decimal_text(Fraction(2, 3 * 10**9), 3)
        ('0.125', '-0.6667', '6.67e-10')
    """
    if digits < 1:
        raise ValueError(f"{digits} significant digits: at least 1 is needed")
    if value == 0:
        return "0"
    size = abs(value)
    exponent = _decimal_exponent(size)
    scaled = round(size * Fraction(10) ** (digits - 1 - exponent))
    if scaled == 10**digits:  # 9.99 became 10.0
        scaled, exponent = scaled // 10, exponent + 1
    mantissa, widest = str(scaled), digits
    if Fraction(scaled) * Fraction(10) ** (exponent - digits + 1) == size:  # exact: every further digit is a zero
        mantissa, widest = mantissa.rstrip("0"), 21
    return ("-" if value < 0 else "") + _placed(mantissa, exponent, widest)


def _decimal_exponent(size: Fraction) -> int:
    """The exponent e with 10^e <= size < 10^(e+1)."""
    # log10(2) is about 30103/100000; the estimate is off by one or two at most, and then corrected.
    exponent = (size.numerator.bit_length() - size.denominator.bit_length()) * 30103 // 100000
    while Fraction(10) ** exponent > size:
        exponent -= 1
    while Fraction(10) ** (exponent + 1) <= size:
        exponent += 1
    return exponent


def _placed(mantissa: str, exponent: int, widest: int) -> str:
    if exponent < -6 or exponent >= widest:
        return f"{mantissa[0]}{'.' + mantissa[1:] if len(mantissa) > 1 else ''}e{exponent:+03d}"
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + mantissa
    mantissa = mantissa.ljust(exponent + 1, "0")
    whole, rest = mantissa[: exponent + 1], mantissa[exponent + 1 :]
    return f"{whole}.{rest}" if rest else whole


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


def _off_the_cut(ball: Ball, what: str) -> None:
    """Refuse balls that touch (-oo, 0], the branch cut of log and of roots."""
    if isinstance(ball, arb):
        if not is_positive(ball):
            raise BallDomainError(f"{what} of {ball}, which may not be positive")
    elif not (is_positive(ball.real) or excludes_zero(ball.imag)):
        raise BallDomainError(f"{what} of {ball}, which may touch the branch cut")


def _log(ball: Ball) -> Ball:
    _off_the_cut(ball, "logarithm")
    return ball.log()


def _sqrt(ball: Ball) -> Ball:
    if ball == 0:
        return ball
    _off_the_cut(ball, "square root")
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


def lambert_w(ball: Ball) -> Ball:
    """The principal branch of Lambert's W, refused on its branch cut (-oo, -1/e]."""
    branch_point = -(-type(ball)(1)).exp()
    _off_the_cut(ball - branch_point, "Lambert W, from its branch point,")
    return ball.lambertw()


def incomplete_beta(a: Ball, b: Ball, end: Ball) -> Ball:
    """The incomplete beta function ``integral_0^end s^(a-1) (1-s)^(b-1) ds``; ``b`` may be 0 where ``end`` is below 1."""
    # end^a/a F(a, 1-b; a+1; end) is the same function, and unlike FLINT's own it is finite at b = 0.
    series = acb(end).hypgeom_2f1(acb(a), acb(1 - b), acb(a + 1))
    return (_log(end) * a).exp() / a * real_part(series)


def hypergeometric(upper: Sequence[Ball], lower: Sequence[Ball], argument: Ball) -> Ball:
    """The generalised hypergeometric function of complex balls, its principal branch.

    Raises:
        BallDomainError: If FLINT finds no finite enclosure.
    """
    value = acb(argument).hypgeom([acb(a) for a in upper], [acb(b) for b in lower])
    if not value.is_finite():
        raise BallDomainError("the hypergeometric function has no finite enclosure here")
    return value


def integral(integrand: Callable[[Ball], Ball], start: Fraction | Ball, end: Fraction | Ball) -> Ball:
    """Enclose the integral of a real function along the real axis.

    The integrand is evaluated on complex balls and must refuse (raise ``BallDomainError``) wherever it is not
    analytic, as the functions of a complex ``BallAlgebra`` do: without that, the enclosure would be no proof.

    Raises:
        BallDomainError: If no finite enclosure is found.

    Example:
        >>> algebra = BallAlgebra(is_complex=True)
        >>> root = lambda s: algebra.call("sqrt", s)
        >>> to_decimal(integral(root, Fraction(1), Fraction(4)), 12)
        '4.66666666667'
    """

    def guarded(point: Ball, analytic: bool) -> Ball:  # noqa: ARG001, FBT001 - FLINT's signature; analytic or refused, always
        try:
            value = integrand(point)
        except (BallDomainError, ZeroDivisionError):
            return acb("nan")
        return value if isinstance(value, acb) else acb(value)

    ends = [acb(real(end)) if isinstance(end, Fraction | int) else acb(end) for end in (start, end)]
    return real_part(acb.integral(guarded, *ends))
