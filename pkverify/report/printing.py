"""A formula's tree as MathML, as data for Typst, as LaTeX, and as plain text."""

# ruff: noqa: RUF001, RUF002 - signs of mathematics that look like other letters are meant

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import zip_longest

from pkverify.report.formula import (
    Accent,
    Fence,
    Fraction,
    Grid,
    Node,
    Number,
    Root,
    Row,
    Scripts,
    Sign,
    Space,
    Word,
    pieces,
)
from pkverify.report.signs import ACCENTS, DELIMITERS

Data = str | float | None | Sequence["Data"]

_LIMITS = frozenset({"lim", "max", "min", "sup", "inf"})
_FENCES = frozenset("()[]{}|‖⟨⟩⌊⌋⌈⌉")


def mathml(row: Row, alt: str) -> str:
    """The formula as ``math`` elements: one a piece, so that a line may end between two of them.

    Args:
        row: The formula.
        alt: What it says, as text; it stands in the first element, and is escaped here.
    """
    first, *others = pieces(row) or (row,)
    parts = [f'<math alttext="{escape(alt)}">{_mathml(first)}</math>']
    parts += [f"<math>{_infix(_mathml(piece))}</math>" for piece in others]
    return "<wbr>".join(parts)


def _infix(markup: str) -> str:
    """A sign that opens a piece goes on with what stands before it, and keeps its space."""
    return markup.replace("<mo>", '<mo form="infix">', 1)


def _mathml(node: Node) -> str:
    match node:
        case Sign(char):
            if char.isalpha() or char in "∞∂∇…⊤":
                upright = ' mathvariant="normal"' if char in "ΓΔΘΛΞΠΣΥΦΨΩ∇∂∞" else ""
                return f"<mi{upright}>{char}</mi>"
            return f'<mo stretchy="false">{escape(char)}</mo>' if char in _FENCES else f"<mo>{escape(char)}</mo>"
        case Number(text):
            return f"<mn>{escape(text)}</mn>"
        case Word(text, "name"):
            return f'<mi class="name">{escape(text)}</mi>'
        case Word(text, "operator"):
            return f"<mi>{escape(text)}</mi>"
        case Word(text):
            return f"<mtext>{escape(text)}</mtext>"
        case Space(width):
            return f'<mspace width="{width:g}em"></mspace>'
        case Row(items):
            return f"<mrow>{_row_mathml(items)}</mrow>"
        case Fraction(above, below):
            return f"<mfrac>{_mathml(above)}{_mathml(below)}</mfrac>"
        case Root(body, None):
            return f"<msqrt>{_mathml(body)}</msqrt>"
        case Root(body, degree):
            assert degree is not None
            return f"<mroot>{_mathml(body)}{_mathml(degree)}</mroot>"
        case Scripts():
            return _scripts_mathml(node)
        case Fence():
            return _fence_mathml(node)
        case Accent(name, body):
            return f'<mover accent="true">{_mathml(body)}<mo stretchy="{_stretched(name)}">{ACCENTS[name]}</mo></mover>'
        case Grid(rows, kind):
            cells = "".join(f"<mtr>{''.join(f'<mtd>{_mathml(c)}</mtd>' for c in row)}</mtr>" for row in rows)
            brace = '<mo fence="true" stretchy="true">{</mo>' if kind == "cases" else ""
            return f'<mrow>{brace}<mtable class="{kind}">{cells}</mtable></mrow>'


def _stretched(accent: str) -> str:
    return "true" if accent == "overline" else "false"


def _row_mathml(items: tuple[Node, ...]) -> str:
    """The items; an operator's name keeps off from what it is applied to, unless that stands in parentheses."""
    parts: list[str] = []
    for item, following in zip_longest(items, items[1:]):
        parts.append(_mathml(item))
        word = item.base if isinstance(item, Scripts) else item
        if not isinstance(word, Word) or word.kind != "operator" or following is None:
            continue
        fenced = isinstance(following, Fence) or (isinstance(following, Sign) and not following.char.isalpha())
        if not fenced and not (isinstance(following, Row) and isinstance(following.items[:1], Fence)):
            parts.append('<mspace width="0.17em"></mspace>')
    return "".join(parts)


