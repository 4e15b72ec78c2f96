"""A run for the terminal: the verdict first, and nothing lost on the way to the screen."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pkverify.cases import case_problems
from pkverify.checks.run import check
from pkverify.evidence import THEOREM, Evidence, HypothesisEvidence, ProblemRun, Run, Verdict
from pkverify.problem_file import parse_problem
from pkverify.report.text import run_text

LINE = dict(case_problems("linear"))["linear-one-weight"]
RIDGE = dict(case_problems("linear"))["linear-ridge"]
VECTOR = parse_problem(
    """model = {kind = "linear", bias = true}\nloss.kind = "softmax-cross-entropy"
    data = {x = [1, -1], y = [[1, 0], [0, 1]]}\nflow = {initial = [0, 0, 0, 0], horizon = 1}"""
)
MANY = parse_problem(
    f"""model = {{kind = "linear", bias = true}}\nloss.kind = "squared"
    data = {{x = {list(range(-7, 8))}, y = {list(range(15))}}}\nflow = {{initial = [0, 0], horizon = "1/100"}}"""
)
FREE = parse_problem(
    """model = {kind = "linear", bias = false}\nloss.kind = "squared"
    data = {x = [[1, 0], [0, 1]], y = [1, 2]}\nflow = {initial = [0, 0], horizon = 1}\nquery.x = [[1, 0]]"""
)


def evidence(claim: str, verdict: Verdict, message: str = "why", **fields: str) -> Evidence:
    return Evidence(claim, verdict, "test", bound="0", tolerance="1e-9", witness="x = 1", message=message, **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    problems = [("linear/line", LINE), ("ridge", RIDGE), ("vector", VECTOR), ("many", MANY), ("free", FREE)]
    return run_text(check(problems, digits=25, routes=["precise"], claims=["T1", "T1a", "T1k"])).splitlines()


def section(lines: list[str], name: str) -> list[str]:
    """The lines below the rule with a problem's name."""
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{name}  ") and "─" in line)
    rest = lines[start + 1 :]
    return rest[: next((i for i, line in enumerate(rest) if "───" in line), len(rest))]


# A run of real problems.


def test_the_verdict_comes_first(lines: list[str]) -> None:
    assert lines[0] == "verdict: supported"
    assert lines[1] == "5 problems; claims: 11 supported, 4 not-applicable"


def test_each_claim_has_a_row(lines: list[str]) -> None:
    found = section(lines, "linear/line")
    (row,) = [line for line in found if line.startswith("T1 ")]

    assert row.split()[:2] == ["T1", "supported"]
    assert "precise (mpmath)" in row
    assert Decimal(row.split()[3]) > Decimal(row.split()[2])  # tolerance, residual
    assert "not-applicable: T1k (the model has one output)" in found


def test_contributions_add_up_on_the_screen(lines: list[str]) -> None:
    found = section(lines, "linear/line")
    top = next(i for i, line in enumerate(found) if line.startswith("prediction at x = (3/2), output 0"))
    table = {line[:20].strip(): line[20:].split() for line in found[top + 2 : top + 10]}

    assert "[precise, 25 digits]" in found[top]
    parts = [table[f"example {k}"][0] for k in (1, 2, 3)]
    total = sum(map(Decimal, parts), Decimal(table["initial output b(x)"][0]))
    assert abs(total - Decimal(table["final output"][0])) < Decimal("1e-15")
    assert table["sum"] == table["final output"]
    assert table["example 2"][1:] == ["3.00000000000000000", "0.227722504164884360"]
    assert abs(Decimal(table["residual"][0])) < Decimal("1e-23")


def test_a_regularizer_has_its_row_only_where_there_is_one(lines: list[str]) -> None:
    assert any(line.startswith("regularizer ") for line in section(lines, "ridge"))
    assert not any(line.startswith("regularizer ") for line in section(lines, "linear/line"))


def test_vectors_are_named_and_not_squeezed_in(lines: list[str]) -> None:
    (row, *_) = [line for line in section(lines, "vector") if line.startswith("example 1")]

    assert "(row)" in row
    assert any("more predictions in --format json" in line for line in section(lines, "vector"))


