"""The checks on the certified route: what balls prove about one problem, hypothesis by hypothesis.

A check yields ``certified`` only where every number it speaks of lies in a ball that settles the matter. Where balls
leave it open the claim is not applicable here, with the hypothesis that stayed open; other routes may still speak.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

from pkverify.arithmetic.ball import BallDomainError
from pkverify.certified.along import PathView
from pkverify.certified.descent import DescentConstants, descend, descent_bound, distance, rate_bound
from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import Enclosure
from pkverify.certified.hypotheses import (
    FAILS,
    HOLDS,
    is_average,
    kernel_sign,
    kernel_weight,
    loss_derivative_range,
)
from pkverify.checks.identity import not_applicable
from pkverify.errors import InputError, PkverifyError, UntreatableError
from pkverify.evidence import Evidence, HypothesisEvidence, Verdict
from pkverify.rational import decimal_above, decimal_text

MOST_PAIRS = 400  # of query and example, whose tangent kernels are looked at along the whole path
MOST_DESCENT = 100_000  # steps times parameters times examples of a descent that is run in balls


@dataclass(frozen=True)
class CertifiedContext:
    """An enclosure, and what its checks share."""

    enclosure: Enclosure

    @cached_property
    def view(self) -> PathView:
        """The trajectory, to be looked at between its ends."""
        return PathView(self.enclosure)

    @cached_property
    def weights(self) -> list[list[tuple[Enclosed, ...] | str]]:
        """For each query and example the weight, or the reason why there is none."""
        return [[kernel_weight(self.enclosure, q, i) for i in self.examples] for q in self.queries]

    @property
    def outputs(self) -> range:
        """The model's outputs."""
        return range(self.enclosure.problem.model.output_count)

    @property
    def queries(self) -> range:
        """The queries."""
        return range(len(self.enclosure.queries))

    @property
    def examples(self) -> range:
        """The training examples."""
        return range(len(self.enclosure.problem.data))

    @property
    def precision(self) -> str:
        """How it was computed, for the reader."""
        steps = len(self.enclosure.steps)
        return f"{steps} step{'s' if steps > 1 else ''}, {self.enclosure.bits} bits"

    def flow_hypotheses(self) -> tuple[HypothesisEvidence, ...]:
        """H0 and H2: the steps prove both."""
        return (
            HypothesisEvidence("H0", Verdict.CERTIFIED, "model and loss are analytic on a tube around the path"),
            HypothesisEvidence(
                "H2",
                Verdict.CERTIFIED,
                f"the flow exists up to {self.enclosure.problem.horizon}: {self.precision} enclose it",
            ),
        )


def certified_evidence(enclosure: Enclosure, claims: frozenset[str] | None = None) -> list[Evidence]:
    """What an enclosure proves, claim by claim; all claims of ``CERTIFIED_CHECKS`` when none are named."""
    context, found = CertifiedContext(enclosure), list[Evidence]()
    for identifier, run_check in CERTIFIED_CHECKS.items():
        if claims is None or identifier in claims:
            start = time.perf_counter()
            items = list(run_check(context))
            found += [replace(item, seconds=(time.perf_counter() - start) / len(items)) for item in items]
    return found


def check_identity(context: CertifiedContext) -> Iterator[Evidence]:
    """T1: the ball of every residual contains 0 and is as small as the digits ask."""
    enclosure = context.enclosure
    residuals = [residual for row in enclosure.residuals for residual in row]
    widest = max(residuals, key=lambda residual: residual.rad)
    tolerance = Fraction(1, 10**enclosure.digits)
    message = f"{len(context.queries)} queries, {len(context.outputs)} outputs; {context.precision}"
    wrong = [residual for residual in residuals if not residual.contains(0)]
    if wrong:
        yield _certified(
            "T1", context, wrong[0], verdict=Verdict.INCONCLUSIVE,
            message="the ball of a residual does not contain 0: this contradicts the theorem, and is a bug in pkverify",
        )  # fmt: skip
        return
    small = all(residual.rad <= tolerance * max(Fraction(1), _scale(enclosure)) for residual in residuals)
    yield _certified(
        "T1", context, widest, verdict=Verdict.CERTIFIED if small else Verdict.INCONCLUSIVE,
        tolerance=decimal_text(tolerance, 2),
        message=message if small else "the ball of a residual is wider than the digits asked for",
    )  # fmt: skip


