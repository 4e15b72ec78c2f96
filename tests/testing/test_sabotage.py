"""Wrong splits of problems that nobody chose are caught, right ones are not."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings

from pkverify.cases import case_problems
from pkverify.checks.context import Context
from pkverify.problem import Problem
from pkverify.testing.oracle import Oracle
from pkverify.testing.sabotage import MISTAKES, Split, WrongSplit, sabotages, true_split
from pkverify.testing.strategies import problems

ORACLE = Oracle(digits=15)


def refuses(problem: Problem, split: Split) -> bool:
    try:
        ORACLE.check_one(lambda _: split, problem, quantity="contributions")
    except AssertionError as error:
        return "claim T1" in str(error)
    return False


def catch_all(examples: int) -> tuple[Counter[str], Counter[str]]:
    """Draw so many wrong splits, all of which must be refused; how often each mistake came, and kept all sums."""
    seen: Counter[str] = Counter()
    hidden: Counter[str] = Counter()

    @settings(max_examples=examples, deadline=None)
    @given(sabotages())
    def every_wrong_split_is_refused(wrong: WrongSplit) -> None:
        seen[wrong.mistake] += 1
        hidden[wrong.mistake] += wrong.keeps_sums
        assert refuses(wrong.problem, wrong.contributions), wrong.mistake

    every_wrong_split_is_refused()
    return seen, hidden


def accept_all(examples: int) -> int:
    """Draw so many problems, whose right splits must pass; how many passed."""
    passed = 0

    @settings(max_examples=examples, deadline=None)
    @given(problems())
    def every_right_split_passes(problem: Problem) -> None:
        nonlocal passed
        context = Context(problem, 20)
        assert not refuses(problem, true_split(context.solution)[: len(context.asked)])
        passed += 1

    every_right_split_passes()
    return passed


def test_wrong_splits_are_caught() -> None:
    seen, hidden = catch_all(120)

    assert seen.total() >= 100
    assert len(seen) >= len(MISTAKES) - 3  # a draw may leave out the rarest
    assert hidden.total() > 10  # a residual alone would have let these pass


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_caught(mistake: str) -> None:
    caught = 0

    @settings(max_examples=4, deadline=None)
    @given(sabotages(mistakes=[mistake]))
    def is_refused(wrong: WrongSplit) -> None:
        nonlocal caught
        assert refuses(wrong.problem, wrong.contributions)
        caught += 1

    is_refused()
    assert caught >= 2


def test_right_splits_pass() -> None:
    assert accept_all(40) >= 40


def test_a_mistake_below_the_tolerance_is_no_mistake() -> None:
    problem = dict(case_problems("mlp"))["mlp-product-balanced"]
    context = Context(problem, 20)
    right = true_split(context.solution)[: len(context.asked)]
    nearly = tuple(tuple(tuple(v + Fraction(1, 10**12) for v in row) for row in rows) for rows in right)
    further = tuple(tuple(tuple(v + Fraction(1, 10**7) for v in row) for row in rows) for rows in right)
    assert not refuses(problem, nearly)
    assert refuses(problem, further)


@pytest.mark.slow
def test_ten_thousand_right_splits_pass() -> None:
    assert accept_all(10_000) >= 10_000


@pytest.mark.slow
def test_two_thousand_wrong_splits_are_caught() -> None:
    seen, _ = catch_all(2000)
    assert set(seen) == set(MISTAKES)