def _scripts_mathml(node: Scripts) -> str:
    base, below, above = node.base, node.below, node.above
    upper = "" if above is None else _mathml(above)
    lower = "" if below is None else _mathml(below)
    stacked = (isinstance(base, Sign) and base.char in "∑∏") or (isinstance(base, Word) and base.text in _LIMITS)
    names = ("munder", "mover", "munderover") if stacked else ("msub", "msup", "msubsup")
    inner = _mathml(base)
    if node.primes:  # beside its base: as a superscript a prime would be raised twice
        inner = f'<mrow>{inner}<mo lspace="0" rspace="0">{"′" * node.primes}</mo></mrow>'
    if not (lower or upper):
        return inner
    if lower and upper:
        return f"<{names[2]}>{inner}{lower}{upper}</{names[2]}>"
    name = names[0] if lower else names[1]
    return f"<{name}>{inner}{lower or upper}</{name}>"


def _fence_mathml(node: Fence) -> str:
    height = {"left": "", "big": "1.2em", "Big": "1.8em", "bigg": "2.4em", "Bigg": "3em"}[node.size]
    size = f' minsize="{height}" maxsize="{height}"' if height else ""

    def sign(delimiter: str, form: str) -> str:
        char = DELIMITERS[delimiter] if delimiter else ""
        if char == "/":  # no fence: a stretched one keeps far off from its neighbours
            return '<mo stretchy="false" lspace="0.15em" rspace="0.15em">/</mo>'
        return f'<mo fence="true" stretchy="true" form="{form}"{size}>{char}</mo>' if char else ""

    return f"<mrow>{sign(node.opening, 'prefix')}{_mathml(node.body)}{sign(node.closing, 'postfix')}</mrow>"


def typst_data(node: Node) -> Data:
    """The formula as nested lists that the Typst template builds it from: it is never evaluated as code."""
    match node:
        case Sign(char):
            return ["sign", char]
        case Number(text):
            return ["number", text]
        case Word(text, kind):
            return [kind, text]
        case Space(width):
            return ["space", width]
        case Row(items):
            return ["row", [typst_data(item) for item in items]]
        case Fraction(above, below):
            return ["fraction", typst_data(above), typst_data(below)]
        case Root(body, degree):
            return ["root", typst_data(body), None if degree is None else typst_data(degree)]
        case Scripts(base, below, above, primes):
            upper: list[Data] = [["sign", "′"] for _ in range(primes)]
            upper += [] if above is None else [typst_data(above)]
            lower = None if below is None else typst_data(below)
            return ["scripts", typst_data(base), lower, ["row", upper] if upper else None]
        case Fence(opening, body, closing):
            ends = [DELIMITERS.get(end, "") for end in (opening, closing)]
            return ["fence", ends[0], typst_data(body), ends[1]]
        case Accent(name, body):
            return ["accent", name, typst_data(body)]
        case Grid(rows, kind):
            return ["grid", kind, [[typst_data(cell) for cell in row] for row in rows]]


