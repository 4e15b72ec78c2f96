"""The audits of the whole paper in its order, and their comparison with the registry.

An audit computes; the registry says what is to come out. They are written apart and meet only here: a claim without an
audit is a hole, and a finding that differs from the registry is reported, whichever of the two is wrong.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from pkverify.checks.paper.finding import Audit, Finding
from pkverify.checks.paper.pictures import counterexample_tables, drift_table
from pkverify.checks.table import PROBLEM_CHECKS
from pkverify.claims import CHECKED_IN_GENERAL, CLAIMS, PARTS, Claim, claim
from pkverify.claims.record import Status
from pkverify.errors import PkverifyError
from pkverify.evidence import THEOREM, Evidence, ProblemRun, Run, Verdict


@dataclass(frozen=True)
class Comparison:
    """A finding beside what the registry says.

    Attributes:
        finding: What the audit established.
        expected: The registry's status.
    """

    finding: Finding
    expected: Status

    @property
    def is_open(self) -> bool:
        """Whether the audit did not come out: then nothing is said for or against the registry."""
        return self.finding.evidence.verdict is Verdict.INCONCLUSIVE

    @property
    def agrees(self) -> bool:
        """Whether the claim came out as the registry says."""
        return not self.is_open and self.finding.status is self.expected

    @property
    def differs(self) -> bool:
        """Whether it came out otherwise."""
        return not self.is_open and self.finding.status is not self.expected


@dataclass(frozen=True)
class Audited:
    """A finished (or interrupted) audit.

    Attributes:
        comparisons: Findings beside the registry, in the paper's order.
        holes: Claims that no audit looks at.
        interrupted: Whether it was stopped before its end; what was finished is kept.
    """

    comparisons: tuple[Comparison, ...]
    holes: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 when every claim came out as the registry says, 1 if any differs, 3 for holes and what is open."""
        if self.interrupted:
            return 130
        if any(each.differs for each in self.comparisons):
            return 1
        if self.holes or not self.comparisons or any(each.is_open for each in self.comparisons):
            return 3
        return 0

    def run(self) -> Run:
        """The audit as a run: each claim as printed, what holds instead nested in it.

        Evidence stands under the id of its first counterexample, or under ``theorem`` where there is none. The run's
        verdict is the weakest over what the paper prints; whether that was expected is for ``exit_code`` to say.
        """
        grouped: dict[str, list[Evidence]] = {}
        for each in self.comparisons:
            witnesses = each.finding.witnesses
            grouped.setdefault(witnesses[0].id if witnesses else THEOREM, []).append(as_printed(each))
        problems = [_pictured(name, evidence) for name, evidence in grouped.items()]
        return Run(tuple(problems), holes=self.holes, interrupted=self.interrupted)


def _pictured(name: str, evidence: list[Evidence]) -> ProblemRun:
    """What was found under one name, with the tables that a report draws of it."""
    tables, source = counterexample_tables(name)
    if name == THEOREM and any(item.claim == "D6a" for item in evidence):
        tables = drift_table()
    return ProblemRun(name, tuple(evidence), series=tables, source=source)


def part_of(claim_id: str) -> str:
    """The part of the paper that a claim belongs to; its audits are in the module of that name.

    Example:
        >>> part_of("P9"), part_of("E1")
        ('proof', 'beyond')
    """
    return next(name for name, claims in PARTS.items() if any(each.id == claim_id for each in claims))


def audits_of(part: str) -> Mapping[str, Audit]:
    """The audits of one part of the paper; empty where nobody has written them.

    A part is loaded when it is asked for: one claim should not wait for the libraries of all the others.
    """
    name = f"{__package__}.{part}"
    if importlib.util.find_spec(name) is None:
        return {}
    return importlib.import_module(name).AUDITS


