"""Shaded cells: the numbers of a matrix, or the pixels of an image, as one path for each shade."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADES = 20
_CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))


def draw_cells(
    axes: Axes, rows: Sequence[Sequence[float]], colours: tuple[str, str], *, strongest: float, side: float = 0.96
) -> None:
    """Draw cells with their middles at (column, row), both counted from 1; the shade grows with the absolute value.

    Args:
        axes: Where to draw.
        rows: The numbers.
        colours: Of positive and of negative numbers.
        strongest: The opacity of the largest absolute value.
        side: The width of a cell; 1 leaves no gap.
    """
    from matplotlib.collections import PathCollection  # noqa: PLC0415 - most runs draw nothing
    from matplotlib.path import Path  # noqa: PLC0415

    largest = max(abs(value) for row in rows for value in row)
    cells: dict[tuple[bool, int], list[tuple[float, float]]] = defaultdict(list)
    for y, row in enumerate(rows, start=1):
        for x, value in enumerate(row, start=1):
            shade = round(SHADES * abs(value) / largest) if largest else 0
            if shade:
                cells[value < 0, shade].append((x - side / 2, y - side / 2))
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    for (negative, shade), places in sorted(cells.items()):
        corners = np.array([(x + side * a, y + side * b) for x, y in places for a, b in _CORNERS])
        path = Path(corners, codes * len(places))
        look = {"color": colours[negative], "alpha": strongest * shade / SHADES, "linewidth": 0}
        axes.add_collection(PathCollection([path], **look))
