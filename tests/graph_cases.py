"""Random problems, and the derivatives of a graph, for the tests of the graph."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pkverify.expression import FUNCTIONS, parse_expression
from pkverify.graph import Graph, ProblemGraph, compile_problem
from pkverify.losses import Loss
from pkverify.models import ExpressionModel, LayeredModel
from pkverify.problem import Dataset, Problem, Regularizer

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


def leaves(graph: Graph) -> tuple[int, int, int]:
    return graph.leaf("param", 0), graph.leaf("param", 1), graph.leaf("input", 0)
