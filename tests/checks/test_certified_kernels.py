"""The certified check of the path kernels (D8) sees wrong kernels, wrong paths and wrong quadratures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache

import pytest

from pkverify.arithmetic.ball import Ball, real
from pkverify.arithmetic.ball_functions import gauss_rule
from pkverify.certified import bounds, integrals
from pkverify.certified.along import PathView
from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import Enclosure, enclose
from pkverify.certified.system import RowValues
from pkverify.checks.certified import certified_evidence
from pkverify.evidence import Evidence, Verdict
from pkverify.problem import Problem, Regularizer
from pkverify.problem_file import parse_problem

TEXTS = {
    "tanh": """
    model = {kind = "mlp", layers = [1, 2, 1], activation = "tanh"}
    loss = {kind = "squared", reduction = "mean"}
    data = {x = [["-1"], ["0"], ["1"]], y = ["-1/2", "0", "3/5"]}
    flow = {initial = ["1/2", "-3/10", "1/10", "-1/5", "2/5", "3/10", "0"], horizon = "1"}
    query = {x = [["1/4"], ["3/4"]]}
    """,
    "two outputs": """
    model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = ["u*v*x", "u**2 + v*x"]}
    loss = {kind = "squared"}
    data = {x = [["1"], ["-1/2"]], y = [["1/2", "1/3"], ["0", "1"]]}
    flow = {initial = ["1/2", "-1/5"], horizon = "1/2"}
    query = {x = [["1/3"], ["2"]]}
    """,
    "penalty": """
    model = {kind = "linear", bias = true}
    loss = {kind = "logistic"}
    data = {x = [["1"], ["-2"], ["1/2"]], y = [1, 0, 0]}
    flow = {initial = ["1/5", "0"], horizon = "2"}
    regularizer = {kind = "l2", strength = "1/10"}
    query = {x = [["3/2"]]}
    """,
}
MOVING = ("tanh", "two outputs")  # whose tangent kernels are not constant, so that rules matter
Sabotage = Callable[[Enclosure], Enclosure]


@cache
def problem(name: str) -> Problem:
    return parse_problem(TEXTS[name])


@cache
def sound(name: str) -> Enclosure:
    return enclose(problem(name), 15)


def judged(enclosure: Enclosure) -> Evidence:
    [found] = certified_evidence(enclosure, frozenset({"D8"}))
    return found


def mapped(change: Callable[[Enclosed], Enclosed]) -> Sabotage:
    """The kernels, each of them changed."""

    def sabotage(enclosure: Enclosure) -> Enclosure:
        kernels = enclosure.path_kernels
        changed = tuple(
            tuple(tuple(tuple(map(change, row)) for row in example) for example in query) for query in kernels
        )
        return replace(enclosure, path_kernels=changed)

    return sabotage


def moved(ball: Enclosed) -> Enclosed:
    return Enclosed(ball.mid + Fraction(1, 10**12), ball.rad)


def last_kernel_moved(enclosure: Enclosure) -> Enclosure:
    *queries, query = enclosure.path_kernels
    *examples, example = query
    *rows, row = example
    row = (*row[:-1], moved(row[-1]))
    return replace(enclosure, path_kernels=(*queries, (*examples, (*rows, row))))


def examples_exchanged(enclosure: Enclosure) -> Enclosure:
    kernels = tuple((query[1], query[0], *query[2:]) for query in enclosure.path_kernels)
    return replace(enclosure, path_kernels=kernels)


def queries_exchanged(enclosure: Enclosure) -> Enclosure:
    return replace(enclosure, path_kernels=enclosure.path_kernels[::-1])


def outputs_exchanged(enclosure: Enclosure) -> Enclosure:
    kernels = tuple(tuple(tuple(zip(*example, strict=True)) for example in query) for query in enclosure.path_kernels)
    return replace(enclosure, path_kernels=kernels)


def contributions_for_kernels(enclosure: Enclosure) -> Enclosure:
    kernels = tuple(tuple((example,) for example in query) for query in enclosure.contributions)
    return replace(enclosure, path_kernels=kernels)


def frozen_at(tau: int) -> Sabotage:
    """T times the tangent kernel of one time, in place of the first integral."""

    def sabotage(enclosure: Enclosure) -> Enclosure:
        stretch = list(PathView(enclosure).tangent_kernel(0, 0, 0))[-tau]
        value, horizon = stretch.at(Fraction(tau)), enclosure.problem.horizon
        (_, *row), *rows = enclosure.path_kernels[0][0]
        frozen = Enclosed(value.mid * horizon, value.rad * horizon)
        kernels = ((((frozen, *row), *rows), *enclosure.path_kernels[0][1:]), *enclosure.path_kernels[1:])
        return replace(enclosure, path_kernels=kernels)

    return sabotage


def over_another_time(enclosure: Enclosure) -> Enclosure:
    return replace(enclosure, problem=replace(enclosure.problem, horizon=2 * enclosure.problem.horizon))


def from_another_start(enclosure: Enclosure) -> Enclosure:
    start = (enclosure.problem.initial[0] + Fraction(1, 10**9), *enclosure.problem.initial[1:])
    return replace(enclosure, problem=replace(enclosure.problem, initial=start))


def along_another_flow(enclosure: Enclosure) -> Enclosure:
    """All of it belongs to a problem with another target."""
    data = enclosure.problem.data
    nearby = replace(data, targets=((data.targets[0][0] + Fraction(1, 10**9), *data.targets[0][1:]), *data.targets[1:]))
    return replace(enclose(replace(enclosure.problem, data=nearby), 15), problem=enclosure.problem)


def with_another_penalty(enclosure: Enclosure) -> Enclosure:
    """All of it belongs to a problem with another strength of the penalty."""
    nearby = replace(enclosure.problem, regularizer=Regularizer(strength=Fraction("0.1000000001")))
    return replace(enclose(nearby, 15), problem=enclosure.problem)


def without_the_last_step(enclosure: Enclosure) -> Enclosure:
    return replace(enclosure, steps=enclosure.steps[:-1])


def with_a_gap(enclosure: Enclosure) -> Enclosure:
    first, *steps = enclosure.steps
    return replace(enclosure, steps=(replace(first, length=first.length - Fraction(1, 2**30)), *steps))


def with_a_jump(enclosure: Enclosure) -> Enclosure:
    *steps, last = enclosure.steps
    (constant, *rest), *polynomials = last.coefficients
    jumped = ((constant + 2**40, *rest), *polynomials)
    return replace(enclosure, steps=(*steps, replace(last, coefficients=jumped)))


def final_params_moved(enclosure: Enclosure) -> Enclosure:
    return replace(enclosure, final_params=(*enclosure.final_params[:-1], moved(enclosure.final_params[-1])))


FALSE: dict[str, tuple[str, Sabotage]] = {
    "one kernel moved": ("tanh", last_kernel_moved),
    "one kernel of two outputs moved": ("two outputs", last_kernel_moved),
    "all kernels moved": ("penalty", mapped(moved)),
    "kernels doubled": ("tanh", mapped(lambda ball: Enclosed(2 * ball.mid, 2 * ball.rad))),
    "kernels of the other sign": ("two outputs", mapped(lambda ball: Enclosed(-ball.mid, ball.rad))),
    "kernels left out": ("penalty", mapped(lambda _: Enclosed(Fraction(0), Fraction(0)))),
    "examples exchanged": ("tanh", examples_exchanged),
    "queries exchanged": ("tanh", queries_exchanged),
    "outputs exchanged": ("two outputs", outputs_exchanged),
    "loss derivatives in the kernel": ("penalty", contributions_for_kernels),
    "kernel of the first weights": ("tanh", frozen_at(0)),
    "kernel of the last weights": ("two outputs", frozen_at(1)),
    "over another time": ("penalty", over_another_time),
    "from another start": ("tanh", from_another_start),
    "along another flow": ("two outputs", along_another_flow),
    "with another penalty": ("penalty", with_another_penalty),
    "the last step left out": ("tanh", without_the_last_step),
    "a gap between two steps": ("tanh", with_a_gap),
    "a jump between two steps": ("two outputs", with_a_jump),
    "final parameters moved": ("penalty", final_params_moved),
}


@pytest.mark.parametrize("name", TEXTS)
def test_sound_kernels_are_certified(name: str) -> None:
    found = judged(sound(name))

    assert found.verdict is Verdict.CERTIFIED
    assert found.bound is not None
    assert float(found.bound) < 1e-15


@pytest.mark.parametrize("row", FALSE)
def test_what_is_wrong_is_not_certified(row: str) -> None:
    name, sabotage = FALSE[row]

    found = judged(sabotage(sound(name)))

    assert found.verdict is Verdict.INCONCLUSIVE
    assert "disjoint balls" in found.message


def a_node_left_out(count: int, bits: int) -> tuple[tuple[Ball, Ball], ...]:
    return gauss_rule(count, bits)[1:]


def weights_alike(count: int, bits: int) -> tuple[tuple[Ball, Ball], ...]:
    return tuple((node, real(1) / count) for node, _ in gauss_rule(count, bits))


def nodes_rounded(count: int, bits: int) -> tuple[tuple[Ball, Ball], ...]:
    return tuple((real(Fraction(float(node))), weight) for node, weight in gauss_rule(count, bits))


@pytest.mark.parametrize("name", MOVING)
@pytest.mark.parametrize("rule", [a_node_left_out, weights_alike, nodes_rounded])
def test_a_wrong_rule_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, rule: Callable[..., object]) -> None:
    monkeypatch.setattr(integrals, "gauss_rule", rule)

    assert judged(enclose(problem(name), 15)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("name", MOVING)
def test_a_rule_with_too_few_nodes_is_seen(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(integrals, "node_count", lambda *_: 3)
    monkeypatch.setattr(bounds, "quadrature_tail", lambda *_: real(0))

    assert judged(enclose(problem(name), 15)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("name", MOVING)
def test_a_parameter_left_out_is_seen(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def shorter(rows: list[RowValues], column: tuple[int, int | None]) -> list[Ball]:
        row, output = column
        return (rows[row].gradient if output is None else rows[row].jacobian[output])[1:]

    monkeypatch.setattr(integrals, "_vector", shorter)

    assert judged(enclose(problem(name), 15)).verdict is Verdict.INCONCLUSIVE


def test_of_many_queries_the_first_are_looked_at() -> None:
    many = enclose(problem("tanh"), 8, [(Fraction(k, 200),) for k in range(140)])

    found = judged(many)

    assert found.verdict is Verdict.CERTIFIED
    assert "399 integrals" in found.message
    assert "at the first 133 queries" in found.message
