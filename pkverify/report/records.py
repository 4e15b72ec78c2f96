"""The JSON of a run (schema ``pkverify.run/1``): the records that are written, and nothing else."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Literal

import msgspec

from pkverify.decomposition import BallNumber, Decomposition
from pkverify.evidence import Evidence, ProblemRun, Run

SCHEMA = "pkverify.run/1"
_LIBRARIES = ("pkverify", "sympy", "mpmath", "numpy", "python-flint", "torch")

VerdictName = Literal["proved", "certified", "supported", "inconclusive", "refuted", "not-applicable", "not-checkable"]


class HypothesisRecord(msgspec.Struct):
    """What is known of one hypothesis."""

    id: str
    verdict: VerdictName
    message: str


class EvidenceRecord(msgspec.Struct, omit_defaults=True):
    """What one check found about one claim; the last four fields belong to the audit of the paper."""

    claim: str
    verdict: VerdictName
    method: str
    route: str
    hypotheses: list[HypothesisRecord]
    residual: str | None
    bound: str | None
    tolerance: str | None
    witness: str | None
    message: str
    form: Literal["", "as-printed", "repaired"] = ""
    status: str = ""
    expected: str = ""
    repaired: EvidenceRecord | None = None


class BallRecord(msgspec.Struct):
    """A number that is proved to lie within ``rad`` of ``mid``."""

    mid: str
    rad: str


Number = str | BallRecord  # a decimal, or a ball of decimals


class DecompositionRecord(msgspec.Struct, omit_defaults=True):
    """One prediction, split over the examples; exact inputs are text."""

    route: str
    digits: int
    query: list[str]
    output: int
    initial_output: Number
    final_output: Number
    contributions: list[Number]
    regularizer_term: Number
    path_kernel: list[Number | list[Number]]  # rows where there are several outputs
    weights: list[Number | list[Number] | None]
    weights_absent: dict[str, str]
    residual: Number
    horizon: str
    error_estimate: str | None = None
    closed_form: dict[str, str | list[str | None]] | None = None


class DerivationRecord(msgspec.Struct):
    """One line of a derivation."""

    claim: str
    verdict: VerdictName
    text: str
    latex: str
    message: str


class ProblemRecord(msgspec.Struct):
    """All that was found on one problem."""

    name: str
    horizon: str | None
    decompositions: list[DecompositionRecord]
    evidence: list[EvidenceRecord]
    derivation: list[DerivationRecord]
    series: dict[str, list[list[str]]]
    skipped: dict[str, str]
    refused: dict[str, str]
    source: str


class RunRecord(msgspec.Struct):
    """A run."""

    schema: str
    verdict: VerdictName
    interrupted: bool
    holes: list[str]
    environment: dict[str, str]
    problems: list[ProblemRecord]


def run_json(run: Run, command: str = "") -> bytes:
    """The run as JSON: UTF-8, indented, the same bytes for the same run outside ``environment``.

    Args:
        run: The run.
        command: The command that made it; it is kept in ``environment``.
    """
    return msgspec.json.format(msgspec.json.encode(run_record(run, command)), indent=1) + b"\n"


def json_schema() -> bytes:
    """The JSON Schema of ``run_json``."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": SCHEMA}
    return msgspec.json.format(msgspec.json.encode(head | msgspec.json.schema(RunRecord)), indent=1) + b"\n"


def run_record(run: Run, command: str = "") -> RunRecord:
    """The run as records; the command that made it is kept in ``environment``."""
    return RunRecord(
        schema=SCHEMA,
        verdict=run.verdict.value,
        interrupted=run.interrupted,
        holes=list(run.holes),
        environment=({"command": command} if command else {}) | environment(),
        problems=[_problem(problem) for problem in run.problems],
    )


def environment() -> dict[str, str]:
    """Versions of what the numbers rest on."""
    libraries = {name: metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), "platform": platform.platform(), **libraries}


def _problem(problem: ProblemRun) -> ProblemRecord:
    return ProblemRecord(
        name=problem.name,
        horizon=problem.horizon,
        decompositions=[_decomposition(item) for item in problem.decompositions],
        evidence=[_evidence(item) for item in problem.evidence],
        derivation=[DerivationRecord(s.claim, s.verdict.value, s.text, s.latex, s.message) for s in problem.derivation],
        series={name: [list(row) for row in rows] for name, rows in problem.series.items()},
        skipped=dict(problem.skipped),
        refused=dict(problem.refused),
        source=problem.source,
    )


def _evidence(item: Evidence) -> EvidenceRecord:
    return EvidenceRecord(
        claim=item.claim,
        verdict=item.verdict.value,
        method=item.method,
        route=item.route,
        hypotheses=[HypothesisRecord(h.id, h.verdict.value, h.message) for h in item.hypotheses],
        residual=item.residual,
        bound=item.bound,
        tolerance=item.tolerance,
        witness=item.witness,
        message=item.message,
        form=item.form,  # type: ignore[arg-type]
        status=item.status,
        expected=item.expected,
        repaired=None if item.repaired is None else _evidence(item.repaired),
    )


def _decomposition(item: Decomposition) -> DecompositionRecord:
    return DecompositionRecord(
        route=item.route,
        digits=item.digits,
        query=[str(v) for v in item.query],
        output=item.output,
        initial_output=_number(item.initial_output),
        final_output=_number(item.final_output),
        contributions=[_number(v) for v in item.contributions],
        regularizer_term=_number(item.regularizer_term),
        path_kernel=[_number(v) if isinstance(v, str) else [_number(entry) for entry in v] for v in item.path_kernel],
        weights=[_weight(v) for v in item.weights],
        weights_absent={str(i): reason for i, reason in item.weights_absent.items()},
        residual=_number(item.residual),
        horizon=str(item.horizon),
        error_estimate=item.error_estimate,
        closed_form={k: v if isinstance(v, str) else list(v) for k, v in item.closed_form.items()} or None,
    )


def _number(value: str) -> Number:
    return BallRecord(value.mid, value.rad) if isinstance(value, BallNumber) else value


def _weight(value: str | tuple[str, ...] | None) -> Number | list[Number] | None:
    if value is None or isinstance(value, str):
        return None if value is None else _number(value)
    return [_number(entry) for entry in value]
