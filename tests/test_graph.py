from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch

from pkverify.expression import FUNCTIONS, parse_expression
from pkverify.graph import Graph, compile_problem
from pkverify.losses import Loss
from pkverify.models import ExpressionModel
from pkverify.problem import Dataset, Problem, Regularizer
from tests.graph_cases import (
    ONE,
    Slopes,
    by_graph,
    evaluate,
    random_problem,
    rationals,
)

TOLERANCE = 1e-10


class Tensors:
    def number(self, value: Fraction) -> torch.Tensor:
        return torch.tensor(float(value), dtype=torch.float64)

    def pi(self) -> torch.Tensor:
        return torch.tensor(math.pi, dtype=torch.float64)

    def add(self, terms: Sequence[torch.Tensor]) -> torch.Tensor:
        return sum(terms, self.number(Fraction(0)))

    def multiply(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left * right

    def divide(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left / right

    def power(self, base: torch.Tensor, exponent: Fraction) -> torch.Tensor:
        return base ** float(exponent)

    def call(self, function: str, argument: torch.Tensor) -> torch.Tensor:
        if function == "softplus":
            return torch.log1p(torch.exp(argument))
        return getattr(torch, function)(argument)


def by_torch(problem: Problem) -> Slopes:
    algebra = Tensors()
    params = [algebra.number(v).requires_grad_() for v in problem.initial]
    inputs, targets = ([algebra.number(v) for v in rows[0]] for rows in (problem.data.inputs, problem.data.targets))
    outputs = problem.model.build(algebra, params, inputs)
    scale = algebra.number(problem.example_scale)
    apart = [y.detach().requires_grad_() for y in outputs]
    penalty: list[float] = []
    if problem.regularizer is not None:
        penalty = slopes(problem.regularizer.build(algebra, problem.model.params, params), params)
    loss = scale * problem.loss.build(algebra, outputs, targets)
    return Slopes(
        [slopes(y, params) for y in outputs],
        float(loss.detach()),
        slopes(scale * problem.loss.build(algebra, apart, targets), apart),
        slopes(loss, params),
        penalty,
    )


def slopes(value: torch.Tensor, wrt: Sequence[torch.Tensor]) -> list[float]:
    if not value.requires_grad:
        return [0.0] * len(wrt)
    found = torch.autograd.grad(value, list(wrt), retain_graph=True, allow_unused=True, materialize_grads=True)
    return [float(g) for g in found]


@pytest.mark.parametrize("block", range(8))
def test_derivatives_of_random_problems_are_those_of_torch(block: int) -> None:
    gaps = {
        seed: by_graph(p).gap(by_torch(p)) for seed in range(25 * block, 25 * block + 25) if (p := random_problem(seed))
    }

    assert {seed: gap for seed, gap in gaps.items() if not gap < TOLERANCE} == {}


def one_function(name: str) -> Problem:
    """f = w * g(u x + 1/5), with an argument at which each function and its derivative are far from 0."""
    model = ExpressionModel(("u", "w"), ("x",), (parse_expression(f"w*{name}(u*x + 1/5)", ["u", "w", "x"]),))
    data = Dataset(((Fraction(3, 4),),), ((Fraction(1, 3),),))
    return Problem(model, Loss("squared"), data, (Fraction(2, 3), Fraction(5, 4)), ONE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivative_of_each_function_is_that_of_torch(name: str) -> None:
    assert by_graph(one_function(name)).gap(by_torch(one_function(name))) < 1e-14


@pytest.mark.parametrize("name", [f for f in FUNCTIONS if f not in {"relu", "abs"}])
def test_a_derivative_slightly_wrong_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Graph._derive
    monkeypatch.setattr(
        Graph,
        "_derive",
        lambda graph, number: graph.multiply(original(graph, number), graph.number(1 + Fraction(1, 10**7))),
    )

    assert by_graph(one_function(name)).gap(by_torch(one_function(name))) > 1e-8


@pytest.mark.parametrize("name", ["relu", "abs"])
@pytest.mark.parametrize("start", ["2/3", "-2/3"])
def test_piecewise_derivatives_are_those_of_torch_on_both_sides(name: str, start: str) -> None:
    problem = one_function(name)
    there = Problem(problem.model, problem.loss, problem.data, (Fraction(start), ONE), ONE)

    assert by_graph(there).gap(by_torch(there)) < 1e-14


def test_a_wrong_loss_derivative_is_noticed() -> None:
    problem = one_function("tanh")
    twice = Dataset(problem.data.inputs * 2, problem.data.targets * 2)
    other = Problem(problem.model, Loss("squared", reduction="mean"), twice, problem.initial, ONE)

    assert by_graph(problem, compile_problem(other)).gap(by_torch(problem)) > 1e-2


@dataclass(frozen=True)
class Dual:
    value: Fraction
    slopes: tuple[Fraction, ...]


class Duals:
    def __init__(self, count: int) -> None:
        self.count = count

    def variable(self, value: Fraction, place: int) -> Dual:
        return Dual(value, tuple(Fraction(k == place) for k in range(self.count)))

    def number(self, value: Fraction) -> Dual:
        return Dual(value, (Fraction(0),) * self.count)

    def pi(self) -> Dual:
        raise NotImplementedError

    def add(self, terms: Sequence[Dual]) -> Dual:
        columns = zip(*(t.slopes for t in terms), strict=True)
        return Dual(sum((t.value for t in terms), Fraction(0)), tuple(sum(c, Fraction(0)) for c in columns))

    def multiply(self, left: Dual, right: Dual) -> Dual:
        pairs = zip(left.slopes, right.slopes, strict=True)
        return Dual(left.value * right.value, tuple(a * right.value + left.value * b for a, b in pairs))

    def divide(self, left: Dual, right: Dual) -> Dual:
        return self.multiply(left, self.power(right, Fraction(-1)))

    def power(self, base: Dual, exponent: Fraction) -> Dual:
        n = int(exponent)
        assert n == exponent
        return Dual(base.value**n, tuple(n * base.value ** (n - 1) * s for s in base.slopes))

    def call(self, function: str, argument: Dual) -> Dual:
        sign = (argument.value > 0) - (argument.value < 0)
        factor = {"relu": Fraction(sign > 0), "abs": Fraction(sign)}[function]
        return Dual(factor * argument.value, tuple(factor * s for s in argument.slopes))


def random_polynomial(rng: random.Random, names: Sequence[str], depth: int) -> str:
    if depth == 0:
        return rng.choice([*names, *names, f"{rng.randint(-9, 9)}/{rng.randint(2, 9)}"])
    a, b = (random_polynomial(rng, names, rng.randint(0, depth - 1)) for _ in range(2))
    forms = [
        f"({a}) + ({b})", f"({a}) - ({b})", f"({a})*({b})", f"-({a})*({b})", f"({a})**{rng.randint(2, 5)}", f"({a})/3",
        f"({a})/(1 + ({b})**2)", f"(2 + ({a})**2)**(-2)", f"relu({a} - 1/17)", f"abs({a} + 1/19)",
    ]  # fmt: skip
    return rng.choice(forms)


@pytest.mark.parametrize("seed", range(60))
def test_rational_models_have_exactly_the_derivatives_of_forward_mode(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - reproducible problems, not secrets
    params, names = ("u", "v"), ["u", "v", "x"]
    texts = [random_polynomial(rng, names, rng.randint(2, 4)) for _ in range(2)]
    model = ExpressionModel(params, ("x",), tuple(parse_expression(text, names) for text in texts))
    loss = Loss("expression", parse_expression("y0**3*y1 - (y1 - target0)**2/2", ["y0", "y1", "target0"]))
    start, x, targets = rationals(rng, 2), rationals(rng, 1), rationals(rng, 2)
    problem = Problem(
        model, loss, Dataset((x,), (targets,)), start, ONE, regularizer=Regularizer(strength=Fraction(2, 7))
    )
    compiled = compile_problem(problem)
    leaves = {("param", 0): start[0], ("param", 1): start[1], ("input", 0): x[0]}
    values = evaluate(compiled.graph, leaves | {("target", k): t for k, t in enumerate(targets)}, Fraction)

    duals = Duals(2)
    weights = [duals.variable(v, k) for k, v in enumerate(start)]
    outputs = model.build(duals, weights, [duals.number(x[0])])
    total = loss.build(duals, outputs, [duals.number(t) for t in targets])
    apart = [duals.variable(y.value, k) for k, y in enumerate(outputs)]
    assert problem.regularizer is not None
    expected = [
        *(s for y in outputs for s in y.slopes),
        *loss.build(duals, apart, [duals.number(t) for t in targets]).slopes,
        *total.slopes,
        *problem.regularizer.build(duals, params, weights).slopes,
    ]
    nodes = [n for row in compiled.jacobian for n in row]
    nodes += [*compiled.loss_derivatives, *compiled.gradient, *compiled.penalty_gradient]

    assert [values[node] for node in nodes] == expected
    assert values[compiled.loss] == total.value
