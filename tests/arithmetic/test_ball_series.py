"""Series of balls, integrals of their products and bounds of matrices, against numbers known by hand."""

from __future__ import annotations

from fractions import Fraction
from math import comb, factorial

import pytest

from pkverify.arithmetic import ball_series
from pkverify.arithmetic.ball import Ball, BallDomainError, endpoints, excludes_zero, real
from pkverify.arithmetic.ball_series import (
    around,
    box_around,
    call,
    call_constant,
    coefficients,
    horner,
    integrals_of_products,
    largest_eigenvalue_bound,
    magnitude_bits,
    norm_bound,
    product_coefficients,
    reciprocal,
    series,
    series_precision,
    solve_linear,
    spectrum_bounds,
    upper_bound,
)

# Taylor coefficients at 0, from the derivatives there.
AT_ZERO = {
    "exp": [Fraction(1, factorial(k)) for k in range(6)],
    "sin": [0, 1, 0, Fraction(-1, 6), 0, Fraction(1, 120)],
    "cos": [1, 0, Fraction(-1, 2), 0, Fraction(1, 24), 0],
    "tan": [0, 1, 0, Fraction(1, 3), 0, Fraction(2, 15)],
    "tanh": [0, 1, 0, Fraction(-1, 3), 0, Fraction(2, 15)],
    "sinh": [0, 1, 0, Fraction(1, 6), 0, Fraction(1, 120)],
    "cosh": [1, 0, Fraction(1, 2), 0, Fraction(1, 24), 0],
    "atan": [0, 1, 0, Fraction(-1, 3), 0, Fraction(1, 5)],
    "sigmoid": [Fraction(1, 2), Fraction(1, 4), 0, Fraction(-1, 48), 0, Fraction(1, 480)],
}


def holds(ball: Ball, value: Fraction | int) -> bool:
    """Whether an exact number lies in a ball."""
    low, high = endpoints(ball)
    return low <= value <= high


@pytest.mark.parametrize("function", list(AT_ZERO))
def test_functions_have_their_taylor_coefficients(function: str) -> None:
    with series_precision(100, 6):
        found = coefficients(call(function, series([real(0), real(1)], 6)))
        found += [real(0)] * (6 - len(found))

        for value, expected in zip(found, AT_ZERO[function], strict=True):
            assert holds(value, expected)
            assert upper_bound(value - real(expected)) < 1e-25


@pytest.mark.parametrize("function", ["tanh", "sigmoid", "softplus", "sinh", "cosh", "exp", "erf", "atan"])
@pytest.mark.parametrize("centre", [-30, -2, 1, 30])
def test_a_series_agrees_with_the_function_near_its_centre(function: str, centre: int) -> None:
    """At centre + 1/64, to as many digits as the terms left out allow."""
    with series_precision(200, 20):
        near = horner(coefficients(call(function, series([real(centre), real(1)], 20))), real(Fraction(1, 64)))
        exact = call(function, real(centre + Fraction(1, 64)))

        assert abs(near - exact) < abs(exact) * real(10) ** -24


@pytest.mark.parametrize("exponent", [Fraction(1, 2), Fraction(-1, 3), Fraction(7, 2)])
def test_powers_have_binomial_coefficients(exponent: Fraction) -> None:
    with series_precision(100, 5):
        found = coefficients(call("power", series([real(1), real(1)], 5), exponent))
        expected = Fraction(1)
        for k, value in enumerate(found):
            assert holds(value, expected)
            expected = expected * (exponent - k) / (k + 1)


def test_a_series_is_cut_at_the_length_of_its_block() -> None:
    with series_precision(64, 3):
        inner = series([real(1), real(1)], 3)
        with series_precision(64, 9):
            pass
        assert len(coefficients(call("exp", inner))) == 3


def test_products_of_polynomials_are_not_cut() -> None:
    with series_precision(64, 2):
        ones = [real(1)] * 4
        found = [float(c) for c in product_coefficients(ones, ones)]

    assert found == [1, 2, 3, 4, 3, 2, 1]


@pytest.mark.parametrize(("few", "many"), [(1, 3), (3, 1), (2, 2)])
def test_integrals_of_products_of_powers(few: int, many: int) -> None:
    """(1 + t)^a (1 - t)^b over [0, 1], by the coefficients of both."""

    def power(sign: int, exponent: int) -> list[Fraction]:
        return [Fraction(comb(exponent, k) * sign**k) for k in range(exponent + 1)]

    with series_precision(100, 8):
        lefts, rights = range(1, few + 1), range(2, many + 2)
        found = integrals_of_products(
            [[series(list(map(real, power(1, a))), 8), real(1)] for a in lefts],
            [[series(list(map(real, power(-1, b))), 8), real(2)] for b in rights],
        )
        for a, row in zip(lefts, found, strict=True):
            for b, value in zip(rights, row, strict=True):
                pairs = ((u * v, k + j + 1) for k, u in enumerate(power(1, a)) for j, v in enumerate(power(-1, b)))
                assert holds(value, 2 + sum(c / n for c, n in pairs))


