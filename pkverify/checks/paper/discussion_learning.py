"""Audits of the discussion, second half: boosting, density estimation, convex problems, open questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from pkverify.arithmetic.ball import excludes_zero, is_positive, real
from pkverify.checks.paper.finding import Audit, Finding, Witness
from pkverify.checks.paper.outcomes import (
    citing,
    counterexample,
    digits,
    generic,
    holds,
    imprecise,
    in_balls,
    proved_if,
    refuted,
    unsettled,
    words,
)
from pkverify.exact import paper_identities as identities
from pkverify.exact.paper_flow import ProvedFlow
from pkverify.problem import Problem

S10 = counterexample("s10")
S11_CONSTRAINED = counterexample("s11-constrained")
S11_STARTS = counterexample("s11-starts")
_ZERO = Fraction(0)


@dataclass(frozen=True)
class OneStep:
    """One step of gradient descent on ``curvature w^2/2``."""

    rate: Fraction = Fraction(5, 2)
    initial: Fraction = Fraction(1)
    curvature: Fraction = Fraction(1)

    @property
    def losses(self) -> tuple[Fraction, Fraction]:
        """The loss before and after."""
        after = self.initial - self.rate * self.curvature * self.initial
        return self.curvature * self.initial**2 / 2, self.curvature * after**2 / 2


S9A = OneStep()


def audit_s9a(data: OneStep = S9A) -> Finding:
    """S9a: a step may raise the loss; the flow never does, nor does a step below 2/curvature."""
    before, after = data.losses
    repaired = proved_if(
        identities.loss_falls_along_flow() and identities.quadratic_step(),
        "S9a",
        "along the flow dL/dt = -|grad L|^2 = -L'^T G L' <= 0; a step does it for 0 < eps < 2/Lip(grad L), grad "
        "L not 0",
    )
    repaired = citing(repaired, "the descent lemma, for loss functions that are not quadratic")
    if after <= before:
        return unsettled("S9a", f"the step does not raise the loss: {before} to {after}", repaired)
    witness = Witness(
        "CE-S9a", "that every step decreases the loss", "a step size below 2/Lip(grad L)",
        f"L = {data.curvature} w^2/2, w = {data.initial}, step {data.rate}",
        (("before", str(before)), ("after", str(after))),
    )  # fmt: skip
    return refuted("S9a", (witness,), "a step can raise the loss: how small it must be is not said", repaired)


def audit_s9b() -> Finding:
    """S9b: the gradient weighs each example by its loss derivative; for the exponential loss as AdaBoost does."""
    if not identities.exponential_loss_weight():
        return unsettled("S9b", "the exponential loss does not give AdaBoost's weights")
    message = "grad L = sum_i L'_i grad f(x_i): the loss derivatives are the weights; for exp(-y F) they are AdaBoost's"
    return holds("S9b", generic("S9b", "P5", message))


@dataclass(frozen=True)
class ProductStep:
    """One step of ``f = u v`` towards a target under the half squared loss."""

    u: Fraction = Fraction(1)
    v: Fraction = Fraction(2)
    target: Fraction = Fraction(0)
    rate: Fraction = Fraction(1, 10)

    @property
    def change(self) -> Fraction:
        """What the step adds to f."""
        r = self.u * self.v - self.target
        return (self.u - self.rate * r * self.v) * (self.v - self.rate * r * self.u) - self.u * self.v

    @property
    def weak_learner(self) -> Fraction:
        """The rate times the tangent kernel machine."""
        return -self.rate * (self.u * self.v - self.target) * (self.u**2 + self.v**2)


S9C = ProductStep()


def audit_s9c(data: ProductStep = S9C) -> Finding:
    """S9c: a step adds eps times the tangent kernel machine, up to eps^2."""
    repaired = proved_if(
        identities.product_step(),
        "S9c",
        "for f = u v a step adds eps h + eps^2 r^2 u v, h being the tangent kernel machine: right to first order "
        "in eps",
    )
    if data.change == data.weak_learner:
        return unsettled("S9c", "the step adds the weak learner exactly", repaired)
    witness = Witness(
        "CE-S9c", "that a round adds the tangent kernel machine with weight eps", "a model linear in w, or eps to 0",
        f"f = u v at ({data.u}, {data.v}), target {data.target}, step {data.rate}",
        (("step adds", str(data.change)), ("eps times weak learner", str(data.weak_learner))),
    )  # fmt: skip
    return imprecise("S9c", (witness,), "an additive model only to first order in the step size", repaired)


def audit_s9d() -> Finding:
    """S9d: similar to gradient boosting."""
    return words("S9d", "a likeness, without a statement of what would be equal")


@in_balls
def audit_s10(problem: Problem = S10) -> Finding:
    """S10: the kernels of a learned density integrate to 0, take both signs, and their weights depend on the query."""
    masses = identities.location_density_gradient_integrates_to_zero() and identities.discrete_gradients_sum_to_zero()
    repaired = generic("S10", "R3d", "with log p as the output: log p_T = log p_0 + sum of path kernels, weights 1")
    flow = ProvedFlow(problem)
    kernel, near, far = flow.kernel(0, 0), flow.weight(1, 0), flow.weight(2, 0)
    if not (masses and is_positive(-kernel) and excludes_zero(near - far)):
        return unsettled("S10", "the kernel or its weights could be those of a density estimate", repaired)
    witness = Witness(
        "CE-S10", "that the expansion is a kernel density estimate: kernels of mass 1, equal weights, b = 0",
        "log p as the output (R3d)",
        f"N(w, 1), loss -ln p, one example {problem.data.inputs[0][0]}, w(0) = {problem.initial[0]}, T = "
        f"{problem.horizon}; "
        "int dp/dw dx = 0, and so int K(x, x_1) dx = 0",
        (("K(-1, 1)", digits(kernel)), ("a_1(0)", digits(near)), ("a_1(2)", digits(far))), "s10",
    )  # fmt: skip
    message = (
        "each kernel has mass 0 where a density estimate has 1 (discrete models alike), and the weights are not 1/m"
    )
    return refuted("S10", (witness,), message, repaired, method="ball")


@dataclass(frozen=True)
class Flat:
    """A linear model trained on one example from 0, a minimiser of its loss, and a query."""

    example: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1))
    target: Fraction = Fraction(1)
    minimiser: tuple[Fraction, Fraction] = (Fraction(1), _ZERO)
    query: tuple[Fraction, Fraction] = (Fraction(1), Fraction(-1))


S11_FLAT = Flat()


@in_balls
def audit_s11(flat: Flat = S11_FLAT, constrained: Problem = S11_CONSTRAINED, starts: Problem = S11_STARTS) -> Finding:
    """S11: five ways in which a convex problem's solution is not the one that gradient descent obtains."""
    found = (
        _not_unique(flat), _not_attained(), _constrained(constrained), _not_smooth(Fraction(1)),
        _not_one_expansion(starts),
    )  # fmt: skip
    if found[0] is None or found[2] is None:
        return unsettled("S11", "the solution is unique and obtained by gradient descent in the counterexamples")
    repaired = proved_if(
        identities.quadratic_flow_tends_to_minimiser(),
        "S11",
        "L = S (w - p)^2/2, S > 0: w - p = (w_0 - p) exp(-S t) -> 0 from every start; so for a strictly convex, "
        "attained and "
        "unconstrained problem with H1 (that general case is cited), where the expansion is Theorem 1's as T grows",
    )
    repaired = citing(repaired, "convergence of the flow of a strictly convex function to its attained minimum")
    message = "convex problems need not have one solution, nor any, nor one that descent finds; see (a) to (e)"
    return refuted("S11", [w for w in found if w is not None], message, repaired)


