"""Every family against a route that shares nothing with it: dual numbers for derivatives, extrapolation for flows."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import sympy as sp
from mpmath import mp, mpf

from pkverify.decomposition import Decomposition
from pkverify.errors import UntreatableError
from pkverify.evidence import Verdict
from pkverify.exact.closed_forms import find
from pkverify.exact.closed_forms.record import ClosedForm
from pkverify.exact.formulas import Formulas
from pkverify.exact.proof import Proof
from pkverify.exact.route import decompose_exact, verify_exact
from pkverify.exact.zero_test import Outcome
from pkverify.expression import parse_expression
from pkverify.losses import Loss
from pkverify.models import ExpressionModel, LayeredModel
from pkverify.problem import Dataset, Problem, Regularizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DIGITS = 22
TOLERANCE = mpf(10) ** -18


# The independent route.


@dataclass(frozen=True)
class Dual:
    """A number and its derivatives by the parameters."""

    value: Any
    slopes: tuple[Any, ...]

    def chain(self, value: Any, slope: Any) -> Dual:
        return Dual(value, tuple(slope * part for part in self.slopes))


class DualAlgebra:
    """Forward differentiation over mpmath numbers."""

    def __init__(self, width: int) -> None:
        self.width = width

    def number(self, value: Fraction) -> Dual:
        return Dual(mpf(value.numerator) / value.denominator, (mpf(0),) * self.width)

    def pi(self) -> Dual:
        return Dual(+mp.pi, (mpf(0),) * self.width)

    def add(self, terms: Sequence[Dual]) -> Dual:
        return Dual(
            sum(t.value for t in terms), tuple(sum(parts) for parts in zip(*(t.slopes for t in terms), strict=True))
        )

    def multiply(self, left: Dual, right: Dual) -> Dual:
        slopes = tuple(left.value * b + right.value * a for a, b in zip(left.slopes, right.slopes, strict=True))
        return Dual(left.value * right.value, slopes)

    def divide(self, left: Dual, right: Dual) -> Dual:
        return self.multiply(left, right.chain(1 / right.value, -1 / right.value**2))

    def power(self, base: Dual, exponent: Fraction) -> Dual:
        power = mpf(exponent.numerator) / exponent.denominator
        return base.chain(base.value**power, power * base.value ** (power - 1))

    def call(self, function: str, argument: Dual) -> Dual:
        x = argument.value
        sigmoid = 1 / (1 + mp.exp(-x))
        value, slope = {
            "exp": lambda: (mp.exp(x), mp.exp(x)),
            "log": lambda: (mp.log(x), 1 / x),
            "sigmoid": lambda: (sigmoid, sigmoid * (1 - sigmoid)),
            "softplus": lambda: (mp.log1p(mp.exp(x)), sigmoid),
            "tanh": lambda: (mp.tanh(x), 1 - mp.tanh(x) ** 2),
        }[function]()
        return argument.chain(value, slope)


def reference(problem: Problem, query: tuple[Fraction, ...], steps: int, rows: int = 12) -> dict[str, Any]:
    """One output's split, from the augmented system (w, contributions, path kernels, regulariser's term)."""
    width, count = len(problem.initial), len(problem.data)
    algebra, loss_algebra = DualAlgebra(width), DualAlgebra(1)
    scale = mpf(problem.example_scale.numerator) / problem.example_scale.denominator

    def seeded(values: Sequence[Any]) -> list[Dual]:
        return [Dual(v, tuple(mpf(int(j == k)) for j in range(width))) for k, v in enumerate(values)]

    def output(weights: Sequence[Any], point: Sequence[Fraction]) -> Dual:
        return problem.model.build(algebra, seeded(weights), [algebra.number(x) for x in point])[0]

    def rate(state: Sequence[Any]) -> list[Any]:
        weights = state[:width]
        here = output(weights, query)
        slopes, parts, kernels = [mpf(0)] * width, [], []
        for point, targets in zip(problem.data.inputs, problem.data.targets, strict=True):
            there = output(weights, point)
            loss = problem.loss.build(
                loss_algebra, [Dual(there.value, (mpf(1),))], [loss_algebra.number(t) for t in targets]
            )
            derivative = scale * loss.slopes[0]
            kernel = sum(a * b for a, b in zip(here.slopes, there.slopes, strict=True))
            slopes = [s - derivative * b for s, b in zip(slopes, there.slopes, strict=True)]
            parts.append(-derivative * kernel)
            kernels.append(kernel)
        pull = mpf(0)
        if problem.regularizer is not None:
            penalty = problem.regularizer.build(algebra, problem.model.params, seeded(weights))
            slopes = [s - r for s, r in zip(slopes, penalty.slopes, strict=True)]
            pull = -sum(a * b for a, b in zip(here.slopes, penalty.slopes, strict=True))
        return [*slopes, *parts, *kernels, pull]

    with mp.workdps(34):
        state = [mpf(w.numerator) / w.denominator for w in problem.initial]
        first = output(state, query).value
        state = extrapolated(
            rate,
            state + [mpf(0)] * (2 * count + 1),
            mpf(problem.horizon.numerator) / problem.horizon.denominator,
            steps,
            rows,
        )
        return {
            "initial_output": first,
            "final_output": output(state[:width], query).value,
            "contributions": state[width : width + count],
            "path_kernel": state[width + count : width + 2 * count],
            "regularizer_term": state[-1],
        }


def settled(problem: Problem, query: tuple[Fraction, ...]) -> dict[str, Any]:
    """The reference, with steps made smaller until it no longer moves."""
    before = reference(problem, query, steps=4)
    for steps in (7, 14, 30):
        now = reference(problem, query, steps=steps)
        moved = [abs(a - b) for a, b in zip(numbers(before), numbers(now), strict=True)]
        if max(moved) < TOLERANCE:
            return now
        before = now
    raise AssertionError("the reference does not settle")


def numbers(split: dict[str, Any]) -> list[Any]:
    return [split["final_output"], split["regularizer_term"], *split["contributions"], *split["path_kernel"]]


def extrapolated(
    rate: Callable[[Sequence[Any]], list[Any]], state: list[Any], end: Any, steps: int, rows: int
) -> list[Any]:
    """Gragg's midpoint rule with Richardson extrapolation in the squared step."""
    for _ in range(steps):
        table: list[list[list[Any]]] = []
        for row in range(rows):
            pieces = 2 * (row + 1)
            h = end / steps / pieces
            before, now = state, [a + h * b for a, b in zip(state, rate(state), strict=True)]
            for _ in range(pieces - 1):
                before, now = now, [a + 2 * h * b for a, b in zip(before, rate(now), strict=True)]
            smooth = [(a + b + h * c) / 2 for a, b, c in zip(before, now, rate(now), strict=True)]
            line = [smooth]
            for column in range(row):
                factor = 1 / ((mpf(pieces) / (2 * (row - column))) ** 2 - 1)
                line.append([a + factor * (a - b) for a, b in zip(line[-1], table[-1][column], strict=True)])
            table.append(line)
        state = table[-1][-1]
    return state


