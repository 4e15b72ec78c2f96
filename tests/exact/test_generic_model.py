"""Expressions put together again from other parts: a division stays visible, plain numbers are combined."""

from __future__ import annotations

import pytest
import sympy as sp
from sympy import Expr

from pkverify.exact.generic_model import rebuilt

X, Y = sp.symbols("x y")


@pytest.mark.parametrize(
    ("expression", "parts", "expected"),
    [
        (X * Y, [sp.Integer(1), sp.Integer(0)], sp.Integer(0)),
        (X + Y, [sp.Integer(2), sp.Rational(1, 2)], sp.Rational(5, 2)),
        (X**3, [sp.Rational(2, 3), sp.Integer(-2)], sp.Rational(9, 4)),
    ],
)
def test_rational_numbers_are_combined(expression: Expr, parts: list[Expr], expected: Expr) -> None:
    assert rebuilt(expression, parts) == expected


def test_a_division_by_zero_stays_visible() -> None:
    inverse = rebuilt(1 / X, [sp.Integer(0), sp.Integer(-1)])
    assert inverse.is_Pow
    assert inverse.args == (0, -1)
    product = rebuilt(X * Y, [sp.Integer(0), inverse])
    assert product.is_Mul
    assert inverse in product.args


@pytest.mark.parametrize("expression", [X * Y, X + Y])
def test_what_holds_a_name_is_not_evaluated(expression: Expr) -> None:
    quotient = sp.Pow(X, -1, evaluate=False)
    assert set(rebuilt(expression, [X, quotient]).args) == {X, quotient}
