"""Certified counterexamples: zeros of closed forms lie between the queries; where there is none, nothing is proved."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import e, log
from typing import Any

import pytest

from pkverify.arithmetic.ball import BallDomainError
from pkverify.certified import witness
from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import enclose
from pkverify.certified.hypotheses import Range
from pkverify.certified.witness import (
    KernelZero,
    LesserWeight,
    WeightOutside,
    kernel_zero,
    lesser_weight,
    weight_outside,
)
from pkverify.errors import UntreatableError
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem


def problem(output: str, x: str, y: str, horizon: str, params: str = '"w"', initial: str = "[0]") -> Problem:
    return parse_problem(f"""
    model = {{kind = "expression", params = [{params}], inputs = ["x"], output = "{output}"}}
    loss = {{kind = "squared"}}
    data = {{x = {x}, y = {y}}}
    flow = {{initial = {initial}, horizon = "{horizon}"}}
    """)


CE_A = problem("w + x*w**2", "[[0]]", "[1]", "1")
CE_STAR = problem("w*x + w**2*x**2/2", "[[1]]", '["-1/2"]', "3")
LINE = problem("w*x", "[[1], [2]]", "[1, 1]", "1")
RIVALS = problem("u*(1 - x) + v*x + x*(1 - x)*(u**2 - v**2)/4", "[[0], [1]]", '["11/10", 1]', "2", '"u", "v"', "[0, 0]")
ZEROS = [
    pytest.param(CE_A, -e / 2, (1 - 1 / e) - e / 2 * (1 - 1 / e) ** 2, id="CE-A"),
    pytest.param(CE_STAR, 1 / (1 - log(2)), (4 * log(2) - 3) / (8 * (1 - log(2)) ** 2), id="CE*"),
]


def near(value: float, width: Fraction) -> tuple[tuple[Fraction], tuple[Fraction]]:
    middle = Fraction(value)
    return (middle - width,), (middle + width,)


@pytest.mark.parametrize(("given", "zero", "moved"), ZEROS)
@pytest.mark.parametrize("exponent", [2, 6, 12])
def test_the_zero_is_proved_and_what_moves_there_enclosed(
    given: Problem, zero: float, moved: float, exponent: int
) -> None:
    found = kernel_zero(given, 0, *near(zero, Fraction(1, 10**exponent)), digits=15)

    assert found.is_proved
    assert abs(moved - float(found.moved.mid)) <= float(found.moved.rad) + 1e-13
    assert abs(moved - float(found.contribution.mid)) <= float(found.contribution.rad) + 1e-13  # the only example
    assert float(found.moved.rad) < 40 * 10.0**-exponent


@pytest.mark.parametrize(("given", "middle"), [(CE_A, -1.36), (CE_STAR, 3.26), (RIVALS, 0.5)])
def test_numbers_at_queries_within_lie_in_the_balls_of_the_box(given: Problem, middle: float) -> None:
    low, high = near(middle, Fraction(1, 100))
    box = kernel_zero(given, 0, low, high, digits=15)

    for k in range(5):
        inside = enclose(given, 15, ((low[0] + (high[0] - low[0]) * k / 4,),))
        part = inside.contributions[0][0][0]
        assert abs(part.mid - box.contribution.mid) <= part.rad + box.contribution.rad
        out = inside.final_outputs[0][0].mid - inside.initial_outputs[0][0].mid
        assert abs(out - box.moved.mid) <= box.moved.rad + Fraction(1, 10**14)


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [
        pytest.param(CE_A, "-1.2", "-1.1", id="one sign"),
        pytest.param(CE_A, "-1.35914091422952", "-1.35914091422951", id="both ends on one side"),
        pytest.param(CE_A, "-9", "9", id="so wide that the contribution may vanish"),
        pytest.param(LINE, "-1/10", "1/10", id="the contribution vanishes, too"),
    ],
)
def test_where_no_zero_is_proved(given: Problem, low: str, high: str) -> None:
    assert not kernel_zero(given, 0, (Fraction(low),), (Fraction(high),), digits=15).is_proved


def test_the_order_of_the_ends_does_not_matter() -> None:
    low, high = near(-e / 2, Fraction(1, 100))

    assert kernel_zero(CE_A, 0, high, low, digits=10).is_proved


@pytest.mark.parametrize(
    ("change", "proved"),
    [
        ({}, True),
        ({"kernels": (Enclosed(Fraction(1), Fraction(0)), Enclosed(Fraction(1), Fraction(0)))}, False),
        ({"kernels": (Enclosed(Fraction(1), Fraction(2)), Enclosed(Fraction(-1), Fraction(0)))}, False),
        ({"contribution": Enclosed(Fraction(1), Fraction(1))}, False),
    ],
)
def test_a_zero_needs_both_signs_and_a_contribution(change: dict[str, Any], proved: bool) -> None:
    one, minus = Enclosed(Fraction(1), Fraction(1, 2)), Enclosed(Fraction(-1), Fraction(1, 2))
    zero = KernelZero((Fraction(0),), (Fraction(1),), 0, (minus, one), one, one)

    assert replace(zero, **change).is_proved is proved


def test_a_box_that_is_taken_for_its_middle_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutation that makes the box a point: the contribution at an end then lies outside its ball."""
    low, high = near(-e / 2, Fraction(1, 100))
    middle = witness.spanning(low[0], high[0]).mid()
    monkeypatch.setattr(witness, "spanning", lambda *_: middle)
    box = kernel_zero(CE_A, 0, low, high, digits=15)
    [[[end]]] = enclose(CE_A, 15, (low,)).contributions

    assert abs(end.mid - box.contribution.mid) > end.rad + box.contribution.rad


