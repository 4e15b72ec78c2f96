"""The files themselves: one offline page, well-formed and small; PDF, LaTeX and Markdown with their figures."""

from __future__ import annotations

import base64
import builtins
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pkverify.cases import case_problems
from pkverify.checks.paper.table import audit_paper
from pkverify.checks.run import check
from pkverify.errors import InputError
from pkverify.evidence import Run
from pkverify.report.document import ReportFigure
from pkverify.report.html import MOST_BYTES
from pkverify.report.render import FORMATS, figure_files, render

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="40"><circle cx="20" cy="20" r="9" id="a"/></svg>'
PNG = base64.b64decode(  # a white point
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTCLwQAAAABJRU5ErkJggg=="
)
FIGURES = [
    ReportFigure("path", "The path of the weights.", "A curve in the plane.", SVG, PNG, problem="line", claim="T1"),
    ReportFigure("gram", "The Gram matrix.", "A table of colours.", SVG, PNG, problem="line", claim="T1a"),
]


@pytest.fixture(scope="module")
def runs() -> dict[str, Run]:
    problem = dict(case_problems("linear"))["linear-one-weight"]
    return {
        "run": check([("line", problem)], digits=15, claims=["T1", "T1a"]),
        "audit": audit_paper(["T1", "T1a", "P9"]).run(),
    }


class Page(HTMLParser):
    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, {key: value or "" for key, value in attrs}))

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.seen if name == tag]


@pytest.mark.parametrize("kind", ["run", "audit"])
def test_the_page_stands_alone(runs: dict[str, Run], kind: str) -> None:
    source = render(runs[kind], "html", figures=FIGURES)
    page = Page(source)

    assert source.startswith(b'<!DOCTYPE html>\n<html lang="en">')
    assert len(source) < 400_000
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.seen}
    assert not re.search(rb"@import|url\(|javascript:|\son\w+=", source)
    assert all(a["src"].startswith("data:") for a in page.of("img"))
    assert all(a["href"].startswith("#") for a in page.of("a"))
    assert b"prefers-color-scheme: dark" in source
    assert b"@media print" in source
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.of("meta")


@pytest.mark.parametrize("kind", ["run", "audit"])
def test_every_link_leads_somewhere(runs: dict[str, Run], kind: str) -> None:
    page = Page(render(runs[kind], "html"))
    ids = [attributes["id"] for _, attributes in page.seen if "id" in attributes]

    assert len(set(ids)) == len(ids)
    assert {attributes["href"][1:] for attributes in page.of("a")} <= set(ids)


