from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from mpmath import mp, mpf, odefun, quad

from pkverify.errors import InputError
from pkverify.precise.route import MAX_DIGITS, MIN_DIGITS, decompose_precise, solve_precise
from pkverify.precise.solution import Solution
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem
from tests.precise.route_cases import NEURON, RIDGE, pairs, real

# (a) A second route: mpmath's own Taylor solver for the flow, its quadrature for the integrals, gradients by hand.

Gradient = Callable[[Sequence[Any], Any], list[list[Any]]]  # parameters, input -> [C][d]


def by_mpmath(problem: Problem, outputs: Callable[..., list[Any]], gradient: Gradient, slopes: Callable[..., list[Any]],
              penalty: Callable[[Sequence[Any]], list[Any]], digits: int) -> list[list[Any]]:  # fmt: skip
    """For each query: initial and final outputs, regulariser term, then contributions and kernels of each example."""
    mp.dps = digits
    inputs = [real(x) for (x,) in problem.data.inputs]
    targets = [[real(v) for v in row] for row in problem.data.targets]
    end, start = real(problem.horizon), [real(v) for v in problem.initial]

    def velocity(_: Any, w: list[Any]) -> list[Any]:
        total = penalty(w)
        for x, target in zip(inputs, targets, strict=True):
            jacobian, loss = gradient(w, x), slopes(outputs(w, x), target)
            total = [t + sum(s * row[j] for s, row in zip(loss, jacobian, strict=True)) for j, t in enumerate(total)]
        return [-t for t in total]

    path, known = odefun(velocity, 0, start), dict[Any, list[Any]]()

    def weights(t: Any) -> list[Any]:
        if t not in known:
            known[t] = path(t)
        return known[t]

    def integral(integrand: Callable[[list[Any]], Any]) -> Any:
        return quad(lambda t: integrand(weights(t)), [0, end / 2, end], method="gauss-legendre", maxdegree=5)

    def at(x: Any) -> list[Any]:
        classes = range(len(outputs(start, x)))

        def contribution(w: list[Any], i: int, c: int) -> Any:
            pairs = zip(slopes(outputs(w, inputs[i]), targets[i]), gradient(w, inputs[i]), strict=True)
            return -sum(s * dot(gradient(w, x)[c], row) for s, row in pairs)

        def kernel(w: list[Any], i: int, c: int, o: int) -> Any:
            return dot(gradient(w, x)[c], gradient(w, inputs[i])[o])

        numbers = [*outputs(start, x), *outputs(path(end), x)]
        numbers += [-integral(lambda w, c=c: dot(gradient(w, x)[c], penalty(w))) for c in classes]
        for i in range(len(inputs)):
            numbers += [integral(lambda w, i=i, c=c: contribution(w, i, c)) for c in classes]
            numbers += [integral(lambda w, i=i, c=c, o=o: kernel(w, i, c, o)) for c in classes for o in classes]
        return numbers

    return [at(real(query)) for (query,) in problem.query_inputs]


def by_pkverify(solution: Solution) -> list[list[Fraction]]:
    return [
        [
            *solution.initial_outputs[q], *solution.final_outputs[q], *solution.regularizer_terms[q],
            *(v for i, example in enumerate(solution.contributions[q])
              for v in [*example, *(k for row in solution.path_kernels[q][i] for k in row)]),
        ]
        for q in range(len(solution.queries))
    ]  # fmt: skip


def dot(left: Sequence[Any], right: Sequence[Any]) -> Any:
    return sum(a * b for a, b in zip(left, right, strict=True))


SOFTMAX = parse_problem("""
    model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = ["u*x", "sin(v*x)"]}
    loss.kind = "softmax-cross-entropy"
    data = {x = ["3/2"], y = [["0", "1"]]}
    flow = {initial = ["1/3", "-1/4"], horizon = "3/2"}
    query.x = ["-2/3"]
""")


def half_squares(outputs: Sequence[Any], targets: Sequence[Any]) -> list[Any]:
    return [y - t for y, t in zip(outputs, targets, strict=True)]


def probabilities(outputs: Sequence[Any], targets: Sequence[Any]) -> list[Any]:
    total = sum(mp.exp(y) for y in outputs)
    return [mp.exp(y) / total - t for y, t in zip(outputs, targets, strict=True)]


def tanh_slope(w: Sequence[Any], x: Any) -> list[list[Any]]:
    slope = 1 - mp.tanh(w[0] * x + w[1]) ** 2
    return [[slope * x, slope]]


