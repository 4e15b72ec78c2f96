"""Runs for the tests of figures: small ones from the checks, and one written by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import TypeVar

from pkverify.cases import case_problems
from pkverify.checks.context import Context
from pkverify.checks.run import check_problem
from pkverify.checks.series import series
from pkverify.decomposition import Decomposition
from pkverify.evidence import ProblemRun
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem

T = TypeVar("T")

BENT = parse_problem(
    """title = "The weight is no average"
    model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w + x*w**2"}
    loss.kind = "squared"\ndata = {x = [0], y = [1]}\nflow = {initial = [0], horizon = 1}
    query.x = ["-13/10", "-7/5"]"""
)

HAND = Decomposition(
    route="precise",
    digits=15,
    query=(Fraction(-1, 2), Fraction(3)),
    output=0,
    initial_output="0.5",
    final_output="1.25",
    contributions=("2", "-1.5", "0.75"),
    regularizer_term="-0.5",
    residual="-1.0e-17",
    path_kernel=("4", "3", "0"),
    weights=("0.5", "-0.5", None),
    weights_absent={2: "K = 0"},
    horizon=Fraction(1),
)


def checked(problem: Problem, digits: int = 20) -> ProblemRun:
    """A run with its tables, of the fewest claims."""
    run = check_problem("case", problem, digits=digits, routes=("precise",), claims=frozenset({"T1g"}))
    return replace(run, series=series(Context(problem, digits)))


@cache
def case_run(name: str) -> ProblemRun:
    """The run of a problem of the named cases, or of the bent model."""
    problems = dict(item for case in ("linear", "mlp", "xent") for item in case_problems(case)) | {"bent": BENT}
    return checked(problems[name])


def large(count: int) -> Decomposition:
    """A decomposition over so many examples: contributions 1, -2, 3, ..."""
    terms = tuple(str((-1) ** k * (k + 1)) for k in range(count))
    return replace(HAND, contributions=terms, path_kernel=("1",) * count, weights=terms, weights_absent={})


def present(value: T | None) -> T:
    """What is expected to be there."""
    assert value is not None
    return value