def check_vector_output(context: CertifiedContext) -> Iterator[Evidence]:
    """T1k: the identity with a matrix kernel."""
    if len(context.outputs) == 1:
        yield not_applicable("T1k", "the model has one output", "certified")
        return
    size = len(context.outputs)
    for evidence in check_identity(context):
        said = f"with the {size} x {size} matrix kernel" if evidence.verdict.holds else evidence.message
        yield replace(evidence, claim="T1k", message=said)


def check_initial_term(context: CertifiedContext) -> Iterator[Evidence]:
    """T1g: what is left when all contributions are taken off is the initial model's output."""
    enclosure, widest = context.enclosure, Fraction(0)
    for q in context.queries:
        for c in context.outputs:
            parts = [example[c] for example in enclosure.contributions[q]] + [enclosure.regularizer_terms[q][c]]
            final, initial = enclosure.final_outputs[q][c], enclosure.initial_outputs[q][c]
            left = Enclosed(final.mid - sum(p.mid for p in parts), final.rad + sum(p.rad for p in parts))
            if abs(left.mid - initial.mid) > left.rad + initial.rad:
                yield _certified(
                    "T1g", context, left, verdict=Verdict.INCONCLUSIVE,
                    message="the constant term and the initial output lie in disjoint balls: a bug in pkverify",
                )  # fmt: skip
                return
            widest = max(widest, left.rad + initial.rad)
    yield _certified(
        "T1g", context, Enclosed(Fraction(0), widest), verdict=Verdict.CERTIFIED,
        message="the constant term is the output at w(0), for each query its own",
    )  # fmt: skip


def check_path_kernel(context: CertifiedContext) -> Iterator[Evidence]:
    """D8: the path kernels are the integrals of the tangent kernels along the path, by two routes whose balls meet.

    The enclosure sums over the nodes of a quadrature. Here power series of the rows are integrated term by term, and
    the path itself is held against the integral of the gradient: along another path the kernels would agree, too.
    """
    enclosure = context.enclosure
    found = list(_path_differences(context))
    again = context.view.path_kernels(MOST_PAIRS)
    found += [
        (f"path kernel of query {q + 1}, example {i + 1}",
         _difference(enclosure.path_kernels[q][i][c][o], again[q][i][c][o]))
        for q in range(len(again)) for i in context.examples for c in context.outputs for o in context.outputs
    ]  # fmt: skip
    wrong = next(((what, gap) for what, gap in found if not gap.contains(0)), None)
    if wrong is not None:
        yield _certified(
            "D8", context, wrong[1], verdict=Verdict.INCONCLUSIVE,
            message=f"two routes to the {wrong[0]} have disjoint balls: a bug in pkverify",
        )  # fmt: skip
        return
    pairs = len(again) * len(context.examples) * len(context.outputs) ** 2
    rest = "" if len(again) == len(context.queries) else f", at the first {len(again)} queries"
    yield _certified(
        "D8", context, max((gap for _, gap in found), key=lambda gap: gap.rad), verdict=Verdict.CERTIFIED,
        message=f"{pairs} integrals of K_t by quadrature, and again from power series{rest}: the balls meet",
    )  # fmt: skip


def _path_differences(context: CertifiedContext) -> Iterator[tuple[str, Enclosed]]:
    """What the steps say of the path, minus the same number otherwise: each ball must contain 0."""
    enclosure = context.enclosure
    problem, steps = enclosure.problem, enclosure.steps
    first, none = steps[0], Fraction(0)
    yield "horizon", Enclosed(sum((step.length for step in steps), none) - problem.horizon, none)
    for before, after in pairwise(steps):
        yield "time of a step", Enclosed(after.start - before.end, none)
        for end, p in zip(before.final, after.coefficients, strict=True):
            yield "joint of two steps", Enclosed(end - Fraction(p[0], 2**after.bits), none)
    for start, p in zip(problem.initial, first.coefficients, strict=True):
        yield "initial parameters", Enclosed(start - Fraction(p[0], 2**first.bits), first.error_start)
    moves = context.view.displacement()
    for start, end, move in zip(problem.initial, enclosure.final_params, moves, strict=True):
        yield "final parameters", _difference(Enclosed(end.mid - start, end.rad), move)


