"""What is drawn is valid, of every kind, and small when it shrinks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from pkverify.errors import InputError
from pkverify.expression import Expression
from pkverify.precise.route import solve_precise
from pkverify.problem import Dataset, Problem, Regularizer
from pkverify.problem_file import parse_problem, write_problem
from pkverify.testing.registration import register
from pkverify.testing.strategies import KINDS, datasets, expressions, problems


@settings(max_examples=40, deadline=None)
@given(problems())
def test_every_flow_that_is_drawn_reaches_its_horizon(problem: Problem) -> None:
    solution = solve_precise(problem, 10)
    outputs = range(problem.model.output_count)
    queries = range(len(problem.query_inputs))
    assert all(abs(solution.residual(q, c)) <= solution.scale(q, c) / 10**8 for q in queries for c in outputs)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_every_problem_can_be_written_and_read_back(problem: Problem) -> None:
    if problem.model.kind != "linear" or problem.model.output_count == 1 or any(problem.data.targets):
        assert parse_problem(write_problem(problem)) == problem


SIGHTS: dict[str, Callable[[Problem], bool]] = {
    "two outputs": lambda p: p.model.output_count == 2,
    "three outputs": lambda p: p.model.output_count == 3,
    "a mean": lambda p: p.loss.reduction == "mean",
    "a formula as a penalty": lambda p: p.regularizer is not None and p.regularizer.value is not None,
    "an l2 penalty": lambda p: p.regularizer is not None and p.regularizer.strength is not None,
    "queries of its own": lambda p: p.queries is not None,
    "no queries": lambda p: p.queries is None,
    "no targets": lambda p: not any(p.data.targets),
    "a loss by formula": lambda p: p.loss.kind == "expression",
    "three examples": lambda p: len(p.data) == 3,
    "a deep linear model": lambda p: p.model.kind == "deep-linear",
    "a bias": lambda p: "b_1" in p.model.params,
}


def smallest(strategy: st.SearchStrategy[Any], wanted: Callable[[Any], bool]) -> Any:
    return find(strategy, wanted, settings=settings(max_examples=500, database=None, derandomize=True))


def any_one(strategy: st.SearchStrategy[Any], wanted: Callable[[Any], bool]) -> Any:
    phases = (Phase.generate,)
    return find(strategy, wanted, settings=settings(max_examples=2000, database=None, derandomize=True, phases=phases))


@pytest.mark.parametrize("sight", SIGHTS)
def test_every_kind_of_problem_is_drawn(sight: str) -> None:
    assert SIGHTS[sight](any_one(problems(), SIGHTS[sight]))


def test_problems_shrink_to_the_smallest() -> None:
    plain = smallest(problems(), lambda _: True)
    assert (plain.model.kind, len(plain.data), plain.horizon) == ("linear", 1, Fraction(1, 4))
    assert set(plain.initial) == {0}

    deep = smallest(problems(kinds=["linear"]), lambda p: len(p.data) >= 2 and any(row[0] for row in p.data.inputs))
    assert len(deep.data) == 2
    assert sorted(row[0] for row in deep.data.inputs) == [0, 1]


def test_expressions_shrink_to_a_name_or_a_number() -> None:
    assert smallest(expressions(), lambda _: True).text in {"u", "v", "x", "0"}
    assert smallest(expressions(), lambda e: "tanh" in e.text).text in {"tanh(u)", "tanh(v)", "tanh(x)", "tanh(0)"}


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax-cross-entropy", "nll-log-probability"])
def test_targets_suit_the_loss(loss: str) -> None:
    data = any_one(datasets(outputs=2, loss=loss), lambda data: len(data) == 2)
    widths = {"squared": 2, "logistic": 1, "softmax-cross-entropy": 2, "nll-log-probability": 0}
    assert {len(row) for row in data.targets} == {widths[loss]}
    assert loss != "softmax-cross-entropy" or all(sum(row) == 1 for row in data.targets)


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (lambda: problems(kinds=["lineer"]), "'lineer' is no kind"),
        (lambda: problems(kinds=[]), "there is nothing to draw from"),
        (lambda: expressions(names=()), "a formula is one in names"),
    ],
)
def test_bad_arguments_are_named(bad: Callable[[], st.SearchStrategy[Any]], what: str) -> None:
    with pytest.raises(InputError, match=what):
        find(bad(), lambda _: True)


def test_types_are_registered_with_hypothesis() -> None:
    register()
    for kind in (Problem, Dataset, Expression, Regularizer):
        assert isinstance(any_one(st.from_type(kind), lambda _: True), kind)


@pytest.mark.parametrize("first", ["pkverify.testing.strategies", "hypothesis", "pkverify.testing.registration"])
def test_it_does_not_matter_what_is_imported_first(first: str) -> None:
    code = f"import {first}, hypothesis.strategies as st; from pkverify import Problem; st.from_type(Problem)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("profile", ["pkverify", "pkverify-ci", "pkverify-long"])
def test_profiles_set_every_field(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    register()
    found = settings.get_profile(profile)
    assert found.deadline is None
    assert found.derandomize is (profile == "pkverify-ci")
    assert found.max_examples == (10_000 if profile == "pkverify-long" else 100)
    assert HealthCheck.too_slow in found.suppress_health_check
    assert set(found.phases) == set(Phase)


def test_all_kinds_are_named() -> None:
    assert len(set(KINDS)) == len(KINDS) == 9
