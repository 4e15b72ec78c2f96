"""Reading the tables of a saved run, which are text, as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import isfinite

from pkverify.decomposition import Decomposition
from pkverify.errors import PkverifyError
from pkverify.evidence import ProblemRun
from pkverify.figures.style import minus
from pkverify.problem_file import parse_problem

Rows = tuple[tuple[float, ...], ...]


def table(run: ProblemRun, name: str) -> Rows:
    """A table of ``run.series`` as numbers; empty where the run has none of this name.

    Raises:
        ValueError: For an entry that is no finite number: a figure of it would mislead.
    """
    return tuple(tuple(finite(value) for value in row) for row in run.series.get(name, ()))


def whole(run: ProblemRun, name: str) -> tuple[int, ...]:
    """A table of one row of whole numbers; empty where the run has none of this name."""
    return tuple(int(value) for row in run.series.get(name, ()) for value in row)


def finite(text: str) -> float:
    """A number that a figure can show.

    Raises:
        ValueError: For one that is not finite, or beyond the range of doubles.
    """
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text} is no number that a figure can show")
    return value


def first_decomposition(run: ProblemRun) -> Decomposition | None:
    """The decomposition that figures of one prediction show: the precise one where there is one."""
    return next((d for d in run.decompositions if d.route == "precise"), next(iter(run.decompositions), None))


def first_query(run: ProblemRun) -> str | None:
    """The first query, as text: from its decomposition, else from the problem; None where the run has neither."""
    item = first_decomposition(run)
    if item is not None:
        return point(item.query)
    try:
        return point(parse_problem(run.source).query_inputs[0])
    except PkverifyError:
        return None  # a run made by hand need not say its problem


def point(coordinates: Iterable[Fraction]) -> str:
    """A query for a reader, with proper minus signs.

    Example:
        >>> point([Fraction(3, 2)]), point([Fraction(1, 2), Fraction(0)])
        ('3/2', '(1/2, 0)')
    """
    parts = [minus(str(each)) for each in coordinates]
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"


def listed(parts: Sequence[str]) -> str:
    """Words in a row: ``a, b and c``.

    Example:
        >>> listed(["a"]), listed(["a", "b", "c"])
        ('a', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else ""
