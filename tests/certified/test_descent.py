"""Gradient descent is as near to the flow as its bound says, and first order in the learning rate."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pkverify.certified.descent import DescentBound, descend, descent_bound, distance
from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import Enclosure, enclose
from pkverify.errors import InputError, UntreatableError
from pkverify.problem_file import parse_problem

NEURON = """
model = {kind = "expression", params = ["w0", "w1"], inputs = ["x"], output = "tanh(w0*x + w1)"}
loss = {kind = "squared"}
data = {x = [["1"], ["-1/2"]], y = ["7/10", "1/5"]}
flow = {initial = ["1/10", "-1/5"], horizon = "2"}
"""
LINE = """
model = {kind = "linear", bias = true}
loss = {kind = "squared"}
data = {x = [["0"], ["1"], ["2"]], y = ["1/2", "1", "5/2"]}
flow = {initial = ["0", "1/4"], horizon = "1"}
"""


@pytest.fixture(scope="module", params=[NEURON, LINE], ids=["neuron", "line"])
def flow(request: pytest.FixtureRequest) -> Enclosure:
    return enclose(parse_problem(request.param), 15)


def both(flow: Enclosure, steps: int) -> tuple[DescentBound, Enclosed]:
    rate = flow.problem.horizon / steps
    return descent_bound(flow, rate), distance(descend(flow.problem, rate, steps), flow.final_params)


@pytest.mark.parametrize("steps", [50, 200, 1000])
def test_descent_is_within_its_bound(flow: Enclosure, steps: int) -> None:
    bound, apart = both(flow, steps)

    assert apart.lower > 0
    assert apart.upper <= bound.distance <= bound.tube
    assert bound.exponential is None or bound.exponential >= bound.distance


def test_the_bound_falls_with_the_learning_rate(flow: Enclosure) -> None:
    coarse, fine = both(flow, 100)[0], both(flow, 1000)[0]

    assert 8 < coarse.distance / fine.distance < 16


def test_a_bound_without_acceleration_is_too_small(flow: Enclosure) -> None:
    bound, apart = both(flow, 200)

    # what is left of it where the curvature of the path is taken for a thousandth of what it is
    assert bound.distance / 1000 < apart.lower


@pytest.mark.parametrize(("rate", "steps"), [("1/3", 4), ("3/10", None), ("-1", None), ("1/10000000", None)])
def test_steps_that_miss_the_horizon_are_bad_input(rate: str, steps: int | None) -> None:
    with pytest.raises(InputError, match="horizon"):
        descent_bound(enclose(parse_problem(LINE), 10), Fraction(rate), steps)


def test_a_learning_rate_too_large_is_refused() -> None:
    steep = LINE.replace('"2"]]', '"20"]]').replace('horizon = "1"', 'horizon = "8"')

    with pytest.raises(UntreatableError):
        descent_bound(enclose(parse_problem(NEURON.replace('"7/10"', '"70"')), 8), Fraction(1))
    diverged = descend(parse_problem(steep), Fraction(1, 8), 8)  # 1 - 400/8 each step: exact, and far away
    assert abs(diverged[0].mid) > 10**6


def test_distances_of_balls_enclose_those_of_their_points() -> None:
    left = (Enclosed(Fraction(0), Fraction(1, 8)), Enclosed(Fraction(1), Fraction(0)))
    right = (Enclosed(Fraction(3), Fraction(1, 8)), Enclosed(Fraction(5), Fraction(0)))

    apart = distance(left, right)

    assert apart.contains(5)
    assert Fraction(1, 8) < apart.rad < Fraction(1, 4)
    assert distance(left, left).contains(0)
