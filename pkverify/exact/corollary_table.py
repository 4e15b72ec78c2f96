"""Identities beside the proof's own steps: the theorem in one row, its kernel's properties, and two special cases."""

from __future__ import annotations

from typing import Any

import sympy as sp

from pkverify.exact.generic_model import OUTPUT, PAST, TIME, GenericModel
from pkverify.exact.identity import divided
from pkverify.exact.proof_check import Step
from pkverify.exact.proof_table import ZERO, change, for_examples, for_outputs, from_start, single, weighted_sum

Expr = Any
Sides = tuple[Expr, ...]


def theorem_right(m: GenericModel, c: int) -> Expr:
    """Minus the sum over examples of the integral of l'_i grad f(x) . grad f(x_i), nothing named."""
    return -sp.Add(
        *(from_start(lambda s, i=i, e=e: m.loss_derivative(i, e, s) * m.kernel_formula(i, c, e, s)) for i, e in m.pairs)
    )


def gram(m: GenericModel, a: int, b: int, time: Expr) -> Expr:
    """Tangent kernel between examples ``a`` and ``b``, for one output."""
    left, right = (m.gradient(m.example(i, time)[0], time) for i in (a, b))
    return sp.Add(*(p * q for p, q in zip(left, right, strict=True)))


def gram_entries(m: GenericModel, *, transposed: bool = False) -> Sides:
    """The Gram matrix of the tangent kernel on the examples, row by row."""
    places = range(m.examples)
    return tuple(gram(m, b, a, TIME) if transposed else gram(m, a, b, TIME) for a in places for b in places)


def path_gram_entries(m: GenericModel, *, transposed: bool = False) -> Sides:
    """The Gram matrix of the path kernel on the examples, row by row."""
    places = range(m.examples)
    pairs = [(b, a) if transposed else (a, b) for a in places for b in places]
    return tuple(from_start(lambda s, a=a, b=b: gram(m, a, b, s)) for a, b in pairs)


def squared_gradient(m: GenericModel, i: int, time: Expr) -> Expr:
    """Squared length of the gradient at an example."""
    return sp.Add(*(slope**2 for slope in m.gradient(m.example(i, time)[0], time)))


def quadratic_form(m: GenericModel, time: Expr) -> Expr:
    """Sum over pairs of examples of v_a v_b times tangent kernel."""
    v = _vector(m)
    return sp.Add(*(v[a] * v[b] * gram(m, a, b, time) for a in range(m.examples) for b in range(m.examples)))


def path_quadratic_form(m: GenericModel) -> Expr:
    """Sum over pairs of examples of v_a v_b times path kernel."""
    v = _vector(m)
    pairs = [(a, b) for a in range(m.examples) for b in range(m.examples)]
    return sp.Add(*(v[a] * v[b] * from_start(lambda s, a=a, b=b: gram(m, a, b, s)) for a, b in pairs))


def combined_gradient_squared(m: GenericModel, time: Expr) -> Expr:
    """Squared length of the sum of v_i grad f(x_i): a sum of squares over the parameters."""
    v = _vector(m)
    gradients = [m.gradient(m.example(i, time)[0], time) for i in range(m.examples)]
    return sp.Add(*(sp.Add(*(v[i] * g[j] for i, g in enumerate(gradients))) ** 2 for j in range(m.params)))


def sum_of_kernels(m: GenericModel) -> Expr:
    """Sum over examples of path kernels."""
    return sp.Add(*(m.path_kernel(i, 0, 0, TIME) for i in range(m.examples)))


def time_by_output(m: GenericModel) -> Expr:
    """Integral of du/(-l'(u)) over the outputs between y(0) and y(T)."""
    slope = sp.Derivative(sp.Function("l1")(OUTPUT), OUTPUT)
    return -sp.Integral(divided(sp.Integer(1), slope), (OUTPUT, m.query(ZERO)[0], m.query(TIME)[0]))


def single_slope(m: GenericModel) -> Sides:
    """The loss derivative that the single-example law divides by."""
    return (m.loss_derivative(0, 0, TIME),)


def _vector(m: GenericModel) -> tuple[Expr, ...]:
    return sp.symbols(f"v1:{m.examples + 1}")


WHOLE = (
    Step(
        "output change is minus the summed integrals",
        for_outputs(change),
        for_outputs(theorem_right),
        along_flow=True,
        integrated=True,
    ),
)

INITIAL = (
    Step(
        "at horizon 0 the sum is empty and the model is b",
        for_outputs(lambda m, c: m.query(ZERO)[c]),
        for_outputs(
            lambda m, c: (
                m.offset(c, ZERO)
                - sp.Add(
                    *(
                        sp.Integral(m.loss_derivative(i, e, PAST) * m.tangent(i, c, e, PAST), (PAST, ZERO, ZERO))
                        for i, e in m.pairs
                    )
                )
            )
        ),
        unfolds="b",
    ),
)

DEFINITION_1 = (
    Step("tangent kernel is symmetric", gram_entries, lambda m: gram_entries(m, transposed=True)),
    Step(
        "on the diagonal it is the squared gradient",
        for_examples(lambda m, i: gram(m, i, i, TIME)),
        for_examples(lambda m, i: squared_gradient(m, i, TIME)),
    ),
)

DEFINITION_2 = (
    Step(
        "path kernel is symmetric", path_gram_entries, lambda m: path_gram_entries(m, transposed=True), integrated=True
    ),
    Step(
        "on the diagonal it is the integral of the squared gradient",
        for_examples(lambda m, i: from_start(lambda s: gram(m, i, i, s))),
        for_examples(lambda m, i: from_start(lambda s: squared_gradient(m, i, s))),
        integrated=True,
    ),
)

SEMIDEFINITE = (
    Step(
        "quadratic form of the tangent kernel is a sum of squares",
        single(lambda m: quadratic_form(m, TIME)),
        single(lambda m: combined_gradient_squared(m, TIME)),
    ),
    Step(
        "quadratic form of the path kernel is the integral of that sum of squares",
        single(path_quadratic_form),
        single(lambda m: from_start(lambda s: combined_gradient_squared(m, s))),
        integrated=True,
    ),
)

LOG_PROBABILITY = (
    Step(
        "output change is the sum of path kernels",
        for_outputs(change),
        single(sum_of_kernels),
        unfolds="kK",
        along_flow=True,
        integrated=True,
    ),
    Step(
        "weighted integral is minus the path kernel, so that a_i = 1 serves",
        for_examples(lambda m, i: m.weighted(i, 0, TIME)),
        for_examples(lambda m, i: -m.path_kernel(i, 0, 0, TIME)),
        unfolds="NK",
        integrated=True,
    ),
)

SINGLE_EXAMPLE = (
    Step(
        "output rate is -l' times tangent kernel",
        single(lambda m: sp.Derivative(m.query(TIME)[0], TIME)),
        single(lambda m: -m.loss_derivative(0, 0, TIME) * m.tangent(0, 0, 0, TIME)),
        unfolds="gk",
        along_flow=True,
    ),
    Step(
        "path kernel is the integral of dy/(-l'(y))",
        single(lambda m: m.path_kernel(0, 0, 0, TIME)),
        single(time_by_output),
        unfolds="kK",
        along_flow=True,
        integrated=True,
        divisors=single_slope,
    ),
    Step(
        "output change is minus the weighted integral",
        for_outputs(change),
        for_outputs(weighted_sum),
        unfolds="kN",
        along_flow=True,
        integrated=True,
    ),
)
