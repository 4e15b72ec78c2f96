"""A prediction as a network: the query meets each example in the kernel, is weighted, and summed to the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pkverify.decomposition import Decomposition
from pkverify.errors import PkverifyError
from pkverify.evidence import ProblemRun
from pkverify.figures.style import INK, MUTED, NEGATIVE, PAPER, POSITIVE, SMALL, canvas, number
from pkverify.figures.tables import finite, first_decomposition, listed, point
from pkverify.problem_file import parse_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROWS = 6  # examples shown one by one; the others are summed
_PITCH = 0.56  # inches from row to row
_WIDTH = 6.0
# Columns, in inches: where their middles are.
_QUERY, _EXAMPLE, _KERNEL, _WEIGHT, _TERM, _SUM, _ANSWER = 0.5, 1.73, 2.68, 3.4, 4.07, 4.74, 5.54
_BEND = 4.37  # here the lines turn to the sum
_BOX = 0.34
_LONGEST = 11  # characters of an input
_NODE: dict[str, Any] = {"facecolor": PAPER, "edgecolor": MUTED, "linewidth": 0.9, "zorder": 3}


@dataclass(frozen=True)
class Match:
    """One example in the sum: which, its inputs as text, kernel, weight (None where there is none), contribution."""

    example: int
    inputs: str
    kernel: float | None
    weight: float | None
    contribution: float


@dataclass(frozen=True)
class KernelMachine:
    """What the figure draws.

    Attributes:
        query: The query, as text.
        output: Which output, from 0; None where there is one only.
        matches: The examples that contribute most, in the order of the data.
        others: How many examples are not among them, and what they contribute together.
        initial: ``y_0(x)``, the paper's b.
        regularizer: The regulariser's term.
        final: ``y_T(x)``.
    """

    query: str
    output: int | None
    matches: tuple[Match, ...]
    others: tuple[int, float]
    initial: float
    regularizer: float
    final: float
    name = "kernel-machine"

    @property
    def caption(self) -> str:
        """What the figure shows."""
        few = f" {self.others[0]} more examples are summed." if self.others[0] else ""
        absent = [str(m.example) for m in self.matches if m.weight is None and m.kernel is not None]
        none = f" Example {listed(absent)} has no weight here; its term is still what it is." if absent else ""
        output = "" if self.output is None else f", output {self.output},"
        if self.is_matrix:
            text = "every example adds its term, and b, to the answer. With several outputs K is a matrix: not shown."
        else:
            text = (
                "the query meets every example in the path kernel K(x, x_i), is weighted by a_i, and the terms add up, "
                "with b, to the answer. The weights belong to this query."
            )
        thick = "Lines are as thick as the terms are large; dashed ones are negative."
        return f"The prediction at x = {self.query}{output} as a kernel machine: {text} {thick}{few}{none}"

    @property
    def is_matrix(self) -> bool:
        """Whether the kernel is a matrix, as with several outputs."""
        return all(m.kernel is None for m in self.matches)

    @property
    def alt(self) -> str:
        """The same for readers who do not see it."""
        terms = [f"example {m.example}: {number(m.contribution)}" for m in self.matches]
        terms += [f"{self.others[0]} others: {number(self.others[1])}"] if self.others[0] else []
        terms += [f"regularizer: {number(self.regularizer)}"] if self.regularizer else []
        return (
            f"Diagram: from query {self.query} through the examples to the sum. {'; '.join(terms)}; "
            f"b: {number(self.initial)}; answer {number(self.final)}."
        )

    def draw(self) -> Figure:
        """The figure: the query at the left, a row an example, the answer at the right."""
        rows = len(self.matches) + bool(self.others[0]) + bool(self.regularizer) + 1
        height = _PITCH * rows + 0.75
        figure, axes = canvas(height, _WIDTH)
        levels = [height - 0.75 - _PITCH * k for k in range(rows)]
        middle = (levels[0] + levels[max(len(self.matches) - 1, 0)]) / 2
        widest = max([abs(m.contribution) for m in self.matches] + [abs(self.others[1])]) or 1.0
        centre = (levels[0] + levels[-1]) / 2
        factors = [] if self.is_matrix else [(_KERNEL, "$K(x, x_i)$"), (_WEIGHT, "$a_i$")]
        for x, text in ((_EXAMPLE, "training examples"), *factors, (_TERM, "terms")):
            axes.text(x, height - 0.2, text, ha="center", va="center", fontsize=SMALL, color=MUTED)
        for match, y in zip(self.matches, levels, strict=False):
            self._row(axes, match, y, middle, centre, widest)
        below = levels[len(self.matches) :]
        extra = [(f"{self.others[0]} other examples", self.others[1])] if self.others[0] else []
        extra += [("regularizer", self.regularizer)] if self.regularizer else []
        for (label, value), y in zip([*extra, ("initial output $b = y_0(x)$", self.initial)], below, strict=True):
            _line(axes, (_EXAMPLE, y), (_SUM, centre), value, widest)
            _box(axes, _EXAMPLE + 0.25, y, label, 1.9)
            _term(axes, y, value)
        _box(axes, _QUERY, middle, f"query\n$x = ${self.query}", 0.94, height=0.5)
        axes.annotate("", (_ANSWER - 0.42, centre), xytext=(_SUM + 0.17, centre), arrowprops=_arrow())
        _oval(axes, _SUM, centre, "+", (0.34, 0.34))
        _box(axes, _ANSWER, centre, f"answer $y_T$\n{number(self.final)}", 0.84, height=0.5)
        return figure

    def _row(self, axes: Axes, match: Match, y: float, middle: float, centre: float, widest: float) -> None:
        axes.plot([_QUERY, _EXAMPLE], [middle, y], color=MUTED, linewidth=0.7, zorder=1)
        _line(axes, (_EXAMPLE, y), (_SUM, centre), match.contribution, widest)
        _box(axes, _EXAMPLE, y, match.inputs, 1.2)
        if match.kernel is not None:
            _oval(axes, _KERNEL, y, number(match.kernel, 3))
            _oval(axes, _WEIGHT, y, "none" if match.weight is None else number(match.weight, 3))
        _term(axes, y, match.contribution)


def _term(axes: Axes, y: float, value: float) -> None:
    axes.text(_TERM, y, number(value, 3), ha="center", va="center", fontsize=SMALL, bbox=_halo())


def _line(axes: Axes, start: tuple[float, float], end: tuple[float, float], value: float, widest: float) -> None:
    colour, dashes = (POSITIVE, "-") if value >= 0 else (NEGATIVE, (0, (3, 1.2)))
    thickness = 0.8 + 3.2 * min(abs(value) / widest, 1.0)
    x, y = (start[0], _BEND, end[0]), (start[1], start[1], end[1])
    axes.plot(x, y, color=colour, linestyle=dashes, linewidth=thickness, zorder=1, solid_joinstyle="round")


def _box(axes: Axes, x: float, y: float, text: str, width: float, height: float = _BOX) -> None:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415 - most runs draw nothing

    corner, style = (x - width / 2, y - height / 2), "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, **_NODE))
    axes.text(x, y, text, ha="center", va="center", fontsize=SMALL, linespacing=1.35, zorder=4)


def _oval(axes: Axes, x: float, y: float, text: str, size: tuple[float, float] = (0.6, 0.36)) -> None:
    from matplotlib.patches import Ellipse  # noqa: PLC0415 - most runs draw nothing

    axes.add_patch(Ellipse((x, y), *size, **_NODE))
    axes.text(x, y, text, ha="center", va="center", fontsize=13 if text == "+" else SMALL, zorder=4)


def _halo() -> dict[str, object]:
    return {"facecolor": PAPER, "edgecolor": "none", "pad": 1.2}


def _arrow() -> dict[str, object]:
    return {"arrowstyle": "-|>", "color": INK, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 11}


def of_decomposition(item: Decomposition, inputs: tuple[str, ...] = (), outputs: int = 1) -> KernelMachine:
    """The data of one prediction.

    Args:
        item: Its decomposition.
        inputs: The training inputs as text, where they are known.
        outputs: How many outputs the model has.

    Raises:
        ValueError: If a number is beyond the range of doubles.
    """
    sizes = [finite(value) for value in item.contributions]
    ordered = sorted(range(len(sizes)), key=lambda i: (-abs(sizes[i]), i))
    shown = sorted(ordered if len(sizes) <= _ROWS else ordered[: _ROWS - 1])
    rest = [sizes[i] for i in range(len(sizes)) if i not in set(shown)]
    return KernelMachine(
        query=_short(point(item.query)),
        output=item.output if outputs > 1 else None,
        matches=tuple(_match(item, i, sizes[i], inputs) for i in shown),
        others=(len(rest), sum(rest)),
        initial=finite(item.initial_output),
        regularizer=finite(item.regularizer_term),
        final=finite(item.final_output),
    )


def _match(item: Decomposition, i: int, size: float, inputs: tuple[str, ...]) -> Match:
    kernel, weight = item.path_kernel[i], item.weights[i]
    return Match(
        example=i + 1,
        inputs=f"$x_{{{i + 1}}} = ${_short(inputs[i])}" if i < len(inputs) else f"example {i + 1}",
        kernel=finite(kernel) if isinstance(kernel, str) else None,
        weight=finite(weight) if isinstance(weight, str) else None,
        contribution=size,
    )


def of_run(run: ProblemRun) -> KernelMachine | None:
    """The data of a run's first prediction; None where it has none."""
    item = first_decomposition(run)
    if item is None:
        return None
    try:
        inputs = tuple(point(row) for row in parse_problem(run.source).data.inputs)
    except PkverifyError:
        inputs = ()  # a run made by hand need not say its problem
    return of_decomposition(item, inputs, 1 + max(d.output for d in run.decompositions))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026"
