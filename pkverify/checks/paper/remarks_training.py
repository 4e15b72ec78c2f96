"""Audits of Remarks 3 to 5: losses, regularisers, stochastic gradient descent, and other variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product

from pkverify.arithmetic.ball import excludes_zero
from pkverify.cases import case_problems
from pkverify.checks.paper.descent import Descent, step_residual
from pkverify.checks.paper.finding import Audit, Finding, Witness
from pkverify.checks.paper.outcomes import (
    counterexample,
    digits,
    exact,
    generic,
    holds,
    imprecise,
    in_balls,
    proved_if,
    refuted,
    unsettled,
    words,
)
from pkverify.evidence import Evidence, Verdict
from pkverify.exact import paper_identities as identities
from pkverify.exact.paper_flow import ProvedFlow
from pkverify.exact.route import verify_exact
from pkverify.precise.route import solve_precise
from pkverify.problem import Problem

R3D = counterexample("r3d-softmax")
R4B = counterexample("r4b")
R4B_PRODUCT = counterexample("r4b-product")
LEAST_SQUARES_FACTOR = Fraction(1)
_DIGITS = 20


def audit_r3a(factor: Fraction = LEAST_SQUARES_FACTOR) -> Finding:
    """R3a: which multiple of the squared error has the residual as its derivative."""
    repaired = proved_if(identities.is_residual(Fraction(1, 2)), "R3a", "for (y - y*)^2/2 the derivative is y - y*")
    slope = identities.squared_loss_slope(factor)
    if identities.is_residual(factor):
        return holds("R3a", repaired)
    witness = Witness(
        "CE-R3a", "that least squares alone fixes the derivative", "the factor 1/2", f"loss {factor} (y - y*)^2 "
        "at y - y* = 1",
        (("L'", str(slope)),),
    )  # fmt: skip
    return imprecise("R3a", (witness,), "true for half the squared error; the factor is not said", repaired)


def audit_r3b() -> Finding:
    """R3b: the derivative is -1/p_i when the output is the probability of the observed class."""
    evidence = proved_if(
        identities.negative_log_slopes() and identities.softmax_observed_slopes(),
        "R3b",
        "d(-ln p)/dp = -1/p for the probability p of the observed class; through the softmax it gives p - onehot",
    )
    other = Witness(
        "CE-R3b", "that -1/p holds for one number p = p(1|x) and both classes", "the probability of the observed class",
        "p(1|x) = 1/4, observed class 0, loss -ln(1 - p)",
        (("L'", str(1 / (1 - Fraction(1, 4)))), ("-1/p", str(-1 / Fraction(1, 4)))),
    )  # fmt: skip
    return holds("R3b", evidence, witnesses=(other,))


def audit_r3c() -> Finding:
    """R3c: the same derivative for a joint density."""
    return holds("R3c", proved_if(identities.negative_log_slopes(), "R3c", "the loss is -ln p_i again: -1/p_i"))


def audit_r3d(problem: Problem = R3D) -> Finding:
    """R3d: with log p as the output the weights are 1; in general, and seen on a small softmax network."""
    general = generic("R3d", "R3d", "L' = -1 is its own average")
    tolerance = Fraction(10) ** (2 - _DIGITS)
    solution = solve_precise(problem, _DIGITS)
    worst = Fraction(0)
    for q, kernels in enumerate(solution.path_kernels):
        learned = solution.final_outputs[q][0] - solution.initial_outputs[q][0]
        worst = max(worst, abs(learned - sum(kernel[0][0] for kernel in kernels)))
    verdict = Verdict.SUPPORTED if worst <= tolerance else Verdict.INCONCLUSIVE
    seen = Evidence(
        "R3d", verdict, "mpmath", residual=f"{float(worst):.1e}", tolerance=f"1e{2 - _DIGITS}",
        message="log p_T - log p_0 against the plain sum of path kernels, on a tanh network with three classes",
    )  # fmt: skip
    return holds("R3d", general, repaired=seen)


def audit_r4a() -> Finding:
    """R4a: the regulariser's own integral."""
    ridge = next(problem for name, problem in case_problems("linear") if name == "linear-ridge")
    instance = verify_exact(ridge)
    evidence = proved_if(
        identities.regularizer_splits_off() and instance.verdict is Verdict.PROVED,
        "R4a",
        "w' = -grad L - grad R adds -grad y . grad R to y', whose integral is the term; ridge regression confirms it",
    )
    return holds("R4a", evidence)


