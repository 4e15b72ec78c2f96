"""What an adapter is given: a trained network, its checkpoints, what its steps did, and the questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pkverify.errors import InputError

LOSSES = ("squared", "cross-entropy")
MINIBATCHES, MEAN, MOMENTUM, CONVOLUTION = "minibatches", "mean over the batch", "momentum", "convolution"
FEATURES = (MINIBATCHES, MEAN, MOMENTUM, CONVOLUTION)
"""What a task may have beyond plain descent of a perceptron on all examples at once."""

Checkpoint = Mapping[str, Tensor]


class OutputScale(nn.Module):
    """Multiplies all outputs by a constant.

    Args:
        factor: The constant.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, outputs: Tensor) -> Tensor:
        return self.factor * outputs


class RescaledLoss(nn.Module):
    """``factor * loss(outputs / outputs_scale, targets)``; a sum over the examples, as its ``reduction`` says.

    Args:
        loss: A loss that adds up the examples of a batch.
        factor: What its value is multiplied by.
        outputs_scale: What the outputs are divided by.
    """

    reduction = "sum"

    def __init__(self, loss: nn.Module, factor: float = 1.0, outputs_scale: float = 1.0) -> None:
        super().__init__()
        self.loss = loss
        self.factor = factor
        self.outputs_scale = outputs_scale

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.factor * self.loss(outputs / self.outputs_scale, targets)


class EachLoss(nn.Module):
    """The loss of each example of a batch by itself, ``[n]``, as its ``reduction`` says.

    Args:
        loss: A loss that adds up the examples of a batch.
    """

    reduction = "none"

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.stack([self.loss(o[None], t[None]) for o, t in zip(outputs, targets, strict=True)])


@dataclass(frozen=True, eq=False)
class Task:
    """A training run by gradient descent, and queries: everything in float64 on the CPU.

    Step s goes from ``checkpoints[s]`` to ``checkpoints[s + 1]`` along ``-rates[s]`` times its direction: the gradient
    of the loss of its batch, plus ``momentum`` times the direction of the step before.

    Attributes:
        model: The network, a ``torch.nn.Sequential``; in eval mode, at the last weights.
        loss: Of (outputs, targets): the sum over the examples of a batch. Its ``reduction`` is ``"sum"``.
        x: Training inputs, ``[m, n]``; images ``[m, channels, rows, columns]`` for a convolution.
        y: Training targets: ``[m, C]``, or classes ``[m]``.
        x_query: Inputs of the queries, ``[q, ...]``.
        y_query: Their targets.
        checkpoints: The weights before each step, and the last ones: one more than there are steps.
        rates: The learning rate of each step.
        kind: One of ``LOSSES``.
        batch_size: How many examples to handle at once; scores must not depend on it, nor has training to do with it.
        output: The output that quantities of one output are about.
        rescaled: Whether the model or the loss is not one of torch's own layers and losses.
        batches: The examples that each step took, by their indices, none of them twice; None where all took all.
        mean: Whether a step took the mean of the losses of its batch; else the sum.
        momentum: That of ``torch.optim.SGD``, without dampening.
    """

    model: nn.Sequential
    loss: nn.Module
    x: Tensor
    y: Tensor
    x_query: Tensor
    y_query: Tensor
    checkpoints: tuple[dict[str, Tensor], ...]
    rates: tuple[float, ...]
    kind: str
    batch_size: int = 2
    output: int = 0
    rescaled: bool = False
    batches: tuple[tuple[int, ...], ...] | None = None
    mean: bool = False
    momentum: float = 0.0

    @property
    def last_layer(self) -> str:
        """The name of the last layer that has parameters."""
        return list(self.checkpoints[0])[-1].rpartition(".")[0]

    @property
    def features(self) -> tuple[str, ...]:
        """Which of ``FEATURES`` it has."""
        have = (
            self.batches is not None,
            self.mean,
            bool(self.momentum),
            any(isinstance(layer, nn.Conv2d) for layer in self.model),
        )
        return tuple(name for name, has in zip(FEATURES, have, strict=True) if has)

    def batch(self, step: int) -> tuple[int, ...]:
        """The indices of the examples that a step took."""
        return tuple(range(len(self.x))) if self.batches is None else self.batches[step]

    def shares(self, step: int) -> Tensor:
        """How much of each example's loss is in the loss of a step, ``[m]``: 0, 1, or 1 over the size of the batch."""
        chosen = self.batch(step)
        shares = torch.zeros(len(self.x), dtype=torch.float64)
        shares[list(chosen)] = 1 / len(chosen) if self.mean else 1.0
        return shares

    def sum_over_steps(self, term: Callable[[Checkpoint], Tensor]) -> Tensor:
        """A left-endpoint sum: of each step's learning rate times a term at the checkpoint before the step."""
        terms = [rate * term(weights) for rate, weights in zip(self.rates, self.checkpoints, strict=False)]
        return torch.stack(terms).sum(0)

    def fresh(self) -> Task:
        """A copy that shares no tensor with this one: what an adapter does to it stays there."""
        model = deepcopy(self.model)
        model.load_state_dict(self.checkpoints[-1])
        return replace(
            self,
            model=model,
            x=self.x.clone(),
            y=self.y.clone(),
            x_query=self.x_query.clone(),
            y_query=self.y_query.clone(),
            checkpoints=tuple({name: w.clone() for name, w in point.items()} for point in self.checkpoints),
        )

    def to(self, device: str) -> Task:
        """A copy that is on another device."""
        own = self.fresh()
        return replace(
            own,
            model=own.model.to(device),
            x=own.x.to(device),
            y=own.y.to(device),
            x_query=own.x_query.to(device),
            y_query=own.y_query.to(device),
            checkpoints=tuple({name: w.to(device) for name, w in point.items()} for point in own.checkpoints),
        )

    def retrained(self, **changes: Any) -> Task:
        """The same with other data, rates or loss, and the run made again from the first weights."""
        changed = replace(self, **changes)
        return replace(changed, checkpoints=train(changed))


def train(task: Task) -> tuple[dict[str, Tensor], ...]:
    """The weights before each step and after the last, from the task's first ones, by its batches and momentum."""
    points = [{name: w.clone() for name, w in task.checkpoints[0].items()}]
    direction = {name: torch.zeros_like(w) for name, w in points[0].items()}
    for step, rate in enumerate(task.rates):
        weights = {name: w.clone().requires_grad_() for name, w in points[-1].items()}
        chosen = list(task.batch(step))
        loss = task.loss(torch.func.functional_call(task.model, weights, (task.x[chosen],)), task.y[chosen])
        if task.mean:
            loss = loss / len(chosen)
        gradients = torch.autograd.grad(loss, list(weights.values()))
        for name, g in zip(weights, gradients, strict=True):
            direction[name] = task.momentum * direction[name] + g
        points.append({name: (w - rate * direction[name]).detach() for name, w in weights.items()})
    return tuple(points)


def loss_of(kind: str) -> nn.Module:
    """torch's own loss, added up over the examples."""
    if kind not in LOSSES:
        raise InputError(f"loss: there is no {kind!r}", "", f"choose from {', '.join(LOSSES)}")
    return nn.MSELoss(reduction="sum") if kind == "squared" else nn.CrossEntropyLoss(reduction="sum")
