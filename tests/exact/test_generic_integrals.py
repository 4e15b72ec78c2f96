"""The generic solutions and integrals behind the families, differentiated back."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy as sp

from pkverify.exact.closed_forms.affine import exponential_moment, scalar_flow
from pkverify.exact.closed_forms.logistic import probability_integral
from pkverify.exact.closed_forms.rational_powers import MOST_ROOTS, primitive
from pkverify.exact.closed_forms.separable import level_integral, riccati
from pkverify.exact.identity import is_identity


def test_the_generic_solutions_solve_their_equations() -> None:
    linear, names = scalar_flow()
    growth = riccati()
    t, k, a, b, r0 = (sp.Symbol(name, real=True) for name in ("t", "k", "a", "b", "r0"))

    assert is_identity(linear.diff(names["t"]), names["c"] - names["h"] * linear)
    assert is_identity(linear.xreplace({names["t"]: sp.Integer(0)}), names["w0"])
    assert is_identity(growth.diff(t), -k * (growth - a) * (growth - b))
    assert is_identity(growth.xreplace({t: sp.Integer(0)}), r0)


@pytest.mark.parametrize("power", range(4))
def test_the_moments_differentiate_back(power: int) -> None:
    moment, t, m = exponential_moment(power)

    assert is_identity(moment.diff(t), t**power * sp.exp(-m * t))


def test_the_level_integral_differentiates_back() -> None:
    whole, s = level_integral()

    assert is_identity(whole.diff(s["p"]), (s["y"] - s["f"] * s["p"]) / (s["P"] - s["p"]))
    assert is_identity(whole.xreplace({s["p"]: s["p0"]}), sp.Integer(0))


@pytest.mark.parametrize("count", range(1, 7))
@pytest.mark.parametrize("target", [Fraction(2), Fraction(-3, 2), Fraction(0)])
@pytest.mark.parametrize("power", [-4, -1, 0, 1, 5])
def test_the_power_integrals_differentiate_back(count: int, target: Fraction, power: int) -> None:
    s, goal = sp.Symbol("s", positive=True), sp.Rational(target.numerator, target.denominator)

    whole = primitive(power, count, goal, s, sp.Rational(1, 2))

    assert whole is not None
    assert is_identity(whole.diff(s), s**power / (goal - s**count))
    assert is_identity(whole.xreplace({s: sp.Rational(1, 2)}), sp.Integer(0))


def test_too_many_roots_have_no_primitive() -> None:
    s = sp.Symbol("s", positive=True)

    assert primitive(0, MOST_ROOTS + 1, sp.Integer(2), s, sp.Integer(1)) is None


@pytest.mark.parametrize(("above", "below"), [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (2, 3), (3, 2)])
def test_the_probability_integrals_differentiate_back(above: int, below: int) -> None:
    found = probability_integral(above, below)

    assert found is not None
    whole, s = found
    slope = above * s**above / (1 + s**above) ** 2 * s**below / (1 + s**below) / s
    assert is_identity(whole.diff(s), slope)
    # A formula that is off by a little must not pass.
    assert not is_identity((whole + s / 10**60).diff(s), slope)
