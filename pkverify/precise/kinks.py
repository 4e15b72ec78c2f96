"""Kinks on the path: where the argument of a relu or abs changes its sign within a step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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
    top = max(abs(c).bit_length() for c in series)
    if top == 0:
        return None
    values = np.array([int(c) / (1 << top) for c in series]) * scale ** np.arange(len(series))
    largest = float(np.max(np.abs(values)))
    if abs(values[0]) > max(1e-12 * largest, float(np.sum(np.abs(values[1:])))):
        return None
    roots, low = _real_roots(values), 0
    between = [(int(0.5 * (a + b) * scale * 2**60) << numbers.bits) >> 60 for a, b in pairwise([0.0, *roots])]
    # Between two roots the sign is that of any point, and the number type tells it. A root that doubles cannot tell
    # from 0 needs no care: the first point tells on which side of it the step starts.
    for point, root in zip([*between, end], [None, *roots], strict=True):
        sign = side * evaluate(series, point, numbers)
        if sign < 0 or (sign == 0 and point == end):
            return _bisect(series, side, numbers, low, point)
        if root is not None and _touches(values, root):
            raise ArithmeticError("the argument touches zero")
        low = point
    return None


def _touches(values: FloatArray, root: float) -> bool:
    """Whether value and slope both vanish at a root, as far as doubles can tell."""
    slopes = values[1:] * np.arange(1, len(values))
    at = [abs(float(np.polynomial.polynomial.polyval(root, series))) for series in (values, slopes)]
    largest = float(np.max(np.abs(values)))
    return at[0] < 1e-12 * largest and at[1] < 1e-5 * largest


def _real_roots(coefficients: FloatArray) -> list[float]:
    """The roots in (0, 1], give or take, of a polynomial with the constant coefficient first; near ones count once."""
    large = np.nonzero(np.abs(coefficients) > 1e-18 * np.max(np.abs(coefficients)))[0]
    found = [complex(root) for root in np.roots(coefficients[: large[-1] + 1][::-1])]
    real = sorted(root.real for root in found if abs(root.imag) <= _IMAGINARY and 1e-9 < root.real < 1)
    return [root for root, previous in zip(real, [0.0, *real], strict=False) if root - previous > 1e-9]


def _bisect(series: Sequence[int], side: int, numbers: FixedPoint, low: int, high: int) -> int:
    """Bisection between a point on the side and one beyond it, down to one unit."""
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
