"""Numbers of decompositions as intervals: how they change with a problem, and whether two sets can be the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from pkverify.decomposition import BallNumber, Decomposition

FIELDS = ("initial_output", "final_output", "regularizer_term", "contributions", "path_kernel")

_ZERO = Fraction(0)


@dataclass(frozen=True)
class Interval:
    """All numbers from ``lower`` to ``upper``.

    Example:
        >>> half = Interval(Fraction(1, 2), Fraction(1, 2))
        >>> (half + half.times(Fraction(-2))).upper
        Fraction(-1, 2)
    """

    lower: Fraction
    upper: Fraction

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.lower + other.lower, self.upper + other.upper)

    def times(self, factor: Fraction) -> Interval:
        """The products with a number."""
        ends = factor * self.lower, factor * self.upper
        return Interval(min(ends), max(ends))

    def gap(self, other: Interval) -> Fraction:
        """How far the two are apart; 0 where they meet."""
        return max(_ZERO, self.lower - other.upper, other.lower - self.upper)


Row = tuple[Interval, ...]


@dataclass(frozen=True)
class Numbers:
    """A decomposition for q queries, C outputs, m examples.

    Attributes:
        initial_output: [q][C].
        final_output: [q][C].
        regularizer_term: [q][C].
        contributions: [q][C][m], in output units.
        path_kernel: [q][C][m][C'].
    """

    initial_output: tuple[Row, ...]
    final_output: tuple[Row, ...]
    regularizer_term: tuple[Row, ...]
    contributions: tuple[tuple[Row, ...], ...]
    path_kernel: tuple[tuple[tuple[Row, ...], ...], ...]


def numbers_of(decompositions: Sequence[Decomposition]) -> Numbers:
    """The numbers of one route, each as wide as the route says that it may be wrong.

    Args:
        decompositions: One for each query and output, query by query, as ``decompose`` gives them. Balls are taken as
            they are; a decimal stands for ``10**(2 - digits) * max(1, |value|)``, or its own error estimate.
    """
    outputs = max(item.output for item in decompositions) + 1
    queries = [decompositions[k : k + outputs] for k in range(0, len(decompositions), outputs)]

    def one(item: Decomposition, text: str) -> Interval:
        if isinstance(text, BallNumber):
            return Interval(*text.ends)
        value = Fraction(text)
        relative = max(Fraction(10) ** (2 - item.digits), Fraction(item.error_estimate or 0))
        width = relative * max(Fraction(1), abs(value))
        return Interval(value - width, value + width)

    def table(name: str) -> tuple[Row, ...]:
        return tuple(tuple(one(item, getattr(item, name)) for item in items) for items in queries)

    def kernels(item: Decomposition) -> tuple[Row, ...]:
        rows = [(row,) if isinstance(row, str) else row for row in item.path_kernel]
        return tuple(tuple(one(item, text) for text in row) for row in rows)

    return Numbers(
        table("initial_output"), table("final_output"), table("regularizer_term"),
        tuple(tuple(tuple(one(item, text) for text in item.contributions) for item in items) for items in queries),
        tuple(tuple(kernels(item) for item in items) for items in queries),
    )  # fmt: skip


def contributions_only(split: Sequence[Sequence[Sequence[float | Fraction]]]) -> Numbers:
    """Numbers of code that gives contributions alone, [query][output][example]; the other fields are zeros.

    Raises:
        ValueError: If a number is not finite.

    Example:
        >>> contributions_only([[[0.5, -1.0]]]).contributions[0][0][1].lower
        Fraction(-1, 1)
    """
    zero = Interval(_ZERO, _ZERO)
    rows = tuple(tuple(tuple(Interval(Fraction(v), Fraction(v)) for v in row) for row in rows) for rows in split)
    blank = tuple((zero,) * len(query) for query in rows)
    return Numbers(blank, blank, blank, rows, tuple(tuple(((zero,) * len(q),) * len(q[0]) for _ in q) for q in rows))


def mismatch(
    found: Numbers, expected: Numbers, *, tolerance: Fraction = _ZERO, fields: Sequence[str] = FIELDS
) -> str | None:
    """The first number whose interval does not meet the expected one, or None.

    Args:
        found: The numbers of the changed problem.
        expected: What the relation says that they are.
        tolerance: How far apart two intervals may be, relative to ``max(1, |number|)``; for plain floats.
        fields: Which of ``FIELDS`` to compare.
    """
    for name in fields:
        left, right = list(_leaves(getattr(found, name))), list(_leaves(getattr(expected, name)))
        if len(left) != len(right):
            return f"{name}: {len(left)} numbers, expected are {len(right)}"
        for (place, a), (_, b) in zip(left, right, strict=True):
            if a.gap(b) > tolerance * max(Fraction(1), abs(b.upper)):
                return f"{name}{place} is {float(a.lower):.12g}, expected is {float(b.lower):.12g}"
    return None


def unchanged(numbers: Numbers) -> Numbers:
    """Numbers that stay as they are."""
    return numbers


def by_example(
    numbers: Numbers,
    examples: Sequence[int],
    *,
    contributions: Sequence[Fraction] | None = None,
    kernels: Fraction = Fraction(1),
) -> Numbers:
    """Examples picked by number, with a factor for each contribution and one for all path kernels."""
    factors = [Fraction(1)] * len(examples) if contributions is None else contributions
    return replace(
        numbers,
        contributions=tuple(
            tuple(tuple(row[i].times(f) for i, f in zip(examples, factors, strict=True)) for row in rows)
            for rows in numbers.contributions
        ),
        path_kernel=tuple(
            tuple(tuple(tuple(v.times(kernels) for v in row[i]) for i in examples) for row in rows)
            for rows in numbers.path_kernel
        ),
    )


def affine(numbers: Numbers, matrix: Sequence[Sequence[Fraction]], offset: Fraction) -> Numbers:
    """The numbers of the outputs ``A y + b``: parts are multiplied by A, path kernels by A on both sides."""
    outputs = range(len(matrix))

    def mixed(values: Sequence[Interval], factors: Sequence[Fraction]) -> Interval:
        return sum((v.times(f) for v, f in zip(values, factors, strict=True)), Interval(_ZERO, _ZERO))

    def table(rows: Sequence[Row], constant: Fraction) -> tuple[Row, ...]:
        added = Interval(constant, constant)
        return tuple(tuple(mixed(row, factors) + added for factors in matrix) for row in rows)

    def kernel(block: Sequence[Row]) -> tuple[Row, ...]:
        half = [[mixed(row, factors) for factors in matrix] for row in block]
        return tuple(
            tuple(mixed([row[j] for row in half], factors) for j in outputs) for factors in matrix
        )  # fmt: skip

    def kernels(rows: Sequence[Sequence[Row]]) -> tuple[tuple[Row, ...], ...]:
        blocks = [kernel([rows[c][i] for c in outputs]) for i in range(len(rows[0]))]
        return tuple(tuple(block[c] for block in blocks) for c in outputs)

    return Numbers(
        table(numbers.initial_output, offset),
        table(numbers.final_output, offset),
        table(numbers.regularizer_term, _ZERO),
        tuple(
            tuple(tuple(mixed([row[i] for row in rows], factors) for i in range(len(rows[0]))) for factors in matrix)
            for rows in numbers.contributions
        ),
        tuple(kernels(rows) for rows in numbers.path_kernel),
    )


def with_zero_output(numbers: Numbers) -> Numbers:
    """The numbers with one more output, which is 0 whatever the parameters are."""
    zero = Interval(_ZERO, _ZERO)

    def table(rows: Sequence[Row]) -> tuple[Row, ...]:
        return tuple((*row, zero) for row in rows)

    def kernels(rows: Sequence[Sequence[Row]]) -> tuple[tuple[Row, ...], ...]:
        wider = [tuple((*row, zero) for row in examples) for examples in rows]
        return (*wider, tuple((zero,) * (len(rows) + 1) for _ in rows[0]))

    return Numbers(
        table(numbers.initial_output), table(numbers.final_output), table(numbers.regularizer_term),
        tuple((*rows, (zero,) * len(rows[0])) for rows in numbers.contributions),
        tuple(kernels(rows) for rows in numbers.path_kernel),
    )  # fmt: skip


def _leaves(value: Interval | tuple[object, ...], place: str = "") -> Iterator[tuple[str, Interval]]:
    if isinstance(value, Interval):
        yield place, value
        return
    for k, part in enumerate(value):
        assert isinstance(part, Interval | tuple)
        yield from _leaves(part, f"{place}[{k}]")  # pyright: ignore[reportUnknownArgumentType]
