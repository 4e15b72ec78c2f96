"""Wrong splits on purpose: the mistakes that attribution code makes, applied to problems that nobody chose.

A check is worth what it catches. Each mistake here changes at least one contribution by far more than rounding, many
of them without changing any sum, so that a residual alone would not show them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import assume
from hypothesis import strategies as st

from pkverify.checks.context import Context
from pkverify.precise.solution import Solution, gradient_at
from pkverify.problem import Problem
from pkverify.testing.strategies import KINDS, problems

# Contributions of every example to every output at every query: [query][output][example], in output units.
Split = tuple[tuple[tuple[Fraction, ...], ...], ...]

DIGITS = 20
VISIBLE = Fraction(1, 10**6)  # a sabotage changes some contribution by more than this, relative to max(1, |value|)
_LEFT_SUM_STEPS = 8


@dataclass(frozen=True)
class WrongSplit:
    """A problem and a split of its predictions that is wrong.

    Attributes:
        problem: The problem.
        mistake: What was done, a key of ``MISTAKES``.
        contributions: The wrong numbers: [query][output][example].
        keeps_sums: Whether all sums over the examples came out right all the same.
    """

    problem: Problem
    mistake: str
    contributions: Split
    keeps_sums: bool


def true_split(solution: Solution) -> Split:
    """The contributions of a solution, as [query][output][example]."""
    outputs = range(len(solution.initial_outputs[0]))
    return tuple(
        tuple(tuple(example[c] for example in examples) for c in outputs) for examples in solution.contributions
    )


def _each(split: Split, change: Callable[[tuple[Fraction, ...]], Sequence[Fraction]]) -> Split:
    return tuple(tuple(tuple(change(row)) for row in rows) for rows in split)


def _doubled(split: Split, _: Context) -> Split:
    return _each(split, lambda row: [2 * v for v in row])


def _without_last(split: Split, _: Context) -> Split:
    return _each(split, lambda row: (*row[:-1], Fraction(0)))


def _first_of_the_wrong_sign(split: Split, _: Context) -> Split:
    return _each(split, lambda row: (-row[0], *row[1:]))


def _exchanged(split: Split, _: Context) -> Split:
    return _each(split, lambda row: row[::-1])


def _spread_evenly(split: Split, _: Context) -> Split:
    return _each(split, lambda row: [sum(row, Fraction(0)) / len(row)] * len(row))


def _moved(split: Split, _: Context) -> Split:
    """A hundredth of the first contribution moved to the last example: no sum changes."""
    return _each(split, lambda row: (row[0] * Fraction(99, 100), *row[1:-1], row[-1] + row[0] / 100)[: len(row)])


def _next_query(split: Split, _: Context) -> Split:
    return (*split[1:], split[0])


def _next_output(split: Split, _: Context) -> Split:
    return tuple((*rows[1:], rows[0]) for rows in split)


def _left_sum(_: Split, context: Context) -> Split:
    """TracIn along the true path: the integrand at the left end of each of a few steps."""
    steps = [context.problem.horizon * k / _LEFT_SUM_STEPS for k in range(_LEFT_SUM_STEPS)]
    return _rectangles(context, steps)


def _first_weights(_: Split, context: Context) -> Split:
    return _rectangles(context, [Fraction(0)])


def _last_weights(_: Split, context: Context) -> Split:
    """The bug of an aliased checkpoint: every time sees the final weights."""
    return _rectangles(context, [context.problem.horizon])


def _forced(split: Split, context: Context) -> Split:
    """A left sum whose residual is hidden in the first example, so that everything adds up."""
    wrong = _left_sum(split, context)
    return tuple(
        tuple((bad[0] + sum(good) - sum(bad), *bad[1:]) for good, bad in zip(rights, wrongs, strict=True))
        for rights, wrongs in zip(split, wrong, strict=True)
    )


def _regularizer_shared(split: Split, context: Context) -> Split:
    """The regulariser's term handed to the examples, instead of reported beside them."""
    terms = context.solution.regularizer_terms[: len(split)]
    return tuple(
        tuple(tuple(v + term / len(row) for v in row) for row, term in zip(rows, own, strict=True))
        for rows, own in zip(split, terms, strict=True)
    )


