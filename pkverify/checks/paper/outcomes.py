"""The few ways in which an audit ends, and how counterexamples are read and their numbers printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from functools import wraps
from importlib import resources
from typing import ParamSpec

from pkverify.arithmetic.ball import Ball, BallDomainError, ball_text, to_decimal, working_precision
from pkverify.checks.paper.finding import Finding, Witness
from pkverify.claims.record import Status
from pkverify.errors import PkverifyError
from pkverify.evidence import Evidence, HypothesisEvidence, Verdict
from pkverify.exact.paper_flow import BITS
from pkverify.exact.proof_steps import prove
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem

P = ParamSpec("P")
_UNCHECKED = Verdict.NOT_CHECKABLE
FOLDER = "counterexamples"


def counterexample(name: str) -> Problem:
    """A problem that ships as a counterexample.

    Example:
        >>> counterexample("r2b").model.params
        ('w_1_1',)
    """
    file = resources.files("pkverify.cases") / FOLDER / f"{name}.toml"
    return parse_problem(file.read_text(encoding="utf-8"))


def in_balls(audit: Callable[P, Finding]) -> Callable[P, Finding]:
    """Run an audit at the working precision of the balls; where one is refused, the audit did not come out."""

    @wraps(audit)
    def guarded(*data: P.args, **named: P.kwargs) -> Finding:
        with working_precision(BITS):
            try:
                return audit(*data, **named)
            except (BallDomainError, PkverifyError, ZeroDivisionError) as error:
                return unsettled(_claim_of(audit.__name__), f"the numbers could not be enclosed: {error}")

    return guarded


def _claim_of(name: str) -> str:
    """The claim that an audit function is named after: ``audit_s9a`` audits ``S9a``."""
    tail = name.removeprefix("audit_")
    return tail[0].upper() + tail[1:]


def digits(value: Ball | Fraction | int, count: int = 15) -> str:
    """A number for a reader: a fraction exactly, a ball to so many right digits."""
    if isinstance(value, Fraction | int):
        return str(value)
    return to_decimal(value, count) or ball_text(value, count)


def exact(claim: str, message: str, residual: str | None = "0") -> Evidence:
    """Evidence of an exact identity."""
    return Evidence(claim, Verdict.PROVED, "exact", residual=residual, message=message)


def enclosed(claim: str, message: str, bound: str) -> Evidence:
    """Evidence that rests on balls."""
    return Evidence(claim, Verdict.CERTIFIED, "ball", bound=bound, message=message)


def generic(claim: str, proof: str, message: str, cited: str = "") -> Evidence:
    """The proof of another claim for unknown functions, as evidence for this one.

    Args:
        claim: The claim that it is evidence for.
        proof: The claim that has the proof.
        message: How the one follows from the other.
        cited: An argument that is used and not checked.
    """
    found = prove(proof)
    used = (*found.hypotheses, *([HypothesisEvidence("cited", _UNCHECKED, cited)] if cited else []))
    message = f"{message} [{proof}: {found.message}]"
    return replace(found, claim=claim, hypotheses=used, message=message, seconds=0.0)


def citing(evidence: Evidence, argument: str) -> Evidence:
    """The same evidence, with an argument that it uses and that is not checked."""
    return replace(evidence, hypotheses=(*evidence.hypotheses, HypothesisEvidence("cited", _UNCHECKED, argument)))


def proved_if(check: object, claim: str, message: str) -> Evidence:
    """``proved`` where an exact check came out, ``inconclusive`` where it did not."""
    if check:
        return exact(claim, message)
    return Evidence(claim, Verdict.INCONCLUSIVE, "exact", message=f"not established: {message}")


def refuted(
    claim: str, witnesses: Iterable[Witness], message: str, repaired: Evidence | None = None, *, method: str = "exact"
) -> Finding:
    """The claim is false as printed, by exact or (``method="ball"``) ball arithmetic."""
    found = tuple(witnesses)
    text = "; ".join(map(str, found))
    evidence = Evidence(claim, Verdict.REFUTED, method, witness=text, message=message)
    return Finding(claim, Status.FALSE, evidence, repaired, found)


def imprecise(claim: str, witnesses: Iterable[Witness], message: str, repaired: Evidence | None = None) -> Finding:
    """The claim has a reading that holds and one that does not; the witnesses belong to the second."""
    evidence = Evidence(claim, Verdict.NOT_CHECKABLE, "words", message=message)
    return Finding(claim, Status.IMPRECISE, evidence, repaired, tuple(witnesses))


def holds(
    claim: str,
    evidence: Evidence,
    *,
    under: bool = False,
    repaired: Evidence | None = None,
    witnesses: Iterable[Witness] = (),
) -> Finding:
    """The claim holds if its evidence does; else nothing was established."""
    if not evidence.verdict.holds:
        return unsettled(claim, evidence.message, repaired)
    status = Status.HOLDS_UNDER if under else Status.HOLDS
    return Finding(claim, status, evidence, repaired, tuple(witnesses))


def words(claim: str, reason: str, repaired: Evidence | None = None, witnesses: Iterable[Witness] = ()) -> Finding:
    """The claim is opinion, history or an open question: there is nothing in it to be true or false."""
    evidence = Evidence(claim, Verdict.NOT_CHECKABLE, "words", message=reason)
    return Finding(claim, Status.NOT_CHECKABLE, evidence, repaired, tuple(witnesses))


def unsettled(claim: str, reason: str, repaired: Evidence | None = None) -> Finding:
    """The check did not come out: nothing is said of the claim, and a comparison with the registry will differ."""
    evidence = Evidence(claim, Verdict.INCONCLUSIVE, "exact", message=f"the check did not come out: {reason}")
    return Finding(claim, Status.NOT_CHECKABLE, evidence, repaired)
