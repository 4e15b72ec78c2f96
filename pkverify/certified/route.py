"""Certified decompositions as records: every number a ball, every weight a quotient of balls, or absent."""

from __future__ import annotations

from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import Enclosure, enclose
from pkverify.certified.hypotheses import kernel_weight
from pkverify.decomposition import BallNumber, Decomposition, enclosing
from pkverify.problem import Problem

_GUARD_DIGITS = 4  # so many more digits of a midpoint are written, so that rounding it hardly widens the ball


def decompose_certified(problem: Problem, digits: int) -> tuple[Decomposition, ...]:
    """One decomposition for each query and output, query by query, all numbers balls.

    Args:
        problem: A problem that is analytic along its path.
        digits: Radii are at most ``10**-digits * max(1, |value|)``, those of the weights excepted: a quotient is as
            wide as it comes out.

    Returns:
        The decompositions; see ``Decomposition`` for the fields.

    Raises:
        InputError, FlowError, UntreatableError: As ``enclose``.
    """
    return read_enclosure(enclose(problem, digits))


def read_enclosure(enclosure: Enclosure) -> tuple[Decomposition, ...]:
    """The decompositions of an enclosure, in decimals."""
    outputs = range(len(enclosure.initial_outputs[0]))
    return tuple(_decomposition(enclosure, q, c) for q in range(len(enclosure.queries)) for c in outputs)


def _decomposition(enclosure: Enclosure, q: int, c: int) -> Decomposition:
    digits = enclosure.digits + _GUARD_DIGITS
    kernels = enclosure.path_kernels[q]
    scalar = len(enclosure.initial_outputs[q]) == 1

    def text(number: Enclosed) -> BallNumber:
        return enclosing(number.mid, number.rad, digits)

    weights: list[BallNumber | tuple[BallNumber, ...] | None] = []
    absent: dict[int, str] = {}
    for i in range(len(kernels)):
        found = kernel_weight(enclosure, q, i)
        if isinstance(found, str):
            weights.append(None)
            absent[i] = found
        else:
            weights.append(text(found[0]) if scalar else tuple(map(text, found)))
    return Decomposition(
        route="certified",
        digits=enclosure.digits,
        query=enclosure.queries[q],
        output=c,
        initial_output=text(enclosure.initial_outputs[q][c]),
        final_output=text(enclosure.final_outputs[q][c]),
        contributions=tuple(text(example[c]) for example in enclosure.contributions[q]),
        regularizer_term=text(enclosure.regularizer_terms[q][c]),
        residual=text(enclosure.residuals[q][c]),
        path_kernel=tuple(text(k[0][0]) for k in kernels) if scalar else tuple(tuple(map(text, k[c])) for k in kernels),
        weights=tuple(weights),
        weights_absent=absent,
        horizon=enclosure.problem.horizon,
    )
