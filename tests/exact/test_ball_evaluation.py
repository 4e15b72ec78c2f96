"""Ball evaluation of SymPy expressions, against mpmath at a higher precision."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest
import sympy as sp
from mpmath import mp

from pkverify.arithmetic.ball import BallDomainError, endpoints, radius, spanning, working_precision
from pkverify.errors import UntreatableError
from pkverify.exact.ball_evaluation import decimal_value, evaluate, evaluate_real

x, y = sp.symbols("x y", real=True)

EXPRESSIONS = [
    x + y - sp.Rational(1, 3),
    x**3 / (1 + y**2),
    sp.exp(-x * y) + sp.pi + sp.E,
    sp.sqrt(x) * y ** sp.Rational(-2, 3),
    sp.log(x / y),
    sp.sin(x) * sp.cos(y) + sp.tan(x) + sp.cot(y),
    sp.sinh(x) + sp.cosh(y) + sp.tanh(x) + sp.coth(y),
    sp.atan(x) + sp.atanh(y / 4),
    sp.LambertW(x) + sp.LambertW(sp.exp(100 * x)),
    sp.erf(x - y),
    sp.Max(x, y) + sp.Abs(x - y),
    sp.lowergamma(y, x),
    sp.betainc(sp.Rational(1, 2), y, 0, x / 4),
    sp.hyper([sp.Rational(1, 2), 1], [sp.Rational(3, 2)], x / 4),
    # The imaginary parts cancel.
    sp.log(-x) - sp.log(-y),
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_the_ball_contains_the_value(expression: sp.Expr, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - test data, not secrets
    point = {symbol: Fraction(draw.randint(20, 180), 100) for symbol in (x, y)}
    truth = _truth(expression, point)

    for bits in (64, 128):
        with working_precision(bits):
            ball = evaluate_real(expression, point)

        low, high = endpoints(ball)
        assert low <= truth <= high
        assert high - low < Fraction(1, 2 ** (bits // 2))


def _truth(expression: sp.Expr, point: dict[Any, Fraction]) -> Fraction:
    """mpmath's value at 80 digits, exactly as a rational."""
    with mp.workdps(80):
        function = sp.lambdify((x, y), expression, modules="mpmath")
        value = mp.mpf(mp.re(function(*(mp.mpf(v.numerator) / v.denominator for v in point.values()))))
        sign, mantissa, exponent, _ = value._mpf_
    return Fraction(-1 if sign else 1) * int(mantissa) * Fraction(2) ** int(exponent)


@pytest.mark.parametrize("expression", [x * (1 - x), sp.exp(x) - x, x / (2 + x**2), sp.LambertW(x)], ids=str)
def test_a_wide_ball_contains_the_values_at_its_points(expression: sp.Expr) -> None:
    with working_precision(96):
        low, high = endpoints(evaluate_real(expression, {x: spanning(Fraction(1, 4), Fraction(1, 2))}))
        inside = [evaluate_real(expression, {x: Fraction(k, 40)}) for k in range(10, 21)]

    assert all(low <= bound <= high for ball in inside for bound in endpoints(ball))


REFUSED = [
    pytest.param(1 / x, id="pole"),
    pytest.param(x ** sp.Integer(-3), id="pole of higher order"),
    pytest.param(sp.log(x), id="logarithm of 0"),
    pytest.param(1 / sp.sin(x), id="sine 0"),
    pytest.param(sp.LambertW(x - 1), id="below the branch point"),
    pytest.param(sp.cot(x), id="cotangent"),
    pytest.param(y, id="no value"),
    pytest.param(sp.log(-1 + x), id="not real"),
    pytest.param(sp.sqrt(x - 1), id="root of a negative number"),
    pytest.param(sp.I + x, id="imaginary"),
]


@pytest.mark.parametrize("expression", REFUSED)
def test_poles_and_imaginary_values_are_refused(expression: sp.Expr) -> None:
    with pytest.raises(BallDomainError):
        evaluate_real(expression, {x: Fraction(0)})


CUTS = [
    sp.log(x),
    sp.sqrt(x),
    x ** sp.Rational(1, 3),
    sp.atan(sp.I * (x + 2)),
    sp.Abs(x),
    sp.Max(x, 0),
    sp.atanh(2 - x),
]


@pytest.mark.parametrize("expression", CUTS, ids=str)
def test_cuts_and_kinks_are_refused_where_analyticity_is_asked(expression: sp.Expr) -> None:
    with pytest.raises(BallDomainError):
        evaluate(expression, {x: spanning(Fraction(-1), Fraction(1))}, analytic=True)


@pytest.mark.parametrize(
    "expression",
    [sp.Piecewise((1, x > 0), (2, True)), sp.gamma(x), sp.Function("f")(x), sp.LambertW(x, -1), sp.floor(x)],
)
def test_unknown_functions_are_refused_by_name(expression: sp.Expr) -> None:
    with pytest.raises(UntreatableError):
        evaluate(expression, {x: Fraction(1, 2)})


def test_digits_are_right_or_absent() -> None:
    third = sp.Rational(1, 3)

    assert decimal_value(lambda _: evaluate_real(sp.exp(1) - third), 30) == "2.38494849512571190202695413802"
    assert decimal_value(lambda _: evaluate_real(sp.sqrt(2) ** 2 - 2 + sp.sin(1) ** 2 + sp.cos(1) ** 2 - 1), 5) is None


def test_more_bits_narrow_the_ball() -> None:
    radii = []
    for bits in (53, 106, 212):
        with working_precision(bits):
            radii.append(radius(evaluate_real(sp.exp(x), {x: Fraction(1, 3)})))

    assert radii[0] > radii[1] * 2**40 > radii[2] * 2**80
