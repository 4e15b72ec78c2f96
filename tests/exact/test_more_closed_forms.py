"""Shared logits, squashed outputs, diagonal forms, and power series: against routes that share nothing with them."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import sympy as sp
from mpmath import mp, mpf

from pkverify.errors import InputError, UntreatableError
from pkverify.evidence import Verdict
from pkverify.exact import series_check
from pkverify.exact.closed_forms import find
from pkverify.exact.formulas import Formulas
from pkverify.exact.proof import Proof
from pkverify.exact.route import decompose_exact, verify_exact
from pkverify.exact.series_check import series_splits, verify_series
from pkverify.exact.zero_test import Outcome
from pkverify.expression import parse_expression
from pkverify.losses import Loss
from pkverify.models import ExpressionModel, LayeredModel
from pkverify.problem import Dataset, Problem, Regularizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pkverify.exact.closed_forms.record import ClosedForm

DIGITS = 20
WORKING = 30
TOLERANCE = mpf(10) ** -17


# The independent route: quadrature of a reduced equation that is written by hand for each family. Nothing is read from
# the closed form.


def number(value: Fraction) -> Any:
    return mpf(value.numerator) / value.denominator


def level_after(rate: Callable[[Any], Any], start: Any, horizon: Fraction) -> Any:
    """Where s' = rate(s) is at the horizon: time as a quadrature of 1/rate, solved by Newton's method."""
    steps, here, end = 64, mpf(start), number(horizon)
    for _ in range(steps):  # Runge's and Kutta's classical steps, for a first guess
        h = end / steps
        a = rate(here)
        b = rate(here + h * a / 2)
        c = rate(here + h * b / 2)
        here += h * (a + 2 * b + 2 * c + rate(here + h * c)) / 6
    for _ in range(3):
        passed = mp.quad(lambda s: 1 / rate(s), mp.linspace(start, here, 5))
        here -= (passed - end) * rate(here)
    return here


def close(text: Any, value: Any) -> bool:
    return bool(abs(mpf(str(text)) - value) <= TOLERANCE * max(1, abs(value)))


# The problems.


def rationals(*values: object) -> tuple[Fraction, ...]:
    return tuple(Fraction(str(value)) for value in values)


def dataset(*pairs: tuple[Any, Any]) -> Dataset:
    return Dataset(tuple(rationals(*x) for x, _ in pairs), tuple(rationals(*y) for _, y in pairs))


def formula(text: str, params: str, inputs: str = "x") -> ExpressionModel:
    names = tuple(params.split())
    points = tuple(inputs.split())
    return ExpressionModel(names, points, tuple(parse_expression(part, [*names, *points]) for part in text.split(";")))


def problem(
    model: Any, loss: Loss, data: Dataset, initial: Sequence[object], horizon: object, *queries: Any, **more: Any
) -> Problem:
    asked = tuple(rationals(*x) for x in queries) or None
    return Problem(model, loss, data, rationals(*initial), Fraction(str(horizon)), asked, **more)


SQUARED, LOGISTIC, SOFTMAX = Loss("squared"), Loss("logistic"), Loss("softmax-cross-entropy")
MEAN = Loss("squared", reduction="mean")
WRITTEN_OUT = Loss("expression", parse_expression("log(1+exp(y))-y*target", ["y", "target"]))
TWO, TWO_BIASED = LayeredModel("linear", (1, 2), None, False), LayeredModel("linear", (2, 2), None, True)
THETA, LINE = formula("theta", "theta"), formula("w*x", "w")
TANH, SIGMOID = formula("tanh(w*x)", "w"), formula("sigmoid(x*w)", "w")
TANH_BY_EXP = formula("(exp(2*x*w)-1)/(exp(2*w*x)+1)", "w")
DIAGONAL = formula("(u1**2-v1**2)*x1 + (u2**2-v2**2)*x2", "u1 u2 v1 v2", "x1 x2")
FACTORED = formula("x1*(u1-v1)*(v1+u1) + x2*(u2*u2-v2**2)", "u1 u2 v1 v2", "x1 x2")
BERNOULLI, TWO_CLASSES = "Bernoulli logit", "softmax, two classes"
QUADRATIC = "diagonal quadratic form, one example"

ONE_TANH = problem(TANH, SQUARED, dataset(([1], ["1/2"])), ["1/4"], 1, [1], [-1], [2])

PROBLEMS = {
    "6": (TWO_CLASSES, problem(TWO, SOFTMAX, dataset(([2], [1, 0])), ["1/2", "-1/3"], 1, [3], [-1])),
    "6: second class": (TWO_CLASSES, problem(TWO, SOFTMAX, dataset(([2], [0, 1])), ["1/2", "-1/3"], 1, [2])),
    "6: bias": (TWO_CLASSES, problem(TWO_BIASED, SOFTMAX, dataset(([2, 1], [1, 0])), [1, 0, 2, -1, 0, 1], 1)),
    "6: probability": (TWO_CLASSES, problem(TWO, SOFTMAX, dataset(([2], ["1/4", "3/4"])), [1, "-1/3"], 1, [3])),
    "8b": (BERNOULLI, problem(THETA, LOGISTIC, dataset(([1], [1]), ([2], [0]), ([3], [1])), ["1/3"], 2, [1])),
    "8b: w x": (BERNOULLI, problem(LINE, WRITTEN_OUT, dataset(([2], [0]), ([-2], [0])), ["1/3"], 1, [5])),
    "8b: one class": (BERNOULLI, problem(THETA, LOGISTIC, dataset(([1], [0]), ([2], [0])), ["1/3"], 2, [1])),
    "7: tanh": ("tanh, one example", ONE_TANH),
    "7: tanh, target 1": ("tanh, one example", problem(TANH_BY_EXP, SQUARED, dataset(([2], [1])), ["-1/4"], 1, [2])),
    "7: sigmoid": ("sigmoid, one example", problem(SIGMOID, MEAN, dataset(([2], ["3/4"])), ["1/4"], 1, [2], [1])),
    "7: sigmoid, target 0": ("sigmoid, one example", problem(SIGMOID, SQUARED, dataset(([1], [0])), ["1/4"], 3, [1])),
    "4d": (QUADRATIC, problem(DIAGONAL, SQUARED, dataset(([1, "1/2"], [2])), ["1/2"] * 4, 1, [1, "1/2"], [3, -1])),
    "4d: factored": (QUADRATIC, problem(FACTORED, SQUARED, dataset(([1, -1], ["-1/3"])), [1, "1/2", 1, "1/2"], "1/2")),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_family_is_recognised_and_proved(name: str) -> None:
    family, case = PROBLEMS[name]

    evidence = verify_exact(case)

    assert find(Formulas(case)).family == family
    assert (evidence.verdict, evidence.residual) == (Verdict.PROVED, "0"), evidence.message
    assert {h.verdict for h in evidence.hypotheses} == {Verdict.PROVED}


def drawn(seed: int) -> Callable[[], Fraction]:
    draw = random.Random(seed)  # noqa: S311 - test data, not secrets
    return lambda: Fraction(draw.randint(3, 12), draw.randint(8, 12))


def over_time(rate: Callable[[Any], Any], start: Any, end: Any, what: Callable[[Any], Any]) -> Any:
    return mp.quad(lambda s: what(s) / rate(s), [start, end])


@pytest.mark.parametrize("seed", range(3))
def test_shared_logits_agree(seed: int) -> None:
    draw = drawn(seed)
    x, start, query, horizon = draw(), draw(), draw(), draw()
    case = problem(LINE, LOGISTIC, dataset(([x], [1]), ([x], [0]), ([-x], [0])), [start], horizon, [query])
    (record,) = decompose_exact(case, DIGITS)

    with mp.workdps(WORKING):
        q, first = number(x) ** 2, number(start * x)

        def rate(z: Any) -> Any:
            return q * (2 / (1 + mp.exp(z)) - 1 / (1 + mp.exp(-z)))

        end = level_after(rate, first, horizon)
        up = over_time(rate, first, end, lambda z: 1 / (1 + mp.exp(z))) * number(x * query)
        down = -over_time(rate, first, end, lambda z: 1 / (1 + mp.exp(-z))) * number(x * query)
        assert close(record.final_output, end * number(query / x))
        assert all(map(close, record.contributions, (up, down, up)))
        assert all(map(close, record.path_kernel, [number(s * x * query * horizon) for s in (1, 1, -1)]))


@pytest.mark.parametrize("seed", range(3))
def test_two_classes_agree_and_keep_the_sum_of_the_logits(seed: int) -> None:
    draw = drawn(seed)
    x, a, b, query, horizon = draw(), draw(), draw(), draw(), draw()
    case = problem(TWO, SOFTMAX, dataset(([x], [1, 0])), [a, b], horizon, [query])
    first, second = decompose_exact(case, DIGITS)

    with mp.workdps(WORKING):
        start = number((a - b) * x)
        level = 2 * number(x) ** 2 * number(horizon) + start + mp.exp(start)
        gap = mp.findroot(lambda d: d + mp.exp(d) - level, mp.log(level))
        ends = (mpf(str(first.final_output)), mpf(str(second.final_output)))
        assert close(ends[0] - ends[1], gap * number(query / x))
        assert close(ends[0] + ends[1], number((a + b) * query))
        assert first.path_kernel[0][1] == second.path_kernel[0][0] == "0"
        assert close(first.path_kernel[0][0], number(x * query * horizon))


@pytest.mark.parametrize("seed", range(4))
def test_squashed_outputs_agree(seed: int) -> None:
    draw = drawn(seed)
    x, start, target, horizon, ratio = draw(), -draw(), draw() + 1, draw(), Fraction(3, 2)
    model, squash = ((TANH, mp.tanh), (SIGMOID, lambda z: 1 / (1 + mp.exp(-z))))[seed % 2]
    case = problem(model, SQUARED, dataset(([x], [target])), [start], horizon, [x], [ratio * x])
    records = decompose_exact(case, DIGITS)

    with mp.workdps(WORKING):
        first, q = number(start * x), number(x) ** 2

        def slope(z: Any) -> Any:
            return 1 - mp.tanh(z) ** 2 if seed % 2 == 0 else squash(z) * (1 - squash(z))

        def rate(z: Any) -> Any:
            return q * slope(z) * (number(target) - squash(z))

        end = level_after(rate, first, horizon)
        for record, r in zip(records, (mpf(1), number(ratio)), strict=True):
            kernel = over_time(rate, first, end, lambda z, r=r: r * q * slope(z) * slope(r * z))
            assert close(record.final_output, squash(r * end))
            assert close(record.contributions[0], squash(r * end) - squash(r * first))
            assert close(record.path_kernel[0], kernel)


@pytest.mark.parametrize("seed", range(2))
def test_diagonal_forms_agree(seed: int) -> None:
    draw = drawn(seed)
    size, target, horizon = draw() / 2, draw() + 1, draw() / 2
    x, query = (draw(), -draw()), (draw(), draw())
    case = problem(DIAGONAL, SQUARED, dataset((x, [target])), [size] * 4, horizon, x, query)
    records = decompose_exact(case, DIGITS)

    with mp.workdps(WORKING):

        def output(at: Sequence[Fraction], eta: Any) -> Any:
            pairs = zip(at, x, strict=True)
            return 2 * number(size) ** 2 * sum(number(a) * mp.sinh(4 * number(b) * eta) for a, b in pairs)

        def kernel(at: Sequence[Fraction], eta: Any) -> Any:
            pairs = zip(at, x, strict=True)
            return 8 * number(size) ** 2 * sum(number(a * b) * mp.cosh(4 * number(b) * eta) for a, b in pairs)

        def rate(eta: Any) -> Any:
            return number(target) - output(x, eta)

        end = level_after(rate, mpf(0), horizon)
        for record, at in zip(records, (x, query), strict=True):
            assert close(record.final_output, output(at, end))
            assert close(record.path_kernel[0], over_time(rate, mpf(0), end, lambda eta, at=at: kernel(at, eta)))


RIDGE = Regularizer(strength=Fraction(1))
REFUSED = {
    "three classes": problem(
        LayeredModel("linear", (1, 3), None, False), SOFTMAX, dataset(([1], [1, 0, 0])), [1] * 3, 1
    ),
    "softmax, two inputs": problem(TWO, SOFTMAX, dataset(([1], [1, 0]), ([2], [1, 0])), [1, 2], 1),
    "softmax, ridge": problem(TWO, SOFTMAX, dataset(([1], [1, 0])), [1, 2], 1, regularizer=RIDGE),
    "logistic, not quite one input": problem(LINE, LOGISTIC, dataset(([1], [1]), (["1000001/1000000"], [0])), [1], 1),
    "tanh, two examples": problem(TANH, SQUARED, dataset(([1], [1]), ([2], [0])), [1], 1),
    "tanh, ridge": problem(TANH, SQUARED, dataset(([1], [1])), [1], 1, regularizer=RIDGE),
    "not quite tanh": problem(formula("tanh(w*x)+w/10", "w"), SQUARED, dataset(([1], [2])), [1], 1),
    "not quite sigmoid": problem(formula("sigmoid(w*x)*999/1000", "w"), SQUARED, dataset(([1], [2])), [1], 1),
    "diagonal, two examples": problem(DIAGONAL, SQUARED, dataset(([1, 2], [1]), ([2, 1], [0])), [1] * 4, 1),
    "not quite diagonal": problem(formula("u**2*x-v**2*x+u*v/10**9", "u v"), SQUARED, dataset(([1], [2])), [1, 2], 1),
    "diagonal, ridge": problem(DIAGONAL, SQUARED, dataset(([1, 2], [1])), [1] * 4, 1, regularizer=RIDGE),
}


@pytest.mark.parametrize("name", REFUSED)
def test_near_misses_are_refused(name: str) -> None:
    with pytest.raises(UntreatableError, match="no closed form"):
        decompose_exact(REFUSED[name], 10)


def spoiled(form: ClosedForm, what: str) -> ClosedForm:
    s, tiny = form.progress, sp.Rational(1, 10**40)
    match what:
        case "weights":
            return replace(form, params=(form.params[0] + (s - form.start) / 7, *form.params[1:]))
        case "rate":
            return replace(form, rate=form.rate * (1 + tiny))
        case "elapsed time":
            return replace(form, elapsed=form.elapsed * (1 + tiny))
        case _:
            return replace(form, primitive=lambda i: (form.primitive(i) or 0) + tiny * (s - form.start))


@pytest.mark.parametrize("sabotage", ["weights", "rate", "elapsed time", "antiderivative"])
@pytest.mark.parametrize("name", ["6", "8b", "7: tanh", "7: sigmoid", "4d: factored"])
def test_a_spoiled_closed_form_is_not_proved(name: str, sabotage: str) -> None:
    case = PROBLEMS[name][1]
    formulas = Formulas(case)
    proof = Proof(formulas, spoiled(find(formulas), sabotage))

    lines = [*proof.flow_lines, *proof.split_lines(case.query_inputs[0], 0)]

    assert any(line.outcome is not Outcome.ZERO for line in lines)


# Power series.

CUBIC = problem(formula("v*(u*x+c)**2", "u v c"), SQUARED, dataset(([1], [2]), ([-1], ["1/3"])), ["1/2", 1, "-1/3"], 1)
SERIES = {
    "cubic": CUBIC,
    "ridge": replace(CUBIC, regularizer=RIDGE),
    "mean, query": replace(CUBIC, loss=MEAN, queries=(rationals("5/7"),)),
    "two outputs": problem(formula("u*x;u*v", "u v"), SQUARED, dataset(([1], [2, 3])), [1, 2], 1),
    "quartic loss": replace(CUBIC, loss=Loss("expression", parse_expression("(y-target)**4", ["y", "target"]))),
}


@pytest.mark.parametrize("name", SERIES)
def test_power_series_agree_exactly_and_promise_no_more(name: str) -> None:
    evidence = verify_series(SERIES[name], 6)

    assert (evidence.verdict, evidence.method) == (Verdict.INCONCLUSIVE, "series")
    assert "exactly up to t^6" in evidence.message
    assert any(any(split.left[1:]) for split in series_splits(SERIES[name], 6))


def test_a_known_power_series() -> None:
    (split,) = series_splits(problem(LINE, SQUARED, dataset(([1], [1])), [0], 1), 5)

    assert split.left == split.right == rationals(0, 1, "-1/2", "1/6", "-1/24", "1/120")


def test_a_wrong_coefficient_refutes(monkeypatch: pytest.MonkeyPatch) -> None:
    true = series_check._product

    def product(left: Sequence[Fraction], right: Sequence[Fraction]) -> list[Fraction]:
        *lower, last = true(left, right)
        return [*lower, last + Fraction(1, 10**30)]

    monkeypatch.setattr(series_check, "_product", product)
    evidence = verify_series(CUBIC, 5)

    assert evidence.verdict is Verdict.REFUTED
    assert "t^5" in str(evidence.witness)


def test_what_has_no_rational_series_is_refused() -> None:
    with pytest.raises(UntreatableError, match="no exact power series"):
        verify_series(ONE_TANH)
    with pytest.raises(InputError, match="order 0"):
        verify_series(CUBIC, 0)
