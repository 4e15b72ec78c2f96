"""The error estimate: actual errors over random problems with closed forms never exceed it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from typing import Any

import pytest
from mpmath import mp, mpf

from pkverify.precise.route import kernel_weight, solve_precise
from pkverify.precise.solution import Solution
from tests.precise.closed_form_cases import (
    EXTRA,
    FAMILIES,
    Case,
    Expected,
    double_well,
    draw_case,
    real,
    single,
)


def relative_error(solution: Solution, case: Case) -> Any:
    """The largest error among all numbers but the weights, relative to max(1, |value|)."""
    pairs: list[tuple[Fraction, Any]] = []
    for q, query in enumerate(solution.queries):
        expected, outputs = case.at(real(query[0])), range(len(solution.initial_outputs[q]))
        pairs += zip(solution.initial_outputs[q], expected.initial, strict=True)
        pairs += zip(solution.final_outputs[q], expected.final, strict=True)
        pairs += zip(solution.regularizer_terms[q], expected.regularizer, strict=True)
        for i, contribution in enumerate(expected.contributions):
            pairs += zip(solution.contributions[q][i], contribution, strict=True)
            for c in outputs:
                pairs += zip(solution.path_kernels[q][i][c], expected.kernels[i][c], strict=True)
    return max(abs(real(found) - value) / max(1, abs(value)) for found, value in pairs)


def weight_error(solution: Solution, case: Case) -> Any:
    worst = mpf(0)
    for q, query in enumerate(solution.queries):
        for i, weights in enumerate(case.at(real(query[0])).weights):
            found = kernel_weight(solution, q, i)
            assert isinstance(found, tuple), found
            worst = max([worst, *(abs(real(a) - b) / max(1, abs(b)) for a, b in zip(found, weights, strict=True))])
    return worst


@dataclass(frozen=True)
class Ratio:
    """How an actual error compares with its estimate: log10(actual / estimate), which is to be negative."""

    family: str
    digits: int
    seed: str
    numbers: float
    weights: float  # against 10**(2 - digits), which is what a weight is promised


def measure(family: str, digits: int, seed: str) -> Ratio:
    case = draw_case(family, seed)
    solution = solve_precise(case.problem, digits)
    with mp.workdps(digits + EXTRA):
        actual, weights = relative_error(solution, case), weight_error(solution, case)
        numbers = float(mp.log10(actual)) - solution.log10_error if actual else -inf
        return Ratio(family, digits, seed, numbers, float(mp.log10(weights)) - (2 - digits) if weights else -inf)


STUDIED_DIGITS = (5, 6, 7, 9, 12, 15, 20, 25, 30, 40, 60, 100)


def study(count: int, seed: int) -> list[Ratio]:
    """Random problems of every family in turn, each at one of many settings of the digits."""
    rng = random.Random(seed)  # noqa: S311 - reproducible problems, not secrets
    names = list(FAMILIES)
    return [measure(names[k % len(names)], rng.choice(STUDIED_DIGITS), f"{seed}.{k}") for k in range(count)]


def overdrawn(ratios: Sequence[Ratio]) -> list[Ratio]:
    return [ratio for ratio in ratios if ratio.numbers > 0 or ratio.weights > 0]


@pytest.mark.parametrize("part", range(3))
def test_no_error_exceeds_its_estimate(part: int) -> None:
    assert overdrawn(study(24, part)) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(100, 110))
def test_no_error_exceeds_its_estimate_on_many_problems(part: int) -> None:
    assert overdrawn(study(120, part)) == []


@pytest.mark.parametrize("family", ["1", "3", "double well"])
def test_the_estimate_is_not_empty(family: str) -> None:
    """Against closed forms of another problem it must fail, and it must be near what was asked for."""
    case, digits = draw_case(family, "other"), 20
    solution = solve_precise(replace(case.problem, horizon=case.problem.horizon * (1 + Fraction(1, 10**19))), digits)

    assert -digits - 12 < solution.log10_error <= 1 - digits
    with mp.workdps(80):
        assert mp.log10(relative_error(solution, case)) > solution.log10_error


@pytest.mark.parametrize("digits", [5, 6, 7, 10])
def test_few_digits_have_a_pilot_of_their_own(digits: int) -> None:
    """A flow that amplifies errors by millions: a pilot that is the main run itself would measure nothing."""
    start, end = Fraction(1, 10**12), Fraction(32)
    case = replace(double_well(random.Random(0)), at=double_well_at(start, end))  # noqa: S311
    problem = replace(case.problem, initial=(start,), horizon=end)
    solution = solve_precise(problem, digits)
    with mp.workdps(60):
        assert mp.log10(relative_error(solution, replace(case, problem=problem))) < solution.log10_error <= 1 - digits


def double_well_at(start: Fraction, end: Fraction) -> Callable[[Any], Expected]:
    def at(_: Any) -> Expected:
        w, growth = real(start), mp.exp(real(end))
        return single(w, w * growth / mp.sqrt(1 + w * w * (growth * growth - 1)), real(end))

    return at
