"""Exact numbers: every number a user writes is read as a rational, never as a binary float."""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil, inf, log10
from numbers import Rational

from pkverify.errors import InputError

# Python converts integers of up to 4300 digits to text and back; a number this long is a mistake anyway.
MAX_DIGITS = 4000
_WIDEST_EXACT = 21  # exact integers are written out up to so many digits
_LIMIT = 10**MAX_DIGITS
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_RATIO = re.compile(r"[+-]?\d+\s*/\s*\d+", re.ASCII)
_GROUPED = re.compile(r"(?<=\d)_(?=\d)", re.ASCII)


def parse_rational(value: object) -> Fraction:
    """Read an exact number: an integer, a ``Fraction``, a decimal or a ratio in text, or a float as it prints.

    A float is read as the shortest decimal that prints it, so that ``0.1`` is 1/10 and not the double nearest to it.

    Args:
        value: What the user wrote.

    Returns:
        The rational.

    Raises:
        InputError: If it is no finite number, or its numerator or denominator has more than ``MAX_DIGITS`` digits.

    Example:
        >>> parse_rational("1e-3"), parse_rational(0.1), parse_rational("-2/6")
        (Fraction(1, 1000), Fraction(1, 10), Fraction(-1, 3))
    """
    if isinstance(value, bool) or not isinstance(value, (Rational, float, str)):
        raise InputError(
            f"{_shown(value)} is not a number", "numbers are integers, decimals or ratios", 'write 1/3 as "1/3"'
        )
    if isinstance(value, Rational):  # NumPy's integers, too
        return _bounded(Fraction(int(value.numerator), int(value.denominator)))
    # float.__repr__, because a subclass (NumPy's float64) may print itself with its name.
    text = float.__repr__(value) if isinstance(value, float) else _GROUPED.sub("", value.strip())
    if len(text) > 2 * MAX_DIGITS + 10:
        raise InputError(f"number of {len(text)} characters", f"numbers have at most {MAX_DIGITS} digits", "round it")
    if _RATIO.fullmatch(text):
        numerator, denominator = (_integer(part) for part in text.split("/"))
        if denominator == 0:
            raise InputError(f"{_shown(value)} is not a number", "its denominator is zero", "write a finite number")
        return _bounded(Fraction(numerator, denominator))
    if not _DECIMAL.fullmatch(text):
        if text.lower().strip("+-") in {"nan", "inf", "infinity"}:
            raise InputError(
                f"{_shown(value)} is not a finite number",
                "the theorem is about finite numbers",
                "write a finite number",
            )
        raise InputError(
            f"{_shown(value)} is not a number",
            "numbers are integers, decimals or ratios",
            'write for example "1/3" or "0.25"',
        )
    mantissa, _, exponent = text.lower().partition("e")
    digits = exponent.lstrip("+-0")
    if len(digits) > len(str(MAX_DIGITS)) or int(digits or "0") > MAX_DIGITS or len(mantissa) > MAX_DIGITS:
        raise _out_of_range(value)
    return _bounded(Fraction(text))


def format_rational(value: Fraction) -> str:
    """The rational as text that ``parse_rational`` reads back to the same number.

    Raises:
        InputError: If its numerator or denominator has more than ``MAX_DIGITS`` digits.

    Example:
        >>> format_rational(Fraction(-1, 3)), format_rational(Fraction(4))
        ('-1/3', '4')
    """
    return str(_bounded(value))


def _integer(text: str) -> int:
    digits = text.strip()
    if len(digits) > MAX_DIGITS + 2:
        raise InputError(f"number of {len(digits)} digits", f"numbers have at most {MAX_DIGITS} digits", "round it")
    return int(digits)


def _bounded(value: Fraction) -> Fraction:
    """The number, if it can be written out again."""
    if abs(value.numerator) > _LIMIT or value.denominator > _LIMIT:
        raise _out_of_range("number")
    return value


def _out_of_range(value: object) -> InputError:
    shown = value if value == "number" else _shown(value)
    return InputError(
        f"{shown} is out of range",
        f"a numerator or denominator has at most {MAX_DIGITS} digits, an exponent reaches to {MAX_DIGITS}",
        "rescale the problem",
    )


def _shown(value: object) -> str:
    """The value as an error message may show it: quoted, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def decimal_text(value: Fraction, digits: int, *, trim_exact: bool = False) -> str:
    """A rational as a decimal string, rounded once to so many significant digits, ties to the even one.

    Args:
        value: The number.
        digits: Significant digits, at least 1.
        trim_exact: Whether a number that needs fewer digits than that goes without trailing zeros.

    Example:
        >>> decimal_text(Fraction(2, 3), 5), decimal_text(Fraction(-1, 3 * 10**9), 3), decimal_text(Fraction(0), 9)
        ('0.66667', '-3.33e-10', '0')
        >>> decimal_text(Fraction(1, 8), 5), decimal_text(Fraction(1, 8), 5, trim_exact=True)
        ('0.12500', '0.125')
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
    if trim_exact and Fraction(scaled) * Fraction(10) ** (exponent - digits + 1) == size:
        mantissa, widest = mantissa.rstrip("0"), _WIDEST_EXACT
    return ("-" if value < 0 else "") + _placed(mantissa, exponent, widest)


def decimal_above(value: Fraction, digits: int) -> str:
    """The least decimal of so many significant digits that is not below a number that is not negative.

    Example:
        >>> decimal_above(Fraction(1, 3), 3), decimal_above(Fraction(9999, 10**7), 3), decimal_above(Fraction(1, 4), 3)
        ('0.334', '0.001', '0.25')
    """
    if value == 0:
        return "0"
    unit = Fraction(10) ** (_decimal_exponent(value) - digits + 1)
    return decimal_text(ceil(value / unit) * unit, digits, trim_exact=True)


def _placed(mantissa: str, exponent: int, widest: int) -> str:
    """A mantissa with its point: positional where that stays short, else scientific."""
    if exponent < -6 or exponent >= widest:
        return f"{mantissa[0]}{'.' + mantissa[1:] if len(mantissa) > 1 else ''}e{exponent:+03d}"
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + mantissa
    mantissa = mantissa.ljust(exponent + 1, "0")
    whole, rest = mantissa[: exponent + 1], mantissa[exponent + 1 :]
    return f"{whole}.{rest}" if rest else whole


def log10_of(value: Fraction) -> float:
    """The decimal logarithm of a non-negative rational of any size; minus infinity for 0.

    Example:
        >>> log10_of(Fraction(1, 10**2000)), log10_of(Fraction(0))
        (-2000.0, -inf)
    """
    if value == 0:
        return -inf
    shift = value.numerator.bit_length() - value.denominator.bit_length()
    return log10(value / Fraction(2) ** shift) + shift * log10(2)


def _decimal_exponent(value: Fraction) -> int:
    """The integer e with 10**e <= value < 10**(e+1), for a positive value."""
    bits = value.numerator.bit_length() - value.denominator.bit_length()
    exponent = int(bits * 0.30102999566398120) - 1
    while Fraction(10) ** (exponent + 1) <= value:
        exponent += 1
    while Fraction(10) ** exponent > value:
        exponent -= 1
    return exponent
