"""ExPLAIND's exact path kernel of SGD: as a task comes, in float64, and cast to float32 first.

With momentum it keeps a buffer for each example, in float16 unless told otherwise: so there are two rows in float32.
"""

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


def exact_path_kernel_by_default_buffers(task: Task) -> Tensor:
    """The same with the momentum's buffers in float16, which is their default."""
    if not task.momentum:
        raise NotApplicable("without momentum there are no buffers")
    return _scores(task, torch.float32, half_buffers=True).to(torch.float64)


def adapters() -> tuple[Adapter, ...]:
    """The adapters of this module.

    Raises:
        ImportError: If explaind is not installed.
    """
    import_module("explaind.epk_model")
    number = version("explaind")
    options: dict[str, Any] = {"losses": ("cross-entropy",), "any_examples": False, "cannot": {}}
    return (
        Adapter("explaind", exact_path_kernel, "exact-loss", number, note=f"{_NODES} midpoints a step", **options),
        Adapter(
            "explaind, cast to float32",
            exact_path_kernel_in_single,
            "exact-loss",
            number,
            note=f"{_NODES} midpoints a step; model, data and the buffers of the momentum are float32",
            **options,
        ),
        Adapter(
            "explaind, cast to float32, its own buffers",
            exact_path_kernel_by_default_buffers,
            "exact-loss",
            number,
            note=f"{_NODES} midpoints a step; model and data are float32, the buffers of the momentum float16",
            **options,
        ),
    )


def _scores(task: Task, dtype: torch.dtype, *, half_buffers: bool = False) -> Tensor:
    if task.rescaled:
        raise NotApplicable("it handles cross-entropy as it is")
    # It takes log-probabilities. What it divides by the size of a batch is its prediction, not its kernels, so rates
    # are those of the sum of the losses.
    model = nn.Sequential(*task.model, nn.LogSoftmax(1)).to(dtype)
    points = [{name: w.to(dtype) for name, w in point.items()} for point in task.checkpoints]
    m, outputs, steps = len(task.x), len(task.checkpoints[0][f"{task.last_layer}.weight"]), range(len(task.rates))
    path = import_module("explaind.model_paths").ModelPath(model, device="cpu", checkpoints=points, output_dim=outputs)
    rates = [task.rates[s] / (len(task.batch(s)) if task.mean else 1) for s in steps]
    if task.momentum and len({*(len(task.batch(s)) for s in steps)}) > 1 and task.mean:
        raise NotApplicable("its momentum takes no batches of unlike size, whose losses are averaged")
    optimizer = import_module("explaind.optimizer_paths").SGDOptimizerPath(
        path,
        lr=1.0,
        weight_decay=0.0,
        momentum=task.momentum,
        checkpoints=[{"lr": rate, "weight_decay": 0.0} for rate in (rates[0], *rates)],
        buffer_float16=half_buffers,
        device="cpu",
    )
    batches = [torch.tensor(task.batch(s)) for s in steps]
    taken = [{"X": task.x[batch].to(dtype), "y": task.y[batch], "indices": batch} for batch in batches]
    data = SimpleNamespace(dataloader=SimpleNamespace(dataset=range(m)), get_checkpoint=lambda step: taken[step])
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
    return -total[torch.arange(len(task.x_query)), task.y_query]
