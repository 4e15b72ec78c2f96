"""E3a, E8, E9: what needs roots, exponentials and logarithms, in ball arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from pkverify.arithmetic.ball import (
    Ball,
    BallAlgebra,
    ball_text,
    divided,
    endpoints,
    is_positive,
    real,
    working_precision,
)
from pkverify.checks.paper.algebras import gradients, outputs
from pkverify.checks.paper.beyond_steps import SEGMENTS, STEPS
from pkverify.checks.paper.finding import Audit, Finding
from pkverify.checks.paper.outcomes import digits, enclosed, generic, holds, unsettled
from pkverify.checks.paper.training import Setting, Vector
from pkverify.evidence import Evidence, HypothesisEvidence, Verdict
from pkverify.exact.paper_beyond import squares_bound_products
from pkverify.expression import parse_expression
from pkverify.losses import Loss
from pkverify.models import ExpressionModel
from pkverify.precise.route import solve_precise
from pkverify.problem import Dataset, Problem
from pkverify.rational import decimal_text

BITS = 400
TOLERANCE = Fraction(1, 10**50)
_BOLTE_PAUWELS = "the chain rule of conservative fields (Bolte and Pauwels 2019, arXiv:1909.10300)"


@dataclass(frozen=True)
class AdamData:
    """A setting and the constants of AdamW.

    Attributes:
        setting: Model and data.
        rate: The learning rate.
        first: Of the running mean of the gradient.
        second: Of the running mean of its squares.
        offset: What is added to the root.
        decay: Decoupled weight decay; 0 for Adam.
        count: The number of steps.
    """

    setting: Setting
    rate: Fraction
    first: Fraction
    second: Fraction
    offset: Fraction
    decay: Fraction
    count: int


ADAM = AdamData(
    STEPS.setting, Fraction(1, 10), Fraction(9, 10), Fraction(99, 100), Fraction(1, 10**8), Fraction(1, 20), 5
)


def audit_adam(data: AdamData = ADAM) -> Finding:
    """E3a: five steps of AdamW by its recursion, and the sum of the claim by its formula."""
    with working_precision(BITS):
        residual = adam_residual(data)
        low, high = endpoints(residual)
        size = max(abs(low), abs(high))
        if not low <= 0 <= high or size > TOLERANCE:
            return unsettled("E3a", f"the residual is {ball_text(residual, 10)}")
        steps = f"{data.count} steps of AdamW with decay {data.decay}"
        message = f"{steps}: the residual's ball contains 0. In general: {SEGMENTS}"
        return holds("E3a", enclosed("E3a", message, f"|residual| <= {decimal_text(size, 2)}"))


def adam_residual(data: AdamData, *, bias_power: int = 1) -> Ball:
    """The change of the prediction minus the sum of the claim, with ``1 - beta_1^(s + bias_power)`` in the latter."""
    setting, algebra = data.setting, BallAlgebra()
    first, second, rate = real(data.first), real(data.second), real(data.rate)
    path = [[real(w) for w in setting.initial]]
    mean, square = [real(0)] * len(path[0]), [real(0)] * len(path[0])
    scales: list[list[Ball]] = []
    pulls: list[list[list[Ball]]] = []
    for s in range(data.count):
        w = path[-1]
        pulls.append([_pull(setting, w, i) for i in range(len(setting.inputs))])
        slope = [sum(column, real(0)) for column in zip(*pulls[-1], strict=True)]
        mean = [first * m + (1 - first) * g for m, g in zip(mean, slope, strict=True)]
        square = [second * v + (1 - second) * g * g for v, g in zip(square, slope, strict=True)]
        unbiased = [divided(v, real(1 - data.second ** (s + 1))) for v in square]
        scales.append([divided(real(1), algebra.call("sqrt", v) + real(data.offset)) for v in unbiased])
        start = real(1 - data.first ** (s + 1))
        move = [-rate * divided(m, start) * p for m, p in zip(mean, scales[-1], strict=True)]
        path.append([v + m - rate * real(data.decay) * v for v, m in zip(w, move, strict=True)])
    averages = [_average(setting, *ends) for ends in pairwise(path)]
    total = real(0)
    for r in range(data.count):
        for s in range(r, data.count):
            weight = real((1 - data.first) * data.first ** (s - r) / (1 - data.first ** (s + bias_power)))
            for pull in pulls[r]:
                total -= rate * weight * _dot([a * p for a, p in zip(averages[s], scales[s], strict=True)], pull)
    for s in range(data.count):
        total -= rate * real(data.decay) * _dot(averages[s], path[s])
    ends = [outputs(setting.model, algebra, w, [real(setting.query)])[0] for w in (path[-1], path[0])]
    return ends[0] - ends[1] - total


@dataclass(frozen=True)
class KinkData:
    """``relu(w + x)`` trained on one input whose unit is active all the time; the query's becomes active on the way.

    Attributes:
        target: Of the input 0.
        initial: The parameter at the start.
        query: The query, with ``initial + query < 0``.
        horizon: End of the flow.
        rate: Learning rate of the steps.
        count: Their number.
    """

    target: Fraction
    initial: Fraction
    query: Fraction
    horizon: Fraction
    rate: Fraction
    count: int


KINK = KinkData(Fraction(2), Fraction(1, 2), Fraction(-1), Fraction(2), Fraction(3, 4), 3)


def audit_kinks(data: KinkData = KINK) -> Finding:
    """E8 on one unit: its flow by closed form against the route that splits at kinks, its steps over the rationals."""
    in_steps, naive = kink_in_steps(data)
    with working_precision(BITS):
        kernel, contribution, moved = kink_flow(data)
        identity = contribution - moved
        solution = solve_precise(kink_problem(data), 40)
        gaps = [
            abs(solution.path_kernels[0][0][0][0] - endpoints(kernel)[0]),
            abs(solution.contributions[0][0][0] - endpoints(contribution)[0]),
            abs(solution.final_outputs[0][0] - endpoints(moved)[0]),
        ]
        low, high = endpoints(identity)
        tolerance = Fraction(1, 10**38)
        if in_steps != 0 or not low <= 0 <= high or max(gaps) > tolerance or naive == 0:
            text = f"steps miss {in_steps}, flow {ball_text(identity, 8)}, routes {decimal_text(max(gaps), 3)}"
            return unsettled("E8", text)
        numbers = f"K = {digits(kernel)}, a = {digits(divided(moved, kernel))}, y_T = {digits(moved)}"
        message = (
            f"relu(w + x), query {data.query}: {numbers}, by closed form and by the route that splits at kinks; "
            f"{data.count} steps of {data.rate} split at the kink: residual 0, unsplit left ends miss {naive}"
        )
        cited = HypothesisEvidence("cited", Verdict.NOT_CHECKABLE, _BOLTE_PAUWELS)
        return holds("E8", Evidence(
            "E8", Verdict.SUPPORTED, "ball", (cited,), residual=decimal_text(max(gaps), 3),
            tolerance=decimal_text(tolerance, 2), message=message,
        ))  # fmt: skip


def kink_flow(data: KinkData) -> tuple[Ball, Ball, Ball]:
    """Path kernel, contribution and change at the query, by closed form: ``w = target - (target - w_0) exp(-t)``."""
    algebra = BallAlgebra()
    gap = real(data.target - data.initial)
    start = algebra.call("log", divided(gap, real(data.target + data.query)))
    fade = algebra.call("exp", -real(data.horizon))
    kernel = real(data.horizon) - start
    contribution = gap * (algebra.call("exp", -start) - fade)
    moved = algebra.call("relu", real(data.target) - gap * fade + real(data.query))
    return kernel, contribution, moved


def kink_problem(data: KinkData) -> Problem:
    """The same as a problem."""
    model = ExpressionModel(("w",), ("x",), (parse_expression("relu(w + x)", ["w", "x"]),))
    examples = Dataset(((Fraction(0),),), ((data.target,),))
    return Problem(model, Loss("squared"), examples, (data.initial,), data.horizon, ((data.query,),))


def kink_in_steps(data: KinkData) -> tuple[Fraction, Fraction]:
    """What E1 misses when each step is split at the query's kink, and when the gradient at its left end is taken."""
    w, split, naive = data.initial, Fraction(0), Fraction(0)
    for _ in range(data.count):
        step = data.rate * (data.target - w)
        active = max(Fraction(0), min(Fraction(1), (w + step + data.query) / step))  # part of the step beyond the kink
        split += active * step
        naive += int(w + data.query > 0) * step
        w += step
    moved = max(w + data.query, Fraction(0)) - max(data.initial + data.query, Fraction(0))
    return moved - split, moved - naive


