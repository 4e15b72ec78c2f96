"""Layer, group, RMS and (in evaluation) batch normalisation: a weight and a bias for what was normalised before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from pkverify.network.layers.factor import Dense
from pkverify.network.layers.site import Call, Site, argument_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pkverify.network.layers.factor import Factor

_layer = argument_reader("input", "normalized_shape", "weight", "bias", "eps")
_group = argument_reader("input", "num_groups", "weight", "bias", "eps")
_batch = argument_reader("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
_layer_kernel = argument_reader("input", "normalized_shape", "weight", "bias", "eps", "cudnn_enable")
_group_kernel = argument_reader("input", "num_groups", "weight", "bias", "eps", "cudnn_enabled")


def _trailing_site(call: Call, normalise: Callable[[Tensor], Tensor], axes: int, inputs: Tensor) -> Site:
    """A weight over the last ``axes`` axes."""

    def factor(role: str, data: Tensor, cotangents: Tensor) -> Factor:
        # [examples, columns, everything between, the weight's entries]
        spread = cotangents.flatten(-axes).flatten(2, -2)
        if role == "weight":
            spread = spread * normalise(data).flatten(-axes).flatten(1, -2)[:, None]
        return Dense(spread.sum(2).unflatten(2, cotangents.shape[-axes:]))

    given = _layer(call)
    return Site(call, call.parameters(given, "weight", "bias"), inputs, inputs.ndim - axes, factor)


def layer_norm_site(call: Call) -> Site | None:
    """``layer_norm``."""
    given = _layer(call)
    inputs = given["input"]
    if call.tracks(inputs):
        return None
    shape, eps = tuple(given["normalized_shape"]), given.get("eps", 1e-5)
    return _trailing_site(call, lambda data: functional.layer_norm(data, shape, None, None, eps), len(shape), inputs)


def rms_norm_site(call: Call) -> Site | None:
    """``rms_norm``."""
    given = argument_reader("input", "normalized_shape", "weight", "eps")(call)
    inputs = given["input"]
    if call.tracks(inputs):
        return None
    shape, eps = tuple(given["normalized_shape"]), given.get("eps")
    return _trailing_site(call, lambda data: functional.rms_norm(data, shape, None, eps), len(shape), inputs)


def _channel_site(
    call: Call, normalise: Callable[[Tensor], Tensor], parameters: dict[str, Tensor], inputs: Tensor
) -> Site:
    """A weight over the channels, which are the second axis of the input."""

    def factor(role: str, data: Tensor, cotangents: Tensor) -> Factor:
        # The axes: examples, columns, frames, channels, and those of space.
        spread = cotangents
        if role == "weight":
            spread = spread * normalise(data.flatten(0, 1)).reshape(data.shape)[:, None]
        return Dense(spread.flatten(4).sum((2, 4)) if spread.ndim > 4 else spread.sum(2))

    return Site(call, parameters, inputs, 1, factor)


def group_norm_site(call: Call) -> Site | None:
    """``group_norm``."""
    given = _group(call)
    inputs = given["input"]
    if call.tracks(inputs):
        return None
    groups, eps = given["num_groups"], given.get("eps", 1e-5)
    parameters = call.parameters(given, "weight", "bias")
    return _channel_site(call, lambda data: functional.group_norm(data, groups, None, None, eps), parameters, inputs)


def batch_norm_site(call: Call) -> Site | None:
    """``batch_norm`` with the running statistics: those of the batch would tie the examples together."""
    given = _batch(call)
    inputs, mean, variance = given["input"], given.get("running_mean"), given.get("running_var")
    if call.tracks(inputs) or call.tracks(mean) or call.tracks(variance) or given.get("training") or mean is None:
        return None
    eps = given.get("eps", 1e-5)
    parameters = call.parameters(given, "weight", "bias")
    return _channel_site(
        call,
        lambda data: functional.batch_norm(data, mean, variance, None, None, training=False, eps=eps),
        parameters,
        inputs,
    )


NORMALISATION_SITES = {
    functional.layer_norm: layer_norm_site,
    torch.layer_norm: layer_norm_site,
    functional.rms_norm: rms_norm_site,
    torch.rms_norm: rms_norm_site,
    functional.group_norm: group_norm_site,
    torch.group_norm: group_norm_site,
    functional.batch_norm: batch_norm_site,
}
