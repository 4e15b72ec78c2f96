"""The audit of the paper for the terminal: holes first, then what differs from the registry, then claim by claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table

from pkverify.checks.paper.table import Audited, Comparison, part_of, standing_behind
from pkverify.claims import CLAIMS, HYPOTHESES, PARTS, Claim
from pkverify.evidence import Verdict
from pkverify.report.theorems import formal_rows

TITLES = {
    "theorem": "Section 2: Theorem 1",
    "proof": "Section 2: the proof, step by step",
    "definitions": "Sections 1 and 2: definitions, and what is said of them",
    "remarks": "Section 2: Remarks 1 to 5",
    "connections": "Section 2: after the remarks",
    "discussion": "Abstract and Sections 1 and 3: what is concluded",
    "beyond": "Beyond the paper: exact extensions",
    "closed_forms": "Beyond the paper: laws",
}
_COLOURS = {
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.REFUTED: "bold red",
}
_DETAILED = 3  # so many claims, asked for by id, are explained at length
_SHOWN = 150  # characters of a witness in a table
_COLUMNS = (("id", 4), ("claim", 26), ("status", 17), ("needs", 11), ("witness, or what it rests on", 54))


def paper_text(audited: Audited, *, colour: bool = False, width: int = 120) -> str:
    """The audit as text.

    Args:
        audited: The audit.
        colour: Whether to use terminal colours.
        width: Columns.
    """
    comparisons, holes = audited.comparisons, audited.holes
    buffer = StringIO()
    console = Console(
        file=buffer, force_terminal=colour, no_color=not colour, width=width, highlight=False, emoji=False, markup=False
    )
    if holes:
        console.print(f"holes (claims without an audit): {', '.join(holes)}", style="yellow", soft_wrap=True)
    if audited.interrupted:
        console.print("interrupted: what follows was finished before the interruption", style="yellow")
    for each in comparisons:
        if not each.agrees:
            console.print(_difference(each), style="bold yellow", soft_wrap=True)
    if len(comparisons) <= _DETAILED:
        for each in comparisons:
            _explain(console, each)
    else:
        for part in PARTS:
            _section(console, part, [each for each in comparisons if part_of(each.finding.claim) == part])
    console.print()
    console.print(summary(comparisons, holes), soft_wrap=True)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def summary(comparisons: Sequence[Comparison], holes: Sequence[str] = ()) -> str:
    """One line of counts: how the claims stand, what differs from the registry, what is open."""
    counts = Counter(each.finding.status.value for each in comparisons if not each.is_open)
    parts = [f"{count} {name}" for name, count in counts.most_common()]
    differ = sum(each.differs for each in comparisons)
    still_open = sum(each.is_open for each in comparisons)
    agree = len(comparisons) - differ - still_open
    plural = "" if len(comparisons) == 1 else "s"
    return (
        f"{len(comparisons)} claim{plural}: {', '.join(parts) or 'none judged'}; "
        f"{agree} as the registry says, {differ} not, {still_open} open, {len(holes)} holes"
    )


def _difference(each: Comparison) -> str:
    finding = each.finding
    if each.is_open:
        return f"{finding.claim} is open: {finding.evidence.message}"
    return f"{finding.claim} differs: {finding.status.value}, and the registry says {each.expected.value}"


def _section(console: Console, part: str, comparisons: Sequence[Comparison]) -> None:
    if not comparisons:
        return
    console.print()
    console.rule(TITLES[part], align="left")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, columns in _COLUMNS:
        table.add_column(name, width=columns, overflow="fold")
    for each in comparisons:
        claim, verdict = CLAIMS[each.finding.claim], each.finding.evidence.verdict
        table.add_row(
            claim.id, claim.title, _standing(each), " ".join(claim.hypotheses_needed), _witness(each),
            style=_COLOURS.get(verdict, ""),
        )  # fmt: skip
    console.print(table)


def _standing(each: Comparison) -> str:
    """The status, and the verdict where there is one."""
    status, verdict = each.finding.status.value, each.finding.evidence.verdict
    return f"{status} ({verdict.value})" if verdict.judged else status


def _witness(each: Comparison) -> str:
    """The first counterexample; where there is none, the reason of what is no pass, or what a pass rests on."""
    evidence, witnesses = each.finding.evidence, each.finding.witnesses
    if witnesses:
        first, *others = witnesses
        return _shortened(str(first)) + (f" (and {len(others)} more)" if others else "")
    return _shortened(evidence.witness or evidence.message)


def _explain(console: Console, each: Comparison) -> None:
    finding, claim = each.finding, CLAIMS[each.finding.claim]
    evidence = finding.evidence
    rows = [("statement", claim.statement), ("the paper", str(claim.anchor)), *_needs(claim)]
    rows.append(("as printed", f"{finding.status.value}; {evidence.verdict.value} ({evidence.method})"))
    rows.append(("registry", each.expected.value))
    rows += [(name, value) for name in ("residual", "bound", "tolerance") if (value := getattr(evidence, name))]
    rows += [("because", evidence.message)] if evidence.message else []
    rows += [("under", f"{h.id}: {h.verdict.value}: {h.message}") for h in evidence.hypotheses if h.message]
    for witness in finding.witnesses:
        rows += [("witness", f"{witness.id}: {witness.statement}"), ("", f"setting: {witness.setting}")]
        rows += [("", f"{name} = {value}") for name, value in witness.values]
        rows += [("", f"lacks: {witness.lacks}")] if witness.lacks else []
        rows += [("", f"problem file: {witness.problem}")] if witness.problem else []
    if evidence.witness and not finding.witnesses:
        rows.append(("witness", evidence.witness))
    rows += [("instead", claim.repaired)] if claim.repaired else []
    if finding.repaired is not None:
        rows.append(("", f"{finding.repaired.verdict.value} ({finding.repaired.method}): {finding.repaired.message}"))
    rows += formal_rows(claim.id)
    console.print()
    console.print(f"{claim.id}  {claim.title}")
    for name, value in rows:
        console.print(f"  {name:<11} {value}", soft_wrap=True)


def claim_text(claim: Claim) -> str:
    """A claim explained: how it stands, what it needs, and what looks at it."""
    rows = [("statement", claim.statement), ("the paper", str(claim.anchor)), ("it stands", claim.status.value)]
    rows += [("instead", claim.repaired)] if claim.repaired else []
    rows += [("it assumes", ", ".join(claim.hypotheses_stated) or "nothing"), *_needs(claim)]
    rows += [("it uses", ", ".join(claim.uses))] if claim.uses else []
    rows += [("remark", claim.remark)] if claim.remark else []
    rows += [("checked by", behind) for behind in standing_behind(claim.id)]
    rows += formal_rows(claim.id)
    return "\n".join([f"{claim.id}  {claim.title}", "", *(f"  {name:<11} {value}" for name, value in rows)]) + "\n"


def _needs(claim: Claim) -> list[tuple[str, str]]:
    return [("it needs", f"{each}: {HYPOTHESES[each].statement}") for each in claim.hypotheses_needed]


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 4].rsplit(" ", 1)[0] + " ..."
