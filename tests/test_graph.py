from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
import torch

from pkverify.expression import FUNCTIONS, parse_expression
from pkverify.graph import Graph, ProblemGraph, compile_problem
from pkverify.losses import Loss
from pkverify.models import ExpressionModel, LayeredModel
from pkverify.problem import Dataset, Problem, Regularizer

TOLERANCE = 1e-10
ONE = Fraction(1)

# The graph's own side: its nodes evaluated one after the other, in doubles or in exact rationals.

DOUBLES = {
    "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "sin": math.sin, "cos": math.cos, "tan": math.tan,
    "sinh": math.sinh, "cosh": math.cosh, "tanh": math.tanh, "atan": math.atan, "erf": math.erf,
    "sigmoid": lambda u: 1 / (1 + math.exp(-u)), "softplus": lambda u: math.log1p(math.exp(u)),
}  # fmt: skip


def evaluate(graph: Graph, leaves: Mapping[Any, Any], number: Callable[[Any], Any] = float) -> list[Any]:
    values: list[Any] = []
    for node in graph.nodes:
        value: Any
        used = [values[k] for k in node.arguments]
        match node.operation:
            case "number":
                value = number(node.value)
            case "pi":
                value = math.pi
            case "leaf":
                value = leaves.get(node.value, math.nan if number is float else Fraction(0))
            case "combination":
                value = number(0) if node.offset is None else values[node.offset]
                value += sum(values[c] * u for c, u in zip(node.coefficients, used, strict=True))
            case "product":
                value = used[0] * used[1]
            case "square":
                value = used[0] ** 2
            case "reciprocal":
                value = 1 / used[0]
            case "function" if isinstance(node.value, tuple):
                value = used[0] ** float(node.value[1])
            case "function":
                value = DOUBLES[str(node.value)](used[0])
            case "relu":
                value = max(used[0], number(0))
            case "abs":
                value = abs(used[0])
            case "step":
                value = number(used[0] > 0)
            case _:
                value = number((used[0] > 0) - (used[0] < 0))
        values.append(value)
    return values


# The other side: the formulas replayed over torch tensors, and differentiated by torch.


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


@dataclass(frozen=True)
class Slopes:
    jacobian: list[list[float]]
    loss: float
    loss_derivatives: list[float]
    gradient: list[float]
    penalty_gradient: list[float]

    def gap(self, other: Slopes) -> float:
        pairs = [
            *zip(self._flat(), other._flat(), strict=True),
            (self.loss, other.loss),
        ]
        return max(abs(a - b) / max(1.0, abs(b)) if math.isfinite(a - b) else math.inf for a, b in pairs)

    def _flat(self) -> list[float]:
        rows = [*self.jacobian, self.loss_derivatives, self.gradient, self.penalty_gradient]
        return [v for row in rows for v in row]


def by_graph(problem: Problem, compiled: ProblemGraph | None = None) -> Slopes:
    compiled = compile_problem(problem) if compiled is None else compiled
    leaves = {("param", k): float(v) for k, v in enumerate(problem.initial)}
    leaves |= {("input", k): float(v) for k, v in enumerate(problem.data.inputs[0])}
    leaves |= {("target", k): float(v) for k, v in enumerate(problem.data.targets[0])}
    values = evaluate(compiled.graph, leaves)
    return Slopes(
        [[values[node] for node in row] for row in compiled.jacobian],
        values[compiled.loss],
        [values[node] for node in compiled.loss_derivatives],
        [values[node] for node in compiled.gradient],
        [values[node] for node in compiled.penalty_gradient],
    )


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


# Random models from the whole grammar. Arguments are kept where every function is defined and of moderate size.


