r"""A report as LaTeX: amsmath and nothing else (graphicx where there are figures), for any pdflatex.

pdflatex knows no characters but those of its fonts. Latin letters and the signs of formulas are printed; any other
character is printed as its code point, such as ``<U+05D0>``, so that the report compiles and nothing is lost.
"""

# ruff: noqa: RUF001 - signs of mathematics that look like other letters are meant

from __future__ import annotations

import re
from importlib import resources

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
from pkverify.report.printing import latex
from pkverify.report.signs import SIGNS
from pkverify.report.visible import visible

_ESCAPES = {
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}", "-": "{-}", ",": "{,}", "?": "{?}", "!": "{!}",
    "{": r"\{", "}": r"\}", "#": r"\#", "$": r"\$", "%": r"\%", "&": r"\&", "_": r"\_",
    "“": "``", "”": "''", "‘": "`", "’": "'", "–": "--", "—": "---", "…": r"\dots{}", "−": r"\ensuremath{-}",
    "\u00a0": "~",
}  # fmt: skip
_FORMULA_SIGNS = {char: rf"\ensuremath{{{command}}}" for command, char in SIGNS.items() if not char.isascii()}
# Letters of the Latin alphabets that the T1 fonts have.
_LATIN = frozenset(
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿ"
    "ĂăĄąĆćČčĎďĐđĘęĚěĞğĹĺĽľŁłŃńŇňŐőŒœŔŕŘřŚśŞşŠšŢţŤťŮůŰűŸŹźŻżŽž¡¿£§"
)
_SECTIONS = {2: "section", 3: "subsection", 4: "subsubsection"}
_UNBROKEN = 18  # so many characters of one word, and then a line may end
_CELLS = {"l": "leftcell", "r": "rightcell", "n": "rightcell"}
_WIDTHS = {"l": 1.7, "r": 0.7, "n": 1.5}


def tex(document: Document, folder: str = "") -> bytes:
    """The report as a LaTeX document.

    Args:
        document: The report.
        folder: Where the figures lie as PNG, seen from the report; without one they are told in words.

    Returns:
        UTF-8 bytes.

    Raises:
        InputError: If LaTeX could not read the name of the folder.
    """
    if not re.fullmatch(r"[\w./ -]*", folder, re.ASCII):
        raise InputError(
            f"folder {folder!r} of the figures", "LaTeX cannot read every name", "use letters, digits, ., - and _"
        )
    figures = bool(folder) and any(isinstance(block, Figure) and block.figure.png for block in document.blocks)
    counts = ", ".join(f"{count} {mark.word}" for count, mark in document.counts)
    head = (document.kicker, document.title, document.mark.word, document.headline, counts)
    parts = [
        (resources.files("pkverify.report") / "templates" / "preamble.tex").read_text(encoding="utf-8"),
        r"\usepackage{graphicx}" if figures else "",
        r"\begin{document}",
        r"\reporthead" + "".join(f"{{{_escaped(text)}}}" for text in head),
        *(_block(block, folder) for block in document.blocks),
        r"\end{document}",
    ]
    return ("\n\n".join(filter(None, parts)) + "\n").encode()


def _block(block: Block, folder: str) -> str:
    match block:
        case Heading(level, content):
            return rf"\{_SECTIONS[level]}*{{{_inlines(content)}}}"
        case Paragraph((Math() as formula,), "display"):
            return _display(formula)
        case Paragraph(content):
            return _inlines(content)
        case Listing(items):
            inner = "\n".join(rf"\item {{{_inlines(item)}}}" for item in items)
            return f"\\begin{{itemize}}\n{inner}\n\\end{{itemize}}"
        case Facts(rows):
            inner = "\n".join(rf"\item[{{{_escaped(name)}}}] {{{_inlines(content)}}}" for name, content in rows)
            return f"\\begin{{facts}}\n{inner}\n\\end{{facts}}"
        case Table():
            return _table(block)
        case Derivation(lines):
            return "\n".join(
                rf"\step{{{_escaped(line.claim)}}}{{{_escaped(line.title)}}}{{{_inline(line.mark)}}}" + "\n"
                rf"{_display(line.formula)}" + (f"\n\\note{{{_escaped(line.note)}}}" if line.note else "")
                for line in lines
            )
        case Source(text):
            inner = "\n".join(rf"\sourceline{{{_code(line, kept=True)}}}" for line in text.splitlines())
            return f"\\begin{{source}}\n{inner}\n\\end{{source}}"
        case Figure(figure):
            told = f"{_escaped(figure.caption)}"
            if not (folder and figure.png):
                return rf"\note{{{told} ({_escaped(figure.alt)})}}"
            path = f"{folder}/{figure.name}.png"
            return rf"\drawing{{{path}}}{{{told}}}"