@pytest.mark.parametrize("kind", ["run", "audit"])
def test_what_is_not_text_has_a_text(runs: dict[str, Run], kind: str) -> None:
    page = Page(render(runs[kind], "html", figures=FIGURES))
    formulas = [a for _, a in page.seen if a.get("class") == "formula"]

    assert [a["alt"] for a in page.of("img")] == ["A curve in the plane.", "A table of colours."]
    assert all(a["aria-label"] for a in formulas)
    assert any(a.get("alttext") for a in page.of("math"))
    assert all(a["aria-label"] for _, a in page.seen if a.get("class") == "scroll")
    assert {a.get("scope") for a in page.of("th")} == {"row", "col"}
    levels = [int(tag[1]) for tag, _ in page.seen if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1


def test_no_command_of_latex_is_shown(runs: dict[str, Run]) -> None:
    for run in runs.values():
        source = render(run, "html").decode()
        text = re.sub(r"<style>.*?</style>|<[^>]*>", "", source, flags=re.DOTALL)

        assert not re.search(r"\\[a-zA-Z]+|\$", text)


def test_figures_beyond_the_size_of_a_page_are_told_in_words(runs: dict[str, Run]) -> None:
    large = [
        ReportFigure(f"figure-{k}", "A caption.", f"picture {k}", b"<svg>" + b"x" * 600_000 + b"</svg>", problem="line")
        for k in range(4)
    ]
    source = render(runs["run"], "html", figures=large)
    page = Page(source)

    assert len(source) < MOST_BYTES
    assert [a["alt"] for a in page.of("img")] == ["picture 0", "picture 1"]
    assert "Left out, to keep this page small: picture 3" in source.decode()


def test_the_smaller_drawing_is_taken(runs: dict[str, Run]) -> None:
    figure = ReportFigure("big", "A caption.", "picture", b"<svg>" + b"x" * 10_000 + b"</svg>", PNG, problem="line")

    (image,) = Page(render(runs["run"], "html", figures=[figure])).of("img")
    assert image["src"].startswith("data:image/png;base64,")


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_run_gives_the_same_bytes_in_another_process(form: str) -> None:
    script = (
        "import sys; from pkverify.evidence import *; from pkverify.report.render import render\n"
        "e = Evidence('T1', Verdict.PROVED, 'exact', residual='0', message='m')\n"
        f"sys.stdout.buffer.write(render(Run((ProblemRun('p', (e,), source='title = 1'),)), {form!r}))"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin"}, capture_output=True,
            check=True, timeout=120,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip

    assert len(made) == 1
    assert len(made.pop()) > 1000


def test_figures_beside_the_report(runs: dict[str, Run]) -> None:
    markdown = render(runs["run"], "md", figures=FIGURES, folder="run-figures").decode()
    tex = render(runs["run"], "tex", figures=FIGURES, folder="run-figures").decode()

    assert "![A curve in the plane.](run-figures/path.svg)" in markdown
    assert r"\drawing{run-figures/path.png}" in tex
    assert r"\usepackage{graphicx}" in tex
    assert figure_files("md", FIGURES) == {"path.svg": SVG, "gram.svg": SVG}
    assert figure_files("tex", FIGURES) == {"path.png": PNG, "gram.png": PNG}
    assert figure_files("html", FIGURES) == figure_files("pdf", FIGURES) == {}


def test_figures_without_a_folder_are_told_in_words(runs: dict[str, Run]) -> None:
    markdown = render(runs["run"], "md", figures=FIGURES).decode()
    tex = render(runs["run"], "tex", figures=FIGURES).decode()

    assert "![" not in markdown
    assert "A curve in the plane" in markdown
    assert "graphicx" not in tex
    assert "A curve in the plane" in tex


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
@pytest.mark.parametrize("kind", ["run", "audit"])
def test_latex_with_figures_compiles(runs: dict[str, Run], kind: str, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name, content in figure_files("tex", FIGURES).items():
        (tmp_path / "figures" / name).write_bytes(content)
    (tmp_path / "report.tex").write_bytes(render(runs[kind], "tex", figures=FIGURES, folder="figures"))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "report.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, timeout=120, check=False
    )

    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


@pytest.mark.parametrize("kind", ["run", "audit"])
def test_pdf_with_figures(runs: dict[str, Run], kind: str) -> None:
    assert render(runs[kind], "pdf", figures=FIGURES).startswith(b"%PDF")


@pytest.mark.parametrize("folder", ["a%b", "a#b", "a{b}", "a\\b", "a\nb"])
def test_a_folder_that_latex_cannot_name_is_refused(runs: dict[str, Run], folder: str) -> None:
    with pytest.raises(InputError, match="folder"):
        render(runs["run"], "tex", figures=FIGURES, folder=folder)


def test_without_typst_the_error_names_the_remedy(runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    true_import = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "typst":
            raise ImportError(name)
        return true_import(name, *rest)

    monkeypatch.setitem(sys.modules, "typst", None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError) as caught:
        render(runs["run"], "pdf")

    assert "pip install 'pkverify[pdf]'" in caught.value.fix
    assert caught.value.exit_code == 2


def test_another_format_is_refused(runs: dict[str, Run]) -> None:
    with pytest.raises(InputError, match="docx"):
        render(runs["run"], "docx")  # type: ignore[arg-type]


def test_two_figures_of_one_name_are_refused(runs: dict[str, Run]) -> None:
    with pytest.raises(InputError, match="two figures"):
        render(runs["run"], "html", figures=[FIGURES[0], FIGURES[0]])
