"""The record that every route produces: one prediction, split over the training examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Self

from pkverify.rational import decimal_above, decimal_text


class BallNumber(str):
    """A number that is proved to lie within ``rad`` of ``mid``: a string like every other, that of its midpoint.

    Both are decimals, and exact: to round a midpoint is to widen the radius, as ``enclosing`` does.

    Example:
        >>> third = BallNumber("0.333", "0.001")
        >>> third.contains(Fraction(1, 3)), third.contains(Fraction(1, 2)), third, third.rad
        (True, False, '0.333', '0.001')
    """

    __slots__ = ("rad",)
    rad: str

    def __new__(cls, mid: str, rad: str) -> Self:
        ball = super().__new__(cls, mid)
        ball.rad = rad
        return ball

    @property
    def mid(self) -> str:
        """The midpoint."""
        return str(self)

    @property
    def ends(self) -> tuple[Fraction, Fraction]:
        """The least and the largest number of the ball."""
        middle, radius = Fraction(self.mid), Fraction(self.rad)
        return middle - radius, middle + radius

    def contains(self, value: Fraction) -> bool:
        """Whether a rational lies in the ball."""
        lower, upper = self.ends
        return lower <= value <= upper

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and (not isinstance(other, BallNumber) or self.rad == other.rad)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return super().__hash__()

    def __reduce__(self) -> tuple[type[BallNumber], tuple[str, str]]:
        return BallNumber, (self.mid, self.rad)


def enclosing(mid: Fraction, rad: Fraction, digits: int) -> BallNumber:
    """A ball in decimals around a ball of rationals: the midpoint to so many digits, the radius to three, rounded up.

    Example:
        >>> ball = enclosing(Fraction(2, 3), Fraction(1, 10**6), 4)
        >>> ball, ball.rad
        ('0.6667', '0.0000344')
    """
    middle = decimal_text(mid, digits, trim_exact=True)
    radius = rad + abs(mid - Fraction(middle))
    return BallNumber(middle, decimal_above(radius, 3))


@dataclass(frozen=True)
class Decomposition:
    """The decomposition ``y_T(x) = y_0(x) + regularizer term + sum_i contributions[i]`` of one output at one query.

    Numbers are decimal strings with all the digits that the route stands for, in the units of the output; the exact
    route adds their closed forms, and on the certified route each is a ``BallNumber``. The residual is reported as it
    came out and never distributed into the contributions.

    Attributes:
        route: The route that made it: ``exact``, ``precise``, ``certified`` or ``network``.
        digits: Decimal digits asked for.
        query: The query input.
        output: Which output of the model, from 0.
        initial_output: ``y_0(x)``, the paper's ``b`` (before any regulariser).
        final_output: ``y_T(x)``, evaluated from the final weights and not from the sum.
        contributions: For each example ``-integral L'_i K_t(x, x_i) dt``.
        regularizer_term: ``-integral grad f(x) . grad R dt`` (Remark 4); ``"0"`` without a regulariser.
        residual: ``final_output - (initial_output + regularizer_term + sum contributions)``.
        path_kernel: For each example ``integral K_t(x, x_i) dt``; with several outputs, the row over the other output.
        weights: For each example ``a_i``, so that ``contributions[i] = a_i path_kernel[i]`` (with several outputs the
            vector ``a_i`` with ``contributions[i] = path_kernel[i] . a_i``); None where there is none.
        weights_absent: For each example without a weight, by position, the reason.
        error_estimate: An estimate (no bound) of the largest error among the numbers above, relative to
            ``max(1, |value|)``; None on the exact route.
        horizon: The end of the flow.
        closed_form: Closed forms as text, by field name; empty where there are none.

    Source: Theorem 1, Definitions 1 and 2, Remark 4 of the paper.
    """

    route: str
    digits: int
    query: tuple[Fraction, ...]
    output: int
    initial_output: str
    final_output: str
    contributions: tuple[str, ...]
    regularizer_term: str
    residual: str
    path_kernel: tuple[str, ...] | tuple[tuple[str, ...], ...]
    weights: tuple[str | tuple[str, ...] | None, ...]
    horizon: Fraction
    weights_absent: Mapping[int, str] = field(default_factory=dict[int, str])
    error_estimate: str | None = None
    closed_form: Mapping[str, str | tuple[str | None, ...]] = field(
        default_factory=dict[str, "str | tuple[str | None, ...]"]
    )