def test_long_lists_are_cut_and_say_so(lines: list[str]) -> None:
    found = section(lines, "many")
    first = found[: next(i for i, line in enumerate(found) if line.startswith("residual"))]

    assert len([line for line in first if line.startswith("example ")]) == 12
    assert any(line.startswith("... 3 smaller ones") for line in first)


def test_absent_weights_say_why(lines: list[str]) -> None:
    found = section(lines, "free")

    assert any(line.split()[-1] == "none" for line in found if line.startswith("example 2"))
    assert any(line.startswith("no weight for example 2: K = 0 exactly") for line in found)


def test_lines_fit_and_have_no_colours(lines: list[str]) -> None:
    wrapped = [line for line in lines if not line.startswith(("not-applicable", "no weight"))]

    assert max(map(len, wrapped)) <= 120
    assert all(line == line.rstrip() for line in lines)
    assert not any("\x1b" in line for line in lines)


# Runs made by hand.


def test_colours_only_where_they_are_asked_for() -> None:
    run = Run((ProblemRun("p", (evidence("T1", Verdict.REFUTED),)),))

    assert "\x1b[" in run_text(run, colour=True)
    assert "\x1b[" not in run_text(run)


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_shown_with_its_reason(verdict: Verdict) -> None:
    text = run_text(Run((ProblemRun("p", (evidence("C7", verdict, "the reason"),)),)))

    assert "C7" in text
    assert verdict.value in text
    assert "the reason" in text
    assert ("witness: x = 1" in text) is verdict.judged


def test_what_is_missing_comes_before_what_was_found() -> None:
    sound = ProblemRun("p", (evidence("T1", Verdict.PROVED),), refused={"exact": "no closed form"})
    lines = run_text(Run((sound,), holes=("R5b", "R5c"), interrupted=True)).splitlines()

    assert lines[0] == "verdict: inconclusive"
    assert lines[2].startswith("interrupted")
    assert lines[3] == "holes (claims without a check): R5b, R5c"
    assert "route exact refused: no closed form" in lines


def test_skipped_routes_are_listed() -> None:
    text = run_text(Run((ProblemRun("p", (evidence("T1", Verdict.PROVED),), skipped={"exact": "no closed form"}),)))

    assert "route exact skipped: no closed form" in text
    assert text.startswith("verdict: proved\n1 problem; claims: 1 proved\n")


def test_an_empty_run_says_that_it_is_empty() -> None:
    assert run_text(Run(())) == "verdict: inconclusive\n0 problems; claims: none\n"


def test_the_theorem_is_no_problem_and_names_what_it_assumes() -> None:
    assumed = (HypothesisEvidence("H2", Verdict.NOT_CHECKABLE, "assumed"), HypothesisEvidence("H0", Verdict.PROVED))
    item = Evidence("P2", Verdict.PROVED, "exact", assumed, message="for d = 3")
    text = run_text(Run((ProblemRun(THEOREM, (item,)),)))

    assert text.startswith("verdict: proved\n0 problems;")
    assert "under H2; for d = 3" in text


MARKUP = ["[red]x[/red]", "[/b]", "a[0, T]b", "[flow] horizon", "\\[x]", "[link=x]"]


@pytest.mark.parametrize("text", MARKUP)
def test_brackets_are_text_and_not_markup(text: str) -> None:
    sound, outside = evidence("T1", Verdict.REFUTED, f"m{text}m"), evidence("T2", Verdict.NOT_APPLICABLE, f"o{text}o")
    problem = ProblemRun(f"n{text}n", (sound, outside), horizon="1", skipped={"exact": f"s{text}s"})
    shown = run_text(Run((problem,)), width=400)

    for mark in "nmos":
        assert f"{mark}{text}{mark}" in shown


def test_narrow_screens_lose_nothing() -> None:
    message = "every word of this long message is still there when the screen is narrow"
    shown = run_text(Run((ProblemRun("p", (evidence("T1", Verdict.REFUTED, message),)),)), width=60)

    assert max(map(len, shown.splitlines())) <= 60
    assert [word for word in message.split() if word not in shown] == []