def _table(table: Table) -> str:
    """The table row by row: pages may break between them, and nothing but LaTeX itself is needed."""
    weights = [_WIDTHS[align] for align in table.align]
    weights[-1] *= 1.6 if table.align[-1] == "l" else 1
    shares = [f"{0.94 * weight / sum(weights):.4f}" for weight in weights]

    def row(cells: list[str]) -> str:
        made = (rf"\{_CELLS[a]}{{{w}}}{{{c}}}" for a, w, c in zip(table.align, shares, cells, strict=True))
        return "\\tablerow{%\n" + "\\hfill\n".join(made) + "}"

    rows = [rf"\tablecaption{{{_escaped(table.caption)}}}", r"\tablerule"]
    rows += [row([rf"\textbf{{{_escaped(name)}}}" for name in table.head]), r"\tablerule"]
    for place, cells in enumerate(table.rows):
        if table.totals and place == len(table.rows) - table.totals:
            rows.append(r"\tablerule")
        rows.append(row([_inlines(cell) for cell in cells]))
    return "\n".join([*rows, r"\tablerule", r"\tableend"])


def _display(formula: Math) -> str:
    """A formula on lines of its own; it may break at its relations and sums."""
    row = read_formula(formula.latex)
    inner = _inline(Code(formula.alt or formula.latex)) if row is None else rf"$\displaystyle {latex(row)}$"
    return rf"\formula{{{inner}}}"


def _inlines(content: Inlines) -> str:
    return "".join(map(_inline, content)).strip()


def _inline(item: Text | Code | Math | Mark | Link) -> str:
    match item:
        case Text(text, strong):
            return rf"\textbf{{{_escaped(text)}}}" if strong else _escaped(text)
        case Code(text):
            return rf"\code{{{_code(text)}}}"
        case Mark(word):
            return rf"\verdict{{{_escaped(word)}}}"
        case Link(text):
            return _escaped(text)
        case Math(source, alt):
            row = read_formula(source)
            return rf"\code{{{_code(alt or source)}}}" if row is None else f"${latex(row)}$"


def _escaped(text: str) -> str:
    """Text for LaTeX's text mode; long words may be broken anywhere."""
    return "".join(map(_word, re.split(r"(\s+)", text)))


def _word(word: str) -> str:
    if word.isspace():
        return " "
    if len(word) <= 2 * _UNBROKEN:
        return _characters(word)
    return _breakable(word)


def _code(text: str, *, kept: bool = False) -> str:
    """Text as it is, broken anywhere; ``kept`` keeps the spaces at its beginning."""
    indent = len(text) - len(text.lstrip(" ")) if kept else 0
    return r"\ " * indent + " ".join(map(_breakable, text.split()))


def _breakable(word: str) -> str:
    pieces = (word[k : k + _UNBROKEN] for k in range(0, len(word), _UNBROKEN))
    return r"\allowbreak{}".join(map(_characters, pieces))


def _characters(text: str) -> str:
    shown = visible(text, lambda c: (" " <= c <= "~") or c in _LATIN or c in _ESCAPES or c in _FORMULA_SIGNS)
    return "".join(_ESCAPES.get(c) or _FORMULA_SIGNS.get(c, c) for c in shown)
