"""Certified decompositions: the flow, every path integral and the residual, each in a ball of the radius asked for.

A trajectory is followed with local errors somewhat below the target; where a ball comes out too wide, by how much says
how much finer the next try has to be. docs/devdocs/certified.md has the mathematics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from pkverify.arithmetic.ball import Ball, BallDomainError, dyadic, real, working_precision
from pkverify.arithmetic.ball_series import around
from pkverify.certified.enclosed import Enclosed, enclosed
from pkverify.certified.follow import Follower, TooCoarseError, log2_of, working_bits
from pkverify.certified.integrals import PathIntegrals
from pkverify.certified.step import Step
from pkverify.certified.system import BallSystem, make_system
from pkverify.errors import FlowError, InputError, UntreatableError
from pkverify.graph import ProblemGraph, compile_problem
from pkverify.problem import Problem, Vector
from pkverify.rational import decimal_text

DEFAULT_DIGITS = 20
MIN_DIGITS, MAX_DIGITS = 5, 1000
_GUARD_DIGITS = 7.0
_TRIES = 5
_COARSE_DIGITS = 12.0  # added where the error outgrew its tube, so that nothing says how much is missing


@dataclass(frozen=True)
class Enclosure:
    """A certified trajectory and what was read off it; q queries, m examples, C outputs, d parameters.

    Every number is proved to lie in its ball, for the one solution of ``w' = -grad L(w)``, ``w(0) = initial``, which
    the steps prove to exist up to the horizon.

    Attributes:
        problem: The problem.
        queries: The query inputs.
        digits: Radii are at most ``10**-digits * max(1, |value|)``.
        bits: Working precision.
        steps: The trajectory.
        final_params: [d].
        initial_outputs: [q][C].
        final_outputs: [q][C], from ``final_params``.
        contributions: [q][m][C], ``-integral L'_i K_t dt`` summed over the other output.
        regularizer_terms: [q][C].
        path_kernels: [q][m][C][C], the query's output first.
        residuals: [q][C], final minus the sum of the parts, as the balls give it.
    """

    problem: Problem
    queries: tuple[Vector, ...]
    digits: int
    bits: int
    steps: tuple[Step, ...]
    final_params: tuple[Enclosed, ...]
    initial_outputs: tuple[tuple[Enclosed, ...], ...]
    final_outputs: tuple[tuple[Enclosed, ...], ...]
    contributions: tuple[tuple[tuple[Enclosed, ...], ...], ...]
    regularizer_terms: tuple[tuple[Enclosed, ...], ...]
    path_kernels: tuple[tuple[tuple[tuple[Enclosed, ...], ...], ...], ...]
    residuals: tuple[tuple[Enclosed, ...], ...]

    @cached_property
    def compiled(self) -> ProblemGraph:
        """The problem's graph."""
        return compile_problem(self.problem)

    @cached_property
    def widest(self) -> Fraction:
        """The largest radius among the numbers asked for, relative to ``max(1, |value|)``."""
        return max(number.excess for number in self.numbers())

    def numbers(self) -> list[Enclosed]:
        """All numbers that the digits are a promise about."""
        tables = (self.initial_outputs, self.final_outputs, self.regularizer_terms, self.residuals)
        flat = [number for table in tables for row in table for number in row]
        flat += [number for query in self.contributions for example in query for number in example]
        return flat + [n for query in self.path_kernels for example in query for row in example for n in row]


