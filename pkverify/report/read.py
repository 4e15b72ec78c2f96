"""A saved run, read back: every field is checked, and what is wrong is named with its place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from math import isfinite

import msgspec

from pkverify.decomposition import BallNumber, Decomposition
from pkverify.errors import InputError
from pkverify.evidence import DerivationStep, Evidence, HypothesisEvidence, ProblemRun, Run, Verdict
from pkverify.report.records import (
    SCHEMA,
    DecompositionRecord,
    DerivationRecord,
    EvidenceRecord,
    HypothesisRecord,
    Number,
    ProblemRecord,
    RunRecord,
)

_WHY = "a report reads a saved run, and computes nothing anew"
_FIX = "make it again: pkverify check ... -o run.json"
_AT = re.compile(r"^(.*?)(?: - at `(.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[([^\]]*)\]")
_FIELDS = {
    "": RunRecord,
    "problems": ProblemRecord,
    "decompositions": DecompositionRecord,
    "evidence": EvidenceRecord,
    "repaired": EvidenceRecord,
    "hypotheses": HypothesisRecord,
    "derivation": DerivationRecord,
}


def read_run(text: str | bytes, name: str = "run.json") -> Run:
    """The run that ``run_json`` wrote.

    Args:
        text: The JSON.
        name: The file, for messages.

    Returns:
        The run. How long the checks took is not saved, and is 0; all else is as it was.

    Raises:
        InputError: If the text is not JSON, or not a run of this schema; it names the file, the field and the fix.
    """
    record = read_record(text, name)
    try:
        run = Run(tuple(map(_problem, record.problems)), tuple(record.holes), record.interrupted)
    except ValueError as error:
        raise InputError(f"{name}: {error}", "what each verdict must carry is checked", _FIX) from None
    if run.verdict.value != record.verdict:
        raise InputError(
            f"{name}: verdict is {record.verdict!r}",
            f"what the file holds comes to {run.verdict.value!r}: it was changed after it was written",
            _FIX,
        )
    return run


def read_record(text: str | bytes, name: str = "run.json") -> RunRecord:
    """The run as it is saved, with its environment; every field and every word is checked.

    Raises:
        InputError: As ``read_run``, except that what the verdicts must carry is not looked at.
    """
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = "ends too early" if "truncated" in str(error) else "is not JSON"
        raise InputError(f"{name} {what}", str(error), f"was it copied whole? else {_FIX}") from None
    if not isinstance(data, dict):
        raise InputError(f"{name} is not a run", f"it holds {_kind(data)}, and a run is an object", _FIX)
    schema = data.get("schema")
    if schema != SCHEMA:
        found = f"schema is {schema!r}" if "schema" in data else "there is no field schema"
        raise InputError(f"{name}: {found}", f"this version reads {SCHEMA!r}", _fix_schema(schema))
    _unknown_fields(data, "", name, "")
    try:
        record = msgspec.convert(data, RunRecord)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _located(str(error), name) from None
    for number, problem in enumerate(record.problems):
        for place, item in enumerate(problem.decompositions):
            _check_numbers(item, f"{name}: problems[{number}].decompositions[{place}]")
    return record


def _fix_schema(schema: object) -> str:
    if isinstance(schema, str) and schema.startswith("pkverify.certificate"):
        return "this is a certificate: pkverify verify FILE"
    return _FIX


def _kind(value: object) -> str:
    kinds: dict[type, str] = {list: "a list", str: "text", type(None): "null", bool: "a truth value"}
    return kinds.get(type(value), "a number")


def _located(message: str, name: str) -> InputError:
    """msgspec's message, with the field first."""
    matched = _AT.match(message)
    assert matched is not None
    said, path = matched[1], (matched[2] or "$").replace("[...]", "{}")
    field = path.removeprefix("$").removeprefix(".")
    missing = re.fullmatch(r"Object missing required field `(.*)`", said)
    if missing:
        place = f"{field}.{missing[1]}" if field else missing[1]
        return InputError(f"{name}: {place} is missing", "a run of this schema has it", _FIX)
    word = re.fullmatch(r"Invalid enum value '(.*)'", said, re.DOTALL)
    if word and field.rpartition(".")[2] == "verdict":
        words = [verdict.value for verdict in Verdict]
        near = difflib.get_close_matches(word[1], words, n=1)
        return InputError(
            f"{name}: {field} is {word[1]!r}",
            f"the verdicts are {', '.join(words)}",
            f"did you mean {near[0]!r}? else {_FIX}" if near else _FIX,
        )
    return InputError(f"{name}: {field or 'the run'}: {said[:1].lower()}{said[1:]}", _WHY, _FIX)


