"""What SymPy integrates or solves is believed only after it was checked back: exactly, and in balls.

Differentiating back cannot see a branch cut between the ends of the interval: the derivative is right on both sides of
the jump. So the difference F(b) - F(a) is also held against a rigorous integral that never saw the antiderivative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp

from pkverify.arithmetic.ball import BallDomainError, ball_text, radius, working_precision
from pkverify.arithmetic.ball_functions import integral
from pkverify.errors import PkverifyError
from pkverify.exact.ball_evaluation import evaluate
from pkverify.exact.zero_test import Outcome, Range, random_points, zero_test

Expr = Any

_BITS = 160
# What a comparison in balls must resolve to count as one: the balls overlap, and are this narrow.
_WIDEST = Fraction(1, 10**20)


class RejectedError(PkverifyError):
    """A formula that did not survive its check, or could not be checked."""


@dataclass(frozen=True)
class Antiderivative:
    """An antiderivative that survived both checks.

    Attributes:
        expression: The antiderivative.
        proved: Whether its derivative is proved to be the integrand, identically; otherwise no ball spoke against it.
    """

    expression: Expr
    proved: bool


def checked_antiderivative(
    integrand: Expr,
    variable: Expr,
    ranges: Mapping[Expr, Range],
    *,
    guided: Expr | None = None,
    points: int = 3,
) -> Antiderivative:
    """Integrate with SymPy (or take a guided form), and check the answer twice.

    Args:
        integrand: What to integrate; real and analytic for values in the ranges.
        variable: The variable of integration.
        ranges: Where random points are drawn: for the variable, and for every other free symbol.
        guided: A form to be checked instead of asking SymPy.
        points: How many random choices of parameters and interval are compared.

    Raises:
        RejectedError: If SymPy has no answer, or the answer is wrong, or no comparison was possible.

    Example:
        >>> s, a = sp.symbols("s a", positive=True)
        >>> box = {s: (Fraction(1, 10), Fraction(9, 10)), a: (Fraction(1), Fraction(2))}
        >>> checked_antiderivative(1 / (a + s), s, box)
        Antiderivative(expression=log(a + s), proved=True)
        >>> checked_antiderivative(1 / (a + s), s, box, guided=2 * sp.log(a + s))
        Traceback (most recent call last):
        ...
        pkverify.exact.checked.RejectedError: the antiderivative 2*log(a + s) of 1/(a + s) is wrong
          why  its derivative differs from the integrand: ...
    """
    candidate = sp.integrate(integrand, variable) if guided is None else guided
    if candidate.has(sp.Integral):
        raise RejectedError(f"SymPy has no antiderivative of {integrand}")
    what = f"the antiderivative {candidate} of {integrand}"
    test = zero_test(candidate.diff(variable) - integrand, ranges)
    if test.outcome is Outcome.NONZERO:
        raise RejectedError(f"{what} is wrong", f"its derivative differs from the integrand: {test}")

    def agrees(point: Mapping[Expr, Fraction], end: Fraction) -> bool:
        """Whether F(end) - F(start) was compared with the integral, and stood."""
        with working_precision(_BITS):
            try:
                difference = evaluate(candidate, {**point, variable: end}) - evaluate(candidate, point)
                whole = integral(
                    lambda s: evaluate(integrand, {**point, variable: s}, analytic=True), point[variable], end
                )
            except BallDomainError:
                return False
            if not difference.overlaps(whole + 0 * difference):
                gap = ball_text(difference - whole, 10)
                raise RejectedError(f"{what} is wrong", f"it differs by {gap} between {point[variable]} and {end}")
            return radius(difference.real) < _WIDEST and radius(whole) < _WIDEST

    compared = 0
    for first, second in zip(random_points(ranges, points, 1), random_points(ranges, points, 2), strict=True):
        start, end = sorted((first[variable], second[variable]))
        compared += agrees({**first, variable: start}, end)
    if not compared:
        raise RejectedError(f"{what} could not be compared with an integral", "no point could be evaluated")
    return Antiderivative(candidate, test.outcome is Outcome.ZERO)


@dataclass(frozen=True)
class InitialValueProblem:
    """A scalar equation ``state' = rate`` with its initial value.

    Attributes:
        rate: The right-hand side, in ``state`` and parameters.
        state: The symbol of the state.
        time: The symbol of time.
        start: The value at time 0.
    """

    rate: Expr
    state: Expr
    time: Expr
    start: Expr


def checked_flow(solution: Expr, equation: InitialValueProblem, ranges: Mapping[Expr, Range]) -> bool:
    """Substitute a solution back into its equation and its initial value.

    Args:
        solution: The solution, in time and parameters.
        equation: What it should solve.
        ranges: Where random points are drawn, for time and all parameters.

    Returns:
        Whether both are proved, identically; False where no ball spoke against them.

    Raises:
        RejectedError: If a ball proves that the equation or the initial value is missed.

    Example:
        >>> w, t, k = sp.symbols("w t k", positive=True)
        >>> box = {t: (Fraction(0), Fraction(2)), k: (Fraction(1), Fraction(2))}
        >>> checked_flow(3 * sp.exp(-k * t), InitialValueProblem(-k * w, w, t, sp.Integer(3)), box)
        True
    """
    proved = True
    for what, defect in (
        ("its equation", solution.diff(equation.time) - equation.rate.xreplace({equation.state: solution})),
        ("its initial value", solution.subs(equation.time, 0) - equation.start),
    ):
        test = zero_test(defect, ranges)
        if test.outcome is Outcome.NONZERO:
            raise RejectedError(f"the flow {solution} misses {what}", f"the defect is {test}")
        proved = proved and test.outcome is Outcome.ZERO
    return proved
