"""Models, losses and regularisers as SymPy expressions over the rationals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp

# SymPy comes without types: Expr is what it calls an expression.
Expr = Any

_FUNCTIONS = {
    "exp": sp.exp,
    "log": sp.log,
    "sqrt": sp.sqrt,
    "sin": sp.sin,
    "cos": sp.cos,
    "tan": sp.tan,
    "sinh": sp.sinh,
    "cosh": sp.cosh,
    "tanh": sp.tanh,
    "atan": sp.atan,
    "sigmoid": lambda x: 1 / (1 + sp.exp(-x)),
    "softplus": lambda x: sp.log(1 + sp.exp(x)),
    "relu": lambda x: sp.Max(x, 0),
    "abs": sp.Abs,
    "erf": sp.erf,
}


@dataclass(frozen=True)
class SymPyAlgebra:
    """The algebra of SymPy expressions; every number is a rational, never a float.

    Example:
        >>> from pkverify.expression import parse_expression
        >>> w = sp.Symbol("w", real=True)
        >>> parse_expression("sigmoid(w) + 0.1", ["w"]).build(SymPyAlgebra(), {"w": w})
        1/10 + 1/(1 + exp(-w))
    """

    def number(self, value: Fraction) -> Expr:
        return rational(value)

    def pi(self) -> Expr:
        return sp.pi

    def add(self, terms: Sequence[Expr]) -> Expr:
        return sp.Add(*terms)

    def multiply(self, left: Expr, right: Expr) -> Expr:
        return left * right

    def divide(self, left: Expr, right: Expr) -> Expr:
        return left / right

    def power(self, base: Expr, exponent: Fraction) -> Expr:
        return base ** rational(exponent)

    def call(self, function: str, argument: Expr) -> Expr:
        return _FUNCTIONS[function](argument)


def rational(value: Fraction) -> Expr:
    """The SymPy rational equal to a fraction.

    Example:
        >>> rational(Fraction(2, -6))
        -1/3
    """
    return sp.Rational(value.numerator, value.denominator)


def fraction(value: Expr) -> Fraction:
    """The fraction equal to a SymPy rational.

    Raises:
        TypeError: If it is anything else than a rational.
    """
    if not value.is_Rational:
        raise TypeError(f"{value} is not a rational")
    return Fraction(int(value.p), int(value.q))
