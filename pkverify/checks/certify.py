"""What balls prove of a counterexample that was found by estimates, in words for the reader; None where they do not."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from typing import ParamSpec

from pkverify.arithmetic.ball import BallDomainError
from pkverify.certified.enclosed import Enclosed
from pkverify.certified.witness import kernel_zero, lesser_weight, weight_outside
from pkverify.errors import PkverifyError
from pkverify.problem import Problem, Vector
from pkverify.rational import decimal_above, decimal_text

P = ParamSpec("P")
_DIGITS = 20  # where a few would do: a weight that is hardly outside a range is no witness


def _unless_refused(prove: Callable[P, str | None]) -> Callable[P, str | None]:
    """None where the certified route refuses the problem: that proves nothing."""

    @wraps(prove)
    def tried(*arguments: P.args, **named: P.kwargs) -> str | None:
        try:
            return prove(*arguments, **named)
        except (PkverifyError, BallDomainError):
            return None

    return tried


@_unless_refused
def proved_zero(problem: Problem, example: int, low: Vector, high: Vector, digits: int) -> str | None:
    """That a path kernel has a zero between two queries, rounded to so many digits, where its example contributes.

    Example:
        >>> from pkverify.problem_file import parse_problem
        >>> problem = parse_problem(\'\'\'
        ... model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w + x*w**2"}
        ... loss = {kind = "squared"}
        ... data = {x = [[0]], y = [1]}
        ... flow = {initial = [0], horizon = 1}
        ... \'\'\')
        >>> proved_zero(problem, 0, (Fraction(-136, 100),), (Fraction(-135, 100),), 10)[:32]
        'K < 0 at x = -1.36, > 0 at -1.35'
    """
    low, high = (tuple(Fraction(decimal_text(v, digits)) for v in query) for query in (low, high))  # as they are told
    zero = kernel_zero(problem, example, low, high, digits)
    if not zero.is_proved:
        return None
    above, below = ("> 0", "< 0") if zero.kernels[0].sign > 0 else ("< 0", "> 0")
    name = example + 1
    return (
        f"K {above} at x = {_query(low, digits)}, {below} at {_query(high, digits)}; between them "
        f"a_{name} K(x, x_{name}) is in {_ball(zero.contribution)}, y_T - b in {_ball(zero.moved)}"
    )


@_unless_refused
def proved_outside(problem: Problem, example: int, query: Vector) -> str | None:
    """That a weight is outside the range of its ``-L'_i``."""
    outside = weight_outside(problem, example, query, _DIGITS)
    if outside is None or not outside.is_proved:
        return None
    name, values = example + 1, outside.values
    is_below = outside.weight.mid < values.lower
    bound, away = (values.lower, -1) if is_below else (values.upper, 1)
    shown = decimal_text(bound + away * abs(bound) / 10**9, 10)  # rounded outwards
    return (
        f"a_{name} is in {_ball(outside.weight)}, and -L'_{name} is nowhere {'below' if is_below else 'above'} {shown}"
    )


@_unless_refused
def proved_order(problem: Problem, pair: tuple[int, int], query: Vector) -> str | None:
    """That of two examples the one with the greater ``|L'|`` at all times has the lesser weight."""
    lesser = lesser_weight(problem, pair, query, _DIGITS)
    if lesser is None or not lesser.is_proved:
        return None
    first, second = (k + 1 for k in pair)
    left, right = map(_ball, lesser.weights)
    return f"a_{first} is in {left}, a_{second} in {right}, and |L'_{first}| > |L'_{second}| at all times"


def _ball(number: Enclosed) -> str:
    return f"{decimal_text(number.mid, 12)} +- {decimal_above(number.rad + abs(number.mid) / 10**11, 2)}"


def _query(query: Vector, digits: int) -> str:
    texts = [decimal_text(v, digits, trim_exact=True) for v in query]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"
