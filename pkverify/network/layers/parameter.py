"""Bare parameters: those that are added to, or multiply, something that depends on the example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pkverify.network.layers.factor import Dense
from pkverify.network.layers.site import Call, Site, argument_reader

if TYPE_CHECKING:
    from pkverify.network.layers.factor import Factor

_binary = argument_reader("input", "other")


def _reduced(cotangents: torch.Tensor, shape: tuple[int, ...], axis: int, ndim: int) -> torch.Tensor:
    """Cotangents ``[examples, columns, positions, *rest]`` summed to a parameter that was broadcast.

    ``axis`` is the batch axis in the output, which had ``ndim`` axes; the parameter has size one there, or ends before.
    """
    aligned = [1] * (ndim - len(shape)) + list(shape)
    del aligned[axis]
    axes = [2, *(place + 3 for place, size in enumerate(aligned) if size == 1)]
    return cotangents.sum(axes).reshape(*cotangents.shape[:2], *shape)


def _broadcast_site(call: Call, *, product: bool, sign: float = 1.0) -> Site | None:
    given = _binary(call)
    left, right = given.get("input"), given.get("other")
    if not isinstance(left, torch.Tensor) or not isinstance(right, torch.Tensor):
        return None
    if call.tracks(left) == call.tracks(right) or call.has("alpha", "out"):
        return None
    parameter, other = (left, right) if call.tracks(left) else (right, left)
    shape = tuple(parameter.shape)
    ndim = max(parameter.ndim, other.ndim)
    # The examples may stand only where the parameter is broadcast, and the other operand must not be.
    if other.ndim < ndim or torch.broadcast_shapes(shape, other.shape) != other.shape:
        return None
    aligned = [1] * (ndim - len(shape)) + list(shape)
    free = [place for place, size in enumerate(aligned) if size == 1]
    leading = next((place for place in range(ndim) if place not in free), ndim)
    factor_sign = sign if parameter is right else 1.0

    def factor(_role: str, data: torch.Tensor, cotangents: torch.Tensor) -> Factor:
        spread = cotangents * data[:, None] if product else cotangents
        gradient = _reduced(spread, shape, 0, ndim)
        return Dense(gradient if factor_sign == 1.0 else factor_sign * gradient)

    return Site(call, {"parameter": parameter}, other, leading, factor)


def sum_site(call: Call) -> Site | None:
    """``input + parameter``, broadcast over the examples."""
    return _broadcast_site(call, product=False)


def difference_site(call: Call) -> Site | None:
    """``input - parameter`` or ``parameter - input``."""
    return _broadcast_site(call, product=False, sign=-1.0)


def product_site(call: Call) -> Site | None:
    """``input * parameter``, broadcast over the examples."""
    return _broadcast_site(call, product=True)


PARAMETER_SITES = {
    torch.add: sum_site,
    torch.Tensor.add: sum_site,
    torch.Tensor.add_: sum_site,
    torch.sub: difference_site,
    torch.Tensor.sub: difference_site,
    torch.mul: product_site,
    torch.Tensor.mul: product_site,
}
