"""What underflows in units may stand in a denominator: balls look at every state, and more bits mend it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pkverify.precise.route import decompose_precise
from pkverify.precise.system import AugmentedSystem
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem

# The same function of w x, written so that a factor underflows, and so that none does.
SIGMOIDS = {
    "a quotient": "exp(w*x)/(1 + exp(w*x))",
    "a product with a small reciprocal": "1/(1 + exp(w*x))*exp(w*x)",
    "through the other side": "1 - 1/(1 + exp(w*x))",
    "shifted by a constant that underflows": "exp(w*x - 150)/(exp(-150) + exp(w*x - 150))",
}


def problem_of(output: str, start: int) -> Problem:
    return parse_problem(f"""
    model = {{kind = "expression", params = ["w"], inputs = ["x"], output = "{output}"}}
    loss = {{kind = "squared"}}
    data = {{x = [[1], ["1/120"]], y = [2, 3]}}
    flow = {{initial = [{start}], horizon = "1/10"}}
    """)


def gaps(output: str, start: int) -> list[Fraction]:
    """How far two ways to write one problem come out apart."""
    found, wanted = (decompose_precise(problem_of(text, start), 20) for text in (output, "sigmoid(w*x)"))
    return [
        abs(Fraction(str(a)) - Fraction(str(b)))
        for one, other in zip(found, wanted, strict=True)
        for a, b in (
            (one.initial_output, other.initial_output),
            (one.final_output, other.final_output),
            *zip(one.contributions, other.contributions, strict=True),
            *zip(one.path_kernel, other.path_kernel, strict=True),
        )
    ]


@pytest.mark.parametrize("start", [40, 95, 120, 240])
@pytest.mark.parametrize("case", SIGMOIDS)
def test_the_way_to_write_a_function_does_not_matter(case: str, start: int) -> None:
    assert max(gaps(SIGMOIDS[case], start)) < Fraction(1, 10**18)


def test_without_the_look_in_balls_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AugmentedSystem, "is_accurate", lambda *_: True)
    assert max(gaps(SIGMOIDS["a quotient"], 120)) > Fraction(1, 10)