def _not_unique(data: Flat) -> Witness | None:
    """(a): from 0 the flow stays on the line of the example; the minimiser differs where the kernel is 0."""
    size = sum((x * x for x in data.example), _ZERO)
    limit = tuple(data.target * x / size for x in data.example)

    def value(weights: tuple[Fraction, ...], x: tuple[Fraction, ...]) -> Fraction:
        return sum((w * c for w, c in zip(weights, x, strict=True)), _ZERO)

    both_minimise = value(limit, data.example) == data.target == value(data.minimiser, data.example)
    kernel = value(data.query, data.example)  # times T
    predictions = value(limit, data.query), value(data.minimiser, data.query)
    if not both_minimise or kernel != 0 or predictions[0] == predictions[1]:
        return None
    return Witness(
        "CE-S11a", "that the solution is unique, and a kernel machine", "strict convexity",
        "(w.x_1 - 1)^2/2, x_1 = (1, 1), w(0) = 0 (b = 0): gradient descent goes to (1/2, 1/2), another solver to "
        "(1, 0); "
        "query (1, -1), where K = 0",
        (("y of the flow", str(predictions[0])), ("y of the minimiser", str(predictions[1])), ("K", str(kernel))),
        "s11-flat",
    )  # fmt: skip


def _not_attained() -> Witness | None:
    """(b): separable logistic regression has no solution."""
    if not identities.logistic_slope_never_vanishes():
        return None
    return Witness(
        "CE-S11b", "that there is a solution", "a minimum that is attained", "logistic loss ln(1 + exp(-w)), one "
        "example",
        (("slope", "-1/(1 + exp(w)), nowhere 0"),),
    )  # fmt: skip