def enclose(
    problem: Problem, digits: int = DEFAULT_DIGITS, queries: Sequence[Vector] | None = None, *, tries: int = _TRIES
) -> Enclosure:
    """Enclose the flow and its whole decomposition at the queries.

    Args:
        problem: The problem; it must be analytic along its path.
        digits: Every radius is at most ``10**-digits * max(1, |value|)``.
        queries: Query inputs; the problem's own when left out.
        tries: How often a trajectory may be followed, each time finer.

    Returns:
        The enclosure.

    Raises:
        InputError: If the digits are out of range, or model or loss is undefined at the start.
        FlowError: If the flow cannot be followed to the horizon, or meets a kink; the time reached is in it.
        UntreatableError: If the radius is not reached; the one that was is in it.

    Example:
        >>> from pkverify.problem_file import parse_problem
        >>> enclosure = enclose(parse_problem(\'\'\'
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[1]], y = [2]}
        ... flow = {initial = [0], horizon = 1}
        ... \'\'\'), digits=10)
        >>> [kernel] = enclosure.path_kernels[0][0][0]  # T x x' = 1
        >>> kernel.contains(1), kernel.rad < Fraction(1, 10**10)
        (True, True)
    """
    if not MIN_DIGITS <= digits <= MAX_DIGITS:
        raise InputError(
            f"--digits {digits}",
            f"the certified route gives {MIN_DIGITS} to {MAX_DIGITS} digits",
            "choose a number in this range",
        )
    asked = tuple(problem.query_inputs if queries is None else queries)
    local_digits, reached = digits + _GUARD_DIGITS, None
    for _ in range(tries):
        try:
            found = enclose_once(problem, digits, asked, local_digits)
        except TooCoarseError:
            local_digits += _COARSE_DIGITS + local_digits / 2
            continue
        if found.widest * 10**digits <= 1:
            return found
        reached = found.widest if reached is None else min(reached, found.widest)
        local_digits += max(0.30103 * log2_of(found.widest * 10**digits), 1.0) + 1.0
    raise UntreatableError(
        f"{digits} certified digits were not reached in {tries} tries"
        + ("" if reached is None else f": the widest ball has the relative radius {decimal_text(reached, 2)}"),
        "the flow amplifies errors too strongly" if reached is None else "the path integrals lose too many digits",
        "ask for fewer digits or a shorter horizon",
    )


def enclose_once(problem: Problem, digits: int, queries: tuple[Vector, ...], local_digits: float) -> Enclosure:
    """One trajectory with local errors of about ``10**-local_digits``, and all that is read off it.

    Raises:
        FlowError, InputError: As ``enclose``.
        TooCoarseError: If the error outgrew its tube.
    """
    bits = working_bits(local_digits) + 16
    with working_precision(bits):
        try:
            system = make_system(problem, queries)
            initial = [system.outputs_at(row, [real(v) for v in problem.initial]) for row in system.query_rows]
        except BallDomainError as error:
            if "kink" in str(error):
                raise UntreatableError(
                    f"the path starts on a kink: {error}",
                    "the certified route needs a model and a loss that are analytic along the path",
                    "start elsewhere, or use a smooth model",
                ) from None
            raise InputError(
                f"the model or the loss is undefined at the start: {error}",
                "the flow needs the gradient of the loss at w(0), and the prediction there",
                "change [flow] initial or the data",
            ) from None
        follower, integrals, steps = Follower(system, local_digits), PathIntegrals(system), list[Step]()
        try:
            for step, values in follower.steps():
                integrals.add(step, values)
                steps.append(step)
            return _read(system, integrals, steps, initial, digits, bits)
        except BallDomainError as error:
            raise FlowError(
                f"the enclosure of the flow stops at t = {float(follower.time):.6g}",
                hypothesis="H2", time=float(follower.time), why=str(error), fix="shorten the horizon",
            ) from None  # fmt: skip


def final_box(step: Step) -> list[Ball]:
    """Balls that contain the parameters at the end of a step."""
    return [around(dyadic(sum(c), -step.bits), real(step.error_end)) for c in step.coefficients]


def _read(system: BallSystem, integrals: PathIntegrals, steps: list[Step], initial: list[list[Ball]], digits: int,
          bits: int) -> Enclosure:  # fmt: skip
    outputs, examples, rows = range(system.outputs), range(system.examples), system.query_rows
    end = final_box(steps[-1])
    final = [system.outputs_at(row, end) for row in rows]
    contributions = [[[-integrals.integral(row, c, i, None) for c in outputs] for i in examples] for row in rows]
    penalty = system.penalty_row
    terms = [
        [real(0) if penalty is None else -integrals.integral(row, c, penalty, None) for c in outputs] for row in rows
    ]
    kernels = [
        [[[integrals.integral(row, c, i, o) for o in outputs] for c in outputs] for i in examples] for row in rows
    ]
    residuals = [
        [
            final[q][c] - initial[q][c] - terms[q][c] - sum((contributions[q][i][c] for i in examples), real(0))
            for c in outputs
        ]
        for q in range(len(rows))
    ]
    return Enclosure(
        problem=system.problem, queries=system.queries, digits=digits, bits=bits, steps=tuple(steps),
        final_params=tuple(map(enclosed, end)),
        initial_outputs=_table(initial), final_outputs=_table(final),
        contributions=tuple(map(_table, contributions)), regularizer_terms=_table(terms),
        path_kernels=tuple(tuple(map(_table, query)) for query in kernels), residuals=_table(residuals),
    )  # fmt: skip


def _table(rows: Sequence[Sequence[Ball]]) -> tuple[tuple[Enclosed, ...], ...]:
    return tuple(tuple(map(enclosed, row)) for row in rows)
