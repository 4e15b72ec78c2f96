"""How errors fall: gradient descent's with the learning rate, the residual's with the digits, the drift with width."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log2, log10
from typing import TYPE_CHECKING

from pkverify.evidence import ProblemRun
from pkverify.figures.style import BLUE, MUTED, ORANGE, new_figure, number
from pkverify.figures.tables import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class DescentOrder:
    """Gradient descent against the flow at a fixed horizon.

    Attributes:
        rates: Learning rates, falling.
        steps: The number of steps to the horizon, for each.
        outputs: ``|y_N(x) - y_T(x)|`` at the first query, for each.
        params: ``|w_N - w(T)|``, for each.
    """

    rates: tuple[float, ...]
    steps: tuple[int, ...]
    outputs: tuple[float, ...]
    params: tuple[float, ...]
    name = "learning-rate"

    @property
    def order(self) -> float:
        """The slope between the two smallest learning rates, of the parameters' distance."""
        return log2(self.params[-2] / self.params[-1]) / log2(self.rates[-2] / self.rates[-1])

    @property
    def caption(self) -> str:
        """What the figure shows."""
        return (
            f"Distance of gradient descent from the flow at the horizon against the learning rate, from "
            f"{self.steps[0]} to {self.steps[-1]} steps. The fitted order of |w_N - w(T)| between the two smallest "
            f"rates is {self.order:.2f}; the theory says 1 (dotted)."
        )

    @property
    def alt(self) -> str:
        """The same for readers who do not see it."""
        return (
            f"Log-log chart: from learning rate {number(self.rates[0], 2)} to {number(self.rates[-1], 2)} the distance "
            f"of the weights falls from {number(self.params[0], 2)} to {number(self.params[-1], 2)} and that of the "
            f"output from {number(self.outputs[0], 2)} to {number(self.outputs[-1], 2)}; order {self.order:.2f}."
        )

    def draw(self) -> Figure:
        """The figure: both distances, and a line of slope 1."""
        figure = new_figure(3.1)
        axes = figure.add_subplot()
        for values, colour, marker, label in (
            (self.params, BLUE, "o", f"weights $|w_N - w(T)|$, order {self.order:.2f}"),
            (self.outputs, ORANGE, "s", "output $|y_N(x) - y_T(x)|$"),
        ):
            shown = [(rate, value) for rate, value in zip(self.rates, values, strict=True) if value > 0]
            if shown:
                axes.loglog(*zip(*shown, strict=True), color=colour, marker=marker, markersize=5, label=label)
        least = min(value for value in (self.params[-1], self.outputs[-1]) if value > 0)
        line = [0.6 * least * rate / self.rates[-1] for rate in self.rates]
        axes.loglog(self.rates, line, color=MUTED, linestyle=":", label="slope 1")
        axes.set(xlabel="learning rate $\\varepsilon$", ylabel="distance from the flow")
        axes.set_xticks(self.rates, [f"$T/{n}$" for n in self.steps])
        axes.minorticks_off()
        axes.legend(loc="upper left")
        return figure


@dataclass(frozen=True)
class ResidualDigits:
    """The residual of the precise route at several numbers of digits.

    Attributes:
        digits: Digits asked for, rising.
        residuals: Decimal logarithm of the absolute residual of the first prediction; None for a residual of 0.
        estimates: Decimal logarithm of the error estimate.
    """

    digits: tuple[int, ...]
    residuals: tuple[float | None, ...]
    estimates: tuple[float, ...]
    name = "digits"

    @property
    def caption(self) -> str:
        """What the figure shows."""
        zero = [d for d, residual in zip(self.digits, self.residuals, strict=True) if residual is None]
        none = f" At {zero[0]} digits it is 0 in the working precision, and not drawn." if zero else ""
        return (
            "The residual of the first prediction against the digits D that were asked for, with the error estimate "
            f"and the tolerance 10^(2 - D) that a run must keep.{none}"
        )

    @property
    def alt(self) -> str:
        """The same for readers who do not see it."""
        parts = [
            f"{d} digits: residual {'0' if residual is None else f'10 to the {number(residual, 3)}'}"
            for d, residual in zip(self.digits, self.residuals, strict=True)
        ]
        return f"Chart of the residual against the digits. {'; '.join(parts)}."

    def draw(self) -> Figure:
        """The figure: residuals, estimates and the tolerance, as powers of ten."""
        figure = new_figure(2.9)
        axes = figure.add_subplot()
        ends = (self.digits[0], self.digits[-1])
        axes.plot(ends, [2 - d for d in ends], color=MUTED, linestyle=":", label="tolerance $10^{2-D}$")
        axes.plot(
            self.digits, self.estimates, color=ORANGE, linestyle=(0, (5, 2)), marker="s", markersize=5,
            label="error estimate",
        )  # fmt: skip
        shown = [(d, r) for d, r in zip(self.digits, self.residuals, strict=True) if r is not None]
        if shown:
            axes.plot(*zip(*shown, strict=True), color=BLUE, marker="o", markersize=5, label="|residual|")
        axes.set(xlabel="digits asked for, $D$", ylabel="size in output units")
        axes.set_xticks(self.digits)
        low = floor(min([*self.estimates, *(r for _, r in shown)]) / 10) * 10
        powers = range(low, 1, 10)
        axes.set_yticks(list(powers), [f"$10^{{{p}}}$" if p else "1" for p in powers])
        axes.legend(loc="lower left")
        return figure


