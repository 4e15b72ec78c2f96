"""What is known of a model before its gradients are captured: how it is called, and how it uses its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pkverify.errors import InputError
from pkverify.network.layers import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pkverify.network.layers.batches import Batch
    from pkverify.network.layers.contraction import Use
    from pkverify.network.layers.layout import Layout


@dataclass(frozen=True)
class Study:
    """A model, the parameters asked for, and how each is used.

    Args:
        model: The model; it is never changed.
        output: Makes the output tensor from what the model returns.
        names: The selected parameters, in the model's order.
        dtype: The dtype to compute in.
        device: The device of the parameters.
        layouts: The layout of each recognised call, in the order of the forward pass; None for a call that is left
            to the general route.
        loose: The selected parameters whose gradients need the general route.
        output_shape: The shape of one example's output.
        examples_like: Shapes and dtypes of the inputs, but for the number of examples.
        bytes_per_example: Memory of the forward pass of one example.
        sample: The factors of the first example, with cotangents of zero: they say how large those of a batch will be.
    """

    model: nn.Module
    output: Callable[[Any], Tensor]
    names: tuple[str, ...]
    dtype: torch.dtype
    device: torch.device
    layouts: tuple[Layout | None, ...]
    loose: tuple[str, ...]
    output_shape: tuple[int, ...]
    examples_like: tuple[tuple[str, tuple[int, ...], torch.dtype], ...]
    bytes_per_example: int
    sample: Mapping[str, tuple[Use, ...]]

    @property
    def outputs(self) -> int:
        """How many numbers the output of one example has."""
        return int(torch.Size(self.output_shape).numel())

    def state(self, weights: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Parameters and buffers to call the model with: detached, in the study's dtype, some from ``weights``."""
        state = {name: tensor.detach() for name, tensor in self.model.named_parameters()}
        state |= {name: buffer.detach().clone() for name, buffer in self.model.named_buffers()}
        unknown = [name for name in weights or {} if name not in state]
        if unknown:
            raise InputError(f"weights[{unknown[0]!r}]: no parameter of the model", "", f"there are {', '.join(state)}")
        state |= {name: tensor.detach() for name, tensor in (weights or {}).items()}
        return {
            name: tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)
            for name, tensor in state.items()
        }

    def call(self, state: Mapping[str, Tensor], x: Batch) -> Tensor:
        """The output tensor of the model on a batch, with ``state`` in place of its parameters and buffers."""
        return called(self.model, self.output, state, x)


_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def called(model: nn.Module, output: Callable[[Any], Tensor], state: Mapping[str, Tensor], x: Batch) -> Tensor:
    """The output of a model called with ``state`` on ``x``; it must be a tensor."""
    args, kwargs = batches.arguments(x)
    y: Any = output(functional_call(model, dict(state), args, kwargs))
    if not isinstance(y, Tensor) or not y.is_floating_point():
        raise InputError(
            f"output: the model returned {type(y).__name__}, not a tensor of real numbers",
            "a prediction is one number, or a vector of them, an example",
            "give output=, a function of what the model returns: output=lambda result: result.logits[:, -1]",
        )
    return y


def identity(value: Any) -> Any:
    """What the model returned is the output itself."""
    return value


def select(model: nn.Module, params: str | Sequence[str]) -> tuple[str, ...]:
    """The names of the parameters that match a glob, or one of several; a parameter under two names counts once.

    Args:
        model: The model.
        params: Globs, as in ``"layers.*.weight"``.

    Returns:
        The names, in the model's order.

    Raises:
        InputError: A glob matches no parameter, or one is not real.

    Example:
        >>> select(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), "1.*")
        ('1.weight', '1.bias')
    """
    globs = (params,) if isinstance(params, str) else tuple(params)
    everything = dict(model.named_parameters(remove_duplicate=False))
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in everything):
            raise InputError(
                f"params: {glob!r} matches no parameter", "", f"there are {', '.join(everything) or 'none'}"
            )
    chosen = {id(tensor) for name, tensor in everything.items() if any(fnmatchcase(name, glob) for glob in globs)}
    names = tuple(name for name, tensor in model.named_parameters() if id(tensor) in chosen)
    for name in names:
        if not everything[name].is_floating_point():
            raise InputError(f"params: {name} has dtype {everything[name].dtype}", "", "leave it out, or make it real")
    return names


def require_functional(model: nn.Module) -> None:
    """Refuses a model whose outputs are random, or depend on the other examples of a batch.

    Args:
        model: The model, in the mode in which it is to be called.

    Raises:
        InputError: There is batch normalisation by batch statistics, or dropout in training mode.
    """
    for name, module in model.named_modules():
        where = f"model.{name}" if name else "model"
        if isinstance(module, _BATCH_NORMS) and (module.training or module.running_mean is None):
            raise InputError(
                f"{where}: batch normalisation by the statistics of the batch",
                "the output of an example then depends on the others, and has no gradient of its own",
                "call model.eval() first"
                if module.running_mean is not None
                else "keep running statistics, or use GroupNorm",
            )
        dropped = (
            getattr(module, "p", 0.0)
            if isinstance(module, _DROPOUTS)
            else (getattr(module, "dropout", 0.0) if isinstance(module, nn.MultiheadAttention | nn.RNNBase) else 0.0)
        )
        if module.training and isinstance(dropped, float | int) and dropped > 0:
            raise InputError(
                f"{where}: dropout in training mode",
                "its output is random, and has no derivative to speak of",
                "call model.eval() first",
            )