def holes(ids: Iterable[str] | None = None) -> tuple[str, ...]:
    """Claims that no audit looks at, in the paper's order.

    Raises:
        InputError: For an unknown claim.
    """
    return tuple(identifier for identifier in _wanted(ids) if identifier not in audits_of(part_of(identifier)))


def standing_behind(claim_id: str) -> tuple[str, ...]:
    """What looks at a claim, in words: its audit, the proof from generic functions, the check on problems."""
    part = part_of(claim_id)
    known = [f"audit of the paper, {part}: pkverify paper {claim_id}"] if claim_id in audits_of(part) else []
    known += ["proof for arbitrary functions, exact: pkverify check"] if claim_id in CHECKED_IN_GENERAL else []
    known += [f"check on problems: pkverify check FILE --claims {claim_id}"] if claim_id in PROBLEM_CHECKS else []
    return tuple(known) or ("nothing: a hole",)


def audit(ids: Iterable[str] | None = None, progress: Callable[[str], None] = lambda _: None) -> tuple[Finding, ...]:
    """Audit the paper: every claim is established anew.

    Args:
        ids: Claim ids; all when left out. Claims without an audit are left out of the findings: see ``holes``.
        progress: Called with a line before each claim.

    Returns:
        A finding a claim, in the paper's order.

    Raises:
        InputError: For an unknown claim.
    """
    return tuple(_findings(_wanted(ids), progress))


def audit_paper(ids: Iterable[str] | None = None, progress: Callable[[str], None] = lambda _: None) -> Audited:
    """Audit the paper and hold the findings against the registry; an interruption keeps what was finished.

    Args:
        ids: Claim ids; all when left out.
        progress: Called with a line before each claim.

    Raises:
        InputError: For an unknown claim.
    """
    wanted = _wanted(ids)
    missing = holes(wanted)
    finished: list[Finding] = []
    try:
        finished.extend(_findings(wanted, progress))
    except KeyboardInterrupt:
        return Audited(compare(finished), missing, interrupted=True)
    return Audited(compare(finished), missing)


def compare(findings: Iterable[Finding], claims: Mapping[str, Claim] = CLAIMS) -> tuple[Comparison, ...]:
    """Findings beside what a registry says of their claims."""
    return tuple(Comparison(finding, claims[finding.claim].status) for finding in findings)


def as_printed(comparison: Comparison) -> Evidence:
    """The evidence of a finding with its status, the registry's, its witnesses, and what holds instead."""
    finding = comparison.finding
    evidence, repaired = finding.evidence, finding.repaired
    witness = "; ".join(map(str, finding.witnesses)) or evidence.witness
    return replace(
        evidence,
        form="as-printed",
        status=finding.status.value,
        expected=comparison.expected.value,
        witness=witness,
        repaired=None if repaired is None else replace(repaired, form="repaired"),
    )


def _wanted(ids: Iterable[str] | None) -> tuple[str, ...]:
    """The ids asked for, each once, in the paper's order."""
    if ids is None:
        return tuple(CLAIMS)
    asked = {claim(identifier).id for identifier in ids}
    return tuple(identifier for identifier in CLAIMS if identifier in asked)


def _findings(wanted: Iterable[str], progress: Callable[[str], None]) -> Iterator[Finding]:
    for identifier in wanted:
        run_audit = audits_of(part_of(identifier)).get(identifier)
        if run_audit is not None:
            progress(f"auditing {identifier}")
            yield _timed(identifier, run_audit)


def _timed(identifier: str, run_audit: Audit) -> Finding:
    """One audit; where a computation is refused, the claim stays open, and says why."""
    start = time.perf_counter()
    try:
        finding = run_audit()
    except (PkverifyError, ArithmeticError) as error:
        reason = f"the audit stopped: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        finding = Finding(
            identifier, Status.NOT_CHECKABLE, Evidence(identifier, Verdict.INCONCLUSIVE, "audit", message=reason)
        )
    return replace(finding, evidence=replace(finding.evidence, seconds=time.perf_counter() - start))
