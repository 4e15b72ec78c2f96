"""Rationals as decimals, rounded once and rightly."""

from __future__ import annotations

from fractions import Fraction


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
