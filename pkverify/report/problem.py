"""What a report says of a problem, read from its source as a problem file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pkverify.report.document import Block, Code, Facts, Inlines, Paragraph, Source, Text

_SHOWN_INITIAL = 12  # initial weights, beyond which only their number is told
_SHOWN_SOURCE = 120  # lines of the source

_MODELS = {
    "linear": "linear",
    "mlp": "multi-layer perceptron",
    "deep-linear": "deep linear network",
    "expression": "given by a formula",
}


@dataclass(frozen=True)
class Stated:
    """A problem as its source states it: every number is text, as it was written.

    Attributes:
        title: Its title, or empty.
        tables: The sections of the file.
        inputs: The inputs of the examples; empty where the source does not hold them.
        targets: Their targets; empty where there are none.
        text: The source.
    """

    title: str
    tables: Mapping[str, Mapping[str, object]]
    inputs: tuple[tuple[str, ...], ...]
    targets: tuple[tuple[str, ...], ...]
    text: str

    def example(self, number: int) -> tuple[str, str]:
        """Input and target of an example, from 0, as text; empty where the source does not hold them."""
        return tuple(_vector(rows[number]) if number < len(rows) else "" for rows in (self.inputs, self.targets))  # type: ignore[return-value]


def read_stated(source: str) -> Stated:
    """The problem that a source states; what cannot be read is empty, and the text is shown all the same.

    Example:
        >>> read_stated('data = {x = [[1, "1/2"]], y = [3]}').example(0)
        ('(1, 1/2)', '3')
    """
    try:
        tables = tomllib.loads(source, parse_float=str)
    except (tomllib.TOMLDecodeError, RecursionError):
        return Stated("", {}, (), (), source)
    title = tables.get("title")
    sections = {name: cast("Mapping[str, object]", value) for name, value in tables.items() if isinstance(value, dict)}
    data = sections.get("data", {})
    return Stated(title if isinstance(title, str) else "", sections, _rows(data.get("x")), _rows(data.get("y")), source)


def problem_blocks(stated: Stated, horizon: str | None) -> list[Block]:
    """The problem in words, and its source."""
    tables = stated.tables
    rows: list[tuple[str, Inlines]] = []
    if model := tables.get("model"):
        rows.append(("model", _model(model)))
    if loss := tables.get("loss"):
        mean = loss.get("reduction") == "mean"
        rows.append(
            ("loss", (*_words(loss, "kind", "value"), Text(", averaged" if mean else ", summed over examples")))
        )
    if regularizer := tables.get("regularizer"):
        rows.append(("regulariser", _words(regularizer, "kind", "value", "strength")))
    if stated.inputs:
        first = stated.example(0)
        shape = f"{len(stated.inputs)}, the first of them at "
        target = (Text(" with target "), Code(first[1])) if first[1] else ()
        rows.append(("examples", (Text(shape), Code(first[0]), *target)))
    flow = tables.get("flow", {})
    initial = _rows([flow.get("initial")])
    if initial and initial[0]:
        few = len(initial[0]) <= _SHOWN_INITIAL
        rows.append(("initial weights", (Code(_vector(initial[0])),) if few else (Text(f"{len(initial[0])} numbers"),)))
    if horizon is not None:
        rows.append(("horizon", (Code(f"T = {horizon}"),)))
    queries = _rows(tables.get("query", {}).get("x"))
    if tables:
        where = (Code(", ".join(map(_vector, queries[:6]))),) if queries else (Text("the training inputs"),)
        more = (Text(f" and {len(queries) - 6} more"),) if len(queries) > 6 else ()
        rows.append(("queries", (*where, *more)))
    blocks: list[Block] = [Facts(tuple(rows))] if rows else []
    lines = stated.text.splitlines()
    if lines:
        blocks.append(Source("\n".join(lines[:_SHOWN_SOURCE]), "problem file"))
    if len(lines) > _SHOWN_SOURCE:
        left = len(lines) - _SHOWN_SOURCE
        blocks.append(Paragraph((Text(f"{left} more lines stand in the run's JSON, under source."),), "note"))
    return blocks


def _model(model: Mapping[str, object]) -> Inlines:
    kind = str(model.get("kind", ""))
    if "output" in model:
        outputs = model["output"]
        several = cast("list[object]", outputs) if isinstance(outputs, list) else [outputs]
        return (Text("y = "), Code("; ".join(map(str, several))))
    parts = [_MODELS.get(kind, kind)]
    if "layers" in model:
        parts.append(f"layers {', '.join(map(str, _items(model['layers'])))}")
    if "activation" in model:
        parts.append(f"activation {model['activation']}")
    parts.append("with bias" if model.get("bias", True) is True else "without bias")
    return (Text(", ".join(parts)),)


def _words(table: Mapping[str, object], *keys: str) -> Inlines:
    parts: list[Text | Code] = []
    for key in keys:
        if key in table:
            parts += [Text(" ")] if parts else []
            parts.append(Text(str(table[key])) if key == "kind" else Code(str(table[key])))
    return tuple(parts)


def _items(value: object) -> Sequence[object]:
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _rows(value: object) -> tuple[tuple[str, ...], ...]:
    if not isinstance(value, list):
        return ()
    return tuple(tuple(map(str, _items(row))) for row in cast("list[object]", value) if row is not None)


def _vector(row: Sequence[str]) -> str:
    """A vector as text; one number stands alone.

    Example:
        >>> _vector(("1", "-1/2")), _vector(("3",))
        ('(1, -1/2)', '3')
    """
    return row[0] if len(row) == 1 else f"({', '.join(row)})"