@in_balls
def audit_r4b(problem: Problem = R4B, product: Problem = R4B_PRODUCT) -> Finding:
    """R4b: kernel and weight with and without the penalty."""
    flows = ProvedFlow(problem), ProvedFlow(replace(problem, regularizer=None))
    kernels = [flow.kernel(0, 0) for flow in flows]
    weights = [flow.weight(0, 0) for flow in flows]
    if not (excludes_zero(kernels[0] - kernels[1]) and excludes_zero(weights[0] - weights[1])):
        return unsettled("R4b", "kernel and weight are not proved to change")
    values = (
        ("K with", digits(kernels[0])), ("K without", digits(kernels[1])),
        ("a with", digits(weights[0])), ("a without", digits(weights[1])),
    )  # fmt: skip
    first = Witness(
        "CE-R4b", "that nothing but b changes", "the same path",
        "w + x w^2, train (0, 1) from w(0) = 0 up to T = 1, query 1, penalty w^2/4 or none", values, "r4b",
    )  # fmt: skip
    solutions = [solve_precise(p, 15) for p in (product, replace(product, regularizer=None))]
    pairs = [(s.path_kernels[0][0][0][0], s.contributions[0][0][0]) for s in solutions]
    numbers = [(f"K {word}", f"{float(k):.10g}") for word, (k, _) in zip(("with", "without"), pairs, strict=True)]
    numbers += [(f"a {word}", f"{float(c / k):.10g}") for word, (k, c) in zip(("with", "without"), pairs, strict=True)]
    second = Witness(
        "CE-R4b-product", "the same, seen to 15 digits without a proof", "the same path",
        "y = u v x, train (1, 1) from (9/10, 1/5) up to T = 2, penalty (u^2 + v^2)/4 or none",
        tuple(numbers), "r4b-product",
    )  # fmt: skip
    message = "the term is right on the new path; but path, kernels and weights change as well"
    return imprecise("R4b", (first, second), message, audit_r4a().evidence)


@dataclass(frozen=True)
class Sampling:
    """Stochastic gradient descent on y = w with targets 1 and -1, one drawn at random at each step.

    Attributes:
        rate: The step size.
        steps: How many.
        initial: w_0.
    """

    rate: Fraction
    steps: int
    initial: Fraction

    def second_moments(self) -> list[Fraction]:
        """E w_s^2 for every s, from E xi = 0 and E xi^2 = 1."""
        moments = [self.initial**2]
        for _ in range(self.steps):
            moments.append((1 - self.rate) ** 2 * moments[-1] + self.rate**2)
        return moments

    @property
    def mean(self) -> Fraction:
        """E w_S."""
        return (1 - self.rate) ** self.steps * self.initial

    @property
    def variance(self) -> Fraction:
        """Var w_S."""
        return self.second_moments()[-1] - self.mean**2


R5A = Sampling(Fraction(1, 100), 100, Fraction(1))
R5B_ITO = Sampling(Fraction(1, 10), 20, Fraction(1))


def audit_r5a(data: Sampling = R5A) -> Finding:
    """R5a: with the indicator redrawn at every step, the limit of small steps keeps no randomness."""
    formula = data.rate * (1 - (1 - data.rate) ** (2 * data.steps)) / (2 - data.rate)
    finer = replace(data, rate=data.rate / 10, steps=data.steps * 10)
    # Var <= eps/(2 - eps) for every horizon: it tends to 0 with eps.
    settled = (
        identities.sampling_variance_recursion()
        and data.variance == formula
        and 0 < finer.variance * 5 < data.variance
        and data.variance <= data.rate / (2 - data.rate)
    )
    if not settled:
        return unsettled("R5a", "the variance of the sampled run is not what its formula says")
    witness = Witness(
        "CE-R5a", "that the indicator survives the limit of small steps", "an indicator that is fixed as a "
        "function of time",
        f"y = w, targets 1 and -1, one drawn at each of {data.steps} steps of {data.rate}, w_0 = {data.initial}; "
        "Var = eps (1 - (1 - eps)^(2S))/(2 - eps)",
        (
            ("mean", f"{float(data.mean):.6g}"), ("variance", f"{float(data.variance):.6g}"),
            ("variance at a tenth of the step", f"{float(finer.variance):.6g}"),
        ),
    )  # fmt: skip
    repaired = generic(
        "R5a", "T1i", "for an indicator fixed as a function of time, L'_i I_i(t) takes the place of L'_i",
        cited="Caratheodory: a measurable indicator leaves the flow a unique absolutely continuous solution",
    )  # fmt: skip
    message = "right for a fixed indicator; redrawn at every step, it averages to its mean B/m as the steps shrink"
    return imprecise("R5a", (witness,), message, repaired)


@dataclass(frozen=True)
class Indicators:
    """y = w x on two points, each sampled on [0, duration]."""

    inputs: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1))
    durations: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1, 2))

    def kernel(self, i: int, j: int) -> Fraction:
        """The integral of I_j(t) x_i x_j."""
        return self.inputs[i] * self.inputs[j] * self.durations[j]


R5B = Indicators()


R5B_DRAWN = Descent(counts=((1, 0), (0, 2), (1, 1)))


