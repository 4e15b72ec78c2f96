"""Audits of the proof of Theorem 1, one for each displayed step, with the counterexamples CE-P3 and CE-P8."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import partial

from pkverify.checks.paper.demonstrated import Shown, holds_by, proved_here, proved_in_general, refuted_by, shown
from pkverify.checks.paper.finding import Audit, Finding, Witness
from pkverify.checks.paper.theorem_witnesses import (
    BENT_LINE,
    RIPPLE,
    SQUARE_ROOT,
    ce_a_range,
    ce_a_zero,
    ce_b,
    ce_c,
)
from pkverify.exact.paper_descent import Ripple, SquareRoot, error_of_linear_model
from pkverify.exact.paper_proof import kernel_is_not_integrable, partial_derivatives_only
from pkverify.exact.paper_theorem import BentLine

DIRECTION = (Fraction(1), Fraction(1))
FREQUENCY = Fraction(1)

# Insertions of a definition, an exchange of finite sums, algebra: they hold as they are printed.
_AS_PRINTED = ("P1", "P4", "P5", "P6", "P7")
# They name what has a meaning only where the path kernels are not 0.
_UNDER_H3 = ("P11", "P12")


def ce_p3(direction: tuple[Fraction, Fraction] = DIRECTION) -> Shown:
    """CE-P3: partial derivatives are not enough for the chain rule."""
    return shown(
        Witness("CE-P3", "'differentiable' means that there is a total derivative: partial derivatives are not enough",
                "H0", "f = w_1^2 w_2/(w_1^2 + w_2^2), f(0) = 0, along w = s (1, 1)", ()),
        partial_derivatives_only(direction),
    )  # fmt: skip


def ce_p8(frequency: Fraction = FREQUENCY) -> Shown:
    """CE-P8: a tangent kernel without an integral."""
    return shown(
        Witness("CE-P8", "for a model that is only differentiable the integral may exist as an improper one only", "H0",
                "loss -w, so that w = t; at the query f = w^2 sin(1/w^2), f(0) = 0", ()),
        kernel_is_not_integrable(frequency),
    )  # fmt: skip


def audit_step(claim: str) -> Finding:
    """A step that holds as printed, from the line before it."""
    return holds_by(claim, proved_in_general(claim))


def audit_insertion(claim: str) -> Finding:
    """A step that inserts a definition into a quotient, and inherits its hypothesis."""
    return holds_by(claim, proved_in_general(claim), under=True)


def audit_p2(ripple: Ripple = RIPPLE, root: SquareRoot = SQUARE_ROOT) -> Finding:
    """Descent becomes a flow under H1, H2, H5."""
    return holds_by(
        "P2",
        proved_in_general("P2"),
        under=True,
        witnesses=(ce_b(ripple), ce_c(root)),
        repaired=proved_here("P2", (error_of_linear_model(),), "for a linear model, eps = 1/1000, in balls"),
    )


def audit_p3(direction: tuple[Fraction, Fraction] = DIRECTION) -> Finding:
    """The chain rule, for the total derivative."""
    return holds_by("P3", proved_in_general("P3"), witnesses=(ce_p3(direction),))


def audit_p8(frequency: Fraction = FREQUENCY) -> Finding:
    """The fundamental theorem, under H0."""
    return holds_by("P8", proved_in_general("P8"), under=True, witnesses=(ce_p8(frequency),))


def audit_p9(data: BentLine = BENT_LINE) -> Finding:
    """Multiplying and dividing by the path kernel needs H3."""
    return refuted_by(
        "P9",
        (ce_a_zero(data),),
        "the step divides by an integral that may be 0",
        proved_in_general("P9"),
        method="ball",
    )


def audit_p10(data: BentLine = BENT_LINE) -> Finding:
    """The name 'average' needs H4, and the quotient H3."""
    return refuted_by(
        "P10",
        (ce_a_range(data), ce_a_zero(data)),
        "weights of both signs make no average: the quotient can be any number, or none",
        proved_in_general("P10"),
        method="ball",
    )


AUDITS: Mapping[str, Audit] = {
    **{claim: partial(audit_step, claim) for claim in _AS_PRINTED},
    **{claim: partial(audit_insertion, claim) for claim in _UNDER_H3},
    "P2": audit_p2,
    "P3": audit_p3,
    "P8": audit_p8,
    "P9": audit_p9,
    "P10": audit_p10,
}