def latex(node: Node) -> str:
    r"""The formula as LaTeX that amsmath alone understands.

    Example:
        >>> from pkverify.report.formula import read_formula
        >>> latex(read_formula("- target + w_{1 1}"))
        '- \\mathit{target} + w_{1, 1}'
    """
    match node:
        case Sign(_, command):
            return command
        case Number(text):
            return text
        case Word(text, "name"):
            return rf"\mathit{{{text}}}"
        case Word(text, "operator"):
            return rf"\{text}" if text in _KNOWN else rf"\operatorname{{{_text(text)}}}"
        case Word(text):
            return rf"\text{{{_text(text)}}}"
        case Space(width):
            return {0.17: r"\,", 0.22: r"\:", 0.28: r"\;", 1.0: r"\quad", 2.0: r"\qquad"}.get(width, r"\ ")
        case Row(items):
            return " ".join(map(latex, items)).replace(" ,", ",")
        case Fraction(above, below):
            return rf"\frac{{{latex(above)}}}{{{latex(below)}}}"
        case Root(body, degree):
            return r"\sqrt" + ("" if degree is None else f"[{latex(degree)}]") + f"{{{latex(body)}}}"
        case Scripts(base, below, above, primes):
            lower = "" if below is None else f"_{_braced(below)}"
            upper = "" if above is None else f"^{_braced(above)}"
            if primes:
                rest = "" if above is None else f" {latex(above)}"
                upper = "^{" + " ".join([r"\prime"] * primes) + rest + "}"
            inner = latex(base)
            return (f"{{{inner}}}" if isinstance(base, Row | Fraction | Scripts) else inner) + lower + upper
        case Fence(opening, body, closing, size):
            left, right = (r"\left", r"\right") if size == "left" else (rf"\{size}l", rf"\{size}r")
            return f"{left}{opening or '.'}{_spaced(opening)}{latex(body)}{right}{closing or '.'}"
        case Accent(name, body):
            return rf"\{name}{{{latex(body)}}}"
        case Grid(rows, kind):
            inner = r" \\ ".join(" & ".join(map(latex, row)) for row in rows)
            return rf"\begin{{{kind}}}{inner}\end{{{kind}}}"


_KNOWN = frozenset({"sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan", "exp", "log", "ln", *_LIMITS, "det", "arg"})


def _spaced(opening: str) -> str:
    return " " if opening.startswith("\\") else ""


def _braced(node: Node) -> str:
    inner = latex(node)
    return inner if len(inner) == 1 else f"{{{inner}}}"


def _text(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}"}
    return "".join(special.get(c) or (f"\\{c}" if c in "_&%#${}" else c) for c in text)


def plain(node: Node) -> str:
    r"""The formula on one line of plain text, as a reader would write it in a letter.

    Example:
        >>> from pkverify.report.formula import read_formula
        >>> plain(read_formula(r"-\int_0^T L'_i K_t(x, x_i)\,dt"))
        "−∫_0^T L'_i K_t(x, x_i) dt"
    """
    match node:
        case Sign(char):
            return char
        case Number(text) | Word(text):
            return text
        case Space():
            return " "
        case Row(items):
            return _row_plain(items)
        case Fraction(above, below):
            return f"{_grouped(above)}/{_grouped(below)}"
        case Root(body, degree):
            return f"{'' if degree is None else plain(degree)}√({plain(body)})"
        case Scripts(base, below, above, primes):
            lower = "" if below is None else f"_{_grouped(below)}"
            upper = "" if above is None else f"^{_grouped(above)}"
            return f"{plain(base)}{chr(39) * primes}{lower}{upper}"
        case Fence(opening, body, closing):
            return f"{DELIMITERS.get(opening, '')}{plain(body)}{DELIMITERS.get(closing, '')}"
        case Accent(name, body):
            return f"{plain(body)}-{name}" if name != "overline" else f"mean({plain(body)})"
        case Grid(rows):
            return "{" + "; ".join(" ".join(map(plain, row)) for row in rows) + "}"


def _grouped(node: Node) -> str:
    text = plain(node)
    return text if len(text) == 1 or text.isalnum() else f"({text})"


def _row_plain(items: tuple[Node, ...]) -> str:
    parts: list[str] = []
    for place, item in enumerate(items):
        text = plain(item)
        before = parts[-1] if parts else ""
        if isinstance(item, Sign) and text in "+−=→≤≥≠≈≡∈" and place:
            text = f"{text} " if before.endswith(" ") else f" {text} "
        elif text == ",":
            text = ", "
        elif before and _touching(before, text, items[place - 1]):
            text = f" {text}"
        parts.append(text)
    return " ".join("".join(parts).split())


def _touching(before: str, text: str, previous: Node) -> bool:
    """Whether two factors need a space between them: d and t are written together, 2 and x are not."""
    if isinstance(previous, Sign) and previous.char == "d":
        return False
    if before[-1] == ")":
        return text[0].isalnum()
    return before[-1].isalnum() and (text[0].isalnum() or text[0] in "∑∫√")
