from __future__ import annotations

from typing import Any

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from pkverify.errors import InputError
from pkverify.exact.identity import compare, divided, is_identity, normal_form, obligations, times

t, x, y, z = sp.symbols("t x y z")
f, g = sp.Function("f"), sp.Function("g")
third = sp.Rational(1, 3)
weight = f(t) * g(t)

TRUE = [
    ("binomial", (x + y) ** 2, x**2 + 2 * x * y + y**2),
    ("common denominator", 1 / x + 1 / y, (x + y) / (x * y)),
    ("power of an exponential", sp.exp(2 * x), sp.exp(x) ** 2),
    ("product of exponentials", times(sp.exp(x), sp.exp(y)), sp.exp(x + y)),
    ("halves of an exponent", sp.exp(x / 2) * sp.exp(x / 3), sp.exp(5 * x / 6)),
    (
        "dependent exponents",
        sp.exp(1 / x) * (1 + sp.exp(1 / (x + 1))),
        sp.exp(1 / x) + sp.exp((2 * x + 1) / (x * (x + 1))),
    ),
    ("exponential of a logarithm", sp.exp(sp.log(x) + y), x * sp.exp(y)),
    ("symbolic power", x ** (y + 1), x * x**y),
    ("powers of numbers", 4**x, 2 ** (2 * x)),
    ("hyperbolic Pythagoras", sp.cosh(x) ** 2 - sp.sinh(x) ** 2, 1),
    ("double argument", sp.tanh(2 * x), 2 * sp.tanh(x) / (1 + sp.tanh(x) ** 2)),
    ("derivative of tanh", sp.tanh(x).diff(x), 1 - sp.tanh(x) ** 2),
    ("rationalised denominator", 1 / (1 + sp.sqrt(2)), sp.sqrt(2) - 1),
    ("roots of composites", sp.sqrt(6) * sp.sqrt(10), 2 * sp.sqrt(15)),
    ("cube root", times(sp.Integer(2) ** third, sp.Integer(2) ** third, sp.Integer(2) ** third), 2),
    ("root of a symbol", times(sp.sqrt(x), sp.sqrt(x)), x),
    ("roots of one base", x**third * sp.sqrt(x), x ** sp.Rational(5, 6)),
    ("nested roots", times(sp.sqrt(1 + sp.sqrt(x)), sp.sqrt(1 + sp.sqrt(x))), 1 + sp.sqrt(x)),
    ("imaginary unit", (1 + sp.I) ** 4, -4),
    ("logarithm of a composite", sp.log(12), 2 * sp.log(2) + sp.log(3)),
    ("Lambert's W", sp.exp(sp.LambertW(x)) * sp.LambertW(x), x),
    ("arguments in another form", f((x**2 - 1) / (x - 1)), f(x + 1)),
    ("undefined functions", (f(t) + g(t)) * (f(t) - g(t)), f(t) ** 2 - g(t) ** 2),
    ("Euler's number", sp.E * sp.exp(x), sp.exp(x + 1)),
    ("derivatives", sp.diff(f(t) * g(t), t), f(t) * g(t).diff(t) + f(t).diff(t) * g(t)),
    (
        "integrals are opaque",
        2 * sp.Integral(weight, (t, 0, x)),
        sp.Integral(weight, (t, 0, x)) + sp.Integral(g(t) * f(t), (t, 0, x)),
    ),
    ("nothing at all", 0, x - x),
]

FALSE = [
    ("sign", (x - y) ** 2, x**2 + 2 * x * y + y**2),
    ("a part in 10^30", x, x + sp.Rational(1, 10**30)),
    ("relative part in 10^30", x, x * (1 + sp.Rational(1, 10**30))),
    ("one", x / y, y / x),
    ("wrong power of an exponential", sp.exp(2 * x), 2 * sp.exp(x)),
    ("sum of exponentials", sp.exp(x + y), sp.exp(x) + sp.exp(y)),
    ("independent exponentials", sp.exp(x), sp.exp(x * sp.sqrt(2))),
    ("exponential of a product", sp.exp(x * y), sp.exp(x) * sp.exp(y)),
    ("first terms only", sp.exp(x), 1 + x + x**2 / 2),
    ("square root of a square", sp.sqrt(x**2), x),
    ("square root of a product", sp.sqrt(x * y), sp.sqrt(x) * sp.sqrt(y)),
    ("logarithm of a product", sp.log(x * y), sp.log(x) + sp.log(y)),
    ("logarithm of a sum", sp.log(5), sp.log(2) + sp.log(3)),
    ("logarithm of an exponential", sp.log(sp.exp(x)), x),
    ("nearby roots", sp.sqrt(2) + sp.sqrt(3), sp.sqrt(10)),
    ("other branch", sp.sqrt(2), -sp.sqrt(2)),
    ("other cube root", sp.Integer(2) ** third, sp.Integer(4) ** third),
    ("hyperbolic sign", sp.cosh(x) ** 2 + sp.sinh(x) ** 2, 1),
    ("undefined functions commute with nothing", f(x + y), f(x) + f(y)),
    ("other argument", f(x), f(y)),
    ("other function", f(x), g(x)),
    ("derivative of a product", sp.diff(f(t) * g(t), t), f(t).diff(t) * g(t).diff(t)),
    ("derivative is not the function", f(t).diff(t), f(t)),
    (
        "integral of a product",
        sp.Integral(weight, (t, 0, 1)),
        sp.Integral(f(t), (t, 0, 1)) * sp.Integral(g(t), (t, 0, 1)),
    ),
    ("other interval", sp.Integral(f(t), (t, 0, 1)), sp.Integral(f(t), (t, 0, 2))),
    (
        "division by an identical zero",
        divided(1, times(sp.sqrt(x), sp.sqrt(x)) - x),
        divided(1, times(sp.sqrt(x), sp.sqrt(x)) - x),
    ),
    ("Euler's number alone", sp.E, sp.Rational(2718281828, 10**9)),
    ("undefined", sp.nan, sp.nan),
    ("infinite", sp.oo, sp.oo),
]


