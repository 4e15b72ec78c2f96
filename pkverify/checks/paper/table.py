"""The audits of the whole paper in its order, and their comparison with the registry.

An audit computes; the registry says what is to come out. They are written apart and meet only here: a claim without an
audit is a hole, and a finding that differs from the registry is reported, whichever of the two is wrong.
"""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pkverify.checks.paper.finding import Audit, Finding
from pkverify.claims import CLAIMS, PARTS, Claim, claim
from pkverify.claims.record import Status
from pkverify.errors import PkverifyError
from pkverify.evidence import THEOREM, Evidence, ProblemRun, Run, Verdict

EXIT_AS_EXPECTED, EXIT_DIFFERS, EXIT_OPEN, EXIT_INTERRUPTED = 0, 1, 3, 130


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
    """Claims that no audit looks at, in the paper's order."""
    wanted = _wanted(ids)
    known = {identifier for part in PARTS for identifier in audits_of(part)}
    return tuple(identifier for identifier in wanted if identifier not in known)


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
    return tuple(finding for finding in _findings(_wanted(ids), progress) if finding is not None)


def compare(findings: Iterable[Finding], claims: Mapping[str, Claim] = CLAIMS) -> tuple[Comparison, ...]:
    """Findings beside what a registry says of their claims."""
    return tuple(Comparison(finding, claims[finding.claim].status) for finding in findings)


def exit_code(comparisons: Sequence[Comparison], missing: Sequence[str] = ()) -> int:
    """0 when every claim came out as the registry says, 1 if any differs, 3 for holes and for what came out open."""
    if any(not (each.agrees or each.is_open) for each in comparisons):
        return EXIT_DIFFERS
    if missing or not comparisons or any(each.is_open for each in comparisons):
        return EXIT_OPEN
    return EXIT_AS_EXPECTED


def paper_run(
    comparisons: Iterable[Comparison], missing: Sequence[str] = (), *, interrupted: bool = False
) -> Run:
    """The audit as a run: each claim as printed, what holds instead nested in it.

    Evidence stands under the id of its first counterexample, or under ``theorem`` where there is none.
    """
    grouped: dict[str, list[Evidence]] = {}
    for each in comparisons:
        witnesses = each.finding.witnesses
        grouped.setdefault(witnesses[0].id if witnesses else THEOREM, []).append(as_printed(each))
    problems = tuple(ProblemRun(name, tuple(evidence)) for name, evidence in grouped.items())
    return Run(problems, holes=tuple(missing), interrupted=interrupted)


def as_printed(comparison: Comparison) -> Evidence:
    """The evidence of a finding with its status, the registry's, its witnesses, and what holds instead."""
    finding = comparison.finding
    evidence, repaired = finding.evidence, finding.repaired
    witness = evidence.witness or "; ".join(map(str, finding.witnesses)) or None
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


def _findings(wanted: Iterable[str], progress: Callable[[str], None]) -> Iterable[Finding | None]:
    for identifier in wanted:
        progress(f"auditing {identifier}")
        run_audit = audits_of(part_of(identifier)).get(identifier)
        yield None if run_audit is None else _timed(identifier, run_audit)


def _timed(identifier: str, run_audit: Audit) -> Finding:
    """One audit; where a computation is refused, the claim stays open, and says why."""
    start = time.perf_counter()
    try:
        finding = run_audit()
    except (PkverifyError, ArithmeticError) as error:
        reason = f"the audit stopped: {type(error).__name__}: {str(error).splitlines()[0]}"
        open_evidence = Evidence(identifier, Verdict.INCONCLUSIVE, "audit", message=reason)
        finding = Finding(identifier, Status.NOT_CHECKABLE, open_evidence)
    seconds = time.perf_counter() - start
    return replace(finding, evidence=replace(finding.evidence, seconds=seconds))
