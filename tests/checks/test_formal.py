"""A formal theorem speaks of a problem only where balls discharge every hypothesis of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pkverify.cases import case_problems
from pkverify.certified.enclosure import enclose
from pkverify.checks import formal
from pkverify.checks.certified import certified_evidence
from pkverify.checks.formal import formal_evidence
from pkverify.evidence import Evidence, Verdict
from pkverify.formal import FormalTheorem, ProofState, Standing
from pkverify.problem import Problem

PROBLEMS = dict(pair for case in ("linear", "mlp", "xent") for pair in case_problems(case))
PRODUCT = PROBLEMS["mlp-product-balanced"]
FOUND = certified_evidence(enclose(PRODUCT, 15))


def proved(problem: Problem, found: list[Evidence], claims: frozenset[str] | None = None) -> dict[str, str]:
    return {item.claim: item.message.partition(" ")[0] for item in formal_evidence(problem, found, claims)}


def test_balls_that_discharge_every_hypothesis_make_it_a_theorem_of_this_problem() -> None:
    assert proved(PRODUCT, FOUND) == {
        "T1": "T1_identity", "T1a": "T1a_ratio", "T1b": "T1b_limit", "T1c": "T1c_average", "D6b": "D6b",
        "D7": "D8_symmetric",
    }  # fmt: skip
    for item in formal_evidence(PRODUCT, FOUND):
        assert (item.verdict, item.method, item.route) == (Verdict.PROVED, "formal", "certified")
        assert {h.id for h in item.hypotheses} >= {"H0", "H2", "H5"}
        assert "shipped with a recorded hash, not re-checked here" in item.message


def test_a_regulariser_has_its_own_theorem() -> None:
    ridge = PROBLEMS["linear-ridge"]
    found = proved(ridge, certified_evidence(enclose(ridge, 15)))
    assert found["T1"] == "R4a"
    assert "T1a" not in found  # the identity that its theorem takes has no term of a regulariser


def without(claim: str) -> list[Evidence]:
    return [item for item in FOUND if item.claim != claim]


def weakened(claim: str) -> list[Evidence]:
    return [replace(item, verdict=Verdict.INCONCLUSIVE) if item.claim == claim else item for item in FOUND]


@pytest.mark.parametrize("change", [without, weakened])
@pytest.mark.parametrize("claim", ["T1", "T1a", "T1b", "T1c"])
def test_without_its_evidence_a_claim_is_not_proved(claim: str, change: Callable[[str], list[Evidence]]) -> None:
    left = proved(PRODUCT, change(claim))
    assert claim not in left
    assert claim != "T1" or "T1a" not in left  # its theorem takes the identity as given


def test_supported_evidence_discharges_nothing() -> None:
    assert formal_evidence(PRODUCT, [replace(i, verdict=Verdict.SUPPORTED, tolerance="1") for i in FOUND]) == []


def test_several_outputs_have_no_theorem_in_the_table() -> None:
    softmax = PROBLEMS["xent-softmax"]
    assert formal_evidence(softmax, FOUND) == []


def test_sources_that_differ_from_the_checked_ones_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formal, "proof_state", lambda: ProofState(Standing.DIFFERENT, ("Identity.v",)))
    assert formal_evidence(PRODUCT, FOUND) == []


@pytest.mark.parametrize("claims", [frozenset({"T1"}), frozenset({"T1c"}), frozenset[str]()])
def test_only_what_is_asked_for(claims: frozenset[str]) -> None:
    assert set(proved(PRODUCT, FOUND, claims)) == claims


@pytest.mark.parametrize("theorem", ["T1_identity", "T1a_ratio", "T1b_limit", "T1c_average", "D6b"])
def test_a_hypothesis_that_nobody_discharges_keeps_a_theorem_back(
    theorem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = formal.formal_theorem

    def with_one_more(name: str) -> FormalTheorem:
        found = original(name)
        if name != theorem:
            return found
        more = replace(original("T1b_bound").hypotheses[0], id="H9")
        return replace(found, hypotheses=(*found.hypotheses, more))

    monkeypatch.setattr(formal, "formal_theorem", with_one_more)
    assert theorem not in proved(PRODUCT, FOUND).values()
