from __future__ import annotations

from fractions import Fraction

import pytest

from pkverify.claims import CHECKED_IN_GENERAL, CLAIMS
from pkverify.errors import InputError
from pkverify.evidence import Evidence, Verdict
from pkverify.exact import proof_steps
from pkverify.exact.proof_steps import PROOFS, STEP_IDS, derivation, prove


@pytest.fixture(scope="module")
def evidence() -> dict[str, Evidence]:
    return {claim: prove(claim) for claim in PROOFS}


@pytest.mark.parametrize("claim", PROOFS)
def test_the_claim_is_proved(claim: str, evidence: dict[str, Evidence]) -> None:
    found = evidence[claim]

    assert (found.claim, found.verdict, found.method, found.residual) == (claim, Verdict.PROVED, "exact", "0")
    assert found.witness is None
    assert "arbitrary f and l" in found.message


@pytest.mark.parametrize("claim", PROOFS)
def test_the_proof_assumes_what_the_registry_says(claim: str, evidence: dict[str, Evidence]) -> None:
    found = [h for h in evidence[claim].hypotheses if h.id != "cited"]

    assert tuple(h.id for h in found) == CLAIMS[claim].hypotheses_needed
    assert all((h.verdict, h.message) == (Verdict.NOT_CHECKABLE, "assumed") for h in found)


def test_an_argument_in_words_stands_among_the_hypotheses(evidence: dict[str, Evidence]) -> None:
    cited = {claim for claim, found in evidence.items() if any(h.id == "cited" for h in found.hypotheses)}

    assert cited == {"P2", "T1b"}


def test_the_registry_knows_what_is_proved_in_general() -> None:
    assert sorted(CHECKED_IN_GENERAL) == sorted(PROOFS)


def test_every_claim_of_the_registry_that_is_a_step_has_a_proof() -> None:
    assert {claim for claim in CLAIMS if claim in STEP_IDS} == set(STEP_IDS) <= PROOFS.keys()


def test_all_sizes_up_to_three_are_decided() -> None:
    assert {(m.params, m.examples) for m in proof_steps.SCALAR} == {(d, m) for d in (1, 2, 3) for m in (1, 2, 3)}


def test_the_derivation_has_twelve_steps(evidence: dict[str, Evidence]) -> None:
    steps = derivation(evidence)

    assert tuple(step.claim for step in steps) == STEP_IDS
    assert all(
        step.verdict is Verdict.PROVED and step.text and step.latex.count("{") == step.latex.count("}")
        for step in steps
    )


def test_an_unknown_claim_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no proof of 'P13'"):
        prove("P13")


def test_the_vanishing_kernel_named_with_p9_exists() -> None:
    # f = 5w - 9w^2/2, f_1 = w, l_1(y) = -log(1 + y), w(0) = 0: w' = 1/(1 + w), so dt = (1 + w) dw and w = 1 at T = 3/2.
    def integrated(*coefficients: int) -> Fraction:
        return sum((Fraction(c, k + 1) for k, c in enumerate(coefficients)), Fraction(0))

    horizon = integrated(1, 1)
    path_kernel = integrated(5, 5 - 9, -9)  # f'(w) dt = (5 - 9w)(1 + w) dw
    output_change = Fraction(5) - Fraction(9, 2)
    weighted = -integrated(5, -9)  # l_1' f'(w) dt = -(5 - 9w) dw

    assert (horizon, path_kernel, output_change, weighted) == (Fraction(3, 2), 0, Fraction(1, 2), Fraction(-1, 2))
    assert "K_1 = 0 while y_T - y_0 = 1/2" in prove("P9").message
