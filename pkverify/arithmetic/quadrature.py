"""Quadrature to many digits: an independent second route to integrals that the recurrences produce."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from mpmath.ctx_mp import MPContext


def integrate(
    function: Callable[[Fraction], Fraction], start: Fraction, end: Fraction, digits: int
) -> tuple[Fraction, Fraction]:
    """The integral of a smooth function, with an error estimate (no bound), by tanh-sinh quadrature.

    Args:
        function: Takes and returns rationals (of about ``digits + 10`` digits).
        start: Lower end.
        end: Upper end.
        digits: Working precision, in decimal digits.

    Returns:
        The integral and the estimate of its error.

    Example:
        >>> value, _ = integrate(lambda x: x * x, Fraction(0), Fraction(3), 20)
        >>> round(float(value), 12)
        9.0
    """
    context = MPContext()
    context.dps = digits + 10

    def real(value: Fraction) -> Any:
        return context.mpf(value.numerator) / value.denominator

    value, error = context.quad(lambda x: real(function(_exact(x))), [real(start), real(end)], error=True)
    return _exact(value), _exact(error)


def gauss_legendre(count: int, digits: int) -> Sequence[tuple[Fraction, Fraction]]:
    """Nodes and weights of the Gauss-Legendre rule on [0, 1], to the given digits.

    Example:
        >>> [(float(x), float(w)) for x, w in gauss_legendre(1, 20)]
        [(0.5, 1.0)]
    """
    context = MPContext()
    context.dps = digits + 10
    rule: list[tuple[Fraction, Fraction]] = []
    for k in range(1, count + 1):
        x, slope = context.cos(context.pi * (4 * k - 1) / (4 * count + 2)), context.mpf(1)
        for _ in range(digits.bit_length() + 4):  # Newton doubles the digits from about two
            previous, value = context.mpf(1), x
            for n in range(2, count + 1):
                previous, value = value, ((2 * n - 1) * x * value - (n - 1) * previous) / n
            slope = count * (x * value - previous) / (x * x - 1)
            x -= value / slope
        rule.append((_exact((1 + x) / 2), _exact(1 / ((1 - x * x) * slope * slope))))
    return rule


def _exact(value: Any) -> Fraction:
    """The rational that an mpmath number is."""
    sign, mantissa, exponent, _ = value._mpf_
    signed = -int(mantissa) if sign else int(mantissa)
    return Fraction(signed) * Fraction(2) ** exponent
