from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pkverify.checks.paper import table
from pkverify.checks.paper.finding import Finding, Witness
from pkverify.checks.paper.table import Audited, audit, audit_paper, audits_of, compare, holes, part_of
from pkverify.claims import CLAIMS, HYPOTHESES, PARTS, Claim
from pkverify.claims.record import Status
from pkverify.errors import InputError, UntreatableError
from pkverify.evidence import Evidence, Verdict
from pkverify.report.paper import TITLES, paper_text, summary

PROOFS = Path(__file__).parents[3] / "proofs" / "path_kernel.md"
TO_PROVE = {Status.HOLDS, Status.HOLDS_UNDER, Status.FALSE, Status.IMPRECISE}
WITNESS = Witness("CE-X", "it fails", "H3", "f = x", (("K", "0"),))


def finding(claim: str, status: Status) -> Finding:
    match status:
        case Status.FALSE:
            evidence = Evidence(claim, Verdict.REFUTED, "exact", witness=str(WITNESS))
        case Status.HOLDS | Status.HOLDS_UNDER:
            evidence = Evidence(claim, Verdict.PROVED, "exact")
        case _:
            evidence = Evidence(claim, Verdict.NOT_CHECKABLE, "words", message="words")
    witnesses = (WITNESS,) if status in {Status.FALSE, Status.IMPRECISE} else ()
    return Finding(claim, status, evidence, witnesses=witnesses)


def undecided(claim: str) -> Finding:
    return Finding(
        claim, Status.NOT_CHECKABLE, Evidence(claim, Verdict.INCONCLUSIVE, "exact", message="a ball too wide")
    )


AS_REGISTERED = tuple(finding(each.id, each.status) for each in CLAIMS.values())


# The three that are tied to each other: claims, audits, proofs.


@pytest.mark.parametrize("part", PARTS)
def test_claims_and_audits_are_the_same(part: str) -> None:
    assert audits_of(part).keys() == {each.id for each in PARTS[part]}


def test_there_are_no_holes() -> None:
    assert holes() == ()


def headings() -> list[str]:
    found = re.findall(r"^#{2,4} (?:\*\*)?([A-Z][A-Za-z0-9]*)\b\.", PROOFS.read_text(encoding="utf-8"), re.MULTILINE)
    return [each for each in found if each in CLAIMS or each in HYPOTHESES or re.fullmatch(r"[A-Z]\d+\w*", each)]


def test_every_heading_of_the_proofs_is_a_claim_or_a_hypothesis() -> None:
    assert set(headings()) <= {*CLAIMS, *HYPOTHESES}


def test_whatever_there_is_to_prove_has_a_heading() -> None:
    wanted = {each.id for each in CLAIMS.values() if each.status in TO_PROVE} | HYPOTHESES.keys()

    assert wanted - set(headings()) == set()


def test_no_heading_stands_twice() -> None:
    assert len(headings()) == len(set(headings()))


def test_every_part_has_a_title() -> None:
    assert TITLES.keys() == PARTS.keys()


# The audit itself.


def test_the_paper_comes_out_as_the_registry_says_and_a_flipped_registry_is_noticed() -> None:
    findings = audit()

    assert [each.claim for each in findings] == list(CLAIMS)
    assert [each.finding.claim for each in compare(findings) if not each.agrees] == []
    for flipped in CLAIMS:
        assert differing(findings, flipped) == [flipped]


def differing(findings: tuple[Finding, ...], flipped: str) -> list[str]:
    """What differs when the registry's status of one claim is another one."""
    claim = CLAIMS[flipped]
    other = next(status for status in Status if status is not claim.status)
    registry: Mapping[str, Claim] = {**CLAIMS, flipped: replace(claim, status=other)}
    return [each.finding.claim for each in compare(findings, registry) if each.differs]


@pytest.mark.parametrize("flipped", CLAIMS)
def test_flipping_one_status_changes_the_exit_code(flipped: str) -> None:
    assert Audited(compare(AS_REGISTERED)).exit_code == 0
    assert differing(AS_REGISTERED, flipped) == [flipped]
    other = next(status for status in Status if status is not CLAIMS[flipped].status)
    changed = tuple(finding(flipped, other) if each.claim == flipped else each for each in AS_REGISTERED)
    assert Audited(compare(changed)).exit_code == 1


