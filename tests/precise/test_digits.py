"""The digits of the precise route against closed forms (claims, section 8): as printed, none is wrong."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from mpmath import mp, mpf

from pkverify.precise.route import decompose_precise
from tests.precise.closed_form_cases import (
    EXTRA,
    FAMILIES,
    Case,
    draw_case,
    real,
)


def worst_field(case: Case, digits: int) -> Any:
    """The largest error of a printed number, in units of what is allowed."""
    worst = mpf(0)

    def compare(found: str, expected: Any) -> None:
        nonlocal worst
        worst = max(worst, abs(mpf(found) - expected) / max(1, abs(expected)) * mpf(10) ** (digits - 2))

    with mp.workdps(digits + EXTRA):
        for item in decompose_precise(case.problem, digits):
            expected, c = case.at(real(item.query[0])), item.output
            compare(item.initial_output, expected.initial[c])
            compare(item.final_output, expected.final[c])
            compare(item.regularizer_term, expected.regularizer[c])
            for i, contribution in enumerate(expected.contributions):
                compare(item.contributions[i], contribution[c])
                kernel, weight = item.path_kernel[i], item.weights[i]
                for o, printed in enumerate([kernel] if isinstance(kernel, str) else kernel):
                    compare(printed, expected.kernels[i][c][o])
                assert weight is not None, item.weights_absent
                for o, printed in enumerate([weight] if isinstance(weight, str) else weight):
                    compare(printed, expected.weights[i][o])
    return worst


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("digits", [5, 15, 25, 60])
@pytest.mark.parametrize("seed", range(2))
def test_every_printed_number_is_that_of_the_closed_form(family: str, digits: int, seed: int) -> None:
    assert worst_field(draw_case(family, seed), digits) <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_every_printed_number_is_that_of_the_closed_form_at_200_digits(family: str) -> None:
    assert worst_field(draw_case(family, 2), 200) <= 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("change", ["horizon", "initial", "input"])
def test_a_problem_slightly_different_has_other_numbers(family: str, change: str) -> None:
    case, little = draw_case(family, 0), 1 + Fraction(1, 10**15)
    problem, data = case.problem, case.problem.data
    match change:
        case "horizon":
            other = replace(problem, horizon=problem.horizon * little)
        case "initial":
            other = replace(problem, initial=tuple(v * little for v in problem.initial))
        case _:
            asked = [(x * little,) for (x,) in problem.query_inputs]
            other = replace(
                problem, data=replace(data, inputs=tuple((x * little,) for (x,) in data.inputs)), queries=tuple(asked)
            )
    moved = Case(family, other, case.at)
    unmoved = family in {"double well", "blow-up"} and change == "input"  # f does not depend on the input there

    assert (worst_field(moved, 25) > 1) is not unmoved