def close(text: str, number: Any) -> bool:
    return bool(abs(mpf(text) - number) <= TOLERANCE * max(1, abs(number)))


def agrees(problem: Problem) -> None:
    """Every number of every query, and the residual proved to be zero."""
    for record in decompose_exact(problem, DIGITS):
        compare(problem, record)


def compare(problem: Problem, record: Decomposition) -> None:
    with mp.workdps(34):
        truth = settled(problem, record.query)
        for name in ("initial_output", "final_output", "regularizer_term"):
            assert close(getattr(record, name), truth[name]), (name, getattr(record, name), truth[name])
        for name in ("contributions", "path_kernel"):
            assert all(map(close, getattr(record, name), truth[name])), (name, getattr(record, name), truth[name])
        for weight, part, kernel in zip(record.weights, truth["contributions"], truth["path_kernel"], strict=True):
            assert weight is None or close(str(weight), part / kernel)
        assert record.residual == "0"


# The problems.


def rationals(*values: object) -> tuple[Fraction, ...]:
    return tuple(Fraction(str(value)) for value in values)


def dataset(*pairs: tuple[object, object]) -> Dataset:
    return Dataset(
        tuple(rationals(x) for x, _ in pairs), tuple(rationals(y) if y is not None else () for _, y in pairs)
    )


