"""The true numbers of closed forms lie in the certified balls, which shrink with the digits and overlap."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from pkverify.arithmetic.ball import working_precision
from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import enclose, enclose_once
from tests.certified.closed_forms import FAMILIES, TRUE_BITS, ball, lies_within, misses, true_case

CASES = [(family, seed) for family in FAMILIES for seed in range(5)]
DIGITS = (8, 12, 20, 33)


@pytest.mark.parametrize(("family", "seed"), CASES)
def test_true_numbers_lie_in_the_balls(family: str, seed: int) -> None:
    truth = true_case(family, seed)
    digits = DIGITS[seed % len(DIGITS)]

    found = enclose(truth.problem, digits)

    assert misses(truth, found) == []
    assert found.widest <= Fraction(1, 10**digits)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(100, 500))
def test_true_numbers_lie_in_the_balls_at_length(family: str, seed: int) -> None:
    truth = true_case(family, seed)

    assert misses(truth, enclose(truth.problem, 5 + seed % 31)) == []


@pytest.mark.parametrize(("family", "seed"), [(family, seed) for family in FAMILIES for seed in range(5, 8)])
@pytest.mark.parametrize("local_digits", [3.0, 6.0])
def test_coarse_balls_hold_too(family: str, seed: int, local_digits: float) -> None:
    truth = true_case(family, seed)

    found = enclose_once(truth.problem, 5, truth.problem.query_inputs, local_digits + 8 * (family == "quartic"))

    assert misses(truth, found) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_balls_shrink_with_the_digits_and_overlap(family: str) -> None:
    problem = true_case(family, 1).problem

    narrow, narrower = enclose(problem, 10), enclose(problem, 25)

    for a, b in zip(narrow.numbers(), narrower.numbers(), strict=True):
        assert abs(a.mid - b.mid) <= a.rad + b.rad
    assert narrower.widest < narrow.widest / 10**10


@pytest.mark.parametrize("family", FAMILIES)
def test_the_judge_sees_a_ball_moved_by_its_radius(family: str) -> None:
    truth = true_case(family, 2)
    found = enclose(truth.problem, 12).final_outputs[0][0]
    away = Enclosed(found.mid + 3 * found.rad + Fraction(1, 10**30), found.rad)

    with working_precision(TRUE_BITS):
        assert lies_within(truth.final_output, found)
        assert not lies_within(truth.final_output, away)
        assert not lies_within(ball(found.upper) + ball(Fraction(1, 10**30)), found)


def test_steps_join_and_end_at_the_horizon() -> None:
    problem = true_case("sine", 3).problem
    steps = enclose(problem, 20).steps

    assert steps[0].start == 0
    assert steps[-1].end == problem.horizon
    for step, after in pairwise(steps):
        assert after.start == step.end
        assert after.error_start == step.error_end
        assert [Fraction(p[0], 2**after.bits) for p in after.coefficients] == list(step.final)
    for step in steps:
        assert max(step.error_start, step.error_end) <= step.error_sup < step.tube < step.margin
