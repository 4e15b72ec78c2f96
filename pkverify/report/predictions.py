"""Who contributed what to each prediction: a table a prediction, with its sum and its residual."""

from __future__ import annotations

from collections.abc import Sequence

from pkverify.report.document import Block, Code, Facts, Heading, Inlines, Paragraph, Table, Text
from pkverify.report.numbers import VECTOR_DIGITS, added, largest, middle, shortened, widest, with_radius
from pkverify.report.problem import Stated
from pkverify.report.records import DecompositionRecord, Number

_ROWS = 10  # examples in a table, the largest first
_TABLES = 6  # predictions of a problem with a table of their own
_LISTED = 40  # predictions in the overview of the others
_CLOSED = 1200  # characters of a closed form
_ROUTES = ("certified", "exact", "precise", "network")  # the first of these that has it tells a prediction

_Key = tuple[tuple[str, ...], int]


def prediction_blocks(items: Sequence[DecompositionRecord], stated: Stated, anchor: str) -> list[Block]:
    """Tables of the predictions; those beyond the first few in one overview."""
    grouped: dict[_Key, list[DecompositionRecord]] = {}
    for item in items:
        grouped.setdefault((tuple(item.query), item.output), []).append(item)
    if not grouped:
        return []
    several = any(output for _, output in grouped)
    blocks: list[Block] = [Heading(3, (Text("Predictions, split over the examples"),), f"{anchor}-predictions")]
    blocks.append(
        Paragraph(
            (
                Text(
                    "Every contribution is in units of the output: they add up, with the initial output, to the "
                    "final one, and the residual is what is left. It is reported as it came out."
                ),
            )
        )
    )
    predictions = list(grouped.items())
    for key, same in predictions[:_TABLES]:
        blocks += _prediction(key, same, stated, several=several)
    if others := predictions[_TABLES:]:
        rows: list[tuple[Inlines, ...]] = []
        for (query, output), same in others[:_LISTED]:
            item = _told(same)
            numbers = (item.initial_output, item.final_output)
            rows.append((
                (Code(_point(query, output, several=several)),),
                *((Code(shortened(number)),) for number in numbers),
                (Code(with_radius(item.residual)),),
            ))  # fmt: skip
        left = len(others) - len(rows)
        caption = f"{len(others)} more predictions" + (f", the first {len(rows)} of them" if left else "")
        blocks.append(Table(caption, ("query", "initial output", "final output", "residual"), tuple(rows), "lnnn"))
    return blocks


def _told(same: Sequence[DecompositionRecord]) -> DecompositionRecord:
    return min(same, key=lambda item: _ROUTES.index(item.route) if item.route in _ROUTES else len(_ROUTES))


def _point(query: tuple[str, ...], output: int, *, several: bool) -> str:
    where = query[0] if len(query) == 1 else f"({', '.join(query)})"
    return f"x = {where}" + (f", output {output}" if several else "")


def _prediction(key: _Key, same: Sequence[DecompositionRecord], stated: Stated, *, several: bool) -> list[Block]:
    item = _told(same)
    shown = largest(item.contributions, _ROWS)
    rows: list[tuple[Inlines, ...]] = [_row("initial output b", item.initial_output)]
    for place in shown:
        x, y = stated.example(place)
        data = f"{x} → {y}" if y else x
        kernel, weight = item.path_kernel[place], item.weights[place]
        rows.append((
            (Text(f"example {place + 1}"),),
            (Code(shortened(item.contributions[place])),),
            (Code(_entry(kernel)),),
            (Code(_entry(weight)),) if weight is not None else (Text("none"),),
            (Code(data),) if data else (),
        ))  # fmt: skip
    rest = [c for place, c in enumerate(item.contributions) if place not in set(shown)]
    if rest:
        rows.append(_row(f"the {len(rest)} others", added(rest, item.digits)))
    if middle(item.regularizer_term) != "0":
        rows.append(_row("regulariser", item.regularizer_term))
    total = added([item.initial_output, item.regularizer_term, *item.contributions], item.digits)
    rows += [_row("sum", total), _row("final output", item.final_output)]
    rows.append(((Text("residual"),), (Code(with_radius(item.residual)),), (), (), ()))
    caption = f"{_point(*key, several=several)} ({item.route} route, {item.digits} digits)"
    if radius := widest([item.initial_output, item.final_output, *item.contributions]):
        caption += f", each output and contribution proved to lie within {radius} of what is shown"
    if len(item.contributions) > len(shown):
        caption += f": the {len(shown)} largest of {len(item.contributions)} contributions"
    head = ("part", "contribution", "path kernel", "weight", "example")
    blocks: list[Block] = [Table(caption, head, tuple(rows), "lnnnl", totals=3)]
    facts: list[tuple[str, Inlines]] = [
        (f"{other.route} route", _agreement(other)) for other in same if other is not item
    ]
    facts += [(f"no weight {int(place) + 1}", (Text(reason),)) for place, reason in item.weights_absent.items()]
    blocks += [Facts(tuple(facts))] if facts else []
    if forms := _closed_forms(item, shown):
        blocks += [Paragraph((Text("In closed form:"),), "note"), Facts(tuple(forms))]
    return blocks


def _row(name: str, number: Number) -> tuple[Inlines, ...]:
    return ((Text(name),), (Code(shortened(number)),), (), (), ())


def _entry(value: Number | list[Number]) -> str:
    if not isinstance(value, list):
        return shortened(value)
    return f"({', '.join(shortened(number, VECTOR_DIGITS) for number in value)})"


def _agreement(other: DecompositionRecord) -> Inlines:
    final, residual = Code(shortened(other.final_output)), Code(with_radius(other.residual))
    parts: Inlines = (Text("final output "), final, Text(", residual "), residual)
    if other.error_estimate is not None:
        parts += (Text(", error estimated at "), Code(other.error_estimate))
    return parts


def _closed_forms(item: DecompositionRecord, shown: Sequence[int]) -> list[tuple[str, Inlines]]:
    """The closed forms as text; those of the examples that the table shows."""
    found: list[tuple[str, Inlines]] = []
    names = {"initial_output": "b", "contributions": "contribution", "path_kernel": "path kernel", "weights": "weight"}
    for name, form in (item.closed_form or {}).items():
        label = names.get(name, name.replace("_", " "))
        if isinstance(form, str):
            found.append((label, (_closed(form),)))
            continue
        for place in sorted(shown):
            text = form[place] if place < len(form) else None
            if text is not None:
                found.append((f"{label} {place + 1}", (_closed(text),)))
    return found


def _closed(text: str) -> Code | Text:
    return Code(text) if len(text) <= _CLOSED else Text(f"a closed form of {len(text)} characters, in the run's JSON")
