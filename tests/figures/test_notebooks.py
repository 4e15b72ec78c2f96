"""What notebooks show of a problem, a decomposition, a run and a derivation."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser

import pytest

from pkverify.cases import case_problems
from pkverify.evidence import Evidence, ProblemRun, Run, Verdict
from pkverify.exact.derivation import derive
from tests.figures.cases import BENT, HAND, large

HOSTILE = "<script>alert('1')</script> & \"$x$\" \u202e \U0001f600"
RUN = Run(
    (
        ProblemRun(
            "line",
            (
                Evidence("T1", Verdict.SUPPORTED, "mpmath", tolerance="1e-28", message="within tolerance"),
                Evidence("T1", Verdict.PROVED, "exact", message="16 identities proved"),
                Evidence("T1c", Verdict.REFUTED, "ball", witness="a = 2", message="outside"),
            ),
            skipped={"exact": "no closed form"},
        ),
    ),
    holes=("R5b",),
)


class _Cells(HTMLParser):
    """The texts of a page, with tags checked to close in the order in which they open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attrs} <= {"title"}
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_decomposition_is_a_table_that_adds_up() -> None:
    cells = _Cells(HAND._repr_html_()).texts

    assert cells[0] == "x = (-1/2, 3), output 0, precise, 15 digits"
    place = cells.index("initial output b")
    assert cells[place : place + 4] == ["initial output b", "0.5", "regularizer", "-0.5"]
    assert cells[place + 4 : place + 8] == ["example 1", "2", "4", "0.5"]
    assert cells[-7:] == ["0.75", "0", "none", "final output", "1.25", "residual", "-1e-17"]


def test_a_decomposition_is_a_formula_with_numbers() -> None:
    assert HAND._repr_latex_() == (
        r"$\displaystyle y_T = 1.25 \approx 0.5-0.5+2-1.5+0.75 \quad (\text{residual } -1 \cdot 10^{-17})$"
    )


def test_a_notebook_gets_every_form_and_the_plain_one_has_all_digits() -> None:
    bundle = HAND._repr_mimebundle_()

    assert set(bundle) == {"text/plain", "text/html", "text/latex"}
    assert bundle["text/plain"].splitlines()[0] == "prediction at x = (-1/2, 3), output 0  [precise, 15 digits]"
    assert bundle["text/plain"].splitlines()[-1].split() == ["residual", "-1.0e-17"]


@pytest.mark.parametrize("count", [20, 21, 5000])
def test_a_table_of_many_examples_stays_short_and_still_adds_up(count: int) -> None:
    rows = replace(large(count), regularizer_term="0")._rows()

    assert len(rows) == 23
    assert sum(Fraction(value) for _, value in rows[1:-2]) == sum((-1) ** k * (k + 1) for k in range(count))
    assert (rows[-3][0] == f"{count - 19} other examples") == (count > 20)


def test_weights_and_kernels_of_several_outputs_are_rows() -> None:
    item = replace(HAND, path_kernel=(("1", "0"),) * 3, weights=(("2", "3"), None, ("0", "1")))

    cells = _Cells(item._repr_html_()).texts
    assert cells[cells.index("example 1") :][:4] == ["example 1", "2", "(1, 0)", "(2, 3)"]


def test_a_problem_is_told_in_a_table() -> None:
    cells = _Cells(BENT._repr_html_()).texts

    assert cells == [
        "The weight is no average", "model", "expression, 1 parameter, 1 input, 1 output",
        "loss", "squared, the sum over the examples", "1 example", "0 \u2192 1", "initial parameters", "w = 0",
        "horizon", "1", "queries", "-13/10; -7/5",
    ]  # fmt: skip


def test_a_large_problem_is_told_in_part() -> None:
    problem = dict(case_problems("xent"))["xent-oring"]

    cells = _Cells(problem._repr_html_()).texts
    assert cells[cells.index("23 examples") + 1].endswith("; and 15 more")


def test_a_penalty_is_told() -> None:
    assert "(1/2)/2 |params|^2" in _Cells(dict(case_problems("linear"))["linear-ridge"]._repr_html_()).texts


def test_a_run_shows_its_verdict_its_holes_and_the_strongest_evidence() -> None:
    cells = _Cells(RUN._repr_html_()).texts

    assert cells[:2] == ["verdict: refuted", "holes (claims without a check): R5b"]
    assert "route exact left out: no closed form" in cells
    assert cells[cells.index("T1") :][:6] == ["T1", "proved", "16 identities proved", "T1c", "refuted", "outside"]
    assert str(RUN).splitlines() == ["verdict: refuted", "holes: R5b", "line", "  T1     proved", "  T1c    refuted"]
    assert set(RUN._repr_mimebundle_()) == {"text/plain", "text/html"}
    assert "(interrupted)" in replace(RUN, interrupted=True)._repr_html_()


def test_a_derivation_is_formulas_and_no_table() -> None:
    bundle = derive(BENT)._repr_mimebundle_()

    assert set(bundle) == {"text/plain", "text/latex"}
    assert bundle["text/latex"].startswith("$")


def test_text_of_users_stays_text() -> None:
    evidence = (Evidence("T1", Verdict.INCONCLUSIVE, "mpmath", message=HOSTILE + "x" * 10_000),)
    run = Run((ProblemRun(HOSTILE, evidence, refused={"exact": HOSTILE}),))

    for page in (replace(BENT, title=HOSTILE)._repr_html_(), run._repr_html_()):
        cells = _Cells(page)
        assert "script" not in cells.tags
        assert HOSTILE in cells.texts
    assert max(map(len, _Cells(run._repr_html_()).texts)) <= 200
