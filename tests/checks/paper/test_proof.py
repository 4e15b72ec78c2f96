from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from pkverify.checks.paper.proof import AUDITS, audit_p2, audit_p3, audit_p8, audit_p9, audit_p10, ce_p8
from pkverify.checks.paper.theorem_witnesses import BENT_LINE, RIPPLE
from pkverify.claims import CLAIMS
from pkverify.claims.proof import CLAIMS as PART
from pkverify.claims.record import Status
from pkverify.evidence import Verdict
from pkverify.exact.paper_descent import error_of_linear_model
from pkverify.exact.paper_proof import kernel_is_not_integrable, partial_derivatives_only

NUDGE = Fraction(1, 10**6)


def test_every_step_has_an_audit_and_no_other() -> None:
    assert set(AUDITS) == {claim.id for claim in PART}


@pytest.mark.parametrize("claim", AUDITS)
def test_an_audit_establishes_what_the_registry_says(claim: str) -> None:
    finding = AUDITS[claim]()

    assert finding.claim == claim
    assert finding.status is CLAIMS[claim].status
    assert finding.evidence.verdict is not Verdict.INCONCLUSIVE
    assert finding.repaired is None or finding.repaired.verdict.holds


@pytest.mark.parametrize("claim", AUDITS)
def test_the_hypotheses_are_those_of_the_registry(claim: str) -> None:
    finding = AUDITS[claim]()
    proof = finding.evidence if finding.evidence.verdict.holds else finding.repaired
    assert proof is not None
    named = tuple(h.id for h in proof.hypotheses if h.id in {"H0", "H1", "H2", "H3", "H4", "H5"})

    assert named == CLAIMS[claim].hypotheses_needed


@pytest.mark.parametrize("field", ["curvature", "example", "target", "start", "horizon", "query_over_e"])
def test_a_path_kernel_that_is_nearly_zero_refutes_nothing(field: str) -> None:
    near = replace(BENT_LINE, **{field: getattr(BENT_LINE, field) + NUDGE})

    assert audit_p9(near).status is not Status.FALSE
    assert "K(x, x_1) = 0" in audit_p9(near).evidence.message or field == "example"


def test_the_average_is_refuted_twice() -> None:
    both, one = audit_p10(), audit_p10(replace(BENT_LINE, horizon=1 + NUDGE))

    assert [witness.lacks for witness in both.witnesses] == ["H4", "H3"]
    assert [witness.lacks for witness in one.witnesses] == ["H4"]
    assert audit_p10(replace(BENT_LINE, horizon=1 + NUDGE, beyond=Fraction(1))).status is not Status.FALSE


def test_the_flow_is_no_limit_without_its_witnesses() -> None:
    assert [w.id for w in audit_p2().witnesses] == ["CE-B", "CE-C"]
    assert audit_p2(replace(RIPPLE, start=NUDGE)).evidence.verdict is Verdict.INCONCLUSIVE


def test_the_first_term_of_the_error_is_right_for_small_steps_only() -> None:
    assert error_of_linear_model().holds
    assert error_of_linear_model(Fraction(1, 5)).facts[0][1] is False
    assert error_of_linear_model(Fraction(1, 5)).facts[1][1] is True


@pytest.mark.parametrize(
    ("direction", "stands"),
    [((1, 1), True), ((1, 1 + NUDGE), True), ((1 + NUDGE, 1), True), ((1, 0), False), ((0, 1), False), ((0, 0), False)],
)
def test_partial_derivatives_are_not_enough(direction: tuple[Fraction, Fraction], stands: bool) -> None:
    a, b = (Fraction(v) for v in direction)

    assert partial_derivatives_only((a, b)).holds == stands
    assert (audit_p3((a, b)).status is Status.HOLDS) == stands


def test_the_directional_derivative_is_one_half() -> None:
    assert dict(partial_derivatives_only().values)["d/ds f(s a) at 0"] == "1/2"


def test_the_variation_diverges() -> None:
    found = [float(value) for _, value in ce_p8().witness.values]

    assert found[0] > 2.91
    assert found[1] > 5.84
    # A hundredfold of terms adds (2/pi) ln 100.
    assert found[1] - found[0] == pytest.approx(2.93, abs=0.01)


@pytest.mark.parametrize(("frequency", "stands"), [(1 + NUDGE, True), (1 - NUDGE, True), (Fraction(-1), False)])
def test_the_integral_of_the_tangent_kernel(frequency: Fraction, stands: bool) -> None:
    assert kernel_is_not_integrable(frequency).holds == stands
    assert (audit_p8(frequency).status is Status.HOLDS_UNDER) == stands
