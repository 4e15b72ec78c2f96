"""A report as Markdown that GitHub renders: its tables, and its mathematics between ``$`` and backquotes."""

# ruff: noqa: RUF001 - signs of mathematics that look like other letters are meant

from __future__ import annotations

import re

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
from pkverify.report.printing import latex
from pkverify.report.visible import visible

_SIGNS = {"good": "✓", "fair": "≈", "open": "?", "bad": "✗", "outside": "–"}
_SPECIAL = re.compile(r"[\\`*_\[\]{}#|~!]")
_OPENING = re.compile(r"^(\s*)(?:(\d+)([.)])|([-+=]))")


def markdown(document: Document, folder: str = "") -> bytes:
    """The report as Markdown.

    Args:
        document: The report.
        folder: Where the figures lie, seen from the report; without one they are told in words.

    Returns:
        UTF-8 bytes.
    """
    counts = ", ".join(f"{count} {mark.word}" for count, mark in document.counts)
    parts = [
        f"# {_escaped(document.title)}",
        f"{_escaped(document.kicker)}",
        f"> {_inline(document.mark)}<br>\n> {_escaped(document.headline)}"
        + (f"<br>\n> {_escaped(counts)}" if counts else ""),
    ]
    parts += [_block(block, folder) for block in document.blocks]
    return ("\n\n".join(parts) + "\n").encode()


def _block(block: Block, folder: str) -> str:
    match block:
        case Heading(level, content, anchor):
            name = f'<a name="{_name(anchor)}"></a>' if anchor else ""
            return f"{'#' * level} {name}{_inlines(content)}"
        case Paragraph((Math() as formula,), "display"):
            return _display(formula)
        case Paragraph(content):
            return _inlines(content)
        case Listing(items):
            return "\n".join(f"- {_inlines(item)}" for item in items)
        case Facts(rows):
            return "\n".join(f"- **{_escaped(name)}**: {_inlines(content)}" for name, content in rows)
        case Table():
            return _table(block)
        case Derivation(lines):
            return "\n\n".join(
                f"**{_escaped(line.claim)}** {_escaped(line.title)} ({_inline(line.mark)})\n\n{_display(line.formula)}"
                + (f"\n\n{_escaped(line.note)}" if line.note else "")
                for line in lines
            )
        case Source(text, label):
            fence = _fence(text, 3)
            kind = "toml" if label == "problem file" else ""
            return f"{fence}{kind}\n{visible(text)}\n{fence}"
        case Figure(figure):
            caption = f"*{_escaped(figure.caption)}*"
            if not folder:
                return f"{caption} ({_escaped(figure.alt)})"
            return f"![{_escaped(figure.alt)}]({_path(folder)}/{_name(figure.name)}.svg)\n\n{caption}"


def _table(table: Table) -> str:
    ruler = ["---:" if align in "rn" else ":---" for align in table.align]
    rows = [[_escaped(name) or " " for name in table.head], ruler]
    for place, row in enumerate(table.rows):
        cells = [_inlines(cell, cell=True) for cell in row]
        if table.anchors:
            cells[0] = f'<a name="{_name(table.anchors[place])}"></a>{cells[0]}'
        rows.append(cells)
    return f"**{_escaped(table.caption)}**\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _display(formula: Math) -> str:
    row = read_formula(formula.latex)
    return _inline(Code(formula.alt or formula.latex)) if row is None else f"```math\n{latex(row)}\n```"


def _inlines(content: Inlines, *, cell: bool = False) -> str:
    return "".join(_inline(item, cell=cell) for item in content).strip()


def _inline(item: Text | Code | Math | Mark | Link, *, cell: bool = False) -> str:
    match item:
        case Text(text, strong):
            return f"**{_escaped(text).strip()}** " if strong and text.strip() else _escaped(text)
        case Mark(word, tone):
            return f"{_SIGNS[tone]} **{_escaped(word)}**"
        case Link(text, target):
            return f"[{_escaped(text)}](#{_name(target)})"
        case Math(source, alt):
            row = read_formula(source)
            if row is not None:
                inner = latex(row).replace("|", r"\vert ")  # a bar ends a cell of a table
                return f"$`{inner}`$"
            return _code(alt or source, cell=cell)
        case Code(text):
            return _code(text, cell=cell)


def _code(text: str, *, cell: bool) -> str:
    text = " ".join(visible(text).splitlines())
    if not text.strip():
        return ""
    fence = _fence(text, 1)
    padding = " " if text[0] in "` " or text[-1] in "` " else ""
    inner = text.replace("|", r"\|") if cell else text
    return f"{fence}{padding}{inner}{padding}{fence}"


def _fence(text: str, least: int) -> str:
    """So many backquotes that none of the text's own can close it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    return "`" * max(least, longest + 1)


def _escaped(text: str) -> str:
    r"""Text as Markdown shows it, on one line.

    Example:
        >>> _escaped("1. a_b <b> costs $2")
        '1\\. a\\_b &lt;b&gt; costs <span>$</span>2'
    """
    text = " ".join(visible(text).splitlines())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _SPECIAL.sub(r"\\\g<0>", text).replace("$", "<span>$</span>")
    return _OPENING.sub(lambda m: f"{m[1]}{m[2]}\\{m[3]}" if m[2] else f"{m[1]}\\{m[4]}", text)


def _name(name: str) -> str:
    return re.sub(r"[^\w-]+", "-", name)


def _path(folder: str) -> str:
    """A relative path inside the parentheses of a link."""
    return "".join(c if c.isalnum() or c in "/._-~" else "".join(f"%{byte:02X}" for byte in c.encode()) for c in folder)
