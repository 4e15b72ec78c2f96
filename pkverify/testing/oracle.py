"""The oracle: certified numbers of a problem, and a check that somebody else's function gives the same ones.

A function under test takes a problem and returns one quantity of its decompositions, as nested sequences of numbers. It
is tried on problems that Hypothesis draws; where a number lies outside its certified ball by more than the tolerance,
the smallest such problem is shown, with the claim that the number would contradict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pkverify.certified.route import decompose_certified
from pkverify.decomposition import BallNumber, Decomposition
from pkverify.errors import InputError
from pkverify.problem import Problem
from pkverify.problem_file import write_problem
from pkverify.testing.strategies import problems

DEFAULT_DIGITS = 20
DEFAULT_TOLERANCE = Fraction(1, 10**9)

_UNCHECKED = (
    HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.nested_given,
)  # fmt: skip

# For each quantity the claim it would contradict, and how its numbers are nested below [query][output].
QUANTITIES = {
    "initial_output": ("T1g", ""),
    "final_output": ("T1", ""),
    "contributions": ("T1", "[example]"),
    "regularizer_term": ("R4a", ""),
    "path_kernel": ("D8", "[example], and [other output] where there are several"),
}


def oracle(problem: Problem, *, digits: int = DEFAULT_DIGITS) -> tuple[Decomposition, ...]:
    """The certified decompositions of a problem: one for each query and output, all numbers balls.

    Args:
        problem: A problem that is analytic along its path.
        digits: Radii are at most ``10**-digits * max(1, |value|)``.

    Raises:
        FlowError: If the flow ends before the horizon.
        UntreatableError: If a ball stays too wide, or the problem is not analytic.

    Example:
        >>> from pkverify.problem_file import parse_problem
        >>> (d,) = oracle(parse_problem('''
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[1]], y = [2]}
        ... flow = {initial = [0], horizon = 1}
        ... '''))
        >>> d.final_output.mid[:20], float(d.final_output.rad) < 1e-20  # 2 (1 - 1/e)
        ('1.264241117657115356', True)
    """
    return decompose_certified(problem, digits)


@dataclass(frozen=True)
class Outcome:
    """A check that a function passed.

    Attributes:
        quantity: What the function computes.
        examples: How many problems were tried.
        numbers: How many numbers were compared.
        largest_error: The largest distance from a ball, relative to the scale of its problem.
        tolerance: What it was held against.
    """

    quantity: str
    examples: int
    numbers: int
    largest_error: float
    tolerance: float


@dataclass
class Oracle:
    """Checks functions against certified numbers; what the ``pkverify_oracle`` fixture gives.

    Attributes:
        digits: Digits of the certified numbers.
        tolerance: How far a number may be from its ball, relative to ``max(1, largest |number|)`` of its problem.
        examples: How many problems are tried for each check.
        outcomes: The checks that passed, in order.

    Example:
        A test of one's own kernel, in five lines::

            import pytest
            from mylab import contributions          # f(problem)[query][output][example]

            def test_contributions(pkverify_oracle):
                pkverify_oracle.check(contributions, quantity="contributions")
    """

    digits: int = DEFAULT_DIGITS
    tolerance: Fraction = DEFAULT_TOLERANCE
    examples: int = 40
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    def check(
        self,
        function: Callable[[Problem], Any],
        *,
        quantity: str = "contributions",
        of: st.SearchStrategy[Problem] | None = None,
    ) -> Outcome:
        """Try a function on problems, and compare every number.

        Args:
            function: Takes a problem and returns one quantity for all its queries and outputs, nested as
                [query][output] and below that as ``QUANTITIES`` says. Arrays and tensors are nested sequences, too.
            quantity: A key of ``QUANTITIES``.
            of: Where the problems come from; ``problems()`` when left out.

        Returns:
            What was compared.

        Raises:
            InputError: For a quantity that there is not.
            AssertionError: If a number is off, or the shape; with the smallest problem for which it is.
        """
        if quantity not in QUANTITIES:
            raise InputError(
                f"check(quantity={quantity!r})",
                "there is no such quantity",
                f"choose from {', '.join(QUANTITIES)}",
            )
        seen: list[tuple[int, Fraction]] = []

        # Shrinking may take long where the function under test is slow; its own deadline is nobody's business here.
        @settings(
            max_examples=self.examples, deadline=None, database=None, derandomize=True, print_blob=False,
            phases=(Phase.explicit, Phase.generate, Phase.shrink), report_multiple_bugs=False,
            suppress_health_check=_UNCHECKED,
        )  # fmt: skip
        @given(problems() if of is None else of)
        def agrees(problem: Problem) -> None:
            __tracebackhide__ = True
            seen.append(self._compare(function, quantity, problem))

        __tracebackhide__ = True
        agrees()
        largest = max(error for _, error in seen)
        outcome = Outcome(quantity, len(seen), sum(n for n, _ in seen), float(largest), float(self.tolerance))
        self.outcomes.append(outcome)
        return outcome

    def check_one(self, function: Callable[[Problem], Any], problem: Problem, *, quantity: str) -> None:
        """The same for one problem that is given.

        Raises:
            AssertionError: If a number is off, or the shape.
        """
        self._compare(function, quantity, problem)

    def _compare(self, function: Callable[[Problem], Any], quantity: str, problem: Problem) -> tuple[int, Fraction]:
        __tracebackhide__ = True
        wanted = expected(problem, quantity, self.digits)
        found = function(problem)
        claim, _ = QUANTITIES[quantity]
        balls = list(_leaves(wanted, found, quantity, claim, problem))
        scale = max(Fraction(1), *(abs(Fraction(ball)) for _, ball, _ in balls))
        worst = Fraction(0)
        for place, ball, number in balls:
            value = _exact(number)
            off = None if value is None else max(Fraction(0), abs(value - Fraction(ball)) - Fraction(ball.rad)) / scale
            if off is None or off > self.tolerance:
                raise AssertionError(
                    f"{quantity}{place} is {number}, and certified to be {ball.mid} +/- {ball.rad}"
                    f" (off by {'no number' if off is None else f'{float(off):.2e}'} of {float(scale):.3g},"
                    f" tolerance {float(self.tolerance):.0e})\n{_context(claim, problem)}"
                )
            worst = max(worst, off)
        return len(balls), worst


def expected(problem: Problem, quantity: str, digits: int = DEFAULT_DIGITS) -> tuple[tuple[Any, ...], ...]:
    """One quantity of a problem in balls, nested as [query][output] and below that as ``QUANTITIES`` says."""
    outputs = problem.model.output_count
    values = [getattr(item, quantity) for item in oracle(problem, digits=digits)]
    return tuple(tuple(values[k : k + outputs]) for k in range(0, len(values), outputs))


def _leaves(
    wanted: Any, found: Any, quantity: str, claim: str, problem: Problem, place: str = ""
) -> Iterator[tuple[str, BallNumber, Any]]:
    """Balls beside the numbers that stand in their places."""
    __tracebackhide__ = True
    if isinstance(wanted, BallNumber):
        yield place, wanted, found
        return
    try:
        parts: Sequence[Any] = list(found)
    except TypeError:
        parts = []
    if len(parts) != len(wanted):
        shape = f"{len(parts)} entries" if parts else f"{found!r:.60}, no sequence"
        _, below = QUANTITIES[quantity]
        raise AssertionError(
            f"{quantity}{place} is {shape}; wanted are {len(wanted)} (nested as [query][output]{below})\n"
            f"{_context(claim, problem)}"
        )
    for k, (ball, part) in enumerate(zip(wanted, parts, strict=True)):
        yield from _leaves(ball, part, quantity, claim, problem, f"{place}[{k}]")


def _exact(number: Any) -> Fraction | None:
    """The rational that a number of any library stands for; None for what is no finite number."""
    try:
        if isinstance(number, int | str | Fraction):
            return Fraction(number)
        value = float(number)
    except (TypeError, ValueError):
        return None
    return Fraction(value) if isfinite(value) else None


def _context(claim: str, problem: Problem) -> str:
    return (
        f"claim {claim} (pkverify claims {claim}), on the problem\n\n"
        + "\n".join(f"    {line}" for line in write_problem(problem).splitlines())
    )  # fmt: skip
