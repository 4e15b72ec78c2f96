"""The loss around the path on a plane, and the gradients of query and examples along it: the picture of a path kernel.

With two parameters the plane is that of the parameters. With more it is spanned by the first two principal directions
of the path, through the path's mean: gradients are then projections, and how much of them that leaves is told.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pkverify.checks.arrays import Array, ArrayAlgebra
from pkverify.checks.context import Context
from pkverify.precise.solution import gradient_at
from pkverify.problem import Problem

_GRID = 33
_MARKS = 4
_MARGIN = 0.7  # of the path's extent, on each side: room for the arrows
_FAITHFUL = 0.5  # of a gradient's length: where a projection keeps less, arrows would tell another kernel
_FLAT = 1e-9  # a direction in which the path moves less than this part is none


def surface(context: Context, examples: Sequence[int]) -> dict[str, Array]:
    """The tables ``surface_*`` of one problem, as arrays; empty where the plane would not show them.

    Args:
        context: A problem with one output and two parameters or more.
        examples: The examples whose gradients are shown, from 0.

    Returns:
        The arrays by name; see ``series``. Empty for a path that does not move, and where a gradient has less than
        half of its length in the plane.

    Raises:
        OverflowError: If the path leaves the range of doubles.
    """
    solution = context.solution
    exact = solution.system.numbers.fraction
    states = [solution.path.params_at(t) for t in context.times]
    path = np.array([[float(exact(v)) for v in state] for state in states])
    marks = _marks(path)
    rows = [solution.system.query_rows[0], *examples]
    gradients = np.array([[_gradient(context, states[k], row) for row in rows] for k in marks])
    plane = _plane(path, gradients)
    if plane is None:
        return {}
    origin, axes = plane
    flat = (path - origin) @ axes.T
    shown = gradients @ axes.T
    least = _least_share(gradients, shown)
    if least < _FAITHFUL:
        return {}
    coordinates = _coordinates(flat)
    first, second = np.meshgrid(*coordinates)
    grid = origin[:, None] + np.tensordot(axes, np.stack([first.ravel(), second.ravel()]), axes=(0, 0))
    loss = total_loss(context.problem, list(grid)).reshape(first.shape)
    return {
        "surface_axes": coordinates,
        "surface_loss": _clipped(loss),
        "surface_path": flat,
        "surface_marks": np.array([[float(context.times[k]), *flat[k]] for k in marks]),
        "surface_examples": np.array([[i + 1 for i in examples]]),
        "surface_gradients": shown.reshape(len(marks), -1),
        "surface_shares": np.array([[_share(path - origin, flat), least]]),
    }


def total_loss(problem: Problem, params: Sequence[Array]) -> Array:
    """The total loss with its penalty for many sets of parameters, given as one array a parameter."""
    algebra = ArrayAlgebra()
    total = np.zeros_like(params[0])
    for inputs, targets in zip(problem.data.inputs, problem.data.targets, strict=True):
        outputs = problem.model.build(algebra, params, [np.float64(float(v)) for v in inputs])
        total = total + problem.loss.build(algebra, outputs, [np.float64(float(v)) for v in targets])
    total = total * float(problem.example_scale)
    penalty = problem.regularizer
    return total if penalty is None else total + penalty.build(algebra, problem.model.params, params)


def _gradient(context: Context, state: Sequence[int], row: int) -> list[float]:
    system = context.solution.system
    return [system.numbers.to_float(v) for v in gradient_at(system, state, row, system.rows[row].jacobian[0])]


def _marks(path: Array) -> list[int]:
    """Samples at equal parts of the path's length: the start, the end, and some between."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    parts = np.linspace(0, lengths[-1], _MARKS)
    return sorted({int(np.argmin(np.abs(lengths - part))) for part in parts})


def _plane(path: Array, gradients: Array) -> tuple[Array, Array] | None:
    """A point and two orthonormal directions; None where the path does not move."""
    if path.shape[1] == 2:
        return (np.zeros(2), np.eye(2)) if np.ptp(path, axis=0).max() > 0 else None
    origin = path.mean(axis=0)
    _, sizes, directions = np.linalg.svd(path - origin, full_matrices=False)
    if sizes[0] == 0:
        return None
    axes = [_signed(directions[0])]
    if sizes[1] > _FLAT * sizes[0]:
        return origin, np.stack([*axes, _signed(directions[1])])
    # A straight path spans no plane: the gradients say which one to look at it in.
    rest = gradients.reshape(-1, path.shape[1])
    rest = rest - np.outer(rest @ axes[0], axes[0])
    _, sizes, directions = np.linalg.svd(rest, full_matrices=False)
    if sizes[0] <= _FLAT * np.linalg.norm(gradients):
        return None
    return origin, np.stack([*axes, _signed(directions[0])])


def _signed(direction: Array) -> Array:
    """The direction or its opposite, so that its largest entry is positive: a decomposition leaves the sign open."""
    return direction * np.sign(direction[np.argmax(np.abs(direction))])


def _coordinates(flat: Array) -> Array:
    """The grid of a square around the path: lengths and angles are as large in one direction as in the other."""
    low, high = flat.min(axis=0), flat.max(axis=0)
    middle, half = (low + high) / 2, float((high - low).max()) * (0.5 + _MARGIN)
    return np.stack([np.linspace(m - half, m + half, _GRID) for m in middle])


def _clipped(loss: Array) -> Array:
    """The loss where it is a number; what is none, or none of this size, is drawn like the highest."""
    finite = np.isfinite(loss) & (np.abs(loss) < 1e100)
    if not finite.any():
        raise OverflowError("the loss around the path is beyond the range of doubles")
    return np.where(finite, loss, loss[finite].max())


def _share(full: Array, flat: Array) -> float:
    """Which part of the squared length of some vectors their projections keep."""
    return float((flat**2).sum() / (full**2).sum()) if full.shape[1] > 2 else 1.0


def _least_share(gradients: Array, shown: Array) -> float:
    """The least part of a gradient's length that its projection keeps."""
    full, flat = np.linalg.norm(gradients, axis=2), np.linalg.norm(shown, axis=2)
    return float(np.where(full > 0, flat / np.where(full > 0, full, 1.0), 1.0).min())
