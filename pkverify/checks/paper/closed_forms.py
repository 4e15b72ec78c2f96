"""The audit of the single-example law, which the paper does not state."""

from __future__ import annotations

from collections.abc import Mapping

from pkverify.checks.paper.finding import Audit, Finding
from pkverify.claims.record import Status
from pkverify.evidence import Verdict
from pkverify.exact.proof_steps import prove


def audit_single_example() -> Finding:
    """SE, for arbitrary models and losses."""
    evidence = prove("SE")
    holds = evidence.verdict is Verdict.PROVED
    return Finding("SE", Status.HOLDS if holds else Status.NOT_CHECKABLE, evidence)


AUDITS: Mapping[str, Audit] = {"SE": audit_single_example}
