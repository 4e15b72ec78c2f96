"""What the tests of failing flows share."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from mpmath import mpf

from pkverify.errors import FlowError
from pkverify.precise.route import solve_precise
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem


def problem_of(
    output: str,
    x: str,
    y: str | None,
    initial: str,
    horizon: str,
    query: str | None = None,
    loss: str = 'kind = "squared"',
) -> Problem:
    """One parameter w, or u and v where two initial values are given; one input x."""
    params = '["w"]' if "," not in initial else '["u", "v"]'
    asked = "" if query is None else f"query.x = [{query}]"
    targets = "" if y is None else f", y = [{y}]"
    return parse_problem(f"""
        model = {{kind = "expression", params = {params}, inputs = ["x"], output = "{output}"}}
        loss = {{{loss}}}
        data = {{x = [{x}]{targets}}}
        flow = {{initial = [{initial}], horizon = "{horizon}"}}
        {asked}
    """)


LINEAR = 'kind = "nll-log-probability"'  # the loss -y


RISING = 'kind = "expression", value = "y"'  # the loss y


def failure(problem: Problem, digits: int = 15) -> FlowError:
    with pytest.raises(FlowError) as error:
        solve_precise(problem, digits)
    assert error.value.exit_code == 3
    return error.value


def real(value: Fraction) -> Any:
    return mpf(value.numerator) / value.denominator
