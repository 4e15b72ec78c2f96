"""pkverify's own numbers, by its network route: the exact split of a recorded run, and its tangent kernels."""

from __future__ import annotations

from importlib.metadata import version

import torch
from torch import Tensor

from pkverify.network.decompose import decompose
from pkverify.network.record import record
from pkverify.network.tangent_kernel import tangent_kernel
from pkverify.testing.conform.adapter import Adapter
from pkverify.testing.conform.task import Task


def exact_output(task: Task) -> Tensor:
    """The contributions to one output, from a run that is made again and recorded."""
    return _split(task)[:, :, task.output]


def left_endpoint(task: Task) -> Tensor:
    """TracIn's sum, from tangent kernels seeded by the losses on both sides."""
    total = torch.zeros(len(task.x_query), len(task.x), dtype=torch.float64)
    for rate, weights in zip(task.rates, task.checkpoints, strict=False):
        total += rate * tangent_kernel(
            task.model, task.x_query, task.x, loss=task.loss, y_train=task.y, y_query=task.y_query, weights=weights
        )
    return total


def loss_weighted(task: Task) -> Tensor:
    """The sum of tangent kernels seeded by the losses on the training side alone."""
    total = torch.zeros(len(task.x_query), len(task.x), dtype=torch.float64)
    for rate, weights in zip(task.rates, task.checkpoints, strict=False):
        kernel = tangent_kernel(task.model, task.x_query, task.x, loss=task.loss, y_train=task.y, weights=weights)
        total += rate * kernel.reshape(len(task.x_query), len(task.x), -1)[:, :, task.output]
    return total


def path_kernel(task: Task) -> Tensor:
    """The sum of tangent kernels, traced over the outputs."""
    total = torch.zeros(len(task.x_query), len(task.x), dtype=torch.float64)
    for rate, weights in zip(task.rates, task.checkpoints, strict=False):
        kernel = tangent_kernel(task.model, task.x_query, task.x, weights=weights)
        total += rate * (kernel if kernel.ndim == 2 else kernel.diagonal(dim1=2, dim2=3).sum(-1))
    return total


def adapters() -> tuple[Adapter, ...]:
    """The adapters of this module."""
    number = version("pkverify")
    return (
        Adapter("pkverify decompose", exact_output, "exact-output", number, any_examples=False),
        Adapter("pkverify tangent_kernel, both losses", left_endpoint, "left-endpoint", number),
        Adapter("pkverify tangent_kernel, loss", loss_weighted, "loss-weighted", number),
        Adapter("pkverify tangent_kernel", path_kernel, "path-kernel", number),
    )


def _split(task: Task) -> Tensor:
    model = task.model
    model.load_state_dict(dict(task.checkpoints[0]))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with record(model, optimizer, loss=task.loss, x=task.x, y=task.y) as path:
        for rate in task.rates:
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            task.loss(model(task.x), task.y).backward()
            optimizer.step()
    return decompose(path, task.x_query).contributions
