"""Whatever a title, a name or a file holds comes out as text, in every format."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pkverify.evidence import Run
from pkverify.report.pdf import document_json, pdf
from pkverify.report.render import document_of, render
from pkverify.report.visible import visible
from tests.report.hostile import TEXTS, hostile_audit, hostile_figure, hostile_run

EMPTY = {"area", "base", "br", "img", "input", "link", "meta", "wbr"}
KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "a", "p", "h1", "h2", "h3", "div"),
    *("span", "b", "ol", "ul", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td", "code"),
    *("pre", "strong", "figure", "figcaption", "img", "wbr", "math", "mrow", "mi", "mn", "mo", "mtext", "mspace"),
    *("mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd"),
}
ATTRIBUTES = {
    *("lang", "charset", "name", "content", "class", "href", "id", "dir", "role", "tabindex", "scope", "src", "alt"),
    *("alttext", "displaystyle", "stretchy", "fence", "form", "lspace", "rspace", "minsize", "maxsize", "width"),
    *("mathvariant", "accent"),
}
KINDS = {"run": hostile_run, "audit": hostile_audit}
CASES = pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in TEXTS])


def made(kind: str, name: str) -> Run:
    return KINDS[kind](TEXTS[name])


class Page(HTMLParser):
    """A page as a browser reads it: its elements, and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.comments = 0
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:  # noqa: ARG002 - HTMLParser's
        self.comments += 1


@CASES
def test_html(kind: str, name: str) -> None:
    text = TEXTS[name]
    page = Page(render(made(kind, name), "html", figures=[hostile_figure(text)]))

    assert page.open == []
    assert page.comments == 0
    assert {tag for tag, _ in page.seen} <= KNOWN
    assert {key for _, attributes in page.seen for key in attributes if not key.startswith("aria-")} <= ATTRIBUTES
    assert {a["href"][0] for tag, a in page.seen if tag == "a"} == {"#"}
    assert all(a["src"].startswith("data:image/svg+xml;base64,") for tag, a in page.seen if tag == "img")
    shown = "".join(page.text)
    assert visible(text) in shown
    assert {a["alt"] for tag, a in page.seen if tag == "img"} <= {visible(text)}


def flat(tokens: list[Token]) -> list[Token]:
    return [inner for token in tokens for inner in (token, *flat(token.children or []))]


@CASES
def test_markdown(kind: str, name: str) -> None:
    text = TEXTS[name]
    page = render(made(kind, name), "md", figures=[hostile_figure(text)]).decode()
    tokens = flat(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(page))

    markup = [token.content for token in tokens if token.type in {"html_inline", "html_block"}]
    assert all(re.fullmatch(r'<a name="[\w-]*">|</a>|<br>|</?span>', each) for each in markup)
    links = [str(token.attrGet("href")) for token in tokens if token.type == "link_open"]
    assert all(link.startswith("#") for link in links)
    assert not any(
        token.type in {"image", "s_open", "em_open"} and kind == "run" for token in tokens if token.markup != "*"
    )
    assert sum(token.type == "heading_open" and token.tag == "h1" for token in tokens) == 1
    shown = "".join(
        {"text": token.content, "text_special": token.content, "code_inline": token.content, "softbreak": " "}.get(
            token.type, ""
        )
        for token in tokens
    )
    plain = " ".join(visible(text).split())
    assert plain in " ".join(shown.split())


@pytest.mark.parametrize("kind", KINDS)
def test_markdown_holds_no_picture_but_ours(kind: str) -> None:
    for text in TEXTS.values():
        page = render(KINDS[kind](text), "md", figures=[hostile_figure(text)], folder="my figures").decode()
        tokens = flat(MarkdownIt("commonmark").enable("table").parse(page))

        assert [str(t.attrGet("src")) for t in tokens if t.type == "image"] == ["my%20figures/picture.svg"]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
@CASES
def test_latex(kind: str, name: str, tmp_path: Path) -> None:
    text = TEXTS[name]
    (tmp_path / "report.tex").write_bytes(render(made(kind, name), "tex", figures=[hostile_figure(text)]))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "report.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, timeout=120, check=False
    )

    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    if shutil.which("pdftotext") and name in {"html", "latex", "typst", "control"}:
        assert letters(visible(text)) in letters(extracted(tmp_path / "report.pdf"))


@CASES
def test_pdf(kind: str, name: str, tmp_path: Path) -> None:
    text = TEXTS[name]
    run, figures = made(kind, name), [hostile_figure(text)]
    (tmp_path / "report.pdf").write_bytes(render(run, "pdf", figures=figures))

    if shutil.which("pdftotext") and name in {"html", "latex", "typst", "markdown", "control"}:
        assert letters(visible(text)) in letters(extracted(tmp_path / "report.pdf"))


def test_what_the_fonts_lack_is_named() -> None:
    data = document_json(document_of(hostile_audit("Ω 😀 漢 ש ﷽")))

    assert "Ω <U+1F600> <U+6F22> ש <U+FDFD>" in data
    assert pdf(document_of(hostile_audit("Ω 😀 漢 ש ﷽"))).startswith(b"%PDF")


def extracted(path: Path) -> str:
    command = ["pdftotext", "-raw", "-enc", "UTF-8", path.name, "-"]
    return subprocess.run(command, cwd=path.parent, capture_output=True, timeout=60, check=True).stdout.decode()


def letters(text: str) -> str:
    """The letters and digits, in order: lines, spaces, and marks that fonts draw alike are left out."""
    return "".join(c for c in text if c.isalnum() and c.isascii())