MISTAKES: dict[str, Callable[[Split, Context], Split]] = {
    "all doubled": _doubled,
    "the last example dropped": _without_last,
    "the first example of the wrong sign": _first_of_the_wrong_sign,
    "examples in reverse": _exchanged,
    "spread evenly": _spread_evenly,
    "a hundredth moved to another example": _moved,
    "another query's": _next_query,
    "another output's": _next_output,
    "left-endpoint sum": _left_sum,
    "first weights only": _first_weights,
    "last weights only": _last_weights,
    "left-endpoint sum, forced to add up": _forced,
    "regularizer shared among the examples": _regularizer_shared,
}


# Some mistakes change nothing where there is one output, or no regulariser.
_WHERE_IT_SHOWS = {
    "another output's": ("linear", "softmax", "vector"),
    "regularizer shared among the examples": ("regularized",),
}


@st.composite
def sabotages(
    draw: st.DrawFn,
    *,
    of: st.SearchStrategy[Problem] | None = None,
    mistakes: Iterable[str] = tuple(MISTAKES),
) -> WrongSplit:
    """Problems with wrong splits of their predictions.

    Args:
        draw: Given by Hypothesis.
        of: Where the problems come from; ``problems()`` of kinds in which the mistake can show when left out.
        mistakes: Which of ``MISTAKES`` to draw from.

    Example:
        >>> from hypothesis import given, settings
        >>> @settings(max_examples=2, database=None, deadline=None)
        ... @given(sabotages(mistakes=["examples in reverse"]))
        ... def no_sum_shows_it(wrong):
        ...     assert wrong.keeps_sums
        >>> no_sum_shows_it()
    """
    mistake = draw(st.sampled_from(tuple(mistakes)))
    kinds = _WHERE_IT_SHOWS.get(mistake, KINDS)
    context = Context(draw(problems(kinds=kinds) if of is None else of), DIGITS)
    right = true_split(context.solution)
    right = right[: len(context.asked)]
    wrong = MISTAKES[mistake](right, context)
    changes = [
        abs(a - b) / max(Fraction(1), abs(a))
        for rights, wrongs in zip(right, wrong, strict=True)
        for row, other in zip(rights, wrongs, strict=True)
        for a, b in zip(row, other, strict=True)
    ]
    assume(max(changes) > VISIBLE)
    sums = [
        abs(sum(row) - sum(other))
        for rights, wrongs in zip(right, wrong, strict=True)
        for row, other in zip(rights, wrongs, strict=True)
    ]
    return WrongSplit(context.problem, mistake, wrong, keeps_sums=max(sums) < VISIBLE / 1000)


def _rectangles(context: Context, times: Sequence[Fraction]) -> Split:
    """``-sum_t width L'_i(t) K_t``: the integrand at given times only, each standing for an equal part of the path."""
    solution, system = context.solution, context.solution.system
    width, numbers = context.problem.horizon / len(times), system.numbers
    total = [[[Fraction(0)] * system.example_count for _ in context.outputs] for _ in context.asked]
    for time in times:
        state = solution.path.params_at(time)
        pulls = [gradient_at(system, state, i, system.rows[i].gradient) for i in range(system.example_count)]
        for q in context.asked:
            row = system.query_rows[q]
            for c in context.outputs:
                slope = gradient_at(system, state, row, system.rows[row].jacobian[c])
                for i, pull in enumerate(pulls):
                    product = sum(numbers.multiply(a, b) for a, b in zip(slope, pull, strict=True))
                    total[q][c][i] -= width * numbers.fraction(product)
    return tuple(tuple(tuple(row) for row in rows) for rows in total)
