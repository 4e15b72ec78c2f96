"""The path kernel between training examples, as a table of shaded cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pkverify.evidence import ProblemRun
from pkverify.figures.cells import SHADES, draw_cells
from pkverify.figures.style import INK, MUTED, NEGATIVE, POSITIVE, SMALL, new_figure, number
from pkverify.figures.tables import Rows, first_decomposition, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBERED = 7  # examples up to which each cell shows its number
_STRONGEST = 0.62  # opacity of the largest value: a number can still be read on it
_CELL = 0.62  # inches, at most
_SIDE = 4.6  # inches, at most


@dataclass(frozen=True)
class Gram:
    """What the figure draws.

    Attributes:
        kernel: K(x_i, x_j), a row an example, in the order of the data.
        count: How many examples the data has; the matrix may hold only the first of them.
        outputs: How many outputs the model has; with several, the kernel is the sum over its diagonal.
    """

    kernel: Rows
    count: int
    outputs: int = 1
    name = "gram"

    @property
    def largest(self) -> float:
        """The largest absolute value: what the darkest shade stands for."""
        return max(abs(value) for row in self.kernel for value in row)

    @property
    def caption(self) -> str:
        """What the figure shows."""
        several = "" if self.outputs == 1 else f", summed over the {self.outputs} outputs"
        shown, marked = len(self.kernel), len(self.kernel) > _NUMBERED
        which = f"the first {shown} of {self.count}" if shown < self.count else f"the {shown}"
        negative = (" Negative cells are orange" + (", with a dot." if marked else ".")) if self.negative else ""
        return (
            f"The path kernel K(x_i, x_j) between {which} training examples{several}. The shade grows with the "
            f"absolute value, up to {number(self.largest)}.{negative}"
        )

    @property
    def negative(self) -> int:
        """How many entries are negative."""
        return sum(value < 0 for row in self.kernel for value in row)

    @property
    def alt(self) -> str:
        """The same for readers who do not see it."""
        diagonal = [self.kernel[k][k] for k in range(len(self.kernel))]
        return (
            f"Heat map of a {len(self.kernel)} by {len(self.kernel)} path-kernel matrix: diagonal from "
            f"{number(min(diagonal))} to {number(max(diagonal))}, largest entry {number(self.largest)}, "
            f"{self.negative} negative entries."
        )

    def draw(self) -> Figure:
        """The figure: a cell a pair, the first example at the upper left."""
        count = len(self.kernel)
        side = min(_SIDE, max(1.6, _CELL * count))
        figure = new_figure(side + 0.55, side + 1.5)
        axes = figure.add_subplot()
        axes.set(xlim=(0.5, count + 0.5), ylim=(count + 0.5, 0.5), aspect="equal")
        self._cells(axes)
        if count <= _NUMBERED:
            for i, row in enumerate(self.kernel, start=1):
                for j, value in enumerate(row, start=1):
                    axes.text(j, i, number(value, 3), ha="center", va="center", fontsize=SMALL)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        every = 1 if count <= 12 else 5
        places = [k for k in range(1, count + 1) if k == 1 or k % every == 0]
        axes.set_xticks(places)
        axes.set_yticks(places)
        axes.tick_params(length=0)
        axes.set(xlabel="example $j$", ylabel="example $i$")
        self._scale(axes)
        return figure

    def _cells(self, axes: Axes) -> None:
        draw_cells(axes, self.kernel, (POSITIVE, NEGATIVE), strongest=_STRONGEST)
        dots = [(j, i) for i, row in enumerate(self.kernel, 1) for j, value in enumerate(row, 1) if value < 0]
        if dots and len(self.kernel) > _NUMBERED:
            axes.plot(*zip(*dots, strict=True), linestyle="", marker=".", markersize=2.5, color=INK)

    def _scale(self, axes: Axes) -> None:
        """The shades beside the cells, from the least to the greatest value."""
        low = min(0.0, *map(min, self.kernel))
        high = max(0.0, *map(max, self.kernel))
        if low == high:
            return
        scale = axes.inset_axes((1.06, 0.0, 0.05, 1.0))
        for k in range(-SHADES, SHADES):
            bottom, top = max(k * self.largest / SHADES, low), min((k + 1) * self.largest / SHADES, high)
            if top > bottom:
                shade = max(abs(k), abs(k + 1)) / SHADES
                colour = NEGATIVE if k < 0 else POSITIVE
                scale.bar(0, top - bottom, bottom=bottom, width=1, color=colour, alpha=_STRONGEST * shade, linewidth=0)
        scale.set(xlim=(-0.5, 0.5), ylim=(low, high), xticks=[])
        scale.yaxis.tick_right()
        scale.grid(visible=False)
        scale.spines[:].set_visible(False)
        scale.axhline(0, color=MUTED, linewidth=0.7)
        scale.set_title("$K$", loc="center", fontsize=SMALL)


def of_run(run: ProblemRun) -> Gram | None:
    """The data of a run; None where it has no such table."""
    kernel, item = table(run, "gram"), first_decomposition(run)
    if item is None or not kernel:
        return None
    return Gram(kernel, len(item.contributions), 1 + max(d.output for d in run.decompositions))
