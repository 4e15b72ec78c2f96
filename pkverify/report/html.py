"""A report as one HTML file: nothing loaded from outside, no script, MathML, light and dark, for screen and paper."""

# ruff: noqa: RUF001 - signs of mathematics that look like other letters are meant

from __future__ import annotations

import base64
from collections.abc import Collection
from functools import cache
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from pkverify.report.document import Code, Document, Figure, Inlines, Link, Mark, Math, ReportFigure, Text
from pkverify.report.formula import read_formula
from pkverify.report.printing import mathml, plain
from pkverify.report.visible import visible

MOST_BYTES = 2_000_000  # of a page; figures beyond it are named, and left out
_SIGNS = {"good": "✓", "fair": "≈", "open": "?", "bad": "✗", "outside": "–"}


def html(document: Document) -> bytes:
    """The report as an HTML page.

    Args:
        document: The report.

    Returns:
        UTF-8 bytes, the same for the same report; under ``MOST_BYTES`` where the text without figures is.
    """
    bare = _page(document, frozenset())
    left = MOST_BYTES - len(bare)
    shown: set[str] = set()
    for block in document.blocks:
        if isinstance(block, Figure) and len(_uri(block.figure)) < left:
            left -= len(_uri(block.figure))
            shown.add(block.figure.name)
    return _page(document, shown) if shown else bare


def _page(document: Document, shown: Collection[str]) -> bytes:
    template = _environment().get_template("report.html.jinja")
    return template.render(document=document, shown=shown, style=Markup(_read("report.css"))).encode()  # noqa: S704 - ours


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "kind": lambda block: type(block).__name__,
        "inline": _inlines,
        "uri": _uri,
        "anchor": _anchor,
        "sign": _SIGNS.__getitem__,
    }
    return environment


def _read(name: str) -> str:
    return (resources.files("pkverify.report") / "templates" / name).read_text(encoding="utf-8")


def _uri(figure: ReportFigure) -> str:
    """The drawing inside the page: as an image, so that no style or id in it meets those of the page."""
    png = figure.png and (not figure.svg or len(figure.png) < len(figure.svg))
    kind, drawing = ("png", figure.png) if png else ("svg+xml", figure.svg)
    return f"data:image/{kind};base64,{base64.b64encode(drawing).decode()}"


def _anchor(name: str) -> str:
    """An id without spaces."""
    return "-".join(name.split())


def _inlines(content: Inlines, *, display: bool = False) -> Markup:
    return Markup("").join(_inline(item, display=display) for item in content)


def _inline(item: Text | Code | Math | Mark | Link, *, display: bool) -> Markup:
    match item:
        case Text(text, strong):
            return Markup("<strong>{}</strong>").format(visible(text)) if strong else escape(visible(text))
        case Code(text):
            return Markup('<code dir="auto">{}</code>').format(visible(text))
        case Mark(word, tone):
            return Markup('<span class="mark {}"><span aria-hidden="true">{}</span> {}</span>').format(
                tone, _SIGNS[tone], visible(word)
            )
        case Link(text, target):
            return Markup('<a href="#{}">{}</a>').format(_anchor(target), visible(text))
        case Math(latex, alt):
            row = read_formula(latex)
            if row is None:
                return Markup('<code dir="auto">{}</code>').format(visible(alt or latex))
            markup = mathml(row, visible(alt or plain(row)))
            if display:
                markup = markup.replace("<math", '<math displaystyle="true"')
            return Markup(markup)  # noqa: S704 - made of known characters, and escaped in the making
