"""Where the examples of a batch stand in a tensor inside a model: a batch of one beside a larger batch shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

# Two runs of one example differ by rounding alone, and the layers before may magnify it; a wrong order of rows differs
# by the size of the numbers themselves.
_SAME = {torch.float64: 1e-7, torch.float32: 1e-3}


@dataclass(frozen=True)
class Layout:
    """One axis of a tensor holds the examples, each perhaps with several positions.

    Args:
        axis: The axis.
        positions_first: Whether the axis runs over (positions, examples) rather than (examples, positions).
    """

    axis: int
    positions_first: bool

    def rows(self, tensor: Tensor, examples: int, *, leading: int = 0) -> Tensor:
        """A view of ``tensor`` with the axes ``[*leading, examples, positions, *rest]``.

        Args:
            tensor: A tensor of this layout, behind ``leading`` more axes.
            examples: How many examples it holds.
            leading: How many axes stand in front.

        Returns:
            The view; the axes of ``rest`` keep their order.
        """
        axis = self.axis + leading
        positions = tensor.shape[axis] // examples
        if self.positions_first:
            split = tensor.unflatten(axis, (positions, examples)).movedim(axis + 1, axis)
        else:
            split = tensor.unflatten(axis, (examples, positions))
        return split.movedim((axis, axis + 1), (leading, leading + 1))

    def fits(self, tensor: Tensor, examples: int) -> bool:
        """Whether ``tensor`` can hold ``examples`` examples this way."""
        return tensor.ndim > self.axis and tensor.shape[self.axis] % examples == 0


def same(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are equal up to the rounding of their dtype.

    Args:
        left: A tensor.
        right: A tensor of the same shape and dtype.

    Returns:
        True for equal shapes and nearly equal numbers.
    """
    if left.shape != right.shape:
        return False
    if not left.is_floating_point():
        return bool(torch.equal(left, right))
    if not left.numel():
        return True
    scale = torch.maximum(left.abs().max(), right.abs().max())
    return bool(((left - right).abs().max() <= _SAME.get(left.dtype, 1e-2) * scale).item())


def find_layout(one: Tensor, many: Tensor, sample_axes: int, examples: int = 2) -> Layout | None:
    """The layout of a tensor, from its values for the first example alone and for a batch that begins with it.

    Args:
        one: The tensor in a run with one example.
        many: The same tensor in a run with several examples, the first of them the same.
        sample_axes: The examples stand in one of so many first axes.
        examples: How many they are, two or more.

    Returns:
        The layout; None when no axis grows with the batch, or when it cannot be told where the first example stands.

    Example:
        >>> first, second = torch.tensor([[1.0], [2.0]]), torch.tensor([[5.0], [6.0]])
        >>> find_layout(first, torch.cat([first, second]), 1)
        Layout(axis=0, positions_first=False)
        >>> find_layout(first, torch.stack([first, second], 1).flatten(0, 1), 1)
        Layout(axis=0, positions_first=True)
    """
    if one.ndim != many.ndim:
        return None
    grown = [axis for axis in range(one.ndim) if one.shape[axis] != many.shape[axis]]
    if len(grown) != 1 or grown[0] >= sample_axes or many.shape[grown[0]] != examples * one.shape[grown[0]]:
        return None
    (axis,) = grown
    ways = [Layout(axis, positions_first=False)]
    if one.shape[axis] > 1:
        ways.append(Layout(axis, positions_first=True))
    fitting = [way for way in ways if same(way.rows(many, examples)[:1], way.rows(one, 1))]
    return fitting[0] if len(fitting) == 1 else None