@pytest.mark.parametrize(
    ("findings", "missing", "interrupted", "code"),
    [
        ((finding("P1", Status.HOLDS),), (), False, 0),
        ((finding("P9", Status.FALSE),), (), False, 0),
        ((finding("P1", Status.FALSE),), (), False, 1),
        ((finding("P9", Status.HOLDS),), (), False, 1),
        ((finding("P9", Status.IMPRECISE),), (), False, 1),
        ((finding("P1", Status.HOLDS),), ("P2",), False, 3),
        ((finding("P1", Status.FALSE),), ("P2",), False, 1),
        ((undecided("P1"),), (), False, 3),
        ((undecided("S13"),), (), False, 3),
        ((undecided("P1"), finding("P9", Status.HOLDS)), (), False, 1),
        ((), (), False, 3),
        ((finding("P1", Status.HOLDS),), (), True, 130),
    ],
)
def test_exit_codes(findings: tuple[Finding, ...], missing: tuple[str, ...], interrupted: bool, code: int) -> None:
    assert Audited(compare(findings), missing, interrupted).exit_code == code


def test_a_missing_part_is_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "audits_of", lambda part: {} if part == "proof" else {"T1": None})

    assert holes(["P3", "P9", "T1"]) == ("P3", "P9")
    assert table.standing_behind("P3")[0].startswith("proof for arbitrary functions")
    assert table.standing_behind("S13") == ("nothing: a hole",)


def test_an_audit_that_stops_leaves_its_claim_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> Finding:
        raise UntreatableError("no closed form")

    monkeypatch.setattr(table, "audits_of", lambda _: {"P3": stop})
    audited = audit_paper(["P3"])

    assert audited.exit_code == 3
    assert "no closed form" in audited.comparisons[0].finding.evidence.message


def test_an_interruption_keeps_what_was_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> Finding:
        raise KeyboardInterrupt

    monkeypatch.setattr(table, "audits_of", lambda _: {"P3": lambda: finding("P3", Status.HOLDS), "P9": stop})
    audited = audit_paper(["P3", "P9"])

    assert [each.finding.claim for each in audited.comparisons] == ["P3"]
    assert audited.exit_code == 130
    assert audited.run().interrupted


def test_claims_are_audited_once_and_in_the_order_of_the_paper() -> None:
    lines: list[str] = []
    findings = audit(["E9", "P1", "E9"], progress=lines.append)

    assert [each.claim for each in findings] == ["P1", "E9"]
    assert lines == ["auditing P1", "auditing E9"]


def test_an_unknown_claim_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no claim 'P99'"):
        audit(["P99"])


@pytest.mark.parametrize(("claim", "part"), [("T1", "theorem"), ("D8", "definitions"), ("E1", "beyond")])
def test_part_of(claim: str, part: str) -> None:
    assert part_of(claim) == part


# What is reported.


def test_a_run_has_a_row_a_claim_with_what_holds_instead_nested() -> None:
    repaired = Evidence("P9", Verdict.PROVED, "exact", message="under H3")
    run = Audited(compare((finding("P1", Status.HOLDS), replace(finding("P9", Status.FALSE), repaired=repaired)))).run()

    assert [problem.name for problem in run.problems] == ["theorem", "CE-X"]
    [row] = run.problems[1].evidence
    assert (row.form, row.status, row.expected) == ("as-printed", "false as printed", "false as printed")
    assert row.repaired is not None
    assert (row.repaired.form, row.repaired.verdict) == ("repaired", Verdict.PROVED)
    assert row.witness == str(WITNESS)


def test_holes_and_differences_come_first() -> None:
    audited = Audited(compare((*AS_REGISTERED[1:], finding("T1", Status.IMPRECISE))), holes=("P2",))
    lines = paper_text(audited).splitlines()

    assert lines[0] == "holes (claims without an audit): P2"
    assert lines[1] == "T1 differs: imprecise, and the registry says holds under hypotheses"
    assert lines[-1] == summary(audited.comparisons, audited.holes)
    assert lines[-1].endswith(f"{len(CLAIMS) - 1} as the registry says, 1 not, 0 open, 1 holes")


def test_no_line_is_wider_than_asked() -> None:
    lines = paper_text(Audited(compare(AS_REGISTERED)), width=120).splitlines()

    assert max(len(line) for line in lines[:-1]) <= 120