def _constrained(problem: Problem) -> Witness | None:
    """(c): with w >= 0 the solution is 0, where the slope is positive; the flow goes elsewhere."""
    x, target = problem.data.inputs[0][0], problem.data.targets[0][0]
    slope_at_zero = (_ZERO * x - target) * x
    end = ProvedFlow(problem).parameters()[0]
    if not (slope_at_zero > 0 and is_positive(-end)):
        return None
    return Witness(
        "CE-S11c", "that every solver finds what gradient descent finds", "no constraints",
        f"min (w {'+' if target < 0 else '-'} {abs(target)})^2/2 with w >= 0: solution 0, slope there {slope_at_zero}",
        (("flow at T", digits(end)), ("its limit", str(target / x))), "s11-constrained",
    )  # fmt: skip


def _not_smooth(edge: Fraction) -> Witness | None:
    """(d): the hinge max(0, 1 - w) and |w| have two one-sided slopes at the solution."""
    hinge = {side: max(_ZERO, 1 - (edge + side)) - max(_ZERO, 1 - edge) for side in (Fraction(-1), Fraction(1))}
    left, right = -hinge[Fraction(-1)], hinge[Fraction(1)]
    if left == right:
        return None
    return Witness(
        "CE-S11d", "that the loss has a gradient", "H0", "hinge max(0, 1 - w) at w = 1",
        (("slope to the left", str(left)), ("to the right", str(right))),
    )  # fmt: skip


def _not_one_expansion(problem: Problem) -> Witness | None:
    """(e): one solution, reached from two starts with two different constants."""
    ends = [ProvedFlow(p).final(0) for p in (problem, replace(problem, initial=(Fraction(1),)))]
    x = problem.query_inputs[0][0]
    gap = ends[0] - ends[1]
    if not is_positive(real(Fraction(1, 10**30)) - abs(gap)) or problem.initial[0] == 1:
        return None
    return Witness(
        "CE-S11e", "that the solution has one expansion", "a fixed w_0",
        f"y = w x, x = (1, 2), targets (1, 1), query {x}, T = {problem.horizon}, w(0) = {problem.initial[0]} or 1",
        (("y", digits(ends[0])), ("b", f"{problem.initial[0] * x} or {x}")), "s11-starts",
    )  # fmt: skip


def audit_s12() -> Finding:
    """S12: stationary points of regularised homogeneous models, whatever found them."""
    # f = u v at u = v = s, target 2, penalty |w|^2/4: (s^2 - 2) s + s/2 = 0, so f = s^2 = 3/2 and K_t = 2 s^2 = 3.
    target, strength = Fraction(2), Fraction(1, 2)
    value = target - strength
    expansion = -(value - target) * (2 * value) / (2 * strength)
    repaired = proved_if(
        identities.stationary_representation() and expansion == value,
        "S12",
        "at any stationary point of sum l + lam |w|^2/2, f homogeneous of degree k in w, whatever found it: "
        "f(x) = -(1/(k lam)) sum L'_i K_w(x, x_i), with the tangent kernel at that point",
    )
    return words("S12", "an open question in the paper; a partial answer is proved", repaired)


def audit_s13() -> Finding:
    """S13: interpretability, better algorithms, hardware, superposition elsewhere."""
    return words("S13", "what the result means for interpretation, algorithms and hardware is opinion and outlook")


AUDITS: Mapping[str, Audit] = {
    "S9a": audit_s9a, "S9b": audit_s9b, "S9c": audit_s9c, "S9d": audit_s9d, "S10": audit_s10, "S11": audit_s11,
    "S12": audit_s12, "S13": audit_s13,
}  # fmt: skip