def _difference(left: Enclosed, right: Enclosed) -> Enclosed:
    return Enclosed(left.mid - right.mid, left.rad + right.rad)


def check_ratio_form(context: CertifiedContext) -> Iterator[Evidence]:
    """T1a: every a_i exists, since its path kernel is proved to be away from 0, or to vanish identically (H3)."""
    separated, free, open_pairs, widest = 0, 0, list[str](), Fraction(0)
    for q in context.queries:
        for i in context.examples:
            weight = context.weights[q][i]
            if not isinstance(weight, str):
                separated += 1
                widest = max(widest, *(value.rad for value in weight))
            elif weight.startswith("K = 0 exactly"):
                free += 1
            else:
                open_pairs.append(f"query {q + 1}, example {i + 1}: {weight}")
    if open_pairs:
        hypothesis = HypothesisEvidence("H3", Verdict.INCONCLUSIVE, "; ".join(open_pairs[:3]))
        message = f"H3 stays open: {open_pairs[0]} ({len(open_pairs)} such pairs)"
        yield not_applicable("T1a", message, "certified", (hypothesis,))
        return
    message = f"{separated} path kernels are away from 0" + (f", {free} vanish identically" if free else "")
    yield _certified(
        "T1a", context, Enclosed(Fraction(0), widest), verdict=Verdict.CERTIFIED, message=message,
        more=(HypothesisEvidence("H3", Verdict.CERTIFIED, message),),
    )  # fmt: skip


def check_average(context: CertifiedContext) -> Iterator[Evidence]:
    """T1c: where K_t has one sign along the whole path (H4), a_i lies in the range of -L'_i."""
    if len(context.outputs) > 1:
        why = "with several outputs the weight is a vector, and the claim speaks of a number"
        yield not_applicable("T1c", why, "certified")
        return
    if len(context.queries) * len(context.examples) > MOST_PAIRS:
        yield not_applicable("T1c", f"more than {MOST_PAIRS} pairs of query and example", "certified")
        return
    ranges = {i: loss_derivative_range(context.view, i) for i in context.examples}
    inside, changing, open_pairs = 0, list[str](), list[str]()
    for q in context.queries:
        for i in context.examples:
            pair = f"query {q + 1}, example {i + 1}"
            weight = context.weights[q][i]
            if isinstance(weight, str):
                continue
            sign = kernel_sign(context.view, q, 0, i)
            if sign.finding == FAILS:
                times = f"K_t > 0 at t = {_time(sign.positive_at)}, < 0 at t = {_time(sign.negative_at)}"
                changing.append(f"{pair}: {times}")
            elif sign.finding != HOLDS:
                open_pairs.append(f"{pair}: the sign of K_t stays open")
            else:
                found = is_average(weight[0], ranges[i])
                inside += found == HOLDS
                if found != HOLDS:
                    open_pairs.append(f"{pair}: a = {decimal_text(weight[0].mid, 12)}, at the end of the range of -L'")
    message = f"{inside} weights lie in the range of -L'_i"
    sign_message = f"K_t keeps its sign along the whole path for {inside + len(open_pairs)} pairs"
    if changing:
        sign_message += f", and changes it for {len(changing)}, where nothing is claimed: {changing[0]}"
    if open_pairs or not inside:
        verdict = Verdict.INCONCLUSIVE if open_pairs else Verdict.CERTIFIED
        hypothesis = HypothesisEvidence("H4", verdict, (open_pairs or changing or ["no a_i exists"])[0])
        yield not_applicable("T1c", hypothesis.message, "certified", (hypothesis,))
        return
    widest = max(weight[0].rad for row in context.weights for weight in row if not isinstance(weight, str))
    yield _certified(
        "T1c", context, Enclosed(Fraction(0), widest), verdict=Verdict.CERTIFIED, message=message,
        more=(HypothesisEvidence("H4", Verdict.CERTIFIED, sign_message),),
    )  # fmt: skip


