"""Tasks large enough for errors to have a size worth quoting: one for each loss, and one for each kind of run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pkverify.testing.conform.spec import network
from pkverify.testing.conform.task import CONVOLUTION, MEAN, MINIBATCHES, MOMENTUM, Task, loss_of

SIZES = "8 - 16 - 3 tanh, 12 examples, 5 queries, 4 steps"

_BATCHES = ((0, 3, 4, 7, 9), (11, 1, 2), (8, 5, 10, 6), (2, 0, 9, 3, 7))


def larger_task(kind: str, *, features: tuple[str, ...] = (), seed: int = 0) -> Task:
    """A perceptron 8 - 16 - 3 with tanh, or a small convolutional network; 12 examples, 5 queries, 4 steps.

    Args:
        kind: One of ``LOSSES``.
        features: What it has beyond plain descent, of ``FEATURES``.
        seed: Of the weights and data.

    Example:
        >>> larger_task("squared", features=("minibatches", "momentum")).features
        ('minibatches', 'momentum')
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    shape = (2, 5, 5) if CONVOLUTION in features else (8,)
    model = _convolutional() if CONVOLUTION in features else network((8, 16, 3), bias=True)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(normal(*p.shape) / (p[0].numel() ** 0.5))
    x, x_query = normal(12, *shape), normal(5, *shape)
    if kind == "squared":
        y, y_query = normal(12, 3), normal(5, 3)
    else:
        y, y_query = (torch.randint(0, 3, (count,), generator=generator) for count in (12, 5))
    start = {name: w.detach().clone() for name, w in model.state_dict().items()}
    mean = MEAN in features
    faster = (4 if mean else 1) / (8 if CONVOLUTION in features else 1)
    rates = tuple(faster * rate for rate in (0.02, 0.01, 0.02, 0.005))
    task = Task(
        model,
        loss_of(kind),
        x,
        y,
        x_query,
        y_query,
        (start,),
        rates,
        kind,
        batch_size=5,
        batches=_BATCHES if MINIBATCHES in features else None,
        mean=mean,
        momentum=0.5 if MOMENTUM in features else 0.0,
    )
    task = task.retrained()
    task.model.load_state_dict(task.checkpoints[-1])
    return task


def _convolutional() -> nn.Sequential:
    """Two convolutions, the second with a stride, and a linear layer; 219 parameters."""
    layers = (
        nn.Conv2d(2, 4, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(4, 4, 3, stride=2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
    return nn.Sequential(*layers).to(torch.float64).eval()
