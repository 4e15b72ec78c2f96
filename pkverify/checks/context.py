"""What the checks of one problem share: its decompositions, solved once, and samples along its path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import isfinite

from pkverify.checks.cross_check import Gap, cross_check
from pkverify.evidence import HypothesisEvidence, Verdict
from pkverify.precise.route import solve_precise
from pkverify.precise.solution import Solution, gradient_at, values_at
from pkverify.problem import Problem, Vector

HELPER_EXAMPLES = 24  # Gram matrices are checked on at most so many training inputs
SAMPLE_TIMES = 33


@dataclass(frozen=True)
class Context:
    """One problem under check.

    Attributes:
        problem: The problem.
        digits: Digits asked for on the precise route.
        seed: Seed of whatever is drawn at random.
    """

    problem: Problem
    digits: int
    seed: int = 0

    @cached_property
    def queries(self) -> tuple[Vector, ...]:
        """The problem's queries, then the training inputs that are not among them."""
        helpers = [x for x in self.problem.data.inputs[:HELPER_EXAMPLES] if x not in self.problem.query_inputs]
        return (*self.problem.query_inputs, *dict.fromkeys(helpers))

    @cached_property
    def solution(self) -> Solution:
        """The precise solution for ``queries``: the asked ones first.

        Raises:
            InputError, FlowError: As ``solve_precise``.
        """
        return solve_precise(self.problem, self.digits, self.queries)

    @cached_property
    def gaps(self) -> tuple[Gap, ...]:
        """The precise solution against a second route to each of its parts."""
        return cross_check(self)

    @property
    def asked(self) -> range:
        """Positions of the problem's own queries in ``queries``."""
        return range(len(self.problem.query_inputs))

    @property
    def outputs(self) -> range:
        """The model's outputs."""
        return range(self.problem.model.output_count)

    @property
    def tolerance(self) -> Fraction:
        """What a residual is held against, relative to its scale: fixed by the digits, never by the residual."""
        return Fraction(10) ** (2 - self.digits)

    def query_of(self, example: int) -> int | None:
        """Where a training input stands among ``queries``, or None."""
        inputs = self.problem.data.inputs[example]
        return self.queries.index(inputs) if inputs in self.queries else None

    @cached_property
    def times(self) -> tuple[Fraction, ...]:
        """Equally spaced sample times, both ends included."""
        return tuple(self.problem.horizon * k / (SAMPLE_TIMES - 1) for k in range(SAMPLE_TIMES))

    @cached_property
    def loss_derivatives(self) -> list[list[list[float]]]:
        """Samples of L'_i: [time][example][output]."""
        return [self.loss_derivatives_at(t) for t in self.times]

    def loss_derivatives_at(self, time: Fraction) -> list[list[float]]:
        """L'_i at one time: [example][output]."""
        system = self.solution.system
        state = self.solution.path.params_at(time)
        rows = range(system.example_count)
        to_float = system.numbers.to_float
        return [[to_float(v) for v in values_at(system, state, i, system.compiled.loss_derivatives)] for i in rows]

    def tangent_kernel_at(self, time: Fraction, row: int, other: int, left: int, right: int) -> Fraction:
        """K_t between two rows of the system (examples come first), for one output of each."""
        system = self.solution.system
        state = self.solution.path.params_at(time)
        first = gradient_at(system, state, row, system.rows[row].jacobian[left])
        second = gradient_at(system, state, other, system.rows[other].jacobian[right])
        exact = system.numbers.fraction
        return sum((exact(a) * exact(b) for a, b in zip(first, second, strict=True)), Fraction(0))

    @cached_property
    def tangent_kernels(self) -> list[list[list[float]]]:
        """Samples of K_t for scalar outputs: [time][asked query][example]."""
        system = self.solution.system
        samples: list[list[list[float]]] = []
        for time in self.times:
            state = self.solution.path.params_at(time)
            rows = {row: self._gradient(state, row) for row in {*system.query_rows, *range(system.example_count)}}
            samples.append([
                [_dot(rows[system.query_rows[q]], rows[i]) for i in range(system.example_count)] for q in self.asked
            ])  # fmt: skip
        return samples

    def _gradient(self, state: Sequence[int], row: int) -> list[float]:
        system = self.solution.system
        return [system.numbers.to_float(v) for v in gradient_at(system, state, row, system.rows[row].jacobian[0])]

    def flow_hypotheses(self) -> tuple[HypothesisEvidence, ...]:
        """H0 and H2 as far as the precise route can tell."""
        kinks = self.solution.path.kinks
        smooth = (
            f"{len(kinks)} kink(s) on the path, each crossed and split there"
            if kinks
            else "made of analytic functions, none of them singular on the path"
        )
        return (
            HypothesisEvidence("H0", Verdict.SUPPORTED, smooth),
            HypothesisEvidence(
                "H2", Verdict.SUPPORTED, f"followed to t = {self.problem.horizon}, and put back into the flow equation"
            ),
        )


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    total = sum(a * b for a, b in zip(left, right, strict=True))
    if not isfinite(total):
        raise OverflowError("a tangent kernel is beyond the range of doubles")
    return total
