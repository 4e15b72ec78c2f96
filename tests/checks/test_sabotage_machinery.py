"""The sabotage matrix, continued: wrong machinery. A part of a route is replaced before anything is solved.

The precise route must then fail its own second route, a closed form must not be proved, and what is wrong all through
the exact route must at least disagree with the precise one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import sympy as sp

from pkverify.arithmetic import quadrature
from pkverify.arithmetic.fixed_point import FixedPoint
from pkverify.checks import average, cross_check, descent, identity, kernel
from pkverify.checks.context import Context
from pkverify.checks.run import check_problem
from pkverify.evidence import Run, Verdict
from pkverify.exact import route as exact_route
from pkverify.exact.closed_forms import find
from pkverify.exact.closed_forms.record import ClosedForm, Integrand
from pkverify.exact.formulas import Formulas
from pkverify.exact.route import verify_exact, verify_kernels
from pkverify.expression import parse_expression
from pkverify.graph import Graph, compile_problem
from pkverify.losses import Loss
from pkverify.precise import flow
from pkverify.precise import route as precise_route
from pkverify.precise.solution import read_solution
from pkverify.precise.system import AugmentedSystem
from pkverify.problem import Problem, Regularizer
from pkverify.problem_file import parse_problem

Patch = pytest.MonkeyPatch
Saboteur = Callable[[Patch], None]

DIGITS = 30
SLIGHTLY = 1 + Fraction(1, 10**20)

_HEAD = 'data = {x = ["1", "-1/2", "2"], y = ["6/5", "1/3", "1/2"]}\nquery.x = ["3/2", "-1"]\nloss.kind = "squared"\n'
_SHORT = 'data = {x = ["1", "-1/2"], y = ["6/5", "1/3"]}\nquery.x = ["3/2"]\nloss.kind = "squared"\n'
_LINE = 'model = {kind = "linear", bias = true}\nflow = {initial = ["1/5", "-1/10"], horizon = 1}\n'
PROBLEMS = {
    name: parse_problem(text)
    for name, text in {
        "line": _HEAD + _LINE,
        "ridge": _HEAD + _LINE + 'regularizer = {kind = "l2", strength = "1/3"}',
        "tanh": _HEAD
        + """model = {kind = "mlp", layers = [1, 1, 1], activation = "tanh", bias = true}
            flow = {initial = ["1/2", "1/10", "-2/5", "1/5"], horizon = 1}""",
        "short line": _SHORT + _LINE,
        "short ridge": _SHORT + _LINE + 'regularizer = {kind = "l2", strength = "1/3"}',
        "product": _SHORT
        + """model = {kind = "expression", params = ["u", "v"], inputs = ["x"], output = "u*v*x"}
            flow = {initial = ["9/10", "1/5"], horizon = 1}""",
        "one example": """model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w*x + w**2*x**2/2"}
            loss.kind = "squared"\ndata = {x = [1], y = [2]}\nflow = {initial = ["1/2"], horizon = 1}""",
        "logit": """model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w*x"}
            loss.kind = "logistic"\ndata = {x = ["3/2"], y = [1]}\nflow = {initial = ["-1/5"], horizon = 2}""",
    }.items()
}


def scaled(place: Any, name: str, factor: Fraction) -> Saboteur:
    """A function or method whose rational results (or tuples of them) come out multiplied."""

    def sabotage(patch: Patch) -> None:
        original = getattr(place, name)

        def wrong(*args: Any, **kwargs: Any) -> Any:
            value = original(*args, **kwargs)
            if isinstance(value, str):  # the reason why there is no weight
                return value
            return tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor

        patch.setattr(place, name, wrong)

    return sabotage


# The precise route.


def compiling(**fields: Any) -> Saboteur:
    """The graph of another problem."""
    return lambda patch: patch.setattr(
        precise_route, "compile_problem", lambda problem: compile_problem(replace(problem, **fields))
    )


def wrong_derivative(patch: Patch) -> None:
    """tanh' = 1 - tanh^2 + 1e-20."""
    original = Graph._derive

    def derive(graph: Graph, number: int) -> int:
        return graph.add([original(graph, number), graph.number(Fraction(1, 10**20))])

    patch.setattr(Graph, "_derive", derive)


