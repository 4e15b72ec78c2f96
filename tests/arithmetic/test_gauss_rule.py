"""The balls of Gauss's rule, and of what is summed with it, hold the true numbers."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pkverify.arithmetic.ball import Ball, midpoint, radius, real, working_precision
from pkverify.arithmetic.ball_functions import gauss_rule
from pkverify.arithmetic.ball_series import inner_products, polynomial_values, zero_matrix
from pkverify.arithmetic.quadrature import gauss_legendre


@pytest.mark.parametrize("count", [1, 2, 3, 8, 25])
@pytest.mark.parametrize("bits", [150, 300])
def test_the_rule_integrates_powers_up_to_degree_2n_minus_1(count: int, bits: int) -> None:
    with working_precision(bits):
        for power in range(2 * count + 1):
            found: Ball = sum((weight * node**power for node, weight in gauss_rule(count, bits)), real(0))
            assert bool(found.contains(real(1) / (power + 1))) == (power < 2 * count)
            assert radius(found) < Fraction(1, 2 ** (bits - 10))


@pytest.mark.parametrize("count", [1, 2, 5, 24])
def test_the_rule_is_that_of_another_program(count: int) -> None:
    balls = sorted(gauss_rule(count, 150), key=lambda pair: float(pair[0]))

    for (node, weight), (x, w) in zip(balls, sorted(gauss_legendre(count, 40)), strict=True):
        assert abs(midpoint(node) - x) < Fraction(1, 10**40)
        assert abs(midpoint(weight) - w) < Fraction(1, 10**40)
        assert max(radius(node), radius(weight)) < Fraction(1, 2**140)


def test_polynomials_have_the_values_of_their_formula() -> None:
    points = [real(2), real(Fraction(1, 2)), real(0)]
    values = polynomial_values([[real(1), real(-3), real(4)], [real(5)]], points)

    assert [[float(value) for value in row] for row in values] == [[11.0, 5.0], [0.5, 5.0], [1.0, 5.0]]


def test_inner_products_are_those_of_pairs() -> None:
    left = [[real(1), real(2)], [real(3), real(-1)], [real(0), real(1)]]
    right = [[real(5), real(7)], [real(-2), real(4)]]
    found = inner_products(left, right) + zero_matrix(3, 2)

    expected = [[19, 6], [8, -10], [7, 4]]
    assert [[float(found[a, b]) for b in range(2)] for a in range(3)] == expected
    assert inner_products([], right).ncols() == 2
    assert inner_products(left, []).nrows() == 3
