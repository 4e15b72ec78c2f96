import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkverify.errors import InputError
from pkverify.rational import MAX_DIGITS, decimal_text, format_rational, parse_rational

GOOD = [
    ("3", Fraction(3)),
    ("-2/6", Fraction(-1, 3)),
    (" 1 / 4 ", Fraction(1, 4)),
    ("+.5", Fraction(1, 2)),
    ("5.", Fraction(5)),
    ("1e-3", Fraction(1, 1000)),
    ("1E+2", Fraction(100)),
    ("1_000.5", Fraction(2001, 2)),
    ("-0", Fraction(0)),
    (7, Fraction(7)),
    (0.1, Fraction(1, 10)),
    (1e22, Fraction(10**22)),
    (Fraction(2, 3), Fraction(2, 3)),
    (np.float64(0.1), Fraction(1, 10)),
    (np.int64(-4), Fraction(-4)),
    ("9" * MAX_DIGITS, Fraction(10**MAX_DIGITS - 1)),
    ("1e4000", Fraction(10**MAX_DIGITS)),
    ("1e-000000000000000000003", Fraction(1, 1000)),
]

BAD = [
    ("", "not a number"),
    (" ", "not a number"),
    ("abc", "not a number"),
    ("1/0", "not a number"),
    ("1/-3", "not a number"),
    ("0.1/3", "not a number"),
    ("1//3", "not a number"),
    ("_1", "not a number"),
    ("1__0", "not a number"),
    ("0x10", "not a number"),
    ("1+1", "not a number"),
    ("1e", "not a number"),
    ("٣", "not a number"),
    ("nan", "not a finite number"),
    ("-inf", "not a finite number"),
    (float("nan"), "not a finite number"),
    (float("inf"), "not a finite number"),
    (True, "not a number"),
    (None, "not a number"),
    ([1], "not a number"),
    (1j, "not a number"),
    ("1e4001", "out of range"),
    ("1e" + "9" * 3000, "out of range"),
    ("9" * 4000 + "e4000", "out of range"),
    ("9" * 4001, "out of range"),
    ("1/" + "9" * 4005, "4005 digits"),
    ("9" * 1_000_000, "1000000 characters"),
    (16**9000, "out of range"),
    (Fraction(1, 16**9000), "out of range"),
]


@pytest.mark.parametrize(("value", "expected"), GOOD, ids=range(len(GOOD)))
def test_numbers_are_read_exactly(value: object, expected: Fraction) -> None:
    assert parse_rational(value) == expected


@pytest.mark.parametrize(("value", "complaint"), BAD, ids=range(len(BAD)))
def test_what_is_no_number_is_refused(value: object, complaint: str) -> None:
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        parse_rational(value)

    assert complaint in caught.value.what
    assert caught.value.fix
    assert len(str(caught.value)) < 400
    assert time.process_time() - began < 1


@given(st.fractions())
def test_fractions_survive_writing(value: Fraction) -> None:
    assert parse_rational(format_rational(value)) == value


@given(st.from_regex(r"\A[+-]?[0-9]{1,40}(\.[0-9]{0,40})?(e[+-]?[0-9]{1,3})?\Z"))
def test_decimals_survive_writing(text: str) -> None:
    value = parse_rational(text)

    assert parse_rational(format_rational(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_the_decimals_they_print_as(value: float) -> None:
    assert float(parse_rational(value)) == value
    assert parse_rational(value) == parse_rational(repr(value))


@given(st.text())
def test_text_is_read_or_refused(text: str) -> None:
    try:
        value = parse_rational(text)
    except InputError:
        return

    assert parse_rational(format_rational(value)) == value


def test_longest_numbers_survive_writing() -> None:
    value = Fraction(10**MAX_DIGITS - 1, 10**MAX_DIGITS)

    assert parse_rational(format_rational(value)) == value


def test_numbers_too_long_are_not_written() -> None:
    with pytest.raises(InputError, match="out of range"):
        format_rational(Fraction(10**5000))


@given(st.fractions() | st.integers(-(10**40), 10**40).map(Fraction) | st.fractions(Fraction(0), Fraction(1, 10**30)))
def test_decimals_are_rounded_to_nearest(value: Fraction) -> None:
    for digits in (1, 5, 30):
        text = decimal_text(value, digits)
        mantissa = text.partition("e")[0].replace(".", "").lstrip("-0")

        assert len(mantissa) == (digits if value else 0)
        assert abs(Fraction(text) - value) <= abs(value) / (2 * 10 ** (digits - 1))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(999_999, 1000), "1.00e+03"),
        (Fraction(999_999, 10_000), "100"),
        (Fraction(-1, 1000), "-0.00100"),
        (Fraction(1, 10**7), "1.00e-07"),
        (Fraction(12345), "1.23e+04"),
        (Fraction(0), "0"),
    ],
)
def test_decimals_are_written_shortly(value: Fraction, text: str) -> None:
    assert decimal_text(value, 3) == text
