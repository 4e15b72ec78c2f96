"""A number that is proved to lie in a ball, as two rationals."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pkverify.arithmetic.ball import Ball, midpoint, radius


@dataclass(frozen=True)
class Enclosed:
    """The number lies within ``rad`` of ``mid``: ``|number - mid| <= rad``.

    Attributes:
        mid: The midpoint, a dyadic rational.
        rad: The radius, not negative.

    Example:
        >>> Enclosed(Fraction(1, 2), Fraction(1, 4)).sign
        1
    """

    mid: Fraction
    rad: Fraction

    @property
    def lower(self) -> Fraction:
        """The least number of the ball."""
        return self.mid - self.rad

    @property
    def upper(self) -> Fraction:
        """The largest number of the ball."""
        return self.mid + self.rad

    @property
    def sign(self) -> int:
        """1 or -1 where the ball proves it, else 0."""
        return 1 if self.lower > 0 else -1 if self.upper < 0 else 0

    @property
    def excess(self) -> Fraction:
        """The radius relative to ``max(1, |mid|)``: what is held against the digits asked for."""
        return self.rad / max(Fraction(1), abs(self.mid))

    def contains(self, value: Fraction | int) -> bool:
        """Whether a number lies in the ball."""
        return abs(value - self.mid) <= self.rad


def enclosed(ball: Ball) -> Enclosed:
    """A finite real ball as two rationals, exactly.

    Raises:
        BallDomainError: If the ball is not finite.
    """
    return Enclosed(midpoint(ball), radius(ball))
