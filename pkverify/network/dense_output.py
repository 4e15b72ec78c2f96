"""The continuous extension of a Runge-Kutta step: its state at any time inside, to order 4 or 7.

Over a step from ``w_0`` to ``w_1`` of length ``h``, with ``u`` the part of the step that has passed,

    w(u) = w_0 + u (F_0 + (1 - u) (F_1 + u (F_2 + (1 - u) (F_3 + ...))))

where ``F_0 = w_1 - w_0``, ``F_1 = h w'_0 - F_0``, ``F_2 = 2 F_0 - h (w'_0 + w'_1)`` make the cubic Hermite interpolant
and the further rows are the method's own (Hairer, Norsett, Wanner, section II.6). All rows are combinations of the
stages: one product of matrices makes them, and another one the states at any number of times.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pkverify.network.runge_kutta import Tableau


def row_matrix(tableau: Tableau) -> Tensor:
    """The matrix ``[n, s]`` that makes the rows ``F`` from the slopes ``[s, d]`` of a step, but for the factor ``h``.

    Example:
        >>> from pkverify.network.runge_kutta import TABLEAUS
        >>> [tuple(row_matrix(TABLEAUS[order]).shape) for order in (5, 8)]
        [(4, 7), (7, 16)]
    """
    count, end = tableau.row_count, tableau.stage_count - 1
    rows = torch.zeros(3 + len(tableau.dense), count, dtype=torch.float64)
    rows[0, :end] = torch.tensor(tableau.stages[end], dtype=torch.float64)
    first, last = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    first[0], last[end] = 1.0, 1.0
    rows[1] = first - rows[0]
    rows[2] = 2 * rows[0] - first - last
    rows[3:] = torch.tensor(tableau.dense, dtype=torch.float64)
    return rows


def basis(parts: Sequence[float], rows: int) -> Tensor:
    """The factors ``[len(parts), rows]`` of the rows ``F`` at parts of the step between 0 and 1.

    Example:
        >>> basis([0.0, 0.5, 1.0], 3).tolist()
        [[0.0, 0.0, 0.0], [0.5, 0.25, 0.125], [1.0, 0.0, 0.0]]
    """
    u = torch.tensor(list(parts), dtype=torch.float64)
    columns = [u]
    for k in range(1, rows):
        columns.append(columns[-1] * ((1 - u) if k % 2 else u))
    return torch.stack(columns, 1)


def basis_slope(parts: Sequence[float], rows: int) -> Tensor:
    """The derivatives of ``basis`` with respect to the part of the step.

    Example:
        >>> basis_slope([0.0, 1.0], 2).tolist()
        [[1.0, 1.0], [1.0, -1.0]]
    """
    u = torch.tensor(list(parts), dtype=torch.float64)
    value, slope = u, torch.ones_like(u)
    slopes = [slope]
    for k in range(1, rows):
        factor, sign = ((1 - u), -1.0) if k % 2 else (u, 1.0)
        slope = slope * factor + sign * value
        value = value * factor
        slopes.append(slope)
    return torch.stack(slopes, 1)
