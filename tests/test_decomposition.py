"""Balls in decimals: strings that carry a radius, and never a narrower one than was proved."""

from __future__ import annotations

import pickle
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pkverify.decomposition import BallNumber, enclosing
from pkverify.rational import decimal_above


def test_a_ball_reads_like_the_string_of_its_midpoint() -> None:
    ball = BallNumber("0.25", "1e-30")

    assert Fraction(ball) == Fraction(1, 4)
    assert Decimal(ball) == Decimal("0.25")
    assert f"{ball}" == "0.25"
    assert (ball.mid, ball.rad) == ("0.25", "1e-30")
    assert pickle.loads(pickle.dumps(ball)).rad == ball.rad  # noqa: S301 - our own bytes


def test_balls_of_other_radii_are_not_equal() -> None:
    assert BallNumber("1", "0.1") == BallNumber("1", "0.1")
    assert BallNumber("1", "0.1") != BallNumber("1", "0.2")
    assert BallNumber("1", "0.1") == "1"


@given(
    st.fractions(-(10**6), 10**6),
    st.fractions(0, 1, max_denominator=10**30),
    st.integers(1, 40),
)
def test_what_is_written_contains_what_was_proved(mid: Fraction, rad: Fraction, digits: int) -> None:
    lower, upper = enclosing(mid, rad, digits).ends
    assert lower <= mid - rad
    assert upper >= mid + rad


@given(st.fractions(0, 10**20), st.integers(1, 6))
def test_rounding_up_is_up_and_by_less_than_a_unit(value: Fraction, digits: int) -> None:
    above = Fraction(decimal_above(value, digits))
    assert above >= value
    assert above == value == 0 or above < value * (1 + Fraction(10) ** (1 - digits)) or value == 0


def test_a_radius_that_rounds_to_a_power_of_ten() -> None:
    assert decimal_above(Fraction(99999, 10**8), 3) == "0.001"
    assert decimal_above(Fraction(1, 10**24) + Fraction(1, 10**40), 3) == "1.01e-24"
