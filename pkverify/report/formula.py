r"""Formulas: the part of LaTeX that pkverify writes, read into a tree that every format is printed from.

``read_formula(r"\frac{a}{b}")`` gives the tree, or None for what is not known here: then the caller shows text instead,
and no format ever meets a command that it does not know. The trees are small records; ``printing`` turns them into
MathML, Typst, LaTeX and plain text.
"""

# ruff: noqa: RUF001 - signs of mathematics that look like other letters are meant

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from pkverify.report.signs import ACCENTS, ALPHABETS, DELIMITERS, OPERATORS, SIGNS, SPACES

_LONGEST, _DEEPEST = 20_000, 60  # beyond this a formula is shown as text
_TOKEN = re.compile(r"\s*(\\[A-Za-z]+\*?|\\.|\d+(?:\.\d+)?|[A-Za-z]+|.)", re.DOTALL)
_PLAIN = set("+-*/=<>()[]|,.;:!")
_WORD = 3  # so many letters in a row are one name: SymPy separates its factors by spaces
_LARGE = re.compile(r"\\([bB]igg?)(l|r)?")


@dataclass(frozen=True)
class Sign:
    """One character: as Unicode, and as LaTeX."""

    char: str
    latex: str


@dataclass(frozen=True)
class Number:
    """Digits."""

    text: str


@dataclass(frozen=True)
class Word:
    """Several letters: a ``name`` in italics, an ``operator`` such as tanh, or upright ``text``."""

    text: str
    kind: str


@dataclass(frozen=True)
class Space:
    """Space, in em."""

    width: float


