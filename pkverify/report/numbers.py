"""Numbers as a report shows them: rounded as decimals, never computed with anything but sums."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation, localcontext
from fractions import Fraction

from pkverify.decomposition import BallNumber, enclosing
from pkverify.report.records import BallRecord, Number

SHOWN_DIGITS = 15  # of a contribution; all digits are in the run's JSON
VECTOR_DIGITS = 6  # of each entry where a cell holds several
_RADIUS_DIGITS = 3


def shortened(number: Number, digits: int = SHOWN_DIGITS) -> str:
    """A number with at most so many digits, rounded as a decimal; what is no number comes back as it is.

    Example:
        >>> shortened("0.123456789123456789"), shortened("1.5000"), shortened("a")
        ('0.123456789123457', '1.5000', 'a')
    """
    text = middle(number)
    with localcontext(prec=digits):
        try:
            value = +Decimal(text)
        except InvalidOperation:
            return text
    shown = str(value).replace("E", "e")
    return shown.replace("-", "\N{MINUS SIGN}", 1) if value < 0 else shown


def middle(number: Number) -> str:
    """The number, or the middle of its ball."""
    return number if isinstance(number, str) else number.mid


def with_radius(number: Number) -> str:
    """A number, shortened; a ball with its radius, which is widened by what rounding the middle takes away.

    Example:
        >>> with_radius(BallRecord("1.23456e-9", "1e-12")), with_radius("0")
        ('1.23e-9 ± 5.56e-12', '0')
    """
    if isinstance(number, str):
        return shortened(number)
    ball = _rounded(number, _RADIUS_DIGITS)
    return f"{shortened(ball.mid)} ± {ball.rad}"


def widest(numbers: Sequence[Number]) -> str:
    """How far, at most, the true numbers lie from what is shown of them; empty where there are no balls.

    Example:
        >>> widest([BallRecord("0.5", "1e-20"), BallRecord("0.25", "1e-30")])
        '1e-20'
    """
    radii = [_rounded(number, SHOWN_DIGITS).rad for number in numbers if not isinstance(number, str)]
    return max(radii, key=Decimal, default="")


def _rounded(ball: BallRecord, digits: int) -> BallNumber:
    return enclosing(Fraction(ball.mid), Fraction(ball.rad), digits)


def added(numbers: Sequence[Number], digits: int) -> str:
    """The sum of decimals, to so many digits; of balls, the sum of their middles.

    Example:
        >>> added(["0.1", "0.2"], 30)
        '0.3'
    """
    with localcontext(prec=digits + 10):
        return str(+sum(map(Decimal, map(middle, numbers)), Decimal(0)))


def largest(numbers: Sequence[Number], count: int) -> list[int]:
    """The positions of the largest numbers in size, the largest first.

    Example:
        >>> largest(["1", "-3", "2"], 2)
        [1, 2]
    """
    sizes = [abs(Decimal(middle(number))) for number in numbers]
    return sorted(range(len(sizes)), key=lambda place: (-sizes[place], place))[:count]
