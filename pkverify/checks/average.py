"""T1c: where K_t keeps its sign along the path (H4), a_i is an average of -L'_i and lies in its range."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from pkverify.checks.context import Context
from pkverify.checks.identity import not_applicable
from pkverify.evidence import Evidence, HypothesisEvidence, Verdict
from pkverify.precise.route import kernel_weight

TOLERANCE = 1e-9  # of the range test, relative to max(1, |a_i|): the samples are doubles
_REFINEMENTS = 60


def check_average(context: Context) -> Iterator[Evidence]:
    """For every asked query and example: the sign of K_t at the sample times, then a_i against the range of -L'_i."""
    if len(context.outputs) > 1:
        yield not_applicable("T1c", "with several outputs the weight is a vector, and the claim speaks of a number")
        return
    changing, outside, inside = list[str](), list[str](), 0
    for q in context.asked:
        for i in range(len(context.problem.data)):
            weight = kernel_weight(context.solution, q, i)
            if isinstance(weight, str):
                continue
            samples = [at_time[q][i] for at_time in context.tangent_kernels]
            noise = 1e-12 * max(map(abs, samples))
            if min(samples) < -noise and max(samples) > noise:
                changing.append(f"query {q + 1}, example {i + 1}")
            elif _in_range(context, i, float(weight[0])):
                inside += 1
            else:
                outside.append(f"query {q + 1}, example {i + 1}: a = {float(weight[0]):.12g}")
    sign = HypothesisEvidence(
        "H4",
        Verdict.SUPPORTED,
        f"K_t keeps its sign at {len(context.times)} times for {inside + len(outside)} pairs"
        + (f", and takes both signs for {len(changing)}, where nothing is claimed" if changing else ""),
    )
    if not inside and not outside:
        why = f"K_t takes both signs on the path ({changing[0]})" if changing else "no a_i exists"
        yield Evidence("T1c", Verdict.NOT_APPLICABLE, "sampling", (sign,), route="precise", message=why)
        return
    yield Evidence(
        "T1c",
        Verdict.INCONCLUSIVE if outside else Verdict.SUPPORTED,
        "sampling",
        (*context.flow_hypotheses(), sign),
        tolerance=f"{TOLERANCE:.0e}",
        route="precise",
        message=f"outside the sampled range: {'; '.join(outside[:3])}"
        if outside
        else f"{inside} weights lie in the range of -L'_i",
    )


def _in_range(context: Context, example: int, weight: float) -> bool:
    """Whether a weight lies in the range of -L'_i, which is looked at more closely where the samples leave it out."""
    values = [-at_time[example][0] for at_time in context.loss_derivatives]
    slack = TOLERANCE * max(1.0, abs(weight))
    if min(values) - slack <= weight <= max(values) + slack:
        return True
    side = 1.0 if weight > max(values) else -1.0
    peak = max(range(len(values)), key=lambda k: side * values[k])
    low, high = context.times[max(peak - 1, 0)], context.times[min(peak + 1, len(values) - 1)]
    best = side * values[peak]
    for _ in range(_REFINEMENTS):  # golden section, on the neighbours of the extreme sample
        third = (high - low) * Fraction(382, 1000)
        left, right = (side * -context.loss_derivatives_at(t)[example][0] for t in (low + third, high - third))
        best = max(best, left, right)
        low, high = (low + third, high) if left < right else (low, high - third)
        low, high = low.limit_denominator(10**12), high.limit_denominator(10**12)
    return side * weight <= best + slack