def formula(text: str, *params: str) -> ExpressionModel:
    return ExpressionModel(params, ("x",), (parse_expression(text, [*params, "x"]),))


def deep(depth: int) -> LayeredModel:
    return LayeredModel("deep-linear", (1,) * (depth + 1), None, False)


LINE = LayeredModel("linear", (1, 1), None, False)
AFFINE = LayeredModel("linear", (1, 1), None, True)
SQUARED, MEAN = Loss("squared"), Loss("squared", reduction="mean")
PAIR = dataset(("1/2", 1), (1, "4/3"))
NLL, LOG_NLL = Loss("nll-probability"), Loss("nll-log-probability")
HALF_SQUARE = Loss("expression", parse_expression("(target-y)*(target-y)/2", ["y", "target"]))
CROSS = Loss("expression", parse_expression("log(1+exp(y))-y*target", ["y", "target"]))


def problem(
    model: Any, loss: Loss, data: Dataset, initial: Sequence[object], horizon: object, *queries: object, **more: Any
) -> Problem:
    asked = tuple(rationals(x) for x in queries) or None
    return Problem(model, loss, data, rationals(*initial), Fraction(str(horizon)), asked, **more)


UV, EXP, SIGMOID = formula("u*v*x", "u", "v"), formula("exp(w*x)", "w"), formula("sigmoid(w*x)", "w")
PRODUCT, EXPONENTIAL = "product of two scalars", "exp, one example"
LOGIT, PROBABILITY = "logistic, one example", "logistic, one example, output p"
BALANCED = "balanced product of {} scalars"
WEAK = Regularizer(strength=Fraction(2, 3))
WRITTEN_OUT, LOG_SIGMOID = formula("1/(1+exp(-w*x))", "w"), formula("-softplus(-w*x)", "w")
GAUSSIAN = formula("-(x-m)**2/2 - log(2*pi)/2", "m")
ALMOST_SQUARED = Loss("expression", parse_expression("(y-target)**2/2 + y**4/100", ["y", "target"]))

