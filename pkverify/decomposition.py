"""The record that every route produces: one prediction, split over the training examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from html import escape
from importlib.metadata import entry_points
from typing import Any, Self

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


def drawer() -> Callable[[Any, str], Any]:
    """What draws records: found by its entry point, since no record may know of figures."""
    (found,) = entry_points(group="pkverify.drawers", name="figures")
    return found.load()


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


_SHOWN_ROWS = 20  # examples in a notebook's table; the others are summed
_HTML_DIGITS, _LATEX_DIGITS = 12, 6


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

    def __str__(self) -> str:
        rows = [
            f"prediction at x = {point_text(self.query)}, output {self.output}  [{self.route}, {self.digits} digits]"
        ]
        rows += [f"  {label:<18} {value}" for label, value in self._rows()]
        return "\n".join(rows)

    def _rows(self) -> list[tuple[str, str]]:
        """The sum, term by term, as label and number; the small contributions of many examples together."""
        sizes = [abs(Fraction(value)) for value in self.contributions]
        shown = sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
        kept = sorted(shown if len(sizes) <= _SHOWN_ROWS else shown[: _SHOWN_ROWS - 1])
        rest = [Fraction(self.contributions[i]) for i in range(len(sizes)) if i not in set(kept)]
        rows = [("initial output b", self.initial_output)]
        rows += [("regularizer", self.regularizer_term)] if Fraction(self.regularizer_term) else []
        rows += [(f"example {i + 1}", self.contributions[i]) for i in kept]
        rows += [(f"{len(rest)} other examples", decimal_text(sum(rest, Fraction(0)), self.digits))] if rest else []
        return [*rows, ("final output", self.final_output), ("residual", self.residual)]

    def plot(self, name: str = "waterfall") -> Any:
        """Draw it: ``"waterfall"`` or ``"kernel-machine"``; a matplotlib figure.

        Raises:
            InputError: For another name.
        """
        return drawer()(self, name)

    def _repr_html_(self) -> str:
        """A table for notebooks: numbers are rounded, and all their digits stand in the tooltip."""
        factors = {
            f"example {i + 1}": (k, w) for i, (k, w) in enumerate(zip(self.path_kernel, self.weights, strict=True))
        }
        head = "<tr><th></th><th>contribution</th><th>path kernel</th><th>weight a<sub>i</sub></th></tr>"
        body = "".join(
            f"<tr><th>{escape(label)}</th>{_cell(value)}" + "".join(map(_cell, factors.get(label, ("", "")))) + "</tr>"
            for label, value in self._rows()
        )
        title = f"x = {point_text(self.query)}, output {self.output}, {self.route}, {self.digits} digits"
        return f"<table><caption>{escape(title)}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"

    def _repr_latex_(self) -> str:
        """The sum as a formula with numbers: final output, initial output, and the terms, rounded."""
        *terms, (_, final), (_, residual) = self._rows()
        total = "".join(_signed(_rounded(value, _LATEX_DIGITS)) for _, value in terms).removeprefix("+")
        left = _rounded(final, _LATEX_DIGITS)
        return (
            rf"$\displaystyle y_T = {left} \approx {total} \quad (\text{{residual }} {_power(_rounded(residual, 2))})$"
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - Jupyter's
        return {"text/plain": str(self), "text/html": self._repr_html_(), "text/latex": self._repr_latex_()}


def point_text(query: Sequence[Fraction]) -> str:
    """A query for a reader.

    Example:
        >>> point_text([Fraction(3, 2)]), point_text([Fraction(1), Fraction(0)])
        ('(3/2)', '(1, 0)')
    """
    return f"({', '.join(map(str, query))})"


def _rounded(text: str, digits: int) -> str:
    return decimal_text(Fraction(text), digits, trim_exact=True)


def _power(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def _signed(text: str) -> str:
    return _power(text) if text.startswith("-") else f"+{_power(text)}"


def _cell(value: str | tuple[str, ...] | None) -> str:
    """A cell of a table: a number, a row of them, or none."""
    if value is None:
        return "<td>none</td>"
    if isinstance(value, tuple):
        return f"<td>({escape(', '.join(_rounded(each, 5) for each in value))})</td>"
    return f'<td title="{escape(value)}">{escape(_rounded(value, _HTML_DIGITS))}</td>' if value else "<td></td>"
