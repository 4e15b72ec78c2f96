from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import flint
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from pkverify.arithmetic.fixed_point import FLINT_BITS, DomainError, FixedPoint
from pkverify.expression import FUNCTIONS
from pkverify.rational import decimal_text

SIZES = [60, 200, FLINT_BITS, FLINT_BITS + 1, 1500]
SMOOTH = [f for f in FUNCTIONS if f not in {"relu", "abs"}]
sizes = pytest.mark.parametrize("bits", SIZES)


def truth(name: str, x: Any) -> Any:
    match name:
        case "sigmoid":
            return 1 / (1 + mp.exp(-x))
        case "softplus":
            return mp.log1p(mp.exp(x))
        case _:
            return getattr(mp, name)(x)


def units(numbers: FixedPoint, values: list[int]) -> list[int]:
    """Numbers of the type, from counts of its units."""
    return [numbers.number(Fraction(v, 1 << numbers.bits)) for v in values]


def random_series(numbers: FixedPoint, length: int, seed: int, small: bool = False) -> list[int]:
    """Coefficients of either sign and of every size, zeros and single units among them."""
    rng = random.Random(f"{numbers.bits} {length} {seed}")  # noqa: S311 - test data, not secrets
    sizes = [0, 1, 2, numbers.bits // 2, numbers.bits, numbers.bits + 3]
    return units(
        numbers, [rng.choice([-1, 1]) * rng.getrandbits(rng.choice(sizes[: 3 if small else 6])) for _ in range(length)]
    )


def exact(numbers: FixedPoint, values: list[int]) -> list[Fraction]:
    return [numbers.fraction(v) for v in values]


def below(numbers: FixedPoint, found: int, value: Fraction) -> Fraction:
    """By how many units a result lies below the exact value."""
    return (value - numbers.fraction(found)) * (1 << numbers.bits)


# Conversions.


@sizes
@given(value=st.fractions(min_value=-1000, max_value=1000))
@settings(max_examples=30)
def test_a_rational_is_rounded_down_to_a_unit(bits: int, value: Fraction) -> None:
    numbers = FixedPoint(bits)

    assert 0 <= below(numbers, numbers.number(value), value) < 1


@sizes
def test_integers_are_of_flint_above_its_bits_and_of_python_up_to_them(bits: int) -> None:
    numbers = FixedPoint(bits)
    kind = flint.fmpz if bits > FLINT_BITS else int
    made = [
        numbers.zero, numbers.one, numbers.number(Fraction(1, 3)), numbers.pi(), numbers.function("exp", numbers.one),
        numbers.multiply(numbers.one, numbers.one), numbers.reciprocal(numbers.one),
        numbers.divide_integer(numbers.one, 3), numbers.function("tan", numbers.one),
        *numbers.moments([numbers.one] * 3, [numbers.one] * 5), numbers.product([numbers.one], [numbers.one])(),
        numbers.combination([numbers.one, numbers.number(Fraction(1, 2))], [[numbers.one], [numbers.one]])(0),
    ]  # fmt: skip

    assert {type(v) for v in made} == {kind}


@sizes
@given(count=st.integers(-(10**40), 10**40))
@settings(max_examples=20)
def test_a_number_stands_for_its_count_of_units(bits: int, count: int) -> None:
    numbers = FixedPoint(bits)
    [value] = units(numbers, [count])

    assert numbers.fraction(value) == Fraction(count, 1 << bits)
    assert numbers.to_float(value) == float(Fraction(count, 1 << bits))


def test_a_number_beyond_doubles_is_no_double() -> None:
    numbers = FixedPoint(80)
    with pytest.raises(OverflowError):
        numbers.to_float(numbers.number(Fraction(10) ** 400))


@pytest.mark.parametrize("bits", [120, 600])
@pytest.mark.parametrize("text", ["-2/3", "12345678/7", "1/30000000000", "0", "1/8"])
def test_text_has_the_digits_asked_for(bits: int, text: str) -> None:
    numbers = FixedPoint(bits)
    found = numbers.text(numbers.number(Fraction(text)), 12)

    assert abs(Fraction(found) - Fraction(text)) <= abs(Fraction(text)) / 10**11
    assert Fraction(found) == Fraction(decimal_text(Fraction(text), 12))


@sizes
def test_pi_is_right_to_a_unit(bits: int) -> None:
    numbers = FixedPoint(bits)
    with mp.workprec(bits + 80):
        assert abs(mp.ldexp(mp.pi, bits) - int(numbers.pi())) <= 1


# Sums of products: exact inside, rounded down once.


@sizes
@pytest.mark.parametrize("length", [1, 2, 3, 8, 31, 64])
def test_a_convolution_is_rounded_once(bits: int, length: int) -> None:
    numbers = FixedPoint(bits)
    left, right = (random_series(numbers, length, seed) for seed in (1, 2))
    pairs = zip(exact(numbers, left), reversed(exact(numbers, right)), strict=True)

    assert 0 <= below(numbers, numbers.convolve(left, right), sum((a * b for a, b in pairs), Fraction(0))) < 1


@sizes
@pytest.mark.parametrize("length", [1, 2, 3, 8, 31, 64])
def test_a_square_is_the_convolution_with_itself(bits: int, length: int) -> None:
    numbers = FixedPoint(bits)
    series = random_series(numbers, length, 3)

    assert numbers.convolve_square(series) == numbers.convolve(series, series)


@sizes
@pytest.mark.parametrize("small", [False, True], ids=["large", "a few units"])
@pytest.mark.parametrize("same", [False, True], ids=["two series", "one series"])
def test_growing_products_are_convolutions_at_every_order(bits: int, small: bool, same: bool) -> None:
    numbers = FixedPoint(bits)
    first = random_series(numbers, 70, 4, small)
    second = first if same else random_series(numbers, 70, 5, small)
    left: list[int] = []
    right = left if same else list[int]()
    coefficient = numbers.product(left, right)
    for length in (70, 9, 1, 33):  # an expansion is started again and again, from order 0
        left.clear()
        right.clear()
        for k in range(length):
            left.append(first[k])
            if not same:
                right.append(second[k])
            assert coefficient() == numbers.convolve(first[: k + 1], second[: k + 1])


@pytest.mark.parametrize("bits", [200, 500])
def test_growing_products_see_the_newest_coefficients(bits: int) -> None:
    numbers = FixedPoint(bits)
    left, right = [numbers.one], [numbers.one]
    coefficient = numbers.product(left, right)
    coefficient()
    left.append(numbers.one)
    right.append(3 * numbers.one)

    assert coefficient() == 4 * numbers.one


@sizes
@given(a=st.fractions(-50, 50), b=st.fractions(-50, 50), divisor=st.integers(1, 10**6))
@settings(max_examples=20)
def test_products_and_quotients_are_rounded_once(bits: int, a: Fraction, b: Fraction, divisor: int) -> None:
    numbers = FixedPoint(bits)
    left, right = numbers.number(a), numbers.number(b)
    p, q = numbers.fraction(left), numbers.fraction(right)

    assert 0 <= below(numbers, numbers.multiply(left, right), p * q) < 1
    assert 0 <= below(numbers, numbers.divide_integer(left, divisor), p / divisor) < 1
    assert abs(left) < 2 or 0 <= below(numbers, numbers.reciprocal(left), 1 / p) < 1


@sizes
@pytest.mark.parametrize(
    "coefficients",
    [
        ["1"],
        ["-1"],
        ["2/7"],
        ["1", "1"],
        ["1", "-1", "0"],
        ["0", "0"],
        ["5/3", "-7/9", "1"],
        ["-1/3", "-1/3", "-1", "1"],
        [],
    ],
    ids=lambda c: " ".join(c) or "none",
)
def test_a_combination_is_rounded_once(bits: int, coefficients: list[str]) -> None:
    numbers = FixedPoint(bits)
    factors = [numbers.number(Fraction(c)) for c in coefficients]
    series = [random_series(numbers, 5, seed) for seed in range(len(factors))]
    term = numbers.combination(factors, series)

    for k in range(5):
        value = sum(
            (numbers.fraction(c) * numbers.fraction(s[k]) for c, s in zip(factors, series, strict=True)), Fraction(0)
        )
        assert 0 <= below(numbers, term(k), value) < 1


@sizes
@pytest.mark.parametrize("length", [1, 2, 17, 40])
@pytest.mark.parametrize("small", [False, True], ids=["large", "a few units"])
def test_moments_are_direct_sums(bits: int, length: int, small: bool) -> None:
    numbers = FixedPoint(bits)
    series, weights = random_series(numbers, length, 6, small), random_series(numbers, 2 * length - 1, 7, small)
    a, w = exact(numbers, series), exact(numbers, weights)
    found = numbers.moments(series, weights)

    assert len(found) == length
    for i, moment in enumerate(found):
        value = sum((a[j] * w[i + j] for j in range(length)), Fraction(0))
        assert 0 <= below(numbers, moment, value) < 1


@pytest.mark.parametrize("bits", [200, 500])
@pytest.mark.parametrize("zeros", ["series", "weights", "both", "end of the series", "end of the weights"])
def test_moments_keep_their_places_among_zeros(bits: int, zeros: str) -> None:
    numbers = FixedPoint(bits)
    series, weights = random_series(numbers, 9, 8), random_series(numbers, 17, 9)
    for name, values in (("series", series), ("weights", weights)):
        if zeros in {name, "both"}:
            values[:] = [numbers.zero] * len(values)
        elif zeros == f"end of the {name}":
            values[4:] = [numbers.zero] * (len(values) - 4)
    a, w = exact(numbers, series), exact(numbers, weights)

    for i, moment in enumerate(numbers.moments(series, weights)):
        assert 0 <= below(numbers, moment, sum((a[j] * w[i + j] for j in range(9)), Fraction(0))) < 1


@pytest.mark.parametrize("bits", [200, 500])
def test_moments_integrate_a_product_of_series(bits: int) -> None:
    """Over [0, 1/2] of (1 + t)(2 - t^2): the antiderivative is 2t + t^2 - t^3/3 - t^4/4."""
    numbers = FixedPoint(bits)
    one, h = numbers.one, Fraction(1, 2)
    weights = [numbers.number(h ** (k + 1) / (k + 1)) for k in range(5)]
    moments = numbers.moments([2 * one, numbers.zero, -one], weights)
    found = numbers.dot([one, one, numbers.zero], moments)

    assert abs(below(numbers, found, 2 * h + h**2 - h**3 / 3 - h**4 / 4)) < 10


@sizes
def test_a_dot_product_is_rounded_once_and_takes_the_shorter_length(bits: int) -> None:
    numbers = FixedPoint(bits)
    left, right = random_series(numbers, 12, 10), random_series(numbers, 10, 11)
    value = sum((a * b for a, b in zip(exact(numbers, left), exact(numbers, right), strict=False)), Fraction(0))

    assert 0 <= below(numbers, numbers.dot(left, right), value) < 1


# Functions.


@sizes
@pytest.mark.parametrize("name", SMOOTH)
@given(value=st.fractions(min_value=Fraction(-6), max_value=6, max_denominator=10**6))
@settings(max_examples=12)
def test_functions_are_right_to_a_unit(bits: int, name: str, value: Fraction) -> None:
    numbers = FixedPoint(bits)
    argument = numbers.number(abs(value) + Fraction(1, 10**7) if name in {"log", "sqrt"} else value)
    with mp.workprec(2 * bits + 100):
        x = mp.ldexp(mpf(int(argument)), -bits)
        expected = truth(name, x)
        if abs(expected) > 2**18:  # tan near its pole: see below
            return
        assert 0 <= mp.ldexp(expected, bits) - int(numbers.function(name, argument)) <= 1 + mpf(2) ** -8


@pytest.mark.parametrize("bits", [60, 500])
@pytest.mark.parametrize(
    ("name", "at"),
    [("exp", 60), ("exp", 400), ("sinh", -90), ("cosh", 300), ("exp", -30), ("sqrt", 10**30), ("log", 10**60),
     ("softplus", 10**9), ("softplus", -40), ("sigmoid", -35), ("tanh", -30), ("erf", 5), ("atan", 10**20),
     ("tan", Fraction(157079, 100000))],
)  # fmt: skip
def test_large_values_are_right_relative_to_their_size(bits: int, name: str, at: Fraction | int) -> None:
    numbers = FixedPoint(bits)
    argument = numbers.number(Fraction(at))
    with mp.workprec(4 * bits + 2000):
        expected = truth(name, mp.ldexp(mpf(int(argument)), -bits))
        found = mp.ldexp(mpf(int(numbers.function(name, argument))), -bits)
        assert abs(found - expected) <= max(mpf(1), abs(expected) * mpf(2) ** -10) * mpf(2) ** -bits * 1.01


@sizes
@pytest.mark.parametrize("exponent", ["3/2", "-1/2", "1/3", "-7/4"])
@given(value=st.fractions(min_value=Fraction(1, 20), max_value=6))
@settings(max_examples=10)
def test_powers_are_right_to_a_unit(bits: int, exponent: str, value: Fraction) -> None:
    numbers, power = FixedPoint(bits), Fraction(exponent)
    argument = numbers.number(value)
    with mp.workprec(2 * bits + 100):
        expected = mp.ldexp(mpf(int(argument)), -bits) ** (mpf(power.numerator) / power.denominator)
        assert 0 <= mp.ldexp(expected, bits) - int(numbers.function("power", argument, power)) <= 1 + mpf(2) ** -8


@pytest.mark.parametrize("bits", [60, 500])
@pytest.mark.parametrize(("at", "low", "high"), [(-(10**6), 0, 0), (-1000, 0, 0), (1000, 1, 1), (10**6, 1, 1)])
def test_the_logistic_function_saturates_without_overflow(bits: int, at: int, low: int, high: int) -> None:
    numbers = FixedPoint(bits)
    value = numbers.function("sigmoid", numbers.number(Fraction(at)))

    assert low * numbers.one - 1 <= value <= high * numbers.one


DOMAIN = [
    # function, units of the argument, undefined?, certainly?
    ("log", 0, True, False), ("log", 1, True, False), ("log", -1, True, False), ("log", -2, True, True),
    ("log", 2, False, False), ("sqrt", 0, True, False), ("sqrt", -2, True, True), ("sqrt", 2, False, False),
    ("power", 1, True, False), ("power", -5, True, True), ("power", 2, False, False), ("exp", 0, False, False),
    ("tan", 0, False, False), ("sin", -2, False, False), ("erf", 0, False, False), ("sigmoid", -1, False, False),
]  # fmt: skip


@pytest.mark.parametrize("bits", [60, 500])
@pytest.mark.parametrize(("name", "count", "undefined", "certain"), DOMAIN)
def test_domains_end_where_rounding_hides_the_boundary(
    bits: int, name: str, count: int, undefined: bool, certain: bool
) -> None:
    numbers = FixedPoint(bits)
    [argument] = units(numbers, [count])
    if not undefined:
        numbers.function(name, argument, Fraction(1, 3))
        return
    with pytest.raises(DomainError) as error:
        numbers.function(name, argument, Fraction(1, 3))
    assert (error.value.function, error.value.certain) == (name, certain)


@pytest.mark.parametrize("bits", [60, 500])
@pytest.mark.parametrize("count", [0, 1, -1])
def test_nothing_is_divided_by_what_may_be_0(bits: int, count: int) -> None:
    numbers = FixedPoint(bits)
    with pytest.raises(DomainError) as error:
        numbers.reciprocal(units(numbers, [count])[0])

    assert (error.value.function, error.value.certain) == ("1/", False)


@pytest.mark.parametrize("bits", [60, 500])
@pytest.mark.parametrize("count", [2, -2, 3, 10**6])
def test_what_is_not_0_has_a_reciprocal(bits: int, count: int) -> None:
    numbers = FixedPoint(bits)
    [argument] = units(numbers, [count])

    assert 0 <= below(numbers, numbers.reciprocal(argument), Fraction(1 << bits, count)) < 1


@pytest.mark.parametrize("bits", [60, 500])
def test_tan_is_refused_at_its_pole_only(bits: int) -> None:
    numbers = FixedPoint(bits)
    pole = numbers.pi() // 2
    with pytest.raises(DomainError, match="tan"):
        numbers.function("tan", pole)

    assert numbers.function("tan", pole - 1000) > 0 > numbers.function("tan", pole + 1000)


@pytest.mark.parametrize(
    ("name", "at", "undefined"),
    [
        ("exp", 100_001, True),
        ("sinh", 100_001, True),
        ("cosh", -100_001, True),
        ("exp", -100_001, False),
        ("exp", 99_999, False),
    ],
)
def test_exponentials_stop_before_memory_does(name: str, at: int, undefined: bool) -> None:
    numbers = FixedPoint(60)
    argument = numbers.number(Fraction(at))
    if undefined:
        with pytest.raises(DomainError, match=name):
            numbers.function(name, argument)
    else:
        assert numbers.function(name, argument) >= 0
