"""Convolutions in one, two and three dimensions: linear layers over the patches of their input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from pkverify.network.layers.factor import Dense, Extent, Sides, blocks, contraction_flops, dense_product
from pkverify.network.layers.linear import Outer, outer_product
from pkverify.network.layers.site import Call, Site, argument_reader

if TYPE_CHECKING:
    from torch import Tensor

    from pkverify.network.layers.factor import Factor

_convolution = argument_reader("input", "weight", "bias", "stride", "padding", "dilation", "groups")


@dataclass(frozen=True)
class Window:
    """The geometry of a convolution, an entry a spatial axis.

    Args:
        kernel: Sizes of the kernel.
        stride: Steps of the window.
        padding: Zeros before and after.
        dilation: Steps inside the window.
        groups: Groups of channels.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int

    def patches(self, images: Tensor) -> Tensor:
        """The patches ``[n, positions, groups, channels / groups * kernel]`` of images ``[n, channels, *space]``."""
        if any(before or after for before, after in self.padding):
            images = functional.pad(images, [side for pair in reversed(self.padding) for side in pair])
        images = images.contiguous()
        steps, space = images.stride()[2:], images.shape[2:]
        places = [
            (size - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, dilation in zip(space, self.kernel, self.stride, self.dilation, strict=True)
        ]
        windows = images.as_strided(
            (*images.shape[:2], *self.kernel, *places),
            (
                *images.stride()[:2],
                *(step * dilation for step, dilation in zip(steps, self.dilation, strict=True)),
                *(step * stride for step, stride in zip(steps, self.stride, strict=True)),
            ),
        )
        # Positions last while copying: they are nearly contiguous in the images.
        return windows.reshape(images.shape[0], self.groups, -1, math.prod(places)).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Convolution:
    """Gradients of a convolution's weight: an outer product over patches that are made when they are needed.

    Args:
        images: ``[examples, frames, channels, *space]``.
        cotangents: ``[examples, columns, frames * positions, groups, channels out / groups]``.
        shape: The shape of the weight.
        window: The geometry.
    """

    images: Tensor
    cotangents: Tensor
    shape: tuple[int, ...]
    window: Window

    @property
    def examples(self) -> int:
        return self.cotangents.shape[0]

    @property
    def columns(self) -> int:
        return self.cotangents.shape[1]

    @property
    def extent(self) -> Extent:
        _, _, positions, groups, outputs = self.cotangents.shape
        return Extent(positions, groups, math.prod(self.shape[1:]), outputs)

    @property
    def words(self) -> int:
        """Words of one example's patches."""
        return self.extent.positions * self.extent.groups * self.extent.inputs

    def rows(self, which: slice) -> Convolution:
        return Convolution(self.images[which], self.cotangents[which], self.shape, self.window)

    def outer(self) -> Outer:
        """The same gradients, with the patches laid out."""
        patches = self.window.patches(self.images.flatten(0, 1))
        frames = self.images.shape[1]
        if frames > 1:
            patches = patches.unflatten(0, (self.examples, frames)).flatten(1, 2)
        return Outer(patches, self.cotangents, self.shape)

    def materialize(self) -> Tensor:
        return torch.cat([self.rows(some).outer().materialize() for some in blocks(self.examples, self.words)])

    def total(self) -> Tensor:
        parts = [self.rows(some).outer().total() for some in blocks(self.examples, self.words)]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)

    def against(self, vectors: Tensor) -> Tensor:
        parts = [self.rows(some).outer().against(vectors) for some in blocks(self.examples, self.words)]
        return torch.cat(parts, 1)


def convolution_product(left: Convolution, right: Convolution) -> Tensor:
    """Inner products of the gradients of two factors of one weight, in the cheaper order.

    Args:
        left: The factor of the queries.
        right: The factor of the training examples.

    Returns:
        ``[q, columns, m, columns']``.
    """
    sides = Sides(left.examples, left.columns, right.examples, right.columns)
    pairs, sums = contraction_flops(left.extent, right.extent, sides)
    return dense_product(left, right) if sums < pairs else outer_product(left.outer(), right.outer(), "pairs")


def _axes(value: Any, count: int) -> tuple[int, ...]:
    return (
        (int(value),) * count
        if isinstance(value, int)
        else tuple(int(entry) for entry in value) * (count if len(value) == 1 else 1)
    )


def _padding(value: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    if value == "valid":
        return ((0, 0),) * len(kernel)
    if value == "same":
        totals = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((side, side) for side in _axes(value, len(kernel)))


def convolution_site(call: Call) -> Site | None:
    """``conv1d``, ``conv2d`` and ``conv3d`` of a batch, with stride, padding, dilation and groups."""
    given = _convolution(call)
    images, weight = given.get("input"), given.get("weight")
    if images is None or weight is None or call.tracks(images) or images.ndim != weight.ndim:
        return None
    space = weight.ndim - 2
    dilation = _axes(given.get("dilation", 1), space)
    kernel = tuple(weight.shape[2:])
    window = Window(
        kernel,
        _axes(given.get("stride", 1), space),
        _padding(given.get("padding", 0), kernel, dilation),
        dilation,
        int(given.get("groups", 1)),
    )
    shape = tuple(weight.shape)

    def factor(role: str, data: Tensor, cotangents: Tensor) -> Factor:
        # [examples, columns, frames, channels, *space] -> [examples, columns, frames * positions, channels]
        spread = cotangents.flatten(4)
        if role == "bias":
            return Dense(spread.sum((2, 4)))
        frames = spread.shape[2]
        spread = spread[:, :, 0].mT if frames == 1 else spread.mT.flatten(2, 3)
        return Convolution(data, spread.unflatten(3, (window.groups, -1)), shape, window)

    return Site(call, call.parameters(given, "weight", "bias"), images, 1, factor)


CONVOLUTION_SITES = {
    functional.conv1d: convolution_site,
    functional.conv2d: convolution_site,
    functional.conv3d: convolution_site,
}
