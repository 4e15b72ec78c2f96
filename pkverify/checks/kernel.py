"""D6b, D7, D8, SE: the path kernel is semidefinite, symmetric, an integral, and obeys the single-example law."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from pkverify.arithmetic.fixed_point import DomainError, FixedPoint
from pkverify.arithmetic.quadrature import integrate
from pkverify.checks.context import Context
from pkverify.checks.identity import not_applicable
from pkverify.evidence import Evidence, Verdict
from pkverify.expression import parse_expression
from pkverify.graph import compile_problem
from pkverify.models import ExpressionModel
from pkverify.precise.solution import values_at
from pkverify.precise.system import AugmentedSystem
from pkverify.problem import Dataset, Problem
from pkverify.rational import decimal_text

EIGENVALUE_TOLERANCE = 1e-12  # relative to the trace: eigenvalues are taken in doubles


def check_semidefinite(context: Context) -> Iterator[Evidence]:
    """D6b: the Gram matrix of the path kernel on the training inputs has no negative eigenvalue."""
    gram = _gram(context)
    smallest, trace = float(np.linalg.eigvalsh((gram + gram.T) / 2)[0]), float(np.trace(gram))
    tolerance = EIGENVALUE_TOLERANCE * max(trace, 1.0)
    holds = smallest >= -tolerance
    yield Evidence(
        "D6b", Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE, "eigenvalues", context.flow_hypotheses(),
        residual=f"{min(smallest, 0.0):.2e}", tolerance=f"{tolerance:.1e}", route="precise",
        message=f"smallest eigenvalue {smallest:.3e} of the {len(gram)} x {len(gram)} Gram matrix",
    )  # fmt: skip


def check_symmetric(context: Context) -> Iterator[Evidence]:
    """D7: K(x, x') = K(x', x); the two are integrated apart, with the roles of the factors swapped."""
    kernels, worst = context.solution.path_kernels, Fraction(0)
    places = [(context.query_of(i), i) for i in range(len(context.problem.data))]
    known = [(q, i) for q, i in places if q is not None]
    for q, i in known:
        for other, j in known:
            for a in context.outputs:
                for b in context.outputs:
                    left, right = kernels[q][j][a][b], kernels[other][i][b][a]
                    worst = max(worst, abs(left - right) / max(Fraction(1), abs(left)))
    holds = worst <= context.tolerance
    yield Evidence(
        "D7", Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE, "mpmath", residual=decimal_text(worst, 3),
        tolerance=decimal_text(context.tolerance, 3), route="precise",
        message=f"on {len(known)} training inputs" if holds else "the kernel is not symmetric to the asked digits",
    )  # fmt: skip


def check_path_integral(context: Context) -> Iterator[Evidence]:
    """D8: the path kernel is the time integral of the tangent kernel, by Gauss quadrature along the path."""
    # Along the right path, too: over another time the integrals would agree as well.
    gaps = [gap for gap in context.gaps if gap.name in {"path", "integrals"}]
    gap = max(gaps, key=lambda gap: gap.value / gap.tolerance)
    yield Evidence(
        "D8", Verdict.SUPPORTED if gap.closed else Verdict.INCONCLUSIVE, "quadrature", context.flow_hypotheses(),
        residual=decimal_text(gap.value, 3), tolerance=decimal_text(gap.tolerance, 3), route="precise",
        message="; ".join(["Gauss quadrature of K_t along the path", *(g.note for g in gaps if g.note)])
        if gap.closed
        else f"a second route to the {gap.name} differs",
    )  # fmt: skip


def check_single_example(context: Context) -> Iterator[Evidence]:
    """SE: with one example and x = x_1, K(x_1, x_1) is the integral of dy / (-L'(y)) from y_0 to y_T, for any model."""
    problem, q = context.problem, context.query_of(0)
    if len(problem.data) != 1 or len(context.outputs) != 1 or problem.regularizer is not None or q is None:
        yield not_applicable("SE", "the law is for one example, one output and no regulariser")
        return
    start, end = context.solution.initial_outputs[q][0], context.solution.final_outputs[q][0]
    if start == end:
        yield not_applicable("SE", "the output at the example does not move, so L' or K_t vanishes there")
        return
    slope = _loss_derivative(problem, context.digits)
    digits = context.digits + 5
    try:
        value, _ = integrate(lambda y: -1 / slope(y), start, end, digits)
    except (DomainError, ZeroDivisionError):
        yield not_applicable("SE", "L' vanishes between y_0 and y_T")
        return
    kernel = context.solution.path_kernels[q][0][0][0]
    residual = abs(value - kernel) / max(Fraction(1), abs(kernel))
    holds = residual <= context.tolerance * 10
    yield Evidence(
        "SE", Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE, "quadrature", context.flow_hypotheses(),
        residual=decimal_text(residual, 3), tolerance=decimal_text(context.tolerance * 10, 3), route="precise",
        message="K(x_1, x_1) from the loss alone, without the model" if holds else "the two values disagree",
    )  # fmt: skip


def _gram(context: Context) -> np.ndarray:
    """The path kernel among the training inputs, as blocks of C x C, in doubles."""
    kernels = context.solution.path_kernels
    known = [(q, i) for i in range(len(context.problem.data)) if (q := context.query_of(i)) is not None]
    return np.block(
        [[np.array([[float(v) for v in row] for row in kernels[q][j]]) for _, j in known] for q, _ in known]
    )


def _loss_derivative(problem: Problem, digits: int) -> Callable[[Fraction], Fraction]:
    """L' of the only example as a function of the output, from a problem whose model is its own parameter."""
    identity = ExpressionModel(("y",), ("unused",), (parse_expression("y", ["y"]),))
    zero = (Fraction(0),)
    bare = Problem(identity, problem.loss, Dataset((zero,), problem.data.targets), zero, Fraction(1))
    system = AugmentedSystem(bare, compile_problem(bare), FixedPoint(int(digits * 3.33) + 80), (zero,))
    numbers, node = system.numbers, system.compiled.loss_derivatives[0]

    def slope(y: Fraction) -> Fraction:
        return numbers.fraction(values_at(system, [numbers.number(y)], 0, [node])[0])

    return slope