def random_formula(rng: random.Random, names: Sequence[str], depth: int) -> str:
    if depth == 0:
        return rng.choice([*names, *names, f"{rng.randint(-9, 9)}/{rng.randint(2, 9)}"])
    inner = random_formula(rng, names, depth - 1)
    other = random_formula(rng, names, rng.randint(0, depth - 1))
    bounded = f"({inner})/(1 + ({inner})**2)"  # in [-1/2, 1/2]
    positive = f"(1/3 + ({inner})**2)"
    function = rng.choice(FUNCTIONS)
    return rng.choice([
        f"{function}({positive})" if function in {"log", "sqrt"} else f"{function}(2*{bounded})",
        f"{function}({positive})" if function in {"log", "sqrt"} else f"{function}(2*{bounded})",
        f"({inner}) + ({other})",
        f"({inner}) - 2*({other})",
        f"({inner})*({other})",
        f"({other})/{positive}",
        f"({bounded})**{rng.randint(2, 4)}",
        f"{positive}**({rng.choice(['3/2', '-1/2', '1/3', '-2', '-1'])})",
        f"{positive}**({rng.choice(names)}*({bounded}))",
        f"pi*({bounded})",
    ])  # fmt: skip


LOSSES = [
    Loss("squared"), Loss("squared", reduction="mean"), Loss("logistic"), Loss("nll-log-probability"),
    Loss("expression", parse_expression("exp(y - target) - y*target", ["y", "target"])),
    Loss("expression", parse_expression("log(1 + y**2)*(1 + target)", ["y", "target"]), "mean"),
    Loss("expression", parse_expression("y", ["y"])),
]  # fmt: skip
VECTOR_LOSSES = [
    Loss("squared"),
    Loss("softmax-cross-entropy"),
    Loss("softmax-cross-entropy", reduction="mean"),
    Loss("expression", parse_expression("y0*y1**2 + sin(y0 - target1)*target0", ["y0", "y1", "target0", "target1"])),
    Loss("expression", parse_expression("y1*y0 + y0", ["y0", "y1"])),
]


def random_regularizer(rng: random.Random, params: Sequence[str]) -> Regularizer | None:
    formula = " + ".join(f"{rng.randint(1, 5)}/7*({p} - 1)**2*cos({rng.choice(params)})" for p in params)
    return rng.choice(
        [None, Regularizer(strength=Fraction(rng.randint(1, 9), 5)), Regularizer(parse_expression(formula, params))]
    )


def rationals(rng: random.Random, count: int) -> tuple[Fraction, ...]:
    return tuple(Fraction(rng.choice([-1, 1]) * rng.randint(3, 11), 8) for _ in range(count))


def random_problem(seed: int) -> Problem:
    rng = random.Random(seed)  # noqa: S311 - reproducible problems, not secrets
    outputs = rng.choice([1, 1, 2])
    if rng.random() < 0.7:
        params, inputs = ("u", "v", "w")[: rng.randint(1, 3)], ("x", "z")[: rng.randint(1, 2)]
        names = [*params, *inputs]
        formulas = [random_formula(rng, names, rng.randint(1, 3)) for _ in range(outputs)]
        model = ExpressionModel(params, inputs, tuple(parse_expression(f, names) for f in formulas))
    else:
        kind = rng.choice(["linear", "mlp", "mlp", "deep-linear"])
        widths = [rng.randint(1, 3) for _ in range(1 if kind == "linear" else rng.randint(2, 3))]
        # Functions with a pole or a branch point would be met by some pre-activation.
        activation = rng.choice([f for f in FUNCTIONS if f not in {"log", "sqrt", "tan"}]) if kind == "mlp" else None
        model = LayeredModel(kind, (*widths, outputs), activation, rng.random() < 0.5)
    loss = rng.choice(LOSSES if outputs == 1 else VECTOR_LOSSES)
    count = loss.target_count(outputs)
    one_hot = rng.randrange(2)
    targets = {
        "logistic": (Fraction(one_hot),),
        "softmax-cross-entropy": (Fraction(one_hot), Fraction(1 - one_hot)),
    }.get(loss.kind, rationals(rng, count))
    rows = [(rationals(rng, model.input_count), targets) for _ in range(rng.randint(1, 3))]
    data = Dataset(tuple(x for x, _ in rows), tuple(y for _, y in rows))
    initial = rationals(rng, len(model.params))
    return Problem(model, loss, data, initial, ONE, regularizer=random_regularizer(rng, model.params))


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


# Polynomial models: forward mode over exact rationals says the same to the last bit.


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


# Sharing and simplification.


def leaves(graph: Graph) -> tuple[int, int, int]:
    return graph.leaf("param", 0), graph.leaf("param", 1), graph.leaf("input", 0)


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
