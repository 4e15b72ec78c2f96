"""Who moved a prediction: from the initial output b, contribution by contribution, to the final output y_T."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pkverify.decomposition import BallNumber, Decomposition
from pkverify.evidence import ProblemRun
from pkverify.figures.style import INK, MUTED, NEGATIVE, POSITIVE, SMALL, minus, new_figure, number
from pkverify.figures.tables import finite, first_decomposition, point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROWS = 12  # examples shown one by one; the others are summed
_ROOM = 0.2  # of the width of the axes, for a number beside a bar


@dataclass(frozen=True)
class Waterfall:
    """What the figure draws.

    Attributes:
        query: The query, as text.
        output: Which output, from 0; None where there is one only.
        start: ``y_0(x)``, the paper's b.
        end: ``y_T(x)``, evaluated from the final weights.
        steps: Label and size of each step between them, in output units.
        residual: What the steps leave of the difference, as text; of a ball, its midpoint and radius.
    """

    query: str
    output: int | None
    start: float
    end: float
    steps: tuple[tuple[str, float], ...]
    residual: str
    name = "waterfall"

    @property
    def caption(self) -> str:
        """What the figure shows."""
        output = "" if self.output is None else f", output {self.output}"
        return (
            f"The prediction at x = {self.query}{output}, from its initial value b = {number(self.start)} to its final "
            f"value y_T = {number(self.end)}: each bar is what one term contributes, in units of the output. "
            f"The sum leaves a residual of {minus(self.residual)}."
        )

    @property
    def alt(self) -> str:
        """The same for readers who do not see it."""
        steps = ", ".join(f"{label} {number(size)}" for label, size in self.steps)
        return f"Waterfall chart from b = {number(self.start)} to y_T = {number(self.end)}: {steps}."

    def draw(self) -> Figure:
        """The figure: a bar a term, from top to bottom."""
        rows = len(self.steps) + 2
        figure = new_figure(0.65 + 0.27 * rows)
        axes = figure.add_subplot()
        levels = [self.start]
        for _, size in self.steps:
            levels.append(levels[-1] + size)
        low, high = min(0.0, self.end, *levels), max(0.0, self.end, *levels)
        span = high - low or 1.0
        axes.set(xlim=(low - _ROOM * span, high + _ROOM * span), ylim=(rows - 0.4, -0.6))
        for row, (before, (_, size)) in enumerate(zip(levels, self.steps, strict=False), start=1):
            colour = POSITIVE if size >= 0 else NEGATIVE
            axes.barh(row, size, left=before, height=0.62, color=colour, linewidth=0)
            text = f"+{number(size)}" if size > 0 else number(size)
            _beside(axes, row, before + size, text, to_right=size >= 0)
        for row, value in enumerate(levels):
            axes.plot([value, value], [row - 0.31, row + 1.31], color=MUTED, linewidth=0.8)
        for row, value in ((0, self.start), (rows - 1, self.end)):
            axes.plot([value], [row], marker="D", markersize=6, color=INK)
            _beside(axes, row, value, number(value, 6), to_right=value < (low + high) / 2, bold=True)
        axes.axvline(0, color=MUTED, linewidth=0.7)
        labels = ["initial output b", *(label for label, _ in self.steps), "final output $y_T$"]
        axes.set_yticks(range(rows), labels)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("output $y$")
        return figure


def _beside(axes: Axes, row: int, value: float, text: str, *, to_right: bool, bold: bool = False) -> None:
    distance = 9 if bold else 6
    axes.annotate(
        text, (value, row), xytext=(distance if to_right else -distance, 0), textcoords="offset points", va="center",
        ha="left" if to_right else "right", fontsize=SMALL, fontweight="bold" if bold else "normal",
    )  # fmt: skip


def of_decomposition(item: Decomposition, outputs: int = 1) -> Waterfall:
    """The data of one prediction.

    Args:
        item: Its decomposition.
        outputs: How many outputs the model has.

    Raises:
        ValueError: If a number is beyond the range of doubles.
    """
    sizes = [finite(value) for value in item.contributions]
    shown = sorted(range(len(sizes)), key=lambda i: (-abs(sizes[i]), i))
    keep = sorted(shown if len(sizes) <= _ROWS else shown[: _ROWS - 1])
    steps = [(f"example {i + 1}", sizes[i]) for i in keep]
    others = [sizes[i] for i in range(len(sizes)) if i not in set(keep)]
    steps += [(f"{len(others)} other examples", sum(others))] if others else []
    pull = finite(item.regularizer_term)
    return Waterfall(
        query=point(item.query),
        output=item.output if outputs > 1 else None,
        start=finite(item.initial_output),
        end=finite(item.final_output),
        steps=(*([("regularizer", pull)] if pull else []), *steps),
        residual=_residual(item.residual),
    )


def _residual(text: str) -> str:
    return f"{text} \u00b1 {text.rad}" if isinstance(text, BallNumber) else text


def of_run(run: ProblemRun) -> Waterfall | None:
    """The data of a run's first prediction; None where it has none."""
    item = first_decomposition(run)
    return None if item is None else of_decomposition(item, 1 + max(d.output for d in run.decompositions))
