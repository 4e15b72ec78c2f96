"""The report on a run: what came out, what stands in its way, and then problem by problem what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

from pkverify.claims import CLAIMS, HYPOTHESES
from pkverify.evidence import THEOREM, Verdict, combine_routes
from pkverify.report.document import (
    Block,
    Code,
    Derivation,
    Document,
    Facts,
    Figure,
    Heading,
    Inlines,
    Line,
    Link,
    Listing,
    Math,
    Paragraph,
    ReportFigure,
    Source,
    Table,
    Text,
    joined,
    rich,
    words,
)
from pkverify.report.phrases import HEADLINES, MEANINGS, STATED, mark
from pkverify.report.predictions import prediction_blocks
from pkverify.report.problem import Stated, problem_blocks, read_stated
from pkverify.report.records import EvidenceRecord, ProblemRecord, RunRecord

_JUDGED = ("refuted", "inconclusive", "supported", "certified", "proved")


def run_document(run: RunRecord, figures: Sequence[ReportFigure] = ()) -> Document:
    """The report on a run.

    Args:
        run: The run as it is saved.
        figures: Figures, each with the name of its problem.
    """
    problems = [problem for problem in run.problems if problem.name != THEOREM]
    stated = {problem.name: read_stated(problem.source) for problem in problems}
    counts = Counter(verdict for problem in run.problems for verdict in verdicts(problem).values())
    blocks = [*_obstacles(run), *_statement()]
    if len(problems) > 1:
        blocks += _overview(problems, stated)
    for number, problem in enumerate(problems, start=1):
        own = [figure for figure in figures if figure.problem == problem.name]
        blocks += _problem(problem, stated[problem.name], f"problem-{number}", own)
    for problem in run.problems:
        if problem.name == THEOREM:
            blocks += _theorem(problem)
    named = {problem.name for problem in problems}
    if left := [figure for figure in figures if figure.problem not in named]:
        blocks += [Heading(2, (Text("Figures"),), "figures"), *map(Figure, left)]
    blocks += [*_glossary(run), *meanings(), *environment_blocks(run)]
    title = f"The path-kernel decomposition on {len(problems)} problems"
    if len(problems) == 1:
        title = stated[problems[0].name].title or problems[0].name
    elif not problems:
        title = "The theorem, step by step"
    return Document(
        title=title,
        kicker="Gradient flow as a kernel machine: derivation and evidence",
        mark=mark(run.verdict),
        headline=_headline(run),
        counts=tuple((counts[word], mark(word)) for word in MEANINGS if counts[word]),
        blocks=tuple(blocks),
    )


def verdicts(problem: ProblemRecord) -> dict[str, str]:
    """For each claim the verdict over the routes."""
    by_claim: dict[str, list[Verdict]] = {}
    for item in problem.evidence:
        by_claim.setdefault(item.claim, []).append(Verdict(item.verdict))
    return {claim: combine_routes(seen).value for claim, seen in by_claim.items()}


def environment_blocks(run: RunRecord) -> list[Block]:
    """How to make the run again, and on what it was made."""
    blocks: list[Block] = [Heading(2, (Text("Environment, and how to reproduce this"),), "environment")]
    command = run.environment.get("command", "")
    if command:
        blocks += [Paragraph((Text("The run was made by this command:"),)), Source(command, "command")]
    elif any(item.form for problem in run.problems for item in problem.evidence):
        ids = [i for i in CLAIMS if i in {item.claim for p in run.problems for item in p.evidence}]
        asked = "" if len(ids) == len(CLAIMS) else f" {' '.join(ids)}"
        blocks += [
            Paragraph((Text("This command makes the audit again:"),)),
            Source(f"pkverify paper{asked}", "command"),
        ]
    else:
        digits = {item.digits for problem in run.problems for item in problem.decompositions}
        flag = f" --digits {max(digits)}" if digits else ""
        said = (
            "The run does not name its command. Each problem above is a whole problem file: saved under a name such as "
        )
        blocks += [
            Paragraph((Text(said), Code("problem.toml"), Text(", it is checked again by this command:"))),
            Source(f"pkverify check problem.toml{flag}", "command"),
        ]
    others = [(name, value) for name, value in run.environment.items() if name != "command"]
    blocks.append(Facts(tuple((name, (Code(value),)) for name, value in others)))
    blocks.append(
        Paragraph(
            (
                Text("This report was made from the run's JSON ("), Code(run.schema),
                Text("), and nothing in it was computed again. The JSON holds all digits."),
            ),
            "note",
        )
    )  # fmt: skip
    return blocks


def meanings() -> list[Block]:
    """What the verdicts mean."""
    rows = tuple(((mark(word),), (Text(meaning),)) for word, meaning in MEANINGS.items())
    caption = "The verdicts, from the strongest to the weakest; the last two stand outside the order"
    return [Heading(2, (Text("What the verdicts mean"),), "verdicts"), Table(caption, ("verdict", "means"), rows, "ll")]


def claim_link(identifier: str) -> Inlines:
    """A claim's id, as a link to where the report says what it is."""
    return (Link(identifier, f"claim-{identifier}"),) if identifier in CLAIMS else (Text(identifier),)


