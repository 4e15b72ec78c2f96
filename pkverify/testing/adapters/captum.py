"""captum's TracInCP, with both ways to get gradients of single examples, and its TracInCPFast."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.utils.data import TensorDataset

from pkverify.testing.conform.adapter import Adapter
from pkverify.testing.conform.task import EachLoss, Task


def tracincp(task: Task) -> Tensor:
    """TracInCP, one example after another."""
    # In this mode captum refuses a loss that adds up the batch.
    return _scores(task, "TracInCP", loss=EachLoss(task.loss))


def tracincp_by_batch(task: Task) -> Tensor:
    """TracInCP, gradients of single examples taken from hooks over a batch."""
    return _scores(task, "TracInCP", sample_wise_grads_per_batch=True)


def tracincp_fast(task: Task) -> Tensor:
    """TracInCPFast on the last layer."""
    return _scores(task, "TracInCPFast", last_layer=True)


def adapters() -> tuple[Adapter, ...]:
    """The adapters of this module.

    Raises:
        ImportError: If captum is not installed.
    """
    import_module("captum.influence")
    number = version("captum")
    return (
        Adapter("captum TracInCP", tracincp, "left-endpoint", number),
        Adapter("captum TracInCP, by batch", tracincp_by_batch, "left-endpoint", number),
        Adapter("captum TracInCPFast", tracincp_fast, "left-endpoint", number, params=("{last}.*",)),
    )


def _scores(task: Task, kind: str, *, loss: Module | None = None, last_layer: bool = False, **options: Any) -> Tensor:
    def load(model: Any, step: int) -> float:
        model.load_state_dict(dict(task.checkpoints[step]))
        return task.rates[step]

    arguments: list[Any] = [task.model]
    if last_layer:
        arguments.append(task.model.get_submodule(task.last_layer))
    influence: Any = getattr(import_module("captum.influence"), kind)(
        *arguments,
        TensorDataset(task.x, task.y),
        list(range(len(task.rates))),
        checkpoints_load_func=load,
        loss_fn=task.loss if loss is None else loss,
        batch_size=task.batch_size,
        **options,
    )
    return influence.influence((task.x_query, task.y_query))
