"""T1, T1a, T1g, T1k, R3d: the identity, its ratio form, its initial term, and the case in which every weight is 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from pkverify.arithmetic.ball import BallAlgebra, endpoints, real_part, working_precision
from pkverify.checks.context import Context
from pkverify.evidence import Evidence, HypothesisEvidence, Verdict
from pkverify.precise.route import kernel_weight
from pkverify.rational import decimal_text


def check_identity(context: Context) -> Iterator[Evidence]:
    """T1: initial output + contributions (+ regularizer term) = final output, at every asked query and output.

    A sum alone would not show two contributions exchanged, or a flow of another loss; so it counts only together with
    the second route to derivatives, path and integrals.
    """
    solution = context.solution
    worst, scale = _worst_residual(context)
    tolerance = context.tolerance * scale
    disagreement = _disagreement(context)
    holds = abs(worst) <= tolerance and not disagreement
    if disagreement:
        message = disagreement
    elif holds:
        closed = max(context.gaps, key=lambda gap: gap.value)
        sizes = f"{len(context.asked)} queries, {len(context.outputs)} outputs"
        notes = "".join(f"; {gap.note}" for gap in context.gaps if gap.note)
        message = f"{sizes}; second route within {decimal_text(closed.value, 2)}{notes}"
    else:
        message = "the residual exceeds the tolerance, and an estimate refutes nothing; ask for more digits"
    yield Evidence(
        claim="T1",
        verdict=Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE,
        method="mpmath",
        route="precise",
        hypotheses=context.flow_hypotheses(),
        residual=decimal_text(worst, 3),
        bound=decimal_text(solution.error_estimate, 1),
        tolerance=decimal_text(tolerance, 3),
        message=message,
    )


def check_vector_output(context: Context) -> Iterator[Evidence]:
    """T1k: the identity with a matrix kernel, for a model with several outputs."""
    if len(context.outputs) == 1:
        yield not_applicable("T1k", "the model has one output")
        return
    size = len(context.outputs)
    for evidence in check_identity(context):
        said = f"with the {size} x {size} matrix kernel" if evidence.verdict.holds else evidence.message
        yield replace(evidence, claim="T1k", message=said)


def check_ratio_form(context: Context) -> Iterator[Evidence]:
    """T1a: sum a_i K(x, x_i) + b = final output, where every a_i exists (H3)."""
    solution, worst = context.solution, Fraction(0)
    unseparated: list[str] = []
    free = 0
    for q in context.asked:
        rebuilt = [a + b for a, b in zip(solution.initial_outputs[q], solution.regularizer_terms[q], strict=True)]
        for i, kernel in enumerate(solution.path_kernels[q]):
            weight = kernel_weight(solution, q, i)
            if isinstance(weight, str):
                if weight.startswith("K = 0 exactly"):
                    free += 1  # then the contribution vanishes with it, and any a_i serves
                else:
                    unseparated.append(f"query {q + 1}, example {i + 1}: {weight}")
                continue
            for c in context.outputs:
                rebuilt[c] += sum((k * a for k, a in zip(kernel[c], weight, strict=True)), Fraction(0))
        if not unseparated:
            for c in context.outputs:
                difference = solution.final_outputs[q][c] - rebuilt[c]
                worst = max(worst, difference / solution.scale(q, c), key=abs)
    failing = HypothesisEvidence("H3", Verdict.SUPPORTED, "; ".join(unseparated[:3]))
    if unseparated:
        yield Evidence(
            "T1a", Verdict.NOT_APPLICABLE, "mpmath", (failing,), route="precise",
            message=f"H3 is not met to {context.digits} digits: {unseparated[0]} ({len(unseparated)} such pairs)",
        )  # fmt: skip
        return
    count = len(context.asked) * len(context.problem.data)
    separated = f"{count - free} of {count} path kernels are separated from 0" + (
        f", {free} vanish exactly" if free else ""
    )
    # Any kernel would do for the sum alone: a wrong one makes wrong weights, and their products are right again.
    disagreement = _disagreement(context)
    holds = abs(worst) <= context.tolerance and not disagreement
    yield Evidence(
        "T1a",
        Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE,
        "mpmath",
        (*context.flow_hypotheses(), HypothesisEvidence("H3", Verdict.SUPPORTED, separated)),
        residual=decimal_text(worst, 3),
        bound=decimal_text(solution.error_estimate, 1),
        tolerance=decimal_text(context.tolerance, 3),
        route="precise",
        message=separated if holds else disagreement or "the residual exceeds the tolerance; ask for more digits",
    )


def check_initial_term(context: Context) -> Iterator[Evidence]:
    """T1g: b(x) is the initial model's output, evaluated apart in ball arithmetic."""
    problem, solution, worst = context.problem, context.solution, Fraction(0)
    with working_precision(int(context.digits * 3.33) + 60):
        algebra = BallAlgebra()
        params = [algebra.number(v) for v in problem.initial]
        for q in context.asked:
            outputs = problem.model.build(algebra, params, [algebra.number(v) for v in solution.queries[q]])
            for c, ball in enumerate(outputs):
                low, high = endpoints(real_part(ball))
                value = solution.initial_outputs[q][c]
                distance = max(abs(value - low), abs(value - high))
                worst = max(worst, distance / max(Fraction(1), abs(value)))
    holds = worst <= context.tolerance
    yield Evidence(
        "T1g",
        Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE,
        "ball",
        residual=decimal_text(worst, 3),
        tolerance=decimal_text(context.tolerance, 3),
        route="precise",
        message="b(x) against an enclosure of f at w(0)" if holds else "b(x) leaves the enclosure of f at w(0)",
    )


