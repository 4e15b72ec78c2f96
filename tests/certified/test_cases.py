"""Every analytic problem of the shipped cases, and what costs most: certified, and where the precise route says."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest

from pkverify.arithmetic.ball import Ball
from pkverify.cases import CASES, case_problems
from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import Enclosure, enclose
from pkverify.certified.system import BallSystem
from pkverify.precise.route import solve_precise
from pkverify.precise.solution import Solution
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem
from tests.benchmarks.certified import network

PROBLEMS = [pytest.param(problem, id=name) for case in CASES for name, problem in case_problems(case)]


def outside(found: Enclosure, solution: Solution) -> list[str]:
    """The numbers of the precise route that are farther from their ball than their error estimate."""
    q, m, c = range(len(found.queries)), range(len(found.problem.data)), range(len(found.initial_outputs[0]))
    pairs: list[tuple[str, Enclosed, Fraction]] = []
    for k in q:
        for a in c:
            pairs.append((f"initial {k} {a}", found.initial_outputs[k][a], solution.initial_outputs[k][a]))
            pairs.append((f"final {k} {a}", found.final_outputs[k][a], solution.final_outputs[k][a]))
            pairs.append((f"regularizer {k} {a}", found.regularizer_terms[k][a], solution.regularizer_terms[k][a]))
            for i in m:
                pairs.append((f"term {k} {i} {a}", found.contributions[k][i][a], solution.contributions[k][i][a]))
                pairs += [
                    (f"kernel {k} {i} {a} {b}", found.path_kernels[k][i][a][b], solution.path_kernels[k][i][a][b])
                    for b in c
                ]
    slack = solution.error_estimate
    return [name for name, ball, value in pairs if abs(value - ball.mid) > ball.rad + slack * max(1, abs(value))]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_cases_are_certified_and_agree_with_the_precise_route(problem: Problem) -> None:
    found = enclose(problem)

    assert found.widest <= Fraction(1, 10**20)
    for row in found.residuals:
        for residual in row:
            assert residual.contains(0)
            assert residual.rad <= Fraction(1, 10**20)
    assert outside(found, solve_precise(problem, 25)) == []


def test_agreement_is_able_to_fail() -> None:
    first, second = (problem for _, problem in case_problems("xent")[:2])

    assert len(outside(enclose(first), solve_precise(second, 25))) > 3


def test_a_stiff_linear_problem_is_certified() -> None:
    stiff = parse_problem("""
    model = {kind = "linear", bias = false}
    loss = {kind = "squared"}
    data = {x = [["25", "0"], ["0", "1"]], y = ["3", "1"]}
    flow = {initial = ["0", "1/2"], horizon = "1"}
    query = {x = [["1", "1"]]}
    """)

    found = enclose(stiff)

    assert found.widest <= Fraction(1, 10**20)
    assert abs(found.final_params[0].mid - Fraction(3, 25)) < Fraction(1, 10**20)
    assert found.residuals[0][0].contains(0)


@pytest.mark.parametrize("width", [2, 7])
def test_twenty_queries_need_no_finer_path_than_one(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expanded = list[int]()
    gradient_at = BallSystem.gradient_at

    def counted(system: BallSystem, params: Sequence[Ball]) -> list[Ball]:
        expanded.append(len(system.queries))
        return gradient_at(system, params)

    monkeypatch.setattr(BallSystem, "gradient_at", counted)
    one, many = (enclose(network(width, 10, 1, queries), 20, tries=1) for queries in (1, 20))

    assert sorted(expanded) == [1] * len(one.steps) + [20] * len(many.steps)
    assert len(one.steps) == len(many.steps)
    assert many.widest < 10 * one.widest < Fraction(1, 10**22)


def test_twenty_queries_cost_one_trajectory() -> None:
    problem = parse_problem("""
    model = {kind = "mlp", layers = [1, 2, 1], activation = "tanh"}
    loss = {kind = "squared", reduction = "mean"}
    data = {x = [["-1"], ["0"], ["1"]], y = ["-1/2", "0", "3/5"]}
    flow = {initial = ["1/2", "-3/10", "1/10", "-1/5", "2/5", "3/10", "0"], horizon = "1"}
    """)
    queries = [(Fraction(k, 10),) for k in range(-10, 10)]

    one, many = enclose(problem, 12, queries[:1]), enclose(problem, 12, queries)

    assert len(many.steps) == len(one.steps)
    a, b = one.contributions[0][0][0], many.contributions[0][0][0]
    assert abs(a.mid - b.mid) <= a.rad + b.rad
