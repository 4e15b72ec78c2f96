from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from pkverify.arithmetic.fixed_point import FixedPoint
from pkverify.cases import CASES, case_networks, case_problems
from pkverify.errors import UntreatableError
from pkverify.expression import FUNCTIONS, parse_expression
from pkverify.graph import compile_problem
from pkverify.models import LayeredModel
from pkverify.network.problem_module import FUNCTIONS as TORCH_FUNCTIONS
from pkverify.network.problem_module import TorchAlgebra, tensor, torch_problem
from pkverify.precise.flow import integrate
from pkverify.precise.system import AugmentedSystem
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem

PROBLEMS = {name: problem for case in CASES for name, problem in case_problems(case)}


def replayed(problem: Problem, params: Tensor, x: Tensor) -> Tensor:
    """The outputs by the formulas, one input at a time."""
    rows = [problem.model.build(TorchAlgebra(), params.unbind(), one.unbind()) for one in x]
    return torch.stack([torch.stack([torch.as_tensor(v) for v in row]) for row in rows])


def exactly(text: str, **values: float) -> float:
    names = {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
    return float(parse_expression(text, list(names)).build(TorchAlgebra(), names))


def test_every_function_of_the_grammar_is_there() -> None:
    assert set(TORCH_FUNCTIONS) == set(FUNCTIONS)


KNOWN: list[tuple[str, float, float]] = [
    ("exp(x)", 0.3, math.exp(0.3)), ("log(x)", 0.3, math.log(0.3)), ("sqrt(x)", 0.3, math.sqrt(0.3)),
    ("sin(x)", 0.3, math.sin(0.3)), ("cos(x)", 0.3, math.cos(0.3)), ("tan(x)", 0.3, math.tan(0.3)),
    ("sinh(x)", 0.3, math.sinh(0.3)), ("cosh(x)", 0.3, math.cosh(0.3)), ("tanh(x)", 0.3, math.tanh(0.3)),
    ("atan(x)", 0.3, math.atan(0.3)), ("erf(x)", 0.3, math.erf(0.3)), ("sigmoid(x)", 0.3, 1 / (1 + math.exp(-0.3))),
    ("softplus(x)", 0.3, math.log1p(math.exp(0.3))), ("softplus(x)", 25.0, 25 + math.log1p(math.exp(-25))),
    ("softplus(x)", -40.0, math.exp(-40)), ("relu(x)", -0.3, 0.0), ("relu(x)", 0.3, 0.3), ("abs(x)", -0.3, 0.3),
    ("x**3", -0.3, -0.027), ("x**(-2)", 2.0, 0.25), ("x**(1/2)", 2.0, math.sqrt(2)), ("pi*x", 2.0, 2 * math.pi),
    ("1/3 + x", 0.0, 1 / 3), ("x/7", 2.0, 2 / 7), ("2**x", 3.0, 8.0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "at", "value"), KNOWN)
def test_functions_are_those_of_the_grammar(text: str, at: float, value: float) -> None:
    assert exactly(text, x=at) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("name", PROBLEMS)
def test_matrices_and_formulas_agree(name: str) -> None:
    problem = PROBLEMS[name]
    told = torch_problem(problem)
    assert torch.allclose(told.module(told.x), replayed(problem, told.module.params, told.x), atol=1e-14)


@pytest.mark.parametrize("case", ["linear", "mlp", "xent"])
def test_networks_of_real_size_agree_with_their_formulas(case: str) -> None:
    for _, problem in case_networks(case):
        told = torch_problem(problem)
        assert isinstance(problem.model, LayeredModel)
        some = told.x[:1]
        assert torch.allclose(told.module(some), replayed(problem, told.module.params.detach(), some), atol=1e-12)


@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients_are_those_of_the_other_routes(name: str) -> None:
    """The whole objective (loss, reduction, penalty), against the first Taylor coefficients of the precise route."""
    problem = PROBLEMS[name]
    told = torch_problem(problem)
    total = told.criterion(told.module(told.x), told.y)
    if told.regularizer is not None:
        total = total + told.regularizer(dict(told.module.named_parameters()))
    (slope,) = torch.autograd.grad(total, told.module.params)
    system = AugmentedSystem(problem, compile_problem(problem), FixedPoint(120), problem.query_inputs)
    path = integrate(system, problem.initial, Fraction(1, 1000), 12)
    segment = path.segments[0]
    expected = [-path.numbers.to_float(series[1]) / float(segment.scale) for series in segment.params]

    assert slope.tolist() == pytest.approx(expected, rel=1e-13, abs=1e-13)


def test_reduction_and_penalty() -> None:
    text = """
    model = {kind = "linear", bias = false}
    loss = {kind = "squared", reduction = "mean"}
    regularizer = {kind = "l2", strength = "1/5"}
    data = {x = [[1], [2]], y = [2, 0]}
    flow = {initial = [3], horizon = 1}
    """
    told = torch_problem(parse_problem(text))
    assert told.regularizer is not None

    assert told.criterion(told.module(told.x), told.y).item() == pytest.approx((0.5 + 18) / 2)
    assert told.regularizer({"params": told.module.params}).item() == pytest.approx(0.9)


def test_large_logits_do_not_overflow() -> None:
    text = """
    model = {kind = "linear", bias = false}
    loss = {kind = "softmax-cross-entropy"}
    data = {x = [[1]], y = [[1, 0]]}
    flow = {initial = [900, -900], horizon = 1}
    """
    told = torch_problem(parse_problem(text))
    loss = told.criterion(told.module(told.x), told.y)
    (slope,) = torch.autograd.grad(loss, told.module.params)

    assert loss.item() == 0.0
    assert slope.tolist() == [0.0, 0.0]


def test_numbers_are_rounded_once() -> None:
    assert tensor((Fraction(1, 10), Fraction(1, 3))).tolist() == [0.1, 1 / 3]


def test_numbers_beyond_doubles_are_refused() -> None:
    text = """
    model = {kind = "linear", bias = false}
    loss = {kind = "squared"}
    data = {x = [["1e400"]], y = [1]}
    flow = {initial = [0], horizon = 1}
    """
    with pytest.raises(UntreatableError, match="does not fit into a double"):
        torch_problem(parse_problem(text))
