"""From demonstrations to findings: what was shown decides the status, and what was not shown leaves the claim open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pkverify.checks.paper.finding import Finding, Witness
from pkverify.checks.paper.outcomes import exact, holds, unsettled
from pkverify.claims.record import Status
from pkverify.evidence import Evidence, Verdict
from pkverify.exact.paper_demonstration import Demonstration
from pkverify.exact.proof_steps import prove


@dataclass(frozen=True)
class Shown:
    """A witness, and the demonstration that it stands or falls with."""

    witness: Witness
    demonstration: Demonstration


def shown(witness: Witness, demonstration: Demonstration) -> Shown:
    """A witness that carries the numbers of its demonstration."""
    return Shown(replace(witness, values=(*witness.values, *demonstration.values)), demonstration)


def setting(text: str, data: object, shipped: object) -> str:
    """The setting of a counterexample; other data than it ships with are told besides."""
    return text if data == shipped else f"{text}; but with {data}"


def standing(witnesses: Iterable[Shown]) -> tuple[Witness, ...]:
    """The witnesses whose demonstrations came out."""
    return tuple(each.witness for each in witnesses if each.demonstration.holds)


def refuted_by(
    claim: str, witnesses: Sequence[Shown], message: str, repaired: Evidence | None = None, *, method: str = "exact"
) -> Finding:
    """False as printed, if at least one counterexample came out; else open. Only those that came out are named."""
    found = standing(witnesses)
    if not found:
        return unsettled(claim, _failures(witnesses), repaired)
    text = "; ".join(map(str, found))
    return Finding(
        claim, Status.FALSE, Evidence(claim, Verdict.REFUTED, method, witness=text, message=message), repaired, found
    )


def imprecise_by(claim: str, witnesses: Sequence[Shown], message: str, repaired: Evidence | None = None) -> Finding:
    """Imprecise, if every reading and every counterexample came out; else open."""
    if any(not each.demonstration.holds for each in witnesses):
        return unsettled(claim, _failures(witnesses), repaired)
    evidence = Evidence(claim, Verdict.NOT_CHECKABLE, "words", message=message)
    return Finding(claim, Status.IMPRECISE, evidence, repaired, standing(witnesses))


def defined(claim: str, reason: str, repaired: Evidence | None = None, witnesses: Sequence[Shown] = ()) -> Finding:
    """A definition or a convention: not true or false; what follows from it is checked and must come out."""
    if (repaired is not None and not repaired.verdict.holds) or any(not w.demonstration.holds for w in witnesses):
        failed = _failures(witnesses) or (repaired.message if repaired else "")
        return unsettled(claim, failed, repaired)
    evidence = Evidence(claim, Verdict.NOT_CHECKABLE, "words", message=reason)
    return Finding(claim, Status.DEFINITION, evidence, repaired, standing(witnesses))


def holds_by(
    claim: str,
    evidence: Evidence,
    *,
    under: bool = False,
    repaired: Evidence | None = None,
    witnesses: Sequence[Shown] = (),
) -> Finding:
    """Holds, if its evidence does and every witness that sets its limits came out; else open."""
    if any(not each.demonstration.holds for each in witnesses):
        return unsettled(claim, _failures(witnesses), repaired)
    return holds(claim, evidence, under=under, repaired=repaired, witnesses=standing(witnesses))


def proved_here(claim: str, demonstrations: Sequence[Demonstration], message: str) -> Evidence:
    """``proved`` where all demonstrations came out; the facts that they rest on are listed."""
    failed = next((each.failed for each in demonstrations if not each.holds), "")
    if failed:
        return Evidence(claim, Verdict.INCONCLUSIVE, "exact", message=f"not established: {failed}")
    facts = "; ".join(statement for each in demonstrations for statement, _ in each.facts)
    return exact(claim, f"{message} [{facts}]")


def proved_in_general(claim: str) -> Evidence:
    """The proof for unknown functions, without its running time: a finding is the same whenever it is made."""
    return replace(prove(claim), seconds=0.0)


def _failures(witnesses: Iterable[Shown]) -> str:
    return "; ".join(
        f"{each.witness.id}: {each.demonstration.failed or 'nothing was shown'}"
        for each in witnesses
        if not each.demonstration.holds
    )