def claim_title(identifier: str) -> str:
    """A claim's title, or nothing for a claim that the registry does not have."""
    return CLAIMS[identifier].title if identifier in CLAIMS else ""


def _headline(run: RunRecord) -> str:
    if run.interrupted:
        return "The run was interrupted; what follows was finished before."
    if run.verdict == "inconclusive" and not any(problem.evidence for problem in run.problems):
        return "Nothing was looked at, so this run is no pass."
    return HEADLINES.get(run.verdict, "")


def _obstacles(run: RunRecord) -> list[Block]:
    """Holes and failures, before anything else."""
    items: list[Inlines] = []
    if run.interrupted:
        items.append((mark("inconclusive"), Text(" the run was interrupted before its end")))
    items += [(mark("inconclusive"), Text(" hole: no check looks at "), *claim_link(i)) for i in run.holes]
    for word in ("refuted", "inconclusive"):
        for problem in run.problems:
            items += [_failure(problem.name, item) for item in problem.evidence if item.verdict == word]
    for problem in run.problems:
        for route, reason in problem.refused.items():
            text = f" {problem.name}: route {route}, asked for by name, refused: {reason}"
            items.append((mark("inconclusive"), Text(text)))
    blocks: list[Block] = [Heading(2, (Text("Holes and failures"),), "obstacles")]
    if items:
        blocks.append(Listing(tuple(items), "obstacles"))
    elif any(problem.evidence for problem in run.problems):
        said = "None: no claim is refuted, none was left undecided, and none lacks a check."
        blocks.append(Paragraph((Text(said),)))
    else:
        blocks.append(Paragraph((Text("Nothing was looked at."),)))
    return [*blocks, *_unproved(run)]


def _unproved(run: RunRecord) -> list[Block]:
    """How many lines of the derivations are not proved: no verdict on a claim rests on them, but a reader might."""
    steps = [step for problem in run.problems for step in problem.derivation]
    unproved = [step for step in steps if step.verdict not in {"proved", "not-applicable"}]
    if not unproved:
        return []
    said = f"Of the {len(steps)} lines of the derivations below, {len(unproved)} are not proved, and are marked so: "
    reasons = Counter(step.message or "no reason given" for step in unproved)
    told = joined(((Text(f"{count} times "), *words(message)) for message, count in reasons.items()), "; ")
    return [Paragraph((Text(said), *told, Text(".")))]


def _failure(name: str, item: EvidenceRecord) -> Inlines:
    parts: Inlines = (mark(item.verdict), Text(f" {name}: "), *claim_link(item.claim))
    title = claim_title(item.claim)
    parts += (Text(f" ({title})"),) if title else ()
    parts += (Text(": "), *words(item.message)) if item.message else ()
    return parts + ((Text(" Witness: "), Code(item.witness)) if item.witness else ())


