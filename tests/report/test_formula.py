"""Formulas: what pkverify writes is read and printed in every format, and nothing else is."""

# ruff: noqa: RUF001 - signs of mathematics that look like other letters are meant

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import sympy as sp

from pkverify.claims import CLAIMS, HYPOTHESES
from pkverify.report.document import Document, Mark, Math, Paragraph
from pkverify.report.formula import Row, pieces, read_formula
from pkverify.report.pdf import pdf
from pkverify.report.printing import latex, mathml, plain, typst_data
from pkverify.report.tex import tex

x, y, t = sp.symbols("x y t", real=True)
# What the grammar of models and losses can make SymPy print.
PRINTED = [
    sp.latex(expression)
    for expression in (
        sp.exp(-x / 2) / (1 + sp.exp(x)),
        sp.sqrt(x) + sp.cbrt(2) * x ** sp.Rational(3, 2),
        sp.log(x) * sp.tanh(x) ** 2 - sp.atan(x) + sp.sinh(x) / sp.cosh(x),
        sp.erf(x) + sp.Abs(x * y) + sp.sign(x) + sp.Max(0, x) + sp.LambertW(x),
        sp.Piecewise((x, x > 0), (0, True)),
        sp.Integral(sp.exp(-(t**2)), (t, 0, x)),
        sp.Sum(x**t, (t, 1, 3)),
        sp.Matrix([[x, 1], [0, y]]),
        sp.Derivative(sp.Function("f")(x), x),
        sp.Symbol("alpha_1") + sp.Symbol("w_1_1") + sp.Symbol("target0") + sp.Symbol("xhat") + sp.Symbol("ydot"),
        sp.Symbol("lamda") * sp.pi - sp.oo,
        sp.Heaviside(x) * sp.gamma(x),
    )
]
REGISTRY = [
    formula
    for record in (*CLAIMS.values(), *HYPOTHESES.values())
    for text in (record.statement, getattr(record, "repaired", ""), getattr(record, "remark", ""))
    for formula in text.split("$")[1::2]
]
EVERY = [*PRINTED, *REGISTRY]

REFUSED = [
    *(
        r"\input{secret}",
        r"\write18{id}",
        r"\def\x{1}",
        r"\href{javascript:x}{y}",
        r"\unknown",
        r"\frac{1}",
        r"\left( x",
    ),
    *("x^", "x_", "{x", "x}", "x^2^3", "x_1_2", "#", "$x$", "a & b", "é", "\\", r"\left", r"\sqrt["),
    *(r"\begin{array}{c} x \end{array}", r"\begin{cases} x", r"\text{\input{x}}", r"\text{unclosed"),
    *("{" * 500 + "x" + "}" * 500, "x" * 30_000),
]


def read(source: str) -> Row:
    row = read_formula(source)
    assert row is not None, source
    return row


def test_everything_that_is_printed_is_read() -> None:
    assert [source for source in EVERY if read_formula(source) is None] == []


@pytest.mark.parametrize("source", REFUSED, ids=[source[:20] for source in REFUSED])
def test_anything_else_is_refused(source: str) -> None:
    assert read_formula(source) is None


def test_latex_is_read_to_the_same_tree() -> None:
    for source in EVERY:
        again = latex(read(latex(read(source))))

        assert again == latex(read(source))


def test_mathml_is_well_formed() -> None:
    for source in EVERY:
        markup = mathml(read(source), 'alt "<&>"').replace("<wbr>", "")
        root = ElementTree.fromstring(f"<p>{markup}</p>")  # noqa: S314 - our own output

        assert root[0].get("alttext") == 'alt "<&>"'
        assert {element.tag for element in root} == {"math"}
        assert "\\" not in "".join(root.itertext())


def test_typst_data_is_data() -> None:
    for source in EVERY:
        assert json.loads(json.dumps(typst_data(read(source)))) == typst_data(read(source))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"y_T = y_0 - \sum_i \int_0^T L'_i K_t(x, x_i)\,dt", "y_T = y_0 − ∑_i ∫_0^T L'_i K_t(x, x_i) dt"),
        (r"\frac{d w_{1 1}}{dt} = - \frac{21 w}{4}", "(dw_(1, 1))/dt = − (21 w)/4"),
        (r"\sqrt[3]{x} + \sqrt{2}", "3√(x) + √(2)"),
        (r"\overline{L'_i} \to \infty", "mean(L'_i) → ∞"),
        (r"\left|{x}\right| \tanh^{2}{\left(x \right)}", "|x|tanh^2(x)"),
        (r"K \ne 0,\quad T \to \infty", "K ≠ 0, T → ∞"),
    ],
)
def test_plain_text(source: str, text: str) -> None:
    assert " ".join(plain(read(source)).split()) == text


@pytest.mark.parametrize(
    ("source", "count"),
    [("x", 1), ("x = y + z", 3), ("x = -y", 2), ("-x", 1), (r"f(x) = \left(a + b\right)", 2), (r"a \to -\infty", 2)],
)
def test_lines_end_at_relations_and_sums(source: str, count: int) -> None:
    assert len(pieces(read(source))) == count


def test_names_stay_whole_and_indices_are_parted() -> None:
    markup = mathml(read(r"- target + w_{1 1}"), "")

    assert '<mi class="name">target</mi>' in markup
    assert "<mn>1</mn><mo>,</mo><mn>1</mn>" in markup


def test_text_in_a_formula_is_unescaped_and_escaped_again() -> None:
    row = read(r"y = \text{a\_b \& 5\% \textbackslash{}x \#\$\{\} <b>}")

    assert plain(row).endswith(r"a_b & 5% \x #${} <b>")
    assert "&lt;b&gt;" in mathml(row, "")
    assert latex(row).endswith(r"\text{a\_b \& 5\% \textbackslash{}x \#\$\{\} <b>}")


class Counter(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - HTMLParser's
        if tag != "wbr":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_element_is_closed_as_html_reads_it() -> None:
    for source in EVERY:
        counter = Counter()
        counter.feed(mathml(read(source), "x"))

        assert counter.open == []


def gallery() -> Document:
    blocks = tuple(Paragraph((Math(source),), kind) for source in EVERY for kind in ("", "display"))
    return Document("Formulas", "all of them", Mark("proved", "good"), "", (), blocks)


def test_typst_sets_every_formula() -> None:
    assert pdf(gallery()).startswith(b"%PDF")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_amsmath_alone_sets_every_formula(tmp_path: Path) -> None:
    source = tex(gallery())
    (tmp_path / "gallery.tex").write_bytes(source)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "gallery.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, timeout=120, check=False
    )

    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert source.count(b"usepackage") == 4  # fontenc, inputenc, textcomp, amsmath
