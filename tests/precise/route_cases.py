"""What the tests of the precise route share."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from mpmath import mpf

from pkverify.decomposition import Decomposition
from pkverify.problem_file import parse_problem


def real(value: Fraction | str | int) -> Any:
    exact = Fraction(value)
    return mpf(exact.numerator) / exact.denominator


NEURON = parse_problem("""
    model = {kind = "expression", params = ["w0", "w1"], inputs = ["x"], output = "tanh(w0*x + w1)"}
    loss.kind = "squared"
    data = {x = ["1", "-1/2"], y = ["7/10", "1/5"]}
    flow = {initial = ["1/10", "-1/5"], horizon = 2}
    query.x = ["3/10"]
""")


RIDGE = parse_problem("""
    model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = "u*v*x"}
    loss.kind = "squared"
    regularizer.value = "(u**2 + v**4)/5"
    data = {x = ["1"], y = ["1"]}
    flow = {initial = ["9/10", "1/5"], horizon = 2}
    query.x = ["1/2"]
""")


def pairs(left: Decomposition, right: Decomposition) -> list[tuple[str, str]]:
    """The numbers of two decompositions of one output, side by side; weights where both have them."""
    found = [
        (left.initial_output, right.initial_output),
        (left.final_output, right.final_output),
        (left.regularizer_term, right.regularizer_term),
    ]
    for a, b in (
        (left.contributions, right.contributions),
        (left.path_kernel, right.path_kernel),
        (left.weights, right.weights),
    ):
        for x, y in zip(a, b, strict=True):
            if x is not None and y is not None:
                found += zip(*(((v,) if isinstance(v, str) else v) for v in (x, y)), strict=True)
    return found
