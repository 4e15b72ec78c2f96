"""Audits of Remarks 1 and 2: the weights, the constant, and what kernels are said to carry."""

from __future__ import annotations

from collections.abc import Mapping

from pkverify.arithmetic.ball import excludes_zero, is_positive, sign
from pkverify.checks.paper.finding import Audit, Finding, Witness
from pkverify.checks.paper.outcomes import (
    counterexample,
    digits,
    enclosed,
    generic,
    holds,
    imprecise,
    in_balls,
    proved_if,
    refuted,
    unsettled,
)
from pkverify.checks.paper.remarks_training import AUDITS as TRAINING
from pkverify.exact import paper_identities as identities
from pkverify.exact.paper_flow import ProvedFlow, one_parameter_flow, starts_alike
from pkverify.problem import Problem

R1A = counterexample("r1a")
R1B = counterexample("r1b")
R1B_PROBABILITY = counterexample("r1b-probability")
R1D = counterexample("r1d")
R1E = (counterexample("r1e-linear"), counterexample("r1e-quadratic"))
R2B = counterexample("r2b")
R2B_STANDSTILL = counterexample("r2b-standstill")


@in_balls
def audit_r1a(problem: Problem = R1A) -> Finding:
    """R1a: weights and constant differ between queries of one model; where the kernel separates they do not."""
    flow = ProvedFlow(problem)
    queries = range(len(problem.query_inputs))
    weights, constants = [flow.weight(q, 0) for q in queries], [flow.initial(q) for q in queries]
    pairs = [(p, q) for p in queries for q in range(p)]
    differ = all(excludes_zero(row[p] - row[q]) for row in (weights, constants) for p, q in pairs)
    if not differ:
        return unsettled("R1a", "some weights or constants are not separated")
    values = [(f"a_1({q + 1})", digits(a)) for q, a in enumerate(weights)]
    values += [(f"b({q + 1})", digits(b)) for q, b in enumerate(constants)]
    witness = Witness(
        "CE-R1a", "that the weights and the constant are numbers, as in a kernel machine", "a kernel that separates",
        "f = exp(w x), x_1 = 1, target 2, half squared loss, queries 1, 2, 3", tuple(values), "r1a",
    )  # fmt: skip
    evidence = enclosed(
        "R1a", "the weights at three queries, and the constants, exclude each other", digits(weights[0])
    )
    exception = proved_if(
        identities.separable_weight_is_free_of_the_query(),
        "R1a",
        "where K_t(x, x_i) = k(t) kappa(x, x_i), as in models linear in w, a_i does not depend on x; b = y_0(x) does",
    )
    return holds("R1a", evidence, repaired=exception, witnesses=(witness,))


@in_balls
def audit_r1b(problem: Problem = R1B, probability: Problem = R1B_PROBABILITY) -> Finding:
    """R1b: an example with the larger loss derivative at every time has the smaller weight."""
    flow = ProvedFlow(problem)
    first, second = flow.weight(0, 0), flow.weight(0, 1)
    if not (flow.slope_lead(0, 1) and is_positive(second - first)):
        return unsettled("R1b", "the weights are not ordered against the loss derivatives")
    order = Witness(
        "CE-R1b", "that examples to which the loss is more sensitive weigh more", "equal courses of the tangent "
        "kernels",
        "f(x_1) = w1, f(x_2) = w2, query w1^2/2 + w2 - w2^2/2, targets 11/10 and 1, w(0) = 0, T = 2; "
        "-L'_1 = 1.1 exp(-t) > -L'_2 = exp(-t)",
        (("a_1", digits(first)), ("a_2", digits(second))), "r1b",
    )  # fmt: skip
    other = one_parameter_flow(probability)
    outside = other.weight(0, 0)
    if not (other.slope_is_negative(0) and is_positive(-outside)):
        return unsettled("R1b", "the weight of the model with probability output is not below 0")
    choice = Witness(
        "CE-R1b-p", "that a weight is of the size of the loss derivatives", "H4",
        "logit w + x w^2, output p, loss -ln p, one example x_1 = 0, w(0) = 0, T = 2, x = -6/5; -L' = 1/p is "
        "positive throughout",
        (("a_1", digits(outside)),), "r1b-probability",
    )  # fmt: skip
    message = "a weight also depends on how query and example move together"
    repaired = generic("R1b", "P10", "under H4 a_i lies between the least and the greatest value of -L'_i on the path")
    return refuted("R1b", (order, choice), message, repaired, method="ball")