def audit_r5b(data: Indicators = R5B, sampling: Sampling = R5B_ITO, drawn: Descent = R5B_DRAWN) -> Finding:
    """R5b: an indicator inside the kernel, and what left-point sums miss."""
    upper, lower = data.kernel(0, 1), data.kernel(1, 0)
    if upper == lower:
        return unsettled("R5b", "the kernel with the indicator is symmetric here")
    asymmetric = Witness(
        "CE-R5b", "that the result is still a kernel", "symmetry: the indicator belongs to L'_i, not to K",
        f"y = w x, x = ({data.inputs[0]}, {data.inputs[1]}), sampled on [0, {data.durations[0]}] and [0, "
        f"{data.durations[1]}]",
        (("K_12", str(upper)), ("K_21", str(lower))),
    )  # fmt: skip
    moments, rate = sampling.second_moments(), sampling.rate
    change = moments[-1] - moments[0]
    left_sum = -2 * rate * sum(moments[:-1], Fraction(0))
    noise = rate**2 * sampling.steps
    drift = rate**2 * sum(moments[:-1], Fraction(0))
    if change == left_sum or change - left_sum != noise + drift:
        return unsettled("R5b", "the left-point sum misses nothing")
    missing = Witness(
        "CE-R5b-Ito", "that the sums of Theorem 1 still add up at a finite step", "a term with the Hessian of f",
        f"query w^2, y = w, targets 1 and -1, one drawn at each of {sampling.steps} steps of {rate}, w_0 = "
        f"{sampling.initial}",
        (
            ("change", f"{float(change):.9g}"), ("left-point sum", f"{float(left_sum):.9g}"),
            ("missing", f"{float(change - left_sum):.9g}"), ("of it from the sampling", str(noise)),
        ),
    )  # fmt: skip
    message = "the kernel loses its symmetry if the indicator goes into it, and second-order terms appear beside it"
    left = step_residual(drawn)
    repaired = proved_if(
        left == 0,
        "R5b",
        "at any step size, with the multiplicities in L'_i and the query's gradient averaged over each step: "
        "residual 0 in "
        f"fractions, {drawn.steps} steps of {drawn.rate}",
    )
    return refuted("R5b", (asymmetric, missing), message, repaired)


@dataclass(frozen=True)
class Batch:
    """A minibatch of y = w x under the half squared loss."""

    inputs: tuple[Fraction, ...] = (Fraction(1), Fraction(2))
    targets: tuple[Fraction, ...] = (Fraction(1), Fraction(0))
    drawn: tuple[int, ...] = (0, 0)
    weight: Fraction = Fraction(0)

    def pull(self, i: int) -> Fraction:
        """The gradient of one example's loss."""
        return (self.weight * self.inputs[i] - self.targets[i]) * self.inputs[i]


R5C = Batch()


def mean_multiplicity(examples: int, size: int) -> Fraction:
    """``E[(m/B) n_i]`` over all ordered batches of a size, drawn with replacement."""
    batches = list(product(range(examples), repeat=size))
    return Fraction(sum(batch.count(0) for batch in batches), len(batches)) * Fraction(examples, size)


def audit_r5c(data: Batch = R5C) -> Finding:
    """R5c: drawn with replacement, an example may count twice."""
    step = sum((data.pull(i) for i in data.drawn), Fraction(0))
    by_indicator = sum((data.pull(i) for i in set(data.drawn)), Fraction(0))
    if not all(mean_multiplicity(m, size) == 1 for m in (1, 2, 3) for size in (1, 2, 3)):
        return unsettled("R5c", "the multiplicities do not average to B/m")
    if step == by_indicator:
        return unsettled("R5c", "the indicator gives the step of this batch")
    witness = Witness(
        "CE-R5c", "that 0 and 1 suffice", "drawing without replacement",
        "y = w x, x = (1, 2), targets (1, 0), w = 0, batch (example 1, example 1)",
        (("gradient of the batch", str(step)), ("with an indicator", str(by_indicator))),
    )  # fmt: skip
    repaired = exact(
        "R5c",
        "the multiplicity n_i takes the place of I_i; against the sum loss it needs the factor m/B, E[(m/B) n_i] = 1",
    )
    return imprecise("R5c", (witness,), "right for subsamples without repetition", repaired)


R5D = Descent(momentum=Fraction(1, 2))


def audit_r5d(run: Descent = R5D) -> Finding:
    """R5d: heavy ball, exactly."""
    left = step_residual(run)
    message = (
        f"heavy ball with factor {run.momentum}, {run.steps} steps of {run.rate} on v (u x + 1)^2: with "
        "gradients averaged over "
        "each step and pulls of step r counted momentum^(s - r) at step s, the residual is 0 in fractions"
    )
    return words(
        "R5d", "an open question in the paper; answered by identities over steps", proved_if(left == 0, "R5d", message)
    )


AUDITS: Mapping[str, Audit] = {
    "R3a": audit_r3a, "R3b": audit_r3b, "R3c": audit_r3c, "R3d": audit_r3d, "R4a": audit_r4a, "R4b": audit_r4b,
    "R5a": audit_r5a, "R5b": audit_r5b, "R5c": audit_r5c, "R5d": audit_r5d,
}  # fmt: skip
