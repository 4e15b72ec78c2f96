"""Tangent kernels of a convolutional network against torch.func: all ten outputs, time and memory.

    python tests/benchmarks/network_convolution.py [--examples 64] [--queries 16] [--only layers|torch] [--rounds 3]

Convolutions 3-32-32-32 of width 3 and a linear layer on 32 x 32 images, ReLU between. ``--only`` runs one way once and
prints the memory that it took beyond the model and the data.
"""

from __future__ import annotations

from torch import Tensor, nn

from tests.benchmarks.network_outputs import compare


def network() -> nn.Module:
    """The network of the tutorial on tangent kernels that comes with torch."""
    layers: list[nn.Module] = []
    for channels in (3, 32, 32):
        layers += [nn.Conv2d(channels, 32, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 26 * 26, 10))


def images(count: int, random: Tensor) -> Tensor:
    """Random images."""
    return random.new_empty(count, 3, 32, 32).normal_()


if __name__ == "__main__":
    compare("convolutions 3-32-32-32", network, images)
