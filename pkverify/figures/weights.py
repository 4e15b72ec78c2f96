"""The weights a_i(x) over all inputs, beside the range of -L'_i: where they have poles, they are no averages."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isnan, nan
from typing import TYPE_CHECKING

from pkverify.evidence import ProblemRun
from pkverify.figures.style import INK, MUTED, SERIES, SMALL, new_figure, number
from pkverify.figures.tables import Rows, finite, listed, table, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROOM, _BEYOND = 0.25, 1.6  # of the height of all ranges: what the axis shows beyond them; more, where weights leave
_SLACK = 1e-6  # of the largest |L'_i|: the tables have 8 digits


@dataclass(frozen=True)
class WeightCurves:
    """What the figure draws.

    Attributes:
        inputs: The inputs x.
        examples: The examples that are shown, from 1.
        kernels: K(x, x_i) at these inputs: a row an input.
        terms: a_i(x) K(x, x_i) there.
        ranges: For each example the least and the greatest of -L'_i on the path.
        poles: Example and input where K(x, x_i) = 0 changes its sign.
        queries: The queries of the problem, with the weights that the run found there: x, place among the examples, a.
    """

    inputs: tuple[float, ...]
    examples: tuple[int, ...]
    kernels: Rows
    terms: Rows
    ranges: tuple[tuple[float, float], ...]
    poles: tuple[tuple[int, float], ...]
    queries: tuple[tuple[float, int, float], ...] = ()
    name = "weights"

    def curve(self, place: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Inputs and a_i(x) for one example, with a gap at each pole and wherever the kernel is 0."""
        points = [
            (x, terms[place] / kernel[place] if kernel[place] else nan)
            for x, kernel, terms in zip(self.inputs, self.kernels, self.terms, strict=True)
        ]
        points += [(pole, nan) for example, pole in self.poles if example == self.examples[place]]
        ordered = sorted(points, key=lambda at: at[0])
        return tuple(x for x, _ in ordered), tuple(a for _, a in ordered)

    def values(self, place: int) -> tuple[float, ...]:
        """The weights of one example, without the gaps."""
        return tuple(a for a in self.curve(place)[1] if not isnan(a))

    def outside(self, place: int) -> float:
        """Which part of the inputs shown has a weight outside the range of -L'_i."""
        low, high = self.ranges[place]
        slack = _SLACK * max(abs(low), abs(high))
        values = self.values(place)
        return sum(not low - slack <= a <= high + slack for a in values) / len(values) if values else 0.0

    @property
    def limits(self) -> tuple[float, float]:
        """What the vertical axis shows: the ranges and room beyond them, more where weights leave them."""
        low, high = min(low for low, _ in self.ranges), max(high for _, high in self.ranges)
        height = (high - low) or max(abs(high), 1e-3)
        if not any(self.outside(place) for place in range(len(self.examples))):
            return low - _ROOM * height, high + _ROOM * height
        seen = [a for place in range(len(self.examples)) for a in self.values(place)]
        room = _ROOM * height
        return max(low - _BEYOND * height, min([low, *seen]) - room), min(
            high + _BEYOND * height, max([high, *seen]) + room
        )

    @property
    def is_cut(self) -> bool:
        """Whether some weights are beyond the axis."""
        low, high = self.limits
        return any(not low <= a <= high for place in range(len(self.examples)) for a in self.values(place))

    @property
    def caption(self) -> str:
        """What the figure shows."""
        parts = [(f"a_{example}", self.outside(place)) for place, example in enumerate(self.examples)]
        inside = [name for name, part in parts if not part]
        leaving = [f"{name} is outside for {_percent(part)} of the inputs shown" for name, part in parts if part]
        stays = f"{listed(inside)} {'stays' if len(inside) == 1 else 'stay'} inside" if inside else ""
        poles = listed([f"x = {number(x)} (example {example})" for example, x in self.poles])
        where = f" Where K(x, x_i) = 0 no a_i exists: {poles} (dotted)." if poles else ""
        cut = " The axis is cut: the weights reach beyond it." if self.is_cut else ""
        return (
            "The weight a_i(x) over the input x, with the range of -L'_i on the path (bands, and bars at the right): "
            f"{listed([*([stays] if stays else []), *leaving])}.{where}{cut}"
        )

    @property
    def alt(self) -> str:
        """The same for readers who do not see it."""
        parts = [
            f"a_{example} beside the range {number(low)} to {number(high)}"
            for example, (low, high) in zip(self.examples, self.ranges, strict=True)
        ]
        poles = listed([number(x) for _, x in self.poles]) or "none"
        return (
            f"Line chart of weights for x from {number(self.inputs[0])} to {number(self.inputs[-1])}: {listed(parts)}. "
            f"Poles: {poles}."
        )

    def draw(self) -> Figure:
        """The figure: curves over x, and at the right the ranges that averages would keep to."""
        figure = new_figure(3.5)
        main, side = figure.subplots(1, 2, sharey=True, width_ratios=(12, 0.9 + 0.5 * len(self.examples)))
        low, high = self.limits
        main.set(xlim=(self.inputs[0], self.inputs[-1]), ylim=(low, high), xlabel="input $x$", ylabel="weight $a_i(x)$")
        self._ranges(main, side)
        for place, example in enumerate(self.examples):
            colour, dashes, _ = SERIES[place]
            x, a = self.curve(place)
            a = [v if low - (high - low) <= v <= high + (high - low) else _far(v, low, high) for v in a]
            main.plot(x, a, color=colour, linestyle=dashes, label=f"$a_{{{example}}}(x)$")
        for example, pole in self.poles:
            colour = SERIES[self.examples.index(example)][0]
            main.axvline(pole, color=colour, linestyle=":", linewidth=1.1)
            main.annotate(
                f"$K = 0$\n$x = ${number(pole)}", (pole, 0.03), xycoords=("data", "axes fraction"), xytext=(4, 0),
                textcoords="offset points", fontsize=SMALL, color=colour, va="bottom",
            )  # fmt: skip
        for x, place, a in self.queries:
            if low <= a <= high:
                main.plot([x], [a], marker=SERIES[place][2], markersize=5.5, color=SERIES[place][0])
        if low < 0 < high:
            main.axhline(0, color=MUTED, linewidth=0.7)
        figure.legend(loc="outside upper left", ncols=len(self.examples), handlelength=2.6)
        return figure

    def _ranges(self, main: Axes, side: Axes) -> None:
        for place, (low, high) in enumerate(self.ranges):
            colour = SERIES[place][0]
            main.axhspan(low, high, color=colour, alpha=0.13, linewidth=0)
            side.bar(place, (high - low) or 0.01, bottom=low, width=0.5, color=colour, linewidth=0)
        side.set(xlim=(-0.7, len(self.ranges) - 0.3))
        side.set_xticks(range(len(self.ranges)), [str(example) for example in self.examples])
        side.set_xlabel("range\nof $-L'_i$", fontsize=SMALL, color=INK)
        side.tick_params(length=0, labelleft=False)
        side.grid(visible=False, axis="x")
        side.spines[:].set_visible(False)


