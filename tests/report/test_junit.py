"""JUnit XML: whatever keeps a run from passing is a failure or an error in it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from pkverify.evidence import THEOREM, Evidence, ProblemRun, Run, Verdict
from pkverify.report.junit import run_junit


def evidence(claim: str, verdict: Verdict, message: str = "why", **fields: str) -> Evidence:
    return Evidence(claim, verdict, "test", bound="0", tolerance="1", witness="x = 1", message=message, **fields)  # type: ignore[arg-type]


def parsed(*problems: ProblemRun, holes: tuple[str, ...] = (), interrupted: bool = False) -> ElementTree.Element:
    return ElementTree.fromstring(run_junit(Run(problems, holes, interrupted)))  # noqa: S314 - our own output


ALL = ProblemRun("all", tuple(evidence(f"C{k}", verdict, route="precise") for k, verdict in enumerate(Verdict)))


def test_a_suite_for_a_problem_and_a_case_for_a_claim() -> None:
    root = parsed(ALL, ProblemRun(THEOREM, (evidence("P1", Verdict.PROVED),)))

    assert root.tag == "testsuites"
    assert [suite.get("name") for suite in root] == ["all", "theorem"]
    assert [case.get("name") for case in root[0]] == [f"C{k} (precise)" for k in range(7)]
    assert root[1][0].get("name") == "P1"
    assert {case.get("classname") for case in root[0]} == {"all"}


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (Verdict.PROVED, None),
        (Verdict.CERTIFIED, None),
        (Verdict.SUPPORTED, None),
        (Verdict.INCONCLUSIVE, "error"),
        (Verdict.REFUTED, "failure"),
        (Verdict.NOT_APPLICABLE, "skipped"),
        (Verdict.NOT_CHECKABLE, "skipped"),
    ],
)
def test_outcomes(verdict: Verdict, outcome: str | None) -> None:
    sound = evidence("C0", Verdict.PROVED)
    case = parsed(ProblemRun("one", (sound, evidence("C1", verdict))))[0][1]

    assert [child.tag for child in case if child.tag != "properties"] == ([outcome] if outcome else [])
    assert {p.get("name"): p.get("value") for p in case.iter("property")} == {
        "verdict": verdict.value,
        "method": "test",
        "tolerance": "1",
    }


def test_a_refutation_shows_its_witness() -> None:
    failure = parsed(ProblemRun("one", (evidence("C1", Verdict.REFUTED, "not so"),))).find(".//failure")

    assert failure is not None
    assert (failure.get("message"), failure.text) == ("not so", "x = 1")


def test_counts() -> None:
    (suite,) = parsed(ALL)

    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "7",
        "failures": "1",
        "errors": "1",
        "skipped": "2",
    }


def test_refused_routes_and_holes_are_errors() -> None:
    sound = (evidence("T1", Verdict.PROVED),)
    root = parsed(ProblemRun("p", sound, refused={"exact": "no closed form"}), holes=("R5b", "R5c"))

    errors = [
        (case.get("classname"), case.get("name")) for case in root.iter("testcase") if case.find("error") is not None
    ]
    assert errors == [("p", "route exact"), ("holes", "R5b"), ("holes", "R5c")]
    assert [suite.get("tests") for suite in root] == ["2", "2"]


@pytest.mark.parametrize(
    ("problems", "interrupted", "message"),
    [
        ((), False, "nothing holds"),
        ((ProblemRun("p", (evidence("T1", Verdict.NOT_APPLICABLE),)),), False, "nothing holds"),
        ((ProblemRun("p", (evidence("T1", Verdict.PROVED),)),), True, "interrupted"),
        ((), True, "interrupted"),
    ],
)
def test_what_is_no_pass_is_an_error(problems: tuple[ProblemRun, ...], interrupted: bool, message: str) -> None:
    error = parsed(*problems, interrupted=interrupted).find("testsuite[@name='run']/testcase/error")

    assert error is not None
    assert error.get("message") == message


@pytest.mark.parametrize("verdict", [Verdict.PROVED, Verdict.REFUTED, Verdict.INCONCLUSIVE])
def test_what_is_said_already_is_not_said_again(verdict: Verdict) -> None:
    assert len(parsed(ProblemRun("p", (evidence("T1", verdict),)))) == 1


@pytest.mark.parametrize("text", ["<&>\"'", "a\x01b", "\ud800", "tab\there", "two\nlines", "é → ∞"])
def test_any_text_makes_sound_xml(text: str) -> None:
    root = parsed(ProblemRun(text, (evidence("T1", Verdict.REFUTED, text),)))
    failure = root.find(".//failure")

    assert failure is not None
    if text.isprintable():
        assert (root[0].get("name"), failure.get("message")) == (text, text)
    else:
        assert root[0].get("name")


def test_a_claim_as_printed_passes_as_the_registry_says() -> None:
    def case(status: str, expected: str) -> ElementTree.Element:
        item = evidence("P9", Verdict.REFUTED, form="as-printed", status=status, expected=expected)
        return parsed(ProblemRun("paper", (item,)))[0][0]

    assert case("false", "false").find("failure") is None
    assert case("true", "false").find("failure") is not None