@dataclass(frozen=True)
class BoundData:
    """``f = w + x w^2`` trained at x = 0 from w = 0 to 1: ``w = 1 - exp(-t)``.

    Attributes:
        horizon: End of the flow.
        queries: Where the bound is looked at.
        mixtures: Coefficients of the queries in a combination, for the bound of the norm.
    """

    horizon: Fraction
    queries: Vector
    mixtures: tuple[Vector, ...]


BOUND = BoundData(
    Fraction(1),
    (Fraction(-27, 20), Fraction(-3), Fraction(2), Fraction(1, 2)),
    (
        (Fraction(1), Fraction(0), Fraction(0), Fraction(0)),
        (Fraction(1), Fraction(-2), Fraction(3), Fraction(1)),
        (Fraction(-1), Fraction(1), Fraction(1, 2), Fraction(4)),
    ),
)


def audit_bound(data: BoundData = BOUND) -> Finding:
    """E9: Cauchy-Schwarz on the path, and on combinations of predictions, with the gap enclosed away from 0."""
    if not squares_bound_products():
        return unsettled("E9", "Lagrange's identity was not decided")
    with working_precision(BITS):
        gaps = [bound_gap(data, mixture) for mixture in (*_units(len(data.queries)), *data.mixtures)]
        if not all(is_positive(gap) for gap in gaps):
            return unsettled("E9", f"a bound is not separated: {', '.join(ball_text(gap, 8) for gap in gaps)}")
        smallest = min(endpoints(gap)[0] for gap in gaps)
    cited = "Cauchy and Schwarz: Lagrange's identity for sums, carried to integrals"
    message = (
        f"y_T - y_0 = int grad f . w' dt, and |w'|^2 = -dL/dt; f = w + x w^2 at {len(gaps)} queries and combinations: "
        f"every gap in the bound is at least {decimal_text(smallest, 5)}"
    )
    return holds("E9", generic("E9", "P3", message, cited))