SECOND_ROUTES: dict[str, tuple[Problem, Any, Any, Any, Any]] = {
    "tanh neuron": (NEURON, lambda w, x: [mp.tanh(w[0] * x + w[1])], tanh_slope, half_squares, lambda _: [0, 0]),
    "softmax": (
        SOFTMAX, lambda w, x: [w[0] * x, mp.sin(w[1] * x)], lambda w, x: [[x, 0], [0, x * mp.cos(w[1] * x)]],
        probabilities, lambda _: [0, 0],
    ),
    "regularised product": (
        RIDGE, lambda w, x: [w[0] * w[1] * x], lambda w, x: [[w[1] * x, w[0] * x]], half_squares,
        lambda w: [2 * w[0] / 5, 4 * w[1] ** 3 / 5],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SECOND_ROUTES)
def test_numbers_are_those_of_a_solver_and_a_quadrature_by_mpmath(name: str) -> None:
    problem, *by_hand = SECOND_ROUTES[name]
    found = by_pkverify(solve_precise(problem, 25))
    with mp.workdps(18):
        expected = by_mpmath(problem, *by_hand, digits=18)
        gaps = [abs(real(a) - b) for rows in zip(found, expected, strict=True) for a, b in zip(*rows, strict=True)]
        assert max(gaps) < mpf(10) ** -15


@pytest.mark.parametrize("name", ["tanh neuron", "regularised product"])
def test_another_horizon_is_told_apart_by_that_route(name: str) -> None:
    problem, *by_hand = SECOND_ROUTES[name]
    longer = replace(problem, horizon=problem.horizon * (1 + Fraction(1, 10**9)))
    found = by_pkverify(solve_precise(longer, 25))
    with mp.workdps(15):
        expected = by_mpmath(problem, *by_hand, digits=15)
        gaps = [abs(real(a) - b) for rows in zip(found, expected, strict=True) for a, b in zip(*rows, strict=True)]
        assert max(gaps) > mpf(10) ** -11


def test_a_thousand_digits_of_a_linear_model() -> None:
    problem = parse_problem("""
        model = {kind = "linear", bias = false}
        loss.kind = "squared"
        data = {x = ["1", "-1/2"], y = ["7/10", "1/5"]}
        flow = {initial = ["1/3"], horizon = 2}
        query.x = ["3"]
    """)
    [found] = decompose_precise(problem, 1000)
    with mp.workdps(1050):
        s, c, w, t = real("5/4"), real("3/5"), real("1/3"), mpf(2)
        p, decay = c / s, mp.exp(-s * t)
        mean = p + (w - p) * (1 - decay) / (s * t)
        expected = [
            (found.final_output, 3 * (p + (w - p) * decay)),
            (found.path_kernel[1], -3 * t / 2),
            (found.weights[0], real("7/10") - mean),
            (found.weights[1], real("1/5") + mean / 2),
        ]
        for printed, value in expected:
            assert isinstance(printed, str)
            assert len(printed.strip("-").replace(".", "").lstrip("0")) >= 999 or value == -3
            assert abs(mpf(printed) - value) < mpf(10) ** -998


@pytest.mark.parametrize("digits", [MIN_DIGITS - 1, 0, -3, MAX_DIGITS + 1])
def test_digits_out_of_range_are_refused(digits: int) -> None:
    with pytest.raises(InputError, match="--digits") as error:
        solve_precise(NEURON, digits)

    assert error.value.exit_code == 2


@pytest.mark.parametrize("digits", [MIN_DIGITS, 6, 20, 33])
def test_numbers_have_the_digits_asked_for(digits: int) -> None:
    [found] = decompose_precise(NEURON, digits)
    [finer] = decompose_precise(NEURON, digits + 20)

    assert found.digits == digits
    for a, b in pairs(found, finer):
        assert len(a.lstrip("-0.").replace(".", "")) <= digits
        assert abs(Fraction(a) - Fraction(b)) <= Fraction(10) ** (2 - digits) * max(1, abs(Fraction(b)))


def test_large_logits_of_a_softmax_keep_their_digits() -> None:
    # p = (0, 1) to fifty digits, so that L' = (-1, 1), and each logit moves by 1 in unit time.
    problem = parse_problem("""
        model = {kind = "linear", bias = false}
        loss = {kind = "softmax-cross-entropy"}
        data = {x = [[1]], y = [[1, 0]]}
        flow = {initial = [0, 120], horizon = 1}
    """)
    first, second = decompose_precise(problem, 20)

    assert abs(Fraction(first.final_output) - 1) < Fraction(1, 10**18)
    assert abs(Fraction(second.final_output) - 119) < Fraction(1, 10**16)
