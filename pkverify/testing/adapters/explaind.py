"""ExPLAIND's exact path kernel of plain gradient descent: as a task comes, in float64, and cast to float32 first."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from pkverify.testing.conform.adapter import Adapter, NotApplicable
from pkverify.testing.conform.task import Task

_NODES = 20  # midpoints on each step


def exact_path_kernel(task: Task) -> Tensor:
    """The split of the queries' losses, in the type of the model's parameters."""
    return _scores(task, torch.float64)


def exact_path_kernel_in_single(task: Task) -> Tensor:
    """The same with everything cast to float32 first."""
    return _scores(task, torch.float32).to(torch.float64)


def adapters() -> tuple[Adapter, ...]:
    """The adapters of this module.

    Raises:
        ImportError: If explaind is not installed.
    """
    import_module("explaind.epk_model")
    number = version("explaind")
    options: dict[str, Any] = {"losses": ("cross-entropy",), "any_examples": False}
    return (
        Adapter("explaind", exact_path_kernel, "exact-loss", number, note=f"{_NODES} midpoints a step", **options),
        Adapter(
            "explaind, cast to float32",
            exact_path_kernel_in_single,
            "exact-loss",
            number,
            note=f"{_NODES} midpoints a step; model and data are float32",
            **options,
        ),
    )


def _scores(task: Task, dtype: torch.dtype) -> Tensor:
    if task.rescaled:
        raise NotApplicable("it handles cross-entropy as it is")
    # It takes log-probabilities, and the loss as the mean over the batch: rates are multiplied to make that a sum.
    model = nn.Sequential(*task.model, nn.LogSoftmax(1)).to(dtype)
    points = [{name: w.to(dtype) for name, w in point.items()} for point in task.checkpoints]
    m, outputs = len(task.x), len(task.checkpoints[0][f"{task.last_layer}.weight"])
    path = import_module("explaind.model_paths").ModelPath(model, device="cpu", checkpoints=points, output_dim=outputs)
    rates = [{"lr": rate * m, "weight_decay": 0.0} for rate in (task.rates[0], *task.rates)]
    optimizer = import_module("explaind.optimizer_paths").SGDOptimizerPath(
        path, lr=1.0, weight_decay=0.0, momentum=0.0, checkpoints=rates, device="cpu"
    )
    everybody = {"X": task.x.to(dtype), "y": task.y, "indices": torch.arange(m)}
    data = SimpleNamespace(dataloader=SimpleNamespace(dataset=range(m)), get_checkpoint=lambda _: everybody)
    machine = import_module("explaind.epk_model").ExactPathKernelModel(
        path,
        optimizer,
        nn.CrossEntropyLoss(),
        data,
        integral_eps=1 / _NODES,
        early_integral_eps=None,
        early_steps=0,
        evaluate_predictions=False,
        device="cpu",
        kernel_store_interval=float("nan"),  # never: with a number it fails at the first step
    )
    kernels = machine.predict(task.x_query.to(dtype), keep_kernel_matrices=True)[2]
    total = torch.stack([kernel[:, 0] for kernel in kernels.values()]).sum(0)  # [q, C, m], of log-probabilities
    return -total[torch.arange(len(task.x_query)), task.y_query] / m