def test_bounds_are_not_below_what_they_bound() -> None:
    third = real(Fraction(-1, 3))
    low, high = endpoints(upper_bound(third))

    assert low == high >= Fraction(1, 3)
    assert norm_bound([real(3), real(-4)]) >= 5
    assert norm_bound([]) == 0
    assert around(real(1), real(-2)).contains(real(3))
    assert not around(real(1), real(2)).contains(real(4))
    box = box_around(real(1), real(1))
    assert box.contains(type(box)(1, 1))
    assert not excludes_zero(box)


@pytest.mark.parametrize(("value", "bits"), [(1, 1), (Fraction(-3, 4), 0), (8, 4), (Fraction(1, 8), -2)])
def test_magnitudes_in_bits(value: Fraction, bits: int) -> None:
    assert magnitude_bits(real(value)) == bits


def test_magnitudes_of_nothing_and_of_no_number() -> None:
    assert magnitude_bits(real(0)) < -(10**6)
    with pytest.raises(BallDomainError):
        magnitude_bits(real(1) / real(0))


@pytest.mark.parametrize(("function", "low", "high"), [("relu", 0, 0), ("abs", 0, 0), ("step", 0, 1), ("sign", -1, 1)])
def test_constants_on_their_kinks_are_defined(function: str, low: int, high: int) -> None:
    value = call_constant(function, real(0))

    assert value.contains(real(low))
    assert value.contains(real(high))
    with pytest.raises(BallDomainError, match="kink"):
        call(function, real(0))


@pytest.mark.parametrize("function", ["log", "sqrt", "relu", "abs", "step", "sign"])
def test_series_at_a_singular_point_are_refused(function: str) -> None:
    with series_precision(64, 4), pytest.raises(BallDomainError):
        call(function, series([real(0), real(1)], 4))


def test_series_and_matrices_that_are_not_finite_are_refused() -> None:
    with series_precision(64, 4):
        with pytest.raises(BallDomainError):
            reciprocal(series([real(0), real(1)], 4))
        with pytest.raises(BallDomainError):
            call("tan", series([real(3).pi() / 2, real(1)], 4))
        with pytest.raises(BallDomainError):
            largest_eigenvalue_bound([[real(1) / real(0)]])


def test_linear_systems_are_solved_or_refused() -> None:
    [x, y] = solve_linear([[real(2), real(1)], [real(1), real(3)]], [real(3), real(5)])

    assert holds(x, Fraction(4, 5))
    assert holds(y, Fraction(7, 5))
    with pytest.raises(BallDomainError, match="singular"):
        solve_linear([[real(1), real(2)], [real(2), real(4)]], [real(1), real(1)])


def test_a_spectrum_is_bounded_on_both_sides() -> None:
    least, largest = spectrum_bounds([[real(2), real(1)], [real(1), real(2)]])

    assert 0.999 < float(least) <= 1
    assert 3 <= float(largest) < 3.001


SPREAD = [
    [[("2", "1/10"), ("1", "1/5")], [("1", "1/5"), ("-3", "1/2")]],
    [[("0", "1"), ("0", "1")], [("0", "1"), ("0", "1")]],
    [[("5", "0"), ("0", "0")], [("0", "0"), ("5", "1/100")]],
]


def corner_eigenvalue(entries: list[list[tuple[str, str]]]) -> float:
    """The largest eigenvalue of the matrix with every entry at its upper end (all off-diagonal ones are positive)."""
    (a, b), (_, d) = ([float(Fraction(m) + Fraction(r)) for m, r in row] for row in entries)
    return (a + d) / 2 + ((a - d) ** 2 / 4 + b * b) ** 0.5


def bounded(entries: list[list[tuple[str, str]]]) -> float:
    matrix = [[around(real(Fraction(m)), real(Fraction(r))) for m, r in row] for row in entries]
    return float(ball_series.largest_eigenvalue_bound(matrix).upper())


@pytest.mark.parametrize("entries", SPREAD)
def test_eigenvalues_of_every_matrix_in_the_balls_are_bounded(entries: list[list[tuple[str, str]]]) -> None:
    assert corner_eigenvalue(entries) - 1e-12 <= bounded(entries) <= corner_eigenvalue(entries) + 0.5


@pytest.mark.parametrize("entries", SPREAD)
def test_the_width_of_the_entries_counts(monkeypatch: pytest.MonkeyPatch, entries: list[list[tuple[str, str]]]) -> None:
    monkeypatch.setattr(ball_series, "remainder_norm_bound", lambda _: real(0))

    assert bounded(entries) < corner_eigenvalue(entries)