def audit_r1c() -> Finding:
    """R1c: final = prior + learned."""
    return holds("R1c", generic("R1c", "T1", "The sum of integrals is what was learned, y_0 the prior"))


@in_balls
def audit_r1d(problem: Problem = R1D) -> Finding:
    """R1d: two queries with one path kernel and one initial value, and different predictions."""
    flow = ProvedFlow(problem)
    same = flow.kernels_agree(0, 1, 0) and flow.initials_agree(0, 1)
    outputs = flow.final(0), flow.final(1)
    if not (same and excludes_zero(outputs[0] - outputs[1])):
        return unsettled("R1d", "the two queries do not agree in kernel and constant, or not differ in their outputs")
    witness = Witness(
        "CE-R1d", "that the path kernel alone determines the prediction", "a kernel that separates",
        "train f = w to target 1 from w(0) = 0 up to T = 1; queries A: w, B: e w^2/2",
        (
            ("K_A", digits(flow.kernel(0, 0))), ("K_B", digits(flow.kernel(1, 0))),
            ("y_A", digits(outputs[0])), ("y_B", digits(outputs[1])),
        ),
        "r1d",
    )  # fmt: skip
    path = generic("R1d", "P8", "the query enters through t -> K_t(x, x_i) and y_0(x), and through nothing else")
    return imprecise("R1d", (witness,), "true of the tangent kernels along the path, not of the path kernel", path)


@in_balls
def audit_r1e(problems: tuple[Problem, Problem] = R1E) -> Finding:
    """R1e: the training outputs solve y' = -G_t L'(y), and G_t is an input to it."""
    evidence = generic(
        "R1e", "P7", "with each example as the query, the training outputs solve y' = -G_t L'(y), an equation in "
        "y and G_t",
        cited="Picard and Lindeloef: with L' locally Lipschitz the equation has one solution from y(0)",
    )  # fmt: skip
    flows = [one_parameter_flow(problem) for problem in problems]
    kernels = [flow.kernel(0, 0) for flow in flows]
    witnesses: tuple[Witness, ...] = ()
    if starts_alike(*flows) and excludes_zero(kernels[0] - kernels[1]):
        found = Witness(
            "CE-R1e", "that the tangent kernel at the start would do", "its whole course t -> G_t",
            "w x and (w + w^2/2) x, one example (1, 1), w(0) = 0, T = 1: both start at output 0 and tangent kernel 1",
            (("K", digits(kernels[0])), ("K'", digits(kernels[1]))), "r1e-quadratic",
        )  # fmt: skip
        witnesses = (found,)
    return holds("R1e", evidence, under=True, witnesses=witnesses)


def audit_r2a() -> Finding:
    """R2a: the form without a quotient."""
    return holds(
        "R2a", generic("R2a", "P8", "it is this line with a_i = -1: nothing is divided by, and H3 is not used")
    )


@in_balls
def audit_r2b(problem: Problem = R2B, standstill: Problem = R2B_STANDSTILL) -> Finding:
    """R2b: asymmetric and indefinite on two training points."""
    witnesses: list[Witness] = []
    for name, each in (("r2b", problem), ("r2b-standstill", standstill)):
        flow = ProvedFlow(each)
        entries = [[-flow.contribution(i, j) for j in range(2)] for i in range(2)]
        asymmetric = excludes_zero(entries[0][1] - entries[1][0])
        if not (asymmetric and {sign(entries[0][0]), sign(entries[1][1])} == {1, -1}):
            return unsettled("R2b", f"{name}: not both asymmetric and indefinite")
        xs, ys = ([str(row[0]) for row in rows] for rows in (each.data.inputs, each.data.targets))
        setting = (
            f"y = w x, x = ({', '.join(xs)}), targets ({', '.join(ys)}), w(0) = {each.initial[0]}, T = {each.horizon}"
        )
        values = [(f"K_{i + 1}{j + 1}", digits(entries[i][j])) for i in range(2) for j in range(2)]
        witnesses.append(
            Witness(
                f"CE-{name.upper()}", "that it is symmetric and semidefinite", "symmetry", setting, tuple(values), name
            )
        )
    message = (
        "no kernel: asymmetric, of both signs on the diagonal, and defined only where the second point has a target"
    )
    return refuted("R2b", witnesses, message, audit_r2a().evidence, method="ball")


AUDITS: Mapping[str, Audit] = {
    "R1a": audit_r1a, "R1b": audit_r1b, "R1c": audit_r1c, "R1d": audit_r1d, "R1e": audit_r1e,
    "R2a": audit_r2a, "R2b": audit_r2b, **TRAINING,
}  # fmt: skip
