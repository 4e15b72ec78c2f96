"""Scores by torch.func alone, one vectorised gradient for all examples: short enough to be read through."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev, vmap

from pkverify.testing.conform.adapter import Adapter
from pkverify.testing.conform.task import Checkpoint, Task

_DEVICES = ("cpu", "cuda")


def loss_gradients(task: Task, weights: Checkpoint, x: Tensor, y: Tensor) -> Tensor:
    """The gradient of each example's loss, flat: ``[n, d]``."""

    def loss(params: dict[str, Tensor], one: Tensor, target: Tensor) -> Tensor:
        return task.loss(functional_call(task.model, params, (one[None],)), target[None])

    found = vmap(grad(loss), in_dims=(None, 0, 0))(dict(weights), x, y)
    return torch.cat([g.flatten(1) for g in found.values()], 1)


def output_gradients(task: Task, weights: Checkpoint, x: Tensor) -> Tensor:
    """The gradient of each output of each example: ``[n, C, d]``."""

    def outputs(params: dict[str, Tensor], one: Tensor) -> Tensor:
        return functional_call(task.model, params, (one[None],))[0]

    found = vmap(jacrev(outputs), in_dims=(None, 0))(dict(weights), x)
    return torch.cat([g.flatten(2) for g in found.values()], 2)


def left_endpoint(task: Task) -> Tensor:
    """TracIn's sum over the checkpoints before each step."""
    return task.sum_over_steps(
        lambda w: loss_gradients(task, w, task.x_query, task.y_query) @ loss_gradients(task, w, task.x, task.y).T,
    )


def loss_weighted(task: Task) -> Tensor:
    """The same with one output of the queries in place of their losses."""
    return task.sum_over_steps(
        lambda w: output_gradients(task, w, task.x_query)[:, task.output] @ loss_gradients(task, w, task.x, task.y).T,
    )


def path_kernel(task: Task) -> Tensor:
    """The tangent kernel, its trace over the outputs, along the steps."""
    return task.sum_over_steps(
        lambda w: torch.einsum(
            "qcd,mcd->qm", output_gradients(task, w, task.x_query), output_gradients(task, w, task.x)
        ),
    )


def adapters() -> tuple[Adapter, ...]:
    """The adapters of this module."""
    version = torch.__version__
    return (
        Adapter("torch.func TracIn", left_endpoint, "left-endpoint", version, devices=_DEVICES),
        Adapter("torch.func loss-weighted kernel", loss_weighted, "loss-weighted", version, devices=_DEVICES),
        Adapter("torch.func tangent kernel", path_kernel, "path-kernel", version, devices=_DEVICES),
    )