def _statement() -> list[Block]:
    claim = CLAIMS["T1"]
    return [
        Heading(2, (Text("What is checked"),), "statement"),
        Paragraph(
            (
                Text("A model "), Math("f_w(x)"), Text(", trained from "), Math("w(0)"), Text(" by the gradient flow "),
                Math(r"\dot w = -\nabla L(w)", "w' = -grad L(w)"), Text(" up to the horizon "), Math("T"),
                Text(", satisfies at every query "), Math("x"),
            )
        ),
        Paragraph(rich(claim.statement), "display"),
        Paragraph(
            (
                Text("where "), Math(r"K^g_t(x, x_i) = \nabla f_{w(t)}(x) \cdot \nabla f_{w(t)}(x_i)"),
                Text(" is the tangent kernel and "), Math("L'_i"),
                Text(" the derivative of the loss of example "), Math("i"),
                Text(" in its output. The summands are the examples' contributions to the prediction. Below, "),
                Math("K_t"), Text(" is "), Math("K^g_t"), Text(", "), Math(r"K(x, x_i) = \int_0^T K_t(x, x_i)\,dt"),
                Text(" the path kernel, and the weight "), Math("a_i"),
                Text(" of the kernel machine is contribution over path kernel, where that can be divided by."),
            )
        ),
    ]  # fmt: skip


def _overview(problems: Sequence[ProblemRecord], stated: Mapping[str, Stated]) -> list[Block]:
    rows: list[tuple[Inlines, ...]] = []
    for number, problem in enumerate(problems, start=1):
        core = [item for item in problem.evidence if item.claim == "T1"]
        routes = ", ".join(dict.fromkeys(item.route for item in problem.decompositions)) or "none"
        found = verdicts(problem)
        counted = Counter(word for word in found.values() if word != "not-applicable")
        counts = [(Text(f"{count} "), mark(word)) for word, count in counted.items()]
        rows.append((
            (Link(problem.name, f"problem-{number}"), Text(f" {stated[problem.name].title}")),
            (mark(found["T1"]),) if "T1" in found else (),
            joined((Code(item.residual),) for item in core if item.residual is not None),
            (Text(routes),),
            joined(counts),
        ))  # fmt: skip
    head = ("problem", "identity (T1)", "residual", "routes", "all claims")
    caption = "The identity on every problem, with the residual of each route"
    return [Heading(2, (Text("The problems"),), "problems"), Table(caption, head, tuple(rows), "llnll")]


def _problem(problem: ProblemRecord, stated: Stated, anchor: str, figures: Sequence[ReportFigure]) -> list[Block]:
    blocks: list[Block] = [Heading(2, (Text(stated.title or problem.name),), anchor)]
    if stated.title:
        blocks.append(Paragraph((Code(problem.name),), "note"))
    blocks += [Heading(3, (Text("The problem"),), f"{anchor}-source"), *problem_blocks(stated, problem.horizon)]
    for routes, what in ((problem.refused, "refused"), (problem.skipped, "skipped")):
        blocks += [Paragraph((Text(f"Route {r} {what}: {reason}."),), "note") for r, reason in routes.items()]
    blocks += _hypotheses(problem, anchor)
    if problem.derivation:
        blocks += [Heading(3, (Text("The derivation"),), f"{anchor}-derivation"), _derivation(problem)]
    blocks += prediction_blocks(problem.decompositions, stated, anchor)
    blocks += map(Figure, figures)
    return [*blocks, *_evidence(problem, anchor)]


def _theorem(problem: ProblemRecord) -> list[Block]:
    anchor = "theorem"
    said = "These steps are proved once, for arbitrary functions and no problem in particular."
    blocks: list[Block] = [Heading(2, (Text("The theorem, for arbitrary models"),), anchor), Paragraph((Text(said),))]
    if problem.derivation:
        blocks += [Heading(3, (Text("The proof, step by step"),), f"{anchor}-derivation"), _derivation(problem)]
    return [*blocks, *_evidence(problem, anchor)]


def _derivation(problem: ProblemRecord) -> Derivation:
    return Derivation(
        tuple(
            Line(step.claim, claim_title(step.claim), Math(step.latex, step.text), mark(step.verdict), step.message)
            for step in problem.derivation
        )
    )