@dataclass(frozen=True)
class Row:
    """Things side by side."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Fraction:
    """Above over below."""

    above: Node
    below: Node


@dataclass(frozen=True)
class Root:
    """A square root, or one of another degree."""

    body: Node
    degree: Node | None


@dataclass(frozen=True)
class Scripts:
    """A base with what stands below and above it; primes come first above."""

    base: Node
    below: Node | None
    above: Node | None
    primes: int


@dataclass(frozen=True)
class Fence:
    """A body between delimiters (empty ones are invisible); ``size`` is left, big, Big, bigg or Bigg."""

    opening: str
    body: Node
    closing: str
    size: str


@dataclass(frozen=True)
class Accent:
    """A mark over a body, by its LaTeX name."""

    name: str
    body: Node


@dataclass(frozen=True)
class Grid:
    """Rows of cells: ``cases`` or ``matrix``."""

    rows: tuple[tuple[Node, ...], ...]
    kind: str


Node = Sign | Number | Word | Space | Row | Fraction | Root | Scripts | Fence | Accent | Grid


def read_formula(latex: str) -> Row | None:
    r"""The tree of a formula; None where it holds anything that is not known here.

    Example:
        >>> read_formula(r"x_1")
        Row(items=(Scripts(base=Sign(char='x', latex='x'), below=Number(text='1'), above=None, primes=0),))
        >>> read_formula(r"\input{secret}") is None
        True
    """
    if len(latex) > _LONGEST:
        return None
    reader = _Reader(latex)
    try:
        return reader.row(())
    except _UnknownError:
        return None


def pieces(row: Row) -> tuple[Row, ...]:
    """The row cut before its relations and its sums, where a line may end.

    Example:
        >>> from pkverify.report.printing import plain
        >>> [plain(piece) for piece in pieces(read_formula("y = a + b(c + d)"))]
        ['y', '=a', '+b(c', '+d)']
    """
    cuts: list[int] = []
    before: Node | None = None
    for place, item in enumerate(row.items):
        if isinstance(item, Sign):
            relation = item.char in "=→≤≥≈≡∈<>"
            summand = item.char in "+−" and before is not None and not _is_open(before)
            if place and (relation or summand):
                cuts.append(place)
        before = before if isinstance(item, Space) else item
    bounds = [0, *cuts, len(row.items)]
    return tuple(Row(row.items[a:b]) for a, b in pairwise(bounds) if a < b)


def _is_open(item: Node) -> bool:
    """Whether what follows is a sign of a number, and not a sum."""
    return isinstance(item, Sign) and item.char in "=→≤≥≈≡∈<>+−·([,/"


class _UnknownError(ValueError):
    """A formula with something in it that is not known here."""


class _Reader:
    def __init__(self, latex: str) -> None:
        self.source = latex
        self.tokens = [m.group(1) for m in _TOKEN.finditer(latex.rstrip())]
        self.ends = [m.end() for m in _TOKEN.finditer(latex.rstrip())]
        self.at = 0
        self.depth = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise _UnknownError(token)
        self.at += 1
        return token

    def row(self, until: tuple[str, ...]) -> Row:
        """Everything up to one of the given tokens, which is left standing, or to the end."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _UnknownError
        items: list[Node] = []
        while (token := self.peek()) not in until:
            if not token:
                raise _UnknownError
            if token in {"_", "^", "'"}:
                items.append(self.scripts(items.pop() if items else Row(())))
            elif token in {r"\limits", r"\displaystyle", r"\!"}:
                self.take()
            else:
                items += self.item()
            if not until and self.at == len(self.tokens):
                break
        self.depth -= 1
        return Row(tuple(items))

    def scripts(self, base: Node) -> Scripts:
        below: Node | None = None
        above: Node | None = None
        primes = 0
        if isinstance(base, Scripts):  # as in x'_i: both belong to one base
            base, below, above, primes = base.base, base.below, base.above, base.primes
        token = self.take()
        if token == "'":
            return Scripts(base, below, above, primes + 1)
        if (below if token == "_" else above) is not None:
            raise _UnknownError(token)
        argument = self.argument()
        if token == "_":
            return Scripts(base, _indices(argument), above, primes)
        if isinstance(argument, Scripts) and argument.base == Row(()):  # as in x^{'}
            return Scripts(base, below, above, primes + argument.primes)
        return Scripts(base, below, argument, primes)

    def argument(self) -> Node:
        """A group in braces, or a single character."""
        token = self.peek()
        if token == "{":
            return self.group()
        if token[:1].isalnum() and len(token) > 1:  # TeX takes one character, and leaves the others
            self.tokens[self.at] = token[1:]
            return Number(token[0]) if token[0].isdigit() else _letter(token[0])
        (node,) = self.item()
        return node

    def group(self) -> Node:
        self.take("{")
        row = self.row(("}",))
        self.take("}")
        return row.items[0] if len(row.items) == 1 else row

    def raw(self) -> str:
        """The text of a group in braces, unread."""
        self.take("{")
        begin, level = self.ends[self.at - 1], 1
        while level:
            token = self.take()
            level += {"{": 1, "}": -1}.get(token, 0)
        return _unescaped(self.source[begin : self.ends[self.at - 1] - 1])

    def item(self) -> tuple[Node, ...]:
        token = self.take()
        if token == "{":
            self.at -= 1
            return (self.group(),)
        if token[0].isdigit():
            return (Number(token),)
        if token.isalpha() and token.isascii():
            return (Word(token, "name"),) if len(token) >= _WORD else tuple(map(_letter, token))
        if token in SIGNS:
            return (Sign(SIGNS[token], token),)
        if token in _PLAIN:
            return (Sign("−" if token == "-" else token, token),)
        if token in OPERATORS:
            return (Word(token[1:], "operator"),)
        if token in SPACES:
            return (Space(SPACES[token]),)
        if token[1:] in ACCENTS and token[0] == "\\":
            return (Accent(token[1:], self.argument()),)
        return (self.command(token),)

    def command(self, token: str) -> Node:
        large = _LARGE.fullmatch(token)
        if token in {r"\frac", r"\tfrac", r"\dfrac"}:
            return Fraction(self.argument(), self.argument())
        if token == r"\sqrt":
            degree = None
            if self.peek() == "[":
                self.take()
                degree = self.row(("]",))
                self.take()
            return Root(self.argument(), degree)
        if token == r"\left":
            opening = self.delimiter()
            body = self.row((r"\right",))
            self.take()
            return Fence(opening, body, self.delimiter(), "left")
        if large and large[2] == "l":
            opening = self.delimiter()
            body = self.row((rf"\{large[1]}r",))
            self.take()
            return Fence(opening, body, self.delimiter(), large[1])
        if large and not large[2]:
            return Fence("", Row(()), self.delimiter(), large[1])
        if token in {r"\text", r"\mathrm", r"\operatorname", r"\mathit", r"\textrm"}:
            kind = {r"\operatorname": "operator", r"\mathit": "name"}.get(token, "text")
            return Word(self.raw(), kind)
        if token[1:] in ALPHABETS and token[0] == "\\":
            return self.styled(token[1:])
        if token == r"\begin":
            return self.grid()
        raise _UnknownError(token)

    def styled(self, alphabet: str) -> Node:
        """A letter of another alphabet; amsmath alone has no blackboard letters, and takes bold ones."""
        text = self.raw()
        table = ALPHABETS[alphabet]
        if not text or any(c not in table for c in text):
            raise _UnknownError(text)
        command = "mathcal" if alphabet == "mathcal" else "mathbf"
        return Row(tuple(Sign(table[c], rf"\{command}{{{c}}}") for c in text))

    def delimiter(self) -> str:
        token = self.take()
        if token not in DELIMITERS:
            raise _UnknownError(token)
        return token

    def grid(self) -> Grid:
        name = self.raw()
        if name not in {"cases", "matrix"}:
            raise _UnknownError(name)
        rows: list[tuple[Node, ...]] = []
        cells: list[Node] = []
        while True:
            cells.append(self.row(("&", r"\\", r"\end")))
            token = self.take()
            if token != "&":
                rows.append(tuple(cells))
                cells = []
            if token == r"\end":
                break
        if self.raw() != name:
            raise _UnknownError(name)
        return Grid(tuple(row for row in rows if row != (Row(()),)), name)


def _letter(char: str) -> Sign:
    return Sign(char, char)


def _indices(node: Node) -> Node:
    """SymPy parts the indices of a name by spaces, which formulas do not show: w_{1 1} is written with a comma."""
    if not isinstance(node, Row) or not all(isinstance(item, Number) for item in node.items):
        return node
    parted: list[Node] = []
    for item in node.items:
        parted += [Sign(",", ","), item] if parted else [item]
    return Row(tuple(parted))


def _unescaped(text: str) -> str:
    """Text as it was before it was escaped for LaTeX's text mode."""
    if re.search(r"\\(?!textbackslash\{\}|[_^~]|[&%#${} ])", text):
        raise _UnknownError(text)
    text = re.sub(r"\\([\^~])\{\}", r"\1", text.replace(r"\textbackslash{}", "\0"))
    text = re.sub(r"\\([_&%#${} ])", r"\1", text)
    return text.replace("\0", "\\")
