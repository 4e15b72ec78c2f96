"""A small maker of certificates for the tests of the verifier: it shares nothing with the certified route.

Polynomials come from Taylor series in balls, bounds from trying: that they hold is for the verifier to say.
"""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from typing import Any

from flint import arb, arb_series, ctx

from pkverify.certified import verifier as real_verifier

Certificate = dict[str, Any]


def model(kind: str, layers: list[int], activation: str | None = None, bias: bool = True) -> dict[str, Any]:
    return {"kind": kind, "layers": layers, "activation": activation, "bias": bias}


def formula(params: list[str], inputs: list[str], *outputs: str) -> dict[str, Any]:
    return {"kind": "expression", "params": params, "inputs": inputs, "outputs": list(outputs)}


def problem(
    model: dict[str, Any],
    loss: str,
    x: list[list[str]],
    y: list[list[str]],
    initial: list[str],
    horizon: str,
    **more: Any,
) -> dict[str, Any]:
    return {
        "title": "forged",
        "model": model,
        "loss": {"kind": loss, "reduction": "sum"},
        "regularizer": None,
        "data": {"x": x, "y": y},
        "initial": initial,
        "horizon": horizon,
        "queries": x[:1],
    } | more


def sign(certificate: Certificate) -> str:
    """The certificate as text, with the checksum that belongs to it."""
    body = {key: value for key, value in certificate.items() if key != "sha256"}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return json.dumps(body | {"sha256": hashlib.sha256(canonical.encode()).hexdigest()})


def dyadic(value: Any) -> list[int]:
    mantissa, exponent = value.mid().man_exp()
    return [int(mantissa), int(exponent)]


def ball(value: Any) -> dict[str, list[int]]:
    """The ball with its radius doubled."""
    return {"mid": dyadic(value), "rad": dyadic((value.rad() * 2).upper())}


def forge(
    problem: dict[str, Any], *, steps: int = 4, order: int = 24, precision: int = 128, tube: int = -30,
    disc: int = 2, margin: int = -3, log_norm: int | list[int] = 1, parts: int = 1, shift: Fraction | int = 0,
    degree: int | None = None,
    verifier: Any = real_verifier,
) -> Certificate:  # fmt: skip
    """A certificate of equal steps, with bounds a little larger than what a verifier finds.

    Args:
        problem: As certificates have it.
        steps: How many.
        order: Order of the series.
        precision: In bits.
        tube: The exponent of its radius.
        disc: Radius of the disc.
        margin: The exponent of the margin around the tube.
        log_norm: Stated for every part of every step.
        parts: Of each step.
        shift: Where the path starts, from the initial parameters: away from them, it is a wrong path.
        degree: Of the polynomials; the order if left out, and 0 for a path that stands still.
        verifier: Whose bounds to believe.
    """
    before = ctx.prec, ctx.cap
    try:
        ctx.prec = precision
        system = verifier.System(problem)
        checker = verifier.Checker(system, precision)
        made: list[dict[str, Any]] = []
        length, norm = system.horizon / steps, [log_norm, 0] if isinstance(log_norm, int) else log_norm
        for k in range(steps):
            start = [arb((c + (_ball(shift) if k == 0 else 0)).mid()) for c in checker.end]
            polynomial = _taylor(checker, start, length, order if degree is None else degree)
            stated = {
                "start": str(k * length), "length": str(length),
                "polynomial": [[dyadic(c) for c in row] for row in polynomial], "order": order, "disc": [disc, 0],
                "margin": [1, margin], "tube": [1, tube], "log_norm": [norm] * parts, "error": [1, tube],
            }  # fmt: skip
            checker.advance(stated)
            bound = checker.error
            error = (bound * arb((17, -4))).upper() + arb((1, -precision))
            checker.error = error
            made.append(stated | {"error": dyadic(error)})
        result = _result(checker)
    finally:
        ctx.prec, ctx.cap = before
    return {
        "schema": real_verifier.SCHEMA, "precision": precision, "problem": problem, "steps": made, "result": result
    }  # fmt: skip


def _ball(value: Fraction | int) -> Any:
    exact = Fraction(value)
    return arb(exact.numerator) / exact.denominator


def _taylor(checker: Any, start: list[Any], length: Fraction, order: int) -> list[list[Any]]:
    """Midpoints of the Taylor coefficients of the flow, in units of the step: order by order."""
    rows = [[value] for value in start]
    size = _ball(length)
    for k in range(order):
        ctx.cap = k + 1
        flow = checker.system.rows([arb_series(row, prec=k + 1) for row in rows])[-1]
        for row, rate in zip(rows, flow, strict=True):
            found = rate[k] if isinstance(rate, arb_series) else rate if k == 0 else arb(0)
            row.append(arb((size * found / (k + 1)).mid()))
    return rows


def _result(checker: Any) -> dict[str, Any]:
    first, last = checker.initial, checker.outputs()
    outputs, m = checker.split // len(checker.system.queries), len(checker.system.x)
    decompositions: list[dict[str, Any]] = []
    for number in range(checker.split):
        row = [checker.integrals[number, k] for k in range(checker.integrals.ncols())]
        rest = last[number] - first[number] + sum(row[:m], arb(0)) + row[-1]
        entry = {
            "query": number // outputs, "output": number % outputs,
            "initial_output": ball(first[number]), "final_output": ball(last[number]),
            "contributions": [ball(-value) for value in row[:m]], "regularizer_term": ball(-row[-1]),
            "path_kernel": [[ball(v) for v in row[m + i * outputs : m + (i + 1) * outputs]] for i in range(m)],
            "residual": ball(rest),
        }  # fmt: skip
        decompositions.append(entry)
    return {"final_params": [ball(value) for value in checker.final()], "decompositions": decompositions}
