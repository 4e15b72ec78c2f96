"""The gradient of each example with respect to one parameter, as a layer leaves it: factors, not yet multiplied out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

# Temporaries of a contraction are made in blocks of about so many words, whatever the batch; and the side of a product
# that is multiplied out once and kept may take so many.
BLOCK_WORDS = 1 << 22
HELD_WORDS = 1 << 23


class Factor(Protocol):
    """The gradients of ``examples`` examples, each for ``columns`` output cotangents, in a parameter of ``shape``."""

    @property
    def examples(self) -> int: ...

    @property
    def columns(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def rows(self, which: slice) -> Factor:
        """The factor of some of the examples."""
        ...

    def materialize(self) -> Tensor:
        """The gradients: ``[examples, columns, *shape]``."""
        ...

    def total(self) -> Tensor:
        """The gradients summed over the examples: ``[columns, *shape]``."""
        ...

    def against(self, vectors: Tensor) -> Tensor:
        """Inner products with ``vectors`` ``[k, *shape]``: ``[k, examples, columns]``."""
        ...


def blocks(length: int, words_each: int, words: int = BLOCK_WORDS) -> Iterator[slice]:
    """Slices that cover ``range(length)``, each of about ``words`` words when an item takes ``words_each``.

    Args:
        length: How many items.
        words_each: Words an item takes.
        words: Words of a slice; one item may take more.

    Yields:
        The slices, in order.
    """
    step = max(1, words // max(1, words_each))
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


@dataclass(frozen=True)
class Dense:
    """Gradients that are stored as they are: biases, norms, and whatever has no cheaper form.

    Args:
        gradients: ``[examples, columns, *shape]``.
    """

    gradients: Tensor

    @property
    def examples(self) -> int:
        return self.gradients.shape[0]

    @property
    def columns(self) -> int:
        return self.gradients.shape[1]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.gradients.shape[2:])

    def rows(self, which: slice) -> Dense:
        return Dense(self.gradients[which])

    def materialize(self) -> Tensor:
        return self.gradients

    def total(self) -> Tensor:
        return self.gradients.sum(0)

    def against(self, vectors: Tensor) -> Tensor:
        flat = self.gradients.reshape(self.examples * self.columns, -1)
        return (vectors.reshape(vectors.shape[0], -1) @ flat.T).unflatten(1, (self.examples, self.columns))


@dataclass(frozen=True)
class Extent:
    """How large one example's outer products are.

    Args:
        positions: Positions summed over.
        groups: Groups of channels.
        inputs: Input channels a group (times the kernel's size).
        outputs: Output channels a group.
    """

    positions: int
    groups: int
    inputs: int
    outputs: int

    @property
    def weights(self) -> int:
        """Entries of the weight."""
        return self.groups * self.inputs * self.outputs


@dataclass(frozen=True)
class Sides:
    """How many examples and columns stand on each side of a product.

    Args:
        left: Examples on the left.
        left_columns: Columns of each.
        right: Examples on the right.
        right_columns: Columns of each.
    """

    left: int
    left_columns: int
    right: int
    right_columns: int

    @property
    def products(self) -> int:
        """Entries of the result."""
        return self.left * self.left_columns * self.right * self.right_columns


def contraction_flops(left: Extent, right: Extent, sides: Sides) -> tuple[int, int]:
    """The operations of the two orders of contraction of sums of outer products.

    Args:
        left: One example on the left.
        right: One example on the right.
        sides: How many there are.

    Returns:
        By pairs of positions; by sums over positions first, multiplied out. Multiplications and additions together.

    Example:
        >>> one = Extent(positions=1, groups=1, inputs=784, outputs=512)
        >>> contraction_flops(one, one, Sides(64, 1, 256, 1))
        (42500096, 13410238464)
    """
    columns = sides.left_columns * sides.right_columns
    pairs = sides.left * sides.right * left.positions * right.positions * left.groups
    pairs *= 2 * (left.inputs + columns * (left.outputs + 1))
    rows = sides.left * sides.left_columns * left.positions + sides.right * sides.right_columns * right.positions
    return pairs, 2 * (rows + sides.products) * left.weights


def dense_product(left: Factor, right: Factor) -> Tensor:
    """Inner products by multiplying the gradients out: ``[q, columns, m, columns']``.

    The side with fewer rows is kept, in as few pieces as the bound on memory allows, while the other passes by in
    blocks: so a gradient is seldom made twice.
    """
    if left.examples * left.columns > right.examples * right.columns:
        return dense_product(right, left).permute(2, 3, 0, 1)
    size = math.prod(left.shape)
    result: Tensor | None = None
    for some in blocks(left.examples, left.columns * size, HELD_WORDS):
        held = left.rows(some).materialize().reshape(-1, size)
        for others in blocks(right.examples, right.columns * size):
            product = held @ right.rows(others).materialize().reshape(-1, size).T
            part = product.unflatten(1, (-1, right.columns)).unflatten(0, (-1, left.columns))
            if part.shape[0] == left.examples and part.shape[2] == right.examples:
                return part
            if result is None:
                result = part.new_empty(left.examples, left.columns, right.examples, right.columns)
            result[some, :, others] = part
    assert result is not None
    return result
