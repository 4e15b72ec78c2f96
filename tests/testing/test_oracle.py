"""The oracle tells certified numbers, and says clearly what is wrong with somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from pkverify.cases import case_problems
from pkverify.checks.context import Context
from pkverify.decomposition import BallNumber
from pkverify.errors import InputError
from pkverify.problem import Problem
from pkverify.testing.oracle import QUANTITIES, Oracle, expected, oracle
from pkverify.testing.sabotage import true_split
from pkverify.testing.strategies import problems

PRODUCT = dict(case_problems("mlp"))["mlp-product-balanced"]
SOFTMAX = dict(case_problems("xent"))["xent-softmax"]


def precise(problem: Problem, quantity: str) -> Any:
    """The same quantities from the precise route, as exact rationals: a function under test that is right."""
    context = Context(problem, 20)
    solution, asked = context.solution, len(context.asked)
    match quantity:
        case "contributions":
            return true_split(solution)[:asked]
        case "path_kernel":
            scalar = problem.model.output_count == 1
            return [
                [[k[0][0] if scalar else k[c] for k in examples] for c in context.outputs]
                for examples in solution.path_kernels[:asked]
            ]
        case "regularizer_term":
            return solution.regularizer_terms[:asked]
        case "initial_output":
            return solution.initial_outputs[:asked]
        case _:
            return solution.final_outputs[:asked]


def spoiled(quantity: str, by: Fraction = Fraction(1, 1000)) -> Callable[[Problem], Any]:
    """A function that is a little wrong in its first number."""

    def change(value: Any) -> Any:
        return value + by if isinstance(value, Fraction) else [change(value[0]), *value[1:]]

    return lambda problem: change(precise(problem, quantity))


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_right_numbers_pass(quantity: str) -> None:
    outcome = Oracle(examples=15).check(lambda problem: precise(problem, quantity), quantity=quantity)

    assert outcome.examples >= 15
    assert outcome.numbers >= outcome.examples
    assert outcome.largest_error <= 1e-17


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_wrong_numbers_fail_with_the_claim_and_the_smallest_problem(quantity: str) -> None:
    with pytest.raises(AssertionError) as caught:
        Oracle(examples=5).check(spoiled(quantity), quantity=quantity, of=st.just(PRODUCT))

    message = str(caught.value)
    claim, _ = QUANTITIES[quantity]
    assert f"{quantity}[0][0]" in message
    assert f"claim {claim} (pkverify claims {claim})" in message
    assert "certified to be" in message
    assert 'title = "Product of two weights, balanced"' in message


def test_the_failing_problem_is_shrunk() -> None:
    """A function that forgets the bias is wrong only where there is one."""

    def without_bias(problem: Problem) -> Any:
        right = precise(problem, "final_output")
        return right if "b_1" not in problem.model.params else [[v + 1 for v in row] for row in right]

    with pytest.raises(AssertionError) as caught:
        Oracle(examples=30).check(without_bias, quantity="final_output", of=problems(kinds=["linear"]))
    message = str(caught.value)
    assert "bias = true" in message
    assert message.count('["0"]') >= 2  # all that can be 0 is 0


WRONG_SHAPES: dict[str, tuple[Any, str]] = {
    "a number": (1.0, "1.0, no sequence; wanted are 1"),
    "nothing": ([], "[], no sequence; wanted are 1"),
    "one query too many": ([[[0.0, 0.0]]] * 2, "contributions is 2 entries; wanted are 1"),
    "one example too few": ([[[0.0]]], "contributions[0][0] is 1 entries; wanted are 2"),
    "text": ([[["a", "b"]]], "contributions[0][0][0] is a"),
    "not a number": ([[[float("nan"), 0.0]]], "contributions[0][0][0] is nan"),
    "infinite": ([[[0.0, float("inf")]]], "contributions[0][0]"),
}


@pytest.mark.parametrize("case", WRONG_SHAPES)
def test_wrong_shapes_are_explained(case: str) -> None:
    value, message = WRONG_SHAPES[case]
    with pytest.raises(AssertionError) as caught:
        Oracle().check_one(lambda _: value, PRODUCT, quantity="contributions")
    assert message in str(caught.value)


def test_an_unknown_quantity_is_named() -> None:
    with pytest.raises(InputError, match="there is no such quantity"):
        Oracle().check(lambda _: [], quantity="contribution")


@pytest.mark.parametrize("problem", [PRODUCT, SOFTMAX], ids=["scalar", "vector"])
def test_the_oracle_gives_balls_query_by_query(problem: Problem) -> None:
    records = oracle(problem, digits=25)
    assert len(records) == len(problem.query_inputs) * problem.model.output_count
    for record in records:
        assert record.route == "certified"
        assert all(isinstance(v, BallNumber) and Fraction(v.rad) <= Fraction(1, 10**24) for v in record.contributions)
        residual = record.residual
        assert isinstance(residual, BallNumber)
        assert residual.contains(Fraction(0))
    nested = expected(problem, "contributions", 25)
    assert len(nested) == len(problem.query_inputs)
    assert all(len(row) == len(problem.data) for rows in nested for row in rows)


def test_arrays_and_tensors_are_nested_sequences() -> None:
    values = [[[float(v) for v in row] for row in rows] for rows in true_split(Context(PRODUCT, 20).solution)[:1]]
    for made in (np.array(values), torch.tensor(values, dtype=torch.float64)):
        Oracle().check_one(lambda _, made=made: made, PRODUCT, quantity="contributions")
    with pytest.raises(AssertionError, match="off by"):
        Oracle().check_one(lambda _: torch.tensor(values, dtype=torch.float32), PRODUCT, quantity="contributions")
