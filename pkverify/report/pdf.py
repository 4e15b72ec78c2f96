"""A report as PDF, set by Typst: the template is fixed, and the report is handed to it as data, never as code.

The fonts are those that Typst brings, so that the same report gives the same bytes on every machine. A character that
they do not have is printed as its code point, such as ``<U+1F600>``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module, resources
from typing import Protocol, cast

from pkverify.errors import InputError
from pkverify.report.document import (
    Block,
    Code,
    Derivation,
    Document,
    Facts,
    Figure,
    Heading,
    Inlines,
    Link,
    Listing,
    Mark,
    Math,
    Paragraph,
    Source,
    Table,
    Text,
)
from pkverify.report.formula import read_formula
from pkverify.report.printing import plain, typst_data
from pkverify.report.visible import visible

Json = str | float | bool | None | Mapping[str, "Json"] | Sequence["Json"]

# What the fonts inside Typst print: Latin, Greek, Cyrillic, Hebrew, punctuation, and the signs of mathematics.
_PRINTED = (
    (0x20, 0x7E), (0xA0, 0x2AF), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5FF), (0x1E00, 0x1FFF), (0x2010, 0x205F),
    (0x2070, 0x20BF), (0x2100, 0x214F), (0x2190, 0x22FF), (0x2500, 0x257F), (0x2713, 0x2717),
)  # fmt: skip
_UNBROKEN = 24  # so many characters of one word, and then a line may end
_BREAK = "\u200b"


class _Typst(Protocol):
    def compile(
        self, input: bytes, *, sys_inputs: dict[str, str], ignore_system_fonts: bool, timestamp: int,  # noqa: A002
    ) -> bytes: ...  # fmt: skip


def pdf(document: Document) -> bytes:
    """The report as PDF.

    Args:
        document: The report.

    Returns:
        The file; the same bytes for the same report and the same version of Typst.

    Raises:
        InputError: If the ``typst`` package is not installed.
    """
    try:
        typst = cast("_Typst", import_module("typst"))
    except ImportError:
        raise InputError(
            "a report as PDF needs the typst package",
            "it is not installed here",
            "pip install 'pkverify[pdf]', or name a file that ends in .html, .md or .tex",
        ) from None
    template = (resources.files("pkverify.report") / "templates" / "report.typ").read_bytes()
    return typst.compile(
        template, sys_inputs={"report": document_json(document)}, ignore_system_fonts=True, timestamp=0
    )


def document_json(document: Document) -> str:
    """The report as the data that the template reads."""
    data: dict[str, Json] = {
        "title": _shown(document.title),
        "kicker": _shown(document.kicker),
        "mark": _inline(document.mark),
        "headline": _shown(document.headline),
        "counts": [[count, _inline(mark)] for count, mark in document.counts],
        "anchors": list(document.anchors),
        "blocks": [_block(block) for block in document.blocks],
    }
    return json.dumps(data, ensure_ascii=False)


def _block(block: Block) -> Json:
    match block:
        case Heading(level, content, anchor):
            return {"kind": "heading", "level": level, "content": _inlines(content), "anchor": anchor}
        case Paragraph((Math() as formula,), "display"):
            return {"kind": "formula", **_formula(formula)}
        case Paragraph(content, kind):
            return {"kind": "paragraph", "content": _inlines(content), "note": kind == "note"}
        case Listing(items):
            return {"kind": "listing", "items": [_inlines(item) for item in items]}
        case Facts(rows):
            return {"kind": "facts", "rows": [[_shown(name), _inlines(content)] for name, content in rows]}
        case Table(caption, head, rows, align, totals, anchors):
            return {
                "kind": "table",
                "caption": _shown(caption),
                "head": [_shown(name) for name in head],
                "rows": [[_inlines(cell) for cell in row] for row in rows],
                "align": [*align],
                "totals": totals,
                "anchors": [*anchors],
            }
        case Derivation(lines):
            return {
                "kind": "derivation",
                "lines": [
                    {
                        "claim": _inline(Link(line.claim, f"claim-{line.claim}")),
                        "title": _shown(line.title),
                        "mark": _inline(line.mark),
                        "note": _shown(line.note),
                        **_formula(line.formula),
                    }
                    for line in lines
                ],
            }
        case Source(text, label):
            return {"kind": "source", "lines": [_shown(line) for line in text.splitlines()], "label": label}
        case Figure(figure):
            return {
                "kind": "figure",
                "caption": _shown(figure.caption),
                "alt": visible(figure.alt),
                "svg": figure.svg.decode(),
            }


def _formula(formula: Math) -> dict[str, Json]:
    """A formula on lines of its own."""
    row = read_formula(formula.latex)
    if row is None:
        return {"text": _shown(formula.alt or formula.latex)}
    return {"tree": typst_data(row), "alt": visible(formula.alt or plain(row))}


def _inlines(content: Inlines) -> Json:
    return [_inline(item) for item in content]


def _inline(item: Text | Code | Math | Mark | Link) -> Json:
    match item:
        case Text(text, strong):
            return ["strong" if strong else "text", _shown(text)]
        case Code(text):
            return ["code", _shown(text)]
        case Mark(word, tone):
            return ["mark", _shown(word), tone]
        case Link(text, target):
            return ["link", _shown(text), target]
        case Math(source, alt):
            row = read_formula(source)
            if row is None:
                return ["code", _shown(alt or source)]
            return ["math", typst_data(row), visible(alt or plain(row))]


def _shown(text: str) -> str:
    """Text that the fonts can print, with places at which a long word may be broken."""
    shown = visible(text, lambda c: any(low <= ord(c) <= high for low, high in _PRINTED))
    return " ".join(
        _BREAK.join(word[k : k + _UNBROKEN] for k in range(0, len(word), _UNBROKEN)) for word in shown.split(" ")
    )
