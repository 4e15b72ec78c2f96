"""The path of the weights on the loss surface, with the gradients of a query and of examples along it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import atan2, cos, pi, sin
from typing import TYPE_CHECKING

from pkverify.errors import PkverifyError
from pkverify.evidence import ProblemRun
from pkverify.figures.style import BLUE, INK, MUTED, ORANGE, PAPER, new_figure, number
from pkverify.figures.tables import Rows, first_query, listed, table, whole
from pkverify.problem_file import parse_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CONTOURS = 12
_LONGEST = 0.3  # of the width of the plane: the longest arrow
_TALLEST = 95  # percent of the surface that contours reach up to
_DISTANCE, _DIRECTIONS = 14, 16  # of a name from its mark, in points, and where it may stand
_LONGEST_NAME = 24  # characters
_ARROWS = (BLUE, ORANGE)


@dataclass(frozen=True)
class WeightPath:
    """What the figure draws, in two coordinates of the parameters.

    Attributes:
        query: The query, as text.
        names: The coordinates, as text with mathematics.
        axes: Grid values of both coordinates.
        loss: The total loss on the grid: a row for each value of the second coordinate.
        path: The path, at the sample times.
        marks: Time and place of the points where gradients are shown.
        examples: The examples that are shown, from 1.
        gradients: For each mark, the gradients of the query and then of the examples: pairs of coordinates.
        shares: Part of the path's motion, and of the gradient least well shown, that lies in the plane; 1 for two
            parameters.
    """

    query: str
    names: tuple[str, str]
    axes: Rows
    loss: Rows
    path: Rows
    marks: Rows
    examples: tuple[int, ...]
    gradients: tuple[Rows, ...]
    shares: tuple[float, float]
    name = "path"

    @property
    def is_projection(self) -> bool:
        """Whether there are more parameters than the plane shows."""
        return min(self.shares) < 1 or "principal" in self.names[0]

    def products(self, place: int) -> tuple[float, ...]:
        """At each mark, the inner product of the query's gradient with an example's, as far as the plane shows it."""
        return tuple(sum(a * b for a, b in zip(at[0], at[1 + place], strict=True)) for at in self.gradients)

    @property
    def caption(self) -> str:
        """What the figure shows."""
        plane = (
            f" The plane is that of the first two principal directions of the path, which hold "
            f"{_percent(self.shares[0])} of its motion and at least {_percent(self.shares[1])} of each gradient's "
            "length: arrows are projections."
            if self.is_projection
            else ""
        )
        names = listed([f"x_{i}" for i in self.examples])
        return (
            f"The weights on the loss surface (lines of equal total loss) from w_0 to w_T, with the gradients of the "
            f"output at the query x = {self.query} and at the example{'s' if len(self.examples) > 1 else ''} {names}, "
            "all on one scale. K(x, x_i) is the integral over time of the inner product of two such "
            f"arrows.{plane}"
        )

    @property
    def alt(self) -> str:
        """The same for readers who do not see it."""
        ends = [f"({number(x, 3)}, {number(y, 3)})" for x, y in (self.path[0], self.path[-1])]
        parts = [
            f"with example {i} from {number(products[0], 3)} to {number(products[-1], 3)}"
            for i, products in ((i, self.products(k)) for k, i in enumerate(self.examples))
        ]
        return (
            f"Contour map of the loss with a path from {ends[0]} to {ends[1]}; inner product of the query's gradient "
            f"{listed(parts)}{' in this plane' if self.is_projection else ''}."
        )

    def draw(self) -> Figure:
        """The figure: contours, the path, and arrows at the marks."""
        figure = new_figure(4.6, 5.6)
        axes = figure.add_subplot()
        (left, right), (bottom, top) = ((values[0], values[-1]) for values in self.axes)
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
        axes.grid(visible=False)
        levels = self.levels()
        if levels:
            lines = axes.contour(*self.axes, self.loss, levels=levels, colors=MUTED, linewidths=0.6, alpha=0.75)
            for text in axes.clabel(lines, levels[1::3], fontsize=7, fmt=lambda v: number(v, 2), colors=MUTED):
                text.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.8})
        axes.plot(*zip(*self.path, strict=True), color=INK, linewidth=2.0, solid_capstyle="round", zorder=3)
        self._arrows(axes, right - left)
        for text, place in ((r"$w_0$", 0), (r"$w_T$", -1)):
            _, x, y = self.marks[place]
            axes.annotate(
                text, (x, y), xytext=self._aside(place), textcoords="offset points", zorder=7,
                ha="center", va="center",
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5, "alpha": 0.75},
            )  # fmt: skip
        axes.set(xlabel=self.names[0], ylabel=self.names[1])
        self._legend(figure, axes)
        return figure

    def levels(self) -> list[float]:
        """Loss values of the contours: dense in the valley, and none on the highest slopes."""
        values = sorted(value for row in self.loss for value in row)
        low, high = values[0], values[int(len(values) * _TALLEST / 100) - 1]
        return [low + (high - low) * (k / _CONTOURS) ** 2 for k in range(1, _CONTOURS + 1)] if high > low else []

    def _aside(self, place: int) -> tuple[float, float]:
        """Where the name of the first or last mark stands, in points from it: away from the arrows and the path."""
        _, x, y = self.marks[place]
        _, u, v = self.marks[1 if place == 0 else place - 1]
        taken = [atan2(b, a) for a, b in (*self.gradients[place], (u - x, v - y)) if a or b]
        directions = [2 * pi * k / _DIRECTIONS for k in range(_DIRECTIONS)]
        best = max(directions, key=lambda d: min([round(1 + cos(d - t + pi), 6) for t in taken], default=0.0))
        return _DISTANCE * cos(best), _DISTANCE * sin(best)

    def _arrows(self, axes: Axes, width: float) -> None:
        longest = max((x * x + y * y) ** 0.5 for at in self.gradients for x, y in at)
        if longest == 0:
            return
        scale = _LONGEST * width / longest
        for (_, x, y), arrows in zip(self.marks, self.gradients, strict=True):
            for place, (u, v) in enumerate(arrows):
                colour = INK if place == 0 else _ARROWS[place - 1]
                # The query's arrow is broad and behind, so that one which has its direction stays visible on it.
                look = {"color": colour, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 13 if place == 0 else 9}
                look |= {"linewidth": 4.2, "alpha": 0.45} if place == 0 else {"linewidth": 1.5, "linestyle": "-"}
                style = "-|>"
                axes.annotate(
                    "", (x + scale * u, y + scale * v), xytext=(x, y), zorder=4 if place == 0 else 5,
                    arrowprops={"arrowstyle": style, **look},
                )  # fmt: skip
            axes.plot([x], [y], marker="o", markersize=5, color=INK, markeredgecolor=PAPER, zorder=6)

    def _legend(self, figure: Figure, axes: Axes) -> None:
        names = [("query", r"$\nabla f_w(x)$", INK, 4.2, 0.45)]
        names += [
            (str(i), rf"$\nabla f_w(x_{{{i}}})$", _ARROWS[place], 1.5, 1.0) for place, i in enumerate(self.examples)
        ]
        handles = [axes.plot([], [], color=c, linewidth=w, alpha=a, label=label)[0] for _, label, c, w, a in names]
        handles.append(axes.plot([], [], color=INK, linewidth=2.0, marker="o", markersize=4, label="path $w(t)$")[0])
        figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), handlelength=1.8)


def of_run(run: ProblemRun) -> WeightPath | None:
    """The data of a run; None where it has no such tables."""
    query, axes = first_query(run), table(run, "surface_axes")
    if query is None or not axes:
        return None
    (shares,) = table(run, "surface_shares")
    examples = whole(run, "surface_examples")
    flat = table(run, "surface_gradients")
    return WeightPath(
        query=query,
        names=_names(run),
        axes=axes,
        loss=table(run, "surface_loss"),
        path=table(run, "surface_path"),
        marks=table(run, "surface_marks"),
        examples=examples,
        gradients=tuple(tuple((row[k], row[k + 1]) for k in range(0, len(row), 2)) for row in flat),
        shares=(shares[0], shares[1]),
    )


def _names(run: ProblemRun) -> tuple[str, str]:
    if len(run.series["params"][0]) > 2:
        return "1st principal direction of the path", "2nd principal direction of the path"
    try:
        first, second = parse_problem(run.source).model.params
    except (PkverifyError, ValueError):
        first, second = "w_1", "w_2"  # a run made by hand need not say its problem
    return f"parameter {_as_mathematics(first)}", f"parameter {_as_mathematics(second)}"


def _as_mathematics(name: str) -> str:
    """A parameter's name, with its indices below it where it has some; any other name as it is."""
    match = re.fullmatch(r"([A-Za-z])_?(\d+(?:_\d+)*)?", name)
    if match is None:
        name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}\u2026"
        return name.replace("$", r"\$")
    indices = (match[2] or "").replace("_", ",")
    return f"${match[1]}_{{{indices}}}$" if indices else f"${match[1]}$"


def _percent(share: float) -> str:
    text = f"{100 * share:.1f}"
    return f"{'more than 99.9' if text == '100.0' and share < 1 else text.removesuffix('.0')} %"
