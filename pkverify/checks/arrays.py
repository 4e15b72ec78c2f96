"""Formulas over arrays of doubles: many queries and many times at once, for searches and never for verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

Array = Any  # NumPy's own types would need a dtype and a shape at every place

_erf: Callable[[Array], Array] = np.vectorize(math.erf, otypes=[float])
_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "atan": np.arctan,
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(0.5 * x)),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "relu": lambda x: np.maximum(x, 0.0),
    "abs": np.abs,
    "erf": _erf,
}


class ArrayAlgebra:
    """The algebra of arrays; what is undefined becomes NaN and is left to the caller.

    Example:
        >>> from pkverify.expression import parse_expression
        >>> parse_expression("x**2/4", ["x"]).build(ArrayAlgebra(), {"x": np.array([1.0, 2.0])}).tolist()
        [0.25, 1.0]
    """

    def number(self, value: Fraction) -> Array:
        return np.float64(value)

    def pi(self) -> Array:
        return np.float64(math.pi)

    def add(self, terms: Sequence[Array]) -> Array:
        return sum(terms[1:], terms[0])

    def multiply(self, left: Array, right: Array) -> Array:
        return left * right

    def divide(self, left: Array, right: Array) -> Array:
        return left / right

    def power(self, base: Array, exponent: Fraction) -> Array:
        return base ** (int(exponent) if exponent.denominator == 1 and exponent >= 0 else float(exponent))

    def call(self, function: str, argument: Array) -> Array:
        return _FUNCTIONS[function](argument)