def _unknown_fields(value: object, key: str, name: str, path: str) -> None:
    """Refuse a field that no run has: it is a misspelt one, and would be lost without a word."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            _unknown_fields(item, key, name, f"{path}[{place}]")
    elif isinstance(value, dict) and key in _FIELDS:
        fields = _FIELDS[key].__struct_fields__
        for own, item in value.items():
            place = f"{path}.{own}" if path else str(own)
            if own not in fields:
                absent = [field for field in fields if field not in value]
                near = difflib.get_close_matches(str(own), absent or fields, n=1)
                fix = f"did you mean {near[0]!r}? else {_FIX}" if near else _FIX
                raise InputError(f"{name}: {place} is no field of a run", f"here are {', '.join(fields)}", fix)
            _unknown_fields(item, str(own), name, place)


def _check_numbers(item: DecompositionRecord, where: str) -> None:
    """Refuse what is no number where one has to be, and lists that do not fit each other."""
    numbers = {
        "initial_output": [item.initial_output],
        "final_output": [item.final_output],
        "regularizer_term": [item.regularizer_term],
        "residual": [item.residual],
        "contributions": item.contributions,
        "path_kernel": [v for row in item.path_kernel for v in (row if isinstance(row, list) else [row])],
        "weights": [v for row in item.weights if row is not None for v in (row if isinstance(row, list) else [row])],
    }
    for field, values in numbers.items():
        for text in (t for value in values for t in ((value,) if isinstance(value, str) else (value.mid, value.rad))):
            if not _is_read(Decimal, text):
                raise InputError(f"{where}.{field}: {text!r} is no decimal number", _WHY, _FIX)
    for field, texts in (("query", item.query), ("horizon", [item.horizon])):
        for text in texts:
            if not _is_read(Fraction, text):
                raise InputError(f"{where}.{field}: {text!r} is no rational number", _WHY, _FIX)
    count = len(item.contributions)
    for field, length in (("path_kernel", len(item.path_kernel)), ("weights", len(item.weights))):
        if length != count:
            raise InputError(f"{where}.{field} has {length} entries", f"there are {count} contributions", _FIX)
    for place in item.weights_absent:
        if not (place.isdecimal() and int(place) < count):
            raise InputError(f"{where}.weights_absent: no example {place!r}", f"there are {count} contributions", _FIX)


def _is_read(kind: type[Decimal] | type[Fraction], text: str) -> bool:
    try:
        return isfinite(kind(text))
    except (ValueError, ArithmeticError):
        return False


# From the records to what a run is in Python.


def _problem(record: ProblemRecord) -> ProblemRun:
    return ProblemRun(
        name=record.name,
        evidence=tuple(map(_evidence, record.evidence)),
        decompositions=tuple(map(_decomposition, record.decompositions)),
        horizon=record.horizon,
        derivation=tuple(
            DerivationStep(s.claim, s.text, s.latex, Verdict(s.verdict), s.message) for s in record.derivation
        ),
        series={name: tuple(map(tuple, rows)) for name, rows in record.series.items()},
        skipped=record.skipped,
        refused=record.refused,
        source=record.source,
    )


def _evidence(record: EvidenceRecord) -> Evidence:
    hypotheses = tuple(HypothesisEvidence(h.id, Verdict(h.verdict), h.message) for h in record.hypotheses)
    return Evidence(
        claim=record.claim,
        verdict=Verdict(record.verdict),
        method=record.method,
        hypotheses=hypotheses,
        residual=record.residual,
        bound=record.bound,
        tolerance=record.tolerance,
        witness=record.witness,
        message=record.message,
        route=record.route,
        form=record.form,
        status=record.status,
        expected=record.expected,
        repaired=None if record.repaired is None else _evidence(record.repaired),
    )


def _decomposition(record: DecompositionRecord) -> Decomposition:
    return Decomposition(
        route=record.route,
        digits=record.digits,
        query=tuple(map(Fraction, record.query)),
        output=record.output,
        initial_output=_number(record.initial_output),
        final_output=_number(record.final_output),
        contributions=tuple(map(_number, record.contributions)),
        regularizer_term=_number(record.regularizer_term),
        residual=_number(record.residual),
        path_kernel=tuple(map(_entry, record.path_kernel)),  # type: ignore[arg-type]
        weights=tuple(None if v is None else _entry(v) for v in record.weights),
        horizon=Fraction(record.horizon),
        weights_absent={int(place): reason for place, reason in record.weights_absent.items()},
        error_estimate=record.error_estimate,
        closed_form=_closed_form(record.closed_form or {}),
    )


def _number(value: Number) -> str:
    return value if isinstance(value, str) else BallNumber(value.mid, value.rad)


def _entry(value: Number | list[Number]) -> str | tuple[str, ...]:
    return tuple(map(_number, value)) if isinstance(value, list) else _number(value)


def _closed_form(record: Mapping[str, str | list[str | None]]) -> dict[str, str | tuple[str | None, ...]]:
    return {name: form if isinstance(form, str) else tuple(form) for name, form in record.items()}
