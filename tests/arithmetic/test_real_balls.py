"""Taylor coefficients over balls: narrow, and around those that fixed-point numbers give."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from pkverify.arithmetic.ball import BallDomainError, endpoints, radius, real, working_precision
from pkverify.arithmetic.fixed_point import FixedPoint
from pkverify.arithmetic.real_balls import RealBalls
from pkverify.expression import parse_expression
from pkverify.graph import Graph
from pkverify.jets import Expansion

ORDER = 8


def coefficients(text: str, numbers: FixedPoint | RealBalls) -> list[Any]:
    """The Taylor series of an expression of w at w = 1/3 + t."""
    graph = Graph()
    node = parse_expression(text, ["w"]).build(graph, {"w": graph.leaf("param", 0)})
    series = [numbers.number(Fraction(1, 3))]
    expansion = Expansion(graph, [node], numbers, {}, [series])
    expansion.start()
    for order in range(1, ORDER):
        series.append(numbers.number(Fraction(order == 1)))
        expansion.advance(order)
    return expansion.series[node]


@pytest.mark.parametrize(
    "text",
    ["exp(w)/(1 + w)", "tanh(w)*sinh(w)", "log(2 + sin(w))", "sqrt(w)*atan(w)", "w**(2/3)", "softplus(w) - pi*erf(w)"],
)
def test_balls_contain_what_fixed_point_numbers_approach(text: str) -> None:
    with working_precision(160):
        balls = coefficients(text, RealBalls())
    approached = coefficients(text, fixed := FixedPoint(150))

    for ball, number in zip(balls, approached, strict=True):
        lower, upper = endpoints(ball)
        assert radius(ball) < Fraction(1, 2**140)
        assert lower - Fraction(1, 2**135) < fixed.fraction(number) < upper + Fraction(1, 2**135)


def test_a_wrong_coefficient_is_outside() -> None:
    with working_precision(160):
        ball = coefficients("exp(w)", RealBalls())[3]
    lower, upper = endpoints(ball)
    assert not lower <= endpoints(ball)[0] + Fraction(1, 2**100) <= upper


def test_a_pole_is_refused() -> None:
    with pytest.raises(BallDomainError):
        RealBalls().reciprocal(real(0))
