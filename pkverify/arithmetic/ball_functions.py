"""Special functions of balls, and integrals: enclosed, and refused across poles and branch cuts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache

from flint import acb, arb

from pkverify.arithmetic.ball import (
    Ball,
    BallAlgebra,
    BallDomainError,
    real,
    real_part,
    refuse_cut,
    working_precision,
)


def lambert_w(ball: Ball) -> Ball:
    """The principal branch of Lambert's W, refused on its branch cut (-oo, -1/e]."""
    branch_point = -(-type(ball)(1)).exp()
    refuse_cut(ball - branch_point, "Lambert W, from its branch point,")
    return ball.lambertw()


def incomplete_beta(a: Ball, b: Ball, end: Ball) -> Ball:
    """The incomplete beta function ``integral_0^end s^(a-1) (1-s)^(b-1) ds``; ``b`` may be 0 for an ``end`` below 1."""
    # end^a/a F(a, 1-b; a+1; end) is the same function, and unlike FLINT's own it is finite at b = 0.
    series = acb(end).hypgeom_2f1(acb(a), acb(1 - b), acb(a + 1))
    return (BallAlgebra().call("log", end) * a).exp() / a * real_part(series)


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
        >>> from pkverify.arithmetic.ball import to_decimal
        >>> algebra = BallAlgebra(is_complex=True)
        >>> root = lambda s: algebra.call("sqrt", s)
        >>> to_decimal(integral(root, Fraction(1), Fraction(4)), 12)
        '4.66666666667'
    """

    def guarded(point: Ball, analytic: bool) -> Ball:  # noqa: ARG001, FBT001 - FLINT calls it so
        try:
            value = integrand(point)
        except (BallDomainError, ZeroDivisionError):
            return acb("nan")
        return value if isinstance(value, acb) else acb(value)

    first, last = (acb(real(end)) if isinstance(end, Fraction | int) else acb(end) for end in (start, end))
    return real_part(acb.integral(guarded, first, last))


@lru_cache(maxsize=64)
def gauss_rule(count: int, bits: int) -> tuple[tuple[Ball, Ball], ...]:
    """The nodes and weights of the Gauss-Legendre rule on [0, 1], each in a ball of so many bits.

    Example:
        >>> [(float(node), float(weight)) for node, weight in gauss_rule(1, 64)]
        [(0.5, 1.0)]
    """
    with working_precision(bits):
        upper = [arb.legendre_p_root(count, k, weight=True) for k in range((count + 1) // 2)]  # the rule is symmetric
        rule = upper + [(-node, weight) for node, weight in upper[: count // 2]]
        return tuple(((1 + node) / 2, weight / 2) for node, weight in rule)
