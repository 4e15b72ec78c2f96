"""From a finished path to numbers: outputs, contributions, path kernels, and what their errors are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, inf

from pkverify.jets import Expansion, KinkError
from pkverify.precise.flow import Path
from pkverify.precise.system import AugmentedSystem, Factor
from pkverify.problem import Vector


@dataclass(frozen=True)
class Solution:
    """The numbers of a decomposition, as exact rationals of the working precision; q queries, m examples, C outputs.

    Attributes:
        queries: The query inputs.
        initial_outputs: [q][C].
        final_outputs: [q][C], from the final parameters.
        contributions: [q][m][C], ``-integral L'_i K_t dt`` summed over the other output.
        regularizer_terms: [q][C].
        path_kernels: [q][m][C][C], the query's output first.
        path: The path they were read from.
        system: The system it was integrated with.
        log10_error: Decimal logarithm of the estimated largest error, relative to ``max(1, |value|)``.
        digits: Digits that the result stands for.
    """

    queries: tuple[Vector, ...]
    initial_outputs: tuple[tuple[Fraction, ...], ...]
    final_outputs: tuple[tuple[Fraction, ...], ...]
    contributions: tuple[tuple[tuple[Fraction, ...], ...], ...]
    regularizer_terms: tuple[tuple[Fraction, ...], ...]
    path_kernels: tuple[tuple[tuple[tuple[Fraction, ...], ...], ...], ...]
    path: Path
    system: AugmentedSystem
    log10_error: float
    digits: int

    @property
    def error_estimate(self) -> Fraction:
        """The estimated largest error, relative to ``max(1, |value|)``, rounded up to a power of ten."""
        return Fraction(10) ** ceil(self.log10_error)

    def numbers(self) -> list[Fraction]:
        """All numbers in a fixed order, to compare two solutions of one problem."""
        flat = [
            v
            for rows in (self.initial_outputs, self.final_outputs, self.regularizer_terms)
            for row in rows
            for v in row
        ]
        flat += [v for query in self.contributions for example in query for v in example]
        return flat + [v for query in self.path_kernels for example in query for row in example for v in row]

    def residual(self, query: int, output: int) -> Fraction:
        """``final - (initial + regularizer term + sum of contributions)``, as it came out."""
        total = sum((example[output] for example in self.contributions[query]), Fraction(0))
        parts = self.initial_outputs[query][output] + self.regularizer_terms[query][output] + total
        return self.final_outputs[query][output] - parts

    def scale(self, query: int, output: int) -> Fraction:
        """``max(1, |y_0|, |y_T|, sum |contributions|)``: what an error of the residual is relative to."""
        parts = sum((abs(example[output]) for example in self.contributions[query]), Fraction(0))
        return max(Fraction(1), abs(self.initial_outputs[query][output]), abs(self.final_outputs[query][output]), parts)

    def kernel_vanishes(self, query: int, example: int, left: int, right: int) -> bool:
        """Whether the tangent kernel of query and example is identically zero, decided over the rationals."""
        return _vanishes(self.system, self.system.query_rows[query], example, left, right)


def read_solution(system: AugmentedSystem, path: Path, queries: Sequence[Vector], digits: int) -> Solution:
    """Combine the integrals of pairs of bases into kernels and contributions, and evaluate the outputs at both ends."""
    numbers, compiled, m = system.numbers, system.compiled, system.example_count
    exact = numbers.fraction

    def integral(left: int, c: int, right: int, factors: Sequence[tuple[int, int | None]]) -> Fraction:
        product = system.inner_product(system.rows[left].jacobian[c], left, factors, right)
        return exact(sum((numbers.multiply(k, path.integrals[pair]) for pair, k in product.items()), numbers.zero))

    outputs = range(len(compiled.outputs))
    start = [numbers.number(v) for v in system.problem.initial]
    rows, penalty = system.query_rows, system.penalty_row
    return Solution(
        queries=tuple(queries),
        initial_outputs=tuple(_outputs(system, start, row) for row in rows),
        final_outputs=tuple(_outputs(system, path.final, row) for row in rows),
        contributions=tuple(
            tuple(tuple(-integral(row, c, i, system.rows[i].gradient) for c in outputs) for i in range(m))
            for row in rows
        ),
        regularizer_terms=tuple(
            tuple(
                Fraction(0) if penalty is None else -integral(row, c, penalty, system.rows[penalty].gradient)
                for c in outputs
            )
            for row in rows
        ),
        path_kernels=tuple(
            tuple(
                tuple(tuple(integral(row, c, i, system.rows[i].jacobian[o]) for o in outputs) for c in outputs)
                for i in range(m)
            )
            for row in rows
        ),
        path=path,
        system=system,
        log10_error=inf,
        digits=digits,
    )


def _outputs(system: AugmentedSystem, state: Sequence[int], row: int) -> tuple[Fraction, ...]:
    return tuple(system.numbers.fraction(v) for v in values_at(system, state, row, system.compiled.outputs))


def start_at(system: AugmentedSystem, state: Sequence[int], row: int) -> Expansion:
    """Evaluate one row at given parameters, to order 0.

    At a kink the one-sided values from above are taken; the outputs themselves are continuous there.
    """
    for series, value in zip(system.params, state, strict=True):
        series.clear()
        series.append(value)
    expansion = system.rows[row].expansion
    branches: dict[int, int] = {}
    while True:
        try:
            expansion.start(branches)
        except KinkError as error:
            branches[error.node] = 1
        else:
            return expansion


def values_at(system: AugmentedSystem, state: Sequence[int], row: int, nodes: Sequence[int]) -> list[int]:
    """Values of expanded nodes (outputs, loss derivatives) of one row at given parameters."""
    expansion = start_at(system, state, row)
    return [expansion.constants[n] if n in expansion.constants else expansion.series[n][0] for n in nodes]


def gradient_at(system: AugmentedSystem, state: Sequence[int], row: int, factors: Sequence[Factor]) -> list[int]:
    """A factored gradient of one row (``Row.gradient``, or a row of ``Row.jacobian``) at given parameters."""
    expansion, numbers = start_at(system, state, row), system.numbers
    return [c if base is None else numbers.multiply(c, expansion.series[base][0]) for c, base in factors]


def _vanishes(system: AugmentedSystem, query_row: int, example: int, left: int, right: int) -> bool:
    """Whether the inner product of two Jacobian rows cancels base by base, in exact rational arithmetic."""
    graph = system.compiled.graph
    sides = [[graph.factor(node) for node in system.compiled.jacobian[output]] for output in (left, right)]
    rows = [system.rows[query_row].expansion, system.rows[example].expansion]
    totals: dict[tuple[int | None, int | None], Fraction] = {}
    for pair in zip(*sides, strict=True):
        if any(
            row.vanishes(node) for row, factor in zip(rows, pair, strict=True) for node in factor if node is not None
        ):
            continue
        constants = [row.rational(constant) for row, (constant, _) in zip(rows, pair, strict=True)]
        if constants[0] is None or constants[1] is None:
            return False
        bases = pair[0][1], pair[1][1]
        totals[bases] = totals.get(bases, Fraction(0)) + constants[0] * constants[1]
    return not any(totals.values())
