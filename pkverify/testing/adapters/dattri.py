"""dattri's TracIn: as its constructor leaves it, and with its projection turned off behind the constructor's back."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

from torch import Tensor
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from pkverify.testing.conform.adapter import Adapter
from pkverify.testing.conform.task import Task


def tracin(task: Task) -> Tensor:
    """TracIn with the default arguments, which project gradients to 512 dimensions."""
    return _scores(task, project=True)


def tracin_unprojected(task: Task) -> Tensor:
    """TracIn of the whole gradients."""
    return _scores(task, project=False)


def adapters() -> tuple[Adapter, ...]:
    """The adapters of this module.

    Raises:
        ImportError: If dattri is not installed.
    """
    import_module("dattri.algorithm.tracin")
    number = version("dattri")
    return (
        Adapter("dattri TracIn", tracin, "left-endpoint", number),
        Adapter(
            "dattri TracIn, unprojected",
            tracin_unprojected,
            "left-endpoint",
            number,
            note="projector_kwargs is set to None after construction; the constructor has no argument for it",
        ),
    )


def _scores(task: Task, *, project: bool) -> Tensor:
    def loss(params: Any, data: Any) -> Tensor:
        x, y = data
        return task.loss(functional_call(task.model, params, (x[None],)), y[None])

    attributor: Any = import_module("dattri.algorithm.tracin").TracInAttributor(
        task=import_module("dattri.task").AttributionTask(
            loss_func=loss, model=task.model, checkpoints=[dict(point) for point in task.checkpoints[: len(task.rates)]]
        ),
        weight_list=list(task.rates),
        normalized_grad=False,
        device="cpu",
    )
    if not project:
        attributor.projector_kwargs = None
    train = DataLoader(TensorDataset(task.x, task.y), batch_size=task.batch_size, shuffle=False)
    queries = DataLoader(TensorDataset(task.x_query, task.y_query), batch_size=task.batch_size, shuffle=False)
    return attributor.attribute(train, queries).T