def _hypotheses(problem: ProblemRecord, anchor: str) -> list[Block]:
    """The paper's hypotheses against this run's, each with its evidence and the claims that need it."""
    found: dict[str, dict[tuple[str, str], list[str]]] = {}
    for item in problem.evidence:
        for each in item.hypotheses:
            claims = found.setdefault(each.id, {}).setdefault((each.verdict, each.message), [])
            claims += [item.claim] if item.claim not in claims else []
    if not found:
        return []
    rows: list[tuple[Inlines, ...]] = []
    for identifier in sorted(found, key=lambda name: (name not in HYPOTHESES, name)):
        for (verdict, message), claims in found[identifier].items():
            title = HYPOTHESES[identifier].title if identifier in HYPOTHESES else ""
            rows.append((
                (Text(identifier, strong=True), Text(f" {title}")),
                rich(STATED.get(identifier, "")),
                (mark(verdict), *((Text(" "), *words(message)) if message else ())),
                joined(map(claim_link, claims)),
            ))  # fmt: skip
    caption = "Hypotheses: what the paper assumes, and what is known of each on this problem"
    table = Table(caption, ("hypothesis", "the paper", "this run", "for"), tuple(rows), "llll")
    return [Heading(3, (Text("Hypotheses"),), f"{anchor}-hypotheses"), table]


def _evidence(problem: ProblemRecord, anchor: str) -> list[Block]:
    """Every claim with what was found; those outside the order below, in groups."""
    judged = [item for item in problem.evidence if item.verdict in _JUDGED]
    rows: list[tuple[Inlines, ...]] = []
    for item in judged:
        how = f"{item.route} ({item.method})" if item.route and item.method != item.route else item.method
        assumed = [h.id for h in item.hypotheses if h.verdict == "not-checkable"]
        remark = [(Text(f"under {', '.join(assumed)}"),)] if assumed else []
        remark += [words(item.message)] if item.message else []
        remark += [(Text("witness: "), Code(item.witness))] if item.witness else []
        rows.append((
            (*claim_link(item.claim), Text(f" {claim_title(item.claim)}")),
            (mark(item.verdict),),
            (Code(item.residual),) if item.residual is not None else (),
            (Code(item.tolerance),) if item.tolerance is not None else (),
            (Text(how),),
            joined(remark, "; "),
        ))  # fmt: skip
    blocks: list[Block] = []
    if rows:
        caption = "Every claim that was judged: residual, and the tolerance that was fixed before the run"
        head = ("claim", "verdict", "residual", "tolerance", "by", "what was found")
        blocks = [Heading(3, (Text("Claims"),), f"{anchor}-claims"), Table(caption, head, tuple(rows), "llnnll")]
    outside = sorted((i for i in problem.evidence if i.verdict not in _JUDGED), key=lambda i: (i.verdict, i.message))
    groups: list[Inlines] = []
    for (verdict, message), same in groupby(outside, key=lambda item: (item.verdict, item.message)):
        groups.append(
            (mark(verdict), Text(" "), *joined(claim_link(i.claim) for i in same), Text(": "), *words(message))
        )
    return [*blocks, Listing(tuple(groups), "outside")] if groups else blocks


def _glossary(run: RunRecord) -> list[Block]:
    """The claims and hypotheses that the report names, in the registry's order."""
    ids = {item.claim for problem in run.problems for item in problem.evidence} | set(run.holes)
    ids |= {step.claim for problem in run.problems for step in problem.derivation}
    if not ids:
        return []
    known = [identifier for identifier in CLAIMS if identifier in ids]
    rows = tuple(((Text(i, strong=True),), (Text(CLAIMS[i].title),), rich(_needed(i))) for i in known)
    anchors = tuple(f"claim-{identifier}" for identifier in known)
    hypotheses = tuple((each.id, (Text(f"{each.title}: "), *rich(each.statement))) for each in HYPOTHESES.values())
    return [
        Heading(2, (Text("The claims named above"),), "claims"),
        Table("Claims, as the registry states them", ("id", "claim", "statement"), rows, "lll", anchors=anchors),
        Heading(3, (Text("The hypotheses"),), "hypotheses"),
        Facts(hypotheses),
    ]


def _needed(identifier: str) -> str:
    claim = CLAIMS[identifier]
    return claim.statement + (f" Needs {', '.join(claim.hypotheses_needed)}." if claim.hypotheses_needed else "")
