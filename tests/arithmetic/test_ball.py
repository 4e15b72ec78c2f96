"""Ball arithmetic: containment against mpmath at a higher precision, refusals, decimals."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from flint import acb, arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp

from pkverify.arithmetic.ball import (
    BallAlgebra,
    BallDomainError,
    complex_ball,
    endpoints,
    excludes_zero,
    integer_power,
    is_positive,
    midpoint,
    radius,
    real,
    real_part,
    sign,
    spanning,
    to_decimal,
    working_precision,
)
from pkverify.arithmetic.ball_functions import hypergeometric, incomplete_beta, integral, lambert_w
from pkverify.expression import FUNCTIONS, parse_expression
from pkverify.rational import decimal_text

TRUTH = {
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log(1 + mp.exp(x)),
    "relu": lambda x: max(x, mp.mpf(0)),
    "abs": abs,
}
POSITIVE_ONLY = {"log", "sqrt"}

fractions = st.fractions(min_value=-3, max_value=3, max_denominator=1000)


def exactly(number: Any) -> Fraction:
    sign_bit, mantissa, exponent, _ = number._mpf_  # as it is: mpf(number) would round it
    return Fraction(-1 if sign_bit else 1) * int(mantissa) * Fraction(2) ** int(exponent)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(
    value=fractions,
    half=st.fractions(min_value=0, max_value=Fraction(1, 100), max_denominator=1000),
    bits=st.integers(20, 200),
)
@settings(max_examples=25, deadline=None)
def test_each_function_contains_its_values(name: str, value: Fraction, half: Fraction, bits: int) -> None:
    if name in POSITIVE_ONLY:
        value = abs(value) + Fraction(1, 50)
    with working_precision(bits):
        outer = BallAlgebra().call(name, spanning(value - half, value + half))
        inner = BallAlgebra(is_complex=True)
        try:
            continued = real_part(inner.call(name, inner.number(value)))
        except BallDomainError:
            assert name in {"relu", "abs"}
            continued = outer
    with mp.workdps(90):
        point = value + half / 3
        function = TRUTH[name] if name in TRUTH else getattr(mp, name)
        truth = exactly(function(mp.mpf(point.numerator) / point.denominator))
        centre = exactly(function(mp.mpf(value.numerator) / value.denominator))

    slack = Fraction(1, 10**80)
    assert endpoints(outer)[0] - slack <= truth <= endpoints(outer)[1] + slack
    assert endpoints(continued)[0] - slack <= centre <= endpoints(continued)[1] + slack


@given(a=fractions, b=fractions, n=st.integers(-5, 9), bits=st.integers(10, 120))
@settings(max_examples=60, deadline=None)
def test_arithmetic_contains_the_exact_result(a: Fraction, b: Fraction, n: int, bits: int) -> None:
    expression = parse_expression(f"(a + b)*a - a*b/7 + a**{abs(n)}", ["a", "b"])
    truth = (a + b) * a - a * b / 7 + a ** abs(n)
    with working_precision(bits):
        low, high = endpoints(expression.build(BallAlgebra(), {"a": real(a), "b": real(b)}))

    assert low <= truth <= high


@given(value=fractions, bits=st.integers(2, 200))
@settings(max_examples=50, deadline=None)
def test_a_rational_lies_in_its_ball(value: Fraction, bits: int) -> None:
    with working_precision(bits):
        ball = real(value)
        low, high = endpoints(ball)

    assert low <= value <= high
    assert radius(ball) == high - midpoint(ball)


def test_a_power_of_a_ball_around_zero_is_finite() -> None:
    around = spanning(Fraction(-1), Fraction(1))

    assert not (around**2).is_finite()  # FLINT's own
    assert integer_power(around, 2).is_finite()
    assert endpoints(integer_power(around, 3))[1] >= 1


def test_precision_is_restored() -> None:
    before = ctx.prec
    seen = []

    def fails() -> None:
        with working_precision(300):
            seen.append(ctx.prec)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()

    assert (seen, ctx.prec) == ([300], before)


@pytest.mark.parametrize("bits", [1, 0, -5])
def test_a_precision_too_small_is_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="bits"), working_precision(bits):
        pass


REAL = BallAlgebra()
COMPLEX = BallAlgebra(is_complex=True)
AROUND = spanning(Fraction(-1), Fraction(1))
DISC = acb(AROUND, AROUND)

REFUSALS = [
    pytest.param(lambda: REAL.call("log", AROUND), id="log around 0"),
    pytest.param(lambda: REAL.call("log", real(-1)), id="log of -1"),
    pytest.param(lambda: REAL.call("sqrt", AROUND), id="sqrt around 0"),
    pytest.param(lambda: REAL.call("tan", spanning(Fraction(1), Fraction(2))), id="tan across its pole"),
    pytest.param(lambda: REAL.divide(real(1), AROUND), id="division by a ball with 0"),
    pytest.param(lambda: REAL.divide(AROUND, real(0)), id="division by 0"),
    pytest.param(lambda: REAL.power(AROUND, Fraction(-2)), id="negative power around 0"),
    pytest.param(lambda: REAL.power(AROUND, Fraction(1, 3)), id="root around 0"),
    pytest.param(lambda: COMPLEX.call("log", acb(real(-2), AROUND)), id="log across the cut"),
    pytest.param(lambda: COMPLEX.call("log", complex_ball(-1)), id="log on the cut"),
    pytest.param(lambda: COMPLEX.call("sqrt", DISC), id="sqrt around 0, complex"),
    pytest.param(lambda: COMPLEX.call("atan", acb(AROUND, real(2))), id="atan across the cut"),
    pytest.param(lambda: COMPLEX.call("atan", DISC), id="atan at i"),
    pytest.param(lambda: COMPLEX.call("tanh", acb(AROUND, AROUND * 2)), id="tanh at its pole"),
    pytest.param(lambda: COMPLEX.call("sigmoid", acb(AROUND, AROUND * 4)), id="sigmoid at its pole"),
    pytest.param(lambda: COMPLEX.call("relu", DISC), id="relu at its kink"),
    pytest.param(lambda: COMPLEX.call("abs", DISC), id="abs at its kink"),
    pytest.param(lambda: COMPLEX.call("softplus", acb(AROUND, AROUND * 4)), id="softplus across its cut"),
    pytest.param(lambda: lambert_w(real(-1)), id="Lambert W below its branch point"),
    pytest.param(lambda: lambert_w(AROUND), id="Lambert W across its branch point"),
    pytest.param(lambda: real_part(acb(0, 1)), id="i is not real"),
    pytest.param(lambda: endpoints(arb("nan")), id="no ends"),
    pytest.param(lambda: integral(lambda z: 1 / z, Fraction(-1), Fraction(1)), id="integral across a pole"),
    pytest.param(
        lambda: integral(lambda z: COMPLEX.call("abs", z), Fraction(-1), Fraction(2)), id="integral across a kink"
    ),
]


@pytest.mark.parametrize("refused", REFUSALS)
def test_no_ball_is_returned_across_a_pole_or_cut(refused: Any) -> None:
    with pytest.raises(BallDomainError):
        refused()


@pytest.mark.parametrize(
    ("ball", "nonzero", "positive", "direction"),
    [
        (real(1), True, True, 1),
        (real(-1), True, False, -1),
        (real(0), False, False, 0),
        (AROUND, False, False, 0),
        (arb("nan"), False, False, 0),
        (arb.pos_inf(), False, False, 0),
        (real(1) / real(0), False, False, 0),
    ],
)
def test_what_a_ball_proves(ball: Any, nonzero: bool, positive: bool, direction: int) -> None:
    assert (excludes_zero(ball), is_positive(ball), sign(ball)) == (nonzero, positive, direction)


def test_an_integrand_with_a_cut_is_enclosed_rightly() -> None:
    # FLINT alone returns a ball around 4.6694 here, with no word of the branch cut.
    whole = integral(lambda z: COMPLEX.call("sqrt", z), Fraction(1), Fraction(4))

    assert to_decimal(whole, 12) == "4.66666666667"


@pytest.mark.parametrize(("a", "b", "end"), [("1/2", "3/2", "1/3"), ("2", "0", "1/2"), ("5/3", "1/4", "9/10")])
def test_incomplete_beta_against_quadrature(a: str, b: str, end: str) -> None:
    with working_precision(200):
        ball = incomplete_beta(real(Fraction(a)), real(Fraction(b)), real(Fraction(end)))
    with mp.workdps(40):
        f = [mp.mpf(Fraction(v).numerator) / Fraction(v).denominator for v in (a, b, end)]
        # s = u^2 takes the root away from the left end.
        truth = mp.quad(lambda u: 2 * u * u ** (2 * f[0] - 2) * (1 - u * u) ** (f[1] - 1), [0, mp.sqrt(f[2])])

    assert abs(midpoint(ball) - exactly(truth)) < Fraction(1, 10**25)


def test_special_functions_against_mpmath() -> None:
    with working_precision(150):
        w = lambert_w(real(Fraction(7, 3)))
        f = real_part(hypergeometric([real(1), real(Fraction(1, 2))], [real(Fraction(3, 2))], real(Fraction(1, 3))))
    with mp.workdps(60):
        expected = [mp.lambertw(mp.mpf(7) / 3).real, mp.hyp2f1(1, mp.mpf(1) / 2, mp.mpf(3) / 2, mp.mpf(1) / 3)]

    for ball, number in zip((w, f), expected, strict=True):
        assert endpoints(ball)[0] <= exactly(number) <= endpoints(ball)[1]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (Fraction(0), 5, "0"),
        (Fraction(1, 8), 2, "0.12"),
        (Fraction(3, 8), 2, "0.38"),
        (Fraction(999999, 1000000), 3, "1.00"),
        (Fraction(-12345), 3, "-1.23e+04"),
        (Fraction(12345), 10, "12345"),
        (Fraction(120000), 2, "120000"),
        (Fraction(1, 10**9), 3, "1e-09"),
        (Fraction(2, 3), 1, "0.7"),
        (Fraction(10**25), 30, "1e+25"),
        (Fraction(10**30, 3), 30, "333333333333333333333333333333"),
    ],
)
def test_decimals_of_rationals(value: Fraction, digits: int, text: str) -> None:
    assert decimal_text(value, digits, trim_exact=True) == text


@given(value=st.fractions(), digits=st.integers(1, 40))
def test_a_decimal_is_within_half_a_unit(value: Fraction, digits: int) -> None:
    text = decimal_text(value, digits, trim_exact=True)

    assert abs(Fraction(text) - value) <= abs(value) * Fraction(1, 2) * Fraction(10) ** (1 - digits)


@given(value=st.fractions(min_value=-100, max_value=100), digits=st.integers(1, 25))
def test_a_ball_prints_what_its_number_prints_or_nothing(value: Fraction, digits: int) -> None:
    with working_precision(128):
        text = to_decimal(real(value), digits)

    # A trailing zero tells an inexact number from an exact one; the digits are the same.
    assert text is None or Fraction(text) == Fraction(decimal_text(value, digits, trim_exact=True))


def test_no_digits_are_an_error() -> None:
    with pytest.raises(ValueError, match="digits"):
        decimal_text(Fraction(1), 0)