def _far(value: float, low: float, high: float) -> float:
    """A point outside the axes, no farther than one height away: what nobody sees needs no digits."""
    return nan if isnan(value) else (high + (high - low) if value > high else low - (high - low))


def _percent(part: float) -> str:
    return "less than 1 %" if part < 0.01 else f"{100 * part:.0f} %"


def of_run(run: ProblemRun) -> WeightCurves | None:
    """The data of a run; None where it has no such tables."""
    inputs, examples = table(run, "weight_inputs"), whole(run, "weight_examples")
    if not inputs or not examples:
        return None
    low, high = inputs[0][0], inputs[-1][0]
    found = [
        (float(item.query[0]), place, finite(weight))
        for item in run.decompositions
        for place, example in enumerate(examples)
        if item.route == "precise" and isinstance(weight := item.weights[example - 1], str)
    ]
    return WeightCurves(
        inputs=tuple(x for (x,) in inputs),
        examples=examples,
        kernels=table(run, "weight_kernel"),
        terms=table(run, "weight_terms"),
        ranges=tuple((a, b) for a, b in table(run, "weight_range")),
        poles=tuple((int(example), x) for example, x in table(run, "weight_poles")),
        queries=tuple(each for each in found if low <= each[0] <= high and abs(each[2]) < inf),
    )