def bound_gap(data: BoundData, mixture: Sequence[Fraction]) -> Ball:
    """``c^T K c (L_0 - L_T) - (c . (y_T - y_0))^2``, from closed forms."""
    algebra = BallAlgebra()
    fade = algebra.call("exp", -real(data.horizon))
    moved = real(0)
    kernel = real(0)
    # K(x, x') = int (1 + 2xw)(1 + 2x'w) dt, with the integrals of 1, w and w^2 over the path.
    first = real(data.horizon) - 1 + fade
    second = real(data.horizon) - 2 * (1 - fade) + (1 - fade * fade) / 2
    for c, x in zip(mixture, data.queries, strict=True):
        moved += real(c) * ((1 - fade) + real(x) * (1 - fade) * (1 - fade))
        for d, z in zip(mixture, data.queries, strict=True):
            kernel += real(c * d) * (real(data.horizon) + real(2 * (x + z)) * first + real(4 * x * z) * second)
    return kernel * (1 - fade * fade) / 2 - moved * moved


def _units(size: int) -> list[Vector]:
    return [tuple(Fraction(int(i == j)) for j in range(size)) for i in range(size)]


def _pull(setting: Setting, params: Sequence[Ball], example: int) -> list[Ball]:
    algebra, inputs = BallAlgebra(), [real(setting.inputs[example])]
    slope = outputs(setting.model, algebra, params, inputs)[0] - real(setting.targets[example])
    return [slope * g for g in gradients(setting.model, algebra, params, inputs)[0]]


def _average(setting: Setting, start: Sequence[Ball], end: Sequence[Ball]) -> list[Ball]:
    """The gradient at the query averaged over a segment by Simpson's rule: exact for degree 3, and here it is 2."""
    algebra, inputs = BallAlgebra(), [real(setting.query)]
    middle = [(a + b) / 2 for a, b in zip(start, end, strict=True)]
    left, centre, right = (gradients(setting.model, algebra, w, inputs)[0] for w in (start, middle, end))
    return [(a + 4 * b + c) / 6 for a, b, c in zip(left, centre, right, strict=True)]


def _dot(left: Sequence[Ball], right: Sequence[Ball]) -> Ball:
    return sum((a * b for a, b in zip(left, right, strict=True)), real(0))


AUDITS: Mapping[str, Audit] = {"E3a": audit_adam, "E8": audit_kinks, "E9": audit_bound}
