"""Audits of the discussion, first half: superposition, the space of comparisons, features, architectures, storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from pkverify.arithmetic.ball import excludes_zero, is_positive, real
from pkverify.checks.paper.descent import Descent, weight_residual
from pkverify.checks.paper.discussion_learning import AUDITS as LEARNING
from pkverify.checks.paper.finding import Audit, Finding, Witness
from pkverify.checks.paper.outcomes import (
    counterexample,
    digits,
    generic,
    holds,
    imprecise,
    in_balls,
    proved_if,
    unsettled,
    words,
)
from pkverify.evidence import Evidence, Verdict
from pkverify.exact import paper_identities as identities
from pkverify.exact.paper_flow import ProvedFlow, one_parameter_flow, squared_gap_and_cosine
from pkverify.precise.route import solve_precise
from pkverify.problem import Problem

S1 = counterexample("s1")
S1_TURNING = counterexample("s1-turning")
S1_DESCENT = Descent()
S3 = counterexample("s3")
S4 = counterexample("s4")
S4_OTHER_TARGET = Fraction(4)
S5_DENSE = counterexample("s5-dense")
S5_PADDING = counterexample("s5-padding")
S7 = counterexample("s7")
S7_TURNS = (1, 2, 5, 10)
S8 = counterexample("s8")


@in_balls
def audit_s1(problem: Problem = S1, turning: Problem = S1_TURNING, run: Descent = S1_DESCENT) -> Finding:
    """S1: the initial weights stay, and an example is not one fixed vector."""
    repaired = proved_if(
        weight_residual(run) == (0, 0),
        "S1",
        "w_T = w_0 - sum_i integral of L'_i grad f(x_i): the flow's own equation; for descent the sum over steps "
        "is exact "
        f"at any step size (residual 0 in fractions, {run.steps} steps of {run.rate})",
    )
    rest = ProvedFlow(problem)
    leftover, feature = rest.parameters()[1], problem.data.inputs[0][1]
    moved = turned(turning)
    if feature != 0 or not (excludes_zero(leftover) and moved is not None):
        return unsettled("S1", "the weights are a superposition of fixed feature vectors here", repaired)
    first = Witness(
        "CE-S1", "that the weights are made of examples alone", "w_0 = 0",
        "y = w.x, one example x = (1, 0), w(0) = (0, 5): the gradient at the example has no second entry",
        (("w_2(T)", digits(leftover)),), "s1",
    )  # fmt: skip
    second = Witness(
        "CE-S1-turning", "that an example stands in them by one vector", "a gradient that keeps its direction",
        "y = u v x, train (1, 1) from (1, 1/2) up to T = 1: w(T) - w(0) against the gradient at w(T) and at "
        "w(0), determinants",
        (("with grad at w(T)", moved[0]), ("with grad at w(0)", moved[1])), "s1-turning",
    )  # fmt: skip
    return imprecise(
        "S1", (first, second), "true of the change of the weights, with gradients along the path", repaired
    )


def turned(problem: Problem) -> tuple[str, str] | None:
    """Determinants of ``w_T - w_0`` with the gradients (v, u) at both ends, or None where one of them may be 0."""
    flow = ProvedFlow(problem)
    end, begin = flow.parameters(), [real(value) for value in problem.initial]
    moved = [a - b for a, b in zip(end, begin, strict=True)]
    values = [moved[0] * at[0] - moved[1] * at[1] for at in (end, begin)]
    return (digits(values[0]), digits(values[1])) if all(map(excludes_zero, values)) else None


@in_balls
def audit_s2(problem: Problem = S1) -> Finding:
    """S2: where every kernel is 0, a weighted sum is 0, and the output is not."""
    flow = ProvedFlow(problem)
    output = flow.final(0)
    if not (flow.kernel_vanishes(0, 0) and excludes_zero(output)):
        return unsettled("S2", "a weighted sum of kernels reaches the output")
    witness = Witness(
        "CE-S2", "that the output is the weighted sum of matches", "the constant b(x) = y_0(x)",
        "y = w.x, one example x = (1, 0), w(0) = (0, 5), query (0, 1): K = 0",
        (("y_T", digits(output)),), "s1",
    )  # fmt: skip
    repaired = generic("S2", "T1", "with y_0(x) added, and weights that depend on the query")
    return imprecise(
        "S2", (witness,), "Figure 2 and its caption leave out b, and that a_i depends on the query", repaired
    )


def audit_s2b() -> Finding:
    """S2b: the kernel is the dot product of gradient paths, and gives their distance."""
    evidence = proved_if(
        identities.squared_distance_from_kernel(),
        "S2b",
        "K(x,x) + K(z,z) - 2 K(x,z) is the integral of |grad f(x) - grad f(z)|^2; whether examples should be "
        "compared by it "
        "is for its user to say",
    )
    return holds("S2b", evidence)


@in_balls
def audit_s3(problem: Problem = S3) -> Finding:
    """S3: brittleness is not implied."""
    flow = ProvedFlow(problem)
    slope = problem.data.targets[0][0] / problem.data.inputs[0][0]
    near, far = (x[0] for x in problem.query_inputs)
    errors = [1 - flow.final(q) / real(slope * x[0]) for q, x in enumerate(problem.query_inputs)]
    if not flow.final_is_multiple(0, 1, far / near):
        return unsettled("S3", "the relative error changes with the distance")
    witness = Witness(
        "CE-S3", "that kernel machines must degrade away from their examples", "a kernel that decays with distance",
        "y = w x, true function 2 x, one example x = 1, T = 1, queries 1 and 100",
        (("relative errors", ", ".join(digits(e) for e in errors)),), "s3",
    )  # fmt: skip
    return words(
        "S3", "what is expected of kernel estimators in high dimension is no statement about these", None, (witness,)
    )


@in_balls
def audit_s4(problem: Problem = S4, other: Fraction = S4_OTHER_TARGET) -> Finding:
    """S4: gradients of a predefined function, but at weights that depend on the labels."""
    data = replace(problem.data, targets=((other,),))
    flows = ProvedFlow(problem), ProvedFlow(replace(problem, data=data))
    ratios = [flow.kernel(1, 0) / flow.kernel(0, 0) for flow in flows]
    if not excludes_zero(ratios[0] - ratios[1]):
        return unsettled("S4", "the kernel does not depend on the target")
    targets = problem.data.targets[0][0], other
    witness = Witness(
        "CE-S4", "that the features are settled before the labels are seen", "gradients that do not depend on w",
        "exp(w x), one example x = 1, w(0) = 0, T = 1",
        tuple((f"K(2, 1)/K(1, 1), target {t}", digits(r)) for t, r in zip(targets, ratios, strict=True)), "s4",
    )  # fmt: skip
    repaired = generic(
        "S4", "T1", "the features are gradients of a function given beforehand, at weights that are learned"
    )
    return imprecise("S4", (witness,), "true as worded, false if predefined means independent of the labels", repaired)


@in_balls
def audit_s5(dense: Problem = S5_DENSE, padding: Problem = S5_PADDING) -> Finding:
    """S5: circular convolution with pooling is invariant; a dense layer or a border is not."""
    repaired = proved_if(
        identities.shift_invariant_convolution(),
        "S5",
        "circular convolution and sum over all places: f(Sx) = f(x) for all w, so gradients, K_t, K and a_i "
        "agree at Sx and x",
    )
    witnesses: list[Witness] = []
    for name, problem, lacks in (("s5-dense", dense, "pooling"), ("s5-padding", padding, "circular borders")):
        flow = ProvedFlow(problem)
        alone, joint = (flow.kernel(1, 0) - flow.kernel(0, 0)), (flow.kernel(1, 1) - flow.kernel(0, 0))
        if not excludes_zero(alone):
            return unsettled("S5", f"{name}: the kernel does not change under the shift", repaired)
        points = [tuple(map(str, x)) for x in (*problem.query_inputs, problem.data.inputs[0])]
        values = (
            ("K(x, x_1)", digits(flow.kernel(0, 0))), ("K(Sx, x_1)", digits(flow.kernel(1, 0))),
            ("K(Sx, S x_1)", digits(flow.kernel(1, 1))),
            ("joint shift changes it", "yes" if excludes_zero(joint) else "no"),
        )  # fmt: skip
        setting = (
            f"x = ({', '.join(points[0])}), Sx = ({', '.join(points[1])}), x_1 = ({', '.join(points[2])}), "
            "at a standstill"
        )
        witnesses.append(
            Witness(f"CE-{name.upper()}", "that convolution gives invariance", lacks, setting, values, name)
        )
    return imprecise(
        "S5", witnesses, "the architecture must be invariant as a whole, borders and readout included", repaired
    )


def audit_s6() -> Finding:
    """S6: attention without positions gives a kernel that does not see the order of the tokens."""
    repaired = proved_if(
        identities.permutation_invariant_attention(),
        "S6",
        "pooled attention without positions does not change under permutations, for all weights, and so neither "
        "does its kernel",
    )
    return words("S6", "what a kernel with selective attention is, is not said", repaired)


@in_balls
def audit_s7(problem: Problem = S7, turns: tuple[int, ...] = S7_TURNS) -> Finding:
    """S7: maxima of a sine, in the tangent kernel and in the path kernel with a trainable frequency."""
    repaired = proved_if(
        identities.sine_maxima_share_their_gradient(),
        "S7",
        "A sin(w x + phi) at one w: the gradient in (A, w, phi) is (1, 0, 0) at every maximum; along the path if "
        "w is fixed",
    )
    flow = one_parameter_flow(problem)
    pairs = [(k, *squared_gap_and_cosine(flow, k)) for k in turns]
    values = [("w(T)", digits(flow.parameters()[0], 8))]
    values += [(f"D^2, cosine at {k}", f"{digits(gap, 8)}, {digits(cosine, 5)}") for k, gap, cosine in pairs]
    if not any(is_positive(-cosine) for _, _, cosine in pairs):
        return unsettled("S7", "the maxima stay on one side of each other in gradient space", repaired)
    witness = Witness(
        "CE-S7", "that maxima are close in gradient space", "a frequency that is not trained",
        "sin(w x), one example (1, sin 1), w(0) = 6/5, T = 10; maxima of the trained function k turns apart",
        tuple(values), "s7",
    )  # fmt: skip
    message = (
        "true of one tangent kernel; along a path that moves the frequency maxima go out of step, to "
        "angles over 90 degrees"
    )
    return imprecise("S7", (witness,), message, repaired)


def audit_s7e() -> Finding:
    """S7e: the curse of dimensionality."""
    return words("S7e", "no rate and no class of functions is named in which the dimension would stop to count")


@in_balls
def audit_s8(problem: Problem = S8) -> Finding:
    """S8: the model costs the same whatever m is; but it need not hold what the examples say."""
    (first, second), (one, other) = problem.data.inputs, problem.data.targets
    determinant = first[0] * other[0] - second[0] * one[0]
    if determinant == 0 or len(problem.data) <= len(problem.model.params):
        return unsettled("S8", "the weights can hold the examples")
    witness = Witness(
        "CE-S8", "that all examples are effectively stored", "as many weights as examples",
        f"y = w x, ({first[0]}, {one[0]}) and ({second[0]}, {other[0]}): d = {len(problem.model.params)}, m = "
        f"{len(problem.data)}",
        (("x_1 y_2 - x_2 y_1", str(determinant)),), "s8",
    )  # fmt: skip
    grown = replace(problem.data, inputs=problem.data.inputs * 10, targets=problem.data.targets * 10)
    larger = replace(problem, data=grown, queries=problem.query_inputs)
    solutions = [solve_precise(each, 5) for each in (problem, larger)]
    weights = [len(solution.path.final) for solution in solutions]
    kernels = [len(solution.path_kernels[0]) for solution in solutions]
    counted = weights == [len(problem.model.params)] * 2 and kernels == [len(problem.data), len(grown)]
    repaired = Evidence(
        "S8", Verdict.SUPPORTED if counted else Verdict.INCONCLUSIVE, "counting", tolerance="0",
        message=f"f_w(x) takes d = {weights[0]} numbers with {kernels[0]} and with {kernels[1]} examples; its "
        "kernel form takes "
        f"{kernels[0]} and {kernels[1]} path kernels at every query",
    )  # fmt: skip
    message = (
        "true of evaluating the model, not of its kernel form; and fewer weights than examples do not hold them all"
    )
    return imprecise("S8", (witness,), message, repaired)


AUDITS: Mapping[str, Audit] = {
    "S1": audit_s1, "S2": audit_s2, "S2b": audit_s2b, "S3": audit_s3, "S4": audit_s4, "S5": audit_s5, "S6": audit_s6,
    "S7": audit_s7, "S7e": audit_s7e, "S8": audit_s8, **LEARNING,
}  # fmt: skip