def check_descent(context: CertifiedContext) -> Iterator[Evidence]:
    """T1b: a proved bound, linear in the learning rate, of the distance between descent and flow at the horizon.

    The constants hold on a tube; with a smaller learning rate the same tube does, so the bound tends to 0 with it. The
    descent itself is run in balls and must keep to the bound.
    """
    enclosure = context.enclosure
    problem = enclosure.problem
    try:
        known = DescentConstants(enclosure)
        rate = rate_bound(enclosure, known)
        bound = descent_bound(enclosure, rate.learning_rate, rate.steps, known)
        cheap = rate.steps * len(problem.initial) * len(problem.data) <= MOST_DESCENT
        descended = descend(problem, rate.learning_rate, rate.steps) if cheap else None
    except (UntreatableError, InputError, BallDomainError) as error:
        why = error.what if isinstance(error, PkverifyError) else str(error)
        yield not_applicable("T1b", why, "certified", (HypothesisEvidence("H1", Verdict.INCONCLUSIVE, why),))
        return
    hypotheses = (
        HypothesisEvidence(
            "H1",
            Verdict.CERTIFIED,
            f"within {float(rate.tube):.2e} of the path grad L has the Lipschitz constant "
            f"{decimal_above(rate.lipschitz, 4)}; |grad L| <= {decimal_above(rate.gradient, 4)} on it",
        ),
        HypothesisEvidence("H5", Verdict.PROVED, f"horizon {problem.horizon}, {rate.steps} steps or more"),
    )
    reach, message = min(bound.distance, rate.constant * rate.learning_rate), ""
    if descended is not None:
        apart = distance(descended, enclosure.final_params)
        message = f"; there it is {decimal_text(apart.mid, 4)}"
        if apart.lower > reach:
            yield _certified(
                "T1b", context, apart, verdict=Verdict.INCONCLUSIVE, more=hypotheses,
                message="descent in balls leaves its proved bound: a bug in pkverify",
            )  # fmt: skip
            return
    yield _certified(
        "T1b", context, Enclosed(Fraction(0), reach), more=hypotheses, verdict=Verdict.CERTIFIED,
        message=f"|w_N - w(T)| <= {decimal_above(rate.constant, 4)} * learning rate from N = {rate.steps} on{message}",
    )  # fmt: skip


CERTIFIED_CHECKS: dict[str, Callable[[CertifiedContext], Iterator[Evidence]]] = {
    "T1": check_identity,
    "T1a": check_ratio_form,
    "T1b": check_descent,
    "T1c": check_average,
    "T1g": check_initial_term,
    "T1k": check_vector_output,
    "D8": check_path_kernel,
}


def _scale(enclosure: Enclosure) -> Fraction:
    """``max(|y_0|, |y_T|, sum |contributions|)`` over all outputs: what the digits are relative to."""
    sums = [
        sum((abs(example[c].mid) for example in enclosure.contributions[q]), Fraction(0))
        for q in range(len(enclosure.queries))
        for c in range(len(enclosure.initial_outputs[q]))
    ]
    ends = [abs(v.mid) for rows in (enclosure.initial_outputs, enclosure.final_outputs) for row in rows for v in row]
    return max(*sums, *ends)


def _certified(
    claim: str,
    context: CertifiedContext,
    residual: Enclosed,
    *,
    verdict: Verdict,
    message: str,
    tolerance: str | None = None,
    more: tuple[HypothesisEvidence, ...] = (),
) -> Evidence:
    shown = residual.mid if abs(residual.mid) > residual.rad else Fraction(0)
    return Evidence(
        claim, verdict, "ball", (*context.flow_hypotheses(), *more), residual=decimal_text(shown, 3),
        bound=decimal_above(residual.rad + abs(residual.mid - shown), 3), tolerance=tolerance, route="certified",
        message=message,
    )  # fmt: skip


def _time(value: Fraction | None) -> str:
    return "?" if value is None else f"{float(value):.6g}"
