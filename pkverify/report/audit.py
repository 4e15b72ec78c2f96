"""The report on an audit: the paper's claims in its order, each with what was found, as an annotated companion."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from pkverify.claims import CLAIMS, HYPOTHESES, PARTS, Claim, Status
from pkverify.report.content import claim_link, environment_blocks, meanings
from pkverify.report.document import (
    Block,
    Code,
    Document,
    Facts,
    Figure,
    Heading,
    Inlines,
    Listing,
    Mark,
    Paragraph,
    ReportFigure,
    Table,
    Text,
    joined,
    rich,
    words,
)
from pkverify.report.paper import TITLES
from pkverify.report.phrases import mark
from pkverify.report.records import EvidenceRecord, RunRecord
from pkverify.report.theorems import formal_rows

# Counterexamples are told in one line, "CE-A: setting: values; CE-B: ...", and their ids look like this.
_NEXT = re.compile(r"; (?=(?:CE-[\w-]+|Fig\d[\w-]*|[A-Z]\d\w*(?:-[\w-]+)?): )")
_NAMED = re.compile(r"(CE-[\w-]+|Fig\d[\w-]*|[A-Z]\d\w*(?:-[\w-]+)?): (.*)", re.DOTALL)


def is_audit(run: RunRecord) -> bool:
    """Whether the run judges claims as the paper prints them."""
    return any(item.form for problem in run.problems for item in problem.evidence)


def audit_document(run: RunRecord, figures: Sequence[ReportFigure] = ()) -> Document:
    """The report on an audit of the paper.

    Args:
        run: The audit as it is saved.
        figures: Figures, each with the id of its claim.
    """
    found = {item.claim: item for problem in run.problems for item in problem.evidence}
    ordered = [i for i in CLAIMS if i in found] + [i for i in found if i not in CLAIMS]
    differing = [i for i in ordered if _differs(found[i])]
    still_open = [i for i in ordered if found[i].verdict == "inconclusive"]
    blocks: list[Block] = [*_obstacles(run, found, differing, still_open), *_glance(found, ordered)]
    for part, claims in PARTS.items():
        if own := [claim for claim in claims if claim.id in found]:
            blocks.append(Heading(2, (Text(TITLES[part]),), f"part-{part.replace('_', '-')}"))
            for claim in own:
                blocks += _card(claim, found[claim.id], [figure for figure in figures if figure.claim == claim.id])
    if unknown := [i for i in ordered if i not in CLAIMS]:
        blocks.append(Heading(2, (Text("Claims that this version's registry does not have"),), "unknown"))
        blocks.append(Listing(tuple((Text(f"{i}: "), mark(found[i].verdict), *_message(found[i])) for i in unknown)))
    if left := [figure for figure in figures if figure.claim not in found]:
        blocks += [Heading(2, (Text("Figures"),), "figures"), *map(Figure, left)]
    hypotheses = tuple((each.id, (Text(f"{each.title}: "), *rich(each.statement))) for each in HYPOTHESES.values())
    blocks += [Heading(2, (Text("The hypotheses"),), "hypotheses"), Facts(hypotheses)]
    blocks += [*meanings(), *environment_blocks(run)]
    word, headline = _verdict(run, ordered, differing, still_open)
    statuses = Counter(found[i].status for i in ordered if found[i].status)
    return Document(
        title="The paper, claim by claim",
        kicker="P. Domingos, “Every Model Learned by Gradient Descent Is Approximately a Kernel Machine” (2020)",
        mark=word,
        headline=headline,
        counts=tuple((count, mark(status)) for status, count in statuses.most_common()),
        blocks=tuple(blocks),
    )


def _differs(item: EvidenceRecord) -> bool:
    return item.verdict != "inconclusive" and item.status != item.expected


def _verdict(
    run: RunRecord, ordered: Sequence[str], differing: Sequence[str], still_open: Sequence[str]
) -> tuple[Mark, str]:
    """What came of the audit: a false claim that is refuted is no failure of it."""
    if run.interrupted:
        return Mark("interrupted", "open"), "The audit was interrupted; what follows was finished before."
    if differing:
        return Mark(
            "differs", "bad"
        ), f"{len(differing)} of {len(ordered)} claims came out otherwise than the registry says."
    if run.holes or still_open or not ordered:
        return Mark(
            "open", "open"
        ), f"{len(still_open)} of {len(ordered)} claims are open, and {len(run.holes)} have no audit."
    plural = "s" if len(ordered) > 1 else ""
    return Mark(
        "as expected", "good"
    ), f"{len(ordered)} claim{plural} audited anew; each came out as the registry says."


def _obstacles(
    run: RunRecord, found: Mapping[str, EvidenceRecord], differing: Sequence[str], still_open: Sequence[str]
) -> list[Block]:
    items: list[Inlines] = []
    if run.interrupted:
        items.append((mark("inconclusive"), Text(" the audit was interrupted before its end")))
    items += [(mark("inconclusive"), Text(f" hole: no audit looks at {i}")) for i in run.holes]
    for i in differing:
        text = f": {found[i].status}, and the registry says {found[i].expected}"
        items.append((mark("refuted"), Text(" "), *claim_link(i), Text(text)))
    items += [(mark("inconclusive"), Text(" "), *claim_link(i), Text(": "), *_message(found[i])) for i in still_open]
    heading = Heading(2, (Text("Holes, differences, and what is open"),), "obstacles")
    if items:
        return [heading, Listing(tuple(items), "obstacles")]
    said = (
        "None: every claim was audited, and each came out as the registry says. A claim that is false as printed is "
        "expected to be refuted."
    )
    return [heading, Paragraph((Text(said),))]


def _glance(found: Mapping[str, EvidenceRecord], ordered: Sequence[str]) -> list[Block]:
    """Which claims stand how."""
    by_status: dict[str, list[str]] = {}
    for i in ordered:
        by_status.setdefault(found[i].status, []).append(i)
    rows = tuple(
        ((mark(status),), (Text(str(len(ids))),), joined(map(claim_link, ids)))
        for status, ids in sorted(by_status.items(), key=lambda each: (-len(each[1]), each[0]))
    )
    return [
        Heading(2, (Text("At a glance"),), "glance"),
        Table("How the claims stand, as the paper prints them", ("as printed", "claims", "which"), rows, "lrl"),
    ]


def _card(claim: Claim, item: EvidenceRecord, figures: Sequence[ReportFigure]) -> list[Block]:
    heading = Heading(3, (Text(f"{claim.id} "), Text(claim.title)), f"claim-{claim.id}")
    rows: list[tuple[str, Inlines]] = [("claim", rich(claim.statement))]
    if claim.anchor.section:
        quote = (Text(f": “{claim.anchor.quote}”"),) if claim.anchor.quote else ()
        rows.append(("in the paper", (Text(f"section {claim.anchor.section}"), *quote)))
    else:
        rows.append(("in the paper", (Text("the paper does not say it"),)))
    how = f"{item.route}, {item.method}" if item.route and item.route != item.method else item.method
    verdict = (Text(" "), mark(item.verdict)) if item.verdict != "not-checkable" else ()
    rows.append(("as printed", (mark(item.status or item.verdict), *verdict, Text(f" ({how})"))))
    if item.message:
        rows.append(("because", words(item.message)))
    rows += [(name, (Code(text),)) for name, text in _numbers(item)]
    shown = "counterexample" if item.verdict == "refuted" or item.status == Status.IMPRECISE.value else "example"
    rows += [(shown if place == 0 else "and", told) for place, told in enumerate(_witnesses(item))]
    if claim.repaired:
        rows.append(("instead", rich(claim.repaired)))
    if item.repaired is not None:
        name = "which is" if claim.repaired else "moreover"
        rows.append((name, (mark(item.repaired.verdict), *_message(item.repaired))))
    needs = claim.hypotheses_needed
    if needs:
        rows.append(("needs", joined((Text(f"{i} ({HYPOTHESES[i].title})"),) for i in needs)))
    judged = item.repaired if item.repaired is not None else item
    for each in judged.hypotheses:
        if each.message and each.message != "assumed":
            rows.append(("cited" if each.id == "cited" else f"on {each.id}", words(each.message)))
    rows += [(name or "formal", words(text)) for name, text in formal_rows(claim.id)]
    if claim.remark:
        rows.append(("remark", rich(claim.remark)))
    return [heading, Facts(tuple(rows)), *map(Figure, figures)]


def _message(item: EvidenceRecord) -> Inlines:
    return (Text(" "), *words(item.message)) if item.message else ()


def _numbers(item: EvidenceRecord) -> list[tuple[str, str]]:
    named = (("residual", item.residual), ("bound", item.bound), ("tolerance", item.tolerance))
    return [(name, text) for name, text in named if text is not None]


def _witnesses(item: EvidenceRecord) -> list[Inlines]:
    """The counterexamples one by one; what does not look like one comes back whole."""
    found: list[Inlines] = []
    for told in _NEXT.split(item.witness) if item.witness else ():
        named = _NAMED.fullmatch(told)
        found.append((Text(f"{named[1]} ", strong=True), Code(named[2])) if named else (Code(told),))
    return found
