"""What the compiled graph shares, folds and keeps apart."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest

from pkverify.expression import parse_expression
from pkverify.graph import Graph, ProblemGraph, compile_problem
from pkverify.losses import Loss
from pkverify.models import ExpressionModel, LayeredModel
from pkverify.problem import Dataset, Problem, Regularizer
from tests.graph_cases import (
    ONE,
    by_graph,
    evaluate,
    leaves,
    random_problem,
)

SAME = {
    "a product either way round": ("u*v", "v*u"),
    "a sum either way round": ("u + v", "v + u"),
    "sums nested differently": ("(u + v) + x*u", "u + (v + x*u)"),
    "equal terms collected": ("u + u + v", "2*u + v"),
    "constants folded": ("u*(1/3 + 1/6)", "u/2"),
    "offsets folded": ("(u + 1/2) - (1/3 - v)", "u + v + 1/6"),
    "a difference of equal things": ("u*v + u - v*u", "u"),
    "0 times": ("0*exp(u) + v", "v"),
    "1 times": ("1*exp(u)", "exp(u)"),
    "plus 0": ("exp(u) + 0", "exp(u)"),
    "minus minus": ("-(-exp(u))", "exp(u)"),
    "a scaled sum": ("2*(u + 3*v)", "2*u + 6*v"),
    "a square": ("u*u", "u**2"),
    "the fourth power": ("(u*u)*(u*u)", "u**4"),
    "a reciprocal": ("v/u", "v*u**(-1)"),
    "a number's reciprocal": ("u/(2/3)", "3*u/2"),
    "the root": ("u**(1/2)", "sqrt(u)"),
    "functions of equal arguments": ("tanh(u + v + x)", "tanh(x + v + u)"),
    "a constant of the example": ("u*(x*x)", "(x*x)*u"),
    "the first power": ("u**1", "u"),
    "the power 0": ("u**0 + v", "v + 1"),
    "a product of products is not reordered": ("(u*v)*u", "u*(v*u)"),
}


@pytest.mark.parametrize("case", SAME)
def test_equal_expressions_are_one_node(case: str) -> None:
    graph = Graph()
    u, v, x = leaves(graph)
    first, second = (parse_expression(t, ["u", "v", "x"]).build(graph, {"u": u, "v": v, "x": x}) for t in SAME[case])

    assert first == second


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("u + v", "u - v"), ("u*v", "u*u"), ("u", "v"), ("sin(u)", "cos(u)"), ("u**(3/2)", "u**(5/2)"), ("u*x", "u"),
        ("relu(u)", "abs(u)"), ("u + 1", "u + 2"), ("2*u", "3*u"), ("u/3", "3/u"), ("pi*u", "3*u"),
        ("u*x", "u*v"), ("(u + 1)*v", "u + v"), ("u + x", "u"), ("exp(u) - exp(v)", "0"), ("-u", "u"),
        ("sqrt(u)", "u**(1/3)"),
    ],
)  # fmt: skip
def test_different_expressions_are_different_nodes(left: str, right: str) -> None:
    graph = Graph()
    u, v, x = leaves(graph)
    first, second = (parse_expression(t, ["u", "v", "x"]).build(graph, {"u": u, "v": v, "x": x}) for t in (left, right))

    assert first != second


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("u - u", "0"), ("0*u*v", "0"), ("u**0", "1"), ("(u + 1/3) - (u - 1/6)", "1/2"), ("2/3 + 1/3", "1"),
        ("0*exp(u)", "0"), ("3*(u + 1) - 3*u", "3"), ("0*x", "0"), ("0*(x + 1)*u", "0"),
        ("tanh(0*u + x) - tanh(x)*1", None),
    ],
)  # fmt: skip
def test_what_does_not_vary_is_folded_to_an_exact_number(text: str, value: str | None) -> None:
    graph = Graph()
    u, v, x = leaves(graph)
    node = graph.nodes[parse_expression(text, ["u", "v", "x"]).build(graph, {"u": u, "v": v, "x": x})]

    assert not node.varies
    if value is not None:
        assert (node.operation, node.value) == ("number", Fraction(value))


def test_what_depends_on_inputs_alone_does_not_vary() -> None:
    graph = Graph()
    u, _, x = leaves(graph)
    constant = graph.call("exp", graph.multiply(x, x))

    assert not graph.nodes[constant].varies
    assert not graph.nodes[graph.reciprocal(constant)].varies
    assert graph.nodes[graph.multiply(u, constant)].varies


def test_arguments_stand_before_the_nodes_that_use_them() -> None:
    graph = compile_problem(random_problem(3)).graph

    assert all(used < number for number in range(len(graph.nodes)) for used in graph.uses(number))


def test_a_long_sum_is_not_merged_into_the_sums_that_use_it() -> None:
    graph = Graph()
    params = [graph.leaf("param", k) for k in range(60)]
    long, short = graph.add(params[:40]), graph.add(params[:20])

    assert len(graph.nodes[graph.add([long, params[50]])].arguments) == 2
    assert len(graph.nodes[graph.add([short, params[50]])].arguments) == 21


def test_a_factor_is_a_constant_and_what_varies() -> None:
    graph = Graph()
    u, _, x = leaves(graph)
    one = graph.number(ONE)

    assert graph.factor(graph.multiply(x, u)) == (x, u)
    assert graph.factor(u) == (one, u)
    assert graph.factor(x) == (x, None)
    shifted = graph.add([graph.multiply(x, u), one])
    assert graph.factor(shifted) == (one, shifted)


def compiled_expression(outputs: Sequence[str], loss: Loss, params: Sequence[str] = ("u", "v")) -> ProblemGraph:
    names = [*params, "x"]
    model = ExpressionModel(tuple(params), ("x",), tuple(parse_expression(t, names) for t in outputs))
    targets = (Fraction(1, 3),) * loss.target_count(len(outputs))
    start = tuple(Fraction(k + 2, 3) for k in range(len(params)))
    return compile_problem(Problem(model, loss, Dataset(((Fraction(1, 2),),), (targets,)), start, ONE))


def at_start(compiled: ProblemGraph, nodes: Sequence[int]) -> list[Any]:
    found = {("param", k): Fraction(k + 2, 3) for k in range(len(compiled.params))}
    found |= {("input", 0): Fraction(1, 2)} | {("target", k): Fraction(1, 3) for k in range(len(compiled.targets))}
    values = evaluate(compiled.graph, found, Fraction)
    return [values[node] for node in nodes]


def test_the_loss_derivatives_of_two_outputs_that_are_one_node_add_up() -> None:
    loss = Loss("expression", parse_expression("y0**2 + 5*y1", ["y0", "y1"]))
    compiled = compiled_expression(["u*v*x", "v*u*x"], loss)
    y = Fraction(2, 3) * 1 * Fraction(1, 2)

    assert compiled.outputs[0] == compiled.outputs[1]
    assert at_start(compiled, compiled.loss_derivatives) == [2 * y, 5]
    assert at_start(compiled, compiled.gradient) == [(2 * y + 5) / 2, (2 * y + 5) / 3]


COINCIDENCES = {
    # outputs, loss, derivatives of the loss at u = 2/3, v = 1, x = 1/2, in the outputs and in the parameters
    "the loss is an output": (["u + v", "u*v"], "y0", ["1", "0"], ["1", "1"]),
    "the loss is the other output": (["u + v", "u*v"], "y1", ["0", "1"], ["1", "2/3"]),
    "a part of the loss is another output": (["u", "u**2"], "y0**2 + y1", ["4/3", "1"], ["8/3", "0"]),
    "the loss of one output is the other": (["u", "u**2"], "y0**2", ["4/3", "0"], ["4/3", "0"]),
    "an output is a parameter": (["u", "v"], "y0*y1", ["1", "2/3"], ["1", "2/3"]),
    "an output is made of the other": (["u*v", "u*v + u"], "y0*y1", ["4/3", "2/3"], ["8/3", "4/3"]),
    "an output is a constant": (["1/4", "u"], "y0*y1", ["2/3", "1/4"], ["1/4", "0"]),
    "outputs are multiples of each other": (["u", "2*u"], "y0*y1", ["4/3", "2/3"], ["8/3", "0"]),
    "the loss is a constant": (["u", "v"], "y0 - y0 + 3", ["0", "0"], ["0", "0"]),
    "the loss leaves an output out": (["u", "v"], "y1**3", ["0", "3"], ["0", "3"]),
}


@pytest.mark.parametrize("case", COINCIDENCES)
def test_loss_nodes_that_coincide_with_outputs_keep_their_derivatives_apart(case: str) -> None:
    outputs, text, in_outputs, in_params = COINCIDENCES[case]
    compiled = compiled_expression(outputs, Loss("expression", parse_expression(text, ["y0", "y1"])))

    assert at_start(compiled, compiled.loss_derivatives) == [Fraction(v) for v in in_outputs]
    assert at_start(compiled, compiled.gradient) == [Fraction(v) for v in in_params]


def test_the_mean_scales_the_loss_and_its_derivatives_but_not_the_jacobian_or_the_penalty() -> None:
    model = LayeredModel("linear", (1, 1), None, False)
    data = Dataset(((ONE,), (ONE,), (ONE,), (ONE,)), ((Fraction(1, 2),),) * 4)
    ridge = Regularizer(strength=Fraction(3))
    total, mean = (
        by_graph(Problem(model, Loss("squared", reduction=reduction), data, (Fraction(5, 2),), ONE, regularizer=ridge))
        for reduction in ("sum", "mean")
    )

    assert (total.loss, total.loss_derivatives, total.gradient) == (2.0, [2.0], [2.0])
    assert (mean.loss, mean.loss_derivatives, mean.gradient) == (0.5, [0.5], [0.5])
    assert total.jacobian == mean.jacobian == [[1.0]]
    assert total.penalty_gradient == mean.penalty_gradient == [7.5]


def test_unused_parameters_have_gradient_0() -> None:
    compiled = compiled_expression(["u*x"], Loss("squared"), ["u", "v"])

    assert compiled.jacobian[0][1] == compiled.graph.number(Fraction(0)) == compiled.gradient[1]


def test_derivatives_of_long_chains_grow_with_their_length_and_no_faster() -> None:
    size = {n: len(compiled_expression([nested(n)], Loss("squared")).graph.nodes) for n in (10, 20, 40)}

    assert size[40] - size[20] <= 2.2 * (size[20] - size[10])


def nested(depth: int) -> str:
    text = "u"
    for _ in range(depth):
        text = f"tanh({text} + v)"
    return text
