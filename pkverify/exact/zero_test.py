"""Is an expression identically zero? A proof, a refutation with a witness, or an honest "not known"."""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sympy as sp

from pkverify.arithmetic.ball import BallDomainError, ball_text, excludes_zero, working_precision
from pkverify.exact.ball_evaluation import evaluate
from pkverify.exact.identity import is_identity

Expr = Any
Range = tuple[Fraction, Fraction]

_BITS = 256
_POINTS = 5


class Outcome(enum.Enum):
    """What a zero test found."""

    ZERO = "zero"
    NONZERO = "nonzero"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ZeroTest:
    """The outcome of a zero test.

    Attributes:
        outcome: ``ZERO`` is a proof over the atoms of the expression; ``NONZERO`` is a proof by the witness;
            ``UNKNOWN`` means that every ball contained 0, which supports zero and proves nothing.
        witness: For ``NONZERO``, the rational point at which the ball excludes 0.
        value: That ball, as text; for ``UNKNOWN``, the last ball that was seen, or why there was none.
    """

    outcome: Outcome
    witness: Mapping[str, Fraction] = field(default_factory=dict[str, Fraction])
    value: str = "0"

    def __str__(self) -> str:
        point = ", ".join(f"{name} = {number}" for name, number in self.witness.items())
        return f"{self.outcome.value}: {self.value}{' at ' + point if point else ''}"


def zero_test(
    expression: Expr, ranges: Mapping[Expr, Range], *, seed: int = 0, bits: int = _BITS, points: int = _POINTS
) -> ZeroTest:
    """Decide whether an expression is identically zero, as far as that can be decided.

    Args:
        expression: A SymPy expression without floats.
        ranges: For each free symbol the two ends between which the random points are drawn; the expression should be
            defined there.
        seed: Fixes the points.
        bits: Working precision of the balls; 256 bits see an offset of 1e-60.
        points: How many points are tried.

    Raises:
        ValueError: If a free symbol has no range.

    Example:
        >>> x = sp.Symbol("x", real=True)
        >>> offset = sp.Rational(1, 10**60)
        >>> unit = {x: (Fraction(0), Fraction(1))}
        >>> identity = (sp.exp(x) + 1) ** 2 - sp.exp(2 * x) - 2 * sp.exp(x) - 1
        >>> zero_test(identity, unit).outcome, zero_test(identity + offset, unit).outcome
        (<Outcome.ZERO: 'zero'>, <Outcome.NONZERO: 'nonzero'>)
    """
    expression = sp.sympify(expression)
    missing = expression.free_symbols - set(ranges)
    if missing:
        raise ValueError(f"no range for {sorted(map(str, missing))}")
    if is_identity(expression, sp.Integer(0)):
        return ZeroTest(Outcome.ZERO)
    seen = "no point could be evaluated"
    for point in random_points(ranges, points, seed):
        with working_precision(bits):
            try:
                value = evaluate(expression, point)
            except BallDomainError as error:
                seen = str(error)
                continue
            if excludes_zero(value):
                return ZeroTest(
                    Outcome.NONZERO, {str(symbol): number for symbol, number in point.items()}, ball_text(value)
                )
            seen = ball_text(value)
    return ZeroTest(Outcome.UNKNOWN, value=seen)


def random_points(ranges: Mapping[Expr, Range], count: int, seed: int) -> list[dict[Expr, Fraction]]:
    """Random rational points strictly inside the ranges, the same for the same seed.

    Example:
        >>> x = sp.Symbol("x")
        >>> all(2 < point[x] < 3 for point in random_points({x: (Fraction(2), Fraction(3))}, 5, seed=1))
        True
    """
    generator = random.Random(seed)  # noqa: S311 - points, not secrets
    return [
        {
            symbol: low + (high - low) * Fraction(generator.randint(1, 9999), 10_000)
            for symbol, (low, high) in ranges.items()
        }
        for _ in range(count)
    ]