def test_a_kink_on_the_box_is_refused() -> None:
    kinked = problem("w + relu(w*(x - 2))", "[[1]]", "[2]", "1", initial="[1]")

    with pytest.raises(BallDomainError, match="kink"):
        kernel_zero(kinked, 0, (Fraction(1),), (Fraction(3),), digits=10)


def test_kinks_of_the_input_alone_are_continuous() -> None:
    bent = problem("w*abs(x - 2) + w**2*(2 - x)/2", "[[1]]", "[1]", "1")  # slope |x - 2| + w (2 - x)
    box = kernel_zero(bent, 0, (Fraction(1),), (Fraction(3),), digits=10)
    inside = enclose(bent, 10, ((Fraction(2),), (Fraction(5, 2),))).contributions

    assert not box.is_proved  # K is 0 at 2, and so is the contribution
    assert all(abs(part[0][0].mid - box.contribution.mid) <= box.contribution.rad for part in inside)


def test_several_outputs_are_refused() -> None:
    two = parse_problem("""
    model = {kind = "expression", params = ["w"], inputs = ["x"], output = ["w*x", "w"]}
    loss = {kind = "squared"}
    data = {x = [[1]], y = [[1, 2]]}
    flow = {initial = [0], horizon = 1}
    """)

    with pytest.raises(UntreatableError, match="several outputs"):
        kernel_zero(two, 0, (Fraction(1),), (Fraction(3),))


@pytest.mark.parametrize(("query", "proved"), [("-13/10", True), ("-1.4", True), ("1", False), ("0", False)])
def test_a_weight_outside_the_range_is_proved(query: str, proved: bool) -> None:
    found = weight_outside(CE_A, 0, (Fraction(query),), 15)
    x = float(Fraction(query))
    true = ((1 - 1 / e) + x * (1 - 1 / e) ** 2) / (1 + 2 * x / e)

    assert found is not None
    assert found.is_proved is proved
    assert abs(float(found.weight.mid) - true) < 1e-12
    assert float(found.values.lower) <= 1 / e + 1e-12
    assert float(found.values.upper) >= 1 - 1e-12


def test_no_weight_is_no_witness() -> None:
    assert weight_outside(LINE, 0, (Fraction(0),), 10) is None
    assert lesser_weight(LINE, (0, 1), (Fraction(0),), 10) is None


def test_a_lesser_weight_for_a_steeper_loss_is_proved() -> None:
    found = lesser_weight(RIVALS, (0, 1), (Fraction(1, 2),), 12)

    assert found is not None
    assert found.always_steeper
    reverse = lesser_weight(RIVALS, (1, 0), (Fraction(1, 2),), 12)
    assert reverse is not None
    assert not reverse.always_steeper
    assert not reverse.is_proved


def test_orders_are_judged_by_whole_balls() -> None:
    small, large = Enclosed(Fraction(-1), Fraction(1, 8)), Enclosed(Fraction(2), Fraction(1, 8))
    wide = Enclosed(Fraction(2), Fraction(1))

    assert LesserWeight((small, large), always_steeper=True).is_proved
    assert not LesserWeight((small, large), always_steeper=False).is_proved
    assert not LesserWeight((large, small), always_steeper=True).is_proved
    assert not LesserWeight((small, wide), always_steeper=True).is_proved
    values = Range(Fraction(0), Fraction(1), Fraction(0), Fraction(1), is_constant=False)
    assert WeightOutside(large, values).is_proved
    assert not WeightOutside(wide, values).is_proved