@dataclass(frozen=True)
class WidthDrift:
    """How far the tangent kernel of networks moves in training, by width.

    Attributes:
        widths: Numbers of hidden units, rising.
        drifts: ``|K/T - K_0| / |K_0|`` for each width, the median over starts.
        starts: How many starts there are for each width.
    """

    widths: tuple[int, ...]
    drifts: tuple[float, ...]
    starts: int
    name = "width"

    @property
    def order(self) -> float:
        """The slope in the logarithms, from the narrowest to the widest."""
        return log2(self.drifts[-1] / self.drifts[0]) / log2(self.widths[-1] / self.widths[0])

    @property
    def caption(self) -> str:
        """What the figure shows."""
        return (
            "Drift of the tangent kernel in training, |K/T - K_0| relative to |K_0|, against the number of hidden "
            f"units (median of {self.starts} starts): the slope is {number(self.order, 3)}. The dotted line, of slope "
            "\u22121/2, is there to compare. The limit of infinite width is cited, not proved."
        )

    @property
    def alt(self) -> str:
        """The same for readers who do not see it."""
        parts = [f"{number(drift, 3)} at {width}" for width, drift in zip(self.widths, self.drifts, strict=True)]
        return f"Log-log chart of the kernel's drift against the width: {', '.join(parts)}."

    def draw(self) -> Figure:
        """The figure: the drift by width, and a line of slope -1/2."""
        figure = new_figure(2.9)
        axes = figure.add_subplot()
        axes.loglog(self.widths, self.drifts, color=BLUE, marker="o", markersize=5, label="median drift")
        line = [0.75 * self.drifts[0] * (width / self.widths[0]) ** -0.5 for width in self.widths]
        axes.loglog(self.widths, line, color=MUTED, linestyle=":", label="slope $-1/2$")
        axes.set(xlabel="hidden units", ylabel="$|K/T - K_0|\\;/\\;|K_0|$")
        axes.set_xticks(self.widths, [str(width) for width in self.widths])
        axes.set_yticks(self.drifts, [number(drift, 2) for drift in self.drifts])
        axes.minorticks_off()
        axes.legend(loc="upper right")
        return figure


def descent_of_run(run: ProblemRun) -> DescentOrder | None:
    """The data of a run; None where it has no such table, or descent is exact up to rounding."""
    rows = table(run, "descent")
    if len(rows) < 2 or any(row[3] <= 0 for row in rows):
        return None
    steps, rates, outputs, params = zip(*rows, strict=True)
    return DescentOrder(rates, tuple(int(n) for n in steps), outputs, params)


def digits_of_run(run: ProblemRun) -> ResidualDigits | None:
    """The data of a run; None where there is but one number of digits."""
    rows = run.series.get("digits", ())
    if len(rows) < 2:
        return None
    return ResidualDigits(
        tuple(int(digits) for digits, _, _ in rows),
        tuple(_log10(residual) for _, residual, _ in rows),
        tuple(_log10(estimate) or 0.0 for _, _, estimate in rows),
    )


def _log10(text: str) -> float | None:
    """The decimal logarithm of a number in text, of any size; None for 0."""
    mantissa, _, exponent = text.partition("e")
    value = float(mantissa)
    return log10(value) + int(exponent or 0) if value else None


def width_of_run(run: ProblemRun) -> WidthDrift | None:
    """The data of a run that trained networks of several widths (table ``drift``: width, drift, starts); else None."""
    rows = table(run, "drift")
    if len(rows) < 2:
        return None
    return WidthDrift(tuple(int(row[0]) for row in rows), tuple(row[1] for row in rows), int(rows[0][2]))
