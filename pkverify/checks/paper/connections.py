"""Audits of the paragraphs between the remarks and the discussion: linear models, perceptrons, Hopfield, step sizes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from pkverify.arithmetic.ball import excludes_zero, real
from pkverify.checks.paper.descent import Descent, naive_residual, step_kernel, step_residual
from pkverify.checks.paper.finding import Audit, Finding, Witness
from pkverify.checks.paper.hopfield import Recall, dot_product_is_hamming_distance
from pkverify.checks.paper.outcomes import (
    counterexample,
    digits,
    exact,
    holds,
    imprecise,
    in_balls,
    proved_if,
    refuted,
    unsettled,
    words,
)
from pkverify.exact import paper_identities as identities
from pkverify.exact.paper_flow import ProvedFlow, one_parameter_flow
from pkverify.problem import Problem

L1 = counterexample("l1")
L1_SIGMOID = counterexample("l1-sigmoid")


@in_balls
def audit_l1(problem: Problem = L1, behind: Problem = L1_SIGMOID) -> Finding:
    """L1: the kernel of a linear model, and of one behind a sigmoid."""
    flow = ProvedFlow(problem)
    (first,), (second,) = problem.query_inputs
    kernel = flow.kernel(0, 1)
    if not excludes_zero(kernel - real(first * second)):
        return unsettled("L1", "the path kernel is the dot product here")
    factor = Witness(
        "CE-L1", "that the path kernel is the dot product itself", "the factor T", f"y = w x, T = {problem.horizon}",
        ((f"K({first}, {second})", digits(kernel)), ("dot product", str(first * second))), "l1",
    )  # fmt: skip
    witnesses = [factor]
    curved = one_parameter_flow(behind)
    ratio = curved.kernel(1, 0) / curved.kernel(0, 0)
    (near,), (far,) = behind.query_inputs
    if excludes_zero(ratio - real(far / near)):
        sigmoid = Witness(
            "CE-L1-sigmoid", "the same for a linear model with an output function", "linearity in w",
            "y = sigmoid(w x), loss -ln y, one example x = 1, w(0) = 0, T = 1",
            (("K(2, 1)/K(1, 1)", digits(ratio)),), "l1-sigmoid",
        )  # fmt: skip
        witnesses.append(sigmoid)
    repaired = proved_if(
        identities.linear_kernel_is_scaled_dot_product(bias=False)
        and identities.linear_kernel_is_scaled_dot_product(bias=True),
        "L1",
        "K = T x.x' for y = w.x, and T (x.x' + 1) with a bias; the factor may go into the weights",
    )
    return imprecise(
        "L1", witnesses, "the dot product up to the factor T, for models linear in their weights", repaired
    )


@dataclass(frozen=True)
class Perceptrons:
    """Random problems for the perceptron rule, in integers.

    Attributes:
        seed: Of the problems.
        count: How many.
        start: What every weight starts from.
        rounds: How often the examples are gone through.
    """

    seed: int = 0
    count: int = 50
    start: int = 0
    rounds: int = 5


L2 = Perceptrons()


def audit_l2(data: Perceptrons = L2) -> Finding:
    """L2: the perceptron's score is a weighted sum of dot products with its mistakes, exactly."""
    generator = random.Random(data.seed)  # noqa: S311 - problems, not secrets
    if not all(_is_kernel_machine(data, generator) for _ in range(data.count)):
        return unsettled("L2", "a score is not the sum of dot products with the examples")
    message = (
        "from w = 0 every update eta y_k x_k keeps w = sum n_i y_i x_i, and so w.x = sum n_i y_i x_i.x, at any "
        "step size; "
        f"confirmed in integers on {data.count} random problems"
    )
    return holds("L2", proved_if(identities.perceptron_step(), "L2", message))


def _is_kernel_machine(data: Perceptrons, generator: random.Random) -> bool:
    size, examples, rate = generator.randint(1, 5), generator.randint(2, 8), generator.randint(1, 4)
    points = [[generator.randint(-9, 9) for _ in range(size)] for _ in range(examples)]
    labels = [generator.choice((-1, 1)) for _ in range(examples)]
    weights, counts = [data.start] * size, [0] * examples
    for _ in range(data.rounds):
        for k, (point, label) in enumerate(zip(points, labels, strict=True)):
            if label * sum(w * x for w, x in zip(weights, point, strict=True)) <= 0:
                weights = [w + rate * label * x for w, x in zip(weights, point, strict=True)]
                counts[k] += rate
    query = [generator.randint(-9, 9) for _ in range(size)]
    score = sum(w * q for w, q in zip(weights, query, strict=True))
    rows = zip(counts, labels, points, strict=True)
    return score == sum(n * y * sum(x * q for x, q in zip(point, query, strict=True)) for n, y, point in rows)


