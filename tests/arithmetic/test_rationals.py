from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkverify.arithmetic.rationals import VANISH_AT_ZERO, IrrationalError, Rationals
from pkverify.expression import FUNCTIONS

numbers = Rationals()
fractions = st.fractions(-100, 100)
series = st.lists(fractions, min_size=1, max_size=8)


@given(fractions, fractions, st.integers(1, 100))
def test_arithmetic_is_exact(a: Fraction, b: Fraction, n: int) -> None:
    assert numbers.number(a) == a
    assert numbers.multiply(a, b) == a * b
    assert numbers.divide_integer(a, n) * n == a
    assert b == 0 or numbers.reciprocal(b) * b == 1


@given(series)
def test_a_product_is_the_coefficient_of_highest_order(left: list[Fraction]) -> None:
    right = [Fraction(3) ** k for k in range(len(left))]
    coefficient = numbers.product(left, right)

    assert coefficient() == sum(left[j] * Fraction(3) ** (len(left) - 1 - j) for j in range(len(left)))
    left.append(Fraction(7))
    right.append(Fraction(0))
    assert coefficient() == sum(left[j] * right[len(left) - 1 - j] for j in range(len(left)))


@pytest.mark.parametrize(("left", "right"), [([1, 2], [1]), ([1], [1, 2]), ([], [1])])
def test_series_of_unequal_length_have_no_product(left: list[int], right: list[int]) -> None:
    with pytest.raises(ValueError, match="zip"):
        numbers.product([Fraction(v) for v in left], [Fraction(v) for v in right])()


@given(st.lists(st.tuples(fractions, fractions), max_size=6))
def test_a_combination_is_the_sum(pairs: list[tuple[Fraction, Fraction]]) -> None:
    term = numbers.combination([c for c, _ in pairs], [[Fraction(1, 9), s] for _, s in pairs])

    assert term(1) == sum(c * s for c, s in pairs)
    assert term(0) == sum(c for c, _ in pairs) / 9


def test_pi_is_refused() -> None:
    with pytest.raises(IrrationalError):
        numbers.pi()


@pytest.mark.parametrize("name", [f for f in FUNCTIONS if f not in {"relu", "abs"}])
@pytest.mark.parametrize("at", ["1", "-1/2", "4"])
def test_functions_are_refused_also_where_their_value_is_rational(name: str, at: str) -> None:
    with pytest.raises(IrrationalError):
        numbers.function(name, Fraction(at))


@pytest.mark.parametrize("name", [f for f in FUNCTIONS if f not in {"relu", "abs"}])
def test_only_functions_that_are_0_at_0_have_a_value_there(name: str) -> None:
    if name in {"sqrt", "sin", "tan", "sinh", "tanh", "atan", "erf"}:
        assert numbers.function(name, Fraction(0)) == 0
        assert name in VANISH_AT_ZERO
    else:
        with pytest.raises(IrrationalError):
            numbers.function(name, Fraction(0))


@pytest.mark.parametrize(("exponent", "defined"), [("1/2", True), ("7/3", True), ("-1/2", False), ("-5/3", False)])
def test_powers_of_0_with_a_positive_exponent_are_0(exponent: str, defined: bool) -> None:
    if defined:
        assert numbers.function("power", Fraction(0), Fraction(exponent)) == 0
    else:
        with pytest.raises(IrrationalError):
            numbers.function("power", Fraction(0), Fraction(exponent))


def test_division_by_0_is_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        numbers.reciprocal(Fraction(0))
