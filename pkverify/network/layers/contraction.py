"""Inner products of gradients parameter by parameter, whatever each side's gradient is made of."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import torch

from pkverify.network.layers.convolution import Convolution, convolution_product
from pkverify.network.layers.embedding import Lookup, lookup_product
from pkverify.network.layers.factor import Dense, dense_product
from pkverify.network.layers.interception import View
from pkverify.network.layers.linear import Outer, cheaper_route, outer_product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from pkverify.network.layers.factor import Factor

# One use of a parameter: the part of it that is used (None: all of it), and the factor of that part's gradient.
Use: TypeAlias = tuple[View | None, "Factor"]


def merged(uses: Sequence[Use]) -> tuple[Use, ...]:
    """The uses of one parameter, those of one kind in one place made one: their positions are put side by side.

    That adds their gradients before any product is taken, so that the cross terms between two uses are not lost.

    Args:
        uses: The uses of one parameter.

    Returns:
        As many uses or fewer, with the same sum.
    """
    result: list[Use] = []
    for view, factor in uses:
        for place, (other_view, other) in enumerate(result):
            if view == other_view and (sum_of_both := _joined(other, factor)) is not None:
                result[place] = (view, sum_of_both)
                break
        else:
            result.append((view, factor))
    return tuple(result)


def _joined(left: Factor, right: Factor) -> Factor | None:
    if isinstance(left, Dense) and isinstance(right, Dense):
        return Dense(left.gradients + right.gradients)
    if isinstance(left, Outer) and isinstance(right, Outer) and left.transposed == right.transposed:
        inputs = torch.cat([left.inputs, right.inputs], 1)
        return Outer(inputs, torch.cat([left.cotangents, right.cotangents], 2), left.shape, left.transposed)
    if isinstance(left, Lookup) and isinstance(right, Lookup):
        identifiers = torch.cat([left.identifiers, right.identifiers], 1)
        return Lookup(identifiers, torch.cat([left.cotangents, right.cotangents], 2), left.entries)
    return None


def products(
    left: Mapping[str, Sequence[Use]], right: Mapping[str, Sequence[Use]], shapes: Mapping[str, tuple[int, ...]]
) -> Tensor | None:
    """Inner products of the gradients of two batches, summed over the parameters.

    A layer's weight and bias have the same cotangents, and are contracted at once where that is by pairs.

    Args:
        left: The uses of each parameter for the q examples on the left.
        right: Those for the m examples on the right.
        shapes: The shape of each parameter.

    Returns:
        ``[q, columns, m, columns']``; None when no parameter is used on both sides.
    """
    beside: dict[object, list[str]] = {}
    for name in shapes:
        if left[name] and right[name]:
            beside.setdefault(_shared(left[name], right[name]) or name, []).append(name)
    total: Tensor | None = None
    for names in beside.values():
        for part in _parts(names, left, right, shapes):
            total = part if total is None else total.add_(part)
    return total


def _shared(left: Sequence[Use], right: Sequence[Use]) -> object | None:
    """What tells the cotangents of two uses from others: where they lie in memory; None unless both are outer."""
    factors = [uses[0][1] for uses in (left, right) if len(uses) == 1]
    tensors = [factor.cotangents for factor in factors if isinstance(factor, Outer)]
    same_part = len(tensors) == 2 and left[0][0] == right[0][0]
    return tuple((t.data_ptr(), t.shape, t.stride()) for t in tensors) if same_part else None


def _parts(
    names: Sequence[str],
    left: Mapping[str, Sequence[Use]],
    right: Mapping[str, Sequence[Use]],
    shapes: Mapping[str, tuple[int, ...]],
) -> list[Tensor]:
    """The products of parameters whose uses share their cotangents: one if they are contracted at once."""
    pairs = [(left[name][0][1], right[name][0][1]) for name in names]
    outer = [(a, b) for a, b in pairs if isinstance(a, Outer) and isinstance(b, Outer)]
    if len(outer) > 1:
        # The one with the most inputs decides; whatever stands beside it saves a product of the cotangents.
        outer.sort(key=lambda pair: -pair[0].extent.inputs)
        if cheaper_route(*outer[0]) == "pairs":
            return [outer_product(*outer[0], "pairs", outer[1:])]
    return [product(left[name], right[name], shapes[name]) for name in names]


def product(left: Sequence[Use], right: Sequence[Use], shape: tuple[int, ...]) -> Tensor:
    """Inner products of the gradients of two batches in one parameter.

    Args:
        left: The uses of the parameter for the q examples on the left.
        right: Those for the m examples on the right.
        shape: The shape of the parameter.

    Returns:
        ``[q, columns, m, columns']``.
    """
    if [view for view, _ in left] == [view for view, _ in right] and _disjoint([view for view, _ in left]):
        parts = [_pair(a, b) for (_, a), (_, b) in zip(left, right, strict=True)]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
    return dense_product(_Sum(tuple(left), shape), _Sum(tuple(right), shape))


def _pair(left: Factor, right: Factor) -> Tensor:
    if isinstance(left, Outer) and isinstance(right, Outer):
        return outer_product(left, right)
    if isinstance(left, Lookup) and isinstance(right, Lookup):
        return lookup_product(left, right)
    if isinstance(left, Convolution) and isinstance(right, Convolution):
        return convolution_product(left, right)
    return dense_product(left, right)


def _disjoint(views: list[View | None]) -> bool:
    """Whether no two of the views share memory, so far as their extents tell."""
    if len(views) == 1:
        return True
    extents: list[tuple[int, int]] = []
    for view in views:
        if view is None:
            return False
        last = sum(step * (size - 1) for step, size in zip(view.strides, view.shape, strict=True))
        extents.append((view.offset, view.offset + last))
    extents.sort()
    return all(end < start for (_, end), (start, _) in pairwise(extents))


class _Sum:
    """The sum of several uses of one parameter, each in its part of it."""

    def __init__(self, uses: tuple[Use, ...], shape: tuple[int, ...]) -> None:
        self._uses = uses
        self.shape = shape

    @property
    def examples(self) -> int:
        return self._uses[0][1].examples

    @property
    def columns(self) -> int:
        return self._uses[0][1].columns

    def rows(self, which: slice) -> _Sum:
        return _Sum(tuple((view, factor.rows(which)) for view, factor in self._uses), self.shape)

    def materialize(self) -> Tensor:
        total: Tensor | None = None
        for view, factor in self._uses:
            part = factor.materialize().flatten(2)
            if view is not None:
                part = view.scatter(part.unflatten(2, view.shape), math.prod(self.shape))
            total = part if total is None else total + part
        assert total is not None
        return total.unflatten(2, self.shape)

    def total(self) -> Tensor:
        return self.materialize().sum(0)

    def against(self, vectors: Tensor) -> Tensor:
        return Dense(self.materialize()).against(vectors)
