"""The counterpart of the sabotage matrix: on true problems, drawn at random, no claim is ever refuted."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from random import Random

import pytest

from pkverify.checks.run import check_problem
from pkverify.evidence import Run, Verdict
from pkverify.expression import parse_expression
from pkverify.losses import Loss
from pkverify.models import ExpressionModel, LayeredModel, Model
from pkverify.problem import Dataset, Problem, Regularizer, Vector

DIGITS = 20
DEFAULT, MORE = 100, 200
FORMULAS = (
    "u*v*x", "u + x*u**2/2 + v", "u*tanh(v*x)", "exp(u*x/2) + v", "u*sin(v*x)", "sqrt(u**2 + 1)*x + v",
    "log(1 + u**2)*x + v*x**2", "u*x/(1 + v**2)", "atan(u*x + v)", "sigmoid(u*x)*v + erf(v*x)", "softplus(u + v*x)",
)  # fmt: skip
PAIRS = (("u*x + v", "u*v*x"), ("u*sin(x*v)", "u**2*x"), ("tanh(u*x)", "tanh(v*x)"))
LOSSES = (
    "(y - target)**2/2 + (y - target)**4/10",
    "softplus(y - target) + (y - target)**2/4",
    "log(1 + (y - target)**2)",
)
PENALTIES = ("(u**2 + v**2)/5", "u**4/10 + (u - v)**2/4", "softplus(u) + v**2/3")
FAMILIES = ("linear", "deep-linear", "mlp", "logistic", "softmax", "expression", "regularised", "vector", "log p")


class Draw:
    """Random small numbers, and problems made of them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - problems, not secrets

    def number(self, largest: int = 2) -> Fraction:
        return Fraction(self.random.randint(-4 * largest, 4 * largest), self.random.choice((2, 3, 4, 5)))

    def vector(self, size: int, largest: int = 1) -> Vector:
        return tuple(self.number(largest) for _ in range(size))

    def one_hot(self, size: int) -> Vector:
        chosen = self.random.randrange(size)
        return tuple(Fraction(k == chosen) for k in range(size))

    def problem(self, family: str) -> Problem:
        random, inputs, outputs = self.random, 1, 1
        loss, regularizer = Loss("squared", reduction=random.choice(("sum", "sum", "mean"))), None
        model: Model
        match family:
            case "linear" | "logistic" | "softmax":
                inputs = random.randint(1, 2)
                outputs = {"linear": random.randint(1, 2), "logistic": 1, "softmax": random.randint(2, 3)}[family]
                model = LayeredModel("linear", (inputs, outputs), None, random.random() < 0.5)
                loss = {"logistic": Loss("logistic"), "softmax": Loss("softmax-cross-entropy")}.get(family, loss)
            case "deep-linear":
                inputs = random.randint(1, 2)
                model = LayeredModel("deep-linear", (inputs, random.randint(1, 2), 1), None, False)
            case "mlp":
                model = LayeredModel(
                    "mlp", (1, random.randint(1, 2), 1), random.choice(("tanh", "sigmoid", "sin")), True
                )
            case "vector":
                texts, outputs = random.choice(PAIRS), 2
                model = ExpressionModel(("u", "v"), ("x",), tuple(parse_expression(t, ["u", "v", "x"]) for t in texts))
            case "log p":
                model = ExpressionModel(("u", "v"), ("x",), (parse_expression("-softplus(-u*x - v)", ["u", "v", "x"]),))
                loss = Loss("nll-log-probability")
            case _:
                text = random.choice(FORMULAS)
                model = ExpressionModel(("u", "v"), ("x",), (parse_expression(text, ["u", "v", "x"]),))
                if random.random() < 0.5:
                    loss = Loss("expression", parse_expression(random.choice(LOSSES), ["y", "target"]))
        if family == "regularised":
            value = parse_expression(random.choice(PENALTIES), ["u", "v"])
            regularizer = random.choice((Regularizer(value=value), Regularizer(strength=abs(self.number()) + 1)))
        rows = range(random.randint(1, 3))
        targets = tuple(self.target(loss.kind, outputs) for _ in rows)
        return Problem(
            model,
            loss,
            Dataset(tuple(self.vector(inputs) for _ in rows), targets),
            self.vector(len(model.params)),
            Fraction(random.randint(1, 6), 4),
            tuple(self.vector(inputs) for _ in range(random.randint(1, 2))) if random.random() < 0.7 else None,
            regularizer,
        )

    def target(self, loss: str, outputs: int) -> Vector:
        match loss:
            case "logistic":
                return (Fraction(self.random.randint(0, 1)),)
            case "softmax-cross-entropy":
                return self.one_hot(outputs)
            case "nll-log-probability":
                return ()
            case _:
                return self.vector(outputs)


def true_problem(seed: int) -> Problem:
    return Draw(seed).problem(FAMILIES[seed % len(FAMILIES)])


def check_true(seed: int, routes: tuple[str, ...]) -> Counter[str]:
    """Check one problem; what its claims came out as, by claim and verdict."""
    found = check_problem(f"seed {seed}", true_problem(seed), digits=DIGITS, routes=routes)

    assert found.verdicts["T1"].holds
    assert all(item.verdict is not Verdict.REFUTED for item in found.evidence)
    # Descent may need more steps than it is given; all else is decided.
    assert {item.claim for item in found.evidence if item.verdict is Verdict.INCONCLUSIVE} <= {"T1b"}
    assert Run((found,)).exit_code in {0, 3}
    return Counter(f"{claim} {verdict.value}" for claim, verdict in found.verdicts.items())


@pytest.mark.parametrize("start", range(0, DEFAULT, 20))
def test_true_problems_are_never_refuted(start: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(start, start + 20):
        seen += check_true(seed, ("precise",))

    # Every check had something to say, so that none passes by standing aside.
    assert {f"{claim} supported" for claim in ("T1", "T1a", "T1b", "T1c", "T1g", "T1k", "D6b", "D7", "D8")} <= set(seen)
    assert seen["R3d proved"] == sum(FAMILIES[seed % len(FAMILIES)] == "log p" for seed in range(start, start + 20))
    assert seen["T1b inconclusive"] <= 2


def test_the_generator_reaches_every_kind_of_problem() -> None:
    problems = [true_problem(seed) for seed in range(DEFAULT)]

    assert {problem.model.kind for problem in problems} == {"linear", "deep-linear", "mlp", "expression"}
    assert {problem.model.output_count for problem in problems} == {1, 2, 3}
    assert {len(problem.data) for problem in problems} == {1, 2, 3}
    assert {problem.loss.reduction for problem in problems} == {"sum", "mean"}
    assert {problem.regularizer.strength is None for problem in problems if problem.regularizer} == {True, False}
    assert {problem.queries is None for problem in problems} == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("start", range(DEFAULT, DEFAULT + MORE, 20))
def test_more_true_problems_are_never_refuted(start: int) -> None:
    for seed in range(start, start + 20):
        check_true(seed, ("precise",))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [seed for seed in range(DEFAULT) if FAMILIES[seed % len(FAMILIES)] == "linear"])
def test_true_linear_problems_agree_with_their_closed_forms(seed: int) -> None:
    check_true(seed, ("exact", "precise"))