@pytest.mark.parametrize(("left", "right"), [pytest.param(*row[1:], id=row[0]) for row in TRUE])
def test_identities_are_proved(left: Any, right: Any) -> None:
    assert is_identity(left, right)


@pytest.mark.parametrize(("left", "right"), [pytest.param(*row[1:], id=row[0]) for row in FALSE])
def test_other_equations_are_not(left: Any, right: Any) -> None:
    assert not is_identity(left, right)


def test_there_are_more_false_rows_than_true_ones() -> None:
    assert len(FALSE) > len(TRUE)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (x + y, ()),
        (x / 3, ()),
        (x / sp.sqrt(2), ()),
        (x / (1 + sp.sqrt(2)), ()),
        (divided(x, y), (y,)),
        (times(divided(x, y), y), (y,)),
        (divided(x, times(y, z)), (y * z,)),
        (divided(sp.Integral(f(t), (t, 0, 1)), sp.Integral(g(t), (t, 0, 1))), (sp.Integral(g(t), (t, 0, 1)),)),
        (f(1 / x), (x,)),
        (sp.exp(divided(y, x)), (x,)),
        (x ** sp.Rational(-1, 2), (x,)),
        (x / sp.Symbol("k", positive=True), ()),
        (x / sp.Symbol("k", real=True), (sp.Symbol("k", real=True),)),
    ],
)
def test_divisors_become_obligations(expression: Any, expected: tuple[Any, ...]) -> None:
    assert obligations(expression) == expected


def test_a_cancelled_division_is_still_an_obligation() -> None:
    k = sp.Integral(f(t), (t, 0, 1))

    assert compare(times(divided(x, k), k), x).obligations == (k,)
    # The trap: SymPy's own product has forgotten the division.
    assert compare(x / k * k, x).obligations == ()


def test_normal_form_is_a_quotient_of_polynomials() -> None:
    form = normal_form(1 / (x + 1) + 1 / (x - 1))

    assert sp.expand(form.numerator * (x**2 - 1) - 2 * x * form.denominator) == 0
    assert set(form.obligations) == {x + 1, x - 1}


def test_division_by_an_identical_zero_is_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        normal_form(divided(1, times(x, x) - x**2))


@pytest.mark.parametrize(
    "expression", [sp.Float("0.1") * x, x + sp.Float(1), sp.exp(sp.Float("0.5") * x), f(sp.Float("0.5"))]
)
def test_floating_point_numbers_are_refused(expression: Any) -> None:
    with pytest.raises(InputError, match="floating-point"):
        normal_form(expression)


coefficients = st.fractions(min_value=-5, max_value=5, max_denominator=9).map(
    lambda q: sp.Rational(q.numerator, q.denominator)
)
polynomials = st.lists(coefficients, min_size=1, max_size=4).map(
    lambda cs: sum((c * x**k for k, c in enumerate(cs)), sp.Integer(0))
)


@given(polynomials, polynomials, coefficients.filter(bool))
@settings(max_examples=30, deadline=None)
def test_products_are_recognised_and_any_perturbation_is_not(p: Any, q: Any, error: Any) -> None:
    product = sp.expand(p * q)

    assert is_identity(times(p, q), product)
    assert not is_identity(times(p, q), product + error * sp.exp(x) / 10**20)


@given(coefficients, coefficients)
@settings(max_examples=30, deadline=None)
def test_exponents_add(a: Any, b: Any) -> None:
    assert is_identity(times(sp.exp(a * x + b), sp.exp(b * x - a)), sp.exp((a + b) * x + b - a))


def test_exponents_far_apart_leave_an_identity_undecided_and_not_hanging() -> None:
    assert not is_identity(sp.exp(x) + sp.exp(x / 10**9), sp.exp(x))
    assert not is_identity(times(sp.exp(x), sp.exp(x / 10**9)), sp.exp(x + x / 10**9))
