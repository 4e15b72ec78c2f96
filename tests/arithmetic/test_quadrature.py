from __future__ import annotations

from fractions import Fraction
from math import factorial

import numpy as np
import pytest
from mpmath import mp, mpf

from pkverify.arithmetic.quadrature import gauss_legendre, integrate


def apply(rule: list[tuple[Fraction, Fraction]], power: int) -> Fraction:
    return sum((weight * node**power for node, weight in rule), Fraction(0))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 12, 21])
@pytest.mark.parametrize("digits", [5, 20, 60])
def test_gauss_integrates_polynomials_up_to_degree_2n_minus_1(count: int, digits: int) -> None:
    rule = list(gauss_legendre(count, digits))
    errors = [abs(apply(rule, power) - Fraction(1, power + 1)) for power in range(2 * count)]

    assert max(errors) < Fraction(1, 10 ** (digits + 5))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_gauss_misses_the_next_degree_by_what_theory_says(count: int) -> None:
    rule = list(gauss_legendre(count, 40))
    known = Fraction(factorial(count) ** 4, (2 * count + 1) * factorial(2 * count) ** 2)

    assert abs(Fraction(1, 2 * count + 1) - apply(rule, 2 * count) - known) < Fraction(1, 10**40)


@pytest.mark.parametrize("count", [1, 2, 5, 20, 36])
def test_nodes_and_weights_are_those_of_numpy(count: int) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    rule = sorted(gauss_legendre(count, 15))

    assert np.allclose([float(2 * x - 1) for x, _ in rule], nodes, atol=1e-14, rtol=0)
    assert np.allclose([float(2 * w) for _, w in rule], weights, atol=1e-14, rtol=0)


@pytest.mark.parametrize("count", [1, 4, 9])
def test_nodes_lie_in_the_interval_in_mirror_pairs_with_positive_weights(count: int) -> None:
    rule = sorted(gauss_legendre(count, 30))
    mirrored = [(1 - x, w) for x, w in reversed(rule)]

    assert all(0 < x < 1 and w > 0 for x, w in rule)
    assert len({x for x, _ in rule}) == count
    for (x, w), (y, v) in zip(rule, mirrored, strict=True):
        assert max(abs(x - y), abs(w - v)) < Fraction(1, 10**32)


@pytest.mark.parametrize("digits", [10, 100, 500])
def test_newton_reaches_all_the_digits_asked_for(digits: int) -> None:
    nodes = [x for x, _ in gauss_legendre(5, digits)]
    with mp.workdps(2 * digits + 50):
        worst = max(abs(mp.legendre(5, 2 * mpf(x.numerator) / x.denominator - 1)) for x in nodes)
        assert worst < mpf(10) ** -(digits + 5)


INTEGRALS = {
    "a parabola": (lambda x: x * x, "0", "3", lambda: mpf(9)),
    "from right to left": (lambda x: x * x, "3", "0", lambda: mpf(-9)),
    "nowhere": (lambda x: x + 1, "2", "2", lambda: mpf(0)),
    "a reciprocal": (lambda x: 1 / (1 + x), "0", "1", lambda: mp.log(2)),
    "a rational function": (lambda x: 1 / (1 + x * x), "-1", "2", lambda: mp.atan(2) + mp.pi / 4),
    "a constant": (lambda _: Fraction(2, 7), "-1/3", "1/6", lambda: mpf(1) / 7),
}


@pytest.mark.parametrize("digits", [15, 50])
@pytest.mark.parametrize("case", INTEGRALS)
def test_integrals_known_by_hand(case: str, digits: int) -> None:
    function, start, end, known = INTEGRALS[case]
    value, estimate = integrate(function, Fraction(start), Fraction(end), digits)
    with mp.workdps(digits + 30):
        error = abs(mpf(value.numerator) / value.denominator - known())
        assert error < mpf(10) ** -digits
    assert estimate < Fraction(1, 10**digits)


def test_the_estimate_tells_of_a_kink() -> None:
    value, estimate = integrate(lambda x: abs(x - Fraction(1, 3)), Fraction(0), Fraction(1), 30)
    error = abs(value - Fraction(5, 18))

    assert error > Fraction(1, 10**15)
    assert error / 10 < estimate < Fraction(1, 100)


def test_the_estimate_is_no_bound() -> None:
    """A narrow peak between the points that are looked at: the reason why no verdict rests on this estimate."""
    width = Fraction(1, 10**6)
    value, estimate = integrate(
        lambda x: width / (width * width + (x - Fraction(123, 1000)) ** 2), Fraction(0), Fraction(1), 20
    )

    assert abs(float(value) - 3.14158) > 100 * float(estimate)


def test_arguments_are_rationals_of_the_precision_asked_for() -> None:
    seen: list[Fraction] = []

    def identity(x: Fraction) -> Fraction:
        seen.append(x)
        return x

    integrate(identity, Fraction(1, 3), Fraction(2, 3), 40)

    assert {type(x) for x in seen} == {Fraction}
    assert max(x.denominator for x in seen) > 10**45
    assert Fraction(333, 1000) < min(seen) < max(seen) < Fraction(667, 1000)
