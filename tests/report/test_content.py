"""What a report says of a run and of an audit, before it has a format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from pkverify.cases import case_problems
from pkverify.checks.paper.table import audit_paper
from pkverify.checks.run import check
from pkverify.claims import CLAIMS
from pkverify.decomposition import BallNumber, Decomposition
from pkverify.evidence import THEOREM, Evidence, HypothesisEvidence, ProblemRun, Run, Verdict
from pkverify.report.document import (
    Derivation,
    Document,
    Facts,
    Figure,
    Heading,
    Listing,
    Mark,
    ReportFigure,
    Source,
    Table,
)
from pkverify.report.formula import read_formula
from pkverify.report.render import document_of

LINEAR = dict(case_problems("linear"))


@pytest.fixture(scope="module")
def run() -> Run:
    problems = [("line", LINEAR["linear-one-weight"]), ("stack", LINEAR["linear-stackloss"])]
    problems += [(name, problem) for name, problem in case_problems("xent") if name in {"xent-softmax", "xent-oring"}]
    return check(problems, digits=15, claims=["T1", "T1a", "T1c", "T1k", "SE"])


@pytest.fixture(scope="module")
def audit() -> Run:
    return audit_paper(["P9", "T1", "T1a", "T1b", "M1", "D9", "E1"]).run()


def words(part: Any) -> str:
    """All the text in a block, in order."""
    if isinstance(part, str):
        return part
    if is_dataclass(part) and not isinstance(part, type):
        return " ".join(words(getattr(part, field.name)) for field in fields(part))
    return " ".join(map(words, part)) if isinstance(part, Iterable) and not isinstance(part, bytes) else ""  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def of(document: Document, kind: type) -> list[Any]:
    return [block for block in document.blocks if isinstance(block, kind)]


def after(document: Document, anchor: str) -> list[Any]:
    """The blocks between a heading and the next one of its level or above."""
    place = next(k for k, b in enumerate(document.blocks) if isinstance(b, Heading) and b.anchor == anchor)
    level = document.blocks[place].level  # type: ignore[union-attr]
    found: list[Any] = []
    for block in document.blocks[place + 1 :]:
        if isinstance(block, Heading) and block.level <= level:
            break
        found.append(block)
    return found


def evidence(claim: str, verdict: Verdict, message: str = "why", **given: Any) -> Evidence:
    return Evidence(claim, verdict, "test", bound="0", tolerance="1", witness="x = 1", message=message, **given)


# Runs.


def test_the_order_of_a_report(run: Run) -> None:
    anchors = [heading.anchor for heading in document_of(run).contents]

    assert anchors[:3] == ["obstacles", "statement", "problems"]
    assert anchors[3:7] == ["problem-1", "problem-2", "problem-3", "problem-4"]
    assert anchors[7:] == ["theorem", "claims", "verdicts", "environment"]


def test_the_order_of_a_problem(run: Run) -> None:
    headings = [block.anchor for block in after(document_of(run), "problem-1") if isinstance(block, Heading)]

    assert headings == [f"problem-1-{part}" for part in ("source", "hypotheses", "derivation", "predictions", "claims")]


def test_headings_are_in_order_and_anchors_unique(run: Run, audit: Run) -> None:
    for each in (run, audit):
        document = document_of(each)
        levels = [1, *(heading.level for heading in of(document, Heading))]
        anchors = [heading.anchor for heading in of(document, Heading)]
        anchors += [anchor for table in of(document, Table) for anchor in table.anchors]

        assert all(low + 1 >= high for low, high in pairwise(levels))
        assert len(set(anchors)) == len(anchors)


def test_a_run_without_obstacles_says_so(run: Run) -> None:
    assert "None: no claim is refuted" in words(after(document_of(run), "obstacles"))


def test_lines_that_are_not_proved_are_counted(run: Run) -> None:
    steps = [step for problem in run.problems for step in problem.derivation]
    unproved = [step for step in steps if step.verdict is Verdict.INCONCLUSIVE]
    told = words(after(document_of(run), "obstacles"))

    assert unproved
    assert f"Of the {len(steps)} lines of the derivations below, {len(unproved)} are not proved" in told
    assert "no closed form" in told
    proved = tuple(replace(problem, derivation=()) for problem in run.problems)
    assert "lines of the derivations" not in words(after(document_of(Run(proved)), "obstacles"))


def test_holes_and_failures_come_first() -> None:
    items = (
        evidence("T1", Verdict.PROVED),
        evidence("T1a", Verdict.REFUTED, "the kernel vanishes"),
        evidence("T1c", Verdict.INCONCLUSIVE, "too wide"),
        evidence("T1k", Verdict.NOT_APPLICABLE, "one output"),
    )
    problem = ProblemRun("mine", items, refused={"exact": "no closed form"}, skipped={"precise": "stiff"})
    document = document_of(Run((problem,), holes=("R5b",), interrupted=True))
    (listing,) = after(document, "obstacles")

    assert isinstance(document.blocks[0], Heading)
    assert isinstance(listing, Listing)
    assert [words(item[1:]).split(":")[0].strip() for item in listing.items] == [
        "the run was interrupted before its end",
        "hole",
        "mine",
        "mine",
        "mine",
    ]
    told = words(listing)
    assert "x = 1" in told
    assert "the kernel vanishes" in told
    assert "too wide" in told
    assert "no closed form" in told
    assert "one output" not in told
    assert "stiff" not in told
    assert document.mark == Mark("refuted", "bad")
    assert [(count, mark.word) for count, mark in document.counts] == [
        (1, "proved"), (1, "inconclusive"), (1, "refuted"), (1, "not-applicable"),
    ]  # fmt: skip


@pytest.mark.parametrize("verdict", [Verdict.PROVED, Verdict.SUPPORTED, Verdict.INCONCLUSIVE, Verdict.REFUTED])
def test_the_banner_is_the_verdict_of_the_run(verdict: Verdict) -> None:
    document = document_of(Run((ProblemRun("mine", (evidence("T1", verdict),)),)))

    assert document.mark.word == verdict.value
    assert document.headline


def test_an_empty_run_is_no_pass() -> None:
    document = document_of(Run(()))

    assert document.mark.word == "inconclusive"
    assert "no pass" in document.headline
    assert "Nothing was looked at" in words(after(document, "obstacles"))


def test_every_hypothesis_stands_beside_the_papers(run: Run) -> None:
    (table,) = after(document_of(run), "problem-1-hypotheses")
    found = {h for p in run.problems[:1] for item in p.evidence for h in item.hypotheses}

    assert table.head == ("hypothesis", "the paper", "this run", "for")
    assert len(table.rows) == len({(h.id, h.verdict, h.message) for h in found})
    for row in table.rows:
        assert words(row[1]).strip()
        assert row[2][0].word in {verdict.value for verdict in Verdict}
        assert row[3]


def test_hypotheses_of_one_kind_are_told_once() -> None:
    h = HypothesisEvidence("H0", Verdict.SUPPORTED, "smooth")
    items = tuple(evidence(claim, Verdict.SUPPORTED, hypotheses=(h,)) for claim in ("T1", "T1a"))
    other = evidence("D7", Verdict.PROVED, hypotheses=(replace(h, verdict=Verdict.PROVED),))
    (table,) = after(document_of(Run((ProblemRun("mine", (*items, other)),))), "problem-1-hypotheses")

    assert [words(row[3]).split() for row in table.rows] == [
        ["T1", "claim-T1", ",", "T1a", "claim-T1a"], ["D7", "claim-D7"],
    ]  # fmt: skip


def test_the_derivation_is_whole_and_its_formulas_are_read(run: Run) -> None:
    document = document_of(run)
    derivations = of(document, Derivation)
    lines = [line for derivation in derivations for line in derivation.lines]

    assert [len(d.lines) for d in derivations] == [len(p.derivation) for p in run.problems if p.derivation]
    assert [line.claim for line in lines] == [step.claim for p in run.problems for step in p.derivation]
    assert [line.formula.latex for line in lines if read_formula(line.formula.latex) is None] == []
    assert all(line.formula.alt for line in lines)


def test_a_prediction_adds_up_in_its_table(run: Run) -> None:
    (first, *_) = [block for block in after(document_of(run), "problem-1-predictions") if isinstance(block, Table)]
    numbers = {words(row[0]).strip(): words(row[1]) for row in first.rows}
    parts = [Fraction(v.replace("\N{MINUS SIGN}", "-")) for k, v in numbers.items() if k[:7] in {"example", "initial"}]

    assert first.totals == 3
    assert [*numbers][-3:] == ["sum", "final output", "residual"]
    assert abs(sum(parts) - Fraction(numbers["sum"])) < Fraction(1, 10**13)
    assert numbers["sum"] == numbers["final output"]


def test_the_largest_examples_are_shown_as_data(run: Run) -> None:
    (table, *_) = [block for block in after(document_of(run), "problem-2-predictions") if isinstance(block, Table)]
    examples = [row for row in table.rows if words(row[0]).startswith("example")]
    sizes = [abs(float(words(row[1]).replace("\N{MINUS SIGN}", "-"))) for row in examples]
    inputs = run.problems[1].source

    assert len(examples) == 10
    assert "the 10 largest of 21" in table.caption
    assert sizes == sorted(sizes, reverse=True)
    assert any(words(row[0]).startswith("the 11 others") for row in table.rows)
    for row in examples:
        x, _, y = words(row[4]).partition(" → ")
        assert all(f'"{number}"' in inputs for number in x.strip("()").split(", "))
        assert f'["{y}"]' in inputs


def test_several_outputs_show_their_vectors(run: Run) -> None:
    (table, *_) = [block for block in after(document_of(run), "problem-3-predictions") if isinstance(block, Table)]

    assert "output 0" in table.caption
    assert all(words(row[2]).startswith("(") for row in table.rows if words(row[0]).startswith("example"))


def test_balls_tell_how_far_the_truth_may_lie() -> None:
    ball, zero = BallNumber("0.12345678901234567890", "1e-20"), BallNumber("0", "0")
    one = Decomposition(
        "certified", 20, (Fraction(0),), 0, zero, ball, (ball,), zero, BallNumber("-1.2345e-21", "3e-20"), (ball,),
        (ball,), Fraction(1),
    )  # fmt: skip
    blocks = after(
        document_of(Run((ProblemRun("mine", (evidence("T1", Verdict.PROVED),), (one,)),))), "problem-1-predictions"
    )
    (table,) = [block for block in blocks if isinstance(block, Table)]
    rows = {words(row[0]).strip(): words(row[1]).strip() for row in table.rows}

    assert rows["example 1"] == "0.123456789012346"
    assert "proved to lie within 3.22e-16 of what is shown" in table.caption  # mostly what rounding took away
    assert rows["residual"].replace("\N{MINUS SIGN}", "-") == "-1.23e-21 ± 3.01e-20"
    assert "regulariser" not in rows


def test_many_predictions_are_listed_shortly() -> None:
    one = Decomposition(
        "precise", 20, (Fraction(0),), 0, "0", "1", ("1",), "0", "0", ("1",), ("1",), Fraction(1), error_estimate="1e-9"
    )
    many = tuple(replace(one, query=(Fraction(k),)) for k in range(60))
    blocks = after(
        document_of(Run((ProblemRun("mine", (evidence("T1", Verdict.PROVED),), many),))), "problem-1-predictions"
    )
    tables = [block for block in blocks if isinstance(block, Table)]

    assert [len(table.rows) for table in tables] == [5, 5, 5, 5, 5, 5, 40]
    assert tables[-1].caption == "54 more predictions, the first 40 of them"


@pytest.mark.parametrize(
    "source", ["", "no toml [", "title = 3\n[data]\nx = 1", "x = [" + "[" * 500, "[data]\nx = [[1], []]"]
)
def test_a_source_that_is_no_problem_file_is_shown_as_it_is(source: str) -> None:
    document = document_of(Run((ProblemRun("mine", (evidence("T1", Verdict.PROVED),), source=source),)))

    assert document.title == "mine"
    assert [block.text for block in of(document, Source) if block.label == "problem file"] == (
        [source] if source else []
    )


def test_a_long_source_is_cut() -> None:
    source = "\n".join(f"# line {k}" for k in range(1000))
    blocks = after(
        document_of(Run((ProblemRun("mine", (evidence("T1", Verdict.PROVED),), source=source),))), "problem-1"
    )

    assert "880 more lines" in words(blocks)


def test_the_command_is_told_or_made_up_from_what_is_known(run: Run, audit: Run) -> None:
    def command(document: Document) -> str:
        return next(block.text for block in after(document, "environment") if isinstance(block, Source))

    assert command(document_of(run, command="pkverify check x.toml")) == "pkverify check x.toml"
    assert command(document_of(run)) == "pkverify check problem.toml --digits 15"
    assert command(document_of(audit)) == "pkverify paper T1 T1a T1b M1 P9 D9 E1"


def test_every_claim_that_is_named_is_explained(run: Run) -> None:
    (table, *_) = [block for block in after(document_of(run), "claims") if isinstance(block, Table)]
    named = {item.claim for p in run.problems for item in p.evidence} | {
        s.claim for p in run.problems for s in p.derivation
    }

    assert set(table.anchors) == {f"claim-{claim}" for claim in named}


def figure(name: str, **where: str) -> ReportFigure:
    return ReportFigure(name, "A caption.", "What it shows.", b"<svg/>", b"png", **where)


def test_figures_stand_with_their_problem(run: Run) -> None:
    document = document_of(run, [figure("one", problem="line"), figure("two", problem="stack"), figure("three")])

    assert [b.figure.name for b in after(document, "problem-1") if isinstance(b, Figure)] == ["one"]
    assert [b.figure.name for b in after(document, "problem-2") if isinstance(b, Figure)] == ["two"]
    assert [b.figure.name for b in after(document, "figures")] == ["three"]


@pytest.mark.parametrize("name", ["", "a b", "../x", "a_b", 'x"'])
def test_a_figures_name_is_the_name_of_a_file(name: str) -> None:
    with pytest.raises(ValueError, match="a figure's name"):
        figure(name)


# Audits.


def test_claims_stand_in_the_papers_order(audit: Run) -> None:
    headings = [block.anchor.removeprefix("claim-") for block in of(document_of(audit), Heading) if block.level == 3]

    assert headings == [identifier for identifier in CLAIMS if identifier in set(headings)]
    assert set(headings) == {"P9", "T1", "T1a", "T1b", "M1", "D9", "E1"}


def test_a_card_tells_all_of_a_claim(audit: Run) -> None:
    (facts,) = after(document_of(audit), "claim-T1b")
    assert isinstance(facts, Facts)
    rows = dict(facts.rows)

    assert [name for name, _ in facts.rows][:4] == ["claim", "in the paper", "as printed", "because"]
    assert [mark.word for mark in rows["as printed"] if isinstance(mark, Mark)] == ["false as printed", "refuted"]
    assert words(rows["counterexample"]).startswith("CE-B")
    assert words(rows["and"]).startswith("CE-C")
    assert "locally Lipschitz" in words(rows["instead"])
    assert [mark.word for mark in rows["which is"] if isinstance(mark, Mark)] == ["proved"]
    assert "H1" in words(rows["needs"])
    assert "Euler" in words(rows["cited"])
    formal = " / ".join(words(value) for name, value in facts.rows if name == "formal")
    assert "proof: T1b_limit (GradientDescent.v)" in formal
    assert "counterexample: T1b_needs_horizon" in formal
    assert "the formal proof is" in formal


def test_a_claim_beyond_the_paper_says_so(audit: Run) -> None:
    assert "the paper does not say it" in words(after(document_of(audit), "claim-M1"))


def test_an_audit_as_expected(audit: Run) -> None:
    document = document_of(audit)

    assert document.mark == Mark("as expected", "good")
    assert "7 claims audited anew" in document.headline
    assert "None: every claim was audited" in words(after(document, "obstacles"))


def printed(claim: str, verdict: Verdict, status: str, expected: str) -> Evidence:
    return evidence(claim, verdict, form="as-printed", status=status, expected=expected)


def printed_run(status: str, expected: str, *, verdict: Verdict = Verdict.PROVED, **of_the_run: Any) -> Run:
    return Run((ProblemRun("x", (printed("P9", verdict, status, expected),)),), **of_the_run)


@pytest.mark.parametrize(
    ("run_", "word", "told"),
    [
        (printed_run("holds", "false as printed"), "differs", "holds, and the registry says false as printed"),
        (printed_run("not checkable", "holds", verdict=Verdict.INCONCLUSIVE), "open", "why"),
        (printed_run("holds", "holds", holes=("T1",)), "open", "no audit looks at T1"),
        (printed_run("holds", "holds", interrupted=True), "interrupted", "interrupted"),
    ],
)
def test_an_audit_that_is_no_pass(run_: Run, word: str, told: str) -> None:
    document = document_of(run_)

    assert document.mark.word == word
    assert told in " ".join(words(after(document, "obstacles")).split())


def test_a_claim_of_another_version_is_not_lost() -> None:
    document = document_of(Run((ProblemRun(THEOREM, (printed("Z99", Verdict.PROVED, "holds", "holds"),)),)))

    assert "Z99" in words(after(document, "unknown"))


def test_figures_stand_with_their_claim(audit: Run) -> None:
    document = document_of(audit, [figure("ce-a", claim="T1a"), figure("lost", claim="R1a")])

    assert [b.figure.name for b in after(document, "claim-T1a") if isinstance(b, Figure)] == ["ce-a"]
    assert [b.figure.name for b in after(document, "figures")] == ["lost"]
