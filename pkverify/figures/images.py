"""A query and the training examples that moved its prediction most, as small images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pkverify.figures.cells import draw_cells
from pkverify.figures.style import INK, MUTED, NEGATIVE, POSITIVE, SMALL, new_figure, number
from pkverify.figures.tables import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE = 0.98  # inches, of an image
_ACROSS = 6  # images in a row, the query among them


@dataclass(frozen=True)
class ImageContribution:
    """One training example: its label, what it contributed, and its pixels (rows from the top, 0 is blank)."""

    label: str
    contribution: float
    pixels: Rows


@dataclass(frozen=True)
class ImageContributions:
    """What the figure draws.

    Attributes:
        query: The pixels of the query.
        output: What is predicted, in words, such as ``"logit of 4"``.
        examples: The examples, in the order in which they are shown.
        count: How many training examples there are.
    """

    query: Rows
    output: str
    examples: tuple[ImageContribution, ...]
    count: int
    name = "images"

    @property
    def caption(self) -> str:
        """What the figure shows."""
        return (
            f"A query, at the left, and {len(self.examples)} of {self.count} training examples with what they "
            f"contributed to the {self.output}, in its units: a blue frame raised it, a dashed orange one lowered it."
        )

    @property
    def alt(self) -> str:
        """The same for readers who do not see it."""
        parts = [f"{each.label} {number(each.contribution, 3)}" for each in self.examples]
        return (
            f"Images of a query and of training examples, with contributions to the {self.output}: {', '.join(parts)}."
        )

    def draw(self) -> Figure:
        """The figure: images side by side."""
        lines = -(-(len(self.examples) + 1) // _ACROSS)
        figure = new_figure(lines * (_SIDE + 0.45))
        grid = figure.subplots(lines, _ACROSS, squeeze=False).ravel().tolist()
        self._image(grid[0], self.query, "query", INK)
        for axes, each in zip(grid[1:], self.examples, strict=False):
            colour = POSITIVE if each.contribution >= 0 else NEGATIVE
            sign = "+" if each.contribution > 0 else ""
            self._image(axes, each.pixels, f"{each.label}\n{sign}{number(each.contribution, 3)}", colour)
        for axes in grid[len(self.examples) + 1 :]:
            axes.set_axis_off()
        return figure

    @staticmethod
    def _image(axes: Axes, pixels: Rows, title: str, colour: str) -> None:
        draw_cells(axes, pixels, (INK, MUTED), strongest=0.9, side=1.0)
        height, width = len(pixels), len(pixels[0])
        axes.set(xlim=(0.3, width + 0.7), ylim=(height + 0.7, 0.3), aspect="equal", xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.set_title(title, loc="center", fontsize=SMALL, linespacing=1.3)
        axes.spines[:].set(
            visible=True, color=colour, linewidth=1.6, linestyle=(0, (3, 1.2)) if colour == NEGATIVE else "-"
        )
