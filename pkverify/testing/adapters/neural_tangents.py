"""neural-tangents' empirical tangent kernels at the checkpoints, by each of its three implementations.

It needs JAX of a version of its own time, so an environment of its own: neural-tangents 0.6.5 without its dependencies,
with jax and jaxlib 0.4.23, numpy below 2, scipy below 1.13, frozendict and absl-py; and beside it torch and pkverify.
Run ``pkverify conform neural-tangents`` there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from pkverify.testing.conform.adapter import Adapter, NotApplicable
from pkverify.testing.conform.task import Checkpoint, OutputScale, Task

IMPLEMENTATIONS = ("JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS", "STRUCTURED_DERIVATIVES")


def left_endpoint(task: Task, implementation: str = IMPLEMENTATIONS[0]) -> Tensor:
    """TracIn's sum: tangent kernels, weighted by the derivatives of the losses on both sides."""
    return _over_steps(task, implementation, lambda k, one, two: torch.einsum("qmab,qa,mb->qm", k, one, two))


def loss_weighted(task: Task, implementation: str = IMPLEMENTATIONS[0]) -> Tensor:
    """Tangent kernels, weighted by the derivatives of the training examples' losses."""
    return _over_steps(task, implementation, lambda k, _, two: torch.einsum("qmb,mb->qm", k[:, :, task.output], two))


def path_kernel(task: Task, implementation: str = IMPLEMENTATIONS[0]) -> Tensor:
    """Tangent kernels, traced over the outputs."""
    return _over_steps(task, implementation, lambda k, _, __: torch.einsum("qmaa->qm", k))


def adapters() -> tuple[Adapter, ...]:
    """The adapters of this module.

    Raises:
        ImportError: If neural-tangents is not installed, or the JAX beside it is too new for it.
    """
    try:
        _library()
    except AttributeError as error:  # what a JAX without the names that it wants comes to
        raise ImportError(f"neural_tangents with this jax: {error}") from error
    number = version("neural-tangents")
    found = [
        Adapter(f"neural-tangents, {_words(name)}", _by(left_endpoint, name), "left-endpoint", number)
        for name in IMPLEMENTATIONS
    ]
    return (
        *found,
        Adapter("neural-tangents, loss", loss_weighted, "loss-weighted", number),
        Adapter("neural-tangents, kernel", path_kernel, "path-kernel", number),
    )


def _by(scores: Callable[[Task, str], Tensor], implementation: str) -> Callable[[Task], Tensor]:
    return lambda task: scores(task, implementation)


def _words(implementation: str) -> str:
    return implementation.lower().replace("_", " ").replace("jacobian", "Jacobian").replace("ntk", "NTK")


@lru_cache(maxsize=1)
def _library() -> tuple[Any, Any, Any]:
    # It imports tensorflow in there, for experiments that nobody asks for here.
    sys.modules.setdefault("neural_tangents.experimental", ModuleType("neural_tangents.experimental"))
    jax = import_module("jax")
    tangents = import_module("neural_tangents")
    jax.config.update("jax_enable_x64", True)  # noqa: FBT003 - JAX takes it by position
    return jax, import_module("jax.numpy"), tangents


def _over_steps(task: Task, implementation: str, product: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    _, numbers, tangents = _library()
    kernel = tangents.empirical_ntk_fn(
        _function(task.model),
        trace_axes=(),  # all pairs of outputs; with one of them traced it divides by their number
        vmap_axes=0,
        implementation=tangents.NtkImplementation[implementation],
    )

    def at(weights: Checkpoint) -> Tensor:
        params = {name: numbers.asarray(w.numpy()) for name, w in weights.items()}
        task.model.load_state_dict(dict(weights))
        query = numbers.asarray(task.x_query.numpy())
        found = [
            torch.tensor(kernel(query, numbers.asarray(part.numpy()), params).__array__())
            for part in task.x.split(task.batch_size)
        ]
        slopes = [_slopes(task, x, y) for x, y in ((task.x_query, task.y_query), (task.x, task.y))]
        return product(torch.cat(found, 1), *slopes)

    return task.sum_over_steps(at)


def _slopes(task: Task, x: Tensor, y: Tensor) -> Tensor:
    """The derivatives of each example's loss in the outputs, ``[n, C]``; the losses are torch's."""
    outputs = task.model(x).detach().requires_grad_()
    return torch.autograd.grad(task.loss(outputs, y), outputs)[0]


def _function(model: nn.Sequential) -> Callable[[Any, Any], Any]:
    """The network as a function of parameters and inputs in JAX, layer by layer."""
    jax, numbers, _ = _library()
    layers: Sequence[tuple[str, nn.Module]] = list(model.named_children())

    def apply(params: Any, x: Any) -> Any:
        for name, layer in layers:
            match layer:
                case nn.Linear():
                    x = x @ params[f"{name}.weight"].T
                    if f"{name}.bias" in params:
                        x = x + params[f"{name}.bias"]
                case nn.Conv2d(stride=stride, padding=padding):
                    around = [(p, p) for p in padding] if isinstance(padding, tuple) else padding
                    x = jax.lax.conv_general_dilated(
                        x, params[f"{name}.weight"], stride, around, dimension_numbers=("NCHW", "OIHW", "NCHW")
                    )
                    if f"{name}.bias" in params:
                        x = x + params[f"{name}.bias"][:, None, None]
                case nn.Tanh():
                    x = numbers.tanh(x)
                case nn.Flatten():
                    x = x.reshape(x.shape[0], -1)
                case OutputScale(factor=factor):
                    x = factor * x
                case _:
                    raise NotApplicable(f"the adapter has no JAX for {type(layer).__name__}")
        return x

    return apply
