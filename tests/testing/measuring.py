"""Losses and integrals by mpmath alone: a second opinion on what the routes compute."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import mpmath

from pkverify.certified.enclosure import enclose
from pkverify.problem import Problem
from pkverify.testing.comparison import Interval

CONTEXT: Any = mpmath.MPContext()
CONTEXT.dps = 40
# Far above what mpmath rounds, and what a certified point of a path is off by; far below what a loss falls by.
ROUNDING = Fraction(1, 10**14)


class NumberAlgebra:
    """Formulas evaluated at 40 digits."""

    def number(self, value: Fraction) -> Any:
        return CONTEXT.mpf(value.numerator) / value.denominator

    def pi(self) -> Any:
        return CONTEXT.pi

    def add(self, terms: Sequence[Any]) -> Any:
        return CONTEXT.fsum(terms)

    def multiply(self, left: Any, right: Any) -> Any:
        return left * right

    def divide(self, left: Any, right: Any) -> Any:
        return left / right

    def power(self, base: Any, exponent: Fraction) -> Any:
        return base ** (self.number(exponent) if exponent.denominator > 1 else int(exponent))

    def call(self, function: str, argument: Any) -> Any:
        match function:
            case "sigmoid":
                return 1 / (1 + CONTEXT.exp(-argument))
            case "softplus":
                return CONTEXT.log(1 + CONTEXT.exp(argument))
            case _:
                return getattr(CONTEXT, function)(argument)


ALGEBRA = NumberAlgebra()


def total_loss(problem: Problem, params: Sequence[Fraction]) -> Fraction:
    """The loss of all examples and the penalty, as the flow descends it."""
    at = [ALGEBRA.number(p) for p in params]
    total = ALGEBRA.number(Fraction(0))
    for x, target in zip(problem.data.inputs, problem.data.targets, strict=True):
        outputs = problem.model.build(ALGEBRA, at, [ALGEBRA.number(v) for v in x])
        of_one = problem.loss.build(ALGEBRA, outputs, [ALGEBRA.number(t) for t in target])
        total += ALGEBRA.number(problem.example_scale) * of_one
    if problem.regularizer is not None:
        total += problem.regularizer.build(ALGEBRA, problem.model.params, at)
    return exact(total)


def exact(value: Any) -> Fraction:
    """The rational that a number of mpmath is, to 35 digits."""
    return Fraction(CONTEXT.nstr(value, 35))


def losses_along(problem: Problem, points: int = 3) -> list[Interval]:
    """The total loss at equidistant times, from the certified ends of shorter flows."""
    ends: list[Sequence[Fraction]] = [problem.initial]
    for k in range(1, points + 1):
        part = Problem(
            problem.model, problem.loss, problem.data, problem.initial, problem.horizon * k / points,
            problem.data.inputs[:1], problem.regularizer,
        )  # fmt: skip
        ends.append([end.mid for end in enclose(part, 18).final_params])
    values = [total_loss(problem, params) for params in ends]
    return [Interval(v - ROUNDING, v + ROUNDING) for v in values]


def path_kernel_of_one(problem: Problem, final_output: Fraction) -> Fraction:
    """``K(x_1, x_1)`` of one example by the law ``K = integral from y_0 to y_T of dy / (-l'(y))`` (SE)."""
    target = [ALGEBRA.number(t) for t in problem.data.targets[0]]
    first = problem.model.build(
        ALGEBRA, [ALGEBRA.number(p) for p in problem.initial], [ALGEBRA.number(v) for v in problem.data.inputs[0]]
    )[0]  # fmt: skip

    def slope(y: Any) -> Any:
        return CONTEXT.diff(lambda z: problem.loss.build(ALGEBRA, [z], target), y)

    return exact(CONTEXT.quad(lambda y: -1 / slope(y), [first, ALGEBRA.number(final_output)]))
