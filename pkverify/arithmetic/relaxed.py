"""Products of power series whose coefficients become known one by one, in less than quadratic time.

The coefficient of order n of a product needs the factors up to order n only, but all of them. A *relaxed* product adds
up whole blocks as soon as both are known, each as one product of polynomials, so that the last coefficient is not a sum
of n products but of what is left over (J. van der Hoeven, "Relax, but don't be too lazy", J. Symb. Comp. 34, 2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import flint


class RelaxedProduct:
    """The product of two growing series of integers.

    Call it once after each pair of coefficients was appended; it returns the product's coefficient of the same order,
    unrounded. Lists that were cleared and start again are noticed by their length.

    Example:
        >>> left, right = [], []
        >>> product = RelaxedProduct(left, right)
        >>> def coefficient(a, b): left.append(a); right.append(b); return int(product())
        >>> [coefficient(k + 1, 1) for k in range(4)]  # (1 + 2t + 3t^2 + ...) (1 + t + t^2 + ...)
        [1, 3, 6, 10]
    """

    def __init__(self, left: Sequence[int], right: Sequence[int]) -> None:
        self._left = left
        self._right = right
        self._sums: list[int] = []

    def __call__(self) -> int:
        """The coefficient of order ``len(left) - 1``."""
        left, right, sums = self._left, self._right, self._sums
        order = len(left) - 1
        if order == 0:
            sums.clear()
        reach, size = order + 2, 1
        while reach % size == 0:
            first, last = slice(size - 1, 2 * size - 1), slice(reach - size - 1, reach - 1)
            if reach == 2 * size:
                self._add(_block(left[first], right[first]), 2 * size - 2)
                break
            block = _block(left[first], right[last])
            self._add(block, order)
            self._add(block if left is right else _block(left[last], right[first]), order)
            size *= 2
        sums.extend([0] * (order + 1 - len(sums)))  # blocks leave out zeros at their end
        return sums[order]

    def _add(self, block: Sequence[int], at: int) -> None:
        sums = self._sums
        sums.extend([0] * (at + len(block) - len(sums)))
        for place, value in enumerate(block, start=at):
            sums[place] += value


def _block(left: Sequence[int], right: Sequence[int]) -> Sequence[int]:
    """The product of two short polynomials, with its zero coefficients at the end left out or not."""
    if len(left) == 1:
        return [left[0] * right[0]]
    return cast("list[int]", (flint.fmpz_poly(left) * flint.fmpz_poly(right)).coeffs())
