"""A report before it has a format: headings, text, tables, formulas and figures, which every format prints alike."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Text:
    """Plain text; ``strong`` stands out."""

    text: str
    strong: bool = False


@dataclass(frozen=True)
class Code:
    """Text that is shown as it is: names, numbers, formulas in words."""

    text: str


@dataclass(frozen=True)
class Math:
    """A formula in LaTeX, and what it says as text: shown where LaTeX is not known, and read aloud."""

    latex: str
    alt: str = ""


@dataclass(frozen=True)
class Mark:
    """A verdict, or a status, as a coloured word; ``tone`` is good, fair, open, bad or outside."""

    word: str
    tone: str


@dataclass(frozen=True)
class Link:
    """A reference to another place of the report."""

    text: str
    target: str


Inline = Text | Code | Math | Mark | Link
Inlines = tuple[Inline, ...]


@dataclass(frozen=True)
class Heading:
    """A heading of level 2 to 4; ``anchor`` is unique in the report."""

    level: int
    content: Inlines
    anchor: str = ""


@dataclass(frozen=True)
class Paragraph:
    """Text; ``kind`` is empty, ``note`` (small) or ``alert``."""

    content: Inlines
    kind: str = ""


@dataclass(frozen=True)
class Listing:
    """Points, one below the other."""

    items: tuple[Inlines, ...]
    kind: str = ""


@dataclass(frozen=True)
class Facts:
    """Names with what is to be said of each."""

    rows: tuple[tuple[str, Inlines], ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        head: Names of the columns.
        rows: Rows; the first cell of each names it.
        align: For each column ``l``, ``r``, or ``n`` for numbers with all their digits.
        totals: So many rows at the end are a sum, and stand below a rule.
        anchors: For each row the name by which links find it; or none at all.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Inlines, ...], ...]
    align: str
    totals: int = 0
    anchors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line of a derivation: its claim, its formula, its verdict, and a remark."""

    claim: str
    title: str
    formula: Math
    mark: Mark
    note: str = ""


@dataclass(frozen=True)
class Derivation:
    """Lines of a derivation."""

    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Source:
    """A file, shown as it is."""

    text: str
    label: str


@dataclass(frozen=True)
class ReportFigure:
    """A figure, drawn elsewhere.

    Attributes:
        name: Letters, digits and hyphens; the stem of its file where a format keeps figures beside the report.
        caption: One sentence below it.
        alt: What it shows, for a reader who does not see it.
        svg: The drawing as SVG.
        png: The same as PNG, for LaTeX; may be empty.
        problem: The name of the problem it belongs to, or empty.
        claim: The id of the claim it belongs to, in the audit of the paper; or empty.
    """

    name: str
    caption: str
    alt: str
    svg: bytes
    png: bytes = b""
    problem: str = ""
    claim: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9-]+", self.name):
            raise ValueError(f"{self.name!r}: a figure's name is made of letters, digits and hyphens")


@dataclass(frozen=True)
class Figure:
    """A figure in its place."""

    figure: ReportFigure


Block = Heading | Paragraph | Listing | Facts | Table | Derivation | Source | Figure


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: Its title.
        kicker: A few words above the title.
        mark: The verdict of the run.
        headline: One sentence that says what came out.
        counts: How often each verdict was given.
        blocks: The rest, in order.
    """

    title: str
    kicker: str
    mark: Mark
    headline: str
    counts: tuple[tuple[int, Mark], ...]
    blocks: tuple[Block, ...] = field(default_factory=tuple)

    @property
    def contents(self) -> tuple[Heading, ...]:
        """The headings of level 2, for a table of contents."""
        return tuple(block for block in self.blocks if isinstance(block, Heading) and block.level == 2 and block.anchor)

    @property
    def anchors(self) -> tuple[str, ...]:
        """All names that a link may lead to."""
        found: dict[str, None] = {}
        for block in self.blocks:
            if isinstance(block, Heading) and block.anchor:
                found[block.anchor] = None
            if isinstance(block, Table):
                found |= dict.fromkeys(block.anchors)
        return tuple(found)


def words(text: str) -> Inlines:
    """Text of pkverify's own, in which double backquotes enclose code.

    Example:
        >>> words("see ``pkverify check``")
        (Text(text='see ', strong=False), Code(text='pkverify check'))
    """
    parts = text.split("``")
    if len(parts) % 2 == 0:
        return (Text(text),)
    return tuple((Code if place % 2 else Text)(part) for place, part in enumerate(parts) if part)


def rich(text: str) -> Inlines:
    r"""A statement of the registry: text in which dollar signs enclose LaTeX.

    Example:
        >>> rich(r"$f$ is differentiable")
        (Math(latex='f', alt=''), Text(text=' is differentiable', strong=False))
    """
    parts = text.split("$")
    if len(parts) % 2 == 0:
        return (Text(text),)
    return tuple(
        inline for place, part in enumerate(parts) if part for inline in ((Math(part),) if place % 2 else words(part))
    )


def joined(parts: Iterable[Inlines], between: str = ", ") -> Inlines:
    """Several pieces of text with something between them."""
    found: list[Inline] = []
    for part in parts:
        found += ([Text(between)] if found else []) + list(part)
    return tuple(found)
