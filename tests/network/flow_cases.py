"""Networks and criteria that the tests of flows share."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

Criterion = Callable[[Tensor, "Tensor | None"], Tensor]


def squares(outputs: Tensor, targets: Tensor | None) -> Tensor:
    assert targets is not None
    return (outputs - targets).square().sum() / 2


def mean_squares(outputs: Tensor, targets: Tensor | None) -> Tensor:
    assert targets is not None
    return nn.functional.mse_loss(outputs, targets)


def cross_entropy(outputs: Tensor, targets: Tensor | None) -> Tensor:
    assert targets is not None
    return nn.functional.cross_entropy(outputs, targets, reduction="sum")


def perceptron(*widths: int, seed: int = 0, activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    """A multilayer perceptron in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), activation()]
        return nn.Sequential(*layers[:-1]).double()


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def line(weight: float) -> nn.Linear:
    """The model ``w x``."""
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(model.weight, weight)
    return model


def path_problem(scale: int = 1) -> tuple[nn.Sequential, Tensor, Tensor, Tensor]:
    """A tanh network of depth three, training data and queries; ``scale`` 4 is the size of the benchmark."""
    width = 8 * scale
    x, y = normal(16 * scale, 5 * scale, seed=2), normal(16 * scale, 1, seed=3)
    return perceptron(5 * scale, width, width, 1), x, y, normal(8 * scale, 5 * scale, seed=4)
