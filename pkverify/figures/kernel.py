"""The two factors of every contribution along the path: the tangent kernel K_t(x, x_i), and -L'_i."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pkverify.evidence import ProblemRun
from pkverify.figures.style import MUTED, SERIES, new_figure, number
from pkverify.figures.tables import Rows, first_decomposition, listed, point, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CURVES = 4


@dataclass(frozen=True)
class TangentKernel:
    """What the figure draws.

    Attributes:
        query: The query, as text.
        times: The sample times, from 0 to the horizon.
        examples: The examples that are shown, from 1: those with the largest contributions, in the order of the data.
        kernels: K_t(x, x_i) for each of these examples at the sample times.
        pulls: -L'_i for each of them at the sample times.
        count: How many examples there are.
    """

    query: str
    times: tuple[float, ...]
    examples: tuple[int, ...]
    kernels: Rows
    pulls: Rows
    count: int
    name = "tangent-kernel"

    @property
    def of_both_signs(self) -> tuple[int, ...]:
        """Examples whose tangent kernel takes both signs at the sample times: there a_i need be no average (H4)."""
        return tuple(i for i, row in zip(self.examples, self.kernels, strict=True) if min(row) < 0 < max(row))

    @property
    def caption(self) -> str:
        """What the figure shows."""
        few = "" if len(self.examples) == self.count else f", for the {len(self.examples)} largest contributions"
        both = self.of_both_signs
        sign = f" K_t takes both signs for example {listed([str(i) for i in both])}: H4 fails there." if both else ""
        return (
            f"What example i contributes at x = {self.query} is the integral over time of the product of two curves"
            f"{few}: the tangent kernel K_t(x, x_i), above, and -L'_i, below.{sign}"
        )

    @property
    def alt(self) -> str:
        """The same for readers who do not see it."""
        curves = [
            f"example {i}: K_t from {number(kernel[0])} to {number(kernel[-1])}, -L' from {number(pull[0])} to "
            f"{number(pull[-1])}"
            for i, kernel, pull in zip(self.examples, self.kernels, self.pulls, strict=True)
        ]
        return f"Two line charts over time from 0 to {number(self.times[-1])}. {'; '.join(curves)}."

    def draw(self) -> Figure:
        """The figure: two charts over one time axis."""
        figure = new_figure(3.9)
        upper, lower = figure.subplots(2, 1, sharex=True)
        for place, example in enumerate(self.examples):
            colour, dashes, marker = SERIES[place]
            look = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 4, "markevery": (4, 8)}
            upper.plot(self.times, self.kernels[place], label=f"example {example}", **look)  # type: ignore[arg-type]
            lower.plot(self.times, self.pulls[place], **look)  # type: ignore[arg-type]
        for axes, rows in ((upper, self.kernels), (lower, self.pulls)):
            if min(map(min, rows)) <= 0 <= max(map(max, rows)):
                axes.axhline(0, color=MUTED, linewidth=0.8)
            axes.margins(x=0.02)
        upper.set_ylabel("$K_t(x, x_i)$")
        lower.set_ylabel("$-L'_i(t)$")
        lower.set_xlabel("time $t$")
        figure.legend(loc="outside upper left", ncols=_CURVES)
        return figure


def of_run(run: ProblemRun) -> TangentKernel | None:
    """The data of a run's first query; None where the run has no such table."""
    item, kernels, slopes = first_decomposition(run), table(run, "tangent_kernel"), table(run, "loss_derivatives")
    if item is None or not kernels or not slopes:
        return None
    count = len(item.contributions)
    leading = sorted(range(count), key=lambda i: (-abs(float(item.contributions[i])), i))[:_CURVES]
    shown = sorted(leading)
    return TangentKernel(
        query=point(item.query),
        times=tuple(t for (t,) in table(run, "time")),
        examples=tuple(i + 1 for i in shown),
        kernels=tuple(tuple(row[i] for row in kernels) for i in shown),
        pulls=tuple(tuple(-row[i] for row in slopes) for i in shown),
        count=count,
    )
