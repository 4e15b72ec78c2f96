"""pkverify's own numbers, by its network route: the exact split of a recorded run, and its tangent kernels."""

from __future__ import annotations

from importlib.metadata import version

import torch
from torch import Tensor

from pkverify.network.decompose import decompose
from pkverify.network.record import record
from pkverify.network.tangent_kernel import tangent_kernel
from pkverify.testing.conform.adapter import Adapter
from pkverify.testing.conform.task import Checkpoint, Task


def exact_output(task: Task) -> Tensor:
    """The contributions to one output, from a run that is made again and recorded."""
    return _split(task)[:, :, task.output]


def left_endpoint(task: Task) -> Tensor:
    """TracIn's sum, from tangent kernels seeded by the losses on both sides."""
    return task.sum_over_steps(
        lambda weights: tangent_kernel(
            task.model, task.x_query, task.x, loss=task.loss, y_train=task.y, y_query=task.y_query, weights=weights
        ),
    )


def loss_weighted(task: Task) -> Tensor:
    """The sum of tangent kernels seeded by the losses on the training side alone."""

    def kernel(weights: Checkpoint) -> Tensor:
        found = tangent_kernel(task.model, task.x_query, task.x, loss=task.loss, y_train=task.y, weights=weights)
        return found.reshape(len(task.x_query), len(task.x), -1)[:, :, task.output]

    return task.sum_over_steps(kernel)


def path_kernel(task: Task) -> Tensor:
    """The sum of tangent kernels, traced over the outputs."""

    def kernel(weights: Checkpoint) -> Tensor:
        found = tangent_kernel(task.model, task.x_query, task.x, weights=weights)
        return found if found.ndim == 2 else found.diagonal(dim1=2, dim2=3).sum(-1)

    return task.sum_over_steps(kernel)


def adapters() -> tuple[Adapter, ...]:
    """The adapters of this module."""
    number, devices = version("pkverify"), ("cpu", "cuda")
    return (
        Adapter(
            "pkverify decompose", exact_output, "exact-output", number, any_examples=False, cannot={}, devices=devices
        ),
        Adapter("pkverify tangent_kernel, both losses", left_endpoint, "left-endpoint", number, devices=devices),
        Adapter("pkverify tangent_kernel, loss", loss_weighted, "loss-weighted", number, devices=devices),
        Adapter("pkverify tangent_kernel", path_kernel, "path-kernel", number, devices=devices),
    )


def _split(task: Task) -> Tensor:
    model = task.model
    model.load_state_dict(dict(task.checkpoints[0]))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=task.momentum)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return task.loss(outputs, targets) / (len(targets) if task.mean else 1)

    with record(model, optimizer, loss=loss, x=task.x, y=task.y) as path:
        for step, rate in enumerate(task.rates):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            chosen = torch.tensor(task.batch(step), device=task.x.device)
            path.batch(chosen)
            loss(model(task.x[chosen]), task.y[chosen]).backward()
            optimizer.step()
    return decompose(path, task.x_query).contributions