PROBLEMS = {
    "1: w x": ("affine", problem(LINE, SQUARED, PAIR, ["1/3"], "3/2", "5/7", -2)),
    "1: x*w": ("affine", problem(formula("x*w", "w"), HALF_SQUARE, PAIR, ["1/3"], "3/2", "5/7")),
    "1: mean": ("affine", problem(LINE, MEAN, PAIR, ["1/3"], 1, 3)),
    "1b: bias": ("affine", problem(AFFINE, SQUARED, PAIR, ["1/3", "-1/2"], 1, "5/7")),
    "1r: ridge": ("affine", problem(LINE, SQUARED, PAIR, ["1/3"], 1, 3, regularizer=WEAK)),
    "8: Gaussian": ("affine", problem(GAUSSIAN, LOG_NLL, dataset((1, None), (3, None)), ["1/4"], 1, -1)),
    "CE-A": ("affine", problem(formula("w+x*w**2", "w"), SQUARED, dataset((0, 1)), [0], 1, "-13/10", "-7/5")),
    "2: logit, class 1": (LOGIT, problem(LINE, Loss("logistic"), dataset(("3/2", 1)), ["-1/3"], 2, 5)),
    "2: logit, class 0": (LOGIT, problem(AFFINE, Loss("logistic"), dataset(("3/2", 0)), ["-1/3", 1], 2, 5)),
    "2: written out": (LOGIT, problem(formula("x*w", "w"), CROSS, dataset((2, 1)), ["1/5"], 1, 5)),
    "2p": (PROBABILITY, problem(SIGMOID, NLL, dataset((2, None)), ["1/5"], 1, 2, 4, -1, 3)),
    "2p: no closed kernel": (PROBABILITY, problem(WRITTEN_OUT, NLL, dataset((2, None)), ["1/5"], 1, "7/3")),
    "2 log p": (LOGIT + ", output log p", problem(LOG_SIGMOID, LOG_NLL, dataset((2, None)), ["1/5"], 1, 3)),
    "3: u v x": (PRODUCT, problem(UV, SQUARED, PAIR, ["1/2", "-1/3"], 1, 3)),
    "3: v x u, u = v": (PRODUCT, problem(formula("v*x*u", "u", "v"), SQUARED, PAIR, ["1/2", "1/2"], 1, 3)),
    "3: u + v = 0": (PRODUCT, problem(UV, SQUARED, PAIR, ["1/2", "-1/2"], 1, 3)),
    "3: p* = 0": (PRODUCT, problem(UV, SQUARED, dataset((1, 2), (2, -1)), ["1/2", "1/2"], 1, 3)),
    "3: p* = 0, u != v": (PRODUCT, problem(UV, MEAN, dataset((1, 0)), ["3/2", "1/2"], 1, 3)),
    "4: depth 2": (PRODUCT, problem(deep(2), SQUARED, PAIR, [1, "1/2"], 1, 3)),
    "4: depth 3": (BALANCED.format(3), problem(deep(3), SQUARED, PAIR, ["1/2"] * 3, 1, 3)),
    "4: depth 3, wrong sign": (BALANCED.format(3), problem(deep(3), SQUARED, PAIR, ["1/2", "-1/2", "1/2"], 1, 3)),
    "4: depth 4": (BALANCED.format(4), problem(deep(4), SQUARED, dataset((1, 1)), ["2/3"] * 4, 1, 3)),
    "4: depth 4, wrong sign": (BALANCED.format(4), problem(deep(4), SQUARED, dataset((1, -1)), ["2/3"] * 4, 1, 3)),
    "4: depth 5": (BALANCED.format(5), problem(deep(5), SQUARED, dataset((1, 1)), ["2/3"] * 5, 1, 3)),
    "4: unbalanced": ("product of 3 scalars", problem(deep(3), SQUARED, PAIR, ["1/3", "-1/2", 1], 1, 3)),
    "4: unbalanced, two alike": ("product of 3 scalars", problem(deep(3), SQUARED, PAIR, ["1/2", "-1/2", 1], 1, 3)),
    "4: a factor crosses 0": ("product of 4 scalars", problem(deep(4), SQUARED, PAIR, ["-1/9", 1, "1/2", 1], 1, 3)),
    "4: a factor starts at 0": ("product of 3 scalars", problem(deep(3), SQUARED, PAIR, [0, 1, "1/2"], 1, 3)),
    "5: exp": (EXPONENTIAL, problem(EXP, SQUARED, dataset((1, 2)), [0], 1, "1/2", 2, 3, -1)),
    "5: exp from above": (EXPONENTIAL, problem(EXP, SQUARED, dataset((1, "1/2")), ["1/4"], 1, "1/3", 2)),
    "5: exp, target 0": (EXPONENTIAL, problem(EXP, SQUARED, dataset((1, 0)), ["1/4"], 1, 2)),
    "5: exp, target below 0": (EXPONENTIAL, problem(EXP, SQUARED, dataset((1, -1)), ["1/4"], 1, 2)),
    "5q: (w x)^2": ("w^2", problem(formula("(w*x)**2", "w"), SQUARED, dataset((1, 2)), ["-1/3"], 1, 3)),
    "w^3": ("w^3", problem(formula("w**3*x", "w"), SQUARED, PAIR, ["1/3"], "1/2", 3)),
    "stationary": ("stationary", problem(UV, SQUARED, PAIR, [0, 0], 1, 3)),
    "stationary, and yet split": ("stationary", problem(LINE, SQUARED, dataset((1, 1), (1, 3)), [2], 1, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_family_is_recognised_and_proved(name: str) -> None:
    family, case = PROBLEMS[name]

    evidence = verify_exact(case)

    assert find(Formulas(case)).family == family
    assert (evidence.verdict, evidence.residual) == (Verdict.PROVED, "0"), evidence.message
    assert {h.id: h.verdict for h in evidence.hypotheses} == {"H0": Verdict.PROVED, "H2": Verdict.PROVED}


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_number_agrees_with_an_independent_route(name: str) -> None:
    agrees(PROBLEMS[name][1])


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(k, marks=pytest.mark.slow) for k in range(3, 12))])
def test_random_products_agree(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - test data, not secrets

    def number() -> Fraction:
        return Fraction(draw.randint(-9, 9), draw.randint(9, 14))

    data = Dataset(((number(),), (Fraction(1),)), ((number(),), (number(),)))
    model = [UV, LINE, formula("w**2*x", "w")][seed % 3]

    agrees(
        Problem(
            model, SQUARED, data, tuple(number() + Fraction(3, 2) for _ in model.params), Fraction(1, 4), ((number(),),)
        )
    )


def test_several_outputs_split_by_rows() -> None:
    model = LayeredModel("linear", (1, 2), None, False)
    data = Dataset((rationals(1), rationals(2)), (rationals(1, 2), rationals(3, 1)))
    both = decompose_exact(Problem(model, SQUARED, data, rationals(1, 2), Fraction(1), (rationals(5),)), 12)
    single = [
        decompose_exact(
            Problem(
                LINE,
                SQUARED,
                Dataset(data.inputs, tuple((row[k],) for row in data.targets)),
                (start,),
                Fraction(1),
                (rationals(5),),
            ),
            12,
        )[0]
        for k, start in enumerate(rationals(1, 2))
    ]

    assert [record.output for record in both] == [0, 1]
    assert [record.contributions for record in both] == [record.contributions for record in single]
    assert both[0].path_kernel == (("5", "0"), ("10", "0"))
    assert [w[0] for w in both[0].weights if w] == list(single[0].weights)


# Numbers known by hand, and numbers asked with many digits.


def test_known_numbers() -> None:
    (one,) = decompose_exact(problem(LINE, SQUARED, dataset((1, 1)), [0], 1, 1), 20)
    (two,) = decompose_exact(problem(EXP, SQUARED, dataset((1, 2)), [0], 1, 2), 6)

    assert one.final_output == "0.63212055882855767840"
    assert one.closed_form["final_output"] == "1 - exp(-1)"
    assert two.weights == ("0.339870",)


def test_constant_loss_derivatives_give_exact_weights() -> None:
    for name in ("8: Gaussian", "2 log p"):
        for record in decompose_exact(PROBLEMS[name][1], 15):
            assert set(record.weights) == {"1"}
            assert record.path_kernel == record.contributions


def test_an_identically_zero_path_kernel_leaves_the_weight_free() -> None:
    (record,) = decompose_exact(problem(LINE, SQUARED, PAIR, [1], 1, 0), 10)

    assert record.weights == (None, None)
    assert "any weight serves" in record.weights_absent[0]


@pytest.mark.parametrize("name", ["4: depth 3", "5: exp, target below 0", "2p: no closed kernel"])
def test_more_digits_continue_the_same_number(name: str) -> None:
    case = PROBLEMS[name][1]
    (short,), (long,) = decompose_exact(case, 15), decompose_exact(case, 60)

    for few, many in zip((short.final_output, *short.path_kernel), (long.final_output, *long.path_kernel), strict=True):
        assert few[:-1] == many[: len(few) - 1]
        assert len(many) > len(few) + 40


def test_a_long_horizon_is_followed_into_the_limit() -> None:
    case = problem(UV, SQUARED, PAIR, [1, 2], 40, 1)
    (record,) = decompose_exact(case, 20)

    assert verify_exact(case).verdict is Verdict.PROVED
    # The path kernel grows with the horizon, the output has arrived at p* = 22/15.
    assert mpf(str(record.path_kernel[0])) > 30
    assert record.final_output == "1.4666666666666666667"


# Refusals: more of them than acceptances.

RIDGE = Regularizer(strength=Fraction(1))
REFUSED = {
    "two examples, logistic": problem(LINE, Loss("logistic"), dataset((1, 1), (2, 0)), [1], 1),
    "two examples, probability": problem(SIGMOID, NLL, dataset((1, None), (2, None)), [1], 1),
    "two examples, exp": problem(EXP, SQUARED, dataset((1, 1), (2, 0)), [1], 1),
    "ridge on a product": problem(UV, SQUARED, PAIR, [1, 2], 1, regularizer=RIDGE),
    "ridge on exp": problem(EXP, SQUARED, dataset((1, 1)), [1], 1, regularizer=RIDGE),
    "ridge on logistic": problem(LINE, Loss("logistic"), dataset((1, 1)), [1], 1, regularizer=RIDGE),
    "depth 7": problem(deep(7), SQUARED, PAIR, [1] * 7, 1),
    "ridge on depth 3": problem(deep(3), SQUARED, PAIR, [1, 2, 3], 1, regularizer=RIDGE),
    "a product and a little more": problem(formula("u*v*x + x/1000", "u", "v"), SQUARED, PAIR, [1, 2], 1),
    "not quite a square": problem(formula("w**2*x + w*x/10**9", "w"), SQUARED, PAIR, [1], 1),
    "not quite exp": problem(formula("exp(w*x) + w/10**9", "w"), SQUARED, dataset((1, 2)), [1], 1),
    "not quite sigmoid": problem(formula("sigmoid(w*x) * 999/1000", "w"), NLL, dataset((1, None)), [1], 1),
    "not quite squared": problem(UV, ALMOST_SQUARED, PAIR, [1, 2], 1),
    "tanh": problem(formula("tanh(w*x)", "w"), SQUARED, PAIR, [1], 1),
    "relu": problem(formula("relu(w*x)", "w"), SQUARED, PAIR, [1], 1),
    "network": problem(LayeredModel("mlp", (1, 2, 1), "tanh", True), SQUARED, PAIR, [1, 2, 3, 4, 5, 6, 7], 1),
    "w^7": problem(formula("w**7*x", "w"), SQUARED, PAIR, [1], 1),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_closed_form_is_refused(name: str) -> None:
    with pytest.raises(UntreatableError, match="no closed form"):
        decompose_exact(REFUSED[name], 10)


# Sabotage: a closed form that is slightly wrong anywhere must not be proved.


def spoiled(form: ClosedForm, what: str) -> ClosedForm:
    s, tiny = form.progress, sp.Rational(1, 10**60)
    match what:
        case "weights":
            return replace(form, params=(form.params[0] + tiny, *form.params[1:]))
        case "weights, 0 at the start":
            return replace(form, params=(form.params[0] + tiny * (s - form.start), *form.params[1:]))
        case "rate":
            return replace(form, rate=form.rate * (1 + tiny))
        case "elapsed time":
            return replace(form, elapsed=form.elapsed * (1 + tiny))
        case "elapsed time, shifted":
            return replace(form, elapsed=form.elapsed + tiny)
        case "start":
            return replace(form, start=form.start + sp.Rational(1, 10**6))
        case "antiderivative":
            return replace(form, primitive=lambda i: _plus(form.primitive(i), tiny * (s - form.start)))
        case _:
            return replace(form, primitive=lambda i: _plus(form.primitive(i), tiny))


def _plus(value: Any, extra: Any) -> Any:
    return None if value is None else value + extra


SABOTAGES = (
    "weights", "weights, 0 at the start", "rate", "elapsed time", "elapsed time, shifted", "start", "antiderivative",
    "antiderivative, shifted",
)  # fmt: skip


@pytest.mark.parametrize("sabotage", SABOTAGES)
@pytest.mark.parametrize("name", ["1b: bias", "2: logit, class 1", "3: u v x", "4: depth 3", "5: exp", "5q: (w x)^2"])
def test_a_spoiled_closed_form_is_not_proved(name: str, sabotage: str) -> None:
    case = PROBLEMS[name][1]
    formulas = Formulas(case)
    proof = Proof(formulas, spoiled(find(formulas), sabotage))

    lines = [*proof.flow_lines, *proof.split_lines(case.query_inputs[0], 0)]

    assert any(line.outcome is not Outcome.ZERO for line in lines)


def test_a_path_through_a_standstill_is_not_proved() -> None:
    case = PROBLEMS["3: u v x"][1]
    form = find(Formulas(case))
    assert form.limit is not None
    beyond = replace(
        form, elapsed=form.elapsed.xreplace({form.progress: 3 * form.limit - form.progress}), explicit=None
    )

    assert Proof(Formulas(case), beyond).existence.outcome is Outcome.UNKNOWN
