from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from pkverify.errors import InputError
from pkverify.expression import parse_expression
from pkverify.losses import Loss
from pkverify.models import LayeredModel
from pkverify.problem import Dataset, Problem, Regularizer

HALF, ONE, TWO = Fraction(1, 2), Fraction(1), Fraction(2)
LINE = LayeredModel("linear", (1, 1), None, True)
DATA = Dataset(((ONE,), (TWO,)), ((HALF,), (ONE,)))
PROBLEM = Problem(LINE, Loss("squared"), DATA, (ONE, HALF), TWO)
THREE_WAY = LayeredModel("linear", (1, 3), None, False)


def test_queries_are_the_training_inputs_unless_given() -> None:
    assert PROBLEM.query_inputs == ((ONE,), (TWO,))
    assert replace(PROBLEM, queries=((HALF,),)).query_inputs == ((HALF,),)


def test_means_scale_every_example() -> None:
    assert PROBLEM.example_scale == 1
    assert replace(PROBLEM, loss=Loss("squared", reduction="mean")).example_scale == HALF


def test_numbers_become_exact() -> None:
    written: Any = Dataset([[1], ["2"]], [[0.1], [0.5]])  # pyright: ignore[reportArgumentType]
    problem: Any = replace(PROBLEM, data=written, initial=[0.1, 1], horizon=0.3, queries=[[0.7]])

    assert problem.data.targets == ((Fraction(1, 10),), (HALF,))
    assert problem.initial == (Fraction(1, 10), ONE)
    assert problem.horizon == Fraction(3, 10)
    assert problem.queries == ((Fraction(7, 10),),)
    assert hash(problem) == hash(replace(problem))


def test_equal_problems_are_equal() -> None:
    assert replace(PROBLEM) == PROBLEM
    assert replace(PROBLEM, horizon=ONE) != PROBLEM


FOREIGN = Regularizer(parse_expression("z**2", ["z"]))
BAD = [
    ({"data": Dataset((), ())}, "[data] x is empty"),
    ({"data": Dataset(((ONE, ONE),), ((ONE,),))}, "[data] x, row 1 has 2 number(s)"),
    ({"data": Dataset(((ONE,),), ((ONE,), (ONE,)))}, "[data] y has 2 rows and x has 1"),
    ({"data": Dataset(((ONE,),), ((ONE, ONE),))}, "[data] y, row 1 has 2 number(s)"),
    ({"data": Dataset(((ONE,),), ((),))}, "[data] y is missing"),
    ({"data": Dataset(((ONE,),), ((ONE,),), ("a", "b"))}, "[data] has 2 classes"),
    ({"initial": (ONE,)}, "[flow] initial has 1 numbers"),
    ({"initial": (ONE, "z")}, "[flow] initial: 'z' is not a number"),
    ({"horizon": Fraction(0)}, "[flow] horizon is 0"),
    ({"horizon": -ONE}, "[flow] horizon is -1"),
    ({"horizon": float("inf")}, "[flow] horizon: inf is not a finite number"),
    ({"queries": ()}, "[query] x is empty"),
    ({"queries": ((ONE, ONE),)}, "[query] x, row 1 has 2 number(s)"),
    ({"loss": Loss("logistic")}, "[data] y has a value other than 0 and 1"),
    ({"loss": Loss("nll-probability")}, "[data] y is given"),
    ({"loss": Loss("softmax-cross-entropy")}, "softmax-cross-entropy is on 1 output"),
    ({"regularizer": FOREIGN}, "[regularizer] value uses 'z'"),
]


@pytest.mark.parametrize(("change", "complaint"), BAD, ids=range(len(BAD)))
def test_what_does_not_fit_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(PROBLEM, **change)

    assert complaint in caught.value.what
    assert caught.value.why
    assert caught.value.fix


@pytest.mark.parametrize("row", [(1, 1, 0), (2, -1, 0), (0, 0, 0)])
def test_softmax_targets_are_probabilities(row: tuple[int, int, int]) -> None:
    def with_targets(*targets: Fraction) -> Problem:
        data = Dataset(((ONE,),), (targets,), ("a", "b", "c"))
        return Problem(THREE_WAY, Loss("softmax-cross-entropy"), data, (ONE, ONE, ONE), ONE)

    assert with_targets(HALF, HALF, Fraction(0)).data.classes == ("a", "b", "c")
    with pytest.raises(InputError, match="no probability vector"):
        with_targets(*map(Fraction, row))


@pytest.mark.parametrize(("value", "strength"), [(None, None), (parse_expression("w_1_1", ["w_1_1"]), ONE)])
def test_regularizers_are_one_thing(value: Any, strength: Any) -> None:
    with pytest.raises(InputError, match="either value or strength"):
        Regularizer(value, strength)


def test_strengths_become_exact() -> None:
    strength: Any = 0.1

    assert Regularizer(strength=strength).strength == Fraction(1, 10)
