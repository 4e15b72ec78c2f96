"""T1b: gradient descent tends to the flow's value, with an error of order one in the learning rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from math import inf, isfinite, log2

from pkverify.arithmetic.fixed_point import DomainError, FixedPoint
from pkverify.checks.context import Context
from pkverify.evidence import Evidence, HypothesisEvidence, Verdict
from pkverify.graph import compile_problem
from pkverify.precise.solution import gradient_at, values_at
from pkverify.precise.system import AugmentedSystem

SLOPE_TOLERANCE = 0.05
_BITS = 80
_BUDGET = 60_000  # gradients of single examples
_EXACT = 1e-20  # errors below this are rounding: descent is exact here
_VISIBLE = Fraction(1, 10**15)  # an output that moves by less would let descent pass whatever it does
_FIRST_STEPS = 16


def check_descent(context: Context) -> Iterator[Evidence]:
    """Halve the learning rate at a fixed horizon until the observed order settles at 1 (H5)."""
    if context.solution.path.kinks:
        yield Evidence(
            "T1b", Verdict.NOT_APPLICABLE, "descent", route="precise",
            hypotheses=(HypothesisEvidence("H1", Verdict.SUPPORTED, "the gradient jumps at the kinks on the path"),),
            message="H1 fails: the gradient jumps at a kink on the path",
        )  # fmt: skip
        return
    moved = max(
        abs(a - b) for a, b in zip(context.solution.initial_outputs[0], context.solution.final_outputs[0], strict=True)
    )
    if 0 < moved < _VISIBLE:
        why = f"the output at the first query moves by {float(moved):.1e} only: descent in {_BITS} bits cannot show it"
        yield Evidence("T1b", Verdict.INCONCLUSIVE, "descent", route="precise", message=why)
        return
    # From the problem as it stands, not from the solution: descent is to find another limit if that one is wrong.
    system = AugmentedSystem(context.problem, compile_problem(context.problem), FixedPoint(_BITS), context.queries[:1])
    target = [float(v) for v in context.solution.final_outputs[0]]
    errors: list[float] = []
    steps, spent = _FIRST_STEPS, 0
    while spent + steps * system.example_count <= _BUDGET:
        spent += steps * system.example_count
        errors.append(_descent_error(system, context.problem.horizon / steps, steps, target))
        steps *= 2
        if len(errors) >= 2 and max(errors[-2:]) < _EXACT:
            break
        if len(errors) >= 4 and _slope_error(errors) <= SLOPE_TOLERANCE / 2:
            break
    hypotheses = (
        *context.flow_hypotheses(),
        HypothesisEvidence("H1", Verdict.SUPPORTED, "made of analytic functions"),
        HypothesisEvidence("H5", Verdict.PROVED, f"horizon {context.problem.horizon}, the number of steps doubles"),
    )
    if len(errors) >= 2 and max(errors[-2:]) < _EXACT:
        message, residual, holds = "descent reproduces the flow at every learning rate tried", f"{errors[-1]:.1e}", True
    else:
        settled = len(errors) >= 4
        distance = _slope_error(errors) if settled else float("inf")
        holds = distance <= SLOPE_TOLERANCE
        residual = f"{distance:.2e}" if settled else None
        message = (
            f"observed order {_orders(errors)[-1]:.4f} at {steps // 2} steps"
            if settled
            else "too few runs within the budget"
        )
        message = message if holds else f"{message}: not settled within the budget; a shorter horizon would decide"
    yield Evidence(
        "T1b", Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE, "descent", hypotheses, residual=residual,
        tolerance=f"|order - 1| <= {SLOPE_TOLERANCE}", route="precise", message=message,
    )  # fmt: skip


def _descent_error(system: AugmentedSystem, learning_rate: Fraction, steps: int, target: Sequence[float]) -> float:
    """The distance of descent's output at the first query from the flow's; infinite where descent leaves the domain."""
    numbers = system.numbers
    rate = numbers.number(learning_rate)
    state = [numbers.number(v) for v in system.problem.initial]
    try:
        for _ in range(steps):
            total = [numbers.zero] * len(state)
            for row in range(system.example_count):
                total = [
                    t + g
                    for t, g in zip(total, gradient_at(system, state, row, system.rows[row].gradient), strict=True)
                ]
            if system.penalty_row is not None:
                penalty = gradient_at(system, state, system.penalty_row, system.rows[system.penalty_row].gradient)
                total = [t + g for t, g in zip(total, penalty, strict=True)]
            state = [w - numbers.multiply(rate, g) for w, g in zip(state, total, strict=True)]
            if max(abs(w) for w in state) > numbers.one << 200:
                return float("inf")
        outputs = [numbers.to_float(v) for v in values_at(system, state, system.query_rows[0], system.compiled.outputs)]
    except (DomainError, OverflowError):
        return float("inf")
    return max(abs(a - b) for a, b in zip(outputs, target, strict=True))


def _orders(errors: Sequence[float]) -> list[float]:
    """Observed orders log2(e(h)/e(h/2)), once extrapolated: the plain quotient is itself only first-order accurate."""
    plain = [log2(a / b) if isfinite(a) and b > 0 and a > 0 else inf for a, b in pairwise(errors)]
    return [2 * b - a if isfinite(a) and isfinite(b) else inf for a, b in pairwise(plain)]


def _slope_error(errors: Sequence[float]) -> float:
    """How far the last two observed orders are from 1."""
    return max(abs(order - 1) for order in _orders(errors)[-2:])
