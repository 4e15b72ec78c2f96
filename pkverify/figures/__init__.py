"""Figures: a saved run made visible. Data first, then drawing; nothing here computes mathematics.

Each kind of figure is a record of what it draws (``WeightPath``, ``KernelMachine``, ``Gram``, ``Waterfall``,
``WeightCurves``, ``TangentKernel``, ``DescentOrder``, ``ResidualDigits``, ``WidthDrift``) with a caption, a text for
readers who do not see it, and ``draw``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pkverify.decomposition import Decomposition
from pkverify.errors import InputError
from pkverify.evidence import ProblemRun, Run
from pkverify.figures import gram, kernel, machine, orders, path, waterfall, weights
from pkverify.figures.style import drawing, png_bytes, svg_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Drawable(Protocol):
    """What is known of a figure before it is drawn."""

    @property
    def name(self) -> str: ...
    @property
    def caption(self) -> str: ...
    @property
    def alt(self) -> str: ...
    def draw(self) -> Figure: ...


class Picture(NamedTuple):
    """A finished figure.

    Attributes:
        name: Which figure, such as ``"waterfall"``.
        caption: What it shows, as plain text.
        alt: The same for readers who do not see it, with the numbers that matter.
        svg: An ``svg`` element in UTF-8, readable in light and in dark.
        png: The same in the light colours, where it was asked for.
    """

    name: str
    caption: str
    alt: str
    svg: bytes
    png: bytes = b""


# In the order in which a report shows them.
FIGURES: Mapping[str, Callable[[ProblemRun], Drawable | None]] = {
    "kernel-machine": machine.of_run,
    "waterfall": waterfall.of_run,
    "path": path.of_run,
    "tangent-kernel": kernel.of_run,
    "weights": weights.of_run,
    "gram": gram.of_run,
    "learning-rate": orders.descent_of_run,
    "digits": orders.digits_of_run,
    "width": orders.width_of_run,
}
_OF_DECOMPOSITION: Mapping[str, Callable[[Decomposition], Drawable]] = {
    "waterfall": waterfall.of_decomposition,
    "kernel-machine": machine.of_decomposition,
}


def report_figures(run: ProblemRun, *, png: bool = False) -> tuple[Picture, ...]:
    """All figures that apply to what was found on one problem, from what is saved with it.

    Args:
        run: What was found on one problem.
        png: Whether to give them as PNG, too, for LaTeX.

    Returns:
        The figures, in the order of ``FIGURES``; those whose tables the run lacks, or whose numbers are beyond the
        range of doubles, are left out.

    Example:
        >>> report_figures(ProblemRun("empty", ()))
        ()
    """
    found: list[Picture] = []
    for read in FIGURES.values():
        try:
            data = read(run)
        except ValueError:
            continue  # a number that no figure can show
        if data is not None:
            found.append(picture(data, png=png))
    return tuple(found)


def picture(data: Drawable, *, png: bool = False) -> Picture:
    """One figure, drawn and written; as PNG, too, if asked for."""
    with drawing():
        figure = data.draw()
    return Picture(data.name, data.caption, data.alt, svg_bytes(figure, data.alt), png_bytes(figure) if png else b"")


def plot(record: Decomposition | ProblemRun | Run, name: str = "waterfall") -> Figure:
    """Draw one figure of a decomposition or of a run.

    Args:
        record: A decomposition, a run of one problem, or what was found on one problem.
        name: Which figure: a key of ``FIGURES``; of a decomposition alone, ``"waterfall"`` or ``"kernel-machine"``.

    Returns:
        A matplotlib figure, which a notebook shows and ``savefig`` writes.

    Raises:
        InputError: For a name that does not exist, or a figure that the record has no numbers for.

    Example:
        >>> import pkverify as pk
        >>> problem = pk.parse_problem('''
        ... model = {kind = "linear", bias = false}
        ... loss = {kind = "squared"}
        ... data = {x = [[1]], y = [2]}
        ... flow = {initial = [0], horizon = 1}
        ... ''')
        >>> (d,) = pk.decompose(problem)
        >>> figure = plot(d)
        >>> figure.axes[0].get_xlabel()
        'output $y$'
    """
    data = _data(record, name)
    with drawing():
        return data.draw()


def _data(record: Decomposition | ProblemRun | Run, name: str) -> Drawable:
    known = _OF_DECOMPOSITION if isinstance(record, Decomposition) else FIGURES
    if name not in known:
        raise InputError(
            f"figure {name!r} is not known", f"of this record there are {', '.join(known)}", "name one of them"
        )
    if isinstance(record, Decomposition):
        return _OF_DECOMPOSITION[name](record)
    if isinstance(record, Run):
        if len(record.problems) != 1:
            names = ", ".join(problem.name for problem in record.problems) or "none"
            raise InputError(
                f"a run of {len(record.problems)} problems", f"a figure shows one of them: {names}",
                "draw one of run.problems",
            )  # fmt: skip
        (record,) = record.problems
    data = FIGURES[name](record)
    if data is None:
        raise InputError(
            f"there is no figure {name!r} of {record.name}", "the run has not the numbers that it draws",
            f"name another one of {', '.join(FIGURES)}",
        )  # fmt: skip
    return data