def check_log_probability(context: Context) -> Iterator[Evidence]:
    """R3d: with a log-probability as output every L'_i is -1, and so every a_i is 1."""
    problem, solution = context.problem, context.solution
    if problem.loss.kind != "nll-log-probability" or problem.example_scale != 1:
        yield not_applicable("R3d", "the output is not a log-probability under the summed negative log-likelihood")
        return
    compiled = solution.system.compiled
    exact = compiled.graph.nodes[compiled.loss_derivatives[0]].value == Fraction(-1)
    worst = Fraction(0)
    for q in context.asked:
        for contribution, kernel in zip(solution.contributions[q], solution.path_kernels[q], strict=True):
            worst = max(worst, abs(contribution[0] - kernel[0][0]) / max(Fraction(1), abs(kernel[0][0])))
    holds = worst <= context.tolerance
    verdict = (Verdict.PROVED if exact else Verdict.SUPPORTED) if holds else Verdict.INCONCLUSIVE
    yield Evidence(
        "R3d",
        verdict,
        "exact" if exact else "mpmath",
        context.flow_hypotheses(),
        residual=decimal_text(worst, 3),
        tolerance=decimal_text(context.tolerance, 3),
        route="precise",
        message="L'_i is the constant -1, so each contribution is its path kernel"
        if holds
        else "contribution and kernel differ",
    )


def not_applicable(claim: str, why: str, route: str = "", hypotheses: tuple[HypothesisEvidence, ...] = ()) -> Evidence:
    """The verdict for a claim that says nothing about this problem."""
    return Evidence(claim, Verdict.NOT_APPLICABLE, "inspection", hypotheses, message=why, route=route)


def _disagreement(context: Context) -> str:
    """What the second route says against the solution; empty where it agrees."""
    open_gaps = [gap for gap in context.gaps if not gap.closed]
    gaps = ", ".join(f"{gap.name} by {decimal_text(gap.value, 2)}" for gap in open_gaps)
    return f"a bug in pkverify, its second route disagrees: {gaps}" if gaps else ""


def _worst_residual(context: Context) -> tuple[Fraction, Fraction]:
    """The residual that is largest relative to its scale, and that scale."""
    solution = context.solution
    found = [(solution.residual(q, c), solution.scale(q, c)) for q in context.asked for c in context.outputs]
    return max(found, key=lambda pair: abs(pair[0]) / pair[1])
