"""Tangent kernels of a small transformer against torch.func: the loss of a sequence, time and memory.

    python tests/benchmarks/network_transformer.py [--examples 64] [--queries 16] [--only layers|torch] [--rounds 5]

Two layers of width 64 with four heads, a vocabulary of 64, sequences of 32; the output is the mean cross-entropy of
each sequence's next tokens, one number. ``--only`` runs one way once and prints the memory that it took.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.benchmarks.network_outputs import compare


class Language(nn.Module):
    """A transformer that gives the mean loss of each sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(64, 64)
        self.positions = nn.Parameter(0.1 * torch.randn(32, 64))
        layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True, activation="gelu")
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 64, bias=False)
        self.register_buffer("mask", torch.triu(torch.full((32, 32), -1e9), 1))

    def forward(self, tokens: Tensor) -> Tensor:
        """One number a sequence."""
        logits = self.head(self.layers(self.table(tokens) + self.positions, mask=self.mask))[:, :-1]
        return functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").mean(1, keepdim=True)


def sequences(count: int, random: Tensor) -> Tensor:
    """Random sequences."""
    return random.new_empty(count, 32).random_(0, 64).long()


if __name__ == "__main__":
    compare("transformer, 2 layers of width 64", Language, sequences)
