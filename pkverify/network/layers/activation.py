"""The Gaussian error linear unit, faster than torch's own in float64 on a CPU.

torch's kernel evaluates the error function one number at a time in float64, and once more in the backward pass. Here it
is evaluated once, by the vectorised ``torch.erf``, and kept.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class _Gelu(torch.autograd.Function):
    """``x Phi(x)`` with the normal distribution ``Phi``; its derivative is ``Phi(x) + x phi(x)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        below = torch.erf(x * math.sqrt(0.5)).add_(1.0).mul_(0.5)
        ctx.save_for_backward(x, below)
        return x * below

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        x, below = ctx.saved_tensors
        density = (x * x).mul_(-0.5).exp_().mul_(1 / math.sqrt(2 * math.pi))
        return density.mul_(x).add_(below).mul_(cotangents[0])


def _gelu(input: Tensor, approximate: str = "none") -> Tensor:  # noqa: A002 - torch's name
    """``gelu``; by the faster way where it is one."""
    wanted = approximate == "none" and input.dtype == torch.float64 and input.device.type == "cpu"
    if not wanted or not input.requires_grad:
        return functional.gelu(input, approximate=approximate)
    found: Any = _Gelu.apply(input)
    return found


FASTER = {functional.gelu: _gelu}
