"""Audits of Theorem 1 and of what its wording contains, with the counterexamples CE-A to CE-E and CE-V."""

from __future__ import annotations

from collections.abc import Mapping

from pkverify.checks.paper.demonstrated import (
    defined,
    holds_by,
    imprecise_by,
    proved_here,
    proved_in_general,
    refuted_by,
    setting,
    shown,
)
from pkverify.checks.paper.finding import Audit, Finding, Witness
from pkverify.checks.paper.theorem_witnesses import (
    BENT_LINE,
    EXPONENTIAL,
    RIDGE,
    RIPPLE,
    SQUARE_ROOT,
    TWO_OUTPUTS,
    ce_a_range,
    ce_a_zero,
    ce_b,
    ce_c,
    ce_d,
    ce_e,
    ce_v,
)
from pkverify.exact.paper_descent import Ridge, Ripple, SquareRoot
from pkverify.exact.paper_theorem import (
    BentLine,
    BlowUp,
    Exponential,
    TwoOutputs,
    any_function_is_a_machine,
    blow_up,
    factors_of_linear_model,
    factors_of_probability,
    lookup_table,
    many_weights,
    softmax_is_singular,
)

BLOW_UP = BlowUp()


def audit_t1() -> Finding:
    """The integral identity: proved for unknown f and l, under H0 and H2."""
    return holds_by("T1", proved_in_general("T1"), under=True)


def audit_t1a(data: BentLine = BENT_LINE) -> Finding:
    """The ratio form needs H3."""
    return refuted_by(
        "T1a",
        (ce_a_zero(data),),
        "Theorem 1 asks for nothing that keeps the path kernel from 0, and where it is 0 no number serves as a weight",
        proved_in_general("T1a"),
        method="ball",
    )


def audit_t1b(ripple: Ripple = RIPPLE, root: SquareRoot = SQUARE_ROOT) -> Finding:
    """The limit needs more than a differentiable f."""
    return refuted_by(
        "T1b",
        (ce_b(ripple), ce_c(root)),
        "with f and L differentiable and no more, the limit need not exist, and where it does it need not be what the "
        "formula gives. The numbers that the argument needs are proved; the argument for all small steps is in "
        "words, at "
        "``pkverify.exact.paper_descent``",
        proved_in_general("T1b"),
        method="ball",
    )


def audit_t1c(data: BentLine = BENT_LINE) -> Finding:
    """The average needs H4."""
    return refuted_by(
        "T1c",
        (ce_a_range(data),),
        "where the tangent kernel changes sign, the quotient lies outside the range of what it is said to average",
        proved_in_general("T1c"),
        method="ball",
    )


def audit_t1d() -> Finding:
    """After T the products have limits, not the factors."""
    linear, probability = factors_of_linear_model(), factors_of_probability()
    witness = Witness(
        "T1d",
        "trained to the end, the factors a_i and K have no finite limits together",
        "a finite horizon T",
        "y = w x, two examples, half the squared loss, any start: K = T x x_i grows without end, and a_i tends to the "
        "residual of least squares",
        (),
    )
    repaired = proved_here(
        "T1d",
        (probability,),
        "at every finite T the identity holds, and the sum over the examples tends to what the flow tends to; the "
        "factors may converge too: one example, y = p, cross-entropy has K -> (1 - p_0^2)/2 and a_1 -> 2/(1 + p_0)",
    )
    return refuted_by(
        "T1d",
        (shown(witness, linear),),
        "the path kernel of a linear model diverges as training is completed: a_i and K are to be given with their T",
        repaired,
    )


def audit_t1e(data: Ridge = RIDGE) -> Finding:
    """The limits of eps and of T cannot be exchanged."""
    return refuted_by(
        "T1e",
        (ce_d(data),),
        "for every small step descent ends in a minimum that the flow never approaches: nothing in the theorem "
        "excludes this, and its limit is for a fixed T. Two runs are enclosed; the argument for all small steps "
        "is in words",
        proved_in_general("T1b"),
        method="ball",
    )


def audit_t1f(data: BlowUp = BLOW_UP) -> Finding:
    """The flow may end before T."""
    witness = Witness(
        "T1f",
        "the flow need not exist up to T",
        "H2",
        setting("f = w^3/3 for the one example, loss -y, w_0 = 1, T = 1", data, BLOW_UP),
        (),
    )
    return refuted_by(
        "T1f",
        (shown(witness, blow_up(data)),),
        "differentiability of f and L does not give the path on which the kernel is defined",
        proved_in_general("T1"),
    )


def audit_t1g() -> Finding:
    """b is the initial model."""
    return holds_by("T1g", proved_in_general("T1g"))


def audit_t1h() -> Finding:
    """Uniqueness of the weights, which the paper does not claim."""
    return defined(
        "T1h",
        "the paper defines a_i by its formula and claims no uniqueness; one equation for m weights has many solutions. "
        "Outside Theorem 1 not even the loss derivative is unique: two equal examples at the kink of a hinge loss may "
        "share the multiplier in any way",
        proved_here("T1h", (many_weights(),), "other weights serve at a query as well"),
    )


def audit_t1i() -> Finding:
    """Additivity of the loss is not needed."""
    return holds_by("T1i", proved_in_general("T1i"), under=True)


def audit_t1j() -> Finding:
    """Inputs are names."""
    return holds_by(
        "T1j",
        proved_here(
            "T1j",
            (lookup_table(),),
            "no step of the proof looks into an input; on a table f_w(x) = w_x, with inputs that are mere names",
        ),
    )


def audit_t1k(data: TwoOutputs = TWO_OUTPUTS) -> Finding:
    """Vector outputs: the identity carries over, the weights do not."""
    softmax = Witness(
        "T1k-softmax",
        "for softmax probabilities the matrix that is to be inverted never is invertible",
        "H3 for matrices",
        "softmax probabilities over three arbitrary logits",
        (("1^T J", "0"),),
    )
    return imprecise_by(
        "T1k",
        (ce_v(data), shown(softmax, softmax_is_singular())),
        "the changes are minor for the integral identity, whose kernel becomes the matrix J(x) J(x_i)^T; an average "
        "then needs the inverse of a matrix that can be singular, for softmax probabilities always",
        proved_in_general("T1k"),
    )


def audit_m1() -> Finding:
    """Without the specified weights the form is empty."""
    return holds_by(
        "M1",
        proved_here("M1", (any_function_is_a_machine(),), "only the weights of the theorem give its form a content"),
    )


def audit_m2(data: Exponential = EXPONENTIAL) -> Finding:
    """With constant weights and its own path kernel a model need not be a kernel machine."""
    repaired = proved_here(
        "M2",
        (any_function_is_a_machine(),),
        "with weights that depend on the query it is Theorem 1; with some other kernel the statement is trivially true",
    )
    return refuted_by(
        "M2",
        (ce_e(data),),
        "the title and the abstract say kernel machine, whose weights are numbers; no numbers a_1, b serve three "
        "queries with the model's own path kernel. Remark 1 says that they depend on x",
        repaired,
        method="ball",
    )


AUDITS: Mapping[str, Audit] = {
    "T1": audit_t1,
    "T1a": audit_t1a,
    "T1b": audit_t1b,
    "T1c": audit_t1c,
    "T1d": audit_t1d,
    "T1e": audit_t1e,
    "T1f": audit_t1f,
    "T1g": audit_t1g,
    "T1h": audit_t1h,
    "T1i": audit_t1i,
    "T1j": audit_t1j,
    "T1k": audit_t1k,
    "M1": audit_m1,
    "M2": audit_m2,
}
