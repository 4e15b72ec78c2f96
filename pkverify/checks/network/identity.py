"""T1, T1k, E1, SE, R3d on the network route: the identity, its discrete form, and two laws that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pkverify.evidence import Evidence, HypothesisEvidence, Verdict
from pkverify.network.study import NetworkStudy

# All fixed here, in units of the flow's own tolerance or of float64's rounding; none depends on what is found.
STEPS = 100  # a residual may be so many tolerances of a step, relative to the size of the terms
TERM_TOLERANCE = 1e-9  # single terms against gradients taken one by one, relative to the largest
SPLIT_TOLERANCE = 1e-11  # the discrete identity has no error but rounding
KINK_TOLERANCE = 1e-9  # where segments are cut at the kinks of a query


def check_identity(study: NetworkStudy) -> Iterator[Evidence]:
    """T1: the residual over all queries and outputs; single terms and the path against a second way to compute them."""
    scale, residual = study.scale(), study.worst_residual()
    tolerance = STEPS * study.rtol * scale
    slope_tolerance = 10 * study.rtol**0.5  # the slope of a continuous extension is a lower order than the path
    terms, path, found = study.rate_gap(), study.path_gap(), study.integrals
    gaps = {
        "single terms": terms <= TERM_TOLERANCE,
        "the path": path <= slope_tolerance,
        "the quadrature": found.quadrature_error <= STEPS * study.rtol and not found.unconverged,
    }
    wrong = [name for name, closed in gaps.items() if not closed]
    size = f"{len(study.problem.initial)} parameters, {len(study.problem.data)} examples"
    if wrong:
        message = f"a second way to {' and '.join(wrong)} differs: nothing follows from the residual"
    elif residual > tolerance:
        message = "the residual exceeds the tolerance, and an estimate refutes nothing"
    else:
        message = f"{size}, outputs moved by up to {study.change():.3g}; single terms within {terms:.0e}"
    holds = not wrong and residual <= tolerance
    yield Evidence(
        "T1", Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE, "float64", flow_hypotheses(study),
        residual=f"{residual:.3e}", bound=f"{found.quadrature_error:.0e}", tolerance=f"{tolerance:.1e}",
        route="network", message=message,
    )  # fmt: skip


def check_vector_output(study: NetworkStudy) -> Iterator[Evidence]:
    """T1k: the identity with a matrix kernel, for a network with several outputs."""
    size = study.problem.model.output_count
    if size == 1:
        yield not_applicable("T1k", "the model has one output")
        return
    for evidence in check_identity(study):
        said = f"with the {size} x {size} matrix kernel" if evidence.verdict.holds else evidence.message
        yield replace(evidence, claim="T1k", message=said)


def check_discrete_identity(study: NetworkStudy) -> Iterator[Evidence]:
    """E1: gradient descent at learning rate 1 / (largest eigenvalue), recorded and split exactly."""
    residual, left, scale = study.descent_identity()
    tolerance = (KINK_TOLERANCE if study.kinks else SPLIT_TOLERANCE) * scale
    holds = residual <= tolerance
    yield Evidence(
        "E1", Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE, "float64", residual=f"{residual:.3e}",
        tolerance=f"{tolerance:.1e}", route="network",
        message=f"60 recorded steps; sums of gradients at the left ends miss by {left:.1e}"
        if holds
        else "the split does not add up to rounding: a term is wrong, or a segment did not converge",
    )  # fmt: skip


def check_single_example(study: NetworkStudy) -> Iterator[Evidence]:
    """SE: the same network on its first example alone; K(x_1, x_1) from the path, and from the loss alone."""
    softmax = study.problem.loss.kind == "softmax-cross-entropy"
    if (study.problem.model.output_count > 1 and not softmax) or study.problem.regularizer is not None:
        yield not_applicable("SE", "the law is for one output and no regulariser")
        return
    kernel, law = study.single_example()
    tolerance = STEPS * study.rtol * max(1.0, abs(law))
    holds = abs(kernel - law) <= tolerance
    what = "the log-probability of its class" if softmax else "its output"
    yield Evidence(
        "SE", Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE, "float64", flow_hypotheses(study),
        residual=f"{kernel - law:.3e}", tolerance=f"{tolerance:.1e}", route="network",
        message=f"the same network on its first example, y = {what}: K(x_1, x_1) = {kernel:.9g} from the path"
        + ("" if holds else f", {law:.9g} from the loss alone"),
    )  # fmt: skip


def check_log_probability(study: NetworkStudy) -> Iterator[Evidence]:
    """R3d: with y = log p of the observed class, every contribution is its path kernel: all a_i are 1."""
    if study.problem.loss.kind != "softmax-cross-entropy" or not study.one_hot:
        yield not_applicable("R3d", "the output is no log-probability of an observed class under cross-entropy")
        return
    gap, residual, scale = study.log_probability()
    term_tolerance, tolerance = TERM_TOLERANCE * scale, STEPS * study.rtol * scale
    holds = gap <= term_tolerance and residual <= tolerance
    yield Evidence(
        "R3d", Verdict.SUPPORTED if holds else Verdict.INCONCLUSIVE, "float64", flow_hypotheses(study),
        residual=f"{gap:.3e}", tolerance=f"{term_tolerance:.1e}", route="network",
        message=f"contributions by way of the logits are the kernels of log p; identity to {residual:.1e}"
        if holds
        else f"contributions and kernels of log p differ by {gap:.1e}, the identity is off by {residual:.1e}",
    )  # fmt: skip


def flow_hypotheses(study: NetworkStudy) -> tuple[HypothesisEvidence, ...]:
    """H0 and H2 as far as float64 can tell."""
    cost = study.trajectory.statistics
    smooth = f"kinks ({study.kinks}), crossed by short steps" if study.kinks else "made of analytic functions"
    return (
        HypothesisEvidence("H0", Verdict.SUPPORTED, smooth),
        HypothesisEvidence(
            "H2", Verdict.SUPPORTED, f"followed to {study.trajectory.horizon:g} in {cost.accepted} steps"
        ),
    )


def not_applicable(claim: str, why: str) -> Evidence:
    """The verdict for a claim that says nothing about this problem."""
    return Evidence(claim, Verdict.NOT_APPLICABLE, "inspection", route="network", message=why)
