"""T1b, T1c, S9a, E9 on the network route: what the flow says about training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log2

from pkverify.checks.network.identity import flow_hypotheses, not_applicable
from pkverify.evidence import Evidence, HypothesisEvidence, Verdict
from pkverify.network.study import NetworkStudy

SLOPE_TOLERANCE = 0.05
DOUBLINGS = 4
RATE_TOLERANCE = 1e-5  # of a central difference of the loss along the path
SQUARE_TOLERANCE = 1e-10  # |grad L|^2 in two ways
_EXACT = 1e-12


def check_descent(study: NetworkStudy) -> Iterator[Evidence]:
    """T1b: the weights of gradient descent tend to those of the flow, with an error of order one in the rate (H5)."""
    if study.kinks:
        yield not_applicable(
            "T1b", f"the model has kinks ({study.kinks}): the slope 1 is claimed for smooth flows (H1)"
        )
        return
    errors = study.descent_errors(DOUBLINGS)
    orders = observed_orders([error for _, error in errors])
    exact = all(error <= _EXACT for _, error in errors)
    gap = max((abs(order - 1) for order in orders[-2:]), default=0.0)
    holds = exact or gap <= SLOPE_TOLERANCE
    told = ", ".join(f"{order:.3f}" for order in orders)
    yield Evidence(
        "T1b", Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE, "descent",
        (*flow_hypotheses(study), HypothesisEvidence("H5", Verdict.SUPPORTED, "the horizon is fixed")),
        residual=f"{gap:.3e}", tolerance=f"{SLOPE_TOLERANCE}", route="network",
        message="gradient descent is exact here"
        if exact
        else f"learning rates {errors[0][0]:.2g} to {errors[-1][0]:.2g}: "
        f"|w_N - w(T)| from {errors[0][1]:.1e} to {errors[-1][1]:.1e}, orders {told}",
    )  # fmt: skip


def observed_orders(errors: Sequence[float]) -> list[float]:
    """Observed orders, once extrapolated: the plain quotient is itself only accurate to first order.

    Example:
        >>> observed_orders([0.4, 0.2, 0.1])
        [1.0]
    """
    plain = [log2(a / b) if a > 0 and b > 0 else 0.0 for a, b in pairwise(errors)]
    return [2 * b - a for a, b in pairwise(plain)]


def check_average(study: NetworkStudy) -> Iterator[Evidence]:
    """T1c: where K_t keeps its sign (H4), a_i lies in the range of -L'_i; the share of the others that lies outside."""
    if study.problem.model.output_count > 1:
        yield not_applicable("T1c", "with several outputs the weight is a vector, and the claim speaks of a number")
        return
    found = study.averages()
    steady = [a for a in found if a.one_sign]
    outside = [a for a in steady if not a.low - a.slack <= a.weight <= a.high + a.slack]
    free = [a for a in found if not a.one_sign]
    astray = sum(not a.low - a.slack <= a.weight <= a.high + a.slack for a in free)
    sign = HypothesisEvidence(
        "H4", Verdict.SUPPORTED, f"K_t keeps its sign at all samples for {len(steady)} of {len(found)} pairs"
    )
    if not steady:
        yield Evidence(
            "T1c", Verdict.NOT_APPLICABLE, "sampling", (sign,), route="network",
            message="K_t takes both signs for every pair, and nothing is claimed" if found else "no a_i exists",
        )  # fmt: skip
        return
    named = "; ".join(f"query {a.query + 1}, example {a.example + 1}: a = {a.weight:.9g}" for a in outside[:3])
    share = f"; of {len(free)} others {astray} lie outside" if free else ""
    widest = max(a.slack for a in steady)
    yield Evidence(
        "T1c", Verdict.INCONCLUSIVE if outside else Verdict.SUPPORTED, "sampling", (*flow_hypotheses(study), sign),
        tolerance=f"{widest:.1e}", route="network",
        message=f"outside the sampled range: {named}"
        if outside
        else f"{len(steady)} of {len(steady)} weights lie in the range of -L'_i{share}",
    )  # fmt: skip


def check_loss_decreases(study: NetworkStudy) -> Iterator[Evidence]:
    """S9a: dL/dt = -L'^T G L' = -|grad L|^2 along the flow, in three ways, and a loss that falls at every step."""
    rates, losses = study.loss_rates(), study.losses()
    largest = max((abs(r.squared_gradient) for r in rates), default=0.0)
    floor = max(largest, 1e-12)
    slope = max(abs(r.difference - r.squared_gradient) for r in rates) / floor
    square = max(abs(r.gram_form - r.squared_gradient) for r in rates) / floor
    rises = [k for k, (a, b) in enumerate(pairwise(losses)) if not b <= a]
    holds = slope <= RATE_TOLERANCE and square <= SQUARE_TOLERANCE and not rises
    yield Evidence(
        "S9a", Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE, "float64", flow_hypotheses(study),
        residual=f"{slope:.3e}", tolerance=f"{RATE_TOLERANCE}", route="network",
        message=f"dL/dt = -|grad L|^2 at {len(rates)} times, -L'^T G L' to {square:.0e}; "
        f"L falls from {losses[0]:.6g} to {losses[-1]:.6g}, at each of {len(losses) - 1} steps"
        if holds
        else f"dL/dt off by {slope:.1e}, -L'^T G L' off by {square:.1e}, L rises at {len(rises)} steps",
    )  # fmt: skip


def check_norm_bound(study: NetworkStudy) -> Iterator[Evidence]:
    """E9: (y_T - y_0)^2 <= K(x, x) (L_0 - L_T) at every query and output."""
    bounds = study.norm_bounds()
    excess = max(moved - bound for moved, bound in bounds)
    tolerance = 1e-6 * max(bound for _, bound in bounds)
    tightest = max((moved / bound for moved, bound in bounds if bound > 0), default=0.0)
    holds = excess <= tolerance
    yield Evidence(
        "E9", Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE, "float64", flow_hypotheses(study),
        residual=f"{max(excess, 0.0):.3e}", tolerance=f"{tolerance:.1e}", route="network",
        message=f"{len(bounds)} outputs; the nearest takes {tightest:.1%} of its bound"
        if holds
        else f"an output exceeds its bound by {excess:.1e}",
    )  # fmt: skip
