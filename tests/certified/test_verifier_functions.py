"""The verifier's functions: derivatives against FLINT's power series, balls against points inside them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from flint import acb, arb, arb_series, ctx

from pkverify.certified.verifier import COMPOSED, FUNCTIONS, Jet, RefusedError, _call, _is_above, _power, _range

POINTS = {"log": 1.5, "sqrt": 2.25, "1/": -0.75, "abs": -0.5, "relu": 0.625}


@pytest.fixture(autouse=True)
def precision() -> Iterator[None]:
    before = ctx.prec, ctx.cap
    ctx.prec, ctx.cap = 100, 3
    yield
    ctx.prec, ctx.cap = before


@pytest.mark.parametrize("name", [*FUNCTIONS, *COMPOSED])
def test_first_and_second_derivatives(name: str) -> None:
    x = arb(POINTS.get(name, 0.375))
    series: Any = _call(name, Jet(arb_series([x, 1], prec=3))).value
    jet: Any = _call(name, Jet(Jet(x, {0: arb(1)}), {0: arb(1)}))
    terms: list[Any] = [series[k] for k in range(3)] if isinstance(series, arb_series) else [series, arb(0), arb(0)]
    slope: Any = jet.slopes[0]
    second = slope.slopes.get(0, arb(0)) if isinstance(slope, Jet) else arb(0)

    found: list[Any] = [jet.value.value, getattr(slope, "value", slope), second / 2]
    for value, expected in zip(found, terms, strict=True):
        assert (value - expected).contains(0)
        assert (value - expected).rad() < 1e-20


@pytest.mark.parametrize("radius", [1e-3, 0.1, 0.4, 1.0])
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_complex_balls_contain_what_they_must(name: str, radius: float) -> None:
    centre = POINTS.get(name, 0.375)
    box = acb(arb(centre, radius), arb(0, radius))
    try:
        values = _call(name, box)
    except RefusedError:
        assert radius >= 0.1  # small balls keep off the poles and cuts
        return
    for a in (-1, -0.5, 0, 0.5, 1):
        for b in (-1, 0, 1):
            point: Any = acb(centre + a * radius * 0.999, b * radius * 0.999)
            value = acb(FUNCTIONS[name][0](point))
            assert (value - values).contains(0), (point, value, values)


def test_softplus_beyond_the_reach_of_its_logarithm() -> None:
    """Where the ball of 1 + exp(u) touches the cut, and the function does not."""
    box = acb(arb(0.5, 1), arb(0, 2.5))
    value = _call("softplus", box)

    assert not (1 + (-box).exp()).real > 0
    for b in (-2.49, -1, 0, 2.49):
        assert (value - (1 + acb(0.25, b).exp()).log()).contains(0)


@pytest.mark.parametrize(
    ("name", "ball"),
    [
        ("log", arb(0, 1)), ("log", arb(-1)), ("log", arb(0)), ("log", acb(arb(0.5, 0.6), arb(0, 0.1))),
        ("sqrt", arb(0, 1)), ("sqrt", arb(-1)), ("sqrt", acb(arb(-1), arb(0, 1))), ("1/", arb(0, 1)), ("1/", arb(0)),
        ("atan", acb(arb(0, 0.1), arb(0, 1.1))), ("tanh", acb(arb(0, 0.1), arb(0, 1.6))), ("exp", arb("nan")),
        ("softplus", acb(arb(0, 0.1), arb(0, 3.2))), ("sigmoid", acb(arb(0, 0.1), arb(0, 3.2))),
        ("abs", Jet(arb(0, 1))), ("relu", Jet(arb(0))), ("abs", Jet(acb(arb(0.5, 1), arb(0, 1)))), ("erf", arb("inf")),
    ],
    ids=[f"case {k}" for k in range(18)],  # a ball has no name that two processes agree on
)  # fmt: skip
def test_poles_cuts_and_kinks_are_refused(name: str, ball: Any) -> None:
    with pytest.raises(RefusedError):
        _call(name, ball)


def test_powers_of_exact_numbers_are_exact() -> None:
    assert _power(Fraction(2, 3), Fraction(-2)) == Fraction(9, 4)
    assert _power(Fraction(5), Fraction(0)) == 1
    assert _power(Fraction(0), Fraction(1, 3)) == 0
    assert _power(Jet(arb(0, 1)), Fraction(2)).value.contains(0.5)
    assert (_power(Jet(arb(2)), Fraction(-3, 2)).value - 1 / arb(8).sqrt()).contains(0)
    with pytest.raises(ZeroDivisionError):
        _power(Fraction(0), Fraction(-1))


@pytest.mark.parametrize(
    ("mu", "rows", "above"),
    [
        (3, [[1, 0], [0, 2]], True),
        (2, [[1, 0], [0, 2]], False),
        (1.9, [[1, 0], [0, 2]], False),
        (0, [[0]], False),
        (1e-9, [[0]], True),
        (1, [[0, 1], [1, 0]], False),
        (1.0001, [[0, 1], [1, 0]], True),
        (-1, [[-2, 0.5], [0.5, -2]], True),
        (-1.6, [[-2, 0.5], [0.5, -2]], False),
        (0.9, [[0, arb(0, 1)], [arb(0, 1), 0]], False),
        (1.01, [[0, arb(0, 1)], [arb(0, 1), 0]], True),
        (1.4, [[0, arb(0, 1), 0], [arb(0, 1), 0, arb(0, 1)], [0, arb(0, 1), 0]], False),  # norm sqrt(2), row sum 2
        (2.01, [[0, arb(0, 1), 0], [arb(0, 1), 0, arb(0, 1)], [0, arb(0, 1), 0]], True),
        (1.01, [[arb(0, 1), 0, 0], [0, arb(0, 1), 0], [0, 0, arb(0, 1)]], True),
        (0.99, [[arb(0, 1), 0, 0], [0, arb(0, 1), 0], [0, 0, arb(0, 1)]], False),
        (1e300, [[arb("nan")]], False),
        (1e300, [[arb("inf")]], False),
    ],
    ids=str,
)
def test_eigenvalue_bounds(mu: float, rows: list[list[Any]], above: bool) -> None:
    flow = [Jet(arb(0), {k: arb(entry) for k, entry in enumerate(row)}) for row in rows]

    assert _is_above(arb(mu), flow) is above


def test_ranges_of_polynomials() -> None:
    coefficients = [arb(1), arb(-3), arb(2)]  # (1 - x)(1 - 2x), at least -1/8
    whole = _range(coefficients, arb(0), arb(1))
    half = _range(coefficients, arb(0.5), arb(1))

    for x in (0, 0.25, 0.5, 0.75, 1):
        assert whole.contains(arb((1 - x) * (1 - 2 * x)))
        assert x < 0.5 or half.contains(arb((1 - x) * (1 - 2 * x)))
    assert half.rad() < whole.rad() / 2


@pytest.mark.parametrize(("middle", "radius"), [(0, 1), (0.5, 2), (-0.5, 2), (3, 1), (-3, 1)])
def test_squares_of_balls_are_tight(middle: float, radius: float) -> None:
    ends = (middle - radius, middle + radius)
    least = 0 if ends[0] < 0 < ends[1] else min(v * v for v in ends)
    for square in (Jet(arb(middle, radius)), Jet(Jet(arb(middle, radius)))):
        value = (square * square).value
        value = value.value if isinstance(value, Jet) else value

        assert value.contains(least)
        assert value.contains(max(v * v for v in ends))
        assert value.lower() > least - 1e-6
        assert value.upper() < max(v * v for v in ends) + 1e-6


def test_products_of_different_balls_of_the_same_numbers_are_not_squares() -> None:
    assert (Jet(arb(0, 1)) * Jet(arb(0, 1))).value.contains(-1)
