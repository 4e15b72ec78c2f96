"""Kinks on the path: where the argument of a relu or abs changes its sign within a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pkverify.arithmetic.fixed_point import FixedPoint

FloatArray = NDArray[np.floating]

_IMAGINARY = 1e-5  # a root this close to the real axis (relative to the step) is looked at


def first_crossing(series: Sequence[int], side: int, end: int, numbers: FixedPoint) -> int | None:
    """The first tau in (0, end] at which the polynomial leaves its side, or None.

    Args:
        series: Coefficients of the argument in tau.
        side: 1 or -1, the sign it has (or takes) just after 0.
        end: The part of the step that is to be taken.
        numbers: The number type.

    Returns:
        The crossing, to all bits of the number type.

    Raises:
        ArithmeticError: If the polynomial touches zero so closely that doubles cannot tell crossing from touching.
    """
    scale = numbers.to_float(end)
    values = np.array([numbers.to_float(c) for c in series]) * scale ** np.arange(len(series))
    starts_at_zero = abs(values[0]) <= 1e-12 * np.max(np.abs(values))
    head = 0.0 if starts_at_zero else abs(values[0])
    if head > np.sum(np.abs(values[1:])):
        return None
    coefficients = values[1:] if starts_at_zero else values
    previous, near = 0.0, _real_roots(coefficients)
    for root, following in zip(near, [*near, 1.0][1:], strict=True):
        left, right = 0.5 * (previous + root), min(0.5 * (root + max(following, root + 1e-9)), 1.0)
        before, after = (side * float(np.polynomial.polynomial.polyval(at, values)) for at in (left, right))
        if before > 0 > after or (before > 0 and right == 1.0 and after <= 0):
            return _bisect(series, side, numbers, left * scale, right * scale)
        closest = abs(float(np.polynomial.polynomial.polyval(root, values)))
        if after > 0 and closest < 1e-12 * float(np.max(np.abs(values))):
            raise ArithmeticError("the argument touches zero")
        previous = root
    return None


def _real_roots(coefficients: FloatArray) -> list[float]:
    """The roots in (0, 1], give or take, of a polynomial with the constant coefficient first."""
    if not np.any(coefficients[1:]):
        return []
    roots = [complex(root) for root in np.roots(np.trim_zeros(coefficients[::-1], "f"))]
    return sorted(root.real for root in roots if abs(root.imag) <= _IMAGINARY and 1e-9 < root.real <= 1 + 1e-9)


def _bisect(series: Sequence[int], side: int, numbers: FixedPoint, left: float, right: float) -> int:
    """Bisection between two points of opposite sign, down to one unit."""
    low, high = (int(at * 2**60) << max(numbers.bits - 60, 0) for at in (left, right))
    while high - low > 1:
        middle = (low + high) // 2
        if side * evaluate(series, middle, numbers) > 0:
            low = middle
        else:
            high = middle
    return high


def evaluate(series: Sequence[int], at: int, numbers: FixedPoint) -> int:
    """The polynomial at a point, by Horner's rule."""
    value, bits = numbers.zero, numbers.bits
    for coefficient in reversed(series):
        value = ((value * at) >> bits) + coefficient
    return value
