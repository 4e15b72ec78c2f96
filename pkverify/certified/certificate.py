"""Certificates: what a sceptic needs to check an enclosure again, as JSON; docs/devdocs/certificates.md has the format.

Only numbers are written here, and slack is added to the bounds that the checker finds by other formulas than ours. That
can make a certificate weaker or rejected, never wrong: what it states is proved anew by whoever reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import Enclosure
from pkverify.certified.step import Step
from pkverify.errors import InputError
from pkverify.losses import Loss
from pkverify.models import ExpressionModel, LayeredModel
from pkverify.problem import Problem, Regularizer
from pkverify.rational import format_rational

SCHEMA = "pkverify.certificate/1"
_NORM_SLACK = Fraction(1, 2**7)  # of a logarithmic norm, over the whole horizon
_BOUND_SLACK = Fraction(2)
_ROUNDING_BITS = 16  # below the working precision: what another order of evaluation may lose
_BOUND_BITS = 30  # a bound needs no more digits than that


def certificate_text(enclosure: Enclosure, slack: int = 4) -> str:
    """The certificate of an enclosure: JSON, one line, with its checksum.

    Args:
        enclosure: What is certified.
        slack: How many times the radii of its numbers are stated, for a checker whose bounds are coarser than ours.

    Returns:
        The text.

    Raises:
        InputError: For a model that problem files do not know.

    Example:
        >>> from pkverify.certified.enclosure import enclose
        >>> from pkverify.certified.verifier import verify_certificate
        >>> from pkverify.problem_file import parse_problem
        >>> enclosure = enclose(parse_problem(\'\'\'
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[1]], y = [2]}
        ... flow = {initial = [0], horizon = 1}
        ... \'\'\'), digits=10)
        >>> verify_certificate(certificate_text(enclosure)).exit_code
        0
    """
    body: dict[str, Any] = {
        "schema": SCHEMA,
        "precision": enclosure.bits,
        "problem": _problem(enclosure.problem, enclosure.queries),
        "steps": _steps(enclosure.steps, enclosure.problem.horizon),
        "result": {
            "final_params": [_ball(number, enclosure.bits, slack) for number in enclosure.final_params],
            "decompositions": [
                _decomposition(enclosure, query, output, slack)
                for query in range(len(enclosure.queries))
                for output in range(len(enclosure.initial_outputs[query]))
            ],
        },
    }
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return json.dumps(body | {"sha256": hashlib.sha256(canonical.encode()).hexdigest()}, separators=(",", ":"))


def write_certificate(enclosure: Enclosure, path: Path) -> None:
    """Write the certificate of an enclosure: the file is there whole, or not at all.

    Raises:
        InputError: For a model that problem files do not know.
        OSError: If the file cannot be written.
    """
    text = certificate_text(enclosure)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")  # in the same folder, hence on the same disc
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _problem(problem: Problem, queries: Sequence[Sequence[Fraction]]) -> dict[str, Any]:
    return {
        "title": problem.title,
        "model": _model(problem.model),
        "loss": _loss(problem.loss),
        "regularizer": _regularizer(problem.regularizer),
        "data": {"x": [*map(_numbers, problem.data.inputs)], "y": [*map(_numbers, problem.data.targets)]},
        "initial": _numbers(problem.initial),
        "horizon": format_rational(problem.horizon),
        "queries": [*map(_numbers, queries)],
    }


def _model(model: object) -> dict[str, Any]:
    match model:
        case ExpressionModel(params=params, inputs=inputs, outputs=outputs):
            texts = [output.text for output in outputs]
            return {"kind": "expression", "params": [*params], "inputs": [*inputs], "outputs": texts}
        case LayeredModel(kind=kind, layers=layers, activation=activation, bias=bias):
            return {"kind": kind, "layers": [*layers], "activation": activation, "bias": bias}
        case _:
            raise InputError(
                f"a model of type {type(model).__name__} has no certificate",
                "the checker knows the built-in kinds and expressions",
                "give the model as an expression",
            )


def _loss(loss: Loss) -> dict[str, str]:
    value = {} if loss.value is None else {"value": loss.value.text}
    return {"kind": loss.kind, "reduction": loss.reduction} | value


def _regularizer(regularizer: Regularizer | None) -> dict[str, str] | None:
    if regularizer is None:
        return None
    if regularizer.value is not None:
        return {"value": regularizer.value.text}
    assert regularizer.strength is not None
    return {"strength": format_rational(regularizer.strength)}


def _numbers(row: Iterable[Fraction]) -> list[str]:
    return [*map(format_rational, row)]


def _steps(steps: Sequence[Step], horizon: Fraction) -> list[dict[str, Any]]:
    """The steps, with slack in the logarithmic norms, and what it does to the errors."""
    slack = _NORM_SLACK / horizon
    return [
        {
            "start": format_rational(step.start),
            "length": format_rational(step.length),
            "polynomial": [[_pair(Fraction(c, 2**step.bits)) for c in p] for p in step.coefficients],
            "order": step.order,
            "disc": _pair(step.disc),
            "margin": _pair(step.margin),
            "tube": _pair(step.tube),
            "log_norm": [_pair(_above(mu + slack)) for mu in step.log_norms],
            "error": _pair(_above(step.error_end * _BOUND_SLACK * (1 + 2 * slack * step.end))),
        }
        for step in steps
    ]


def _decomposition(enclosure: Enclosure, query: int, output: int, slack: int) -> dict[str, Any]:

    def ball(number: Enclosed) -> dict[str, list[int]]:
        return _ball(number, enclosure.bits, slack)

    return {
        "query": query,
        "output": output,
        "initial_output": ball(enclosure.initial_outputs[query][output]),
        "final_output": ball(enclosure.final_outputs[query][output]),
        "contributions": [ball(example[output]) for example in enclosure.contributions[query]],
        "regularizer_term": ball(enclosure.regularizer_terms[query][output]),
        "path_kernel": [[*map(ball, example[output])] for example in enclosure.path_kernels[query]],
        "residual": ball(enclosure.residuals[query][output]),
    }


def _ball(number: Enclosed, bits: int, slack: int) -> dict[str, list[int]]:
    rounding = max(Fraction(1), abs(number.mid)) / 2 ** (bits - _ROUNDING_BITS)
    return {"mid": _pair(number.mid), "rad": _pair(_above(number.rad * slack + rounding))}


def _pair(value: Fraction) -> list[int]:
    """Mantissa and exponent of a dyadic rational."""
    shift = value.denominator.bit_length() - 1
    assert value.denominator == 1 << shift
    zeros = (value.numerator & -value.numerator).bit_length() - 1 if value.numerator else 0
    return [value.numerator >> zeros, zeros - shift]


def _above(value: Fraction) -> Fraction:
    """A dyadic rational with few bits that is not below the value."""
    bits = value.numerator.bit_length() - value.denominator.bit_length()
    unit = Fraction(2) ** (bits - _BOUND_BITS)
    return -(-value // unit) * unit
