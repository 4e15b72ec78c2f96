"""What a conformance check found: as text for people, as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

SCHEMA = "pkverify.conformance/1"

HOLDS, FAILS, UNDECIDED, NOT_APPLICABLE = "holds", "fails", "undecided", "not applicable"
EXIT_CODES = {"conforms": 0, "does not conform": 1, "undecided": 3}


@dataclass(frozen=True)
class Finding:
    """One relation.

    Attributes:
        relation: Its name.
        claim: The claim that fails with it, for ``pkverify claims``.
        statement: What must hold.
        verdict: ``holds``, ``fails``, ``undecided`` or ``not applicable``.
        size: The largest miss, relative to the size of the scores; for agreement the relative error.
        tolerance: What it was held against.
        tasks: On how many tasks it was measured.
        note: What the miss looks like, or why the relation says nothing.
        case: The smallest task found that fails, in a few lines; empty if none does.
    """

    relation: str
    claim: str
    statement: str
    verdict: str
    size: float
    tolerance: float
    tasks: int
    note: str = ""
    case: str = ""


@dataclass(frozen=True)
class Run:
    """One larger task, or a kind of run that the adapter does not claim to handle.

    Attributes:
        name: What the run has beyond plain descent, or ``all examples``.
        loss: Which loss.
        verdict: ``holds``, ``fails`` or ``not applicable``.
        fit: How far the scores are from the quantity, relatively.
        completeness: By how much of the change of the queries' loss or output the sums miss it.
        reference: What the scores were held against: ``float64``, or ``certified`` with a radius.
        note: Why it does not apply.
    """

    name: str
    loss: str
    verdict: str
    fit: float
    completeness: float | None
    reference: str
    note: str = ""


@dataclass(frozen=True)
class ConformanceReport:
    """What was found about one adapter.

    Attributes:
        name: Of the adapter.
        version: Of the code under test.
        quantity: What the scores were held against.
        formula: The same in symbols.
        declared: Whether the adapter says so itself.
        fit: How far the scores are from that quantity, ``|scores - scale * reference| / |scale * reference|``.
        nearest: The quantity that fits best; another than ``quantity`` only in a wrong adapter.
        scale: What the reference was multiplied by.
        params: Globs of the parameters that take part.
        completeness: ``|sum of scores - change| / |change|`` of losses or outputs, where they have one unit.
        findings: One for each relation.
        note: What the adapter says of itself.
        held_against: What the scores were compared with.
        runs: The larger tasks, one by one.
    """

    name: str
    version: str
    quantity: str
    formula: str
    declared: bool
    fit: float
    nearest: str
    scale: float
    params: tuple[str, ...]
    completeness: float | None
    findings: tuple[Finding, ...]
    note: str = ""
    held_against: str = ""
    runs: tuple[Run, ...] = ()

    @property
    def verdict(self) -> str:
        """``conforms``, ``does not conform`` or ``undecided``."""
        verdicts = {finding.verdict for finding in self.findings}
        if FAILS in verdicts:
            return "does not conform"
        return "undecided" if UNDECIDED in verdicts or HOLDS not in verdicts else "conforms"

    @property
    def exit_code(self) -> int:
        """0 conforms, 1 does not, 3 undecided."""
        return EXIT_CODES[self.verdict]

    def finding(self, relation: str) -> Finding:
        """The finding about one relation.

        Raises:
            KeyError: If there is no such relation.
        """
        for finding in self.findings:
            if finding.relation == relation:
                return finding
        raise KeyError(relation)

    def text(self) -> str:
        """The report in lines."""
        title = " ".join(part for part in (self.name, self.version) if part)
        lines = [f"{title}: {self.verdict}", ""]
        said = "as it says" if self.declared else "found out"
        lines += [
            f"  scores        {self.quantity} ({said}): {self.formula}",
            f"  parameters    {', '.join(self.params)}",
            f"  scale         {self.scale:.6g}",
            f"  off by        {_number(self.fit)}",
        ]
        if self.nearest != self.quantity:
            lines.append(f"  nearest to    {self.nearest}")
        if self.completeness is not None:
            lines.append(
                f"  completeness  the sums miss the change of the queries by {_number(self.completeness)} of it"
            )
        if self.held_against:
            lines.append(f"  held against  {self.held_against}")
        if self.note:
            lines.append(f"  note          {self.note}")
        width = max(len(finding.relation) for finding in self.findings)
        lines += ["", f"  {'relation':{width}}  {'verdict':14}  {'size':>8}  claim"]
        for f in self.findings:
            size = _number(f.size) if f.tasks else ""
            lines.append(f"  {f.relation:{width}}  {f.verdict:14}  {size:>8}  {f.claim:5}  {f.note}".rstrip())
        lines += self._run_lines()
        for f in self.findings:
            if f.verdict == FAILS:
                lines += [
                    "",
                    f"{f.relation}: {f.statement}",
                    *([f"  contradicts claim {f.claim} (pkverify claims {f.claim})"] if f.claim else []),
                ]
                lines += [f"  {line}" for line in f.case.splitlines()]
        return "\n".join(lines)

    def _run_lines(self) -> list[str]:
        if not self.runs:
            return []
        width = max(len(run.name) for run in self.runs)
        lines = ["", f"  {'run':{width}}  {'loss':13}  {'off by':>8}  {'sums miss':>9}  held against"]
        for run in self.runs:
            if run.verdict == NOT_APPLICABLE:
                lines.append(f"  {run.name:{width}}  not applicable: {run.note}")
                continue
            missed = "" if run.completeness is None else _number(run.completeness)
            lines.append(
                f"  {run.name:{width}}  {run.loss:13}  {_number(run.fit):>8}  {missed:>9}  {run.reference}".rstrip()
            )
        return lines

    def as_dict(self) -> dict[str, Any]:
        """The report as plain dicts, lists and numbers; what is infinite or no number is None."""
        plain = {"schema": SCHEMA, "verdict": self.verdict, **asdict(self)}
        return _plain(plain)

    def json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.as_dict(), indent=2, allow_nan=False)


def table(reports: list[ConformanceReport]) -> str:
    """What failed, as a Markdown table: one row for each relation of each adapter, and one for each that conforms."""
    lines = ["| peer | version | finding | size | claim |", "|---|---|---|---|---|"]
    for report in reports:
        failed = [finding for finding in report.findings if finding.verdict == FAILS]
        if not failed:
            lines.append(f"| {report.name} | {report.version} | {report.verdict} | {_number(report.fit)} | |")
        for f in failed:
            what = f"{f.relation}: {f.note}" if f.note else f"{f.relation} fails: {f.statement}"
            lines.append(f"| {report.name} | {report.version} | {what} | {_number(f.size)} | {f.claim} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.1e}" if isfinite(value) else "no number"


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_plain(entry) for entry in value]
        case float():
            return value if isfinite(value) else None
        case _:
            return value