L3_REVERSED = Recall(((1, 1, 1),), (-1, -1, -1))
L3_UNSTABLE = Recall(((1, 1, 1), (1, 1, -1), (-1, -1, 1)), (1, 1, 1))
L3_BASIN = Recall(
    ((1, -1, 1, -1, 1, -1), (-1, -1, 1, 1, -1, -1), (-1, 1, 1, -1, 1, 1)),
    (1, -1, -1, -1, -1, -1),
)


def audit_l3(reverse: Recall = L3_REVERSED, unstable: Recall = L3_UNSTABLE, basin: Recall = L3_BASIN) -> Finding:
    """L3: three Hopfield networks that do not recall the nearest stored pattern."""
    nearest = proved_if(
        dot_product_is_hamming_distance(),
        "L3",
        "for patterns of -1 and 1, x.z = n - 2 d_H: the largest dot product is the nearest neighbour (a Hamming net)",
    )
    cases = (
        ("CE-L3-reversed", "that what is recalled was stored", reverse, True),
        ("CE-L3-unstable", "that a stored pattern is recalled from itself", unstable, True),
        ("CE-L3-basin", "that the nearest of three stable patterns is recalled", basin, False),
    )
    witnesses: list[Witness] = []
    for name, statement, data, in_every_order in cases:
        wrong = data.nearest is not None and data.recalled() != data.nearest
        if in_every_order:
            wrong = wrong and data.nearest not in data.every_order()
        else:
            wrong = wrong and all(map(data.is_stable, data.stored))
        if not wrong:
            return unsettled("L3", f"{name}: the nearest stored pattern is recalled", nearest)
        orders = "in every order of updates" if in_every_order else "units updated in order"
        values = (
            ("distances", str(data.distances)), ("nearest", str(data.nearest)), ("recalled", str(data.recalled())),
        )  # fmt: skip
        setting = f"stored {', '.join(map(str, data.stored))}; query {data.query}; {orders}"
        witnesses.append(Witness(name, statement, "a layer that picks the largest overlap", setting, values))
    message = (
        "recall differs from the nearest neighbour; the cited report compares with a separate net for Hamming distance"
    )
    return refuted("L3", witnesses, message, nearest)


@dataclass(frozen=True)
class Quadratic:
    """Gradient descent on ``curvature w^2/2``.

    Attributes:
        rate: The step size.
        initial: w_0.
        curvature: The second derivative.
        steps: How many steps are shown.
    """

    rate: Fraction
    initial: Fraction = Fraction(1)
    curvature: Fraction = Fraction(1)
    steps: int = 5

    @property
    def factor(self) -> Fraction:
        """What each step multiplies w by."""
        return 1 - self.rate * self.curvature

    def path(self) -> list[Fraction]:
        """w_0, w_1, ..."""
        return [self.initial * self.factor**s for s in range(self.steps + 1)]


L4 = Quadratic(Fraction(19, 10))


def audit_l4(data: Quadratic = L4) -> Finding:
    """L4: a step size that does not diverge, and is far from the flow."""
    path = data.path()
    converges = abs(data.factor) < 1
    alternates = all(a * b < 0 for a, b in pairwise(path))
    if not (converges and alternates):
        return unsettled("L4", "descent diverges here, or keeps the sign of the flow")
    witness = Witness(
        "CE-L4", "that absence of divergence means closeness to the smooth curve", "a step size small against "
        "1/curvature",
        f"L = {data.curvature} w^2/2, w_0 = {data.initial}, step {data.rate}: |1 - step| < 1, and the flow keeps "
        "its sign",
        (("w_s", ", ".join(str(float(w)) for w in path)),),
    )  # fmt: skip
    bound = exact(
        "L4", f"|1 - step curvature| = {abs(data.factor)} < 1: it converges, with the sign changing at every step"
    )
    message = (
        "that it is generally a good approximation in practice is experience; that divergence forces it does not follow"
    )
    return imprecise("L4", (witness,), message, bound)


L5 = Descent()


def audit_l5(run: Descent = L5) -> Finding:
    """L5: the identity at any step size."""
    left, right = step_kernel(run, run.inputs[0], run.inputs[1]), step_kernel(run, run.inputs[1], run.inputs[0])
    settled = step_residual(run) == 0 and naive_residual(run) != 0 and left != right
    witness = Witness(
        "CE-L5", "that Theorem 1 itself stands at a finite step", "the query's gradient averaged over each step",
        f"v (u x + 1)^2, {run.steps} steps of {run.rate}, in fractions",
        (
            ("residual with averages", str(step_residual(run))), ("without", f"{float(naive_residual(run)):.6g}"),
            ("K_12", f"{float(left):.6g}"), ("K_21", f"{float(right):.6g}"),
        ),
    )  # fmt: skip
    repaired = proved_if(
        settled,
        "L5",
        "at any step size the identity is exact with averaged gradients at the query; that kernel is asymmetric",
    )
    return words("L5", "an open question in the paper; answered for the identity of Theorem 1", repaired, (witness,))


AUDITS: Mapping[str, Audit] = {"L1": audit_l1, "L2": audit_l2, "L3": audit_l3, "L4": audit_l4, "L5": audit_l5}
