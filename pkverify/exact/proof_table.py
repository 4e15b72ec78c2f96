"""The proof of Theorem 1 as a table of identities, P1 to P12, with the paper's own cut into steps.

Scalar and vector outputs share the rows: with C outputs the tangent kernel between query and example is a C x C matrix,
and dividing by the path kernel becomes multiplying by its inverse, so that the condition K != 0 becomes det K != 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from pkverify.exact.generic_model import PAST, TIME, GenericModel
from pkverify.exact.identity import divided, times
from pkverify.exact.proof_check import Step

Expr = Any
Sides = tuple[Expr, ...]

ZERO = sp.Integer(0)
EPS, RATE, SECOND, LIPSCHITZ, COUNT = sp.symbols("eps S M Lam n")
DATA, LOWER, UPPER, HORIZON = sp.symbols("C low up T")


def from_start(integrand: Callable[[Expr], Expr]) -> Expr:
    """The integral over time, from 0 to t, of an expression built at each time."""
    return sp.Integral(integrand(PAST), (PAST, 0, TIME))


def always(*sides: Expr) -> Callable[[GenericModel], Sides]:
    """A side that is the same for every model."""

    def build(m: GenericModel) -> Sides:
        del m
        return sides

    return build


def for_outputs(build: Callable[[GenericModel, int], Expr]) -> Callable[[GenericModel], Sides]:
    """A side with one component for each output."""
    return lambda m: tuple(build(m, c) for c in range(m.outputs))


def for_examples(build: Callable[[GenericModel, int], Expr]) -> Callable[[GenericModel], Sides]:
    """A side with one component for each example."""
    return lambda m: tuple(build(m, i) for i in range(m.examples))


def for_params(build: Callable[[GenericModel, int], Expr]) -> Callable[[GenericModel], Sides]:
    """A side with one component for each parameter."""
    return lambda m: tuple(build(m, j) for j in range(m.params))


def single(build: Callable[[GenericModel], Expr]) -> Callable[[GenericModel], Sides]:
    """A side with one component."""
    return lambda m: (build(m),)


def determinants(m: GenericModel) -> Sides:
    """Hypothesis H3: what the averaging divides by."""
    return tuple(m.determinant(i, TIME) for i in range(m.examples))


# P3 to P7: the rate of change of the output, rewritten.


def output_rate(m: GenericModel, c: int) -> Expr:
    """Derivative in time of the output at the query."""
    return sp.Derivative(m.query(TIME)[c], TIME)


def chain(m: GenericModel, c: int) -> Expr:
    """Sum over parameters of dy/dw_j dw_j/dt."""
    gradient = m.gradient(m.query(TIME)[c], TIME)
    return sp.Add(*(slope * sp.Derivative(w, TIME) for slope, w in zip(gradient, m.path(TIME), strict=True)))


def descent(m: GenericModel, c: int) -> Expr:
    """Sum over parameters of dy/dw_j (-dL/dw_j)."""
    gradient = m.gradient(m.query(TIME)[c], TIME)
    return sp.Add(*(slope * -m.loss_gradient(j, TIME) for j, slope in enumerate(gradient)))


def examples_inside(m: GenericModel, c: int) -> Expr:
    """Sum over parameters of dy/dw_j (-sum over examples of l'_i dy_i/dw_j)."""
    gradient = m.gradient(m.query(TIME)[c], TIME)
    inner = [
        sp.Add(*(m.loss_derivative(i, e, TIME) * sp.Derivative(m.example(i, TIME)[e], w) for i, e in m.pairs))
        for w in m.path(TIME)
    ]
    return sp.Add(*(slope * -each for slope, each in zip(gradient, inner, strict=True)))


def examples_outside(m: GenericModel, c: int) -> Expr:
    """Minus the sum over examples of l'_i sum over parameters of dy/dw_j dy_i/dw_j."""
    return -sp.Add(*(m.loss_derivative(i, e, TIME) * m.kernel_formula(i, c, e, TIME) for i, e in m.pairs))


def kernel_rate(m: GenericModel, c: int, time: Expr = TIME) -> Expr:
    """Minus the sum over examples of l'_i times tangent kernel."""
    return -sp.Add(*(m.loss_derivative(i, e, time) * m.tangent(i, c, e, time) for i, e in m.pairs))


# P8 to P12: integrated over the path.


def change(m: GenericModel, c: int) -> Expr:
    """y(T) - y(0)."""
    return m.query(TIME)[c] - m.query(ZERO)[c]


def integrated_rate(m: GenericModel, c: int) -> Expr:
    """Minus the integral of the sum over examples of l'_i times tangent kernel."""
    return -from_start(lambda s: -kernel_rate(m, c, s))


def weighted_sum(m: GenericModel, c: int) -> Expr:
    """Minus the sum over examples of the weighted integrals."""
    return -sp.Add(*(m.weighted(i, c, TIME) for i in range(m.examples)))


def multiplied_and_divided(m: GenericModel, c: int) -> Expr:
    """Minus the sum over examples of (N_i / K_i) K_i, with the division left standing."""
    return -sp.Add(*(times(m.average_formula(i, e, TIME), m.path_kernel(i, c, e, TIME)) for i, e in m.pairs))


def averages(m: GenericModel, c: int) -> Expr:
    """Minus the sum over examples of average loss derivative times path kernel, by name."""
    return -sp.Add(*(m.average(i, e, TIME) * m.path_kernel(i, c, e, TIME) for i, e in m.pairs))


def averages_of_integrals(m: GenericModel, c: int) -> Expr:
    """The same with the path kernels written out as integrals."""
    return -sp.Add(*(m.average(i, e, TIME) * from_start(lambda s, i=i, e=e: m.tangent(i, c, e, s)) for i, e in m.pairs))


def kernel_machine(m: GenericModel, c: int) -> Expr:
    """Sum over examples of a_i K_i, plus b."""
    return sp.Add(*(m.weight(i, e, TIME) * m.path_kernel(i, c, e, TIME) for i, e in m.pairs)) + m.offset(c, TIME)


def _local_error(m: GenericModel, j: int) -> Expr:
    return from_start(lambda s: m.loss_gradient(j, ZERO) - m.loss_gradient(j, s))


def _euler_bound(steps: Expr) -> Expr:
    """Bound of the distance between descent and flow, for Lipschitz constants Lam of grad L and M of w'."""
    return divided(EPS * SECOND * ((1 + EPS * LIPSCHITZ) ** steps - 1), 2 * LIPSCHITZ)


P1 = (
    Step(
        "descent step rewritten",
        for_params(
            lambda m, j: divided(
                sp.Add(m.path(TIME)[j] - EPS * m.loss_gradient(j, TIME), -m.path(TIME)[j], evaluate=False), EPS
            )
        ),
        for_params(lambda m, j: -m.loss_gradient(j, TIME)),
        divisors=always(EPS),
    ),
)

# The limit exists by Euler's classical argument, whose exact parts come first: the error made in one step, the bound
# that the steps add up to, and (1 + u)^n <= exp(n u). The other rows give the linear model with its first error.
P2 = (
    Step(
        "flow minus one descent step is the integral of the gradient's change",
        for_params(lambda m, j: m.path(TIME)[j] - (m.path(ZERO)[j] - TIME * m.loss_gradient(j, ZERO))),
        for_params(_local_error),
        along_flow=True,
        integrated=True,
    ),
    Step(
        "the error bound grows by (1 + eps Lam) and eps^2 M/2 a step",
        always(_euler_bound(COUNT + 1)),
        always((1 + EPS * LIPSCHITZ) * _euler_bound(COUNT) + EPS**2 * SECOND / 2),
        divisors=always(LIPSCHITZ),
    ),
    Step(
        "the error bound starts at 0",
        always(_euler_bound(ZERO)),
        always(ZERO),
        divisors=always(LIPSCHITZ),
    ),
    Step(
        "exp(u) - 1 - u is an integral of exp(s) - 1, not negative for u >= 0",
        always(sp.exp(TIME) - 1 - TIME),
        always(from_start(lambda s: sp.exp(s) - 1)),
        integrated=True,
    ),
    Step(
        "linear model: the distance to p = C/S is multiplied by 1 - eps S",
        single(lambda m: m.path(TIME)[0] - EPS * (RATE * m.path(TIME)[0] - DATA) - divided(DATA, RATE)),
        single(lambda m: (1 - EPS * RATE) * (m.path(TIME)[0] - divided(DATA, RATE))),
        divisors=always(RATE),
    ),
    Step(
        "linear model: log(1 - u) = -u - u^2/2 - (integral of s^2/(1 - s))",
        always(sp.log(1 - TIME)),
        always(-TIME - TIME**2 / 2 - from_start(lambda s: s**2 / (1 - s))),
        integrated=True,
        divisors=always(1 - TIME),
    ),
    Step(
        "linear model: (T/eps)(-u - u^2/2) at u = eps S is -S T - eps S^2 T/2",
        always(times(divided(HORIZON, EPS), -EPS * RATE - EPS**2 * RATE**2 / 2)),
        always(-RATE * HORIZON - EPS * RATE**2 * HORIZON / 2),
        divisors=always(EPS),
    ),
)

P3 = (Step("chain rule along the path", for_outputs(output_rate), for_outputs(chain)),)
P4 = (Step("flow substituted", for_outputs(chain), for_outputs(descent), along_flow=True),)
P5 = (Step("loss gradient by the chain rule", for_outputs(descent), for_outputs(examples_inside), unfolds="g"),)
P6 = (Step("finite sums exchanged", for_outputs(examples_inside), for_outputs(examples_outside)),)
P7 = (Step("Definition 1 inserted", for_outputs(examples_outside), for_outputs(kernel_rate), unfolds="k"),)
P8 = (
    Step(
        "integrated over the path",
        for_outputs(change),
        for_outputs(integrated_rate),
        unfolds="k",
        along_flow=True,
        integrated=True,
    ),
)
P9 = (
    Step(
        "sum taken out of the integral",
        for_outputs(integrated_rate),
        for_outputs(weighted_sum),
        unfolds="NK",
        integrated=True,
    ),
    Step(
        "multiplied and divided by the path kernel",
        for_outputs(weighted_sum),
        for_outputs(multiplied_and_divided),
        divisors=determinants,
    ),
)
P10_NAME = (
    Step(
        "average named", for_outputs(multiplied_and_divided), for_outputs(averages), unfolds="A", divisors=determinants
    ),
)
# H4: where the tangent kernel keeps one sign, so do these integrands for bounds low <= l' <= up; dividing by the path
# kernel, which has that sign too, gives low <= average <= up.
P10_BOUNDS = (
    Step(
        "(average - lower bound) times path kernel",
        for_examples(lambda m, i: times(m.average(i, 0, TIME) - LOWER, m.path_kernel(i, 0, 0, TIME))),
        for_examples(lambda m, i: m.weighted(i, 0, TIME) - LOWER * m.path_kernel(i, 0, 0, TIME)),
        unfolds="A",
        divisors=determinants,
    ),
    Step(
        "... is the integral of (l' - lower bound) times tangent kernel",
        for_examples(lambda m, i: m.weighted(i, 0, TIME) - LOWER * m.path_kernel(i, 0, 0, TIME)),
        for_examples(lambda m, i: from_start(lambda s: (m.loss_derivative(i, 0, s) - LOWER) * m.tangent(i, 0, 0, s))),
        unfolds="NK",
        integrated=True,
    ),
    Step(
        "(upper bound - average) times path kernel",
        for_examples(lambda m, i: times(UPPER - m.average(i, 0, TIME), m.path_kernel(i, 0, 0, TIME))),
        for_examples(lambda m, i: UPPER * m.path_kernel(i, 0, 0, TIME) - m.weighted(i, 0, TIME)),
        unfolds="A",
        divisors=determinants,
    ),
    Step(
        "... is the integral of (upper bound - l') times tangent kernel",
        for_examples(lambda m, i: UPPER * m.path_kernel(i, 0, 0, TIME) - m.weighted(i, 0, TIME)),
        for_examples(lambda m, i: from_start(lambda s: (UPPER - m.loss_derivative(i, 0, s)) * m.tangent(i, 0, 0, s))),
        unfolds="NK",
        integrated=True,
    ),
)
P11 = (Step("Definition 2 inserted", for_outputs(averages_of_integrals), for_outputs(averages), unfolds="K"),)
P12 = (
    Step(
        "weights and b named",
        for_outputs(lambda m, c: m.query(ZERO)[c] + averages(m, c)),
        for_outputs(kernel_machine),
        unfolds="ab",
    ),
)