def frozen_parameter(patch: Patch) -> None:
    """The first parameter is left out of every gradient."""
    original = Graph.gradient

    def gradient(graph: Graph, seeds: Any, wrt: Sequence[int]) -> list[int]:
        found = original(graph, seeds, wrt)
        return [graph.number(Fraction(0)), *found[1:]] if len(found) > 1 else found

    patch.setattr(Graph, "gradient", gradient)


def shorter_inner_product(patch: Patch) -> None:
    """The last parameter is left out of every kernel."""
    original = AugmentedSystem.inner_product
    patch.setattr(
        AugmentedSystem,
        "inner_product",
        lambda system, left, i, right, j: original(system, left[:-1], i, right[:-1], j),
    )


def wrong_integrals(patch: Patch) -> None:
    original = AugmentedSystem.integrals

    def integrals(system: AugmentedSystem, *args: Any) -> Any:
        unit = system.numbers.one // 10**20
        return {pair: value + unit for pair, value in original(system, *args).items()}

    patch.setattr(AugmentedSystem, "integrals", integrals)


def wrong_function(patch: Patch) -> None:
    original = FixedPoint.function
    patch.setattr(FixedPoint, "function", lambda numbers, *args: original(numbers, *args) + numbers.one // 10**20)


def wrong_integration(**changes: Callable[[Any], Any]) -> Saboteur:
    """The flow from elsewhere, or to elsewhere."""

    def sabotage(patch: Patch) -> None:
        def integrate(system: AugmentedSystem, initial: Any, horizon: Any, digits: float, **options: Any) -> Any:
            start = changes["initial"](initial) if "initial" in changes else initial
            end = changes["horizon"](horizon) if "horizon" in changes else horizon
            return flow.integrate(system, start, end, digits, **options)

        patch.setattr(precise_route, "integrate", integrate)

    return sabotage


def rows_exchanged(patch: Patch) -> None:
    """Every query is given the numbers of another."""

    def read(system: AugmentedSystem, path: Any, queries: Any, digits: int) -> Any:
        system.query_rows[:2] = reversed(system.query_rows[:2])
        return read_solution(system, path, queries, digits)

    patch.setattr(precise_route, "read_solution", read)


def wrong_rule(patch: Patch) -> None:
    """Gauss quadrature with one weight slightly wrong."""

    def rule(points: int, digits: int) -> Any:
        (node, weight), *rest = quadrature.gauss_legendre(points, digits)
        return ((node, weight * (1 + Fraction(1, 10**15))), *rest)

    patch.setattr(cross_check, "_rule", rule)


def other_descent(error: Callable[[float, int], float]) -> Saboteur:
    """Descent whose distance from the flow's value is another function of learning rate and steps."""
    return lambda patch: patch.setattr(descent, "_descent_error", lambda _, rate, steps, __: error(float(rate), steps))


def wrong_learning_rate(patch: Patch) -> None:
    original = descent._descent_error
    patch.setattr(
        descent, "_descent_error", lambda system, rate, steps, target: original(system, rate * 101 / 100, steps, target)
    )


def wrong_signs(patch: Patch) -> None:
    original = Context.loss_derivatives_at

    def negative(context: Context, time: Fraction) -> list[list[float]]:
        return [[-v for v in row] for row in original(context, time)]

    patch.setattr(Context, "loss_derivatives_at", negative)


PRECISE: dict[str, tuple[str, str, Saboteur]] = {
    "graph of another loss": (
        "T1", "line",
        compiling(loss=Loss("expression", parse_expression("(y - target)**2", ["y", "target"]))),
    ),
    "graph of a loss that is hardly another": (
        "T1", "line",
        compiling(loss=Loss("expression", parse_expression("(y - target)**2/2 + y/10**20", ["y", "target"]))),
    ),
    "graph of the mean": ("T1", "line", compiling(loss=Loss("squared", reduction="mean"))),
    "graph without the regularizer": ("T1", "ridge", compiling(regularizer=None)),
    "graph with the negative regularizer": (
        "T1", "ridge", compiling(regularizer=Regularizer(strength=Fraction(-1, 3))),
    ),
    "a wrong derivative": ("T1", "tanh", wrong_derivative),
    "a wrong function": ("T1", "tanh", wrong_function),
    "a parameter that does not move": ("T1", "tanh", frozen_parameter),
    "a parameter left out of the kernels": ("T1", "tanh", shorter_inner_product),
    "wrong integrals": ("T1", "tanh", wrong_integrals),
    "flow from elsewhere": (
        "T1", "tanh", wrong_integration(initial=lambda initial: [initial[0] * SLIGHTLY, *initial[1:]]),
    ),
    "flow to elsewhere": ("T1", "tanh", wrong_integration(horizon=lambda horizon: horizon * SLIGHTLY)),
    "queries exchanged": ("T1", "tanh", rows_exchanged),
    "wrong second quadrature": ("T1", "tanh", wrong_rule),
    "T1a: wrong weights": ("T1a", "tanh", scaled(identity, "kernel_weight", SLIGHTLY)),
    "T1a: wrong integrals": ("T1a", "tanh", wrong_integrals),
    "T1b: wrong learning rate": ("T1b", "line", wrong_learning_rate),
    "T1b: order 2": ("T1b", "line", other_descent(lambda rate, _: rate**2)),
    "T1b: order 1/2": ("T1b", "line", other_descent(lambda rate, _: rate**0.5)),
    "T1b: no convergence": ("T1b", "line", other_descent(lambda _, __: 1e-3)),
    "T1b: convergence that stops": ("T1b", "line", other_descent(lambda rate, _: rate + 1e-2)),
    "T1b: descent diverges": ("T1b", "line", other_descent(lambda _, __: float("inf"))),
    "T1b: graph without the regularizer": ("T1b", "ridge", compiling(regularizer=None)),
    "T1c: wrong weights": ("T1c", "line", scaled(average, "kernel_weight", Fraction(4))),
    "T1c: loss derivatives of the wrong sign": ("T1c", "line", wrong_signs),
    "T1g: wrong function": ("T1g", "tanh", wrong_function),
    "T1g: queries exchanged": ("T1g", "tanh", rows_exchanged),
    "D8: wrong quadrature": ("D8", "tanh", wrong_rule),
    "D8: wrong integrals": ("D8", "tanh", wrong_integrals),
    "D8: parameter left out": ("D8", "tanh", shorter_inner_product),
    "SE: wrong quadrature": ("SE", "one example", scaled(kernel, "integrate", SLIGHTLY)),
    "SE: wrong integrals": ("SE", "one example", wrong_integrals),
}  # fmt: skip


def precise_verdict(claim: str, problem: Problem) -> Verdict:
    run = check_problem("problem", problem, digits=DIGITS, routes=("precise",), claims=frozenset({claim}))
    return run.verdicts[claim]


@pytest.mark.parametrize(("claim", "name"), sorted({(claim, name) for claim, name, _ in PRECISE.values()}))
def test_sound_machinery_is_accepted(claim: str, name: str) -> None:
    assert precise_verdict(claim, PROBLEMS[name]).holds


@pytest.mark.parametrize("row", PRECISE)
def test_wrong_machinery_is_not_accepted(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, name, sabotage = PRECISE[row]
    monkeypatch.setattr(flow, "MAX_STEPS", 200)  # what is wrong may need ever shorter steps
    sabotage(monkeypatch)

    assert precise_verdict(claim, PROBLEMS[name]) is Verdict.INCONCLUSIVE


# The exact route: a wrong closed form of a sound problem, and wrong formulas.


def spoiled_form(change: Callable[[ClosedForm], ClosedForm]) -> Saboteur:
    return lambda patch: patch.setattr(exact_route, "find", lambda formulas: change(find(formulas)))


def spoiled_primitive(kind: str, change: Callable[[Any, ClosedForm], Any]) -> Saboteur:
    """The antiderivatives of kernels, contributions or the regulariser's term changed."""

    def change_form(form: ClosedForm) -> ClosedForm:
        def primitive(integrand: Integrand) -> Any:
            value = form.primitive(integrand)
            return change(value, form) if integrand.kind == kind and value is not None else value

        return replace(form, primitive=primitive)

    return spoiled_form(change_form)


def first_weight(change: Callable[[Any, Any], Any]) -> Saboteur:
    """The first weight of the path changed, as a function of itself and the progress variable."""
    return spoiled_form(lambda form: replace(form, params=(change(form.params[0], form.progress), *form.params[1:])))


def formula(name: str, change: Callable[[Any], Any]) -> Saboteur:
    """A formula of the problem changed, wherever the exact route uses it."""

    def sabotage(patch: Patch) -> None:
        original = vars(Formulas)[name]
        if callable(original):
            patch.setattr(Formulas, name, lambda *args: change(original(*args)))
        else:
            patch.setattr(Formulas, name, property(lambda formulas: change(original.func(formulas))))

    return sabotage


_SMALL = sp.Rational(1, 10**30)


def drifting(value: Any, form: ClosedForm) -> Any:
    return value + _SMALL * form.progress


def without_first(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return (0 * values[0], *values[1:])


def halves(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(v / 2 for v in values)


def zeros(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(0 * v for v in values)


# Problem, what is done to the exact route.
EXACT: dict[str, tuple[str, Saboteur]] = {
    "flow that starts elsewhere": ("short line", first_weight(lambda w, _: w + _SMALL)),
    "flow that goes elsewhere": ("short line", first_weight(lambda w, s: w + _SMALL * s)),
    "flow of the wrong sign": ("logit", first_weight(lambda w, _: -w)),
    "flow that stands still": ("short line", first_weight(lambda w, s: w.xreplace({s: sp.Integer(0)}))),
    "flow twice as fast": ("short line", first_weight(lambda w, s: w.xreplace({s: 2 * s}))),
    "weights exchanged": ("product", spoiled_form(lambda form: replace(form, params=form.params[::-1]))),
    "wrong rate": ("product", spoiled_form(lambda form: replace(form, rate=form.rate * (1 + _SMALL)))),
    "wrong clock": ("product", spoiled_form(lambda form: replace(form, elapsed=form.elapsed * (1 + _SMALL)))),
    "clock not set to 0": ("product", spoiled_form(lambda form: replace(form, elapsed=form.elapsed + _SMALL))),
    "progress that starts elsewhere": ("product", spoiled_form(lambda form: replace(form, start=form.start + 1))),
    "contribution doubled": ("short line", spoiled_primitive("contribution", lambda v, _: 2 * v)),
    "contribution halved": ("product", spoiled_primitive("contribution", lambda v, _: v / 2)),
    "contribution of the wrong sign": ("logit", spoiled_primitive("contribution", lambda v, _: -v)),
    "contribution dropped": ("short line", spoiled_primitive("contribution", lambda _, __: sp.Integer(0))),
    "contribution shifted": ("short line", spoiled_primitive("contribution", lambda v, _: v + _SMALL)),
    "contribution drifting": ("short line", spoiled_primitive("contribution", drifting)),
    "regularizer dropped": ("short ridge", spoiled_primitive("regularizer", lambda _, __: sp.Integer(0))),
    "regularizer of the wrong sign": ("short ridge", spoiled_primitive("regularizer", lambda v, _: -v)),
    "no antiderivative": ("short line", spoiled_primitive("contribution", lambda _, __: None)),
    "another start": ("short line", formula("start", lambda values: tuple(v + _SMALL * 10**10 for v in values))),
    "flow without the regularizer": ("short ridge", formula("regularizer_gradient", zeros)),
    "gradient halved": ("short line", formula("gradient", halves)),
    "gradient of the wrong sign": ("short line", formula("gradient", lambda values: tuple(-v for v in values))),
    "tangent kernel doubled": ("short line", formula("tangent_kernel", lambda value: 2 * value)),
    "tangent kernel shifted": ("short line", formula("tangent_kernel", lambda value: value + _SMALL)),
    "rate of contribution doubled": ("product", formula("contribution_rate", lambda value: 2 * value)),
    "rate of regularizer dropped": ("short ridge", formula("regularizer_rate", lambda value: 0 * value)),
    "a parameter left out of the kernels": ("short line", formula("slopes", without_first)),
    "loss without the half": ("short line", formula("loss_slopes", lambda values: tuple(2 * v for v in values))),
    "path kernel doubled": ("short line", spoiled_primitive("kernel", lambda v, _: 2 * v)),
    "path kernel of the wrong sign": ("product", spoiled_primitive("kernel", lambda v, _: -v)),
}  # fmt: skip
# Wrong in one way all through the route, or in what T1 does not speak of: only the precise route can tell.
CONSISTENT = {
    "another start", "flow without the regularizer", "loss without the half", "a parameter left out of the kernels",
    "path kernel doubled", "path kernel of the wrong sign",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted({name for name, _ in EXACT.values()}))
def test_sound_closed_forms_are_proved(name: str) -> None:
    run = check_problem("problem", PROBLEMS[name], digits=DIGITS, routes=("exact", "precise"), claims=frozenset({"T1"}))

    assert {item.route: item.verdict for item in run.evidence} == {
        "exact": Verdict.PROVED,
        "precise": Verdict.SUPPORTED,
    }


@pytest.mark.parametrize("row", [row for row in EXACT if row not in CONSISTENT])
def test_wrong_closed_forms_are_not_proved(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, sabotage = EXACT[row]
    sabotage(monkeypatch)

    assert not verify_exact(PROBLEMS[name]).verdict.holds


# The path kernels are a theorem of their own (D8): problem, what is done to them.
KERNELS: dict[str, tuple[str, Saboteur]] = {
    "doubled": ("short line", spoiled_primitive("kernel", lambda v, _: 2 * v)),
    "of the wrong sign": ("product", spoiled_primitive("kernel", lambda v, _: -v)),
    "shifted": ("short line", spoiled_primitive("kernel", lambda v, _: v + _SMALL)),
    "drifting": ("product", spoiled_primitive("kernel", drifting)),
    "dropped": ("logit", spoiled_primitive("kernel", lambda _, __: sp.Integer(0))),
    "without an antiderivative": ("short line", spoiled_primitive("kernel", lambda _, __: None)),
    "along another flow": ("short line", first_weight(lambda w, s: w + _SMALL * s)),
}


@pytest.mark.parametrize("name", sorted({name for name, _ in KERNELS.values()}))
def test_sound_path_kernels_are_proved(name: str) -> None:
    assert verify_kernels(PROBLEMS[name]).verdict is Verdict.PROVED


@pytest.mark.parametrize("row", KERNELS)
def test_wrong_path_kernels_are_not_proved(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, sabotage = KERNELS[row]
    sabotage(monkeypatch)

    assert not verify_kernels(PROBLEMS[name]).verdict.holds


@pytest.mark.parametrize("row", sorted(CONSISTENT))
def test_a_route_that_is_wrong_all_through_disagrees_with_the_other(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, sabotage = EXACT[row]
    sabotage(monkeypatch)

    run = check_problem("problem", PROBLEMS[name], digits=DIGITS, routes=("exact", "precise"))

    assert run.verdicts["T1"] is Verdict.INCONCLUSIVE
    assert run.evidence[0].message.startswith("routes disagree: ")
    assert Run((run,)).exit_code == 3


def test_there_are_more_wrong_rows_than_sound_ones() -> None:
    sound = {(claim, name) for claim, name, _ in PRECISE.values()} | {("exact", name) for name, _ in EXACT.values()}

    assert len(PRECISE) + len(EXACT) >= 50
    assert len(PRECISE) + len(EXACT) > len(sound)
